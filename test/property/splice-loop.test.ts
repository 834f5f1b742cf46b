/**
 * The loop of the splice engine under every schedule of events, partial moves and failed calls: no byte is lost,
 * doubled or swapped (the fake kernel throws at that), no pipe is left behind, and reports come in a legal order.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { pipeSizes } from "../../src/forward/splice/pipe-pool.ts";
import type { FakeConnection } from "../support/fake-connection.ts";
import type { FakeCall } from "../support/fake-epoll.ts";
import { errnos, SpliceHarness, type Pair } from "../support/splice-harness.ts";

const slots = 3;
/** More than a step, so that a session has to be queued anew. */
const bytesMax = 3 * 1024 * 1024;

type Step =
  | { readonly kind: "lend"; readonly slot: number; readonly room: number }
  | { readonly kind: "release"; readonly slot: number }
  | { readonly kind: "arrive" | "room"; readonly slot: number; readonly side: Side; readonly bytes: number }
  | { readonly kind: "finish" | "reset"; readonly slot: number; readonly side: Side }
  | { readonly kind: "fail"; readonly call: FakeCall; readonly errno: number; readonly times: number }
  | { readonly kind: "limit"; readonly of: "spliceMax" | "pipeCapacity"; readonly bytes: number }
  | { readonly kind: "turn" };
type Side = keyof Pair;

const slot = fc.nat({ max: slots - 1 });
const side = fc.constantFrom<Side>("client", "backend");
const size = fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: bytesMax }));
const room = fc.oneof(fc.constant(0), fc.constant(Infinity), size);

/** What may fail and leaves the session as it is. EAGAIN is not among it: the kernel says it where it is true. */
const failure: fc.Arbitrary<readonly [FakeCall, number, times: number]> = fc.oneof(
  fc.tuple(
    fc.constantFrom<FakeCall>("receive", "send", "splice in", "splice out"),
    fc.constantFrom(errnos.EINTR, errnos.ENOMEM, errnos.ENOBUFS),
    fc.constant(1),
  ),
  fc.tuple(fc.constant("pipe" as const), fc.constantFrom(errnos.EMFILE, errnos.ENFILE, errnos.ENOMEM), fc.constant(1)),
  // Beyond the quota every size is refused.
  fc.tuple(fc.constant("F_SETPIPE_SZ" as const), fc.constant(errnos.EPERM), fc.constantFrom(1, pipeSizes.length)),
  fc.tuple(fc.constant("epoll_wait" as const), fc.constant(errnos.EINTR), fc.constant(1)),
);

/** What one splice moves at most, and what a pipe holds that was not made larger: two pages beyond the quota. */
const limit = fc.oneof(
  size.map((bytes) => ({ kind: "limit" as const, of: "spliceMax" as const, bytes })),
  fc.constantFrom(8192, 65_536).map((bytes) => ({ kind: "limit" as const, of: "pipeCapacity" as const, bytes })),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("arrive" as const), slot, side, bytes: size }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("room" as const), slot, side, bytes: size }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("turn" as const) }) },
  { weight: 4, arbitrary: failure.map(([call, errno, times]) => ({ kind: "fail" as const, call, errno, times })) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("finish" as const), slot, side }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reset" as const), slot, side }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lend" as const), slot, room }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("release" as const), slot }) },
  { weight: 2, arbitrary: limit },
);

/** A session as the main thread and both peers know it. */
interface Lent extends Pair {
  /** What was told of each half: toBackend, toClient. */
  readonly told: readonly [string[], string[]];
  /** Whether it was asked for; it stays until it is released. */
  asked: boolean;
}

class Model {
  readonly harness = new SpliceHarness(slots);
  readonly lent: (Lent | undefined)[] = Array.from({ length: slots }, () => undefined);

  constructor() {
    expect(this.harness.told()).toEqual(["ready"]);
  }

  run(step: Step): void {
    const { calls } = this.harness;
    if (step.kind === "turn") return this.hear(this.harness.turn());
    if (step.kind === "fail") return calls.fail(step.call, ...Array<number>(step.times).fill(step.errno));
    if (step.kind === "limit") return void (calls[step.of] = step.bytes);
    const session = this.lent[step.slot];
    if (step.kind === "lend") {
      if (session !== undefined) return;
      const pair = this.harness.lend(step.slot, { clientRoom: step.room, backendRoom: step.room });
      this.lent[step.slot] = { ...pair, told: [[], []], asked: false };
      return;
    }
    if (session === undefined) return;
    if (step.kind === "release") return this.release(step.slot);
    const connection = session[step.side];
    switch (step.kind) {
      case "arrive":
        if (!connection.finished && !connection.broken) connection.arrive(step.bytes);
        return;
      case "room":
        return connection.makeRoom(step.bytes);
      case "finish":
        if (!connection.broken) connection.finish();
        return;
      case "reset":
        return connection.reset();
    }
  }

  release(slot: number): void {
    const session = this.lent[slot];
    if (session === undefined || session.asked) return;
    session.asked = true;
    this.harness.tell("release", slot);
  }

  /** Takes in what was told, and checks all figures. */
  hear(lines: readonly string[]): void {
    for (const line of lines) this.#heard(line);
    const { calls, arena } = this.harness;
    let filled = 0;
    for (const [index, session] of this.lent.entries()) {
      if (session === undefined) continue;
      for (const direction of [0, 1] as const) {
        const { bytes, queued } = this.harness.figures(index, direction);
        const [source, sink] = ends(session, direction);
        expect(sink.taken).toBe(bytes);
        if (queued > 0) filled++;
        const told = session.told[direction];
        const isGivenUp = session.told[1 - direction]!.includes("reset");
        if (!isGivenUp) expect(bytes + queued).toBe(source.read);
        expect(told.includes("firstBytes")).toBe(bytes > 0);
        if (told.includes("ended") && !isGivenUp) expect(bytes).toBe(source.arrived);
        const isReset = session.told.some((words) => words.includes("reset"));
        if (!isReset) expect(sink.finSent).toBe(told.includes("ended"));
      }
    }
    // Only halves that hold bytes have a pipe, and the table knows each that is open.
    expect(calls.filledPipes).toBe(filled);
    expect([...arena.pipes].filter((fd) => fd >= 0).length).toBe(calls.pipes.size * 2);
    expect(calls.pipes.size).toBeLessThanOrEqual(slots * 2);
  }

  #heard(line: string): void {
    const [, word = "", direction, name = "0"] = /^(\w+)(?: (toBackend|toClient))?(?: of (\d))?$/.exec(line) ?? [];
    const slot = Number(name);
    const session = this.lent[slot];
    if (session === undefined) throw new Error(`"${line}" was told of a slot that is not lent`);
    if (word === "released") {
      expect(session.asked).toBe(true);
      for (const { fd } of [session.client, session.backend]) {
        expect(this.harness.calls.watched).not.toContain(fd);
        this.harness.calls.connections.delete(fd);
      }
      this.lent[slot] = undefined;
      return;
    }
    const told = session.told[direction === "toBackend" ? 0 : 1];
    const opposite = session.told[direction === "toBackend" ? 1 : 0];
    expect(["firstBytes", "finished", "ended", "reset"]).toContain(word);
    expect(told).not.toContain(word);
    // A half ends behind its FIN or its reset, and nothing of it is told after that but a reset.
    if (word === "ended") expect(told.some((it) => it === "finished" || it === "reset")).toBe(true);
    if (word === "firstBytes") expect(told).not.toContain("ended");
    // What was given up does not end, and passes nothing on.
    if (word === "ended" || word === "firstBytes") expect(opposite).not.toContain("reset");
    const [source] = ends(session, direction === "toBackend" ? 0 : 1);
    if (word === "reset") expect(source.broken).toBe(true);
    if (word === "finished") expect(source.finished || source.broken).toBe(true);
    told.push(word);
  }

  /** The peers read everything, and those that have not reset finish. */
  finish(): void {
    const { calls } = this.harness;
    calls.spliceMax = Infinity;
    for (const session of this.lent) {
      for (const connection of session === undefined ? [] : [session.client, session.backend]) {
        connection.makeRoom(Infinity);
        if (!connection.finished && !connection.broken) connection.finish();
      }
    }
    this.hear(this.harness.settle());
    for (const session of this.lent) {
      if (session === undefined || session.asked) continue;
      const reset = session.told.map((words) => words.includes("reset"));
      for (const direction of [0, 1] as const) {
        const [source, sink] = ends(session, direction);
        if (reset[1 - direction]) continue;
        expect(session.told[direction]).toContain("ended");
        expect(sink.taken).toBe(source.arrived);
      }
      if (!reset[0] && !reset[1]) expect([session.client.finSent, session.backend.finSent]).toEqual([true, true]);
    }
    expect(calls.filledPipes).toBe(0);
  }

  stop(): void {
    for (const session of this.lent) if (session !== undefined) session.asked = true;
    this.harness.tell("stop");
    this.harness.loop.run();
    this.hear(this.harness.told());
    const { calls, arena } = this.harness;
    expect(this.lent).toEqual(Array(slots).fill(undefined));
    expect(calls.pipes.size).toBe(0);
    expect(calls.hasEpoll).toBe(false);
    expect(calls.connections.size).toBe(0);
    expect([...arena.pipes, arena.epoll[0]].every((fd) => fd === -1)).toBe(true);
  }
}

function ends(session: Pair, direction: 0 | 1): readonly [source: FakeConnection, sink: FakeConnection] {
  return direction === 0 ? [session.client, session.backend] : [session.backend, session.client];
}

test("whatever happens, bytes come out whole, reports are in order, and stop leaves nothing", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: "max" }), room, (steps, firstRoom) => {
      const model = new Model();
      model.run({ kind: "lend", slot: 0, room: firstRoom });
      for (const it of steps) model.run(it);
      model.finish();
      model.stop();
    }),
    { numRuns: 2000 },
  );
});

test("a stop at any moment gives every session back, with the figures of that moment", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const model = new Model();
      for (let slot = 0; slot < slots; slot++) model.run({ kind: "lend", slot, room: Infinity });
      for (const it of steps) model.run(it);
      model.stop();
    }),
    { numRuns: 500 },
  );
});
