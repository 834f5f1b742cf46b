/** A session's timeouts: which comes first and which is over. Pure arithmetic; times in ms of one clock. */
import type { TimeoutEnd } from "./end.ts";
import { unreachable } from "../core/assert.ts";

/** Timeouts of a listener's sessions, in ms; 0 = off. */
export interface SessionTimeouts {
  readonly connectMs: number;
  readonly responseMs: number;
  readonly idleMs: number;
  readonly halfClosedMs: number;
  readonly lifetimeMs: number;
  readonly inspectMs: number;
}

/** What of a session its timeouts depend on. `undefined` means that there is nothing to time. */
export interface SessionFigures {
  readonly acceptedAtMs: number;
  /** When the wait for the client's first bytes began; only while they are needed to go on. */
  readonly inspectingSinceMs: number | undefined;
  /** When the present attempt to reach an endpoint began; only while dialing. */
  readonly attemptSinceMs: number | undefined;
  /** When bytes last moved, or the backend was reached; while inspecting, when the client last sent some, or was accepted. */
  readonly activeAtMs: number | undefined;
  /** When the first client bytes were taken by a backend that has sent none so far. */
  readonly unansweredSinceMs: number | undefined;
  /** When the first of both sides finished, while the other goes on. */
  readonly halfClosedSinceMs: number | undefined;
  /** Silence allowed while draining; 0 = any, or not draining. */
  readonly drainIdleMs: number;
}

/** In the order in which they are named when several are over at once: the more telling word first. */
const timeoutEnds: readonly TimeoutEnd[] = [
  "inspect_timeout",
  "connect_timeout",
  "response_timeout",
  "half_closed_timeout",
  "drain_idle",
  "idle_timeout",
  "lifetime",
];

/** When the first of all timeouts will be over; `Infinity` when none is running. */
export function nextDeadlineMs(timeouts: SessionTimeouts, figures: SessionFigures): number {
  let next = Infinity;
  for (const end of timeoutEnds) {
    const atMs = deadlineMs(end, timeouts, figures);
    if (atMs < next) next = atMs;
  }
  return next;
}

/** The timeout that is over at `nowMs`, or `undefined`. */
export function overdue(timeouts: SessionTimeouts, figures: SessionFigures, nowMs: number): TimeoutEnd | undefined {
  return timeoutEnds.find((end) => deadlineMs(end, timeouts, figures) <= nowMs);
}

function deadlineMs(end: TimeoutEnd, timeouts: SessionTimeouts, figures: SessionFigures): number {
  switch (end) {
    case "inspect_timeout":
      return after(figures.inspectingSinceMs, timeouts.inspectMs);
    case "connect_timeout":
      return after(figures.attemptSinceMs, timeouts.connectMs);
    case "response_timeout":
      return after(figures.unansweredSinceMs, timeouts.responseMs);
    case "half_closed_timeout": {
      const { activeAtMs, halfClosedSinceMs } = figures;
      if (activeAtMs === undefined || halfClosedSinceMs === undefined) return Infinity;
      return after(Math.max(activeAtMs, halfClosedSinceMs), timeouts.halfClosedMs);
    }
    case "drain_idle":
      return after(figures.activeAtMs, figures.drainIdleMs);
    case "idle_timeout":
      return after(figures.activeAtMs, timeouts.idleMs);
    case "lifetime":
      return after(figures.acceptedAtMs, timeouts.lifetimeMs);
    default:
      return unreachable(end);
  }
}

function after(sinceMs: number | undefined, timeoutMs: number): number {
  return sinceMs === undefined || timeoutMs === 0 ? Infinity : sinceMs + timeoutMs;
}
