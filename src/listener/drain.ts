/**
 * The drain: stop accepting, wait for the open sessions under a deadline, cut what is left.
 *
 * The wait ends the moment the last session is gone: the decrement that brings the active count to zero wakes it.
 */
import type { Clock, TimerHandle } from "../core/clock.ts";
import type { SessionRegistry } from "../session/registry.ts";
import type { Session } from "../session/session.ts";
import type { ActiveConnections } from "../stats/active-connections.ts";
import type { Listener } from "./listener.ts";

/** How patient a drain is. */
export interface DrainSettings {
  /** How long sessions may take, in ms; 0 = as long as they like. */
  readonly deadlineMs: number;
  /** Silence that ends a session meanwhile, in ms; 0 = none. */
  readonly idleMs: number;
}

/** Who hears of the drain while it goes on. */
export interface DrainObserver {
  /** About once a second: this many connections are left, this long may they take. */
  left(connections: number, remainingMs: number | undefined): void;
  /** The deadline is over and this session is about to be cut. */
  cut(session: Session): void;
}

/** How often it is said how many connections are left. */
const reportEveryMs = 1_000;

/**
 * How long the connections that were cut may take until they are closed. The copy engine does it at once; the splice
 * engine lets go of them within a turn of its loop.
 */
const cutWithinMs = 1_000;

/** Resolves when no connection is left, with how many were cut. */
export async function drain(
  { deadlineMs, idleMs }: DrainSettings,
  listeners: readonly Listener[],
  registry: SessionRegistry,
  active: ActiveConnections,
  clock: Clock,
  observer: DrainObserver,
): Promise<{ readonly cut: number }> {
  const beganMs = clock.nowMs();
  const abort = new AbortController();
  registry.beginDrain(idleMs);
  const closed = Promise.all(listeners.map((listener) => listener.close(abort.signal)));
  const emptied = closed.then(() => active.whenZero()).then(() => "emptied" as const);

  const timers: TimerHandle[] = [];
  const report = (): void => {
    const remainingMs = deadlineMs === 0 ? undefined : Math.max(0, beganMs + deadlineMs - clock.nowMs());
    if (active.count > 0) observer.left(active.count, remainingMs);
    timers[0] = clock.setTimer(report, reportEveryMs, "holds_process");
  };
  report();
  const overdue = new Promise<"overdue">((settle) => {
    if (deadlineMs > 0) timers[1] = clock.setTimer(() => settle("overdue"), deadlineMs, "holds_process");
  });
  const outcome = await Promise.race([emptied, overdue]);
  for (const timer of timers) clock.clearTimer(timer);
  if (outcome === "emptied") return { cut: 0 };

  abort.abort();
  await closed;
  let cut = 0;
  registry.endAll("drain_deadline", (session) => {
    cut++;
    observer.cut(session);
  });
  await closedWithin(active, clock, cutWithinMs);
  return { cut };
}

/** Resolves when no connection is open, or after `withinMs`. */
export async function closedWithin(active: ActiveConnections, clock: Clock, withinMs: number): Promise<void> {
  if (active.count === 0) return;
  let timer: TimerHandle | undefined;
  const over = new Promise<void>((settle) => {
    timer = clock.setTimer(settle, withinMs, "holds_process");
  });
  await Promise.race([active.whenZero(), over]);
  clock.clearTimer(timer!);
}
