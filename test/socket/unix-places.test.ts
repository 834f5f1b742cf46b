/** Unix sockets as places: the files of listeners, endpoints that are there or not, clients without an address. */
import { describe, expect, test } from "bun:test";
import { lstatSync, renameSync, writeFileSync } from "node:fs";
import { SluiceError } from "../../src/core/error.ts";
import { libc } from "../../src/sys/libc.ts";
import { echo, listen } from "../support/backend.ts";
import { onEveryEngine } from "../support/engines.ts";
import { HeldDialer } from "../support/held-dialer.ts";
import { httpRequest } from "../support/openings.ts";
import { connect } from "../support/peer.ts";
import { joined } from "../support/joined.ts";
import { command, family, proxyV1, proxyV2 } from "../support/proxy-headers.ts";
import { startProxy } from "../support/proxy.ts";
import { socketFolder } from "../support/socket-folder.ts";
import { allSides, inside, Scene } from "../support/unix-scene.ts";
import { until } from "../support/until.ts";

/** Of a close that nobody cuts short. */
const never = new AbortController().signal;

onEveryEngine((engine) => {
  test("a listener keeps its file, and with it its accept queue, while it waits at its limit", async () => {
    await using scene = new Scene({ client: "unix", backend: "unix" }, { engine, limit: 2 }, echo);
    const { proxy, target, folder } = scene;
    const file = lstatSync(folder.path("front"));
    await using first = await inside(target);
    await using second = await inside(target);
    const waiting = await Promise.all(Array.from({ length: 10 }, () => connect(target)));
    await Promise.all(waiting.map((client, index) => client.send(`client ${index}`)));
    await until(() => proxy.service.listener.paused, "the listener to wait");
    expect(lstatSync(folder.path("front"))).toMatchObject({ ino: file.ino, dev: file.dev });
    expect(proxy.active.count).toBe(2);
    first.close();
    await second.finish();
    await second.finished();
    for (const [index, client] of waiting.entries()) {
      await client.receivedBytes(8);
      expect(client.text()).toBe(`client ${index}`);
      expect(proxy.active.count).toBeLessThanOrEqual(2);
      await client.finish();
      await client.finished();
    }
    await proxy.recorded(12);
    expect([...proxy.ended]).toEqual([["client_finished", 12]]);
    await until(() => !proxy.service.listener.paused, "the listener to go on");
    expect(lstatSync(folder.path("front")).ino).toBe(file.ino);
    await using last = await inside(target);
    last.close();
    await proxy.recorded(13);
  });

  test("a listener that closes serves everybody in its accept queue; its file is gone at once", async () => {
    await using scene = new Scene({ client: "unix", backend: "tcp" }, { engine }, echo);
    const { proxy, target, folder } = scene;
    // The kernel makes the connections within the calls; nobody accepts before the next turn of the event loop.
    const connecting = Array.from({ length: 50 }, () => connect(target));
    const closed = proxy.service.listener.close(never);
    expect(lstatSync(folder.path("front"), { throwIfNoEntry: false })).toBeUndefined();
    await expect(connect(target)).rejects.toMatchObject({ code: "ENOENT" });
    const clients = await Promise.all(connecting);
    for (const [index, client] of clients.entries()) await client.send(`client ${index}`);
    for (const client of clients) await client.finish();
    for (const [index, client] of clients.entries()) {
      await client.finished();
      expect(client.text()).toBe(`client ${index}`);
    }
    await closed;
    await proxy.recorded(50);
    expect([...proxy.ended]).toEqual([["client_finished", 50]]);
  });
});

describe("a listener on a Unix socket", () => {
  /** The permissions of a file, and whether it is a socket. */
  function modeOf(path: string): string {
    const stats = lstatSync(path);
    return `${stats.isSocket() ? "socket" : "no socket"} ${(stats.mode & 0o777).toString(8)}`;
  }

  test.each([
    { mode: undefined, seen: "660" },
    { mode: 0o600, seen: "600" },
    { mode: 0o666, seen: "666" },
  ])("has a file with the mode $seen, and none when it is closed", async ({ mode, seen }) => {
    using folder = socketFolder();
    await using backend = await listen();
    const path = folder.path("front");
    {
      await using proxy = startProxy(backend.port, { listen: `unix:${path}`, ...(mode === undefined ? {} : { mode }) });
      expect(proxy.service.listener.address).toBe(`unix:${path}`);
      expect(modeOf(path)).toBe(`socket ${seen}`);
    }
    expect(lstatSync(path, { throwIfNoEntry: false })).toBeUndefined();
  });

  test("replaces a file that nobody listens on", async () => {
    using folder = socketFolder();
    const path = folder.path("front");
    // Whoever made it has died.
    expect(libc!.close(libc!.bind(libc!.unixAddress(path)))).toBe(0);
    const stale = lstatSync(path);
    expect(stale.isSocket()).toBe(true);
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { listen: `unix:${path}` });
    await using client = await inside({ unix: path });
    client.close();
    expect(await proxy.recorded()).toMatchObject({ client: "unix:", end: "client_finished" });
  });

  test("refuses to start where another one listens, or a file lies that is no socket, and leaves it alone", async () => {
    using folder = socketFolder();
    const path = folder.path("front");
    await using backend = await listen(echo);
    {
      await using proxy = startProxy(backend.port, { listen: `unix:${path}` });
      const file = lstatSync(path);
      expect(() => startProxy(backend.port, { listen: `unix:${path}` })).toThrow(SluiceError);
      expect(() => startProxy(backend.port, { listen: `unix:${path}` })).toThrow(
        `cannot bind listener "web" to unix:${path}: the socket is in use by another program`,
      );
      expect(lstatSync(path).ino).toBe(file.ino);
      // Those who looked have left nothing behind but a connection that was closed at once.
      await proxy.recorded(2);
      await using client = await inside({ unix: path });
      client.close();
      expect(await proxy.recorded(3)).toMatchObject({ bytes_to_backend: 2, end: "client_finished" });
    }
    writeFileSync(path, "precious");
    expect(() => startProxy(backend.port, { listen: `unix:${path}` })).toThrow("a file is there, which is left alone");
    expect(await Bun.file(path).text()).toBe("precious");
  });

  test("leaves a file alone that has taken the place of its own", async () => {
    using folder = socketFolder();
    const path = folder.path("front");
    await using backend = await listen();
    {
      await using proxy = startProxy(backend.port, { listen: `unix:${path}` });
      expect(proxy.service.listener.paused).toBe(false);
      renameSync(path, folder.path("moved"));
      writeFileSync(path, "somebody else's");
    }
    expect(await Bun.file(path).text()).toBe("somebody else's");
  });

  test("that closes at its limit serves its accept queue first, never beyond the limit", async () => {
    let most = 0;
    await using scene = new Scene({ client: "unix", backend: "tcp" }, { limit: 2 }, async (peer) => {
      most = Math.max(most, scene.proxy.active.count);
      await echo(peer);
    });
    const { proxy, target, folder } = scene;
    const clients = await Promise.all(Array.from({ length: 12 }, () => connect(target)));
    await until(() => proxy.active.count === 2, "the limit to be reached");
    let state: "closing" | "closed" = "closing";
    const closed = proxy.service.listener.close(never).then(() => void (state = "closed"));
    expect(lstatSync(folder.path("front"), { throwIfNoEntry: false })).toBeUndefined();
    for (const [index, client] of clients.entries()) {
      if (index < 10) expect(state).toBe("closing");
      await client.send(`client ${index}`);
      await client.finish();
      await client.finished();
      expect(client.text()).toBe(`client ${index}`);
    }
    await closed;
    expect(most).toBe(2);
    await proxy.recorded(12);
    expect([...proxy.ended]).toEqual([["client_finished", 12]]);
  });

  test("whose close is cut short gives up its accept queue and leaves the open sessions alone", async () => {
    await using scene = new Scene({ client: "unix", backend: "tcp" }, { limit: 1 }, echo);
    await using open = await inside(scene.target);
    const waiting = await Promise.all(Array.from({ length: 5 }, () => connect(scene.target)));
    const abort = new AbortController();
    const closed = scene.proxy.service.listener.close(abort.signal);
    abort.abort();
    await closed;
    for (const client of waiting) {
      await client.gone();
      expect(client.received).toBe(0);
    }
    await open.send("still in");
    await open.receivedBytes(10);
    await open.finish();
    await open.finished();
    expect(await scene.proxy.recorded()).toMatchObject({ bytes_to_backend: 10, end: "client_finished" });
  });

  test('with overflow "reject" closes those beyond its limit', async () => {
    await using scene = new Scene({ client: "unix", backend: "tcp" }, { connections: 1, overflow: "reject" }, echo);
    await using open = await inside(scene.target);
    for (let turn = 1; turn <= 3; turn++) {
      await using client = await connect(scene.target);
      await client.gone();
      expect(client.received).toBe(0);
      const expected = { client: "unix:", attempts: 0, engine: null, end: "limit_listener" };
      expect(await scene.proxy.recorded(turn)).toMatchObject(expected);
    }
    expect(open.ending).toBeUndefined();
  });

  test("has clients without an address, to whom no rule by address applies", async () => {
    const rules = { allow: ["10.0.0.0/8"], deny: ["127.0.0.0/8"], connectionsPerIp: 1, ratePerIp: 1 };
    await using scene = new Scene({ client: "unix", backend: "tcp" }, rules, echo);
    await using first = await inside(scene.target);
    await using second = await inside(scene.target);
    await using third = await inside(scene.target);
    expect(scene.proxy.active.count).toBe(3);
    for (const client of [first, second, third]) client.close();
    await scene.proxy.recorded(3);
    expect([...scene.proxy.ended]).toEqual([["client_finished", 3]]);
  });

  test("without TCP_NODELAY, and with keepalive, which mean nothing there, forwards all the same", async () => {
    const settings = { noDelay: false, keepaliveMs: 1_000 };
    await using scene = new Scene({ client: "unix", backend: "unix" }, { settings }, echo);
    await using client = await inside(scene.target);
    scene.proxy.sessions[0]!.forwarder!.keepAlive(1_000);
    await client.finish();
    await client.finished();
    expect(await scene.proxy.recorded()).toMatchObject({
      bytes_to_backend: 2,
      bytes_to_client: 2,
      end: "client_finished",
    });
  });
});

describe("a client of a Unix socket that sends and closes while its route is looked for", () => {
  const sides = { client: "unix", backend: "unix" } as const;

  test("is forwarded to where its bytes say, whole", async () => {
    const request = httpRequest("/api", ["Content-Length: 4"], "POST");
    await using chosen = await listen();
    const routes = [{ pathPrefix: "/api", to: "chosen", port: chosen.port }];
    await using scene = new Scene(sides, { routes });
    await using client = await connect(scene.target);
    await client.send(joined(request, "body"));
    client.close();
    const peer = await chosen.accepted();
    await peer.finished();
    expect(peer.bytes()).toEqual(joined(request, "body"));
    await peer.finish();
    expect(await scene.proxy.recorded()).toMatchObject({ route: "path_prefix=/api", end: "client_finished" });
  });

  test("within its opening is forwarded to the backend for the rest", async () => {
    await using chosen = await listen();
    const routes = [{ pathPrefix: "/api", to: "chosen", port: chosen.port }];
    await using scene = new Scene(sides, { routes });
    await using client = await connect(scene.target);
    await client.send("GET /a");
    client.close();
    const peer = await scene.backend.accepted();
    await peer.finished();
    expect(peer.text()).toBe("GET /a");
    await peer.finish();
    expect(await scene.proxy.recorded()).toMatchObject({ route: null, bytes_to_backend: 6, end: "client_finished" });
  });

  test("ends as its word says when it can't be served, and everything is given back", async () => {
    using folder = socketFolder();
    const front = folder.path("front");
    const routes = [{ prefix: "A", to: "chosen", port: 1 }];
    await using proxy = startProxy([], { listen: `unix:${front}`, noDefault: true, routes });
    proxy.routed.get("chosen")!.setEndpoints([]);
    for (const opening of ["A", "B"]) {
      await using client = await connect({ unix: front });
      await client.send(opening);
      client.close();
      await proxy.recorded(opening === "A" ? 1 : 2);
    }
    expect(proxy.records.map(({ end }) => end)).toEqual(["no_endpoint", "no_route"]);
  });
});

describe("an endpoint on a Unix socket", () => {
  /** Both ways to dial: with a descriptor of our own, and with `Bun.connect` and a path. */
  const ways = [{ portable: false }, { portable: true }];

  test.each(ways)("that is not there is connect_refused, at once (portable: $portable)", async ({ portable }) => {
    using folder = socketFolder();
    await using proxy = startProxy(`unix:${folder.path("missing")}`, { portable });
    await using client = await connect(proxy.port);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({
      endpoint: `unix:${folder.path("missing")}`,
      bytes_to_backend: 0,
      connect_ms: null,
      attempts: 1,
      engine: null,
      reason: "ENOENT",
      end: "connect_refused",
    });
    expect(proxy.backend.endpoints[0]).toMatchObject({ connected: 0, failures: 1, active: 0 });
  });

  test.each(ways)("that nobody listens on is connect_refused (portable: $portable)", async ({ portable }) => {
    using folder = socketFolder();
    const path = folder.path("stale");
    expect(libc!.close(libc!.bind(libc!.unixAddress(path)))).toBe(0);
    await using proxy = startProxy(`unix:${path}`, { portable });
    await using client = await connect(proxy.port);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({ attempts: 1, reason: "ECONNREFUSED", end: "connect_refused" });
  });

  test.each(ways)(
    "gives way to the next one, and is forwarded to when it is there (portable: $portable)",
    async ({ portable }) => {
      using folder = socketFolder();
      const path = folder.path("back");
      await using other = await listen(echo);
      await using proxy = startProxy([`unix:${path}`, other.address], { portable, backend: { balance: "first" } });
      const visit = async (): Promise<void> => {
        await using client = await connect(proxy.port);
        await client.send("hello");
        await client.finish();
        await client.finished();
        expect(client.text()).toBe("hello");
      };
      await visit();
      expect(await proxy.recorded(1)).toMatchObject({ endpoint: other.address, attempts: 2, end: "client_finished" });
      await using backend = await listen(echo, { unix: path });
      await visit();
      expect(await proxy.recorded(2)).toMatchObject({ endpoint: backend.address, attempts: 1, end: "client_finished" });
      expect(backend.connections[0]!.text()).toBe("hello");
    },
  );

  test("whose accept queue is full has failed, and gives way to the next one", async () => {
    using folder = socketFolder();
    const path = folder.path("full");
    const address = libc!.unixAddress(path);
    const listening = libc!.bind(address);
    expect(libc!.listen(listening, 0)).toBe(0);
    const fillers: number[] = [];
    for (let fd = libc!.connectBegin(address); fd >= 0 && fillers.length < 10; fd = libc!.connectBegin(address))
      fillers.push(fd);
    expect(fillers.length).toBe(1);
    await using other = await listen(echo);
    await using proxy = startProxy([`unix:${path}`, other.address], { backend: { balance: "first" } });
    await using client = await inside(proxy.port);
    expect(proxy.backend.endpoints.map(({ connected, failures }) => [connected, failures])).toEqual([
      [0, 1],
      [1, 0],
    ]);
    proxy.backend.setEndpoints(proxy.backend.endpoints.slice(0, 1));
    await using late = await connect(proxy.port);
    expect(await late.wasReset()).toBe("ECONNRESET");
    const expected = { attempts: 1, reason: "EAGAIN", end: "connect_failed" };
    expect(await proxy.recorded()).toMatchObject(expected);
    for (const fd of [listening, ...fillers]) expect(libc!.close(fd)).toBe(0);
    client.close();
  });

  test("that closes its listener before the connection was noticed gives way to the next one", async () => {
    using folder = socketFolder();
    const path = folder.path("closing");
    const listening = libc!.bind(libc!.unixAddress(path));
    expect(libc!.listen(listening, 16)).toBe(0);
    const dialer = new HeldDialer();
    await using other = await listen(echo);
    await using proxy = startProxy([`unix:${path}`, other.address], { dialer, backend: { balance: "first" } });
    await using client = await connect(proxy.port);
    await dialer.holds(1);
    dialer.release();
    expect(libc!.close(listening)).toBe(0);
    await dialer.holds(1);
    dialer.release();
    await client.send("hello");
    await client.finish();
    await client.finished();
    expect(client.text()).toBe("hello");
    expect(await proxy.recorded()).toMatchObject({ endpoint: other.address, attempts: 2, end: "client_finished" });
  });
});

onEveryEngine((engine) => {
  test("the PROXY header of a client of a Unix socket says that nothing is known, in both versions", async () => {
    for (const [sendProxy, header] of [
      ["v1", joined("PROXY UNKNOWN\r\n")],
      ["v2", proxyV2(command.local, family.unspecified)],
    ] as const) {
      for (const sides of allSides.filter(({ client }) => client === "unix")) {
        await using scene = new Scene(sides, { engine, sendProxy });
        await using client = await connect(scene.target);
        await client.send("hello");
        const peer = await scene.backend.accepted();
        await scene.proxy.forwarding();
        await client.send(" again");
        await client.finish();
        await peer.finished();
        expect(peer.bytes()).toEqual(joined(header, "hello again"));
        await peer.finish();
        await client.finished();
        expect(await scene.proxy.recorded()).toMatchObject({ bytes_to_backend: 11, end: "client_finished" });
      }
    }
  });

  test("the PROXY header that such a client begins with is read, and passed on", async () => {
    const options = { engine, acceptProxy: true, sendProxy: "v1" } as const;
    await using scene = new Scene({ client: "unix", backend: "unix" }, options);
    await using client = await connect(scene.target);
    await client.send(joined(proxyV1(), "hello"));
    await client.finish();
    const peer = await scene.backend.accepted();
    await peer.finished();
    expect(peer.bytes()).toEqual(joined(proxyV1(), "hello"));
    await peer.finish();
    const expected = { client: "203.0.113.7:40000", bytes_to_backend: 5, end: "client_finished" };
    expect(await scene.proxy.recorded()).toMatchObject(expected);
  });

  test("the PROXY header is made of what is known though the client closed behind its bytes", async () => {
    for (const [sent, header] of [
      [proxyV1(), proxyV1()],
      [proxyV2(command.local, family.unspecified), joined("PROXY UNKNOWN\r\n")],
    ] as const) {
      const options = { engine, acceptProxy: true, sendProxy: "v1" } as const;
      await using scene = new Scene({ client: "unix", backend: "unix" }, options);
      await using client = await connect(scene.target);
      await client.send(joined(sent, "hello"));
      client.close();
      const peer = await scene.backend.accepted();
      await peer.finished();
      expect(peer.bytes()).toEqual(joined(header, "hello"));
      await peer.finish();
      expect(await scene.proxy.recorded()).toMatchObject({ bytes_to_backend: 5, end: "client_finished" });
    }
  });
});
