/** The PROXY protocol as we send it, to haproxy and nginx: what they learn of our clients. */
import { expect, test } from "bun:test";
import { startHaproxy, startNginx } from "../support/balancers.ts";
import { certificate } from "../support/certificates.ts";
import { connect } from "../support/peer.ts";
import { call, lacks } from "../support/programs.ts";
import { startSluice } from "../support/sluice.ts";
import { curlClient } from "../support/tls-programs.ts";
import { until } from "../support/until.ts";

test.skipIf(lacks("haproxy", "nginx", "ngx_stream_module.so"))(
  "haproxy and nginx learn who our client is and where it connected to",
  async () => {
    await using haproxy = await startHaproxy(
      ["http"],
      ({ ports }) => `
frontend http
  mode http
  bind 127.0.0.1:${ports.http} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"`,
    );
    await using nginx = await startNginx(["http", "stream"], ({ ports }) => ({
      http: `server { listen 127.0.0.1:${ports.http} proxy_protocol; location / { return 200 "${ofNginx}"; } }`,
      stream: `server { listen 127.0.0.1:${ports.stream} proxy_protocol; return "\r\n\r\n${ofNginx}"; }`,
    }));
    const peers = { haproxy: haproxy.ports.http, nginx: nginx.ports.http, stream: nginx.ports.stream };
    const tellers = ["v1", "v2"].flatMap((version) =>
      Object.entries(peers).map(([peer, port]) => ({ name: `${peer}-${version}`, peer, port, version })),
    );
    const config = tellers.flatMap(({ name, port, version }) => [
      listener(`${name}-ipv4`, "127.0.0.1:0", name),
      listener(`${name}-ipv6`, "[::1]:0", name),
      telling(name, `127.0.0.1:${port}`, version),
    ]);
    await using sluice = await startSluice({ config: config.join("") });
    for (const { name, peer } of tellers) {
      // A connection that is answered without being asked has nothing unread at its end, which would reset it.
      const request = peer === "stream" ? "" : get;
      const ipv4 = await sluice.port(`${name}-ipv4`);
      const four = await ask({ host: "127.0.0.1", port: ipv4 }, "127.0.0.9", request);
      expect(`${name}: ${four.answer}`).toBe(`${name}: 127.0.0.9 ${four.port} 127.0.0.1 ${ipv4}`);
      const ipv6 = await sluice.port(`${name}-ipv6`);
      const six = await ask({ host: "::1", port: ipv6 }, "::1", request);
      expect(`${name}: ${six.answer}`).toBe(`${name}: ::1 ${six.port} ::1 ${ipv6}`);
    }
    expect(await sluice.recorded(12)).toSatisfy((all) => all.every(({ end }) => end === "backend_finished"));
  },
);

test.skipIf(lacks("haproxy", "nginx", "curl", "openssl"))(
  "in front of a TLS handshake or inside, our header tells of the client and of the name that it asked us for",
  async () => {
    const crt = certificate("a");
    await using haproxy = await startHaproxy(
      ["before", "inside", "decrypted"],
      ({ ports, bundle }) => `
frontend before
  mode http
  bind 127.0.0.1:${ports.before} accept-proxy ssl crt ${bundle(crt)}
  http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[fc_pp_authority]"
frontend inside
  mode tcp
  bind 127.0.0.1:${ports.inside} ssl crt ${bundle(crt)}
  default_backend decrypted
backend decrypted
  mode tcp
  server it 127.0.0.1:${ports.decrypted}
frontend decrypted
  mode http
  bind 127.0.0.1:${ports.decrypted} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[fc_pp_authority]"`,
    );
    await using nginx = await startNginx(["before"], ({ ports }) => ({
      http: `
  server {
    listen 127.0.0.1:${ports.before} ssl proxy_protocol;
    ssl_certificate ${crt.certFile};
    ssl_certificate_key ${crt.keyFile};
    location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port"; }
  }`,
    }));
    const tellers = [
      { name: "haproxy-before", port: haproxy.ports.before, where: "before" },
      { name: "haproxy-inside", port: haproxy.ports.inside, where: "inside" },
      { name: "nginx-before", port: nginx.ports.before, where: "before" },
    ].flatMap((teller) => ["v1", "v2"].map((version) => ({ ...teller, version, name: `${teller.name}-${version}` })));
    const ca = certificate("ca").certFile;
    const ours = certificate("b");
    const config = tellers.flatMap(({ name, port, version, where }) => [
      listener(name, "127.0.0.1:0", name, `tls = { cert = "${ours.certFile}", key = "${ours.keyFile}" }`),
      telling(name, `127.0.0.1:${port}`, version, `tls = { ca = "${ca}", proxy_header = "${where}" }`),
    ]);
    await using sluice = await startSluice({ config: config.join("") });
    for (const { name, version } of tellers) {
      const port = await sluice.port(name);
      const options = ["--interface", "127.0.0.7", "-w", "\n%{local_ip}:%{local_port}"];
      const { stdout } = await call("curl", [...curlClient(port, "x.b.test"), ...options, `https://x.b.test:${port}/`]);
      const [answer, client] = stdout.split("\n");
      const authority = name.startsWith("haproxy") ? ` ${version === "v2" ? "x.b.test" : ""}` : "";
      expect(`${name}: ${answer}`).toBe(`${name}: ${client}${authority}`);
    }
  },
);

test.skipIf(lacks("haproxy", "nginx", "openssl"))(
  "our own checks, which are of nobody's, find haproxy and nginx up",
  async () => {
    const crt = certificate("a");
    await using haproxy = await startHaproxy(
      ["plain", "tls"],
      ({ ports, bundle }) => `
frontend plain
  mode http
  bind 127.0.0.1:${ports.plain} accept-proxy
  http-request return status 204
frontend tls
  mode http
  bind 127.0.0.1:${ports.tls} accept-proxy ssl crt ${bundle(crt)}
  http-request return status 204`,
    );
    await using nginx = await startNginx(["plain", "tls"], ({ ports }) => ({
      http: `
  server {
    listen 127.0.0.1:${ports.plain} proxy_protocol;
    listen 127.0.0.1:${ports.tls} ssl proxy_protocol;
    ssl_certificate ${crt.certFile};
    ssl_certificate_key ${crt.keyFile};
    location / { return 204; }
  }`,
    }));
    const health = `health = { type = "http", status = "204", interval = "50ms" }`;
    const tls = `tls = { ca = "${certificate("ca").certFile}" }`;
    const backends = [haproxy, nginx].flatMap(({ ports, program }) =>
      ["v1", "v2"].flatMap((version) => [
        telling(`${program.name}-plain-${version}`, `127.0.0.1:${ports.plain}`, version, health),
        telling(`${program.name}-tls-${version}`, `127.0.0.1:${ports.tls}`, version, `${health}\n${tls}`),
      ]),
    );
    backends.push(telling("without", `127.0.0.1:${haproxy.ports.plain}`, "off", health));
    const config = ['[admin]\nlisten = "127.0.0.1:0"\n', listener("web", "127.0.0.1:0", "without"), ...backends];
    await using sluice = await startSluice({ config: config.join("") });
    const status = async (): Promise<Status> =>
      (await fetch(`${await sluice.adminUrl()}/status`)).json() as Promise<Status>;
    await until(
      async () => (await status()).backends.every(({ endpoints: [it] }) => it!.checks.good + it!.checks.bad >= 3),
      "three checks of each",
    );
    const { backends: checked } = await status();
    for (const { name, endpoints } of checked) {
      expect(`${name}: ${endpoints[0]!.health}`).toBe(`${name}: ${name === "without" ? "down" : "up"}`);
      expect(endpoints[0]!.checks[name === "without" ? "good" : "bad"]).toBe(0);
    }
    expect(checked.length).toBe(9);
    // Whoever is told of nobody takes the connection for its sender's.
    expect(haproxy.program.output).toMatch(/^Connect from 127\.0\.0\.1:\d+ to 127\.0\.0\.1:\d+ \(plain\/HTTP\)$/m);
  },
);

interface Status {
  readonly backends: readonly {
    readonly name: string;
    readonly endpoints: readonly { health: string; checks: { good: number; bad: number } }[];
  }[];
}

/** What nginx has learnt, as it answers. */
const ofNginx = "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port";

const get = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/** What a client is answered, without the head, and the port that it asked from. */
async function ask(
  to: { host: string; port: number },
  from: string,
  request: string,
): Promise<{ answer: string; port: number }> {
  await using client = await connect(to, { localAddress: from });
  const port = client.localPort;
  await client.send(request);
  await client.finished();
  await client.finish();
  return { answer: client.text().split("\r\n\r\n")[1] ?? "", port };
}

function listener(name: string, listen: string, backend: string, more = ""): string {
  return `[[listener]]\nname = "${name}"\nlisten = "${listen}"\nbackend = "${backend}"\n${more}\n`;
}

function telling(name: string, endpoint: string, version: string, more = ""): string {
  return `[[backend]]\nname = "${name}"\nendpoints = ["${endpoint}"]\nsend_proxy = "${version}"\n${more}\n`;
}
