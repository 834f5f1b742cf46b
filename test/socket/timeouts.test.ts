/** Every timeout ends its sessions with its own word, never early, and takes everything back; on every engine. */
import { expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { Admission } from "../../src/listener/admission.ts";
import { Service } from "../../src/listener/service.ts";
import type { SessionTimeouts } from "../../src/session/deadlines.ts";
import type { AccessRecord } from "../../src/session/record.ts";
import { Traffic } from "../../src/stats/traffic.ts";
import { echo, listen } from "../support/backend.ts";
import { ClockedProxy } from "../support/clocked-proxy.ts";
import { tcpSocketsOf } from "../support/descriptors.ts";
import { engineAfterMove, engineBeforeMove, moverOf, onEveryEngine, type EngineUnderTest } from "../support/engines.ts";
import { connect } from "../support/peer.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { plainTarget, serviceSettings } from "../support/service-settings.ts";
import { refusedPort, silentHost } from "../support/unreachable.ts";
import { recordsInto } from "../support/records.ts";
import { until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

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

onEveryEngine((engine) => {
  // response

  test("a backend that answers nothing ends the session with response_timeout; one byte of an answer, or a client that asks nothing, does not", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine, timeouts: { responseMs: 200 } });
    await using quiet = await connect(proxy.port);
    await using answered = await connect(proxy.port);
    await until(() => backend.connections.length === 2, "two sessions");
    await proxy.forwarding(2);
    await answered.send("question");
    const answering = backend.connections[1]!;
    await answering.receivedBytes(8);
    await answering.send("!");
    await answered.receivedBytes(1);
    await using unanswered = await connect(proxy.port);
    await until(() => backend.connections.length === 3, "the third session");
    await proxy.forwarding(3);
    await unanswered.send("question");
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
      engine: engineAfterMove[engine],
    });
    expect(record.connect_ms).not.toBeNull();
    expect(record.duration_ms).toBeGreaterThanOrEqual(200);
    // Both are older than the one that was ended.
    expect(proxy.sessions.length).toBe(2);
    expect([quiet.ending, answered.ending]).toEqual([undefined, undefined]);
  });

  // idle

  test("a client that was answered is no longer timed, whoever moves its bytes by then", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine, timeouts: { responseMs: 200 } });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    const session = proxy.sessions[0]!;
    await client.send("question");
    await peer.receivedBytes(8);
    await until(() => session.unansweredSinceMs !== undefined, "the question to be timed");
    expect(session.forwarder!.engine).toBe(engineAfterMove[engine]);
    await peer.send("answer");
    await client.receivedBytes(6);
    await until(() => session.unansweredSinceMs === undefined, "the answer to be known");
    // Longer than the timeout: a second question, whose session is ended, is the measure of time.
    await using unanswered = await connect(proxy.port);
    await unanswered.send("question");
    await unanswered.wasReset();
    expect(client.ending).toBeUndefined();
    await client.finish();
    await peer.finished();
    await peer.finish();
    await client.finished();
    const record = await proxy.recorded(2);
    expect(record).toMatchObject({ end: "client_finished", engine: engineAfterMove[engine] });
    expect(record.first_byte_ms).toBeGreaterThan(record.connect_ms!);
  });

  test("a session in which nothing moves ends with idle_timeout; one byte in either direction restarts it", async () => {
    const idleMs = 200;
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine, timeouts: { idleMs } });
    await using asking = await connect(proxy.port);
    await backend.accepted();
    await using told = await connect(proxy.port);
    const telling = await backend.accepted();
    let lastSentMs = 0;
    // Two sessions of silence, one after the other, are the measure of time.
    for (let round = 1; round <= 2; round++) {
      await using silent = await connect(proxy.port);
      await until(() => {
        lastSentMs = performance.now();
        void asking.send("x");
        void telling.send("y");
        return silent.ending !== undefined;
      }, "the silent session to be ended");
      expect(silent.ending).toEqual({ how: "reset", code: "ECONNRESET" });
      const record = await proxy.recorded(round);
      expect(record).toMatchObject({
        end: "idle_timeout",
        bytes_to_backend: 0,
        bytes_to_client: 0,
        engine: engineBeforeMove[engine],
      });
      expect(record.duration_ms).toBeGreaterThanOrEqual(idleMs);
    }
    expect([asking.ending, told.ending]).toEqual([undefined, undefined]);
    // Now they fall silent as well.
    await asking.wasReset();
    expect(performance.now() - lastSentMs).toBeGreaterThanOrEqual(idleMs);
    await told.wasReset();
    await telling.wasReset();
    const records = [await proxy.recorded(3), await proxy.recorded(4)];
    expect(records.map(({ end }) => end)).toEqual(["idle_timeout", "idle_timeout"]);
    expect(records.map(({ engine }) => engine)).toEqual([engineAfterMove[engine], engineAfterMove[engine]]);
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
    await using proxy = startProxy(backend.port, { engine, timeouts: { idleMs } });
    await using client = await connect(proxy.port, { paused: true });
    const record = await proxy.recorded();
    expect(record).toMatchObject({ end: "idle_timeout", engine: engineAfterMove[engine] });
    expect(record.duration_ms).toBeGreaterThanOrEqual(idleMs);
    expect(record.bytes_to_client).toBeGreaterThan(0);
    // More had come from the backend than the client's connection has taken: it was queued, and did not count.
    expect(backend.connections[0]!.sent).toBeGreaterThan(record.bytes_to_client);
    client.resumeReading();
    expect(await client.wasReset()).toBe("ECONNRESET");
    // What the client's connection has taken is all that it can have got.
    expect(client.received).toBeLessThanOrEqual(record.bytes_to_client);
  });

  test("a reader that is slow but reads on keeps its session alive until it stops", async () => {
    const idleMs = 250;
    const chunk = new Uint8Array(1024 * 1024);
    await using backend = await listen(async (peer) => {
      await peer.read(1);
      while (peer.text() === "m") await peer.send(chunk, Infinity);
    });
    await using proxy = startProxy(backend.port, { engine, timeouts: { idleMs } });
    await using slow = await connect(proxy.port, { paused: true, receiveBufferBytes: 256 * 1024 });
    await slow.send("m");
    for (let round = 1; round <= 2; round++) {
      await using silent = await connect(proxy.port);
      await proxy.forwarding(2);
      await silent.send("s");
      await until(async () => {
        const before = slow.received;
        slow.resumeReading();
        await slow.receivedBytes(before + 1);
        slow.pauseReading();
        return silent.ending !== undefined;
      }, "the silent session to be ended");
      expect(await proxy.recorded(round)).toMatchObject({
        end: "idle_timeout",
        bytes_to_backend: 1,
        bytes_to_client: 0,
        engine: engineAfterMove[engine],
      });
    }
    expect(slow.ending).toBeUndefined();
    const record = await proxy.recorded(3);
    expect(record).toMatchObject({ end: "idle_timeout", bytes_to_backend: 1, engine: engineAfterMove[engine] });
    expect(record.duration_ms).toBeGreaterThanOrEqual(3 * idleMs);
  });

  // half_closed

  test("after the client's FIN a backend that sends nothing for half_closed is reset, and the client with it", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine, timeouts: { halfClosedMs: 200 } });
    await using whole = await connect(proxy.port);
    await backend.accepted();
    await using half = await connect(proxy.port);
    const other = await backend.accepted();
    await proxy.forwarding(2);
    await half.send("all I had to say");
    await half.finish();
    await other.finished();
    expect(await half.wasReset()).toBe("ECONNRESET");
    expect(await other.wasReset()).toBe("EPIPE");
    const record = await proxy.recorded();
    expect(record).toMatchObject({
      end: "half_closed_timeout",
      bytes_to_backend: 16,
      bytes_to_client: 0,
      engine: engineAfterMove[engine],
    });
    expect(record.duration_ms).toBeGreaterThanOrEqual(200);
    expect(whole.ending).toBeUndefined();
  });

  test("after the backend's FIN a client that sends nothing for half_closed is reset, and the backend with it", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine, timeouts: { halfClosedMs: 200 } });
    await using client = await connect(proxy.port);
    const half = await backend.accepted();
    await half.send("all there is");
    await half.finish();
    await client.finished();
    expect(client.text()).toBe("all there is");
    expect(await half.wasReset()).toBe("ECONNRESET");
    expect(await client.wasReset()).toBe("EPIPE");
    const record = await proxy.recorded();
    expect(record).toMatchObject({
      end: "half_closed_timeout",
      bytes_to_backend: 0,
      bytes_to_client: 12,
      engine: engineAfterMove[engine],
    });
    expect(record.duration_ms).toBeGreaterThanOrEqual(200);
  });

  test("while the other direction of a half-closed session moves, half_closed does not end it", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine, timeouts: { halfClosedMs: 600 } });
    await using client = await connect(proxy.port);
    const answering = await backend.accepted();
    // On `auto` it is half closed when it is moved.
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
      expect(await proxy.recorded(round)).toMatchObject({
        end: "half_closed_timeout",
        engine: engineBeforeMove[engine],
      });
    }
    await answering.send("the end");
    await answering.finish();
    await client.finished();
    expect(client.text()).toEndWith("a piece of the answerthe end");
    expect(client.received).toBe(answering.sent);
    expect(await proxy.recorded(3)).toMatchObject({
      end: "client_finished",
      bytes_to_client: answering.sent,
      engine: engineAfterMove[engine],
    });
  });

  // lifetime

  test("a connection that is busy all the time is ended by its lifetime", async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine, timeouts: { lifetimeMs: 250 } });
    await using client = await connect(proxy.port);
    await until(() => {
      if (client.ending === undefined) void client.send("busy ");
      return client.ending !== undefined;
    }, "the lifetime to be over");
    expect(client.ending).toEqual({ how: "reset", code: "ECONNRESET" });
    const record = await proxy.recorded();
    expect(record).toMatchObject({ end: "lifetime", engine: engineAfterMove[engine] });
    expect(record.duration_ms).toBeGreaterThanOrEqual(250);
    expect(record.bytes_to_client).toBeGreaterThan(5);
  });

  // drain_idle

  test("once a drain has begun, silence for shutdown.idle ends a session with drain_idle, and only silence", async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine });
    await using silent = await connect(proxy.port);
    await using busy = await connect(proxy.port);
    await until(() => backend.connections.length === 2, "both sessions");
    await until(() => proxy.sessions.every(({ phase }) => phase === "forwarding"), "both to forward");
    const ages = proxy.sessions.map((session) => session.activeAtMs!);
    proxy.service.beginDrain(200);
    await until(() => {
      void busy.send("busy ");
      return silent.ending !== undefined;
    }, "the silent session to be ended");
    expect(performance.now()).toBeGreaterThanOrEqual(Math.min(...ages) + 200);
    expect(await proxy.recorded()).toMatchObject({ end: "drain_idle", engine: engineBeforeMove[engine] });
    expect(busy.ending).toBeUndefined();
    await busy.wasReset();
    expect(await proxy.recorded(2)).toMatchObject({
      end: "drain_idle",
      bytes_to_backend: busy.sent,
      engine: engineAfterMove[engine],
    });
  });

  // Several listeners

  test("sessions of two listeners keep to the timeouts of their own", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine, timeouts: { idleMs: 450 } });
    await using other = new SecondListener(proxy, { idleMs: 150 }, engine);
    await using long = await connect(proxy.port);
    await using short = await connect(other.port);
    await proxy.forwarding(2);
    await Promise.all([long.send("x"), short.send("x")]);
    await short.wasReset();
    expect(long.ending).toBeUndefined();
    await until(() => other.records.length === 1, "the record of the second listener");
    expect(other.records[0]).toMatchObject({
      listener: "second",
      end: "idle_timeout",
      bytes_to_backend: 1,
      engine: engineAfterMove[engine],
    });
    expect(other.records[0]!.duration_ms).toBeGreaterThanOrEqual(150);
    await long.wasReset();
    const record = await proxy.recorded();
    expect(record).toMatchObject({
      listener: "web",
      end: "idle_timeout",
      bytes_to_backend: 1,
      engine: engineAfterMove[engine],
    });
    expect(record.duration_ms).toBeGreaterThanOrEqual(450);
  });
});

// The copy engine alone: its stamps are those of a clock that ticks, the splice engine's are those of the moment.

test("bytes that move right after the event loop was held up count as of now, not as of the last tick before", async () => {
  const clock = new VirtualClock();
  await using backend = await listen(echo);
  await using proxy = new ClockedProxy(clock, backend.port, { timeouts: { idleMs: 300 } });
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

// Support

/** A further listener in front of a proxy's backend: with timeouts of its own, on the same wheel. */
class SecondListener {
  readonly records: AccessRecord[] = [];
  readonly #service: Service;

  constructor(proxy: TestProxy, timeouts: Partial<SessionTimeouts>, engine: EngineUnderTest) {
    const settings = serviceSettings("second", plainTarget(proxy.backend), { timeouts, keepaliveMs: 30_000 });
    this.#service = new Service(settings, {
      clock: systemClock,
      wheel: proxy.wheel,
      dialer: proxy.dialer,
      registry: proxy.registry,
      mover: moverOf(engine),
      admission: new Admission(proxy.active, 10_000, "queue"),
      traffic: new Traffic(),
      records: recordsInto(this.records),
      internalError: (error) => proxy.internalErrors.push(error),
    });
    this.#service.listener.open();
  }

  get port(): number {
    return Number(this.#service.listener.address.split(":").at(-1));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#service.listener.close(AbortSignal.abort());
  }
}
