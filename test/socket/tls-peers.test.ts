/** TLS with others' programs at the other end: openssl s_client and curl as clients, openssl s_server as an endpoint. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { echo, listen } from "../support/backend.ts";
import { certificate, type CertificateName } from "../support/certificates.ts";
import { payload } from "../support/payload.ts";
import { connect } from "../support/peer.ts";
import { call, lacks, start, type Program } from "../support/programs.ts";
import { startProxy } from "../support/proxy.ts";
import { clientCredentials, originatorOf, serverCredentials, terminatorOf } from "../support/tls.ts";
import { curlClient, opensslClient, startOpensslServer } from "../support/tls-programs.ts";
import { settled, until } from "../support/until.ts";

const versions = ["TLSv1.2", "TLSv1.3"] as const;
const versionFlag = { "TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3" } as const;

/** Wants a.test unless told otherwise. */
function client(port: number, ...options: readonly string[]): Program {
  const name = options.some((option) => /servername/.test(option)) ? [] : ["-servername", "a.test"];
  return start("openssl", [...opensslClient(port), ...name, ...options]);
}

/** Shows this certificate to whoever asks. */
function shows(name: CertificateName): string[] {
  return ["-cert", certificate(name).certFile, "-key", certificate(name).keyFile];
}

/** A folder for this scope. */
function folder(): Disposable & { path(name: string): string } {
  const made = mkdtempSync(join(tmpdir(), "sluice-tls-"));
  return { path: (name) => join(made, name), [Symbol.dispose]: () => rmSync(made, { recursive: true }) };
}

describe("openssl s_client", () => {
  for (const version of versions) {
    test.skipIf(lacks("openssl"))(`${version}: every byte arrives each way, and it sees a clean end`, async () => {
      const [question, answer] = [payload(1, 300_000), payload(2, 3_000_000)];
      await using backend = await listen(async (peer) => {
        await peer.receivedPayload(question);
        await peer.send(answer);
        peer.close();
      });
      await using proxy = startProxy(backend.port, { terminator: terminatorOf() });
      await using program = client(proxy.port, versionFlag[version], "-quiet");
      await program.type(question.bytes());
      expect(await program.exited()).toBe("code 0");
      expect(Buffer.compare(program.bytes, answer.bytes())).toBe(0);
      expect(await proxy.recorded()).toMatchObject({
        sni: "a.test",
        bytes_to_backend: 300_000,
        bytes_to_client: 3_000_000,
        end: "backend_finished",
      });
    });

    test.skipIf(lacks("openssl"))(`${version}: one that reads late gets every byte and a clean end`, async () => {
      // More than the kernel takes, so that Bun keeps some of the ciphertext when the backend has finished.
      const answer = payload(3, 12_000_000);
      await using backend = await listen(async (peer) => {
        await peer.receivedBytes(2);
        await peer.send(answer);
        peer.close();
      });
      await using proxy = startProxy(backend.port, { terminator: terminatorOf() });
      for (let round = 1; round <= 5; round++) {
        await using program = client(proxy.port, versionFlag[version], "-quiet");
        await program.type("go");
        await until(
          () => program.bytes.length > 0,
          () => `the answer: ${program.describe()}`,
        );
        program.signal("SIGSTOP");
        await settled(() => proxy.sessions[0]?.bytesToClient, "the answer to be stuck", { quietMs: 30 });
        program.signal("SIGCONT");
        expect(await program.exited()).toBe("code 0");
        expect(Buffer.compare(program.bytes, answer.bytes())).toBe(0);
        expect(await proxy.recorded(round)).toMatchObject({ bytes_to_client: 12_000_000, end: "backend_finished" });
      }
    });

    test.skipIf(lacks("openssl"))(`${version}: a session is resumed, until there are new certificates`, async () => {
      using files = folder();
      await using backend = await listen(async (peer) => {
        await peer.send("hello");
        await peer.finish();
      });
      const terminator = terminatorOf({ clientCa: "ca", clientCert: "optional" });
      await using proxy = startProxy(backend.port, { terminator });
      const visit = async (session: "-sess_out" | "-sess_in"): Promise<string> => {
        const options = [versionFlag[version], session, files.path("session"), ...shows("client")];
        await using program = client(proxy.port, ...options);
        await program.exited();
        return /^(New|Reused), (\S+),/m.exec(program.stdout)!.slice(1).join(" ");
      };
      expect(await visit("-sess_out")).toBe(`New ${version}`);
      expect(await visit("-sess_in")).toBe(`Reused ${version}`);
      expect((await proxy.recorded(2)).client_cert).toContain("CN=client one");
      terminator.replace(serverCredentials({ clientCa: "ca", clientCert: "optional" }));
      expect(await visit("-sess_in")).toBe(`New ${version}`);
    });

    test.skipIf(lacks("openssl"))(
      `${version}: a client whose certificate was refused can't come in by a session`,
      async () => {
        using files = folder();
        await using backend = await listen(echo);
        const terminator = terminatorOf({ clientCa: "ca", clientCert: "optional" });
        await using proxy = startProxy(backend.port, { terminator });
        for (const session of ["-sess_out", "-sess_in"]) {
          const options = [versionFlag[version], "-quiet", ...shows("strangeClient"), session, files.path("s")];
          await using program = client(proxy.port, ...options);
          await program.exited();
          if (!(await Bun.file(files.path("s")).exists())) break;
        }
        expect(proxy.records.map(({ end }) => end).filter((end) => end !== "tls_failed")).toEqual([]);
      },
    );
  }

  test.skipIf(lacks("openssl"))("TLS 1.1: it gets an alert", async () => {
    await using proxy = startProxy(1, { terminator: terminatorOf() });
    await using program = client(proxy.port, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0");
    expect(await program.exited()).toBe("code 1");
    expect(program.stderr).toContain("alert protocol version");
    expect(await proxy.recorded()).toMatchObject({ end: "tls_failed", reason: "unsupported protocol" });
  });

  for (const [what, args, subject] of [
    ["its own name", ["-servername", "x.b.test"], "CN = not the name"],
    ["a name that none has", ["-servername", "nobody.test"], "CN = a.test"],
    ["no name", ["-noservername"], "CN = a.test"],
  ] as const) {
    test.skipIf(lacks("openssl"))(`with ${what} it is shown the right certificate`, async () => {
      await using backend = await listen((peer) => peer.close());
      await using proxy = startProxy(backend.port, { terminator: terminatorOf({ certificates: ["a", "b"] }) });
      await using program = client(proxy.port, ...args);
      await program.exited();
      expect(program.stdout).toContain(`subject=${subject}\n`);
    });
  }

  test.skipIf(lacks("openssl"))("a protocol is agreed on, or refused by an alert", async () => {
    await using backend = await listen((peer) => peer.close());
    await using proxy = startProxy(backend.port, { terminator: terminatorOf({ alpn: ["h2", "http/1.1"] }) });
    await using agreed = client(proxy.port, "-alpn", "x,http/1.1");
    await agreed.exited();
    expect(agreed.stdout).toContain("ALPN protocol: http/1.1\n");
    await using refused = client(proxy.port, "-alpn", "x,y");
    expect(await refused.exited()).toBe("code 1");
    expect(refused.stderr).toContain("alert no application protocol");
  });

  test.skipIf(lacks("openssl"))("without a certificate that is required it gets an alert", async () => {
    await using proxy = startProxy(1, { terminator: terminatorOf({ clientCa: "ca" }) });
    await using program = client(proxy.port, "-quiet");
    expect(await program.exited()).toBe("code 1");
    expect(program.stderr).toContain("alert certificate required");
  });
});

describe("openssl s_server", () => {
  for (const version of versions) {
    test.skipIf(lacks("openssl"))(`${version}: sends back what it is sent, and finishes after us`, async () => {
      // With "-rev" it sends back every line with its characters in reverse.
      await using server = await startOpensslServer("a", "-rev", versionFlag[version]);
      await using proxy = startProxy(server.port, { originator: originatorOf(), retries: 0 });
      await using peer = await connect(proxy.port);
      await peer.send("abc\n");
      await peer.receivedBytes(4);
      expect(peer.text()).toBe("cba\n");
      await peer.finish();
      await peer.finished();
      expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 4, bytes_to_client: 4, end: "client_finished" });
    });

    test.skipIf(lacks("openssl"))(`${version}: sessions are resumed, those of other credentials are not`, async () => {
      // With "-www" it answers with a page about the session.
      await using server = await startOpensslServer("a", "-www", versionFlag[version]);
      const originator = originatorOf();
      await using proxy = startProxy(server.port, { originator, retries: 0 });
      const visit = async (): Promise<string> => {
        await using peer = await connect(proxy.port);
        await peer.send("GET / HTTP/1.0\r\n\r\n");
        await peer.finished();
        return /^(New|Reused), (\S+),/m.exec(peer.text())!.slice(1).join(" ");
      };
      expect(await visit()).toBe(`New ${version}`);
      expect(await visit()).toBe(`Reused ${version}`);
      expect(await visit()).toBe(`Reused ${version}`);
      originator.replace(clientCredentials());
      expect(await visit()).toBe(`New ${version}`);
    });
  }

  test.skipIf(lacks("openssl"))("is shown the certificate that it asks for", async () => {
    const verify = ["-Verify", "1", "-verify_return_error", "-CAfile", certificate("ca").certFile];
    await using server = await startOpensslServer("a", "-rev", ...verify);
    const originator = originatorOf({ certificate: "client" });
    await using proxy = startProxy(server.port, { originator, retries: 0 });
    await using peer = await connect(proxy.port);
    await peer.send("abc\n");
    await peer.receivedBytes(4);
    expect(server.program.output).toContain("CN = client one");
  });
});

describe("curl", () => {
  const large = payload(4, 10_000_000);

  test.skipIf(lacks("openssl", "curl"))(
    "keeps its connection for several requests, downloads and uploads 10 MB",
    async () => {
      using files = folder();
      using server = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        async fetch(request) {
          if (new URL(request.url).pathname === "/large") return new Response(large.bytes());
          return new Response(new Bun.CryptoHasher("sha256").update(await request.bytes()).digest("hex"));
        },
      });
      const terminator = terminatorOf({ clientCa: "ca", alpn: ["http/1.1"] });
      await using proxy = startProxy(server.port!, { terminator });
      const file = files.path("large");
      const url = `https://a.test:${proxy.port}`;
      const { certFile, keyFile } = certificate("client");
      const options = ["--fail", "--cert", certFile, "--key", keyFile, "-w", "\\n%{http_code} %{num_connects}\\n"];
      const curl = [...curlClient(proxy.port), ...options];
      expect((await call("curl", [...curl, "-o", file, `${url}/large`])).stdout).toBe("\n200 1\n");
      expect(new Bun.CryptoHasher("sha256").update(await Bun.file(file).bytes()).digest("hex")).toBe(large.sha256());
      const upload = await call("curl", [...curl, "--data-binary", `@${file}`, `${url}/digest`, `${url}/digest`]);
      expect(upload.stdout).toBe(`${large.sha256()}\n200 1\n${large.sha256()}\n200 0\n`);
      await proxy.recorded(2);
      expect(proxy.records.map(({ end }) => end)).toEqual(["client_finished", "client_finished"]);
      expect(proxy.records[1]!.client_cert).toContain("CN=client one");
    },
  );
});
