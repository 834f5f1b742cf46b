/** TLS to endpoints: nginx, openssl and Bun as servers, what they learn of us, and whom of them we refuse. */
import { beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listen } from "../support/backend.ts";
import { startNginx, type Balancer } from "../support/balancers.ts";
import { certificate, type CertificateName } from "../support/certificates.ts";
import { attempt, call, lacks } from "../support/programs.ts";
import { byId } from "../support/records.ts";
import { startSluice, type LogLine, type Sluice } from "../support/sluice.ts";
import { curlClient, startOpensslServer } from "../support/tls-programs.ts";

const programs = ["curl", "nginx", "openssl"] as const;

let trust: string;

beforeAll(() => {
  if (!lacks(...programs)) trust = `ca = "${certificate("ca").certFile}"`;
});

test.skipIf(lacks(...programs))(
  "clients in plain are served by endpoints that speak TLS: nginx, openssl, Bun",
  async () => {
    const { cert, key } = certificate("a");
    await using nginx = await servers(["a"]);
    await using openssl = await startOpensslServer("a", "-www");
    using bun = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert, key },
      fetch: () => new Response("this is Bun"),
    });
    const config =
      speaking({ name: "nginx", ports: [nginx.ports.a], tls: trust }) +
      speaking({ name: "openssl", ports: [openssl.port], tls: trust }) +
      speaking({ name: "bun", ports: [bun.port!], tls: trust });
    await using sluice = await startSluice({ config });
    expect(await ask(sluice, "nginx")).toMatch(/^TLSv1\.3 /);
    expect(await ask(sluice, "openssl")).toMatch(/^New, TLSv1\.3, Cipher is /m);
    expect(await ask(sluice, "bun")).toBe("this is Bun");
    const records = await sluice.recorded(3);
    expect(records).toSatisfy((all) => all.every(({ attempts, reason }) => attempts === 1 && reason === undefined));
  },
);

test.skipIf(lacks(...programs))(
  "the name, the protocol and the certificate that we are configured with are what nginx sees",
  async () => {
    await using nginx = await servers(["a", "b"]);
    const { certFile, keyFile } = certificate("client");
    const shown = `cert = "${certFile}", key = "${keyFile}"`;
    const config =
      speaking({ name: "by-address", ports: [nginx.ports.a], tls: trust }) +
      speaking({ name: "by-name", ports: [nginx.ports.b], tls: `${trust}, server_name = "x.b.test"` }) +
      speaking({
        name: "with-all",
        ports: [nginx.ports.a],
        tls: `${trust}, ${shown}, server_name = "a.test", alpn = ["http/1.1"]`,
      });
    await using sluice = await startSluice({ config });
    const seen = { protocol: "TLSv1.3", name: "", alpn: "", client: "", verified: "NONE", resumed: "." };
    // An address is verified and not asked for (RFC 6066, section 3).
    expect(await see(sluice, "by-address")).toEqual(seen);
    expect(await see(sluice, "by-address")).toEqual({ ...seen, resumed: "r" });
    expect(await see(sluice, "by-name")).toEqual({ ...seen, name: "x.b.test" });
    const all = { ...seen, name: "a.test", alpn: "http/1.1", client: "O=Example,CN=client one", verified: "SUCCESS" };
    expect(await see(sluice, "with-all")).toEqual(all);
    expect(await see(sluice, "with-all")).toEqual({ ...all, resumed: "r" });
  },
);

test.skipIf(lacks(...programs))(
  "an endpoint whose certificate is not for its name, not by our authority or past its time is refused",
  async () => {
    await using plain = await listen((peer) => peer.send("220 this is no TLS\r\n"));
    await using nginx = await servers(["a", "b", "stranger", "expired"]);
    const config =
      speaking({ name: "wrong-name", ports: [nginx.ports.a], tls: `${trust}, server_name = "b.test"` }) +
      speaking({ name: "wrong-address", ports: [nginx.ports.b], tls: trust }) +
      speaking({ name: "stranger", ports: [nginx.ports.stranger], tls: trust }) +
      speaking({ name: "expired", ports: [nginx.ports.expired], tls: trust }) +
      speaking({ name: "no-tls", ports: [plain.port], tls: trust }) +
      speaking({ name: "unverified", ports: [nginx.ports.stranger], tls: "verify = false" });
    await using sluice = await startSluice({ config });
    expect(await refusal(sluice, "wrong-name")).toMatch(/b\.test.*not/i);
    expect(await refusal(sluice, "wrong-address")).toBe("the certificate is not for 127.0.0.1");
    expect(await refusal(sluice, "stranger")).toBe("unable to verify the first certificate");
    expect(await refusal(sluice, "expired")).toBe("certificate has expired");
    expect(await refusal(sluice, "no-tls")).toBe("wrong version number");
    expect(await ask(sluice, "unverified")).toMatch(/^TLSv1\.3 /);
  },
);

test.skipIf(lacks(...programs))(
  "after an endpoint that fails its handshake, or never ends it, the next one is tried",
  async () => {
    await using silent = await listen();
    await using nginx = await servers(["stranger", "a"]);
    const { ports } = nginx;
    const config = `
[timeouts]
connect = "300ms"
${speaking({ name: "failing", ports: [ports.stranger, silent.port, ports.a], tls: trust })}
${speaking({ name: "hopeless", ports: [silent.port, ports.stranger], tls: trust })}`;
    await using sluice = await startSluice({ config });
    expect(await ask(sluice, "failing")).toMatch(/^TLSv1\.3 /);
    const { code } = await attempt("curl", ["-q", "-sS", `http://${await sluice.address("hopeless")}/`]);
    expect(code).not.toBe(0);
    const records = byId(await sluice.recorded(2));
    expect(records[0]).toMatchObject({ attempts: 3, endpoint: `127.0.0.1:${ports.a}`, end: "client_finished" });
    expect(records[0]).not.toHaveProperty("reason");
    expect(records[1]).toMatchObject({
      attempts: 2,
      end: "tls_failed",
      reason: "unable to verify the first certificate",
    });
  },
);

test.skipIf(lacks(...programs))(
  "TLS in and TLS out: HTTP/2 from curl to nginx, each side with its own certificate",
  async () => {
    await using nginx = await servers(["b"]);
    const { certFile, keyFile } = certificate("a");
    const config = `
[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"
tls = { cert = "${certFile}", key = "${keyFile}", alpn = ["h2"] }
[[backend]]
name = "app"
endpoints = ["127.0.0.1:${nginx.ports.b}"]
tls = { ${trust}, server_name = "x.b.test", alpn = ["h2"] }`;
    await using sluice = await startSluice({ config });
    const port = await sluice.port("web");
    const options = ["--http2", "-w", "%{http_version}"];
    const { stdout } = await call("curl", [...curlClient(port), ...options, `https://a.test:${port}/`]);
    expect(stdout).toBe(`TLSv1.3 x.b.test h2  NONE .\n2`);
    expect(await sluice.recorded(1)).toMatchObject([{ sni: "a.test", end: "client_finished" }]);
  },
);

test.skipIf(lacks(...programs))(
  "SIGHUP brings another authority to new connections, whatever sessions there were before",
  async () => {
    await using nginx = await servers(["a"]);
    const folder = mkdtempSync(join(tmpdir(), "sluice-ca-"));
    try {
      const ca = join(folder, "ca.pem");
      copyFileSync(certificate("ca").certFile, ca);
      await using sluice = await startSluice({
        config: speaking({ name: "web", ports: [nginx.ports.a], tls: `ca = "${ca}"` }),
      });
      expect(await ask(sluice, "web")).toMatch(/^TLSv1\.3 .* \.$/m);
      expect(await ask(sluice, "web")).toMatch(/^TLSv1\.3 .* r$/m);
      copyFileSync(certificate("otherCa").certFile, ca);
      sluice.signal("SIGHUP");
      await sluice.logged(({ msg }) => msg === "configuration reloaded", "that certificates were read");
      expect(await refusal(sluice, "web")).toBe("unable to verify the first certificate");
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

/** nginx with a server for each certificate, which answers what it knows of the connection; ports by certificate. */
function servers<Name extends CertificateName>(names: readonly Name[]): Promise<Balancer<Name>> {
  const server = (name: Name, port: number): string => `
  server {
    listen 127.0.0.1:${port} ssl http2;
    ssl_certificate ${certificate(name).certFile};
    ssl_certificate_key ${certificate(name).keyFile};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:${name}:1m;
    ssl_client_certificate ${certificate("ca").certFile};
    ssl_verify_client optional;
    location / {
      default_type text/plain;
      return 200 "$ssl_protocol $ssl_server_name $ssl_alpn_protocol $ssl_client_s_dn $ssl_client_verify $ssl_session_reused\\n";
    }
  }`;
  return startNginx(names, ({ ports }) => ({ http: names.map((name) => server(name, ports[name])).join("") }));
}

/** A listener in plain, in front of endpoints that are spoken to over TLS, the first of them first. */
function speaking({ name, ports, tls }: { name: string; ports: readonly number[]; tls: string }): string {
  return `
[[listener]]
name = "${name}"
listen = "127.0.0.1:0"
backend = "${name}"
[[backend]]
name = "${name}"
endpoints = [${ports.map((port) => `"127.0.0.1:${port}"`).join(", ")}]
balance = "first"
tls = { ${tls} }
`;
}

async function ask(sluice: Sluice, listener: string): Promise<string> {
  return (await call("curl", ["-q", "-sS", `http://${await sluice.address(listener)}/`])).stdout;
}

/** What nginx knows of a connection, by its own words. */
async function see(sluice: Sluice, listener: string): Promise<Record<string, string>> {
  const answer = await ask(sluice, listener);
  const [, protocol, name, alpn, client, verified, resumed] = /^(\S*) (\S*) (\S*) (.*) (\S+) (\S+)\n$/.exec(answer)!;
  return { protocol: protocol!, name: name!, alpn: alpn!, client: client!, verified: verified!, resumed: resumed! };
}

/** Why a listener's only endpoint is refused; its client sees no more than a reset. */
async function refusal(sluice: Sluice, listener: string): Promise<unknown> {
  const before = sluice.records().length;
  const { code } = await attempt("curl", ["-q", "-sS", `http://${await sluice.address(listener)}/`]);
  expect(code).not.toBe(0);
  const record: LogLine = (await sluice.recorded(before + 1))[before]!;
  expect(record).toMatchObject({ end: "tls_failed", attempts: 1, bytes_to_client: 0 });
  return record["reason"];
}
