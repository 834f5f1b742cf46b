/** The PROXY protocol: headers that clients begin with, and those that backends are sent. */
import { describe, expect, test } from "bun:test";
import { CidrSet } from "../../src/core/cidr.ts";
import { peekProxyHeader } from "../../src/protocol/proxy-header.ts";
import { echo, listen } from "../support/backend.ts";
import { engineAfterMove, onEveryEngine } from "../support/engines.ts";
import { HeldDialer } from "../support/held-dialer.ts";
import { bindLoopback, closeDescriptor, listenOn } from "../support/libc.ts";
import { clientHello, httpRequest } from "../support/openings.ts";
import { payload } from "../support/payload.ts";
import { connect, type Peer } from "../support/peer.ts";
import { joined } from "../support/joined.ts";
import { cutAt, sendPieces, ways } from "../support/pieces.ts";
import { command, ends, ends4, ends6, family, proxyV1, proxyV2, tlv, tlvType } from "../support/proxy-headers.ts";
import { startProxy } from "../support/proxy.ts";
import { refusedPort, silentHost } from "../support/unreachable.ts";
import { until } from "../support/until.ts";
import { VirtualProxy } from "../support/virtual-proxy.ts";

/** What a record says of a client that was never forwarded. */
const nowhere = {
  route: null,
  backend: null,
  endpoint: null,
  bytes_to_backend: 0,
  bytes_to_client: 0,
  connect_ms: null,
  attempts: 0,
  engine: null,
};

const values = joined(
  tlv(tlvType.noop, new Uint8Array(3)),
  tlv(tlvType.authority, "db.example.com"),
  tlv(tlvType.alpn, "h2"),
);

describe("a client that begins with a header", () => {
  describe.each([
    { what: "of version 1, TCP over IPv4", header: proxyV1(), client: "203.0.113.7:40000" },
    {
      what: "of version 1, TCP over IPv6",
      header: joined("PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n"),
      client: "[2001:db8::7]:40000",
    },
    {
      what: "of version 1, IPv4 inside IPv6",
      header: joined("PROXY TCP6 ::ffff:203.0.113.7 2001:db8::1 40000 443\r\n"),
      client: "203.0.113.7:40000",
    },
    { what: "of version 1, UNKNOWN", header: joined("PROXY UNKNOWN\r\n") },
    { what: "of version 1, UNKNOWN with something behind", header: joined("PROXY UNKNOWN 1.2.3.4 5.6.7.8 1 2\r\n") },
    {
      what: "of version 2, TCP over IPv4",
      header: proxyV2(command.proxy, family.tcp4, ends4),
      client: "203.0.113.7:40000",
    },
    {
      what: "of version 2, TCP over IPv6",
      header: proxyV2(command.proxy, family.tcp6, ends6),
      client: "[2001:db8::7]:40000",
    },
    {
      what: "of version 2 with values",
      header: proxyV2(command.proxy, family.tcp4, ends4, values),
      client: "203.0.113.7:40000",
      sni: "db.example.com",
    },
    { what: "of version 2, LOCAL", header: proxyV2(command.local, family.unspecified) },
    {
      what: "of version 2, LOCAL with addresses, which mean nothing",
      header: proxyV2(command.local, family.tcp4, ends4),
    },
    { what: "of version 2, unspecified", header: proxyV2(command.proxy, family.unspecified) },
    {
      what: "of version 2, a Unix socket",
      header: proxyV2(command.proxy, family.unix, new Uint8Array(216).fill(0x61)),
    },
  ] as { what: string; header: Uint8Array; client?: string; sni?: string }[])("$what", (given) => {
    test.each([...ways])("is who it says; its backend gets the bytes behind the header, sent $way", async ({ cut }) => {
      await using backend = await listen();
      await using proxy = startProxy(backend.port, { acceptProxy: true });
      await using client = await connect(proxy.port);
      const socketAddress = `127.0.0.1:${client.localPort}`;
      await until(() => proxy.sessions.length === 1, "the session");
      const pieces = cut(joined(given.header, "hello"));
      await sendPieces(proxy, client, pieces, {
        headerBytes: given.header.length,
        eachRead(bytes) {
          expect(proxy.sessions[0]!.phase === "inspecting").toBe(bytes < given.header.length);
        },
      });
      await client.finish();
      const peer = await backend.accepted();
      await peer.finished();
      expect(peer.text()).toBe("hello");
      await peer.send("answer");
      await peer.finish();
      await client.finished();
      expect(client.text()).toBe("answer");
      expect(await proxy.recorded()).toMatchObject({
        client: given.client ?? socketAddress,
        route: null,
        sni: given.sni ?? null,
        backend: "app",
        bytes_to_backend: 5,
        bytes_to_client: 6,
        attempts: 1,
        end: "client_finished",
      });
      expect([...proxy.ended]).toEqual([["client_finished", 1]]);
      expect(proxy.service.traffic.inspectTimeouts).toBe(0);
    });
  });

  test.each([
    { version: 1, header: proxyV1() },
    { version: 2, header: proxyV2(command.proxy, family.tcp4, ends4, values) },
  ])("may have it cut in two anywhere (version $version)", async ({ header }) => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { acceptProxy: true });
    for (let cut = 1; cut <= header.length; cut++) {
      await using client = await connect(proxy.port);
      await until(() => proxy.sessions.length === 1, "the session");
      const [first, second] = cutAt(header, cut);
      await sendPieces(proxy, client, [first!], { headerBytes: header.length });
      await client.send(joined(second!, `cut at ${cut}`));
      await client.finish();
      await client.finished();
      expect(client.text()).toBe(`cut at ${cut}`);
      await proxy.recorded(cut);
    }
    expect(new Set(proxy.records.map(({ client }) => client))).toEqual(new Set(["203.0.113.7:40000"]));
  });

  test("and finishes behind it is forwarded as just that", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { acceptProxy: true });
    await using client = await connect(proxy.port);
    await client.send(proxyV1());
    await client.finish();
    const peer = await backend.accepted();
    await peer.finished();
    expect(peer.received).toBe(0);
    await peer.finish();
    await client.finished();
    const end = "client_finished";
    expect(await proxy.recorded()).toMatchObject({ client: "203.0.113.7:40000", bytes_to_backend: 0, end });
  });

  test("hears a backend that speaks first, before it has sent a byte of its own", async () => {
    await using backend = await listen((peer) => peer.send("220 ready\r\n"));
    await using proxy = startProxy(backend.port, { acceptProxy: true });
    await using client = await connect(proxy.port);
    await client.send(proxyV1());
    await client.receivedBytes(11);
    expect(client.text()).toBe("220 ready\r\n");
    client.reset();
    expect(await proxy.recorded()).toMatchObject({
      client: "203.0.113.7:40000",
      bytes_to_client: 11,
      end: "client_reset",
    });
  });

  test("with more than 64 KiB behind it in one go has all of it forwarded", async () => {
    const upload = payload(1, 3_000_000);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { acceptProxy: true });
    await using client = await connect(proxy.port);
    void client.send(joined(proxyV1(), upload.slice(0, 1_000_000)));
    void client.send(upload.slice(1_000_000, 2_000_000));
    void client.finish();
    const peer = await backend.accepted();
    await peer.receivedPayload(upload);
    await peer.finished();
    await peer.finish();
    await client.finished();
    expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 3_000_000, end: "client_finished" });
  });

  test.each([...ways])("goes where the bytes behind it say, sent $way", async ({ cut }) => {
    const request = httpRequest("/api/users", ["Host: a.example"]);
    const header = proxyV2(command.proxy, family.tcp6, ends6);
    await using usual = await listen();
    await using chosen = await listen();
    const routes = [{ host: "a.example", to: "chosen", port: chosen.port }];
    await using proxy = startProxy(usual.port, { acceptProxy: true, routes });
    await using client = await connect(proxy.port);
    await until(() => proxy.sessions.length === 1, "the session");
    await sendPieces(proxy, client, cut(joined(header, request)), { headerBytes: header.length });
    const peer = await chosen.accepted();
    await peer.receivedBytes(request.length);
    expect(peer.bytes()).toEqual(new Uint8Array(request));
    peer.reset();
    expect(await proxy.recorded()).toMatchObject({
      client: "[2001:db8::7]:40000",
      route: "host=a.example",
      backend: "chosen",
      bytes_to_backend: request.length,
      end: "backend_reset",
    });
    expect(usual.connections.length).toBe(0);
  });

  test("is decided by what it has sent behind it when timeouts.inspect is over", async () => {
    await using usual = await listen();
    const routes = [{ host: "a.example", to: "chosen", port: usual.port }];
    await using proxy = startProxy(usual.port, { acceptProxy: true, routes, timeouts: { inspectMs: 500 } });
    await using client = await connect(proxy.port);
    await client.send(joined(proxyV1(), "GET /"));
    const peer = await usual.accepted();
    await peer.receivedBytes(5);
    expect(peer.text()).toBe("GET /");
    peer.reset();
    expect(await proxy.recorded()).toMatchObject({ client: "203.0.113.7:40000", route: null, backend: "app" });
    expect(proxy.service.traffic.inspectTimeouts).toBe(1);
  });

  test("has the server name of its ClientHello in its record, whatever its header says", async () => {
    await using usual = await listen(echo);
    const routes = [{ sni: "none.example", to: "chosen", port: usual.port }];
    await using proxy = startProxy(usual.port, { acceptProxy: true, routes });
    const header = proxyV2(command.proxy, family.tcp4, ends4, values);
    for (const [index, opening] of [clientHello({ serverName: "a.example" }), joined("no TLS")].entries()) {
      await using client = await connect(proxy.port);
      await client.send(joined(header, opening));
      await client.finish();
      await client.finished();
      await proxy.recorded(index + 1);
    }
    expect(proxy.records.map(({ sni }) => sni)).toEqual(["a.example", "db.example.com"]);
  });
});

describe("a client whose header is wrong", () => {
  test.each([
    { what: "missing", header: joined("GET / HTTP/1.1\r\n\r\n") },
    { what: "in lower case", header: joined("proxy TCP4 203.0.113.7 198.51.100.1 40000 443\r\n") },
    { what: "of an unknown family", header: joined("PROXY UDP4 203.0.113.7 198.51.100.1 40000 443\r\n") },
    { what: "with a wrong address", header: joined("PROXY TCP4 203.0.113.777 198.51.100.1 40000 443\r\n") },
    { what: "with a wrong port", header: joined("PROXY TCP4 203.0.113.7 198.51.100.1 40000 65536\r\n") },
    { what: "without CR", header: joined("PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\n") },
    { what: "longer than a line may be", header: joined(`PROXY UNKNOWN ${"x".repeat(200)}\r\n`) },
    { what: "of version 3", header: proxyV2(0x31, family.tcp4, ends4) },
    { what: "of an unknown command", header: proxyV2(0x22, family.tcp4, ends4) },
    { what: "of UDP", header: proxyV2(command.proxy, 0x12, ends4) },
    { what: "too short for its addresses", header: proxyV2(command.proxy, family.tcp6, ends4) },
    {
      what: "with a value that goes beyond it",
      header: proxyV2(command.proxy, family.tcp4, ends4, Uint8Array.of(2, 0, 9)),
    },
    { what: "longer than any", header: proxyV2(command.proxy, family.tcp4, ends4, tlv(5, new Uint8Array(5_000))) },
  ])("$what, is reset, with the reason in its record, and nobody is dialled", async ({ header }) => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { acceptProxy: true });
    await using client = await connect(proxy.port);
    const address = `127.0.0.1:${client.localPort}`;
    // It may be reset before all is sent.
    void client.send(header);
    expect(await client.wasReset()).toBeOneOf(["ECONNRESET", "EPIPE"]);
    expect(client.received).toBe(0);
    const found = peekProxyHeader(header);
    const reason = found.kind === "invalid" ? found.why : "";
    expect(reason).not.toBe("");
    expect(await proxy.recorded()).toMatchObject({ ...nowhere, client: address, reason, end: "proxy_header_invalid" });
    expect(backend.connections.length).toBe(0);
    expect([...proxy.ended]).toEqual([["proxy_header_invalid", 1]]);
  });

  test("is reset with the first byte that is wrong, and not later", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { acceptProxy: true });
    await using client = await connect(proxy.port);
    await client.send("P");
    await until(() => proxy.sessions[0]?.heldBytes === 1, "the first byte to be read");
    expect(proxy.sessions[0]!.phase).toBe("inspecting");
    await client.send("O");
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({ end: "proxy_header_invalid" });
  });

  test.each([
    { what: "not there", header: new Uint8Array() },
    { what: "half there", header: proxyV1().subarray(0, 20) },
    { what: "there but for its last byte", header: proxyV2(command.proxy, family.tcp4, ends4).subarray(0, -1) },
  ])("being $what when timeouts.inspect is over, is reset", async ({ header }) => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { acceptProxy: true, timeouts: { inspectMs: 100 } });
    await using client = await connect(proxy.port);
    const address = `127.0.0.1:${client.localPort}`;
    await client.send(header);
    expect(await client.wasReset()).toBe("ECONNRESET");
    const record = await proxy.recorded();
    expect(record).toMatchObject({ ...nowhere, client: address, end: "inspect_timeout" });
    expect(record.duration_ms).toBeGreaterThanOrEqual(100);
    expect(proxy.service.traffic.inspectTimeouts).toBe(1);
    expect(backend.connections.length).toBe(0);
  });

  test.each([
    { what: "not there", header: new Uint8Array() },
    { what: "half there", header: proxyV1().subarray(0, 20) },
  ])("being $what when the client finishes, is reset", async ({ header }) => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { acceptProxy: true });
    await using client = await connect(proxy.port);
    await client.send(header);
    await client.finish();
    expect(await client.wasReset()).toBe("ECONNRESET");
    const reason = "finished before its PROXY header";
    expect(await proxy.recorded()).toMatchObject({ ...nowhere, reason, end: "inspect_failed" });
    expect(backend.connections.length).toBe(0);
    expect(proxy.service.traffic.inspectTimeouts).toBe(0);
  });

  test("and who resets within it is a reset client", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { acceptProxy: true });
    await using client = await connect(proxy.port);
    await until(() => proxy.sessions.length === 1, "the session");
    await sendPieces(proxy, client, [proxyV1().subarray(0, 20)]);
    client.reset();
    expect(await proxy.recorded()).toMatchObject({ ...nowhere, end: "client_reset" });
  });
});

describe("trusted", () => {
  test("has not the peer: it is reset before a byte is read, and counted once", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { acceptProxy: true, trusted: ["10.0.0.0/8", "127.0.0.2"], limit: 1 });
    for (let turn = 1; turn <= 3; turn++) {
      await using client = await connect(proxy.port);
      const address = `127.0.0.1:${client.localPort}`;
      expect(await client.wasReset()).toBe("ECONNRESET");
      expect(await proxy.recorded(turn)).toMatchObject({ ...nowhere, client: address, duration_ms: 0, end: "denied" });
    }
    expect([...proxy.ended]).toEqual([["denied", 3]]);
    expect(proxy.active.count).toBe(0);
    expect(backend.connections.length).toBe(0);
    // One that is trusted gets in: nobody holds a permit.
    await using trusted = await connect(proxy.port, { localAddress: "127.0.0.2" });
    await trusted.send(joined(proxyV1(), "hello"));
    const peer = await backend.accepted();
    await peer.receivedBytes(5);
    peer.reset();
    expect(await proxy.recorded(4)).toMatchObject({ client: "203.0.113.7:40000", end: "backend_reset" });
  });
});

describe("the address that a header carries", () => {
  /** Connects and sends a header with this source; resolves with how it ended, or with the echo of "hello". */
  async function outcome(port: number, header: Uint8Array): Promise<string> {
    await using client = await connect(port);
    await client.send(joined(header, "hello"));
    await client.finish();
    const { how } = await client.closed();
    return how === "finished" ? client.text() : how;
  }

  test("is what allow and deny see; LOCAL has that of the socket", async () => {
    await using backend = await listen(echo);
    const rules = { allow: ["203.0.113.0/24", "2001:db8::/32"], deny: ["203.0.113.66", "127.0.0.0/8"] };
    await using proxy = startProxy(backend.port, { acceptProxy: true, ...rules });
    expect(await outcome(proxy.port, proxyV1("203.0.113.7"))).toBe("hello");
    expect(await outcome(proxy.port, proxyV1("203.0.113.66", 1))).toBe("reset");
    expect(await outcome(proxy.port, proxyV1("198.51.100.9", 2))).toBe("reset");
    expect(await outcome(proxy.port, proxyV2(command.proxy, family.tcp6, ends6))).toBe("hello");
    expect(await outcome(proxy.port, joined("PROXY TCP6 ::ffff:203.0.113.66 ::1 3 4\r\n"))).toBe("reset");
    expect(await outcome(proxy.port, proxyV2(command.local, family.unspecified))).toBe("reset");
    await proxy.recorded(6);
    expect(proxy.records.map(({ client, end }) => `${client} ${end}`)).toEqual([
      "203.0.113.7:40000 client_finished",
      "203.0.113.66:1 denied",
      "198.51.100.9:2 denied",
      "[2001:db8::7]:40000 client_finished",
      "203.0.113.66:3 denied",
      expect.stringMatching(/^127\.0\.0\.1:\d+ denied$/),
    ]);
    expect([...proxy.ended].sort()).toEqual([
      ["client_finished", 2],
      ["denied", 4],
    ]);
    expect(backend.connections.length).toBe(2);
  });

  test("is what connections_per_ip counts, until its connection is over, however it ends", async () => {
    await using backend = await listen();
    await using usual = await listen(echo);
    const routes = [{ prefix: "held", to: "held", port: backend.port }];
    await using proxy = startProxy(usual.port, { acceptProxy: true, connectionsPerIp: 1, routes });
    await using held = await connect(proxy.port);
    await held.send(joined(proxyV1("203.0.113.7", 1), "held"));
    const peer = await backend.accepted();
    expect(await outcome(proxy.port, proxyV1("203.0.113.7", 2))).toBe("reset");
    expect(await proxy.recorded()).toMatchObject({ client: "203.0.113.7:2", end: "limit_per_ip" });
    // Others are others, and the socket's own address has nothing to do with it.
    expect(await outcome(proxy.port, proxyV1("203.0.113.8", 3))).toBe("hello");
    expect(await outcome(proxy.port, proxyV2(command.local, family.unspecified))).toBe("hello");
    peer.reset();
    expect(await held.wasReset()).toBe("ECONNRESET");
    await proxy.recorded(4);
    // One that ends while it is still being inspected gives its place back too.
    await using undecided = await connect(proxy.port);
    await undecided.send(joined(proxyV1("203.0.113.7", 4), "he"));
    await until(() => proxy.sessions[0]?.heldBytes === 2, "the opening to be read");
    expect(await outcome(proxy.port, proxyV1("203.0.113.7", 5))).toBe("reset");
    undecided.reset();
    await proxy.recorded(6);
    expect(await outcome(proxy.port, proxyV1("203.0.113.7", 6))).toBe("hello");
    await proxy.recorded(7);
    expect(Object.fromEntries(proxy.ended)).toEqual({
      limit_per_ip: 2,
      client_finished: 3,
      backend_reset: 1,
      client_reset: 1,
    });
  });

  test("is what rate_per_ip counts", async () => {
    await using backend = await listen(echo);
    const clients = { allow: new CidrSet([]), deny: new CidrSet([]), connectionsPerIp: 0, ratePerIp: 2 };
    const inspection = { header: true, tls: undefined, router: undefined };
    await using proxy = new VirtualProxy([backend.port], { service: { clients, inspection } });
    const seen: string[] = [];
    for (const source of ["203.0.113.7", "203.0.113.7", "203.0.113.7", "203.0.113.8", "203.0.113.7"]) {
      seen.push(await outcome(proxy.port, proxyV1(source)));
    }
    expect(seen).toEqual(["hello", "hello", "reset", "hello", "reset"]);
    await proxy.clock.advance(500);
    expect(await outcome(proxy.port, proxyV1("203.0.113.7"))).toBe("hello");
    expect(await outcome(proxy.port, proxyV1("203.0.113.7"))).toBe("reset");
    await proxy.recorded(7);
    expect(Object.fromEntries(proxy.ended)).toEqual({ client_finished: 4, limit_rate: 3 });
  });

  test("is what source_hash goes by: the same client has the same endpoint", async () => {
    await using one = await listen(echo);
    await using two = await listen(echo);
    await using three = await listen(echo);
    const backend = { balance: "source_hash" } as const;
    await using proxy = startProxy([one.port, two.port, three.port], { acceptProxy: true, backend });
    for (let turn = 0; turn < 2; turn++) {
      for (let host = 1; host <= 20; host++) {
        expect(await outcome(proxy.port, proxyV1(`203.0.113.${host}`, 1_000 + turn))).toBe("hello");
      }
    }
    await proxy.recorded(40);
    const endpoints = proxy.records.map(({ endpoint }) => endpoint);
    expect(endpoints.slice(20)).toEqual(endpoints.slice(0, 20));
    expect(new Set(endpoints)).toEqual(new Set([one.address, two.address, three.address]));
  });
});

/** A header of version 2 for a client of 127.0.0.1, byte by byte. */
function headerOf(clientPort: number, listenPort: number, ...rest: Uint8Array[]): Uint8Array {
  return proxyV2(command.proxy, family.tcp4, ends([127, 0, 0, 1], [127, 0, 0, 1], [clientPort, listenPort]), ...rest);
}

/** What `from` gets whole, once `to` has finished; both ends finish. */
async function allOf(client: Peer, peer: Peer): Promise<Uint8Array> {
  await client.finish();
  await peer.finished();
  await peer.finish();
  await client.finished();
  return peer.bytes();
}

describe("a backend that wants a header", () => {
  test("of version 1 gets the line, then the client's bytes", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { sendProxy: "v1" });
    await using client = await connect(proxy.port);
    const { localPort } = client;
    await client.send("hello");
    const line = `PROXY TCP4 127.0.0.1 127.0.0.1 ${localPort} ${proxy.port}\r\n`;
    const bytes = await allOf(client, await backend.accepted());
    expect(new TextDecoder().decode(bytes)).toBe(`${line}hello`);
    expect(peekProxyHeader(bytes)).toMatchObject({
      kind: "done",
      bytes: line.length,
      value: {
        version: 1,
        source: { host: "127.0.0.1", port: localPort },
        destination: { host: "127.0.0.1", port: proxy.port },
      },
    });
    // The header is ours, not the client's.
    expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 5, bytes_to_client: 0, end: "client_finished" });
  });

  test("of version 2 gets it, then the client's bytes", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { sendProxy: "v2" });
    await using client = await connect(proxy.port);
    const { localPort } = client;
    await client.send("hello");
    const bytes = await allOf(client, await backend.accepted());
    const ports = [localPort >> 8, localPort & 0xff, proxy.port >> 8, proxy.port & 0xff];
    const signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
    const header = Uint8Array.of(...signature, 0x21, 0x11, 0, 12, 127, 0, 0, 1, 127, 0, 0, 1, ...ports);
    expect(bytes).toEqual(joined(header, "hello"));
    expect(peekProxyHeader(bytes)).toMatchObject({ kind: "done", bytes: 28, value: { version: 2, command: "proxy" } });
    expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 5, bytes_to_client: 0, end: "client_finished" });
  });

  test.each([{ portable: false }, { portable: true }])(
    "gets it before anybody speaks: it may answer with its greeting (portable: $portable)",
    async ({ portable }) => {
      await using backend = await listen(async (peer) => {
        await peer.read(28);
        await peer.send("220 ready\r\n");
      });
      await using proxy = startProxy(backend.port, { sendProxy: "v2", portable });
      await using client = await connect(proxy.port);
      await client.receivedBytes(11);
      const peer = await backend.accepted();
      expect(peer.bytes()).toEqual(headerOf(client.localPort, proxy.port));
      expect(await allOf(client, peer)).toEqual(peer.bytes());
      expect(await proxy.recorded()).toMatchObject({
        bytes_to_backend: 0,
        bytes_to_client: 11,
        end: "client_finished",
      });
    },
  );

  test("gets it when it has sent, and finished, before it was asked", async () => {
    await using backend = await listen(async (peer) => {
      await peer.send("welcome and goodbye");
      await peer.finish();
    });
    await using proxy = startProxy(backend.port, { sendProxy: "v1" });
    await using client = await connect(proxy.port);
    const line = `PROXY TCP4 127.0.0.1 127.0.0.1 ${client.localPort} ${proxy.port}\r\n`;
    await client.finished();
    await client.finish();
    const peer = await backend.accepted();
    await peer.finished();
    expect(client.text()).toBe("welcome and goodbye");
    expect(peer.text()).toBe(line);
    expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 0, bytes_to_client: 19, end: "backend_finished" });
  });

  test("gets it before the bytes that came while it was dialled, once, after another refused", async () => {
    using refused = refusedPort();
    const { fd, port } = bindLoopback();
    listenOn(fd, 16);
    const dialer = new HeldDialer();
    await using backend = await listen();
    await using proxy = startProxy([refused.port, port, backend.port], { sendProxy: "v1", dialer });
    await using client = await connect(proxy.port);
    const { localPort } = client;
    await dialer.holds(1);
    await client.send("early");
    await until(() => proxy.sessions[0]!.heldBytes === 5, "the early bytes to be read");
    // The first refuses; the second is there, and resets before anybody has noticed.
    dialer.release();
    await dialer.holds(1);
    dialer.release();
    closeDescriptor(fd);
    await dialer.holds(1);
    dialer.release();
    const peer = await backend.accepted();
    await proxy.forwarding();
    await client.send(" and late");
    const bytes = await allOf(client, peer);
    const line = `PROXY TCP4 127.0.0.1 127.0.0.1 ${localPort} ${proxy.port}\r\n`;
    expect(new TextDecoder().decode(bytes)).toBe(`${line}early and late`);
    expect(await proxy.recorded()).toMatchObject({
      endpoint: backend.address,
      bytes_to_backend: 14,
      attempts: 3,
      end: "client_finished",
    });
    expect(proxy.backend.endpoints.map(({ connected, failures }) => [connected, failures])).toEqual([
      [0, 1],
      [0, 1],
      [1, 0],
    ]);
  });

  test("keeps no dial alive: it is taken back when the client resets", async () => {
    await using host = await silentHost();
    await using proxy = startProxy(host.port, { sendProxy: "v2" });
    await using client = await connect(proxy.port);
    await until(() => host.attempts() === 1, "the SYN to be sent");
    client.reset();
    expect(await proxy.recorded()).toMatchObject({ endpoint: host.address, attempts: 1, end: "client_reset" });
    expect(host.attempts()).toBe(0);
    expect(proxy.dialer.pending).toBe(0);
  });

  test("gets it after another one has taken too long, and nothing is left of that one's dial", async () => {
    await using host = await silentHost();
    await using backend = await listen(echo);
    await using proxy = startProxy([host.port, backend.port], { sendProxy: "v2", timeouts: { connectMs: 300 } });
    await using client = await connect(proxy.port);
    const header = headerOf(client.localPort, proxy.port);
    await client.finish();
    await client.finished();
    expect(client.bytes()).toEqual(header);
    expect(await proxy.recorded()).toMatchObject({ endpoint: backend.address, attempts: 2, end: "client_finished" });
    expect(host.attempts()).toBe(0);
  });

  test("hears of IPv6, and of IPv4 where a listener has both", async () => {
    await using six = await listen(undefined, { host: "::1" });
    await using proxy = startProxy(six.port, { sendProxy: "v1", host: "::1" });
    await using client = await connect({ host: "::1", port: proxy.port });
    const line = `PROXY TCP6 ::1 ::1 ${client.localPort} ${proxy.port}\r\n`;
    expect(new TextDecoder().decode(await allOf(client, await six.accepted()))).toBe(line);
    await proxy.recorded();

    await using four = await listen();
    await using both = startProxy(four.port, { sendProxy: "v2", listen: "[::]:0" });
    await using mapped = await connect(both.port);
    const header = headerOf(mapped.localPort, both.port);
    expect(await allOf(mapped, await four.accepted())).toEqual(header);
  });

  test("hears what the header said that the client came with, in the other version too", async () => {
    await using backend = await listen();
    const line = "PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\r\n";
    for (const [sendProxy, sent, header] of [
      ["v1", proxyV1(), joined(line)],
      ["v2", proxyV1(), proxyV2(command.proxy, family.tcp4, ends4)],
      ["v1", proxyV2(command.proxy, family.tcp4, ends4, values), joined(line)],
      ["v1", proxyV2(command.proxy, family.tcp6, ends6), joined("PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n")],
      [
        "v2",
        proxyV2(command.proxy, family.tcp4, ends4, values),
        proxyV2(command.proxy, family.tcp4, ends4, tlv(tlvType.alpn, "h2"), tlv(tlvType.authority, "db.example.com")),
      ],
    ] as const) {
      await using proxy = startProxy(backend.port, { acceptProxy: true, sendProxy });
      await using client = await connect(proxy.port);
      await client.send(joined(sent, "hello"));
      expect(await allOf(client, await backend.accepted())).toEqual(joined(header, "hello"));
      expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 5, end: "client_finished" });
    }
  });

  test("hears of the connection itself when the client's header says nothing", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { acceptProxy: true, sendProxy: "v2" });
    for (const [index, sent] of [
      joined("PROXY UNKNOWN\r\n"),
      proxyV2(command.local, family.unspecified),
      proxyV2(command.proxy, family.unix, new Uint8Array(216)),
    ].entries()) {
      await using client = await connect(proxy.port);
      const header = headerOf(client.localPort, proxy.port);
      await client.send(joined(sent, "hello"));
      expect(await allOf(client, await backend.accepted())).toEqual(joined(header, "hello"));
      await proxy.recorded(index + 1);
    }
  });

  test("hears of the server name that the client's TLS asks for, and gets its ClientHello untouched", async () => {
    await using backend = await listen();
    const routes = [{ sni: "*.example.com", to: "chosen", port: backend.port }];
    await using proxy = startProxy([], { noDefault: true, sendProxy: "v2", routes });
    await using client = await connect(proxy.port);
    const hello = clientHello({ serverName: "db.example.com", alpn: ["postgresql"] });
    const header = headerOf(client.localPort, proxy.port, tlv(tlvType.authority, "db.example.com"));
    await client.send(hello);
    expect(await allOf(client, await backend.accepted())).toEqual(joined(header, hello));
    expect(await proxy.recorded()).toMatchObject({ sni: "db.example.com", bytes_to_backend: hello.length });
  });
});

onEveryEngine((engine) => {
  test("headers come and go once, and count for nobody, when a session moves behind them", async () => {
    const upload = payload(2, 3_000_000);
    const download = payload(3, 3_000_000);
    await using usual = await listen();
    await using backend = await listen();
    const routes = [{ prefix: "hello", to: "chosen", port: backend.port }];
    await using proxy = startProxy(usual.port, { engine, acceptProxy: true, sendProxy: "v2", routes });
    await using client = await connect(proxy.port);
    await client.send(joined(proxyV1(), "hello"));
    const peer = await backend.accepted();
    const header = proxyV2(command.proxy, family.tcp4, ends4);
    expect(await peer.read(33)).toEqual(joined(header, "hello"));
    await proxy.forwarding();
    const uploaded = peer.receivedPayload(upload, { from: 33 });
    const downloaded = client.receivedPayload(download);
    void client.send(upload);
    void peer.send(download);
    await uploaded;
    await downloaded;
    await client.finish();
    await peer.finished();
    await peer.finish();
    await client.finished();
    expect(peer.received).toBe(3_000_033);
    expect(await proxy.recorded()).toMatchObject({
      client: "203.0.113.7:40000",
      route: "prefix=hello",
      bytes_to_backend: 3_000_005,
      bytes_to_client: 3_000_000,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });
});
