/** How the life of a program went. */

import type { StopReason } from "./component.ts";

/** What `Controller.wait` gives. */
export interface Outcome {
  /** Why the program stopped: the first reason that was given. */
  readonly reason: StopReason;
  /** The error of the first failure; undefined when nothing failed. */
  readonly firstError: Error | undefined;
  /** All failures, in the order in which they happened. An abandoned stop is not among them. */
  readonly failures: readonly ComponentFailure[];
  /** Names of the components whose `start` or `stop` was not done within its timeout, in that order. */
  readonly abandoned: readonly string[];
}

/** A failure of one component. */
export interface ComponentFailure {
  readonly name: string;
  readonly phase: FailurePhase;
  /** What was thrown; made into an Error when it was none. */
  readonly error: Error;
}

/**
 * When a component failed.
 *
 * - `start`: `start` threw, or took too long.
 * - `ready`: it was started and did not get ready.
 * - `run`: it said so itself, through `ended`.
 * - `stop`: `stop` threw.
 * - `observe`: the observer threw on an event of this component, or of the controller when the name is empty.
 */
export type FailurePhase = "start" | "ready" | "run" | "stop" | "observe";
