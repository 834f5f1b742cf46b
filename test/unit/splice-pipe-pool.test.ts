/** The pool of pipes of the splice engine: over a fake kernel, and with the real one. */
import { describe, expect, test } from "bun:test";
import { Arena } from "../../src/forward/splice/arena.ts";
import { PipePool, pipeSizes } from "../../src/forward/splice/pipe-pool.ts";
import { libc } from "../../src/sys/libc.ts";
import { openDescriptors } from "../support/descriptors.ts";
import { FakeSpliceCalls } from "../support/fake-splice-calls.ts";
import { pipeCapacity } from "../support/libc.ts";
import { errnos } from "../support/splice-harness.ts";

function fakePool(sessionsMax = 64): { pool: PipePool; calls: FakeSpliceCalls; arena: Arena } {
  const calls = new FakeSpliceCalls();
  const arena = new Arena(sessionsMax);
  return { pool: new PipePool(arena, calls), calls, arena };
}

const open = (arena: Arena): number[] => [...arena.pipes].filter((fd) => fd !== -1);

describe("sizes", () => {
  test("a mebibyte is asked for first, and nothing else where it is given", () => {
    const { pool, calls } = fakePool();
    pool.take();
    expect(calls.sizesAsked).toEqual([1024 * 1024]);
    expect(pipeSizes[0]).toBe(1024 * 1024);
  });

  test.each([1, 2, 3])("after %d refusals the next smaller one is what it gets", (refusals) => {
    const { pool, calls } = fakePool();
    calls.fail("F_SETPIPE_SZ", ...Array(refusals).fill(errnos.EPERM));
    const sizes = [1024 * 1024, 512 * 1024, 256 * 1024, 128 * 1024];
    expect(pool.capacity(pool.take())).toBe(sizes[refusals]!);
    expect(calls.sizesAsked).toEqual(sizes.slice(0, refusals + 1));
  });

  test("where every size is refused, the pipe is used as it is", () => {
    const { pool, calls, arena } = fakePool();
    calls.fail("F_SETPIPE_SZ", ...Array(pipeSizes.length).fill(errnos.EPERM));
    calls.pipeCapacity = 8192;
    const place = pool.take();
    expect(pool.capacity(place)).toBe(8192);
    expect(open(arena)).toEqual([pool.readingEnd(place), pool.writingEnd(place)]);
    expect(calls.sizesAsked).toEqual([...pipeSizes]);
  });
});

describe("places", () => {
  test.each(["EMFILE", "ENFILE", "ENOMEM"] as const)(
    "%s is the answer, the table stays as it is, and the next try works",
    (name) => {
      const { pool, calls, arena } = fakePool();
      const first = pool.take();
      const before = [...arena.pipes];
      calls.fail("pipe", errnos[name], errnos[name]);
      expect([pool.take(), pool.take()]).toEqual([-errnos[name], -errnos[name]]);
      expect([...arena.pipes]).toEqual(before);
      expect(pool.open).toBe(1);
      const second = pool.take();
      expect(second).toBeGreaterThanOrEqual(0);
      expect(second).not.toBe(first);
      expect(open(arena).length).toBe(4);
    },
  );

  test("the one given back last is taken first, and none is made while one is idle", () => {
    const { pool, calls } = fakePool();
    const [a, b, c] = [pool.take(), pool.take(), pool.take()];
    pool.giveBack(b);
    pool.giveBack(a);
    pool.giveBack(c);
    expect([pool.take(), pool.take(), pool.take()]).toEqual([c, a, b]);
    expect(calls.made.pipe).toBe(3);
    expect(calls.sizesAsked.length).toBe(3);
    expect(pool.open).toBe(3);
  });

  test("at most 64 are kept idle; further ones are closed as they are given back", () => {
    const { pool, calls, arena } = fakePool(50);
    const places = Array.from({ length: 100 }, () => pool.take());
    expect(new Set(places).size).toBe(100);
    expect(open(arena).length).toBe(200);
    for (const place of places) pool.giveBack(place);
    expect([pool.open, calls.pipes.size]).toEqual([64, 64]);
    expect(open(arena).length).toBe(128);
  });

  test("destroying one closes both ends with what is in it, and frees its place", () => {
    const { pool, calls, arena } = fakePool(1);
    const [a, b] = [pool.take(), pool.take()];
    const source = calls.connection();
    source.arrive(10);
    expect(calls.splice(source.fd, pool.writingEnd(a), 10)).toBe(10);
    const kept = [pool.readingEnd(b), pool.writingEnd(b)];
    pool.destroy(a);
    expect([pool.open, calls.pipes.size, calls.filledPipes]).toEqual([1, 1, 0]);
    expect(open(arena)).toEqual(kept);
    // There are two places in all.
    expect(pool.take()).toBe(a);
    expect(() => pool.take()).toThrow("more pipes were taken than there are halves");
  });

  test("closing closes what is idle; what is in use was destroyed before", () => {
    const { pool, calls, arena } = fakePool();
    const places = Array.from({ length: 10 }, () => pool.take());
    for (const place of places.slice(0, 4)) pool.destroy(place);
    for (const place of places.slice(4)) pool.giveBack(place);
    pool.close();
    expect([pool.open, calls.pipes.size, open(arena).length]).toEqual([0, 0, 0]);
  });
});

describe("the real C library", () => {
  const pipesOfProcess = (): number[] =>
    openDescriptors()
      .filter(({ target }) => target.startsWith("pipe:"))
      .map(({ fd }) => fd);

  test("pipes hold what the pool says, are those in the table, and none is left", () => {
    const before = pipesOfProcess();
    const arena = new Arena(64);
    const pool = new PipePool(arena, libc!);
    const places = Array.from({ length: 20 }, () => pool.take());
    const made = pipesOfProcess().filter((fd) => !before.includes(fd));
    expect(made).toEqual(open(arena).toSorted((a, b) => a - b));
    expect(made.length).toBe(40);
    // Root has no quota; of another user other processes may have used it up.
    if (process.getuid!() === 0)
      expect(places.map((place) => pool.capacity(place))).toEqual(Array(20).fill(1024 * 1024));
    for (const place of places) {
      expect(pipeCapacity(pool.readingEnd(place))).toBe(pool.capacity(place));
      expect(pipeCapacity(pool.writingEnd(place))).toBe(pool.capacity(place));
    }
    for (const [index, place] of places.entries()) {
      if (index % 2 === 0) pool.destroy(place);
      else pool.giveBack(place);
    }
    expect(pipesOfProcess().length).toBe(before.length + 20);
    pool.close();
    expect(pipesOfProcess()).toEqual(before);
  });
});
