/** The loop of the splice engine, turn by turn over a fake kernel: what is moved, when, and whose turn it is. */
import { describe, expect, test } from "bun:test";
import { smallBytes } from "../../src/forward/splice/arena.ts";
import { stepBytes, turnBytesMax } from "../../src/forward/splice/loop.ts";
import { idleWaitMs, SpliceHarness } from "../support/splice-harness.ts";
import { until } from "../support/until.ts";

const MiB = 1024 * 1024;

describe("bytes", () => {
  test("a loop that runs says so, and waits for as long as it may", () => {
    const harness = new SpliceHarness();
    expect(harness.told()).toEqual(["ready"]);
    expect(harness.turn()).toEqual([]);
    expect(harness.calls.waits).toEqual([idleWaitMs]);
    expect(harness.calls.watched).toEqual([harness.calls.wakeFd]);
  });

  test("they go both ways, and the first of each way are told once", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lent();
    const takenAtMs = harness.arena.activeAtMs[1]!;
    client.arrive(1000);
    harness.calls.nowMs += 250.5;
    const movedAtMs = harness.calls.nowMs;
    expect(harness.settle()).toEqual(["firstBytes toBackend"]);
    expect(harness.figures(0, 0)).toEqual({ bytes: 1000, queued: 0 });
    expect([...harness.arena.activeAtMs.subarray(0, 2)]).toEqual([movedAtMs, takenAtMs]);
    backend.arrive(3 * MiB + 1);
    expect(harness.settle()).toEqual(["firstBytes toClient"]);
    client.arrive(1);
    expect(harness.settle()).toEqual([]);
    expect([backend.taken, client.taken]).toEqual([1001, 3 * MiB + 1]);
    expect([...harness.arena.bytes.subarray(0, 2)]).toEqual([1001, 3 * MiB + 1]);
  });

  test("bytes that were passed on before the take are counted on, and not told as the first", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client } = harness.lent(0, { bytes: [5000, 0] });
    client.arrive(10);
    expect(harness.settle()).toEqual([]);
    expect(harness.figures(0, 0)).toEqual({ bytes: 5010, queued: 0 });
  });

  test("a reader that stands still costs no call: what it did not take is in the pipe, and only room wakes the half", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lent(0, { backendRoom: 300 });
    client.arrive(1000);
    harness.settle();
    expect(harness.figures(0, 0)).toEqual({ bytes: 300, queued: 700 });
    expect(harness.calls.filledPipes).toBe(1);
    const { made } = harness.calls;
    const [into, out] = [made["splice in"], made["splice out"]];
    for (let more = 0; more < 10; more++) {
      client.arrive(50);
      expect(harness.settle()).toEqual([]);
    }
    expect([made["splice in"], made["splice out"]]).toEqual([into, out]);
    backend.makeRoom(650);
    harness.settle();
    expect(harness.figures(0, 0)).toEqual({ bytes: 950, queued: 50 });
    backend.makeRoom(10_000);
    harness.settle();
    expect(harness.figures(0, 0)).toEqual({ bytes: 1500, queued: 0 });
    expect(harness.calls.filledPipes).toBe(0);
  });

  test.each([
    ["small", 1000],
    ["large", 4 * MiB],
  ])(
    "a reader that stands still: %s reads that keep coming soon wake nobody, and are heard of again after it reads",
    (_, bytes) => {
      const harness = new SpliceHarness();
      const { client, backend } = harness.lent(0, { backendRoom: bytes / 2 });
      client.arrive(bytes);
      harness.settle();
      expect(backend.taken).toBe(bytes / 2);
      // The first time it may be news, the second time it shows that nobody has asked for it.
      for (let more = 0; more < 2; more++) {
        client.arrive(bytes);
        harness.settle();
      }
      for (let more = 0; more < 10; more++) {
        client.arrive(bytes);
        expect(harness.calls.hasNews).toBe(false);
      }
      backend.makeRoom(Infinity);
      harness.settle();
      expect(backend.taken).toBe(13 * bytes);
      client.arrive(7);
      expect(harness.calls.hasNews).toBe(true);
      harness.settle();
      expect(backend.taken).toBe(13 * bytes + 7);
    },
  );

  test("a session without bytes has no pipe: one pipe is enough for any number of halves that keep up", () => {
    const harness = new SpliceHarness(16);
    const pairs = Array.from({ length: 16 }, (_, slot) => harness.lent(slot));
    for (const { client, backend } of pairs) {
      client.arrive(5 * MiB);
      backend.arrive(5 * MiB);
    }
    harness.settle();
    expect(pairs.every(({ client, backend }) => client.taken === 5 * MiB && backend.taken === 5 * MiB)).toBe(true);
    expect(harness.calls.made.pipe).toBe(1);
    expect(harness.calls.filledPipes).toBe(0);
  });

  test("as many pipes hold bytes as there are halves whose reader stands still", () => {
    const harness = new SpliceHarness(16);
    const pairs = Array.from({ length: 16 }, (_, slot) => harness.lent(slot, { clientRoom: slot < 5 ? 10 : Infinity }));
    for (const { client, backend } of pairs) {
      client.arrive(MiB);
      backend.arrive(MiB);
    }
    harness.settle();
    expect(harness.calls.filledPipes).toBe(5);
    expect([...harness.arena.queued].filter((bytes) => bytes > 0)).toEqual(Array(5).fill(smallBytes - 10));
    for (const { client } of pairs) client.makeRoom(Infinity);
    harness.settle();
    expect(harness.calls.filledPipes).toBe(0);
    expect(harness.calls.pipes.size).toBeLessThanOrEqual(6);
  });
});

describe("turns", () => {
  test("with small reads each of three ready sessions has one step a turn, in each direction", () => {
    const harness = new SpliceHarness();
    const pairs = [0, 1, 2].map((slot) => harness.lent(slot));
    for (let turns = 1; turns <= 5; turns++) {
      for (const { client, backend } of pairs) {
        client.arrive(100);
        backend.arrive(200);
      }
      harness.turn();
      expect(pairs.map(({ client, backend }) => [client.taken, backend.taken])).toEqual(
        Array(3).fill([turns * 200, turns * 100]),
      );
    }
  });

  test("with large reads they take turns, and a turn is over with the step that reaches its bound", () => {
    const harness = new SpliceHarness();
    const pairs = [0, 1, 2].map((slot) => harness.lent(slot));
    for (const { client } of pairs) client.arrive(20 * MiB);
    // All begin small, and the first one to show that it is not has its first step as such.
    harness.turn();
    expect(pairs.map(({ backend }) => backend.taken)).toEqual([smallBytes + stepBytes, smallBytes, smallBytes]);
    for (let turns = 1; turns <= 12; turns++) {
      const before = pairs.map(({ backend }) => backend.taken);
      harness.turn();
      const moved = pairs.map(({ backend }, index) => backend.taken - before[index]!);
      // A step is far more than the bound, so that it is one a turn, and each has every third.
      expect(stepBytes).toBeGreaterThan(turnBytesMax);
      expect(moved).toEqual([0, 1, 2].map((index) => (index === turns % 3 ? stepBytes : 0)));
    }
    expect(harness.calls.waits.slice(-12)).toEqual(Array(12).fill(0));
  });

  test("with large reads a step is one of both directions", () => {
    const harness = new SpliceHarness();
    const { client, backend } = harness.lent();
    client.arrive(20 * MiB);
    backend.arrive(20 * MiB);
    harness.turn();
    for (let turns = 0; turns < 5; turns++) {
      const before = [client.taken, backend.taken];
      harness.turn();
      expect([client.taken - before[0]!, backend.taken - before[1]!]).toEqual([stepBytes, stepBytes]);
    }
  });

  test("large reads that bring little share a turn", () => {
    const harness = new SpliceHarness();
    const pairs = [0, 1, 2, 3].map((slot) => harness.lent(slot));
    for (const { client } of pairs) client.arrive(MiB);
    harness.settle();
    for (const { client } of pairs) client.arrive(50_000);
    harness.turn();
    expect(pairs.map(({ backend }) => backend.taken)).toEqual(Array(4).fill(MiB + 50_000));
    for (const { client } of pairs) client.arrive(150_000);
    harness.turn();
    expect(pairs.map(({ backend }) => backend.taken - MiB - 50_000)).toEqual([150_000, 150_000, 0, 0]);
    harness.settle();
    expect(pairs.map(({ backend }) => backend.taken)).toEqual(Array(4).fill(MiB + 200_000));
  });

  test("small reads come first in every turn, however many large ones wait", () => {
    const harness = new SpliceHarness();
    const pairs = [0, 1, 2].map((slot) => harness.lent(slot));
    const quick = harness.lent(3);
    for (const { client } of pairs) client.arrive(50 * MiB);
    harness.turn();
    for (let turns = 1; turns <= 20; turns++) {
      quick.client.arrive(10);
      harness.turn();
      expect(quick.backend.taken).toBe(turns * 10);
    }
  });

  test("a half goes from small reads to large ones and back by what its reads bring", () => {
    const harness = new SpliceHarness();
    const { client, backend } = harness.lent();
    const { made } = harness.calls;
    client.arrive(smallBytes - 1);
    harness.settle();
    expect([made.receive, made["splice in"]]).toEqual([1, 0]);
    // A read that fills the buffer; what is left behind it is spliced.
    client.arrive(2 * MiB);
    harness.settle();
    expect(made.receive).toBe(2);
    expect(made["splice in"]).toBeGreaterThanOrEqual(2);
    // Little again: this once by splicing, from then on through the buffer.
    client.arrive(100);
    harness.settle();
    expect(made.receive).toBe(2 + 1);
    const spliced = made["splice in"];
    for (let more = 1; more <= 5; more++) {
      client.arrive(100);
      harness.settle();
    }
    expect([made.receive, made["splice in"]]).toEqual([8, spliced]);
    expect(backend.taken).toBe(smallBytes - 1 + 2 * MiB + 600);
  });

  test("a small read costs one call each way: no second read to find nothing, and no pipe touched", () => {
    const harness = new SpliceHarness();
    const { client } = harness.lent();
    client.arrive(1);
    harness.settle();
    const before = { ...harness.calls.made };
    for (let more = 0; more < 10; more++) {
      client.arrive(100);
      harness.settle();
    }
    const { made } = harness.calls;
    expect([made.receive - before.receive, made.send - before.send]).toEqual([10, 10]);
    expect([made.pipe, made.write, made["splice in"], made["splice out"]]).toEqual([1, 0, 0, 0]);
  });

  test("while one is busy, no turn waits, and one that gets bytes has its step in the very next turn", () => {
    const harness = new SpliceHarness();
    const busy = harness.lent(0);
    const quiet = harness.lent(1);
    busy.client.arrive(100 * MiB);
    harness.turn();
    for (let bytes = 1; bytes <= 20; bytes++) {
      quiet.client.arrive(1);
      harness.turn();
      expect(quiet.backend.taken).toBe(bytes);
      expect(harness.calls.waits.at(-1)).toBe(0);
    }
  });

  test("a session that can't go on is not asked again: its place is the others'", () => {
    const harness = new SpliceHarness();
    const stuck = harness.lent(0, { backendRoom: 0 });
    const busy = harness.lent(1);
    stuck.client.arrive(10 * MiB);
    harness.settle();
    const before = { ...harness.calls.made };
    busy.client.arrive(10 * MiB);
    harness.settle();
    // Ten steps, and the one that finds nothing.
    expect(harness.calls.made["splice in"] - before["splice in"]).toBe(11);
    expect(harness.calls.made["splice out"] - before["splice out"]).toBe(10);
  });

  test("who waits for reports is woken by a turn that has some, and only by that", async () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client } = harness.lent();
    let woken = 0;
    const waiting = harness.arena.reports.whenWritten().then(() => woken++);
    client.arrive(1);
    // The first bytes are told; the second time there is nothing to tell.
    expect(harness.turn()).toEqual(["firstBytes toBackend"]);
    await waiting;
    void harness.arena.reports.whenWritten().then(() => woken++);
    client.arrive(1);
    harness.settle();
    await new Promise((resolve) => setImmediate(resolve));
    expect(woken).toBe(1);
    client.finish();
    harness.loop.turn(0);
    await until(() => woken === 2, "the second wake-up");
  });
});
