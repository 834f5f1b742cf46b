/** A part of the program that is started in its turn, and stopped in the opposite one. */

/** What the controller starts and stops: each once at most, the second only after the first has succeeded. */
export interface Component {
  /** Unique among the components of a controller; in logs and messages. */
  readonly name: string;

  /**
   * Takes what the component needs; returns or resolves once it does its work. Throws or rejects if it can't: it must
   * then have given back all it took, since `stop` is not called.
   */
  start(context: StartContext): void | Promise<void>;

  /**
   * How long `start` may take; undefined = no bound, and then a start that hangs also holds up a stop that was asked
   * for. Past it the start has failed and is abandoned.
   */
  readonly startTimeoutMs?: number | undefined;

  /** What is asked after `start`, before the next component is started; undefined = a started component is ready. */
  readonly ready?: Readiness | undefined;

  /**
   * Gives everything back; returns or resolves when nothing of the component is left running. Called once for every
   * component whose `start` succeeded, also when it was never ready or has ended by itself.
   */
  stop(reason: StopReason): void | Promise<void>;

  /** How long `stop` may take; undefined = no bound. Past it the stop is abandoned and the next component is stopped. */
  readonly stopTimeoutMs?: number | undefined;
}

/** What a component is told when it starts. */
export interface StartContext {
  /**
   * Aborted when nobody wants the start in progress any more: the program is asked to stop, or the start has taken too
   * long. A start that gives up for it rejects with `signal.reason`. One that succeeds all the same within its timeout
   * is stopped in its turn; one that is later than that is abandoned, and has to give back by itself what it took.
   * After the start has settled the signal is never aborted.
   */
  readonly signal: AbortSignal;

  /**
   * To be called when the component has ended although nobody stopped it; with an error when it failed. Brings the
   * program down. Only the first call counts, and none after the program has stopped.
   */
  ended(error?: Error): void;
}

/** How to find out that a started component does what it is for. */
export interface Readiness {
  /**
   * Whether the component is ready now. To throw or to reject is another way to say no.
   * `signal` is aborted as soon as nobody waits for this answer.
   */
  check(signal: AbortSignal): boolean | Promise<boolean>;
  /** How often to ask before the start has failed; at least 1. */
  readonly attempts: number;
  /** The pause after the first no. It doubles with each further one. */
  readonly backoffMs: number;
  /** The longest pause between two attempts. */
  readonly backoffMaxMs: number;
  /** How long each attempt may take. No answer by then counts as no. */
  readonly timeoutMs: number;
}

/**
 * Why the program stops; the first reason is kept.
 *
 * - `signal`: the process got this signal.
 * - `request`: somebody asked, for example the admin server.
 * - `component`: a component ended by itself; with an error when it failed.
 * - `start_failed`: a component could not be started, or was not ready in time.
 */
export type StopReason =
  | { readonly kind: "signal"; readonly signal: string }
  | { readonly kind: "request"; readonly by: string }
  | { readonly kind: "component"; readonly name: string; readonly error: Error | undefined }
  | { readonly kind: "start_failed"; readonly name: string; readonly phase: "start" | "ready"; readonly error: Error };
