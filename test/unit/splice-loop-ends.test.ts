/** The loop of the splice engine, turn by turn over a fake kernel: FIN, reset, release and stop, and the order they are told in. */
import { describe, expect, test } from "bun:test";
import { smallBytes } from "../../src/forward/splice/arena.ts";
import { SpliceHarness } from "../support/splice-harness.ts";

describe("ends", () => {
  test("a FIN is passed on behind the last byte, and told before it", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lent();
    client.arrive(500);
    client.finish();
    expect(harness.settle()).toEqual(["finished toBackend", "firstBytes toBackend", "ended toBackend"]);
    expect([backend.taken, backend.finSent, client.finSent]).toEqual([500, true, false]);
    backend.arrive(70);
    expect(harness.settle()).toEqual(["firstBytes toClient"]);
    backend.finish();
    expect(harness.settle()).toEqual(["finished toClient", "ended toClient"]);
    expect([client.taken, client.finSent]).toEqual([70, true]);
  });

  test("a FIN with bytes still in the pipe waits for the reader: finished at once, ended with the last byte", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lent(0, { backendRoom: 100 });
    client.arrive(500);
    harness.settle();
    client.arrive(500);
    client.finish();
    expect(harness.settle()).toEqual(["finished toBackend"]);
    backend.makeRoom(899);
    expect(harness.settle()).toEqual([]);
    expect([backend.taken, backend.finSent]).toEqual([999, false]);
    backend.makeRoom(1);
    expect(harness.settle()).toEqual(["ended toBackend"]);
    expect([backend.taken, backend.finSent]).toEqual([1000, true]);
    expect(harness.calls.filledPipes).toBe(0);
  });

  test("a side that had finished before the take is not read again, and is not told of", () => {
    const harness = new SpliceHarness();
    harness.told();
    const pair = harness.lend(0, { endedBefore: [true, false] });
    pair.client.finish();
    pair.backend.finSent = true;
    expect(harness.settle()).toEqual([]);
    pair.backend.arrive(123);
    pair.backend.finish();
    expect(harness.settle()).toEqual(["finished toClient", "firstBytes toClient", "ended toClient"]);
    expect([pair.client.taken, pair.client.finSent]).toEqual([123, true]);
  });

  test("where splice speaks of an end in front of urgent data, a read tells what is still to come", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lent();
    client.arrive(10 * smallBytes);
    harness.settle();
    harness.told();
    client.arrive(3 * smallBytes);
    client.urgent = true;
    client.finish();
    expect(harness.settle()).toEqual(["finished toBackend", "ended toBackend"]);
    expect([backend.taken, backend.finSent]).toEqual([13 * smallBytes, true]);
  });

  test("both sides finish in one turn: each is told its own", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lent();
    client.finish();
    backend.finish();
    expect(harness.settle()).toEqual(["finished toBackend", "finished toClient", "ended toBackend", "ended toClient"]);
    expect([client.finSent, backend.finSent]).toEqual([true, true]);
  });
});

describe("resets", () => {
  test("what came before a reset is passed on, without FIN; the other direction is given up with its pipe", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lent(0, { backendRoom: 100, clientRoom: 100 });
    client.arrive(1000);
    backend.arrive(1000);
    harness.settle();
    expect(harness.calls.filledPipes).toBe(2);
    backend.reset();
    expect(harness.settle()).toEqual(["reset toClient"]);
    // The pipe to the one that has reset is gone.
    expect(harness.calls.filledPipes).toBe(1);
    expect(harness.calls.pipes.size).toBe(1);
    expect(harness.figures(0, 0)).toEqual({ bytes: 100, queued: 0 });
    client.makeRoom(Infinity);
    expect(harness.settle()).toEqual(["ended toClient"]);
    expect([client.taken, client.finSent]).toEqual([1000, false]);
    expect(harness.calls.filledPipes).toBe(0);
    // Bytes of the survivor go nowhere.
    client.arrive(5);
    expect(harness.settle()).toEqual([]);
    expect(harness.figures(0, 0)).toEqual({ bytes: 100, queued: 0 });
  });

  test("the survivor resets as well: nothing is left to do, and no pipe", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lent(0, { clientRoom: 100 });
    backend.arrive(1000);
    harness.settle();
    backend.reset();
    expect(harness.settle()).toEqual(["reset toClient"]);
    client.reset();
    expect(harness.settle()).toEqual(["reset toBackend"]);
    expect(harness.calls.pipes.size).toBe(0);
    expect(harness.figures(0, 1)).toEqual({ bytes: 100, queued: 0 });
    expect([client.finSent, backend.finSent]).toEqual([false, false]);
  });

  test("both reset in one turn: both are told, and nothing is moved any more", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lent();
    client.reset();
    backend.reset();
    expect(harness.settle()).toEqual(["reset toBackend", "reset toClient"]);
    expect(harness.calls.made["splice in"]).toBe(0);
    expect(harness.calls.filledPipes).toBe(0);
  });

  test("a reset after a FIN that is passed on already is told, and the other direction is given up", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lent();
    client.finish();
    harness.settle();
    client.reset();
    expect(harness.settle()).toEqual(["reset toBackend"]);
    backend.arrive(10);
    expect(harness.settle()).toEqual([]);
    expect(client.taken).toBe(0);
  });

  test("a reset that a write meets first is told as one, and what that peer sent is passed on", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lent(0, { clientRoom: 0 });
    backend.arrive(40);
    harness.settle();
    client.arrive(10);
    // The write takes the error, so that the event tells only of the end.
    client.changed = backend.changed = true;
    backend.broken = true;
    harness.calls.fail("splice out", 104);
    expect(harness.settle()).toEqual(["finished toClient", "reset toClient"]);
    client.makeRoom(Infinity);
    expect(harness.settle()).toEqual(["firstBytes toClient", "ended toClient"]);
    expect([client.taken, client.finSent]).toEqual([40, false]);
  });
});

describe("commands", () => {
  test("a session that is let go of has nothing left here: no pipe, no event, no report", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lent(0, { backendRoom: 10 });
    client.arrive(1000);
    harness.settle();
    client.arrive(1000);
    harness.tell("release");
    expect(harness.turn()).toEqual(["released"]);
    expect(harness.figures(0, 0)).toEqual({ bytes: 10, queued: 0 });
    expect(harness.calls.watched).toEqual([harness.calls.wakeFd]);
    expect(harness.calls.filledPipes).toBe(0);
    backend.reset();
    client.finish();
    backend.makeRoom(Infinity);
    expect(harness.settle()).toEqual([]);
    expect(backend.taken).toBe(10);
  });

  test("a release that comes twice, or for a slot that nobody has, is answered once", () => {
    const harness = new SpliceHarness();
    harness.told();
    harness.lent(1);
    harness.tell("release", 1);
    harness.tell("release", 1);
    harness.tell("release", 0);
    expect(harness.settle()).toEqual(["released of 1"]);
    harness.tell("release", 1);
    expect(harness.settle()).toEqual([]);
  });

  test("a take and its release in one turn: nothing was moved", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client, backend } = harness.lend();
    client.arrive(1000);
    harness.tell("release");
    expect(harness.settle()).toEqual(["released"]);
    expect(backend.taken).toBe(0);
    expect(harness.calls.watched).toEqual([harness.calls.wakeFd]);
  });

  test("a slot that is taken anew knows nothing of the session before", () => {
    const harness = new SpliceHarness();
    harness.told();
    const { client } = harness.lent();
    client.arrive(3 * smallBytes);
    client.reset();
    expect(harness.settle()).toEqual(["reset toBackend", "firstBytes toBackend", "ended toBackend"]);
    harness.tell("release");
    harness.settle();
    const { receive } = harness.calls.made;
    const next = harness.lent();
    next.client.arrive(2);
    next.client.finish();
    expect(harness.settle()).toEqual(["finished toBackend", "firstBytes toBackend", "ended toBackend"]);
    expect(next.backend.finSent).toBe(true);
    // The two bytes and the FIN: it has not shown yet that its reads are large.
    expect(harness.calls.made.receive).toBe(receive + 2);
    next.backend.reset();
    expect(harness.settle()).toEqual(["reset toClient", "ended toClient"]);
  });

  test.each([
    ["a reset", (harness: SpliceHarness) => [...harness.calls.connections.values()][0]!.reset()],
    ["a FIN", (harness: SpliceHarness) => [...harness.calls.connections.values()][0]!.finish()],
  ])("%s of a session whose slot is given away in the same turn is not the next one's", (_, act) => {
    const harness = new SpliceHarness();
    harness.told();
    harness.lent();
    act(harness);
    // A main thread that is quick enough reads `released` and lends the slot again while the loop still obeys.
    harness.tell("release");
    const next = harness.lend();
    const told = harness.settle();
    expect(told.slice(told.indexOf("released"))).toEqual(["released"]);
    next.client.arrive(10);
    expect(harness.settle()).toEqual(["firstBytes toBackend"]);
  });

  test("with the last session its idle pipes go, and not before", () => {
    const harness = new SpliceHarness();
    for (const slot of [0, 1]) harness.lent(slot, { backendRoom: slot === 0 ? 5 : Infinity }).client.arrive(1000);
    harness.settle();
    expect(harness.pipesOpen.length).toBe(4);
    harness.tell("release", 0);
    harness.settle();
    // The one that held bytes was closed with them.
    expect(harness.pipesOpen.length).toBe(2);
    harness.tell("release", 1);
    harness.settle();
    expect([harness.pipesOpen, harness.pipesInTable]).toEqual([[], []]);
  });

  test("stop gives every session back, and leaves neither pipes nor the epoll", () => {
    const harness = new SpliceHarness();
    harness.told();
    const pairs = [0, 1, 2].map((slot) => harness.lent(slot, { backendRoom: slot === 0 ? 5 : Infinity }));
    for (const { client } of pairs) client.arrive(1000);
    harness.settle();
    expect(harness.pipesInTable.toSorted()).toEqual(harness.pipesOpen.toSorted());
    // One with bytes in it, and an idle one.
    expect(harness.pipesOpen.length).toBe(4);
    harness.tell("stop");
    harness.loop.run();
    expect(harness.told()).toEqual(["released", "released of 1", "released of 2"]);
    expect(harness.pipesOpen).toEqual([]);
    expect(harness.pipesInTable).toEqual([]);
    expect(harness.calls.hasEpoll).toBe(false);
    expect(harness.arena.epoll[0]).toBe(-1);
    expect(pairs.map((_, slot) => harness.figures(slot, 0))).toEqual([
      { bytes: 5, queued: 0 },
      { bytes: 1000, queued: 0 },
      { bytes: 1000, queued: 0 },
    ]);
  });

  test("a command that does not exist throws, and what is open is in the table for who outlives the loop", () => {
    const harness = new SpliceHarness();
    const { client } = harness.lent(0, { backendRoom: 5 });
    client.arrive(1000);
    harness.settle();
    harness.tellRaw(99, 0);
    expect(() => harness.turn()).toThrow("the splice engine got a command that does not exist: 99");
    expect(harness.pipesInTable.toSorted()).toEqual(harness.pipesOpen.toSorted());
    expect(harness.arena.epoll[0]).toBeGreaterThan(0);
    expect(harness.figures(0, 0)).toEqual({ bytes: 5, queued: 995 });
  });
});
