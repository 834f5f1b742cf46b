/** Every timeout ends its sessions with its own word, never early, and takes everything back. */
import { expect, test } from "bun:test";
import { Backend as EndpointSet } from "../../src/backend/backend.ts";
import { Dialer } from "../../src/backend/dial.ts";
import { Endpoint } from "../../src/backend/endpoint.ts";
import { systemClock, type Clock } from "../../src/core/clock.ts";
import { TimerWheel } from "../../src/core/timer-wheel.ts";
import { Admission } from "../../src/listener/admission.ts";
import { Service } from "../../src/listener/service.ts";
import type { SessionTimeouts } from "../../src/session/deadlines.ts";
import { keepaliveAfterMs } from "../../src/session/keepalive.ts";
import type { AccessRecord } from "../../src/session/record.ts";
import { SessionRegistry } from "../../src/session/registry.ts";
import type { Session } from "../../src/session/session.ts";
import { ActiveConnections } from "../../src/stats/active-connections.ts";
import {
  IPPROTO_TCP,
  libc,
  SO_KEEPALIVE,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
} from "../../src/sys/libc.ts";
import { echo, listen } from "../support/backend.ts";
import { openDescriptors, tcpSocketsOf } from "../support/descriptors.ts";
import { connect, type Peer } from "../support/peer.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { refusedPort, silentHost } from "../support/unreachable.ts";
import { until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** linux/tcp.h */
const TCP_NODELAY = 1;

// connect

test("an endpoint that does not answer is given up, the next is tried, and then the client is reset", async () => {
  await using first = await silentHost();
  await using second = await silentHost();
  await using proxy = startProxy([first.port, second.port], { timeouts: { connectMs: 150 } });
  await using client = await connect(proxy.port);
  await until(() => first.attempts() === 1, "the attempt at the first endpoint");
  await until(() => second.attempts() === 1, "the attempt at the second endpoint");
  expect(first.attempts()).toBe(0);
  expect(await client.wasReset()).toBe("ECONNRESET");
  const record = await proxy.recorded();
  expect(record).toMatchObject({
    end: "connect_timeout",
    attempts: 2,
    backend: "app",
    endpoint: second.address,
    connect_ms: null,
    first_byte_ms: null,
    engine: null,
    bytes_to_backend: 0,
    bytes_to_client: 0,
  });
  expect(record.duration_ms).toBeGreaterThanOrEqual(300);
  expect(second.attempts()).toBe(0);
  expect(tcpSocketsOf().filter(({ state }) => state === "SYN_SENT")).toEqual([]);
  expect(proxy.backend.endpoints.map(({ failures, connected }) => [failures, connected])).toEqual([
    [1, 0],
    [1, 0],
  ]);
});

test("a client whose first endpoint does not answer is served by the next and sees nothing of it", async () => {
  await using silent = await silentHost();
  await using backend = await listen(echo);
  await using proxy = startProxy([silent.port, backend.port], { timeouts: { connectMs: 150 } });
  await using client = await connect(proxy.port);
  await client.send("sent while the silent endpoint was tried");
  await client.finish();
  await client.finished();
  expect(client.text()).toBe("sent while the silent endpoint was tried");
  const record = await proxy.recorded();
  expect(record).toMatchObject({ end: "client_finished", attempts: 2, endpoint: backend.address });
  expect(record.first_byte_ms).toBeGreaterThanOrEqual(150);
  // The successful attempt alone is measured.
  expect(record.connect_ms).toBeLessThan(record.first_byte_ms! - 149);
  expect(silent.attempts()).toBe(0);
});

test("the last failed attempt names the end: a refusal after a timeout is connect_refused", async () => {
  await using silent = await silentHost();
  using refused = refusedPort();
  await using proxy = startProxy([silent.port, refused.port], { timeouts: { connectMs: 100 } });
  await using client = await connect(proxy.port);
  await client.wasReset();
  expect(await proxy.recorded()).toMatchObject({ end: "connect_refused", attempts: 2, endpoint: refused.address });
});

test("an attempt that was given up does not come to life when its host wakes up", async () => {
  await using host = await silentHost();
  await using proxy = startProxy(host.port, { timeouts: { connectMs: 100 }, retries: 0 });
  {
    await using client = await connect(proxy.port);
    await client.wasReset();
  }
  expect((await proxy.recorded()).end).toBe("connect_timeout");
  const backend = await host.open();
  await using client = await connect(proxy.port);
  const accepted = await backend.accepted();
  await client.finish();
  await accepted.finished();
  accepted.close();
  expect((await proxy.recorded(2)).end).toBe("client_finished");
  expect(backend.connections.length).toBe(1);
});

// response

test("a backend that answers nothing ends the session with response_timeout; one byte of an answer, or a client that asks nothing, does not", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { timeouts: { responseMs: 200 } });
  await using quiet = await connect(proxy.port);
  await using answered = await connect(proxy.port);
  await answered.send("question");
  await until(() => backend.connections.length === 2, "two sessions");
  const answering = backend.connections[1]!;
  await answering.receivedBytes(8);
  await answering.send("!");
  await answered.receivedBytes(1);
  await using unanswered = await connect(proxy.port);
  await unanswered.send("question");
  await until(() => backend.connections.length === 3, "the third session");
  const silent = backend.connections[2]!;
  await silent.receivedBytes(8);
  expect(await unanswered.wasReset()).toBe("ECONNRESET");
  expect(await silent.wasReset()).toBe("ECONNRESET");
  const record = await proxy.recorded();
  expect(record).toMatchObject({
    end: "response_timeout",
    bytes_to_backend: 8,
    bytes_to_client: 0,
    first_byte_ms: null,
    engine: "copy",
  });
  expect(record.connect_ms).not.toBeNull();
  expect(record.duration_ms).toBeGreaterThanOrEqual(200);
  // Both are older than the one that was ended.
  expect(proxy.sessions.length).toBe(2);
  expect([quiet.ending, answered.ending]).toEqual([undefined, undefined]);
});

// idle

test("a session in which nothing moves ends with idle_timeout; one byte in either direction restarts it", async () => {
  const idleMs = 200;
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { timeouts: { idleMs } });
  await using asking = await connect(proxy.port);
  await backend.accepted();
  await using told = await connect(proxy.port);
  const telling = await backend.accepted();
  // Two sessions of silence, one after the other, are the measure of time.
  for (let round = 1; round <= 2; round++) {
    await using silent = await connect(proxy.port);
    await until(() => {
      void asking.send("x");
      void telling.send("y");
      return silent.ending !== undefined;
    }, "the silent session to be ended");
    expect(silent.ending).toEqual({ how: "reset", code: "ECONNRESET" });
    const record = await proxy.recorded(round);
    expect(record).toMatchObject({ end: "idle_timeout", bytes_to_backend: 0, bytes_to_client: 0 });
    expect(record.duration_ms).toBeGreaterThanOrEqual(idleMs);
  }
  expect([asking.ending, told.ending]).toEqual([undefined, undefined]);
  // Now they fall silent as well.
  await asking.wasReset();
  await told.wasReset();
  await telling.wasReset();
  const records = [await proxy.recorded(3), await proxy.recorded(4)];
  expect(records.map(({ end }) => end)).toEqual(["idle_timeout", "idle_timeout"]);
  for (const { duration_ms } of records) expect(duration_ms).toBeGreaterThanOrEqual(3 * idleMs);
  const bytes = records.map(({ bytes_to_backend, bytes_to_client }) => `${bytes_to_backend} ${bytes_to_client}`);
  expect(bytes.toSorted()).toEqual([`${asking.sent} 0`, `0 ${telling.sent}`].toSorted());
});

test("bytes that a slow reader does not take are no activity: the session ends although more is queued for it", async () => {
  const idleMs = 200;
  const chunk = new Uint8Array(1024 * 1024);
  await using backend = await listen(async (peer) => {
    // Far more than all buffers on the way hold.
    for (let sent = 0; sent < 64; sent++) await peer.send(chunk, Infinity);
  });
  await using proxy = startProxy(backend.port, { timeouts: { idleMs } });
  await using client = await connect(proxy.port, { paused: true });
  const record = await proxy.recorded();
  expect(record.end).toBe("idle_timeout");
  expect(record.duration_ms).toBeGreaterThanOrEqual(idleMs);
  expect(record.bytes_to_client).toBeGreaterThan(0);
  // More had come from the backend than the client's connection has taken: it was queued, and did not count.
  expect(backend.connections[0]!.sent).toBeGreaterThan(record.bytes_to_client);
  client.resumeReading();
  expect(await client.wasReset()).toBe("ECONNRESET");
});

test("a reader that is slow but reads on keeps its session alive until it stops", async () => {
  const idleMs = 250;
  const chunk = new Uint8Array(1024 * 1024);
  await using backend = await listen(async (peer) => {
    await peer.read(1);
    while (peer.text() === "m") await peer.send(chunk, Infinity);
  });
  await using proxy = startProxy(backend.port, { timeouts: { idleMs } });
  await using slow = await connect(proxy.port, { paused: true, receiveBufferBytes: 256 * 1024 });
  await slow.send("m");
  for (let round = 1; round <= 2; round++) {
    await using silent = await connect(proxy.port);
    await silent.send("s");
    await until(async () => {
      const before = slow.received;
      slow.resumeReading();
      await slow.receivedBytes(before + 1);
      slow.pauseReading();
      return silent.ending !== undefined;
    }, "the silent session to be ended");
    expect(await proxy.recorded(round)).toMatchObject({ end: "idle_timeout", bytes_to_backend: 1, bytes_to_client: 0 });
  }
  expect(slow.ending).toBeUndefined();
  const record = await proxy.recorded(3);
  expect(record.end).toBe("idle_timeout");
  expect(record.duration_ms).toBeGreaterThanOrEqual(3 * idleMs);
});

// half_closed

test("after the client's FIN a backend that sends nothing for half_closed is reset, and the client with it", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { timeouts: { halfClosedMs: 200 } });
  await using whole = await connect(proxy.port);
  await backend.accepted();
  await using half = await connect(proxy.port);
  const other = await backend.accepted();
  await half.send("all I had to say");
  await half.finish();
  await other.finished();
  expect(await half.wasReset()).toBe("ECONNRESET");
  expect(await other.wasReset()).toBe("EPIPE");
  const record = await proxy.recorded();
  expect(record).toMatchObject({ end: "half_closed_timeout", bytes_to_backend: 16, bytes_to_client: 0 });
  expect(record.duration_ms).toBeGreaterThanOrEqual(200);
  expect(whole.ending).toBeUndefined();
});

test("after the backend's FIN a client that sends nothing for half_closed is reset, and the backend with it", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { timeouts: { halfClosedMs: 200 } });
  await using client = await connect(proxy.port);
  const half = await backend.accepted();
  await half.send("all there is");
  await half.finish();
  await client.finished();
  expect(client.text()).toBe("all there is");
  expect(await half.wasReset()).toBe("ECONNRESET");
  expect(await client.wasReset()).toBe("EPIPE");
  const record = await proxy.recorded();
  expect(record).toMatchObject({ end: "half_closed_timeout", bytes_to_backend: 0, bytes_to_client: 12 });
  expect(record.duration_ms).toBeGreaterThanOrEqual(200);
});

test("while the other direction of a half-closed session moves, half_closed does not end it", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { timeouts: { halfClosedMs: 200 } });
  await using client = await connect(proxy.port);
  const answering = await backend.accepted();
  await client.finish();
  await answering.finished();
  for (let round = 1; round <= 2; round++) {
    await using silent = await connect(proxy.port);
    await backend.accepted();
    await silent.finish();
    await until(() => {
      void answering.send("a piece of the answer");
      return silent.ending !== undefined;
    }, "the silent session to be ended");
    expect((await proxy.recorded(round)).end).toBe("half_closed_timeout");
  }
  await answering.send("the end");
  await answering.finish();
  await client.finished();
  expect(client.text()).toEndWith("a piece of the answerthe end");
  expect(client.received).toBe(answering.sent);
  expect(await proxy.recorded(3)).toMatchObject({ end: "client_finished", bytes_to_client: answering.sent });
});

// lifetime

test("a connection that is busy all the time is ended by its lifetime", async () => {
  await using backend = await listen(echo);
  await using proxy = startProxy(backend.port, { timeouts: { lifetimeMs: 250 } });
  await using client = await connect(proxy.port);
  await until(() => {
    if (client.ending === undefined) void client.send("busy ");
    return client.ending !== undefined;
  }, "the lifetime to be over");
  expect(client.ending).toEqual({ how: "reset", code: "ECONNRESET" });
  const record = await proxy.recorded();
  expect(record.end).toBe("lifetime");
  expect(record.duration_ms).toBeGreaterThanOrEqual(250);
  expect(record.bytes_to_client).toBeGreaterThan(5);
});

test("a connection whose backend is still being dialled is ended by its lifetime", async () => {
  await using host = await silentHost();
  await using proxy = startProxy(host.port, { timeouts: { lifetimeMs: 150 } });
  await using client = await connect(proxy.port);
  expect(await client.wasReset()).toBe("ECONNRESET");
  const record = await proxy.recorded();
  expect(record).toMatchObject({ end: "lifetime", attempts: 1, connect_ms: null, engine: null });
  expect(record.duration_ms).toBeGreaterThanOrEqual(150);
  expect(host.attempts()).toBe(0);
});

// drain_idle

test("once a drain has begun, silence for shutdown.idle ends a session with drain_idle, and only silence", async () => {
  await using backend = await listen(echo);
  await using proxy = startProxy(backend.port);
  await using silent = await connect(proxy.port);
  await using busy = await connect(proxy.port);
  await until(() => backend.connections.length === 2, "both sessions");
  await until(() => proxy.sessions.every(({ phase }) => phase === "forwarding"), "both to forward");
  const ages = proxy.sessions.map((session) => session.activeAtMs!);
  proxy.registry.beginDrain(200);
  await until(() => {
    void busy.send("busy ");
    return silent.ending !== undefined;
  }, "the silent session to be ended");
  expect(performance.now()).toBeGreaterThanOrEqual(Math.min(...ages) + 200);
  expect((await proxy.recorded()).end).toBe("drain_idle");
  expect(busy.ending).toBeUndefined();
  await busy.wasReset();
  expect((await proxy.recorded(2)).end).toBe("drain_idle");
});

// Several listeners

test("sessions of two listeners keep to the timeouts of their own", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { timeouts: { idleMs: 450 } });
  await using other = new SecondListener(proxy, { idleMs: 150 });
  await using long = await connect(proxy.port);
  await using short = await connect(other.port);
  await short.wasReset();
  expect(long.ending).toBeUndefined();
  expect(other.records[0]).toMatchObject({ listener: "second", end: "idle_timeout" });
  expect(other.records[0]!.duration_ms).toBeGreaterThanOrEqual(150);
  await long.wasReset();
  const record = await proxy.recorded();
  expect(record).toMatchObject({ listener: "web", end: "idle_timeout" });
  expect(record.duration_ms).toBeGreaterThanOrEqual(450);
});

test("bytes that move right after the event loop was held up count as of now, not as of the last tick before", async () => {
  const clock = new VirtualClock();
  await using backend = await listen(echo);
  await using proxy = new ProxyOnClock(clock, backend.port, 0, { idleMs: 300 });
  await using client = await connect(proxy.port);
  await client.send("one");
  await client.receivedBytes(3);
  await clock.advance(100);
  // Longer than the timeout: the kernel holds the bytes meanwhile, and the loop reads them before it looks at its timers.
  clock.stall(1_000);
  await client.send("two");
  await client.receivedBytes(6);
  await clock.advance(250);
  expect(proxy.session.phase).toBe("forwarding");
  await clock.advance(200);
  expect(proxy.records.map(({ end, duration_ms }) => [end, duration_ms >= 1_400])).toEqual([["idle_timeout", true]]);
});

// Options of the sockets

test("a session that has reached a certain age gets keepalive on both sockets: tcp.keepalive, then three probes", async () => {
  const clock = new VirtualClock();
  await using backend = await listen();
  await using proxy = new ProxyOnClock(clock, backend.port, 30_000);
  await using client = await connect(proxy.port);
  await backend.accepted();
  await until(() => proxy.session.phase === "forwarding", "the session to forward");
  const sockets = proxySockets(proxy.port, client, backend.port);
  const figures = (): number[][] =>
    sockets.map((fd) => [
      option(fd, SOL_SOCKET, SO_KEEPALIVE),
      option(fd, IPPROTO_TCP, TCP_KEEPIDLE),
      option(fd, IPPROTO_TCP, TCP_KEEPINTVL),
      option(fd, IPPROTO_TCP, TCP_KEEPCNT),
    ]);
  await clock.advance(keepaliveAfterMs - 1);
  expect(figures().map(([on]) => on)).toEqual([0, 0]);
  await clock.advance(51);
  expect(figures()).toEqual([
    [1, 30, 10, 3],
    [1, 30, 10, 3],
  ]);
  client.reset();
  await until(() => proxy.records.length === 1, "the access record");
  expect(proxy.records[0]).toMatchObject({ end: "client_reset" });
  expect(clock.pendingTimers).toBe(0);
});

test("a session that is still dialling at that age gets keepalive once it forwards", async () => {
  const clock = new VirtualClock();
  await using host = await silentHost();
  await using proxy = new ProxyOnClock(clock, host.port, 30_000);
  await using client = await connect(proxy.port);
  await until(() => host.attempts() === 1, "the attempt");
  await clock.advance(keepaliveAfterMs + 100);
  const backend = await host.open();
  await backend.accepted();
  await until(() => proxy.session.phase === "forwarding", "the session to forward");
  await clock.advance(100);
  const sockets = proxySockets(proxy.port, client, backend.port);
  expect(sockets.map((fd) => option(fd, SOL_SOCKET, SO_KEEPALIVE))).toEqual([1, 1]);
});

test("with tcp.keepalive off, sockets are not probed at any age", async () => {
  const clock = new VirtualClock();
  await using backend = await listen();
  await using proxy = new ProxyOnClock(clock, backend.port, 0);
  await using client = await connect(proxy.port);
  await backend.accepted();
  await until(() => proxy.session.phase === "forwarding", "the session to forward");
  await clock.advance(60_000);
  const sockets = proxySockets(proxy.port, client, backend.port);
  expect(sockets.map((fd) => option(fd, SOL_SOCKET, SO_KEEPALIVE))).toEqual([0, 0]);
});

test.each([true, false])("tcp.no_delay = %p is what both sockets have", async (noDelay) => {
  await using backend = await listen(echo);
  await using proxy = startProxy(backend.port, { settings: { noDelay } });
  await using client = await connect(proxy.port);
  await client.send("through");
  await client.receivedBytes(7);
  const sockets = proxySockets(proxy.port, client, backend.port);
  expect(sockets.map((fd) => option(fd, IPPROTO_TCP, TCP_NODELAY))).toEqual(noDelay ? [1, 1] : [0, 0]);
});

// Support

const defaults: SessionTimeouts = {
  connectMs: 60_000,
  responseMs: 0,
  idleMs: 3_600_000,
  halfClosedMs: 60_000,
  lifetimeMs: 0,
};

/** A further listener in front of a proxy's backend: with timeouts of its own, on the same wheel. */
class SecondListener {
  readonly records: AccessRecord[] = [];
  readonly #service: Service;

  constructor(proxy: TestProxy, timeouts: Partial<SessionTimeouts>) {
    const settings = {
      listener: { name: "second", host: "127.0.0.1", port: 0 },
      timeouts: { ...defaults, ...timeouts },
      keepaliveMs: 30_000,
      noDelay: true,
    };
    this.#service = new Service(settings, proxy.backend, {
      clock: systemClock,
      wheel: proxy.wheel,
      dialer: proxy.dialer,
      registry: proxy.registry,
      admission: new Admission(proxy.active, 10_000, "queue"),
      access: (record) => this.records.push(record),
      internalError: (error) => proxy.internalErrors.push(error),
    });
    this.#service.listener.open();
  }

  get port(): number {
    return portOf(this.#service);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#service.listener.close(AbortSignal.abort());
  }
}

/** A proxy whose time is the test's to move. Its connections are real. */
class ProxyOnClock {
  readonly records: AccessRecord[] = [];
  readonly #registry = new SessionRegistry();
  readonly #wheel: TimerWheel;
  readonly #service: Service;

  constructor(clock: Clock, backendPort: number, keepaliveMs: number, timeouts: Partial<SessionTimeouts> = {}) {
    const address = { kind: "tcp", host: "127.0.0.1", port: backendPort } as const;
    this.#wheel = new TimerWheel(clock, (error) => {
      throw error;
    });
    const listener = { name: "web", host: "127.0.0.1", port: 0 };
    const backend = new EndpointSet("app", [new Endpoint(address, address)], 0);
    this.#service = new Service(
      { listener, timeouts: { ...defaults, ...timeouts }, keepaliveMs, noDelay: true },
      backend,
      {
        clock,
        wheel: this.#wheel,
        dialer: new Dialer(),
        registry: this.#registry,
        admission: new Admission(new ActiveConnections(), 10_000, "queue"),
        access: (record) => this.records.push(record),
        internalError: (error) => {
          throw error;
        },
      },
    );
    this.#service.listener.open();
  }

  get port(): number {
    return portOf(this.#service);
  }

  /** The only session. */
  get session(): Session {
    const [session] = this.#registry.open;
    if (session === undefined) throw new Error("no session is open");
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#registry.endAll("forced");
    expect(this.#wheel.size).toBe(0);
    await this.#service.listener.close(AbortSignal.abort());
  }
}

function portOf({ listener }: Service): number {
  return Number(listener.address.split(":").at(-1));
}

/** The descriptors of the proxy's two sockets of the only session: the client's side and the backend's. */
function proxySockets(proxyPort: number, client: Peer, backendPort: number): number[] {
  const sockets = tcpSocketsOf();
  const toClient = sockets.find((it) => it.localPort === proxyPort && it.remotePort === client.localPort);
  const toBackend = sockets.find((it) => it.remotePort === backendPort);
  return [toClient, toBackend].map((socket) => {
    const found = openDescriptors().find(({ target }) => target === `socket:[${socket?.inode}]`);
    if (found === undefined) throw new Error(`a socket of the proxy was not found: ${JSON.stringify(socket)}`);
    return found.fd;
  });
}

function option(fd: number, level: number, name: number): number {
  return libc!.getOption(fd, level, name);
}
