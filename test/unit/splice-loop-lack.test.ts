/** The loop of the splice engine where pipes are lacking, and where its epoll fails: each errno, over a fake kernel. */
import { describe, expect, test } from "bun:test";
import { Arena } from "../../src/forward/splice/arena.ts";
import { scarcityRetryMs, SpliceLoop } from "../../src/forward/splice/loop.ts";
import { FakeSpliceCalls } from "../support/fake-splice-calls.ts";
import { errnos, idleWaitMs, SpliceHarness, type Errno } from "../support/splice-harness.ts";

const all = Object.keys(errnos) as Errno[];

describe("pipe", () => {
  test.each(all)("%s: tried again after a while, as long as it takes; the bytes stay in their socket", (name) => {
    const harness = new SpliceHarness();
    const { client, backend } = harness.lent();
    harness.told();
    client.arrive(1000);
    harness.calls.fail("pipe", ...Array(5).fill(errnos[name]));
    for (let turns = 0; turns < 5; turns++) expect(harness.turn()).toEqual([]);
    expect(harness.calls.waits.slice(-4)).toEqual(Array(4).fill(scarcityRetryMs));
    expect([client.read, backend.taken]).toEqual([0, 0]);
    expect(harness.pipesInTable).toEqual([]);
    expect(harness.turn()).toEqual(["firstBytes toBackend"]);
    expect(backend.taken).toBe(1000);
    harness.expectReleased();
  });

  test("all that lack one are tried again in the same turn", () => {
    const harness = new SpliceHarness();
    harness.told();
    const pairs = [0, 1, 2].map((slot) => harness.lent(slot));
    harness.calls.fail("pipe", ...Array(3).fill(errnos.EMFILE));
    for (const { client } of pairs) client.arrive(10);
    expect(harness.turn()).toEqual([]);
    expect(harness.turn().length).toBe(3);
    expect(pairs.map(({ backend }) => backend.taken)).toEqual([10, 10, 10]);
  });

  test("where one is all there is, the halves share it", () => {
    const harness = new SpliceHarness();
    const pairs = [0, 1, 2, 3].map((slot) => harness.lent(slot));
    harness.calls.fail("pipe", 0, ...Array(100).fill(errnos.EMFILE));
    for (const { client, backend } of pairs) {
      client.arrive(3_000_000);
      backend.arrive(3_000_000);
    }
    harness.settle();
    expect(pairs.map(({ client, backend }) => [client.taken, backend.taken])).toEqual(
      Array(4).fill([3_000_000, 3_000_000]),
    );
    expect(harness.calls.pipes.size).toBe(1);
  });

  test("where it is stuck, the others wait without a busy turn, and go on with what is given back", () => {
    const harness = new SpliceHarness();
    const stuck = harness.lent(0, { backendRoom: 10 });
    const waiting = harness.lent(1);
    harness.calls.fail("pipe", 0, ...Array(10).fill(errnos.EMFILE));
    stuck.client.arrive(1000);
    harness.turn();
    waiting.client.arrive(1000);
    for (let turns = 0; turns < 6; turns++) harness.turn();
    expect(harness.calls.waits.slice(-5)).toEqual(Array(5).fill(scarcityRetryMs));
    expect(waiting.backend.taken).toBe(0);
    stuck.backend.makeRoom(990);
    harness.settle();
    expect([stuck.backend.taken, waiting.backend.taken]).toEqual([1000, 1000]);
    expect(harness.calls.pipes.size).toBe(1);
  });

  test("a session that lacks one can be released, and the next in its slot starts clean", () => {
    const harness = new SpliceHarness();
    harness.lent().client.arrive(1000);
    harness.told();
    harness.calls.fail("pipe", ...Array(3).fill(errnos.ENFILE));
    harness.turn();
    expect(harness.calls.waits.length).toBeGreaterThan(0);
    harness.tell("release");
    expect(harness.turn()).toEqual(["released"]);
    const { client, backend } = harness.lent();
    expect(harness.calls.waits.at(-1)).toBe(idleWaitMs);
    client.arrive(9);
    expect(harness.settle()).toEqual(["firstBytes toBackend"]);
    expect(backend.taken).toBe(9);
  });
});

describe("epoll", () => {
  test.each(all)("epoll_create fails with %s: there is no loop, and no descriptor", (name) => {
    const calls = new FakeSpliceCalls();
    calls.fail("epoll_create", errnos[name]);
    const arena = new Arena(1);
    const error = `the splice engine cannot make an epoll: ${name}`;
    expect(() => new SpliceLoop(arena, calls, calls.wakeFd)).toThrow(error);
    expect(arena.epoll[0]).toBe(-1);
    expect(arena.reports.next()).toBe(false);
  });

  test.each(all)(
    "the eventfd can't be watched (%s): there is no loop; its epoll is known to who outlives it",
    (name) => {
      const calls = new FakeSpliceCalls();
      calls.fail("epoll_ctl", errnos[name]);
      const arena = new Arena(1);
      const error = `the splice engine cannot watch the eventfd: ${name}`;
      expect(() => new SpliceLoop(arena, calls, calls.wakeFd)).toThrow(error);
      expect(calls.hasEpoll).toBe(true);
      expect(arena.epoll[0]).toBeGreaterThan(0);
      expect(arena.reports.next()).toBe(false);
    },
  );

  test.each(all)("a socket can't be watched (%s): the session has failed, and is released like any other", (name) => {
    for (const direction of ["toBackend", "toClient"] as const) {
      const harness = new SpliceHarness();
      harness.told();
      harness.calls.fail("epoll_ctl", ...(direction === "toClient" ? [0] : []), errnos[name]);
      const { client, backend } = harness.lend();
      client.arrive(10);
      backend.arrive(10);
      expect(harness.settle()).toEqual([`failed ${direction} ${name}`]);
      expect([client.taken, backend.taken]).toEqual([0, 0]);
      harness.expectReleased();
      const next = harness.lent();
      next.client.arrive(10);
      expect(harness.settle()).toEqual(["firstBytes toBackend"]);
    }
  });

  test("epoll_wait, EINTR: the next turn; nothing is lost", () => {
    const harness = new SpliceHarness();
    const { client, backend } = harness.lent();
    client.arrive(1000);
    harness.calls.fail("epoll_wait", errnos.EINTR, errnos.EINTR);
    for (let turns = 0; turns < 2; turns++) expect(harness.turn()).toEqual([]);
    expect(backend.taken).toBe(0);
    expect(harness.settle()).toEqual(["firstBytes toBackend"]);
    expect(backend.taken).toBe(1000);
    harness.expectReleased();
  });

  test.each(all.filter((name) => name !== "EINTR"))(
    "epoll_wait, %s: it throws, and takes its engine with it",
    (name) => {
      const harness = new SpliceHarness();
      harness.lent(0, { backendRoom: 5 }).client.arrive(1000);
      harness.turn();
      expect(harness.calls.filledPipes).toBe(1);
      harness.calls.fail("epoll_wait", errnos[name]);
      expect(() => harness.turn()).toThrow(`the splice engine cannot wait for events: ${name}`);
      expect(harness.pipesInTable.toSorted()).toEqual(harness.pipesOpen.toSorted());
    },
  );
});
