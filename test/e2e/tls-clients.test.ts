/** TLS that ends here, with openssl and curl as clients: versions, names, protocols, certificates, tickets, and what fails. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { echo, listen } from "../support/backend.ts";
import { certificate, type CertificateName } from "../support/certificates.ts";
import { connect } from "../support/peer.ts";
import { attempt, call, lacks, start, type Called, type Program } from "../support/programs.ts";
import { byId } from "../support/records.ts";
import { startSluice } from "../support/sluice.ts";
import { curlClient, opensslClient } from "../support/tls-programs.ts";

const programs = ["openssl", "curl"] as const;

test.skipIf(lacks(...programs)).each([["1.2"], ["1.3"]])("openssl and curl are served over TLS %s", async (version) => {
  await using backend = await listen(echo);
  await using sluice = await startSluice({ config: ending(backend.address) });
  const port = await sluice.port("web");
  await using client = connectOpenssl(port, ["-servername", "a.test", `-tls${version.replace(".", "_")}`]);
  await client.says(/^Verification: OK$/m);
  await client.says(new RegExp(`^New, TLSv${version}, Cipher is `, "m"));
  await echoed(client, "what the client says");
  expect(await sluice.recorded(1)).toMatchObject([
    { sni: "a.test", bytes_to_backend: 20, bytes_to_client: 20, end: "client_finished", engine: "copy" },
  ]);
  using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("what the backend says") });
  await using other = await startSluice({ config: ending(`127.0.0.1:${server.port}`) });
  const { stdout } = await curl(await other.port("web"), [`--tlsv${version}`, "--tls-max", version]);
  expect(stdout).toBe("what the backend says");
});

test.skipIf(lacks(...programs))("TLS 1.1 and what is no TLS are refused, with the reason in the record", async () => {
  await using backend = await listen();
  await using sluice = await startSluice({ config: ending(backend.address) });
  const port = await sluice.port("web");
  const old = await shake(port, ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
  expect(old.code).toBe(1);
  expect(old.stderr).toContain("alert protocol version");
  const plain = await attempt("curl", ["-q", "-sS", `http://127.0.0.1:${port}/`]);
  expect(plain.code).not.toBe(0);
  expect(byId(await sluice.recorded(2))).toMatchObject([
    { end: "tls_failed", reason: "unsupported protocol", backend: null, attempts: 0 },
    { end: "tls_failed", reason: "not TLS", backend: null, attempts: 0 },
  ]);
  expect(backend.connections).toEqual([]);
});

test.skipIf(lacks(...programs))(
  "the name that a client asks for chooses the certificate; the first one is for all others",
  async () => {
    await using backend = await listen(echo);
    await using sluice = await startSluice({ config: ending(backend.address, { certificates: ["a", "b", "c"] }) });
    const port = await sluice.port("web");
    const asked = {
      "a.test": "a.test",
      "x.b.test": "not the name",
      "C.Test": "C.test",
      "x.y.b.test": "a.test",
      "": "a.test",
    };
    for (const [name, subject] of Object.entries(asked)) {
      const { stdout } = await shake(port, name === "" ? ["-noservername"] : ["-servername", name]);
      expect(`${name}: ${/^subject=CN ?= ?(.*)$/m.exec(stdout)?.[1]}`).toBe(`${name}: ${subject}`);
    }
    const names = byId(await sluice.recorded(5)).map(({ sni }) => sni);
    expect(names).toEqual(["a.test", "x.b.test", "c.test", "x.y.b.test", null]);
  },
);

test.skipIf(lacks(...programs))(
  "the protocol is agreed on by our order; a client that offers only others is refused",
  async () => {
    await using backend = await listen(echo);
    const config = ending(backend.address, { more: 'alpn = ["h2", "http/1.1"]' });
    await using sluice = await startSluice({ config });
    const port = await sluice.port("web");
    expect((await shake(port, ["-alpn", "http/1.1,h2"])).stdout).toContain("\nALPN protocol: h2\n");
    expect((await shake(port, ["-alpn", "http/1.1,spdy/3"])).stdout).toContain("\nALPN protocol: http/1.1\n");
    expect((await shake(port, [])).stdout).toContain("\nNo ALPN negotiated\n");
    const refused = await shake(port, ["-alpn", "spdy/3"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("alert no application protocol");
    const records = byId(await sluice.recorded(4));
    expect(records.map(({ end }) => end)).toEqual([...Array(3).fill("client_finished"), "tls_failed"]);
    expect(records[3]!["reason"]).toBe("no application protocol");
  },
);

test.skipIf(lacks(...programs)).each([["1.2"], ["1.3"]])(
  "clients show certificates where they are asked for, over TLS %s",
  async (version) => {
    await using backend = await listen(echo);
    const ca = certificate("ca").certFile;
    const config = (["required", "optional"] as const).map((how) =>
      ending(backend.address, { name: how, more: `client_ca = "${ca}", client_cert = "${how}"` }),
    );
    await using sluice = await startSluice({ config: config.join("") });
    const outcomes: Record<string, unknown> = {};
    for (const how of ["required", "optional"]) {
      const port = await sluice.port(how);
      for (const shown of ["client", "strangeClient", "none"] as const) {
        const { certFile, keyFile } = certificate(shown === "none" ? "a" : shown);
        const show = shown === "none" ? [] : ["-cert", certFile, "-key", keyFile];
        const before = sluice.records().length;
        await using client = connectOpenssl(port, [`-tls${version.replace(".", "_")}`, ...show]);
        // Over TLS 1.3 a client's handshake is complete before its certificate has been seen.
        await client.type("what the client says");
        const record = sluice.recorded(before + 1);
        await Promise.race([client.says("what the client says").catch(() => {}), record]);
        await client.typed();
        const { end, reason, client_cert } = (await record)[before]!;
        outcomes[`${how}, ${shown}`] = { end, reason, client_cert };
      }
    }
    const served = { end: "client_finished", reason: undefined };
    const refused = { end: "tls_failed", client_cert: undefined };
    const strange = { ...refused, reason: "the client's certificate: unable to verify the first certificate" };
    expect(outcomes).toEqual({
      "required, client": { ...served, client_cert: "CN=client one, O=Example" },
      "required, strangeClient": strange,
      "required, none": { ...refused, reason: "peer did not return a certificate" },
      "optional, client": { ...served, client_cert: "CN=client one, O=Example" },
      "optional, strangeClient": strange,
      "optional, none": { ...served, client_cert: undefined },
    });
  },
);

test.skipIf(lacks(...programs)).each([["1.2"], ["1.3"]])(
  "a session over TLS %s is resumed with its ticket",
  async (version) => {
    await using backend = await listen(echo);
    const ca = certificate("ca").certFile;
    await using sluice = await startSluice({ config: ending(backend.address, { more: `client_ca = "${ca}"` }) });
    const port = await sluice.port("web");
    const { certFile, keyFile } = certificate("client");
    const folder = mkdtempSync(join(tmpdir(), "sluice-ticket-"));
    try {
      const ticket = join(folder, "ticket");
      const options = [`-tls${version.replace(".", "_")}`, "-cert", certFile, "-key", keyFile];
      // Over TLS 1.3 tickets come behind the handshake: what is echoed is behind them.
      await using first = connectOpenssl(port, [...options, "-sess_out", ticket]);
      await echoed(first, "what the client says");
      await using second = connectOpenssl(port, [...options, "-sess_in", ticket]);
      await echoed(second, "what the client says");
      expect(first.output).toMatch(/^New, TLSv/m);
      expect(second.output).toMatch(new RegExp(`^Reused, TLSv${version}`, "m"));
      const seen = (await sluice.recorded(2)).map(({ end, client_cert: name }) => ({ end, name }));
      expect(seen).toEqual([0, 1].map(() => ({ end: "client_finished", name: "CN=client one, O=Example" })));
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

test.skipIf(lacks(...programs))("a handshake that stalls, wherever it does, ends with inspect_timeout", async () => {
  const hello = await helloOfOpenssl();
  await using backend = await listen();
  const config = `${ending(backend.address)}\n[timeouts]\ninspect = "300ms"\n`;
  await using sluice = await startSluice({ config });
  const port = await sluice.port("web");
  for (const [index, bytes] of [hello.subarray(0, 0), hello.subarray(0, 100), hello].entries()) {
    await using client = await connect(port);
    if (bytes.length > 0) await client.send(bytes);
    expect(await client.wasReset()).toBe("ECONNRESET");
    // After a whole ClientHello it is our turn, and then the client's.
    expect(client.received > 0).toBe(bytes.length === hello.length);
    const records = await sluice.recorded(index + 1);
    expect(records[index]).toMatchObject({ end: "inspect_timeout", backend: null, attempts: 0 });
    expect(records[index]!["duration_ms"]).toBeGreaterThanOrEqual(300);
  }
  expect(backend.connections).toEqual([]);
});

/** A listener that ends TLS, in front of one endpoint. */
function ending(
  endpoint: string,
  {
    name = "web",
    certificates = ["a"],
    more = "",
  }: { name?: string; certificates?: CertificateName[]; more?: string } = {},
): string {
  const files = certificates.map((of) => certificate(of));
  const list = (paths: readonly string[]): string => `[${paths.map((path) => `"${path}"`).join(", ")}]`;
  const cert = list(files.map(({ certFile }) => certFile));
  const key = list(files.map(({ keyFile }) => keyFile));
  return `
[[listener]]
name = "${name}"
listen = "127.0.0.1:0"
backend = "${name}"
tls = { cert = ${cert}, key = ${key}${more === "" ? "" : `, ${more}`} }
[[backend]]
name = "${name}"
endpoints = ["${endpoint}"]
`;
}

/** Runs openssl as a client that trusts our authority, for as long as it is typed into. */
function connectOpenssl(port: number, options: readonly string[]): Program {
  return start("openssl", [...opensslClient(port), ...options]);
}

/** As `connectOpenssl`, of a client that says nothing and leaves. */
function shake(port: number, options: readonly string[]): Promise<Called> {
  return attempt("openssl", [...opensslClient(port), ...options]);
}

function curl(port: number, options: readonly string[]): Promise<Called> {
  return call("curl", [...curlClient(port), ...options, `https://a.test:${port}/`]);
}

/** Types words, waits for them to come back and leaves. */
async function echoed(client: Program, words: string): Promise<void> {
  await client.type(words);
  await client.says(words);
  await client.typed();
  expect(await client.exited()).toBe("code 0");
}

/** The ClientHello that openssl sends. */
async function helloOfOpenssl(): Promise<Uint8Array> {
  await using server = await listen();
  await using client = connectOpenssl(server.port, ["-servername", "a.test"]);
  const served = await server.accepted();
  await served.receivedBytes(5);
  const [, , , high, low] = served.bytes();
  await served.receivedBytes(5 + high! * 256 + low!);
  client.signal("SIGKILL");
  return served.bytes();
}
