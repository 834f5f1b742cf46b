/** One piece of work that is waited for within bounds. */

import type { Clock, TimerHandle } from "../core/clock.ts";

/**
 * How an attempt went.
 *
 * - `done`: the work has given its value.
 * - `failed`: the work has thrown.
 * - `timed_out`: the time was over first.
 */
export type Attempt<T> =
  | { readonly kind: "done"; readonly value: T }
  | { readonly kind: "failed"; readonly error: Error }
  | { readonly kind: "timed_out" };

/** The attempt was given up from outside. */
export interface Interrupted {
  readonly kind: "interrupted";
}

/**
 * Begins the work and waits for it, for `timeoutMs` (undefined = no bound) and until `interrupt` is aborted; the work is
 * not even begun if that has happened before. Never rejects. What the work does once nobody waits is ignored, errors
 * included. Leaves no timer behind; the timer keeps the process running, since a program whose work hangs would
 * otherwise just exit, with success.
 */
export function attempt<T>(
  clock: Clock,
  timeoutMs: number | undefined,
  work: () => T | Promise<T>,
): Promise<Attempt<T>>;
export function attempt<T>(
  clock: Clock,
  timeoutMs: number | undefined,
  work: () => T | Promise<T>,
  interrupt: AbortSignal,
): Promise<Attempt<T> | Interrupted>;
export function attempt<T>(
  clock: Clock,
  timeoutMs: number | undefined,
  work: () => T | Promise<T>,
  interrupt?: AbortSignal,
): Promise<Attempt<T> | Interrupted> {
  return new Promise((resolve) => {
    if (interrupt?.aborted === true) return resolve({ kind: "interrupted" });

    let timer: TimerHandle | undefined;
    const onInterrupt = () => settle({ kind: "interrupted" });
    const settle = (result: Attempt<T> | Interrupted) => {
      if (timer !== undefined) clock.clearTimer(timer);
      interrupt?.removeEventListener("abort", onInterrupt);
      resolve(result);
    };

    interrupt?.addEventListener("abort", onInterrupt);
    if (timeoutMs !== undefined) {
      timer = clock.setTimer(() => settle({ kind: "timed_out" }), timeoutMs, "holds_process");
    }
    Promise.try(work).then(
      (value) => settle({ kind: "done", value }),
      (thrown: unknown) => settle({ kind: "failed", error: asError(thrown) }),
    );
  });
}

/** Waits for `ms`, or until `interrupt` is aborted. */
export async function pause(clock: Clock, ms: number, interrupt: AbortSignal): Promise<void> {
  await attempt(clock, ms, () => new Promise<never>(() => {}), interrupt);
}

/** What was thrown, as an Error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}
