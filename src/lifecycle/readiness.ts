/** The wait for a started component to be ready. */

import type { Clock } from "../core/clock.ts";
import { type Attempt, type Interrupted, attempt, pause } from "./attempt.ts";
import type { Readiness } from "./component.ts";

/**
 * How the wait went.
 *
 * - `ready`: the check said yes, at attempt `attempts`.
 * - `not_ready`: no attempt gave a yes.
 * - `interrupted`: the program is asked to stop.
 */
export type ReadinessOutcome =
  | { readonly kind: "ready"; readonly attempts: number }
  | { readonly kind: "not_ready"; readonly error: Error }
  | Interrupted;

/** Hears of each attempt that another one follows. */
export type OnNotReadyYet = (attempt: number, pauseMs: number, error: Error | undefined) => void;

/** Asks until the check says yes, the attempts are used up or `interrupt` is aborted. Never rejects. */
export async function awaitReady(
  clock: Clock,
  name: string,
  readiness: Readiness,
  interrupt: AbortSignal,
  onNotReadyYet: OnNotReadyYet,
): Promise<ReadinessOutcome> {
  let pauseMs = Math.min(readiness.backoffMs, readiness.backoffMaxMs);
  for (let count = 1; ; count += 1) {
    const answer = await ask(clock, readiness, interrupt);
    if (answer.kind === "interrupted") return answer;
    if (answer.kind === "done" && answer.value) return { kind: "ready", attempts: count };

    const error = whyNot(answer, readiness.timeoutMs);
    if (count >= readiness.attempts) return { kind: "not_ready", error: neverReady(name, count, error) };
    onNotReadyYet(count, pauseMs, error);
    await pause(clock, pauseMs, interrupt);
    pauseMs = Math.min(pauseMs * 2, readiness.backoffMaxMs);
  }
}

async function ask(
  clock: Clock,
  readiness: Readiness,
  interrupt: AbortSignal,
): Promise<Attempt<boolean> | Interrupted> {
  const answered = new AbortController();
  const answer = await attempt(clock, readiness.timeoutMs, () => readiness.check(answered.signal), interrupt);
  answered.abort();
  return answer;
}

/** Undefined for a plain no. */
function whyNot(answer: Attempt<boolean>, timeoutMs: number): Error | undefined {
  switch (answer.kind) {
    case "done":
      return undefined;
    case "failed":
      return answer.error;
    case "timed_out":
      return new Error(`no answer within ${timeoutMs} ms`);
  }
}

function neverReady(name: string, attempts: number, last: Error | undefined): Error {
  const times = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
  const found = last === undefined ? "the last check said no" : `the last check failed: ${last.message}`;
  return new Error(`component "${name}" was not ready after ${times}; ${found}`, { cause: last });
}
