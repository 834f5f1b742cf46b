/**
 * Waiting for a condition, bounded: the only place of the tests where a timer may be.
 *
 * A wait that is in vain fails with a sentence that says what was awaited and what was seen instead.
 */

/**
 * How long a wait lasts unless its caller says otherwise. The runner's own limit for one test, 5 s when nothing else is
 * said (Bun 1.4.5), must be higher for the sentence to come first: `npm test` and `watchLeaks` raise it to 30 s.
 */
export const PATIENCE_MS = 10_000;

const LONGEST_PAUSE_MS = 10;

/**
 * Resolves as soon as `condition` is true, asking again and again: at once, then with pauses of up to 10 ms.
 * `what` completes the sentence "waited for …"; as a function it is asked at the end, so that it can tell what was seen.
 * What `condition` throws ends the wait with that error.
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string),
  withinMs: number = PATIENCE_MS,
): Promise<void> {
  const startMs = performance.now();
  for (let turn = 0; !(await condition()); turn++) {
    if (performance.now() - startMs >= withinMs) throw inVain(what, withinMs);
    await pause(turn < 20 ? 0 : Math.min(turn - 19, LONGEST_PAUSE_MS));
  }
}

/**
 * Resolves with a value once it has not changed for `quietMs`: "the sender has been stopped" is such a thing, since
 * nobody announces it. Prefer `until` wherever there is something to see.
 */
export async function settled<T>(
  value: () => T,
  what: string,
  { quietMs = 150, withinMs = PATIENCE_MS }: { quietMs?: number; withinMs?: number } = {},
): Promise<T> {
  let last = value();
  let sinceMs = performance.now();
  await until(
    () => {
      const now = value();
      if (now !== last) {
        last = now;
        sinceMs = performance.now();
      }
      return performance.now() - sinceMs >= quietMs;
    },
    () => `${what} to settle for ${quietMs} ms: it still changes, last to ${String(last)}`,
    withinMs,
  );
  return last;
}

/** Lets `ms` go by; for what must ask at intervals (support files only, never a test). 0: one turn of the event loop. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms)));
}

/** Those who wait for something of an object that says itself when it has changed: no polling. */
export class Waiting {
  readonly #waiters = new Set<() => void>();

  /** Looks again on behalf of everybody who waits. */
  changed(): void {
    for (const look of this.#waiters) look();
  }

  /**
   * Resolves with what `look` gives as soon as that is not `undefined`; rejects with what `look` throws, or when
   * `withinMs` (`Infinity`: no limit) is over. A rejection that nobody awaits is no error of the program.
   */
  wait<T>(look: () => T | undefined, what: () => string, withinMs: number = PATIENCE_MS): Promise<T> {
    const waited = new Promise<T>((resolve, reject) => {
      const leave = (): void => {
        this.#waiters.delete(again);
        clearTimeout(timer);
      };
      const again = (): void => {
        try {
          const found = look();
          if (found === undefined) return;
          leave();
          resolve(found);
        } catch (error) {
          leave();
          reject(error);
        }
      };
      const timer =
        withinMs === Infinity
          ? undefined
          : setTimeout(() => {
              leave();
              reject(inVain(what, withinMs));
            }, withinMs);
      this.#waiters.add(again);
      again();
    });
    waited.catch(() => {});
    return waited;
  }

  /** As `wait`, for a condition that has nothing to give. */
  hold(condition: () => boolean, what: () => string, withinMs?: number): Promise<void> {
    const held = this.wait(() => condition() || undefined, what, withinMs).then(() => {});
    held.catch(() => {});
    return held;
  }
}

function inVain(what: string | (() => string), withinMs: number): Error {
  return new Error(`waited ${withinMs / 1000} s for ${typeof what === "string" ? what : what()}`);
}
