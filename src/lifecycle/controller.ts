/** Starts the components of a program in order, waits, and stops them in reverse order. */

import type { Clock } from "../core/clock.ts";
import { asError, attempt } from "./attempt.ts";
import type { Component, StopReason } from "./component.ts";
import type { LifecycleEvent } from "./event.ts";
import type { ComponentFailure, FailurePhase, Outcome } from "./outcome.ts";
import { awaitReady } from "./readiness.ts";

/**
 * Where a controller is. It only ever moves down this list, and may go from `starting` straight to `stopping`.
 *
 * - `new`: nothing was started.
 * - `starting`: components are being started, each after the one before is ready.
 * - `running`: all are started and ready.
 * - `stopping`: a reason to stop was given; a start in progress is waited for, then what has started is stopped.
 * - `stopped`: nothing is left to do, and nothing more happens.
 */
export type ControllerState = "new" | "starting" | "running" | "stopping" | "stopped";

/** How the start of a program went: everything runs, or it is being stopped already, for this reason. */
export type StartOutcome = { readonly ok: true } | { readonly ok: false; readonly reason: StopReason };

/** What a controller is given besides the components. */
export interface ControllerOptions {
  readonly clock: Clock;
  /** Hears of every step. Called from within it, so it should only take a note. */
  readonly observe?: (event: LifecycleEvent) => void;
}

/**
 * The life of a program, once: `start`, then `requestStop` or a component that ends or fails, then `wait` resolves.
 *
 * Misuse throws: components with the same name, a readiness check without an attempt, `start` a second time,
 * `requestStop` before `start`. Components can't be added later: the list is copied.
 */
export class Controller {
  readonly #components: readonly Component[];
  readonly #clock: Clock;
  readonly #observe: (event: LifecycleEvent) => void;

  #state: ControllerState = "new";
  /** Set by the first request to stop. */
  #reason: StopReason | undefined = undefined;
  /** Components whose `start` succeeded and whose `stop` was not called yet, in order of start. */
  readonly #started: Component[] = [];
  /** Ends what a request to stop interrupts: the start or the wait for readiness that is in progress. */
  #inProgress: AbortController | undefined = undefined;
  readonly #failures: ComponentFailure[] = [];
  readonly #abandoned: string[] = [];
  readonly #finished = Promise.withResolvers<Outcome>();

  constructor(components: readonly Component[], options: ControllerOptions) {
    this.#components = [...components];
    this.#clock = options.clock;
    this.#observe = options.observe ?? (() => {});
    requireSound(this.#components);
  }

  /** Where the controller is now. `stopping` from the very moment a reason to stop is given. */
  get state(): ControllerState {
    return this.#state;
  }

  /**
   * Starts the components in order. Resolves when all are ready, or as soon as it is known that they won't be: stopping
   * then goes on by itself, and `wait` gives its end. Never rejects.
   *
   * @throws Error when called a second time.
   */
  start(): Promise<StartOutcome> {
    if (this.#state !== "new") throw new Error(`cannot start: the controller is ${this.#state}, want new`);
    this.#state = "starting";
    return this.#launch();
  }

  /**
   * Asks for the program to stop. The first reason is kept, later ones are ignored.
   *
   * @throws Error before `start`.
   */
  requestStop(reason: StopReason): void {
    switch (this.#state) {
      case "new":
        throw new Error("cannot stop: the controller was never started");
      case "starting":
        this.#beginStop(reason);
        // The launch sees it when what is in progress has settled, and stops what has started.
        this.#inProgress?.abort();
        return;
      case "running":
        this.#beginStop(reason);
        // In a turn of its own: the caller may be a component in the middle of its work.
        queueMicrotask(() => void this.#stopStarted(reason));
        return;
      case "stopping":
      case "stopped":
        return;
    }
  }

  /** Resolves when the program has stopped. May be called at any time, any number of times. Never rejects. */
  wait(): Promise<Outcome> {
    return this.#finished.promise;
  }

  async #launch(): Promise<StartOutcome> {
    const beganMs = this.#clock.nowMs();
    for (const component of this.#components) {
      if (this.#reason !== undefined) break;
      if (await this.#startOne(component)) await this.#awaitReady(component);
    }
    const reason: StopReason | undefined = this.#reason;
    if (reason === undefined) {
      this.#state = "running";
      this.#emit({ kind: "running", durationMs: this.#clock.nowMs() - beganMs });
      return { ok: true };
    }
    void this.#stopStarted(reason);
    return { ok: false, reason };
  }

  /** Whether the component has started. A start that must not go on is told so, and waited for until its timeout. */
  async #startOne(component: Component): Promise<boolean> {
    const { name, startTimeoutMs } = component;
    const beganMs = this.#clock.nowMs();
    const unwanted = new AbortController();
    const context = {
      signal: unwanted.signal,
      ended: once((error?: Error) => this.#componentEnded(name, error)),
    };
    this.#inProgress = unwanted;
    this.#emit({ kind: "starting", name });
    const result = await attempt(this.#clock, startTimeoutMs, () => component.start(context));
    this.#inProgress = undefined;

    switch (result.kind) {
      case "done":
        this.#started.push(component);
        this.#emit({ kind: "started", name, durationMs: this.#clock.nowMs() - beganMs });
        return true;
      case "failed":
        // It gave up because it was told to: that is no failure.
        if (unwanted.signal.aborted && isAbort(result.error, unwanted.signal)) return false;
        this.#startFailed(name, "start", result.error);
        return false;
      case "timed_out":
        this.#abandon(name, "start", startTimeoutMs ?? 0);
        this.#startFailed(name, "start", new Error(`component "${name}" did not start within ${startTimeoutMs} ms`));
        unwanted.abort();
        return false;
    }
  }

  async #awaitReady(component: Component): Promise<void> {
    const { name, ready } = component;
    if (ready === undefined || this.#reason !== undefined) return;
    const beganMs = this.#clock.nowMs();
    const unwanted = new AbortController();
    this.#inProgress = unwanted;
    const result = await awaitReady(this.#clock, name, ready, unwanted.signal, (count, pauseMs, error) =>
      this.#emit({ kind: "not_ready_yet", name, attempt: count, attempts: ready.attempts, pauseMs, error }),
    );
    this.#inProgress = undefined;

    switch (result.kind) {
      case "ready":
        this.#emit({ kind: "ready", name, attempts: result.attempts, durationMs: this.#clock.nowMs() - beganMs });
        return;
      case "not_ready":
        this.#startFailed(name, "ready", result.error);
        return;
      case "interrupted":
        return;
    }
  }

  #startFailed(name: string, phase: "start" | "ready", error: Error): void {
    this.#fail(name, phase, error);
    this.requestStop({ kind: "start_failed", name, phase, error });
  }

  /** A component has called `ended`. While everything is being stopped only an error is of interest. */
  #componentEnded(name: string, error: Error | undefined): void {
    if (this.#state === "stopped" || (this.#state === "stopping" && error === undefined)) return;
    this.#emit({ kind: "ended", name, error });
    if (error !== undefined) this.#fail(name, "run", error);
    this.requestStop({ kind: "component", name, error });
  }

  #beginStop(reason: StopReason): void {
    this.#reason = reason;
    this.#state = "stopping";
    this.#emit({ kind: "stop_requested", reason });
  }

  /** Runs once, after the launch is over. Never rejects. */
  async #stopStarted(reason: StopReason): Promise<void> {
    const beganMs = this.#clock.nowMs();
    for (let component = this.#started.pop(); component !== undefined; component = this.#started.pop()) {
      await this.#stopOne(component, reason);
    }
    this.#state = "stopped";
    const outcome: Outcome = {
      reason,
      firstError: this.#failures[0]?.error,
      failures: this.#failures,
      abandoned: this.#abandoned,
    };
    this.#emit({ kind: "finished", outcome, durationMs: this.#clock.nowMs() - beganMs });
    this.#finished.resolve(outcome);
  }

  async #stopOne(component: Component, reason: StopReason): Promise<void> {
    const { name, stopTimeoutMs } = component;
    const beganMs = this.#clock.nowMs();
    this.#emit({ kind: "stopping", name });
    const result = await attempt(this.#clock, stopTimeoutMs, () => component.stop(reason));
    switch (result.kind) {
      case "done":
        this.#emit({ kind: "stopped", name, durationMs: this.#clock.nowMs() - beganMs });
        return;
      case "failed":
        this.#fail(name, "stop", result.error);
        return;
      case "timed_out":
        this.#abandon(name, "stop", stopTimeoutMs ?? 0);
        return;
    }
  }

  #abandon(name: string, phase: "start" | "stop", timeoutMs: number): void {
    this.#abandoned.push(name);
    this.#emit({ kind: "abandoned", name, phase, timeoutMs });
  }

  #fail(name: string, phase: FailurePhase, error: Error): void {
    const failure: ComponentFailure = { name, phase, error };
    this.#failures.push(failure);
    this.#emit({ kind: "failed", name, failure });
  }

  /** An observer that throws must not end the life it observes; what it threw is kept with the failures. */
  #emit(event: LifecycleEvent): void {
    try {
      this.#observe(event);
    } catch (thrown) {
      this.#failures.push({ name: "name" in event ? event.name : "", phase: "observe", error: asError(thrown) });
    }
  }
}

function requireSound(components: readonly Component[]): void {
  const names = new Set<string>();
  for (const { name, ready } of components) {
    if (names.has(name)) throw new Error(`cannot make a controller: two components are named "${name}"`);
    names.add(name);
    if (ready !== undefined && !(ready.attempts >= 1)) {
      throw new RangeError(
        `cannot make a controller: "${name}" has ${ready.attempts} readiness attempts, want 1 or more`,
      );
    }
  }
}

function once(fn: (error?: Error) => void): (error?: Error) => void {
  let called = false;
  return (error) => {
    if (called) return;
    called = true;
    fn(error);
  };
}

/** Whether the error is what a start that gives up for its signal rejects with. */
function isAbort(error: Error, signal: AbortSignal): boolean {
  return error === signal.reason || error.name === "AbortError";
}
