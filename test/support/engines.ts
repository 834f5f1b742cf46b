/** The engines as a parameter of the suite: the same tests on each, with the same promises. */
import { afterEach, beforeAll, describe, expect } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { moveAtOnce, neverMove, type MoveRule } from "../../src/forward/move-rule.ts";
import type { Engine } from "../../src/forward/forwarder.ts";
import { SpliceEngine } from "../../src/forward/splice/engine.ts";
import type { Mover } from "../../src/session/context.ts";
import { openDescriptors } from "./descriptors.ts";
import type { Peer } from "./peer.ts";
import type { TestProxy } from "./proxy.ts";
import { until } from "./until.ts";

/** `auto` moves a session in the middle of its test: with the first bytes that come after its opening. */
export type EngineUnderTest = "copy" | "splice" | "auto";

/** All of them, for suites that run the program itself: there they are words of its configuration. */
export const engines: readonly EngineUnderTest[] = ["copy", "splice", "auto"];

/** The rule by which sessions are taken over; that of `auto` takes the smallest bulk there is. */
export const moveRules: Readonly<Record<EngineUnderTest, MoveRule>> = {
  copy: neverMove,
  splice: moveAtOnce,
  auto: { bytes: 1, readBytes: 0, reads: Infinity, readsWithinMs: 0 },
};

/** The word in the record of a session to which bytes came after its opening, while nothing was queued. */
export const engineAfterMove: Readonly<Record<EngineUnderTest, Engine>> = {
  copy: "copy",
  splice: "splice",
  auto: "splice",
};

/** The word in the record of a session to which no byte came after its opening. */
export const engineBeforeMove: Readonly<Record<EngineUnderTest, Engine>> = {
  copy: "copy",
  splice: "splice",
  auto: "copy",
};

/**
 * The splice engine of this process: one for all tests, so that slots and pipes go from one test to the next. It runs
 * inside of `onEveryEngine`.
 */
export const spliceEngine = new SpliceEngine({
  rule: moveAtOnce,
  sessionsMax: 64,
  clock: systemClock,
  workerDied: (cause, sessions) => deaths.push({ cause, sessions }),
});

/** Deaths of its Worker; a test after which there is one fails. */
export const deaths: { cause: Error; sessions: number }[] = [];

/** Descriptors that the engine keeps for later, apart from any session. */
export function engineDescriptors(): number {
  return spliceEngine.arena?.pipes.reduce((count, fd) => count + (fd >= 0 ? 1 : 0), 0) ?? 0;
}

/** What takes sessions over, for a service; `undefined` where all stay with the copy engine. */
export function moverOf(engine: EngineUnderTest): Mover | undefined {
  if (engine === "copy") return undefined;
  return { rule: moveRules[engine], take: (forwarder, owner, why) => spliceEngine.take(forwarder, owner, why) };
}

/**
 * Resolves when the Worker of a program runs: on `auto` its first bulk session starts it, and is moved with the bytes
 * that come after that. `copy` has none.
 */
export async function workerRuns(engine: EngineUnderTest, pid: number): Promise<void> {
  if (engine === "copy") return;
  // Those of both threads' event loops, and that of the engine.
  const epolls = (): number => openDescriptors(pid).filter(({ target }) => target.includes("eventpoll")).length;
  await until(
    () => epolls() >= 3,
    () => `the Worker to run: the program has ${epolls()} epolls`,
  );
}

/** Declares the tests of `body` once for each engine. */
export function onEveryEngine(body: (engine: EngineUnderTest) => void): void {
  describe.each([...engines])("engine %s:", (engine) => {
    if (engine !== "copy") beforeAll(() => spliceEngine.start());
    afterEach(() => expect(deaths).toEqual([]));
    body(engine);
  });
}

/**
 * Sends "ping" twice from the client to the backend. Behind the first one `auto` moves the session; the second one has
 * passed the engine that has it from now on, so that this one sees in their order what both peers do next.
 */
export async function settleOnEngine(proxy: TestProxy, client: Peer, peer: Peer): Promise<void> {
  await until(() => proxy.sessions.at(-1)?.phase === "forwarding", "the dial to be done");
  const receivedBefore = peer.received;
  await client.send("ping");
  await peer.receivedBytes(receivedBefore + 4);
  await client.send("ping");
  await peer.receivedBytes(receivedBefore + 8);
}
