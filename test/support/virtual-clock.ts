/** A clock that stands still until a test moves it. */

import type { Clock, TimerHandle } from "../../src/core/clock.ts";

/** What a new virtual clock shows: not zero, so that code that takes zero for "never" is found out. */
const startMs = 10_000;

interface VirtualTimer {
  readonly fn: () => void;
  dueMs: number;
  /** Undefined for a timer that fires once. */
  readonly periodMs: number | undefined;
}

/** Virtual time. Timers fire only inside `advance`, in the order of their due times, then in the order they were set. */
export class VirtualClock implements Clock {
  #nowMs = startMs;
  readonly #timers = new Set<VirtualTimer>();

  /** Timers and tickers that are set and not cleared: zero when nothing was left behind. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  setTimer(fn: () => void, delayMs: number): TimerHandle {
    return this.#set({ fn, dueMs: this.#nowMs + delayMs, periodMs: undefined });
  }

  setTicker(fn: () => void, periodMs: number): TimerHandle {
    return this.#set({ fn, dueMs: this.#nowMs + periodMs, periodMs });
  }

  clearTimer(handle: TimerHandle): void {
    this.#timers.delete(handle as VirtualTimer);
  }

  /**
   * Lets `ms` pass: every timer that falls due runs at its own moment, and all promise reactions settle before it,
   * after it and before this returns. An exception from a timer rejects the returned promise.
   */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settled();
    for (let timer = this.#next(untilMs); timer !== undefined; timer = this.#next(untilMs)) {
      this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
      this.#run(timer);
      await settled();
    }
    this.#nowMs = untilMs;
  }

  /** A stall of the event loop: `ms` pass and nothing runs. What fell due runs late, in the next `advance`. */
  stall(ms: number): void {
    this.#nowMs += ms;
  }

  #set(timer: VirtualTimer): TimerHandle {
    this.#timers.add(timer);
    return timer;
  }

  #next(untilMs: number): VirtualTimer | undefined {
    let earliest: VirtualTimer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs <= untilMs && (earliest === undefined || timer.dueMs < earliest.dueMs)) earliest = timer;
    }
    return earliest;
  }

  #run(timer: VirtualTimer): void {
    if (timer.periodMs === undefined) this.#timers.delete(timer);
    else timer.dueMs = this.#nowMs + timer.periodMs;
    timer.fn();
  }
}

/** Resolves once all promise reactions that are due now have run, with those that they led to. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
