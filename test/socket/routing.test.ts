/** Routing: the first bytes of a client choose its backend, which gets them whole. */
import { describe, expect, test } from "bun:test";
import { connect as connectTls } from "node:tls";
import { systemClock } from "../../src/core/clock.ts";
import { drain, type DrainObserver } from "../../src/listener/drain.ts";
import type { RouteSettings } from "../../src/routing/route.ts";
import { openingBytesMax } from "../../src/session/opening.ts";
import { echo, listen, type Backend } from "../support/backend.ts";
import { tcpSockets } from "../support/descriptors.ts";
import { engineAfterMove, onEveryEngine } from "../support/engines.ts";
import { HeldDialer } from "../support/held-dialer.ts";
import { clientHello, httpRequest } from "../support/openings.ts";
import { payload } from "../support/payload.ts";
import { connect } from "../support/peer.ts";
import { joined } from "../support/joined.ts";
import { cutAt, sendPieces, ways } from "../support/pieces.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { routerOf, wayOf } from "../support/routes.ts";
import { chunkBytesMax } from "../support/stalled.ts";
import { refusedPort } from "../support/unreachable.ts";
import { until } from "../support/until.ts";

/** What a drain has to say is of no interest here. */
const quiet: DrainObserver = { left() {}, cut() {} };

/** The fields of a record that tell where a session went. */
interface Went {
  readonly route: string | null;
  readonly sni: string | null;
  readonly backend: string | null;
  readonly endpoint: string | null;
}

/** Nowhere: the client was not taken. */
const nowhere = { route: null, sni: null, backend: null, endpoint: null, attempts: 0, connect_ms: null, engine: null };

describe.each([
  {
    asked: { pathPrefix: "/api" },
    name: "path_prefix=/api",
    opening: httpRequest("/api/users?id=7", ["Host: a.example", "Content-Length: 5"], "POST"),
  },
  {
    asked: { host: "*.example.com" },
    name: "host=*.example.com",
    opening: httpRequest("/", ["Accept: */*", "Host: WWW.Example.com:8080"]),
  },
  {
    asked: { pathPrefix: "/api", host: "example.com" },
    name: "path_prefix=/api host=example.com",
    opening: httpRequest("http://example.com/x/../api/y", ["Host: example.com"]),
  },
  {
    asked: { sni: "*.db.example.com" },
    name: "sni=*.db.example.com",
    opening: clientHello({ serverName: "Pg.db.example.com" }),
    sni: "pg.db.example.com",
  },
  {
    asked: { sni: "db.example.com" },
    name: "sni=db.example.com",
    opening: clientHello({ serverName: "db.example.com", keyShareBytes: 1216, recordBytes: 100 }),
    sni: "db.example.com",
  },
  {
    asked: { alpn: "h2" },
    name: "alpn=h2",
    opening: clientHello({ serverName: "www.example.com", alpn: ["http/1.1", "h2"] }),
    sni: "www.example.com",
  },
  { asked: { alpn: "h2" }, name: "alpn=h2", opening: clientHello({ alpn: ["h2"] }) },
  { asked: { prefix: "SSH-2.0" }, name: "prefix=SSH-2.0", opening: joined("SSH-2.0-OpenSSH_9.9\r\n") },
  {
    asked: { prefix: "\\x00\\x00\\x00\\x08\\x04\\xd2\\x16\\x2f" },
    name: "prefix=\\x00\\x00\\x00\\x08\\x04\\xd2\\x16\\x2f",
    opening: Uint8Array.of(0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f),
  },
] as {
  asked: Partial<RouteSettings>;
  name: string;
  opening: Uint8Array;
  sni?: string;
}[])("an opening that fits $name", ({ asked, name, opening, sni = null }) => {
  test.each([...ways])("goes to the route's backend, whole, $way, and what is behind it follows", async ({ cut }) => {
    await using usual = await listen();
    await using chosen = await listen();
    await using proxy = startProxy(usual.port, { routes: [{ ...asked, to: "chosen", port: chosen.port }] });
    await using client = await connect(proxy.port);
    // In one segment with the opening's last bytes.
    const [...pieces] = cut(opening);
    pieces.push(joined(pieces.pop()!, "and what follows"));
    const router = routerOf([asked]);
    await sendPieces(proxy, client, pieces, {
      eachRead(bytes) {
        // It is decided with the very byte that decides.
        const isOpen = bytes < opening.length && wayOf(router, opening.subarray(0, bytes)) === "more";
        expect(proxy.sessions[0]!.phase === "inspecting").toBe(isOpen);
      },
    });
    await client.finish();
    const peer = await chosen.accepted();
    await peer.finished();
    expect(peer.bytes()).toEqual(joined(opening, "and what follows"));
    await peer.send("answer");
    await peer.finish();
    await client.finished();
    expect(client.text()).toBe("answer");
    expect(await proxy.recorded()).toMatchObject({
      route: name,
      sni,
      backend: "chosen",
      endpoint: chosen.address,
      bytes_to_backend: opening.length + 16,
      bytes_to_client: 6,
      attempts: 1,
      end: "client_finished",
    });
    expect(usual.connections.length).toBe(0);
    expect([...proxy.ended]).toEqual([["client_finished", 1]]);
    expect(proxy.service.traffic.inspectTimeouts).toBe(0);
  });
});

/** Sends a request, and gives the record of the session that has carried it to one of the backends. */
async function requested(proxy: TestProxy, opening: Uint8Array): Promise<Went> {
  const before = proxy.records.length;
  await using client = await connect(proxy.port);
  await client.send(opening);
  await client.finish();
  await client.closed();
  const { route, sni, backend, endpoint } = await proxy.recorded(before + 1);
  return { route, sni, backend, endpoint };
}

test("the first route that fits decides, and without one the listener's own backend is taken", async () => {
  await using usual = await listen(echo);
  await using first = await listen(echo);
  await using second = await listen(echo);
  await using proxy = startProxy(usual.port, {
    routes: [
      { pathPrefix: "/a/b", to: "first", port: first.port },
      { pathPrefix: "/a", to: "second", port: second.port },
      { sni: "a.example", to: "second", port: second.port },
      { pathPrefix: "/a/b/c", to: "first", port: first.port },
    ],
  });
  const toFirst = { sni: null, backend: "first", endpoint: first.address };
  const toSecond = { sni: null, backend: "second", endpoint: second.address };
  const toUsual = { route: null, backend: "app", endpoint: usual.address };
  expect(await requested(proxy, httpRequest("/a/b/c"))).toEqual({ ...toFirst, route: "path_prefix=/a/b" });
  expect(await requested(proxy, httpRequest("/a/bc"))).toEqual({ ...toSecond, route: "path_prefix=/a" });
  expect(await requested(proxy, httpRequest("/ab"))).toEqual({ ...toUsual, sni: null });
  expect(await requested(proxy, clientHello({ serverName: "a.example" }))).toEqual({
    ...toSecond,
    route: "sni=a.example",
    sni: "a.example",
  });
  // A server name that no route wanted is known all the same.
  expect(await requested(proxy, clientHello({ serverName: "b.example" }))).toEqual({ ...toUsual, sni: "b.example" });
  expect(await requested(proxy, joined("SSH-2.0-x\r\n"))).toEqual({ ...toUsual, sni: null });
});

test("an earlier route that is undecided holds a later one back that fits", async () => {
  await using usual = await listen();
  await using byHost = await listen();
  await using byPath = await listen();
  await using proxy = startProxy(usual.port, {
    routes: [
      { host: "a.example", to: "by_host", port: byHost.port },
      { pathPrefix: "/x", to: "by_path", port: byPath.port },
    ],
  });
  await using client = await connect(proxy.port);
  await sendPieces(proxy, client, [joined("GET /x HTTP/1.1\r\n"), joined("Accept: */*\r\n")]);
  expect(proxy.sessions[0]!.phase).toBe("inspecting");
  await client.send("Host: a.example\r\n\r\n");
  const peer = await byHost.accepted();
  await peer.receivedBytes(49);
  expect(peer.text()).toBe("GET /x HTTP/1.1\r\nAccept: */*\r\nHost: a.example\r\n\r\n");
  peer.reset();
  expect(await proxy.recorded()).toMatchObject({ route: "host=a.example", backend: "by_host", end: "backend_reset" });
  expect(byPath.connections.length + usual.connections.length).toBe(0);
});

test("a ClientHello as a real TLS client sends it is read, and passed on as it is", async () => {
  // What the client says, seen by a server that does not answer.
  await using ear = await listen();
  const options = { host: "127.0.0.1", servername: "www.example.com", ALPNProtocols: ["h2", "http/1.1"] };
  const socket = connectTls({ ...options, port: ear.port });
  socket.on("error", () => {});
  const heard = await ear.accepted();
  await heard.receivedBytes(5);
  const [, , , high, low] = heard.bytes();
  await heard.receivedBytes(5 + high! * 256 + low!);
  const hello = heard.bytes();
  socket.destroy();

  await using usual = await listen(echo);
  await using chosen = await listen(echo);
  const routes = [{ sni: "*.example.com", alpn: "h2", to: "chosen", port: chosen.port }];
  await using proxy = startProxy(usual.port, { routes });
  expect(await requested(proxy, hello)).toEqual({
    route: "sni=*.example.com alpn=h2",
    sni: "www.example.com",
    backend: "chosen",
    endpoint: chosen.address,
  });
  expect(chosen.connections[0]!.bytes()).toEqual(hello);
});

test("without a backend for the rest, a client that no route takes is reset, and nothing is dialled", async () => {
  await using chosen = await listen();
  await using proxy = startProxy([], {
    noDefault: true,
    routes: [{ sni: "a.example", to: "chosen", port: chosen.port }],
  });
  for (const [index, opening] of [httpRequest("/"), clientHello({ serverName: "b.example" })].entries()) {
    await using client = await connect(proxy.port);
    const address = `127.0.0.1:${client.localPort}`;
    await client.send(opening);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(client.received).toBe(0);
    const sni = index === 0 ? null : "b.example";
    const expected = { ...nowhere, client: address, sni, bytes_to_backend: 0, end: "no_route" };
    expect(await proxy.recorded(index + 1)).toMatchObject(expected);
  }
  expect(chosen.connections.length).toBe(0);
  expect([...proxy.ended]).toEqual([["no_route", 2]]);
});

test("an opening of more than 64 KiB stops the client while its backend is dialled, and arrives whole", async () => {
  const dialer = new HeldDialer();
  const upload = payload(1, 2_000_000);
  const head = httpRequest("/upload", ["Content-Length: 2000000"], "PUT");
  await using usual = await listen();
  await using chosen = await listen();
  const routes = [{ pathPrefix: "/upload", to: "chosen", port: chosen.port }];
  await using proxy = startProxy(usual.port, { routes, dialer });
  await using client = await connect(proxy.port);
  void client.send(joined(head, upload.slice(0, 600_000)));
  void client.send(upload.slice(600_000, 1_400_000));
  void client.finish();
  await dialer.holds(1);
  const session = proxy.sessions[0]!;
  await until(() => session.opening?.paused === true, "the client to be paused");
  expect(session.phase).toBe("dialing");
  expect(session.heldBytes).toBeGreaterThanOrEqual(openingBytesMax);
  expect(session.heldBytes).toBeLessThan(openingBytesMax + chunkBytesMax);
  dialer.release();
  const peer = await chosen.accepted();
  await peer.receivedPayload(upload, { from: head.length });
  await peer.finished();
  expect(await peer.read(head.length)).toEqual(new Uint8Array(head));
  expect(peer.received).toBe(head.length + upload.length);
  await peer.finish();
  await client.finished();
  expect(await proxy.recorded()).toMatchObject({
    route: "path_prefix=/upload",
    bytes_to_backend: head.length + upload.length,
    end: "client_finished",
  });
});

test("a head without an end is decided within its bound: it fits no route, and goes whole to the backend for the rest", async () => {
  await using usual = await listen();
  await using chosen = await listen();
  await using proxy = startProxy(usual.port, { routes: [{ host: "a.example", to: "chosen", port: chosen.port }] });
  await using client = await connect(proxy.port);
  const endless = joined(
    "GET / HTTP/1.1\r\n",
    ...Array.from({ length: 3_000 }, (_, index) => `X-${index}: ${"x".repeat(30)}\r\n`),
  );
  expect(endless.length).toBeGreaterThan(100_000);
  await client.send(endless);
  await client.finish();
  const peer = await usual.accepted();
  await peer.finished();
  expect(peer.bytes()).toEqual(endless);
  await peer.finish();
  expect(await proxy.recorded()).toMatchObject({ route: null, backend: "app", bytes_to_backend: endless.length });
  expect(chosen.connections.length).toBe(0);
});

describe("a client that finishes within its opening", () => {
  /** Starts what `body` needs: a route for TLS clients that want a.example. */
  async function finishing(
    opening: Uint8Array,
    noDefault: boolean,
    body: (
      proxy: TestProxy,
      usual: Backend,
      chosen: Backend,
      client: Awaited<ReturnType<typeof connect>>,
    ) => Promise<void>,
  ): Promise<void> {
    await using usual = await listen();
    await using chosen = await listen();
    await using proxy = startProxy(usual.port, {
      noDefault,
      routes: [{ sni: "a.example", to: "chosen", port: chosen.port }],
    });
    await using client = await connect(proxy.port);
    await client.send(opening);
    await client.finish();
    await body(proxy, usual, chosen, client);
  }

  const hello = clientHello({ serverName: "a.example" });

  test.each([
    { what: "half of it", opening: hello.subarray(0, 100) },
    { what: "all but its last byte", opening: hello.subarray(0, -1) },
    { what: "not a byte", opening: new Uint8Array() },
  ])("after $what goes to the backend for the rest, with its FIN", async ({ opening }) => {
    await finishing(opening, false, async (proxy, usual, chosen, client) => {
      const peer = await usual.accepted();
      await peer.finished();
      expect(peer.bytes()).toEqual(new Uint8Array(opening));
      await peer.send("what do you want?");
      await peer.finish();
      await client.finished();
      expect(client.text()).toBe("what do you want?");
      const end = "client_finished";
      expect(await proxy.recorded()).toMatchObject({ route: null, sni: null, bytes_to_backend: opening.length, end });
      expect(chosen.connections.length).toBe(0);
      expect(proxy.service.traffic.inspectTimeouts).toBe(0);
    });
  });

  test("behind its last byte goes where the route says, with its FIN", async () => {
    await finishing(hello, false, async (proxy, usual, chosen) => {
      const peer = await chosen.accepted();
      await peer.finished();
      expect(peer.bytes()).toEqual(hello);
      await peer.finish();
      expect(await proxy.recorded()).toMatchObject({ route: "sni=a.example", end: "client_finished" });
      expect(usual.connections.length).toBe(0);
    });
  });

  test("ends with no_route where there is no backend for the rest", async () => {
    await finishing(hello.subarray(0, 100), true, async (proxy, usual, chosen, client) => {
      expect(await client.wasReset()).toBe("ECONNRESET");
      expect(await proxy.recorded()).toMatchObject({ ...nowhere, end: "no_route" });
      expect(usual.connections.length + chosen.connections.length).toBe(0);
      expect(proxy.service.traffic.inspectTimeouts).toBe(0);
    });
  });
});

test("a client that finishes within its opening and resets while the backend for the rest is dialled is a reset client", async () => {
  const dialer = new HeldDialer();
  await using usual = await listen();
  await using proxy = startProxy(usual.port, { dialer, routes: [{ prefix: "AB", to: "chosen", port: usual.port }] });
  await using client = await connect(proxy.port);
  await client.send("A");
  await client.finish();
  await dialer.holds(1);
  client.reset();
  expect(await proxy.recorded()).toMatchObject({
    backend: "app",
    attempts: 1,
    bytes_to_backend: 0,
    end: "client_reset",
  });
  expect(dialer.cancelled).toBe(1);
  expect(usual.connections.length).toBe(0);
});

describe("timeouts.inspect", () => {
  const timeouts = { inspectMs: 100 };

  onEveryEngine((engine) => {
    test("over, a client that says nothing hears the backend for the rest, which speaks first", async () => {
      await using usual = await listen((peer) => peer.send("220 ready\r\n"));
      await using chosen = await listen();
      const routes = [{ prefix: "SSH-", to: "chosen", port: chosen.port }];
      await using proxy = startProxy(usual.port, { engine, routes, timeouts });
      await using client = await connect(proxy.port);
      await client.receivedBytes(11);
      expect(proxy.service.traffic.inspectTimeouts).toBe(1);
      const peer = await usual.accepted();
      await proxy.forwarding();
      await client.send("EHLO a.example\r\n");
      await peer.receivedBytes(16);
      await peer.send("250 ok\r\n");
      await client.receivedBytes(19);
      await client.finish();
      await peer.finished();
      await peer.finish();
      await client.finished();
      expect(client.text()).toBe("220 ready\r\n250 ok\r\n");
      expect(peer.text()).toBe("EHLO a.example\r\n");
      const record = await proxy.recorded();
      expect(record).toMatchObject({
        route: null,
        backend: "app",
        endpoint: usual.address,
        engine: engineAfterMove[engine],
        end: "client_finished",
      });
      expect(record.first_byte_ms).toBeGreaterThanOrEqual(100);
      expect(chosen.connections.length).toBe(0);
    });

    test("over, half an opening goes to the backend for the rest, and the other half behind it", async () => {
      await using usual = await listen();
      await using chosen = await listen();
      const routes = [{ host: "a.example", to: "chosen", port: chosen.port }];
      await using proxy = startProxy(usual.port, { engine, routes, timeouts });
      await using client = await connect(proxy.port);
      const [first, second] = cutAt(httpRequest("/", ["Host: a.example"]), 20);
      await client.send(first!);
      const peer = await usual.accepted();
      await peer.receivedBytes(20);
      expect(proxy.service.traffic.inspectTimeouts).toBe(1);
      await client.send(second!);
      await client.finish();
      await peer.finished();
      expect(peer.bytes()).toEqual(joined(first!, second!));
      await peer.finish();
      expect(await proxy.recorded()).toMatchObject({
        route: null,
        engine: engineAfterMove[engine],
        end: "client_finished",
      });
      expect(chosen.connections.length).toBe(0);
    });
  });

  test.each([
    { what: "nothing", opening: "" },
    { what: "half an opening", opening: "GET / HT" },
  ])("over, a client that has sent $what is reset where there is no backend for the rest", async ({ opening }) => {
    await using chosen = await listen();
    const routes = [{ host: "a.example", to: "chosen", port: chosen.port }];
    await using proxy = startProxy([], { noDefault: true, routes, timeouts });
    await using client = await connect(proxy.port);
    await client.send(opening);
    expect(await client.wasReset()).toBe("ECONNRESET");
    const record = await proxy.recorded();
    expect(record).toMatchObject({ ...nowhere, bytes_to_backend: 0, end: "no_route" });
    expect(record.duration_ms).toBeGreaterThanOrEqual(100);
    expect(proxy.service.traffic.inspectTimeouts).toBe(1);
    expect([...proxy.ended]).toEqual([["no_route", 1]]);
  });

  test("means nothing to a session whose route is decided", async () => {
    await using chosen = await listen(echo);
    const routes = [{ prefix: "A", to: "chosen", port: chosen.port }];
    await using proxy = startProxy([], { noDefault: true, routes, timeouts: { inspectMs: 500 } });
    await using client = await connect(proxy.port);
    const beganMs = performance.now();
    await client.send("A");
    await client.receivedBytes(1);
    await until(() => performance.now() - beganMs >= 1_000, "twice its length");
    await client.send("B");
    await client.receivedBytes(2);
    await client.finish();
    expect(await proxy.recorded()).toMatchObject({ route: "prefix=A", end: "client_finished" });
    expect(proxy.service.traffic.inspectTimeouts).toBe(0);
  });
});

onEveryEngine((engine) => {
  test("what comes later on a connection follows its first request, whatever it asks for, in bulk too", async () => {
    await using usual = await listen();
    await using chosen = await listen();
    const routes = [{ pathPrefix: "/api", to: "chosen", port: chosen.port }];
    await using proxy = startProxy(usual.port, { engine, routes });
    await using client = await connect(proxy.port);
    const first = httpRequest("/api/1");
    const second = httpRequest("/other/2");
    await client.send(first);
    const peer = await chosen.accepted();
    await peer.receivedBytes(first.length);
    await peer.send("answer 1");
    await client.receivedBytes(8);
    await client.send(second);
    await peer.receivedBytes(first.length + second.length);
    expect(peer.bytes()).toEqual(joined(first, second));
    const upload = payload(2, 3_000_000);
    const download = payload(3, 3_000_000);
    const uploaded = peer.receivedPayload(upload, { from: first.length + second.length });
    const downloaded = client.receivedPayload(download, { from: 8 });
    void client.send(upload);
    void peer.send(download);
    await uploaded;
    await downloaded;
    await client.finish();
    await peer.finished();
    await peer.finish();
    await client.finished();
    expect(await proxy.recorded()).toMatchObject({
      route: "path_prefix=/api",
      backend: "chosen",
      bytes_to_backend: first.length + second.length + 3_000_000,
      bytes_to_client: 3_000_008,
      attempts: 1,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
    expect(usual.connections.length).toBe(0);
  });

  test("a reset of a routed session's backend arrives at its client", async () => {
    await using usual = await listen();
    await using chosen = await listen();
    const routes = [{ prefix: "A", to: "chosen", port: chosen.port }];
    await using proxy = startProxy(usual.port, { engine, routes });
    await using client = await connect(proxy.port);
    await client.send("A");
    const peer = await chosen.accepted();
    await proxy.forwarding();
    await client.send("B");
    await peer.receivedBytes(2);
    await peer.send("last words");
    peer.reset();
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(client.text()).toBe("last words");
    const { end, engine: moved } = await proxy.recorded();
    expect({ end, moved }).toEqual({ end: "backend_reset", moved: engineAfterMove[engine] });
  });
});

test("two routes to one backend are told apart in the records", async () => {
  await using usual = await listen(echo);
  await using chosen = await listen(echo);
  await using proxy = startProxy(usual.port, {
    routes: [
      { prefix: "A", to: "chosen", port: chosen.port },
      { prefix: "B", to: "chosen", port: chosen.port },
    ],
  });
  for (const opening of ["A", "B", "A"]) await requested(proxy, joined(opening));
  expect(proxy.records.map(({ route, backend }) => `${route} ${backend}`)).toEqual([
    "prefix=A chosen",
    "prefix=B chosen",
    "prefix=A chosen",
  ]);
  expect(proxy.routed.get("chosen")!.endpoints[0]!.connected).toBe(3);
});

test("a listener without routes waits for no byte: a backend that speaks first is heard, and a silent client is no timeout", async () => {
  await using backend = await listen((peer) => peer.send("220 ready\r\n"));
  await using proxy = startProxy(backend.port, { timeouts: { inspectMs: 50 } });
  await using client = await connect(proxy.port);
  await client.receivedBytes(11);
  expect((await backend.accepted()).received).toBe(0);
  const beganMs = performance.now();
  await until(() => performance.now() - beganMs >= 150, "three times timeouts.inspect");
  expect(client.ending).toBeUndefined();
  client.reset();
  expect(await proxy.recorded()).toMatchObject({ route: null, bytes_to_client: 11, end: "client_reset" });
  expect(proxy.service.traffic.inspectTimeouts).toBe(0);
});

test("a route whose backend refuses ends with connect_refused; the backend for the rest is not asked", async () => {
  using refused = refusedPort();
  await using usual = await listen();
  await using proxy = startProxy(usual.port, { routes: [{ prefix: "A", to: "chosen", port: refused.port }] });
  await using client = await connect(proxy.port);
  await client.send("A");
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({
    route: "prefix=A",
    backend: "chosen",
    endpoint: refused.address,
    attempts: 1,
    bytes_to_backend: 0,
    reason: "ECONNREFUSED",
    end: "connect_refused",
  });
  expect(usual.connections.length).toBe(0);
});

describe("a session that is inspecting", () => {
  test.each([
    { what: "before a byte", opening: "" },
    { what: "within its opening", opening: "GET /a" },
  ])("ends when its client resets $what, and nobody is dialled", async ({ opening }) => {
    await using usual = await listen();
    await using proxy = startProxy(usual.port, { routes: [{ pathPrefix: "/a", to: "chosen", port: usual.port }] });
    await using client = await connect(proxy.port);
    const address = `127.0.0.1:${client.localPort}`;
    await until(() => proxy.sessions.length === 1, "the session");
    await sendPieces(proxy, client, [joined(opening)]);
    client.reset();
    expect(await proxy.recorded()).toMatchObject({
      ...nowhere,
      client: address,
      bytes_to_backend: 0,
      end: "client_reset",
    });
    expect(usual.connections.length).toBe(0);
    expect([...proxy.ended]).toEqual([["client_reset", 1]]);
  });

  test("is reset when its end is requested, and the first reason stays", async () => {
    await using usual = await listen();
    await using proxy = startProxy(usual.port, { routes: [{ pathPrefix: "/a", to: "chosen", port: usual.port }] });
    await using client = await connect(proxy.port);
    await until(() => proxy.sessions.length === 1, "the session");
    await sendPieces(proxy, client, [joined("GET /")]);
    const session = proxy.sessions[0]!;
    session.requestEnd("drain_deadline");
    session.requestEnd("forced");
    expect(session.phase).toBe("closed");
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({ ...nowhere, end: "drain_deadline" });
    expect(proxy.records.length).toBe(1);
  });

  test("when a drain begins is served as before, and the drain waits for it", async () => {
    await using usual = await listen(echo);
    await using chosen = await listen(echo);
    await using proxy = startProxy(usual.port, { routes: [{ prefix: "AB", to: "chosen", port: chosen.port }] });
    await using client = await connect(proxy.port);
    await until(() => proxy.sessions.length === 1, "the session");
    await sendPieces(proxy, client, [joined("A")]);
    const drained = drain({ deadlineMs: 10_000, idleMs: 0 }, proxy.service, systemClock, quiet);
    const listens = (): boolean => tcpSockets(proxy.port).some(({ state }) => state === "LISTEN");
    await until(() => !listens(), "the listener to be closed");
    expect(proxy.sessions[0]!.phase).toBe("inspecting");
    await client.send("B and more");
    await client.finish();
    await client.finished();
    expect(client.text()).toBe("AB and more");
    expect(await drained).toEqual({ cut: 0 });
    expect(await proxy.recorded()).toMatchObject({ route: "prefix=AB", backend: "chosen", end: "client_finished" });
  });

  test("is cut when the drain's deadline is over", async () => {
    await using usual = await listen();
    await using proxy = startProxy(usual.port, { routes: [{ prefix: "AB", to: "chosen", port: usual.port }] });
    await using client = await connect(proxy.port);
    await until(() => proxy.sessions.length === 1, "the session");
    await sendPieces(proxy, client, [joined("A")]);
    const cuts: string[] = [];
    const observer: DrainObserver = { left() {}, cut: ({ client: who }) => void cuts.push(who) };
    const settings = { deadlineMs: 200, idleMs: 0 };
    expect(await drain(settings, proxy.service, systemClock, observer)).toEqual({ cut: 1 });
    expect(cuts).toEqual([`127.0.0.1:${client.localPort}`]);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({ ...nowhere, end: "drain_deadline" });
    expect(usual.connections.length).toBe(0);
  });

  test.each([
    { what: "its client's bytes", silent: false },
    { what: "its timeout", silent: true },
  ])("ends with internal_error, and no other does, when a mistake is made at $what", async ({ silent }) => {
    await using usual = await listen(echo);
    const routes = [{ prefix: "AB", to: "chosen", port: usual.port }];
    await using proxy = startProxy(usual.port, { routes, timeouts: { inspectMs: 100 } });
    const { router } = proxy.service.settings.inspection!;
    const { decide } = router!;
    router!.decide = () => {
      throw new Error("a mistake in the router");
    };
    await using client = await connect(proxy.port);
    if (!silent) await client.send("A");
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({ ...nowhere, end: "internal_error" });
    expect(proxy.internalErrors.splice(0).map(({ message }) => message)).toEqual(["a mistake in the router"]);
    router!.decide = decide;
    expect(await requested(proxy, joined("AB"))).toMatchObject({ backend: "chosen" });
  });

  test("holds its permit: the next client waits, and is let in when it ends", async () => {
    await using usual = await listen(echo);
    await using proxy = startProxy(usual.port, {
      limit: 1,
      routes: [{ prefix: "AB", to: "chosen", port: usual.port }],
    });
    await using first = await connect(proxy.port);
    await until(() => proxy.sessions.length === 1, "the session");
    await sendPieces(proxy, first, [joined("A")]);
    await using second = await connect(proxy.port);
    await second.send("AB");
    await second.finish();
    expect(proxy.service.listener.paused).toBe(true);
    expect(proxy.active.count).toBe(1);
    first.reset();
    await second.finished();
    expect(second.text()).toBe("AB");
    await proxy.recorded(2);
    expect(proxy.records.map(({ end }) => end)).toEqual(["client_reset", "client_finished"]);
  });
});
