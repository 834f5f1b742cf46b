/** What a controller tells its observer: enough to log the whole life of the program. */

import type { StopReason } from "./component.ts";
import type { ComponentFailure, Outcome } from "./outcome.ts";

/**
 * One step in the life of the program or of the component named `name`. Durations are of the step itself.
 *
 * - `starting`: `start` is about to be called.
 * - `started`: `start` has succeeded.
 * - `not_ready_yet`: a readiness check said no; `error` if it failed or took too long, `pauseMs` until the next attempt.
 * - `ready`: the readiness check said yes at attempt `attempts`; only for components that have a check.
 * - `running`: all components are started and ready.
 * - `ended`: the component has ended by itself.
 * - `failed`: the component has failed; `failure` is also kept in the outcome.
 * - `stop_requested`: the program begins to stop, for this reason.
 * - `stopping`: `stop` is about to be called.
 * - `stopped`: `stop` has succeeded.
 * - `abandoned`: `start` or `stop` was not done within its timeout and nobody waits for it any more.
 * - `finished`: all components are stopped or abandoned.
 */
export type LifecycleEvent =
  | { readonly kind: "starting"; readonly name: string }
  | { readonly kind: "started"; readonly name: string; readonly durationMs: number }
  | {
      readonly kind: "not_ready_yet";
      readonly name: string;
      readonly attempt: number;
      readonly attempts: number;
      readonly pauseMs: number;
      readonly error: Error | undefined;
    }
  | { readonly kind: "ready"; readonly name: string; readonly attempts: number; readonly durationMs: number }
  | { readonly kind: "running"; readonly durationMs: number }
  | { readonly kind: "ended"; readonly name: string; readonly error: Error | undefined }
  | { readonly kind: "failed"; readonly name: string; readonly failure: ComponentFailure }
  | { readonly kind: "stop_requested"; readonly reason: StopReason }
  | { readonly kind: "stopping"; readonly name: string }
  | { readonly kind: "stopped"; readonly name: string; readonly durationMs: number }
  | {
      readonly kind: "abandoned";
      readonly name: string;
      readonly phase: "start" | "stop";
      readonly timeoutMs: number;
    }
  | { readonly kind: "finished"; readonly outcome: Outcome; readonly durationMs: number };
