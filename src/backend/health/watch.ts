/** The checks of one endpoint, one after the other, and what they have come to. */
import { assert } from "../../core/assert.ts";
import type { Clock, TimerHandle } from "../../core/clock.ts";
import type { Endpoint } from "../endpoint.ts";
import { Check, type CheckOwner, type CheckSetup, type Outcome } from "./check.ts";
import type { CheckCounts, CheckResult } from "./check-counts.ts";
import type { Places, PlaceTaker } from "./places.ts";
import type { HealthSettings } from "./settings.ts";
import { Standing } from "./standing.ts";

/** Who has an endpoint watched: asked how, before each check, and told what came of it. */
export interface WatchOwner {
  readonly settings: HealthSettings;
  readonly clock: Clock;
  readonly places: Places;
  /** At least 0, less than 1. */
  readonly random: () => number;
  /** What the next check of the endpoint needs. */
  setup(endpoint: Endpoint): CheckSetup;
  /**
   * A check came to this; `changed` when that has made the endpoint up or down which was not. It is counted and the
   * next check is certain by then.
   */
  checked(watch: Watch, result: CheckResult, changed: boolean): void;
  /** A mistake of our own in a check. */
  mistaken(watch: Watch, error: Error): void;
}

/** How far a check may be from its time, as a share of the interval, so that endpoints don't fall into step. */
export const jitterShare = 0.1;

/** See above. Never has two checks under way. */
export class Watch implements PlaceTaker, CheckOwner {
  readonly standing: Standing;
  readonly #counts: { -readonly [Key in keyof CheckCounts]: CheckCounts[Key] };
  readonly #owner: WatchOwner;
  #state: State = { kind: "new" };
  /** Whether the check under way, or the next one, is the first of its row. */
  #isFirst = true;
  /** When the last check began. */
  #sinceMs = 0;
  /** From the beginning of the last check to that of the next. */
  #pauseMs = 0;

  constructor(
    readonly endpoint: Endpoint,
    owner: WatchOwner,
  ) {
    const { rise, fall } = owner.settings;
    this.standing = new Standing(rise, fall);
    this.#counts = endpoint.checks ?? { good: 0, bad: 0, inconclusive: 0, last: undefined };
    endpoint.checks = this.#counts;
    this.#owner = owner;
  }

  /** Whether it waits for a place. */
  get isQueued(): boolean {
    return this.#state.kind === "queued";
  }

  /** Begins with the first check, as soon as there is a place. */
  begin(): void {
    assert(this.#state.kind === "new", "a watch was begun twice");
    this.#queue();
  }

  /**
   * The owner has other settings: a check that goes by the old ones is taken back, and the next begins as soon as there
   * is a place. What is known of the endpoint stays until the new checks say otherwise.
   */
  configured(): void {
    const { rise, fall } = this.#owner.settings;
    this.standing.configure(rise, fall);
    this.#isFirst = true;
    // One that waits goes by the settings of the moment anyway.
    if (this.#state.kind !== "checking" && this.#state.kind !== "resting") return;
    this.end();
    this.#queue();
  }

  /** Checks no more; one that is under way is taken back. A second time changes nothing. */
  end(): void {
    const state = this.#state;
    this.#state = { kind: "ended" };
    switch (state.kind) {
      case "queued":
        return this.#owner.places.leave(this);
      case "checking":
        state.check.cancel();
        return this.#owner.places.giveBack();
      case "resting":
        return this.#owner.clock.clearTimer(state.timer);
      case "new":
      case "ended":
    }
  }

  placed(): void {
    const check = new Check(this.#owner.setup(this.endpoint), this);
    this.#state = { kind: "checking", check };
    this.#pauseMs = this.#nextPauseMs();
    this.#sinceMs = this.#owner.clock.nowMs();
    check.begin();
  }

  judged(outcome: Outcome): void {
    const result = { ...outcome, durationMs: this.#owner.clock.nowMs() - this.#sinceMs };
    this.#counts[outcome.result]++;
    this.#counts.last = result;
    const changed = outcome.result !== "inconclusive" && this.standing.take(outcome.result === "good");
    this.#owner.checked(this, result, changed);
  }

  over(): void {
    const { clock, places } = this.#owner;
    const restMs = Math.max(0, this.#sinceMs + this.#pauseMs - clock.nowMs());
    this.#state = { kind: "resting", timer: clock.setTimer(() => this.#queue(), restMs) };
    places.giveBack();
  }

  mistaken(error: Error): void {
    this.#owner.mistaken(this, error);
  }

  #queue(): void {
    this.#state = { kind: "queued" };
    this.#owner.places.ask(this);
  }

  /**
   * The first check of many endpoints comes at once, so the second comes somewhere within the interval: from there on
   * they are spread, and the jitter keeps them so.
   */
  #nextPauseMs(): number {
    const { random, settings } = this.#owner;
    const share = this.#isFirst ? random() : 1 - jitterShare + 2 * jitterShare * random();
    this.#isFirst = false;
    return share * settings.intervalMs;
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
