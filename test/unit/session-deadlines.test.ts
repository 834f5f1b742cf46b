/** Which timeout of a session comes first, and which is over. */
import { describe, expect, test } from "bun:test";
import { nextDeadlineMs, overdue, type SessionFigures, type SessionTimeouts } from "../../src/session/deadlines.ts";
import type { TimeoutEnd } from "../../src/session/end.ts";

/** All off. */
const off: SessionTimeouts = { connectMs: 0, responseMs: 0, idleMs: 0, halfClosedMs: 0, lifetimeMs: 0, inspectMs: 0 };
/** A different figure for each, so that none is taken for another. */
const all: SessionTimeouts = {
  connectMs: 5,
  responseMs: 70,
  idleMs: 600,
  halfClosedMs: 80,
  lifetimeMs: 9_000,
  inspectMs: 20,
};

/** Accepted at 1000, and nothing else is so. */
const accepted: SessionFigures = {
  acceptedAtMs: 1000,
  inspectingSinceMs: undefined,
  attemptSinceMs: undefined,
  activeAtMs: undefined,
  unansweredSinceMs: undefined,
  halfClosedSinceMs: undefined,
  drainIdleMs: 0,
};

interface Row {
  readonly what: string;
  readonly timeouts?: Partial<SessionTimeouts>;
  readonly figures: Partial<SessionFigures>;
  /** When the first timeout is over, and its word. */
  readonly first: readonly [ms: number, end: TimeoutEnd] | undefined;
}

const rows: readonly Row[] = [
  { what: "accepted", figures: {}, first: [10_000, "lifetime"] },
  { what: "inspecting", figures: { inspectingSinceMs: 1000 }, first: [1020, "inspect_timeout"] },
  {
    what: "inspecting without an inspect timeout",
    timeouts: { inspectMs: 0 },
    figures: { inspectingSinceMs: 1000, activeAtMs: 1010 },
    first: [1610, "idle_timeout"],
  },
  {
    what: "inspecting while draining",
    timeouts: { inspectMs: 0 },
    figures: { inspectingSinceMs: 1000, activeAtMs: 1010, drainIdleMs: 30 },
    first: [1040, "drain_idle"],
  },
  { what: "dialing since 1001", figures: { attemptSinceMs: 1001 }, first: [1006, "connect_timeout"] },
  {
    what: "dialing without a connect timeout",
    timeouts: { connectMs: 0 },
    figures: { attemptSinceMs: 1001 },
    first: [10_000, "lifetime"],
  },
  { what: "forwarding, active at 1010", figures: { activeAtMs: 1010 }, first: [1610, "idle_timeout"] },
  {
    what: "forwarding without an idle timeout",
    timeouts: { idleMs: 0 },
    figures: { activeAtMs: 1010 },
    first: [10_000, "lifetime"],
  },
  {
    what: "unanswered since 1020",
    figures: { activeAtMs: 1020, unansweredSinceMs: 1020 },
    first: [1090, "response_timeout"],
  },
  {
    what: "unanswered since 1020, and the client goes on sending: that is no answer",
    figures: { activeAtMs: 1089, unansweredSinceMs: 1020 },
    first: [1090, "response_timeout"],
  },
  {
    what: "unanswered without a response timeout",
    timeouts: { responseMs: 0 },
    figures: { activeAtMs: 1020, unansweredSinceMs: 1020 },
    first: [1620, "idle_timeout"],
  },
  {
    what: "half-closed at 1030, silent since before",
    figures: { activeAtMs: 1010, halfClosedSinceMs: 1030 },
    first: [1110, "half_closed_timeout"],
  },
  {
    what: "half-closed at 1030, and bytes moved at 1050",
    figures: { activeAtMs: 1050, halfClosedSinceMs: 1030 },
    first: [1130, "half_closed_timeout"],
  },
  {
    what: "half-closed without its timeout",
    timeouts: { halfClosedMs: 0 },
    figures: { activeAtMs: 1050, halfClosedSinceMs: 1030 },
    first: [1650, "idle_timeout"],
  },
  {
    what: "half-closed, no longer forwarding",
    figures: { halfClosedSinceMs: 1030 },
    first: [10_000, "lifetime"],
  },
  {
    what: "draining, active at 1010",
    figures: { activeAtMs: 1010, drainIdleMs: 40 },
    first: [1050, "drain_idle"],
  },
  {
    what: "draining while dialing",
    figures: { attemptSinceMs: 1001, drainIdleMs: 2 },
    first: [1006, "connect_timeout"],
  },
  {
    what: "draining with more patience than the idle timeout",
    figures: { activeAtMs: 1010, drainIdleMs: 700 },
    first: [1610, "idle_timeout"],
  },
  {
    what: "close to the end of its life",
    figures: { activeAtMs: 9_999 },
    first: [10_000, "lifetime"],
  },
];

describe.each(rows)("$what", ({ timeouts, figures, first }) => {
  const these = { ...all, ...timeouts };
  const now = { ...accepted, ...figures };

  test("the next deadline is that of the first timeout", () => {
    expect(nextDeadlineMs(these, now)).toBe(first?.[0] ?? Infinity);
  });

  test("just before it nothing is over, and at it that one is", () => {
    expect(overdue(these, now, first![0] - 0.001)).toBeUndefined();
    expect(overdue(these, now, first![0])).toBe(first![1]);
    expect(overdue(these, now, first![0] + 0.001)).toBe(first![1]);
  });
});

test("with every timeout off nothing is ever over, whatever happens", () => {
  const busy = { ...accepted, attemptSinceMs: 1, activeAtMs: 2, unansweredSinceMs: 3, halfClosedSinceMs: 4 };
  expect(nextDeadlineMs(off, busy)).toBe(Infinity);
  expect(overdue(off, busy, Number.MAX_SAFE_INTEGER)).toBeUndefined();
});

test("when several are over at once the more telling word is given", () => {
  const figures = {
    ...accepted,
    attemptSinceMs: 1000,
    activeAtMs: 1000,
    unansweredSinceMs: 1000,
    halfClosedSinceMs: 1000,
    drainIdleMs: 10,
  };
  const late = 1_000_000;
  expect(overdue(all, figures, late)).toBe("connect_timeout");
  expect(overdue(all, { ...figures, attemptSinceMs: undefined }, late)).toBe("response_timeout");
  const answered = { ...figures, attemptSinceMs: undefined, unansweredSinceMs: undefined };
  expect(overdue(all, answered, late)).toBe("half_closed_timeout");
  const open = { ...answered, halfClosedSinceMs: undefined };
  expect(overdue(all, open, late)).toBe("drain_idle");
  expect(overdue(all, { ...open, drainIdleMs: 0 }, late)).toBe("idle_timeout");
  expect(overdue(all, { ...open, drainIdleMs: 0, activeAtMs: undefined }, late)).toBe("lifetime");
});
