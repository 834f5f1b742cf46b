/** What the checks of an endpoint have come to so far. */
import type { Outcome } from "./check.ts";

/** A check that is over, as its observers see it. */
export interface CheckResult extends Outcome {
  /** From its beginning to the verdict, without the wait for a place. */
  readonly durationMs: number;
}

/** Checks of one endpoint since it is known; kept by it, so that they go on when checks are configured anew. */
export interface CheckCounts {
  readonly good: number;
  readonly bad: number;
  /** Those that could not be made, for lack of something of our own. */
  readonly inconclusive: number;
  /** The last one; `undefined` while there is none. */
  readonly last: CheckResult | undefined;
}
