/** What of the program's life is logged, and in which words. */
import { unreachable } from "../core/assert.ts";
import type { StopReason } from "../lifecycle/component.ts";
import type { LifecycleEvent } from "../lifecycle/event.ts";
import type { Log } from "./log.ts";

/** Writes the line of an event, if it has one. `connections` are those open at the moment. */
export function logLifecycle(log: Log, event: LifecycleEvent, connections: number): void {
  switch (event.kind) {
    case "running":
      return log.info({ duration_ms: Math.round(event.durationMs) }, "ready");
    case "stop_requested":
      if (event.reason.kind === "start_failed") return;
      return log.info({ reason: describeReason(event.reason), connections }, "shutting down");
    case "failed":
      // What stands in the way of a start is said by whoever started us.
      if (event.failure.phase === "start") return;
      return log.error({ component: event.name, phase: event.failure.phase, error: event.failure.error }, "failed");
    case "abandoned":
      return log.warn({ component: event.name, phase: event.phase, timeout_ms: event.timeoutMs }, "abandoned");
    case "starting":
    case "stopping":
      return log.debug({ component: event.name }, event.kind);
    case "started":
    case "ready":
    case "stopped":
      return log.debug({ component: event.name, duration_ms: Math.round(event.durationMs) }, event.kind);
    case "not_ready_yet":
      return log.debug({ component: event.name, attempt: event.attempt, error: event.error }, "not ready yet");
    case "ended":
      return log.warn({ component: event.name, error: event.error }, "ended by itself");
    case "finished":
      return log.debug({ duration_ms: Math.round(event.durationMs) }, "finished");
    default:
      return unreachable(event);
  }
}

/** Why the program stops, in a few words. */
export function describeReason(reason: StopReason): string {
  switch (reason.kind) {
    case "signal":
      return reason.signal;
    case "request":
      return `asked by the ${reason.by}`;
    case "component":
      return `${reason.name} ${reason.error === undefined ? "has ended" : "has failed"}`;
    case "start_failed":
      return `${reason.name} could not be started`;
  }
}
