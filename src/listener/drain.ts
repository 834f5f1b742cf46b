/**
 * The drain: stop accepting, wait for the open sessions under a deadline, cut what is left.
 *
 * The wait ends the moment the last session is gone: the decrement that brings the active count to zero wakes it.
 */
import type { Clock, TimerHandle } from "../core/clock.ts";
import type { End } from "../session/end.ts";
import type { Session } from "../session/session.ts";
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

/** What is drained: the whole program, or one listener that a reload has removed. */
export interface DrainGroup {
  readonly listeners: readonly Listener[];
  /** Sessions open now. */
  readonly active: number;
  /** Resolves when there are none, those counted that come meanwhile. */
  whenEmpty(): Promise<void>;
  /** From now on sessions that are silent for `idleMs` end with `drain_idle`; 0 changes nothing. */
  beginDrain(idleMs: number): void;
  /** Ends all its sessions, oldest first. */
  endAll(end: End, beforeEach?: (session: Session) => void): void;
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
  group: DrainGroup,
  clock: Clock,
  observer: DrainObserver,
): Promise<{ readonly cut: number }> {
  const beganMs = clock.nowMs();
  const abort = new AbortController();
  group.beginDrain(idleMs);
  const closed = Promise.all(group.listeners.map((listener) => listener.close(abort.signal)));
  const emptied = closed.then(() => group.whenEmpty()).then(() => "emptied" as const);

  const timers: TimerHandle[] = [];
  const report = (): void => {
    const remainingMs = deadlineMs === 0 ? undefined : Math.max(0, beganMs + deadlineMs - clock.nowMs());
    if (group.active > 0) observer.left(group.active, remainingMs);
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
  group.endAll("drain_deadline", (session) => {
    cut++;
    observer.cut(session);
  });
  await closedWithin(group, clock, cutWithinMs);
  return { cut };
}

/** Resolves when no connection is open, or after `withinMs`. */
export async function closedWithin(
  group: Pick<DrainGroup, "active" | "whenEmpty">,
  clock: Clock,
  withinMs: number,
): Promise<void> {
  if (group.active === 0) return;
  let timer: TimerHandle | undefined;
  const over = new Promise<void>((settle) => {
    timer = clock.setTimer(settle, withinMs, "holds_process");
  });
  await Promise.race([group.whenEmpty(), over]);
  clock.clearTimer(timer!);
}
