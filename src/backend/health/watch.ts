/** The checks of one endpoint, one after the other, and what they have come to. */
import { assert } from "../../core/assert.ts";
import type { TimerHandle } from "../../core/clock.ts";
import type { Endpoint } from "../endpoint.ts";
import { Check, type CheckOwner, type CheckSetup, type Outcome } from "./check.ts";
import type { Places, PlaceTaker } from "./places.ts";
import type { HealthSettings } from "./settings.ts";
import { Standing } from "./standing.ts";

/** A check that is over, as its observers see it. */
export interface CheckResult extends Outcome {
  /** From its beginning to the verdict, without the wait for a place. */
  readonly durationMs: number;
}

/** Checks of one endpoint since it is watched. */
export interface CheckCounts {
  readonly good: number;
  readonly bad: number;
  /** Those that could not be made, for lack of something of our own. */
  readonly inconclusive: number;
  /** The last one; `undefined` while there is none. */
  readonly last: CheckResult | undefined;
}

/** Whom a watch tells; what it has told is counted and its next check is certain by then. */
export interface WatchOwner {
  /** A check came to this; `changed` when that has made the endpoint up or down which was not. */
  checked(watch: Watch, result: CheckResult, changed: boolean): void;
  /** A mistake of our own in a check. */
  mistaken(watch: Watch, error: Error): void;
}

/** How far a check may be from its time, as a share of the interval, so that endpoints don't fall into step. */
export const jitterShare = 0.1;

/** See above. Never has two checks under way. */
export class Watch implements PlaceTaker, CheckOwner {
  readonly endpoint: Endpoint;
  readonly standing: Standing;
  readonly counts: { -readonly [Key in keyof CheckCounts]: CheckCounts[Key] };
  readonly #setup: CheckSetup;
  readonly #intervalMs: number;
  readonly #places: Places;
  readonly #random: () => number;
  readonly #owner: WatchOwner;
  #state: State = { kind: "new" };
  /** When the last check began. */
  #sinceMs = 0;
  /** From the beginning of the last check to that of the next. */
  #pauseMs = 0;

  constructor(
    setup: CheckSetup,
    settings: HealthSettings,
    places: Places,
    /** At least 0, less than 1. */
    random: () => number,
    owner: WatchOwner,
  ) {
    this.endpoint = setup.request.endpoint;
    this.standing = new Standing(settings.rise, settings.fall);
    this.counts = { good: 0, bad: 0, inconclusive: 0, last: undefined };
    this.#setup = setup;
    this.#intervalMs = settings.intervalMs;
    this.#places = places;
    this.#random = random;
    this.#owner = owner;
  }

  /** Whether it waits for a place. */
  get isQueued(): boolean {
    return this.#state.kind === "queued";
  }

  /** Begins with the first check, as soon as there is a place. */
  begin(): void {
    assert(this.#state.kind === "new", "a watch was begun twice");
    this.#state = { kind: "queued" };
    this.#places.ask(this);
  }

  /** Checks no more; one that is under way is taken back. A second time changes nothing. */
  end(): void {
    const state = this.#state;
    this.#state = { kind: "ended" };
    switch (state.kind) {
      case "queued":
        return this.#places.leave(this);
      case "checking":
        state.check.cancel();
        return this.#places.giveBack();
      case "resting":
        return this.#setup.clock.clearTimer(state.timer);
      case "new":
      case "ended":
    }
  }

  placed(): void {
    const check = new Check(this.#setup, this);
    this.#state = { kind: "checking", check };
    this.#pauseMs = this.#nextPauseMs();
    this.#sinceMs = this.#setup.clock.nowMs();
    check.begin();
  }

  judged(outcome: Outcome): void {
    const result = { ...outcome, durationMs: this.#setup.clock.nowMs() - this.#sinceMs };
    this.counts[outcome.result]++;
    this.counts.last = result;
    const changed = outcome.result !== "inconclusive" && this.standing.take(outcome.result === "good");
    this.#owner.checked(this, result, changed);
  }

  over(): void {
    const { clock } = this.#setup;
    const restMs = Math.max(0, this.#sinceMs + this.#pauseMs - clock.nowMs());
    this.#state = { kind: "resting", timer: clock.setTimer(() => this.#rested(), restMs) };
    this.#places.giveBack();
  }

  mistaken(error: Error): void {
    this.#owner.mistaken(this, error);
  }

  #rested(): void {
    this.#state = { kind: "queued" };
    this.#places.ask(this);
  }

  /**
   * The first check of many endpoints comes at once, so the second comes somewhere within the interval: from there on
   * they are spread, and the jitter keeps them so.
   */
  #nextPauseMs(): number {
    const isFirst = this.counts.last === undefined;
    const share = isFirst ? this.#random() : 1 - jitterShare + 2 * jitterShare * this.#random();
    return share * this.#intervalMs;
  }
}

/** Where a watch is. */
type State =
  | { readonly kind: "new" }
  /** Waits for a place. */
  | { readonly kind: "queued" }
  /** Has a place. */
  | { readonly kind: "checking"; readonly check: Check }
  | { readonly kind: "resting"; readonly timer: TimerHandle }
  | { readonly kind: "ended" };
