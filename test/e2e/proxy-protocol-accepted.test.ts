/** The PROXY protocol as haproxy and nginx send it, to a listener that wants it: who our clients are. */
import { expect, test } from "bun:test";
import { listen, type Backend } from "../support/backend.ts";
import { startHaproxy, startNginx } from "../support/balancers.ts";
import { certificate } from "../support/certificates.ts";
import { connect, type Target } from "../support/peer.ts";
import { joined } from "../support/joined.ts";
import { call, lacks, start } from "../support/programs.ts";
import { command, ends, family, proxyV2, tlv, tlvType } from "../support/proxy-headers.ts";
import { startSluice, type Sluice } from "../support/sluice.ts";
import { socketFolder } from "../support/socket-folder.ts";
import { curlClient, opensslClient } from "../support/tls-programs.ts";
import { until } from "../support/until.ts";

test
  .skipIf(lacks("haproxy"))
  .each([["send-proxy"], ["send-proxy-v2"], ["send-proxy-v2 proxy-v2-options ssl,cert-cn,authority,crc32c,unique-id"]])(
  "the client that haproxy tells of with %s is the one that it has",
  async (options) => {
    await using backend = await listen();
    await using sluice = await startSluice({ config: accepting(backend.address) });
    const address = await sluice.address("web");
    using folder = socketFolder();
    await using haproxy = await startHaproxy(
      ["ipv4", "ipv6"],
      ({ ports }) => `
frontend clients
  mode tcp
  bind 127.0.0.1:${ports.ipv4}
  bind [::1]:${ports.ipv6}
  bind unix@${folder.path("clients")}
  unique-id-format %{+X}o%ci:%cp-%Ts
  default_backend sluice
backend sluice
  mode tcp
  server it ${address} ${options}`,
    );
    const { ipv4, ipv6 } = haproxy.ports;
    await expectTold(backend, sluice, ipv4, "127.0.0.5");
    await expectTold(backend, sluice, { host: "::1", port: ipv6 }, "::1");
    await expectTold(backend, sluice, { unix: folder.path("clients") }, undefined);
  },
);

test.skipIf(lacks("nginx", "ngx_stream_module.so"))(
  "the client that nginx tells of is the one that it has",
  async () => {
    await using backend = await listen();
    await using sluice = await startSluice({ config: accepting(backend.address) });
    const address = await sluice.address("web");
    using folder = socketFolder();
    await using nginx = await startNginx(["ipv4", "ipv6"], ({ ports }) => ({
      stream: `
  server {
    listen 127.0.0.1:${ports.ipv4};
    listen [::1]:${ports.ipv6};
    listen unix:${folder.path("clients")};
    proxy_pass ${address};
    proxy_protocol on;
    proxy_half_close on;
  }`,
    }));
    const { ipv4, ipv6 } = nginx.ports;
    await expectTold(backend, sluice, ipv4, "127.0.0.5");
    await expectTold(backend, sluice, { host: "::1", port: ipv6 }, "::1");
    await expectTold(backend, sluice, { unix: folder.path("clients") }, undefined);
  },
);

test.skipIf(lacks("haproxy", "openssl"))(
  "name, protocol and client of haproxy's TLS are known to us, and to the backend that we tell of them",
  async () => {
    await using backend = await listen();
    const config = accepting(backend.address, { backend: 'send_proxy = "v2"' });
    await using sluice = await startSluice({ config });
    const address = await sluice.address("web");
    const ca = certificate("ca").certFile;
    await using haproxy = await startHaproxy(
      ["tls"],
      ({ ports, bundle }) => `
frontend clients
  mode tcp
  log-format "client %ci:%cp"
  bind 127.0.0.1:${ports.tls} ssl crt ${bundle(certificate("a"))} alpn h2,http/1.1 ca-file ${ca} verify required
  unique-id-format %{+X}o%ci:%cp-%Ts
  default_backend sluice
backend sluice
  mode tcp
  server it ${address} send-proxy-v2 proxy-v2-options ssl,cert-cn,cert-key,cert-sig,ssl-cipher,authority,crc32c,unique-id`,
    );
    const { certFile, keyFile } = certificate("client");
    const options = ["-servername", "a.test", "-alpn", "h2", "-cert", certFile, "-key", keyFile];
    const to = opensslClient(haproxy.ports.tls);
    await using client = start("openssl", [...to, "-quiet", "-no_ign_eof", ...options]);
    await client.type("what the client says");
    const served = await backend.accepted();
    await until(() => served.received > 0 && served.text().endsWith("what the client says"), "what the client says");
    await client.typed();
    await served.finished();
    await served.finish();
    const [record] = await sluice.recorded(1);
    const port = Number(/client 127\.0\.0\.1:(\d+)/.exec(await haproxy.program.says(/client \S+/))?.[1]);
    expect(record).toMatchObject({ client: `127.0.0.1:${port}`, sni: "a.test", end: "client_finished" });
    const addresses = ends([127, 0, 0, 1], [127, 0, 0, 1], [port, haproxy.ports.tls]);
    const tlvs = [tlv(tlvType.alpn, "h2"), tlv(tlvType.authority, "a.test")];
    const header = proxyV2(command.proxy, family.tcp4, addresses, ...tlvs);
    expect(served.bytes()).toEqual(joined(header, "what the client says"));
  },
);

test.skipIf(lacks("haproxy", "nginx", "ngx_stream_module.so", "curl", "openssl"))(
  "TLS behind the header of a balancer that passes it on ends here",
  async () => {
    using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("what the backend says") });
    const { certFile, keyFile } = certificate("a");
    const listener = `tls = { cert = "${certFile}", key = "${keyFile}" }`;
    await using sluice = await startSluice({ config: accepting(`127.0.0.1:${server.port}`, { listener }) });
    const address = await sluice.address("web");
    await using haproxy = await startHaproxy(
      ["v1", "v2"],
      ({ ports }) => `
listen v1
  mode tcp
  bind 127.0.0.1:${ports.v1}
  server it ${address} send-proxy
listen v2
  mode tcp
  bind 127.0.0.1:${ports.v2}
  server it ${address} send-proxy-v2`,
    );
    await using nginx = await startNginx(["v1"], ({ ports }) => ({
      stream: `server { listen 127.0.0.1:${ports.v1}; proxy_pass ${address}; proxy_protocol on; }`,
    }));
    for (const [index, port] of [haproxy.ports.v1, haproxy.ports.v2, nginx.ports.v1].entries()) {
      const options = ["--interface", "127.0.0.7", "-w", "\n%{local_ip}:%{local_port}"];
      const { stdout } = await call("curl", [...curlClient(port), ...options, `https://a.test:${port}/`]);
      const [answer, client] = stdout.split("\n");
      expect(answer).toBe("what the backend says");
      const records = await sluice.recorded(index + 1);
      expect(records[index]).toMatchObject({ client, sni: "a.test" });
      expect(client).toStartWith("127.0.0.7:");
    }
  },
);

test.skipIf(lacks("haproxy"))("haproxy's own checks, which are of nobody's, go through us", async () => {
  await using backend = await listen(async (peer) => {
    await peer.receivedBytes(4);
    await peer.send(peer.text() === "ping" ? "pong" : "what?");
  });
  await using sluice = await startSluice({ config: accepting(backend.address) });
  const address = await sluice.address("web");
  await using haproxy = await startHaproxy(
    ["state"],
    ({ ports }) => `
backend v1
  option tcp-check
  timeout check 5s
  tcp-check send ping
  tcp-check expect string pong
  server it ${address} send-proxy check-send-proxy check inter 50 rise 2 fall 1
backend v2
  option tcp-check
  timeout check 5s
  tcp-check send ping
  tcp-check expect string pong
  server it ${address} send-proxy-v2 check-send-proxy check inter 50 rise 2 fall 1
frontend state
  mode http
  bind 127.0.0.1:${ports.state}
  http-request return status 200 content-type text/plain lf-string "%[nbsrv(v1)] %[nbsrv(v2)]"`,
  );
  const records = await sluice.recorded(8);
  for (const record of records) {
    // It leaves with a reset as soon as it knows.
    expect(record).toMatchObject({ bytes_to_backend: 4, bytes_to_client: 4, end: "client_reset" });
    expect(record["client"]).toStartWith("127.0.0.1:");
  }
  expect(await (await fetch(`http://127.0.0.1:${haproxy.ports.state}/`)).text()).toBe("1 1");
});

test.skipIf(lacks("haproxy", "curl"))("a balancer that was not told to send a header gets nowhere", async () => {
  await using backend = await listen();
  await using sluice = await startSluice({ config: accepting(backend.address) });
  const address = await sluice.address("web");
  await using haproxy = await startHaproxy(
    ["http"],
    ({ ports }) => `
listen http
  mode http
  bind 127.0.0.1:${ports.http}
  server it ${address}`,
  );
  const { stdout } = await call("curl", [
    "-q",
    "-sS",
    "-w",
    "%{http_code}",
    "-o",
    "-",
    `http://127.0.0.1:${haproxy.ports.http}/`,
  ]);
  expect(stdout).toEndWith("502");
  expect(await sluice.recorded(1)).toMatchObject([
    { end: "proxy_header_invalid", reason: "no PROXY header", attempts: 0 },
  ]);
  expect(backend.connections).toEqual([]);
});

/**
 * A client that is served through a balancer and a listener that wants a PROXY header: bytes go both ways, the header to
 * nobody, and the record names the client. `from`: its address; without one the balancer has nothing to tell, and its own
 * connection is the client.
 */
async function expectTold(backend: Backend, sluice: Sluice, to: Target, from: string | undefined): Promise<void> {
  const before = sluice.records().length;
  await using client = await connect(to, from === undefined ? {} : { localAddress: from });
  const { localPort } = client;
  await client.send("what the client says");
  await client.finish();
  const served = await backend.accepted();
  await served.finished();
  expect(served.text()).toBe("what the client says");
  await served.send("what the backend says");
  await served.finish();
  await client.finished();
  expect(client.text()).toBe("what the backend says");
  const record = (await sluice.recorded(before + 1))[before]!;
  expect(record).toMatchObject({ bytes_to_backend: 20, bytes_to_client: 21, end: "client_finished" });
  if (from === undefined) expect(record["client"]).toStartWith("127.0.0.1:");
  else expect(record["client"]).toBe(`${from.includes(":") ? `[${from}]` : from}:${localPort}`);
}

/** A listener that wants a PROXY header, in front of one endpoint. */
function accepting(endpoint: string, { listener = "", backend = "" } = {}): string {
  return `
[[listener]]
name = "web"
listen = "127.0.0.1:0"
accept_proxy = "required"
backend = "app"
${listener}
[[backend]]
name = "app"
endpoints = ["${endpoint}"]
${backend}`;
}
