/** One name that is resolved again and again. */
import type { Clock, TimerHandle } from "../../core/clock.ts";
import { sameAddresses, type Name, type ResolvedAddress } from "./name.ts";
import type { Answer, NameResolver } from "./resolver.ts";

/** Hears what becomes of names. Nothing is heard before `WatchedNames` is started, or after its stop. */
export interface NameObserver {
  /** The name stands for other addresses than before; in the order of `addressSet`, at least one. */
  changed(name: Name, addresses: readonly ResolvedAddress[]): void;
  /** The name can't be resolved any more, or not yet; told once. The addresses that it had last are kept. */
  failed(name: Name, why: string, keptAddresses: number): void;
  /** After `failed`: the name is resolved again, and stands for the addresses that were kept. */
  recovered(name: Name, addresses: readonly ResolvedAddress[]): void;
}

/** What all names of a backend share. */
export interface NameWatch {
  /** How long after an answer a name is asked for again, in ms; 0: not at all, once it has been resolved. */
  resolveMs: number;
  readonly resolver: NameResolver;
  readonly clock: Clock;
  readonly observer: NameObserver;
  /** At least 0, less than 1. */
  readonly random: () => number;
}

/** The wait after the first failure of a name that has never been resolved. It doubles each time. */
const firstRetryMs = 1_000;
/** The longest wait for a name that has never been resolved, where `resolve` is 0 and gives no other bound. */
const retryMaxMs = 30_000;
/** By how much a wait may be shorter or longer, so that names that were asked together are not for ever. */
const jitter = 0.1;

/** See above; from `begin` to `stop`. */
export class WatchedName {
  readonly name: Name;
  readonly #watch: NameWatch;
  /** What it begins with in place of a question. */
  readonly #learnt: Answer | undefined;
  readonly #firstAnswer = Promise.withResolvers<void>();
  #state: State = { kind: "new" };
  /** The last good answer. */
  #addresses: readonly ResolvedAddress[] | undefined = undefined;
  #lastAnswer: "none_yet" | "ok" | "failed" = "none_yet";
  /** Answers in a row that were none, as long as it has never been resolved. */
  #failures = 0;

  constructor(name: Name, watch: NameWatch, learnt: Answer | undefined) {
    this.name = name;
    this.#watch = watch;
    this.#learnt = learnt;
  }

  /** What it stood for when it was last resolved, or learnt. */
  get addresses(): readonly ResolvedAddress[] | undefined {
    return this.#addresses ?? (this.#learnt?.ok === true ? this.#learnt.addresses : undefined);
  }

  /** Begins, once. Settles with the first answer, or at `stop`. */
  begin(): Promise<void> {
    if (this.#state.kind === "new") {
      if (this.#learnt === undefined) void this.#ask();
      else this.#answered(this.#learnt);
    }
    return this.#firstAnswer.promise;
  }

  /** `resolveMs` is another one: the wait is over when it would be by that, at once if it would be by now. */
  waitAnew(): void {
    if (this.#state.kind !== "waiting") return;
    const { clock } = this.#watch;
    const { sinceMs, timer } = this.#state;
    if (timer !== undefined) clock.clearTimer(timer);
    this.#wait(sinceMs);
  }

  stop(): void {
    if (this.#state.kind === "waiting" && this.#state.timer !== undefined) {
      this.#watch.clock.clearTimer(this.#state.timer);
    }
    this.#state = { kind: "stopped" };
    this.#firstAnswer.resolve();
  }

  async #ask(): Promise<void> {
    this.#state = { kind: "asking" };
    const answer = await this.#watch.resolver.resolve(this.name);
    if (this.#state.kind === "asking") this.#answered(answer);
  }

  #answered(answer: Answer): void {
    // First, so that there is a wait to end for an observer that stops us.
    if (!answer.ok) this.#failures++;
    this.#state = { kind: "waiting", sinceMs: this.#watch.clock.nowMs(), timer: undefined };
    this.#take(answer);
    if (this.#state.kind === "waiting") this.#wait(this.#state.sinceMs);
    this.#firstAnswer.resolve();
  }

  #take(answer: Answer): void {
    const { observer } = this.#watch;
    const before = this.#lastAnswer;
    this.#lastAnswer = answer.ok ? "ok" : "failed";
    if (!answer.ok) {
      if (before !== "failed") observer.failed(this.name, answer.why, this.#addresses?.length ?? 0);
      return;
    }
    const same = this.#addresses !== undefined && sameAddresses(this.#addresses, answer.addresses);
    this.#addresses = answer.addresses;
    if (!same) observer.changed(this.name, answer.addresses);
    else if (before === "failed") observer.recovered(this.name, answer.addresses);
  }

  /** Waits for the next question, if there is to be one. */
  #wait(sinceMs: number): void {
    const { clock, random } = this.#watch;
    const waitMs = this.#pauseMs * (1 - jitter + 2 * jitter * random());
    const delayMs = Math.max(0, sinceMs + waitMs - clock.nowMs());
    const timer = waitMs === Infinity ? undefined : clock.setTimer(() => void this.#ask(), delayMs);
    this.#state = { kind: "waiting", sinceMs, timer };
  }

  /** From an answer to the next question, but for the jitter. */
  get #pauseMs(): number {
    const { resolveMs } = this.#watch;
    if (this.#addresses !== undefined) return resolveMs === 0 ? Infinity : resolveMs;
    const retryMs = Math.min(firstRetryMs * 2 ** (this.#failures - 1), retryMaxMs);
    return Math.min(retryMs, resolveMs === 0 ? retryMaxMs : resolveMs);
  }
}

/** Where a name is. */
type State =
  | { readonly kind: "new" }
  | { readonly kind: "asking" }
  /** `sinceMs`: the last answer came; no timer: it is not asked for again. */
  | { readonly kind: "waiting"; readonly sinceMs: number; readonly timer: TimerHandle | undefined }
  | { readonly kind: "stopped" };
