/** The splice engine with its real Worker: how it starts, and what becomes of everybody when the Worker dies. */
import { describe, expect, test } from "bun:test";
import { systemClock, type Clock } from "../../src/core/clock.ts";
import { moveAtOnce } from "../../src/forward/move-rule.ts";
import { SpliceEngine } from "../../src/forward/splice/engine.ts";
import type { Mover } from "../../src/session/context.ts";
import { listen, type Backend } from "../support/backend.ts";
import { openDescriptors } from "../support/descriptors.ts";
import { watchLeaks } from "../support/leaks.ts";
import { payload } from "../support/payload.ts";
import { connect, type Peer } from "../support/peer.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { settled, until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { SeenWorkers } from "../support/workers.ts";

watchLeaks();

/** An engine of the test's own, whose timers wait for the test; stopped at the end of the scope. */
class EngineUnderDeath {
  readonly time = new VirtualClock();
  readonly deaths: { cause: string; sessions: number }[] = [];
  readonly engine: SpliceEngine;

  constructor(sessionsMax = 8) {
    const clock: Clock = {
      nowMs: () => systemClock.nowMs(),
      setTimer: (fn, delayMs) => this.time.setTimer(fn, delayMs),
      setTicker: (fn, periodMs) => this.time.setTicker(fn, periodMs),
      clearTimer: (handle) => this.time.clearTimer(handle),
    };
    this.engine = new SpliceEngine({
      rule: moveAtOnce,
      sessionsMax,
      clock,
      workerDied: (cause, sessions) => this.deaths.push({ cause: cause.message, sessions }),
    });
  }

  async died(count = 1): Promise<void> {
    await until(
      () => this.deaths.length >= count,
      () => `${count} deaths: there were ${this.deaths.length}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine.stop();
    expect(this.engine.sessions).toBe(0);
    expect(this.time.pendingTimers).toBe(0);
  }
}

/** How many descriptors there are of the kinds that the engine has. */
function engineKinds(): Record<string, number> {
  const counts: Record<string, number> = { "anon_inode:[eventfd]": 0, "anon_inode:[eventpoll]": 0, pipe: 0 };
  for (const { target } of openDescriptors()) {
    const kind = target.replace(/:\[\d+\]$/, "");
    if (kind in counts) counts[kind]!++;
  }
  return counts;
}

/** Lends every session to an engine that is made after the proxy, so that it is stopped before the proxy is looked at. */
function moverOf(engine: () => SpliceEngine): Mover {
  return { rule: moveAtOnce, take: (...given) => engine().take(...given) };
}

/** A client and the backend's end of the same session, which is lent to the engine. */
async function splicedPair(
  proxy: TestProxy,
  backend: Backend,
  engine: SpliceEngine,
): Promise<{ client: Peer; peer: Peer }> {
  const before = engine.sessions;
  const client = await connect(proxy.port, { receiveBufferBytes: 4096 });
  const peer = await backend.accepted();
  await until(() => engine.sessions === before + 1, "the session to be lent to the Worker");
  return { client, peer };
}

describe("start", () => {
  test("it resolves when the loop runs; twice, at once or later, it is one Worker; stop leaves nothing", async () => {
    const before = engineKinds();
    using workers = new SeenWorkers();
    await using under = new EngineUnderDeath();
    const { engine } = under;
    expect(engine.arena).toBeUndefined();
    await Promise.all([engine.start(), engine.start()]);
    expect(engine.arena!.epoll[0]).toBeGreaterThan(0);
    await engine.start();
    expect(workers.all.length).toBe(1);
    await engine.stop();
    await until(
      () => Bun.deepEquals(engineKinds(), before),
      () => `the descriptors to be gone: ${JSON.stringify([before, engineKinds()])}`,
    );
    expect(under.deaths).toEqual([]);
    await under.time.advance(100_000);
    expect(workers.all.length).toBe(1);
  });

  test("a Worker that dies before it runs fails the start with its reason, and is no death: nobody had it", async () => {
    using workers = new SeenWorkers();
    await using under = new EngineUnderDeath();
    const starting = under.engine.start();
    workers.last.terminate();
    await expect(starting).rejects.toMatchObject({
      code: "splice_failed",
      message: expect.stringMatching(/^cannot start the splice engine: /),
    });
    expect(under.deaths).toEqual([]);
    expect(under.time.pendingTimers).toBe(0);
    await under.engine.start();
    expect(workers.all.length).toBe(2);
  });

  test("a Worker that does not come to run is ended after 5 s", async () => {
    using workers = new SeenWorkers();
    await using under = new EngineUnderDeath();
    // It never hears where the memory is.
    workers.deaf = true;
    // Not by `rejects`, which holds the loop up until it is so (Bun 1.4.5).
    const failed = under.engine.start().catch((error: Error) => error.message);
    await under.time.advance(5_000);
    expect(await failed).toBe("cannot start the splice engine: its Worker did not run within 5 s");
    expect(under.engine.arena).toBeUndefined();
    expect(under.deaths).toEqual([]);
  });
});

describe("a Worker that dies", () => {
  test.each(["by a mistake of its own", "ended from outside"])(
    "%s: every session it had is reset with its exact figures, the others go on, and a new Worker takes its place",
    async (how) => {
      const atFirst = engineKinds();
      using workers = new SeenWorkers();
      await using backend = await listen();
      await using copyingBackend = await listen();
      await using copying = startProxy(copyingBackend.port);
      await using proxy = startProxy(backend.port, { mover: moverOf(() => under.engine) });
      await using under = new EngineUnderDeath();
      const { engine } = under;
      await engine.start();

      await using untouched = await connect(copying.port);
      const untouchedPeer = await copyingBackend.accepted();
      await untouched.send("before");
      await untouchedPeer.receivedBytes(6);

      // One that is silent, one whose bytes have all arrived, and one whose reader stands still: both pipes are full.
      const silent = await splicedPair(proxy, backend, engine);
      const busy = await splicedPair(proxy, backend, engine);
      await busy.client.send(payload(1, 300_000));
      await busy.peer.receivedBytes(300_000);
      await busy.peer.send(payload(2, 70_001));
      await busy.client.receivedBytes(70_001);
      const stuck = await splicedPair(proxy, backend, engine);
      stuck.client.pauseReading();
      stuck.peer.pauseReading();
      void stuck.client.send(payload(3, 64_000_000)).catch(() => {});
      void stuck.peer.send(payload(4, 64_000_000)).catch(() => {});
      const [, , session] = proxy.sessions;
      const figures = (): string => `${session!.bytesToBackend} ${session!.bytesToClient} ${session!.heldBytes}`;
      const stopped = await settled(figures, "the stuck session");
      const [toBackend, toClient, held] = stopped.split(" ").map(Number);
      expect(held).toBeGreaterThan(0);
      expect(engineKinds()["pipe"]! - atFirst["pipe"]!).toBeGreaterThanOrEqual(4);

      let sessions = 3;
      if (how === "ended from outside") workers.last.terminate();
      else {
        engine.arena!.commands.push(99, 0, 0, 0);
        // The next session that is lent wakes the Worker up, and shares the fate of the others.
        sessions++;
        await using unlucky = await connect(proxy.port);
        const peer = await backend.accepted();
        expect([await unlucky.wasReset(), await peer.wasReset()]).toEqual(["ECONNRESET", "ECONNRESET"]);
      }
      await under.died();
      for (const { client, peer } of [silent, busy, stuck]) {
        client.resumeReading();
        peer.resumeReading();
        expect([await client.wasReset(), await peer.wasReset()]).toEqual(["ECONNRESET", "ECONNRESET"]);
      }
      await proxy.recorded(sessions);
      const cause =
        how === "ended from outside"
          ? "the Worker has ended by itself"
          : "the splice engine got a command that does not exist: 99";
      expect(under.deaths).toEqual([{ cause, sessions }]);
      const records = proxy.records.toSorted((a, b) => a.id - b.id);
      expect(
        records.map((record) => [record.end, record.engine, record.bytes_to_backend, record.bytes_to_client]),
      ).toEqual([
        ["internal_error", "splice", 0, 0],
        ["internal_error", "splice", 300_000, 70_001],
        ["internal_error", "splice", toBackend!, toClient!],
        ...(sessions === 3 ? [] : [["internal_error" as const, "splice" as const, 0, 0]]),
      ]);
      expect([busy.peer.sha256(), busy.client.sha256()]).toEqual([
        payload(1, 300_000).sha256(),
        payload(2, 70_001).sha256(),
      ]);

      // Nothing is left of it, and the next one is started when it is due.
      await until(
        () => Bun.deepEquals(engineKinds(), atFirst),
        () => `the descriptors to be gone: ${JSON.stringify([atFirst, engineKinds()])}`,
      );
      expect(engine.sessions).toBe(0);
      expect(workers.all.length).toBe(1);
      await under.time.advance(100);
      expect(workers.all.length).toBe(2);
      await engine.start();
      const next = await splicedPair(proxy, backend, engine);
      await next.client.send("after");
      await next.client.finish();
      await next.peer.finished();
      await next.peer.finish();
      await next.client.finished();
      expect(await proxy.recorded(sessions + 1)).toMatchObject({
        engine: "splice",
        end: "client_finished",
        bytes_to_backend: 5,
      });

      await untouched.send(" and after");
      await untouchedPeer.receivedBytes(16);
      expect(untouchedPeer.text()).toBe("before and after");
      await untouched.finish();
      await untouchedPeer.finish();
      await untouched.finished();
      expect(await copying.recorded()).toMatchObject({ engine: "copy", end: "client_finished" });
      expect(under.deaths.length).toBe(1);
    },
  );

  test("a mistake while one session is told does not keep the others: all are reset", async () => {
    using workers = new SeenWorkers();
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover: moverOf(() => under.engine) });
    await using under = new EngineUnderDeath();
    await under.engine.start();
    const pairs: { client: Peer; peer: Peer }[] = [];
    for (let count = 0; count < 3; count++) pairs.push(await splicedPair(proxy, backend, under.engine));
    const mistake = new Error("a mistake of the session");
    proxy.sessions[0]!.engineFailed = () => {
      throw mistake;
    };
    workers.last.terminate();
    await under.died();
    for (const { client, peer } of pairs) {
      expect([await client.wasReset(), await peer.wasReset()]).toEqual(["ECONNRESET", "ECONNRESET"]);
    }
    await proxy.recorded(3);
    expect(proxy.records.map(({ end }) => end)).toEqual(Array(3).fill("internal_error"));
    expect(proxy.internalErrors.splice(0)).toEqual([mistake]);
  });

  test("while there is none, sessions are copied", async () => {
    using workers = new SeenWorkers();
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover: moverOf(() => under.engine) });
    await using under = new EngineUnderDeath();
    await under.engine.start();
    workers.last.terminate();
    await under.died();
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await client.send(payload(1, 1_000_000));
    await peer.receivedBytes(1_000_000);
    await client.finish();
    await peer.finish();
    await client.finished();
    expect(await proxy.recorded()).toMatchObject({ engine: "copy", bytes_to_backend: 1_000_000 });
    expect(workers.all.length).toBe(1);
  });

  test("the next is started after 100 ms, doubled with each death in a row, up to 30 s; a session served begins anew", async () => {
    using workers = new SeenWorkers();
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover: moverOf(() => under.engine) });
    await using under = new EngineUnderDeath();
    const { engine, time } = under;
    await engine.start();
    let deaths = 0;
    const diesAndWaits = async (delayMs: number): Promise<void> => {
      const made = workers.all.length;
      workers.last.terminate();
      await under.died(++deaths);
      await time.advance(delayMs - 1);
      expect(workers.all.length).toBe(made);
      await time.advance(1);
      expect(workers.all.length).toBe(made + 1);
    };
    for (const delayMs of [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]) {
      await diesAndWaits(delayMs);
    }
    expect(under.deaths.every(({ sessions }) => sessions === 0)).toBe(true);
    await engine.start();
    const { client, peer } = await splicedPair(proxy, backend, engine);
    await client.finish();
    await peer.finish();
    await proxy.recorded();
    await until(() => engine.sessions === 0, "the session to be given back");
    await diesAndWaits(100);
  });

  test("a start while the next one is awaited does not lead to two", async () => {
    using workers = new SeenWorkers();
    await using under = new EngineUnderDeath();
    await under.engine.start();
    workers.last.terminate();
    await under.died();
    await under.engine.start();
    expect(workers.all.length).toBe(2);
    await under.time.advance(100_000);
    expect(workers.all.length).toBe(2);
    expect(under.time.pendingTimers).toBe(0);
  });

  test("a stop while the next one is awaited calls it off", async () => {
    using workers = new SeenWorkers();
    await using under = new EngineUnderDeath();
    await under.engine.start();
    workers.last.terminate();
    await under.died();
    expect(under.time.pendingTimers).toBe(1);
    await under.engine.stop();
    await under.time.advance(100_000);
    expect(workers.all.length).toBe(1);
  });
});

test("a stop resets what is still lent, and tells of no death", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { mover: moverOf(() => under.engine) });
  await using under = new EngineUnderDeath();
  await under.engine.start();
  const { client, peer } = await splicedPair(proxy, backend, under.engine);
  await client.send("1234567");
  await peer.receivedBytes(7);
  await under.engine.stop();
  expect([await client.wasReset(), await peer.wasReset()]).toEqual(["ECONNRESET", "ECONNRESET"]);
  expect(await proxy.recorded()).toMatchObject({ engine: "splice", end: "internal_error", bytes_to_backend: 7 });
  expect(under.deaths).toEqual([]);
});
