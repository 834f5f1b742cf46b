/** Sessions over TLS, with curl, openssl and socat as clients: bulk, half-close, a drain in the middle, new certificates in the middle. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { echo, listen } from "../support/backend.ts";
import { certificate, type Certificate } from "../support/certificates.ts";
import { Payload } from "../support/payload.ts";
import { connect } from "../support/peer.ts";
import { call, lacks, start, type Program } from "../support/programs.ts";
import { byId } from "../support/records.ts";
import { startSluice, type Sluice } from "../support/sluice.ts";
import { curlClient, opensslClient } from "../support/tls-programs.ts";
import { until } from "../support/until.ts";

const programs = ["curl", "openssl"] as const;
const large = new Payload(1, 100_000_000);
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-tls-"));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

test.skipIf(lacks(...programs)).each([["in plain"], ["over TLS"]])(
  "100 MB in both directions, passed on %s, arrive byte by byte as they were sent",
  async (how) => {
    const { cert, key } = certificate("a");
    using server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      maxRequestBodySize: large.length,
      // What comes in goes out again, while it still comes in.
      fetch: ({ body }) => new Response(body),
      ...(how === "over TLS" ? { tls: { cert, key } } : {}),
    });
    const tls = how === "over TLS" ? `tls = { ca = "${certificate("ca").certFile}" }` : "";
    await using sluice = await startSluice({ config: ending(`127.0.0.1:${server.port}`) + tls });
    const port = await sluice.port("web");
    const file = join(folder, "large");
    await Bun.write(file, large.bytes());
    const back = join(folder, "back");
    await curl(port, ["-T", file, "-o", back]);
    expect(await digestOf(back)).toBe(large.sha256());
    const [record] = await sluice.recorded(1);
    expect(record).toMatchObject({ end: "client_finished", engine: "copy" });
    expect(record!["bytes_to_backend"]).toBeGreaterThan(large.length);
    expect(record!["bytes_to_client"]).toBeGreaterThan(large.length);
  },
);

test.skipIf(lacks("openssl", "socat")).each([["1.2"], ["1.3"]])(
  "a client that has finished over TLS %s still gets all of the answer, and one that is answered first still sends all",
  async (version) => {
    const sent = new Payload(2, 5_000_000);
    const answer = new Payload(3, 5_000_000);
    await using late = await listen(async (peer) => {
      await peer.finished();
      await peer.send(answer);
      await peer.finish();
    });
    await using early = await listen(async (peer) => {
      await peer.send(answer);
      await peer.finish();
    });
    await using sluice = await startSluice({ config: ending(late.address, { name: "late" }) + ending(early.address) });
    const trust = `cafile=${certificate("ca").certFile},commonname=a.test`;
    const versions = `openssl-min-proto-version=TLS${version},openssl-max-proto-version=TLS${version}`;
    const socat = (address: string): Promise<{ bytes: Uint8Array }> =>
      call("socat", ["-t", "10", "-", `OPENSSL:${address},${trust},${versions}`], sent.bytes());
    const first = await socat(await sluice.address("late"));
    expect(Buffer.compare(first.bytes, answer.bytes())).toBe(0);
    expect(late.connections[0]!.sha256()).toBe(sent.sha256());
    const second = await socat(await sluice.address("web"));
    expect(Buffer.compare(second.bytes, answer.bytes())).toBe(0);
    await early.connections[0]!.finished();
    expect(early.connections[0]!.sha256()).toBe(sent.sha256());
    const records = byId(await sluice.recorded(2));
    const figures = { bytes_to_backend: sent.length, bytes_to_client: answer.length };
    expect(records[0]).toMatchObject({ ...figures, end: "client_finished" });
    expect(records[1]).toMatchObject(figures);
  },
);

test.skipIf(lacks(...programs))(
  "a transfer that is under way when the drain begins is completed, and then the program ends",
  async () => {
    const body = new Payload(4, 20_000_000);
    await using backend = await listen();
    await using sluice = await startSluice({ config: ending(backend.address) });
    const port = await sluice.port("web");
    const file = join(folder, "drained");
    const download = curl(port, ["-o", file]);
    const served = await backend.accepted();
    await served.receivedBytes(1);
    await served.send(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`);
    await served.send(body.slice(0, 10_000_000));
    sluice.signal("SIGTERM");
    await sluice.logged(({ msg }) => msg === "shutting down", "the beginning of the shutdown");
    await until(() => isRefused(port), "new connections to be refused");
    await served.send(body.slice(10_000_000, 10_000_000));
    await served.finish();
    await download;
    expect(await digestOf(file)).toBe(body.sha256());
    expect(await sluice.exited()).toMatchObject({ code: 0 });
    const record = sluice.records().find(({ attempts }) => attempts === 1);
    expect(record).toMatchObject({ bytes_to_backend: served.received });
    // curl knows the length and need not wait for the end.
    expect(["backend_finished", "client_finished"]).toContain(String(record!["end"]));
  },
);

test.skipIf(lacks(...programs))(
  "SIGHUP brings new certificates to new handshakes, and broken ones to nobody",
  async () => {
    await using backend = await listen(echo);
    const files = { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem") };
    install(certificate("a"), files);
    await using sluice = await startSluice({ config: ending(backend.address, { files }) });
    const port = await sluice.port("web");
    expect(await shownTo(port)).toBe(fingerprint(certificate("a")));
    await using client = connectOpenssl(port);
    await echoed(client, "before");

    install(certificate("a2"), files);
    await reload(sluice, "configuration reloaded");
    expect(await shownTo(port)).toBe(fingerprint(certificate("a2")));
    await echoed(client, "between");

    writeFileSync(files.keyFile, "no key");
    await reload(sluice, "configuration not reloaded: nothing has changed");
    expect(sluice.log.find(({ level }) => level === "error")).toMatchObject({
      problems: [expect.stringMatching(/listener\.web\.tls.*no private key/)],
    });
    expect(await shownTo(port)).toBe(fingerprint(certificate("a2")));
    await echoed(client, "after");
    await client.typed();
    expect(await client.exited()).toBe("code 0");
    const listening = sluice.log.filter(({ msg, listener }) => msg === "listening" && listener === "web");
    expect(listening.length).toBe(1);
    const ends = (await sluice.recorded(4)).map(({ end }) => end);
    expect(ends).toEqual(Array(4).fill("client_finished"));
  },
);

interface Files {
  readonly certFile: string;
  readonly keyFile: string;
}

/** A listener that ends TLS, in front of one endpoint. */
function ending(
  endpoint: string,
  { name = "web", files = certificate("a") }: { name?: string; files?: Files } = {},
): string {
  return `
[[listener]]
name = "${name}"
listen = "127.0.0.1:0"
backend = "${name}"
tls = { cert = "${files.certFile}", key = "${files.keyFile}" }
[[backend]]
name = "${name}"
endpoints = ["${endpoint}"]
`;
}

function install({ certFile, keyFile }: Certificate, files: Files): void {
  copyFileSync(certFile, files.certFile);
  copyFileSync(keyFile, files.keyFile);
}

/** Sends SIGHUP, and waits until these words have been said once more. */
async function reload(sluice: Sluice, words: string): Promise<void> {
  const before = new Set(sluice.log);
  sluice.signal("SIGHUP");
  await sluice.logged((line) => !before.has(line) && line.msg === words, `"${words}"`);
}

/** The fingerprint of the certificate that a new client is shown. */
async function shownTo(port: number): Promise<string> {
  const client = connectOpenssl(port);
  await client.typed();
  await client.exited();
  const [pem] = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/.exec(client.output)!;
  return digest(pem);
}

function fingerprint({ cert }: Certificate): string {
  return digest(cert.trim());
}

function digest(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text.replaceAll(/\s/g, "")).digest("hex");
}

function connectOpenssl(port: number): Program {
  return start("openssl", [...opensslClient(port), "-servername", "a.test"]);
}

async function echoed(client: Program, words: string): Promise<void> {
  await client.type(words);
  await client.says(words);
}

async function curl(port: number, options: readonly string[]): Promise<void> {
  await call("curl", [...curlClient(port), "--fail", ...options, `https://a.test:${port}/`]);
}

async function isRefused(port: number): Promise<boolean> {
  try {
    await using _ = await connect(port, { withinMs: 1_000 });
    return false;
  } catch (error) {
    return (error as { code?: unknown }).code === "ECONNREFUSED";
  }
}

async function digestOf(file: string): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(file).stream()) hash.update(chunk);
  return hash.digest("hex");
}
