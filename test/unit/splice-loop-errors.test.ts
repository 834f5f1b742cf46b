/** The loop of the splice engine when calls that move bytes fail: each with each errno, over a fake kernel. */
import { describe, expect, test } from "bun:test";
import { scarcityRetryMs, stepBytes } from "../../src/forward/splice/loop.ts";
import type { FakeCall } from "../support/fake-epoll.ts";
import { errnos, idleWaitMs, SpliceHarness, type Errno, type Pair } from "../support/splice-harness.ts";

const all = Object.keys(errnos) as Errno[];
/** Those that a peer or a lack of something can cause, by what is done about them. */
const lacking: readonly Errno[] = ["ENOMEM", "ENOBUFS"];
const mistakes: readonly Errno[] = ["EBADF", "EINVAL", "EPERM"];
const ofAPeer = all.filter((name) => ![...lacking, ...mistakes, "EINTR", "EAGAIN"].includes(name));

/** How bytes are moved: small reads through a buffer, large ones through a pipe alone. */
interface Mode {
  readonly name: string;
  readonly in: FakeCall;
  readonly out: FakeCall;
  /** What is moved first, to bring a half into the mode, and what is moved then. */
  readonly warmBytes: number;
  readonly bytes: number;
}

const modes: readonly Mode[] = [
  { name: "small reads", in: "receive", out: "send", warmBytes: 1, bytes: 1000 },
  { name: "large reads", in: "splice in", out: "splice out", warmBytes: stepBytes, bytes: 100_000 },
];
const small = modes[0]!;

/** A session whose half to the backend is in a mode, and has bytes to move. */
function busy(harness: SpliceHarness, mode: Mode, room = Infinity): Pair & { readonly moved: number } {
  const pair = harness.lent(0, { backendRoom: mode.warmBytes });
  pair.client.arrive(mode.warmBytes);
  harness.settle();
  expect(pair.backend.taken).toBe(mode.warmBytes);
  pair.backend.makeRoom(room);
  pair.client.arrive(mode.bytes);
  return { ...pair, moved: mode.warmBytes };
}

test("every errno is in one of the groups", () => {
  expect(ofAPeer.toSorted()).toEqual(["ECONNRESET", "EMFILE", "ENFILE", "EPIPE", "ETIMEDOUT"]);
});

describe.each(modes)("$name, taken from a socket:", (mode) => {
  test("EINTR: again with the next turn, which does not wait", () => {
    const harness = new SpliceHarness();
    const { backend, moved } = busy(harness, mode);
    harness.calls.fail(mode.in, errnos.EINTR, errnos.EINTR);
    for (let turns = 0; turns < 2; turns++) expect(harness.turn()).toEqual([]);
    expect(backend.taken).toBe(moved);
    harness.turn();
    expect(harness.calls.waits.slice(-2)).toEqual([0, 0]);
    expect(backend.taken).toBe(moved + mode.bytes);
    harness.expectReleased();
  });

  test("EAGAIN: not before the next event", () => {
    const harness = new SpliceHarness();
    const { client, backend, moved } = busy(harness, mode);
    const before = harness.calls.made[mode.in];
    harness.calls.fail(mode.in, errnos.EAGAIN);
    for (let turns = 0; turns < 5; turns++) expect(harness.turn()).toEqual([]);
    expect(harness.calls.made[mode.in]).toBe(before + 1);
    expect(harness.calls.waits.at(-1)).toBe(idleWaitMs);
    client.arrive(1);
    expect(harness.settle()).toEqual([]);
    expect(backend.taken).toBe(moved + mode.bytes + 1);
    harness.expectReleased();
  });

  test.each(lacking)("%s: again after a while, or with the next turn that comes sooner", (name) => {
    const harness = new SpliceHarness();
    const other = harness.lent(1);
    const { backend, moved } = busy(harness, mode);
    harness.calls.fail(mode.in, errnos[name], errnos[name]);
    for (let turns = 0; turns < 2; turns++) expect(harness.turn()).toEqual([]);
    expect(harness.calls.waits.at(-1)).toBe(scarcityRetryMs);
    expect(backend.taken).toBe(moved);
    // An event of somebody else.
    const beforeMs = harness.calls.nowMs;
    other.backend.arrive(1);
    expect(harness.turn()).toEqual(["firstBytes toClient of 1"]);
    expect(harness.calls.nowMs).toBe(beforeMs);
    expect(backend.taken).toBe(moved + mode.bytes);
    expect(harness.calls.filledPipes).toBe(0);
  });

  test.each(mistakes)("%s: the session has failed, and nothing more is moved", (name) => {
    const harness = new SpliceHarness();
    const { client, backend, moved } = busy(harness, mode);
    backend.arrive(500);
    harness.calls.fail(mode.in, errnos[name]);
    expect(harness.turn()).toEqual([`failed toBackend ${name}`]);
    client.finish();
    backend.reset();
    const later = harness.settle();
    expect(later.filter((line) => line.startsWith("failed") || line.startsWith("ended"))).toEqual([]);
    expect([client.taken, backend.taken, client.finSent, backend.finSent]).toEqual([0, moved, false, false]);
    harness.expectReleased();
  });

  test.each(ofAPeer)("%s: the peer has reset, nothing is left of what it sent, and no FIN follows", (name) => {
    const harness = new SpliceHarness();
    const { client, backend, moved } = busy(harness, mode);
    harness.calls.fail(mode.in, errnos[name]);
    expect(harness.settle()).toEqual(["reset toBackend", "ended toBackend"]);
    expect([backend.taken, backend.finSent]).toEqual([moved, false]);
    backend.arrive(500);
    expect(harness.settle()).toEqual([]);
    expect(client.taken).toBe(0);
    harness.expectReleased();
  });
});

describe.each(modes)("$name, given to a socket:", (mode) => {
  test("EINTR: again with the next turn, from a pipe", () => {
    const harness = new SpliceHarness();
    const { backend, moved } = busy(harness, mode);
    harness.calls.fail(mode.out, errnos.EINTR);
    harness.calls.fail("splice out", errnos.EINTR);
    expect(harness.turn()).toEqual([]);
    expect(harness.figures(0, 0)).toEqual({ bytes: moved, queued: mode.bytes });
    expect(harness.turn()).toEqual([]);
    expect(harness.turn()).toEqual([]);
    expect(harness.calls.waits.slice(-2)).toEqual([0, 0]);
    expect([backend.taken, harness.calls.made.pipe]).toEqual([moved + mode.bytes, 1]);
    harness.expectReleased();
  });

  test("EAGAIN: not before there is room; the bytes stay in the pipe", () => {
    const harness = new SpliceHarness();
    const { backend, moved } = busy(harness, mode, 0);
    expect(harness.settle()).toEqual([]);
    expect(harness.figures(0, 0)).toEqual({ bytes: moved, queued: mode.bytes });
    const before = { ...harness.calls.made };
    for (let turns = 0; turns < 5; turns++) harness.turn();
    expect([harness.calls.made.send, harness.calls.made["splice out"]]).toEqual([before.send, before["splice out"]]);
    backend.makeRoom(mode.bytes - 1);
    expect(harness.settle()).toEqual([]);
    expect(harness.figures(0, 0)).toEqual({ bytes: moved + mode.bytes - 1, queued: 1 });
    backend.makeRoom(1);
    harness.settle();
    expect(harness.figures(0, 0)).toEqual({ bytes: moved + mode.bytes, queued: 0 });
    harness.expectReleased();
  });

  test.each(lacking)("%s: again after a while; the bytes stay in the pipe", (name) => {
    const harness = new SpliceHarness();
    const { backend, moved } = busy(harness, mode);
    harness.calls.fail(mode.out, errnos[name]);
    harness.calls.fail("splice out", errnos[name]);
    for (let turns = 0; turns < 2; turns++) expect(harness.turn()).toEqual([]);
    expect(harness.calls.waits.at(-1)).toBe(scarcityRetryMs);
    expect(harness.figures(0, 0)).toEqual({ bytes: moved, queued: mode.bytes });
    expect(harness.turn()).toEqual([]);
    expect(harness.calls.waits.at(-1)).toBe(scarcityRetryMs);
    expect([backend.taken, harness.calls.made.pipe]).toEqual([moved + mode.bytes, 1]);
    harness.expectReleased();
  });

  test.each(mistakes)("%s: the session has failed; its pipes are closed with what was in them", (name) => {
    const harness = new SpliceHarness();
    const { client, backend, moved } = busy(harness, mode);
    backend.arrive(500);
    client.room = 0;
    harness.calls.fail(mode.out, errnos[name]);
    expect(harness.settle()).toEqual([`failed toBackend ${name}`]);
    expect(harness.calls.pipes.size).toBe(0);
    expect(harness.figures(0, 0)).toEqual({ bytes: moved, queued: 0 });
    expect(harness.figures(0, 1)).toEqual({ bytes: 0, queued: 0 });
    harness.expectReleased();
  });

  test.each(ofAPeer)("%s: the peer there has reset; the pipe is closed with what was in it", (name) => {
    const harness = new SpliceHarness();
    const { client, backend, moved } = busy(harness, mode);
    harness.calls.fail(mode.out, errnos[name]);
    expect(harness.settle()).toEqual(["reset toClient"]);
    expect(harness.calls.pipes.size).toBe(0);
    expect(harness.figures(0, 0)).toEqual({ bytes: moved, queued: 0 });
    // What it had sent before comes through.
    backend.arrive(500);
    backend.broken = backend.changed = true;
    expect(harness.settle()).toEqual(["finished toClient", "firstBytes toClient", "ended toClient"]);
    expect([client.taken, client.finSent]).toEqual([500, false]);
    harness.expectReleased();
  });
});

describe("write to a pipe", () => {
  test.each(all)("%s: what was read can be kept nowhere, so the session has failed", (name) => {
    const harness = new SpliceHarness();
    const { moved } = busy(harness, small, 400);
    harness.calls.fail("write", errnos[name]);
    expect(harness.settle()).toEqual([`failed toBackend ${name}`]);
    expect(harness.calls.pipes.size).toBe(0);
    expect(harness.figures(0, 0).queued).toBe(0);
    expect(harness.figures(0, 0).bytes).toBeGreaterThanOrEqual(moved);
    harness.expectReleased();
  });
});
