/** Time as an argument: everything that waits is given a clock, so that tests can move it by hand. */

/** Names a timer to `clearTimer`. What it is belongs to the clock that gave it. */
export type TimerHandle = object;

/**
 * Whether a timer that has not fired keeps the process running.
 *
 * - `lets_exit`: it does not; a process with nothing else to do ends without firing it.
 * - `holds_process`: it does; for a timer that decides something nobody else would, such as the end of a stop that hangs.
 */
export type TimerHold = "lets_exit" | "holds_process";

/** Tells the time and calls back later. */
export interface Clock {
  /** Milliseconds since a moment of the clock's own choosing, with fractions. Never goes back. */
  nowMs(): number;

  /** Calls `fn` once, `delayMs` from now or later. `hold` is `lets_exit` unless said otherwise. */
  setTimer(fn: () => void, delayMs: number, hold?: TimerHold): TimerHandle;

  /**
   * Calls `fn` every `periodMs` until cleared. Ticks missed while the event loop was held up are not made up for.
   * Never keeps the process running. One object serves all its ticks, so ticking allocates nothing.
   */
  setTicker(fn: () => void, periodMs: number): TimerHandle;

  /** Ends a timer or a ticker. One that has fired or was cleared before is left alone. */
  clearTimer(handle: TimerHandle): void;
}

/** The longest delay `setTimeout` takes. Beyond it (24.8 days) it fires at once, so a longer one is waited for in legs. */
const legMaxMs = 2 ** 31 - 1;

/** The machine's clock: `performance.now()` and the runtime's timers. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  setTimer: (fn, delayMs, hold = "lets_exit") => new SystemTimer(fn, delayMs, hold),
  setTicker: (fn, periodMs) => new SystemTicker(fn, periodMs),
  clearTimer: (handle) => (handle as SystemTimer | SystemTicker).clear(),
};

class SystemTimer {
  #native: Timer;

  constructor(fn: () => void, delayMs: number, hold: TimerHold) {
    this.#native = this.#wait(fn, delayMs, hold);
  }

  clear(): void {
    clearTimeout(this.#native);
  }

  #wait(fn: () => void, delayMs: number, hold: TimerHold): Timer {
    const next =
      delayMs <= legMaxMs
        ? fn
        : () => {
            this.#native = this.#wait(fn, delayMs - legMaxMs, hold);
          };
    // The runtime drops fractions of a millisecond, and would be early by them.
    const native = setTimeout(next, Math.min(Math.ceil(delayMs), legMaxMs));
    return hold === "holds_process" ? native : native.unref();
  }
}

class SystemTicker {
  readonly #native: Timer;

  constructor(fn: () => void, periodMs: number) {
    this.#native = setInterval(fn, periodMs).unref();
  }

  clear(): void {
    clearInterval(this.#native);
  }
}
