/** The names of one backend, resolved again and again: what they stand for, and when that changes. */
import type { Clock, TimerHandle } from "../../core/clock.ts";
import { formatName, sameAddresses, type Name, type ResolvedAddress } from "./name.ts";
import type { Answer, NameResolver } from "./resolver.ts";

/** Hears what becomes of names. Nothing is heard while `WatchedNames` is constructed, or after `stop`. */
export interface NameObserver {
  /** The name stands for other addresses than before; in the order of `addressSet`, at least one. */
  changed(name: Name, addresses: readonly ResolvedAddress[]): void;
  /** The name can't be resolved any more, or not yet; told once. The addresses that it had last are kept. */
  failed(name: Name, why: string, keptAddresses: number): void;
  /** After `failed`: the name is resolved again, and stands for the addresses that were kept. */
  recovered(name: Name, addresses: readonly ResolvedAddress[]): void;
}

/** What can be left out. */
export interface WatchOptions {
  /** From 0 up to 1, excluded: spreads the questions over time. */
  readonly random?: () => number;
  /** What is known of a name from before, such as from the time before a reload: `undefined`, or at least one address. */
  readonly known?: (name: Name) => readonly ResolvedAddress[] | undefined;
}

/** The wait after the first failure of a name that has never been resolved. It doubles each time. */
const firstRetryMs = 1_000;
/** The longest wait for a name that has never been resolved, where `resolve` is 0 and gives no other bound. */
const retryMaxMs = 30_000;
/** By how much a wait may be shorter or longer, so that names that were asked together are not for ever. */
const jitter = 0.1;

/** Watches names from `start` to `stop`; each by itself, so that one that hangs holds up no other. */
export class WatchedNames {
  readonly #names: readonly WatchedName[];

  /** `resolveMs`: how long after an answer a name is asked for again; 0: not at all, once it has been resolved. */
  constructor(
    names: readonly Name[],
    resolveMs: number,
    resolver: NameResolver,
    clock: Clock,
    observer: NameObserver,
    { random = Math.random, known = () => undefined }: WatchOptions = {},
  ) {
    const watch: Watch = { resolveMs, resolver, clock, observer, random };
    this.#names = names.map((name) => new WatchedName(name, known(name), watch));
  }

  /**
   * Asks for every name. Settles when each has answered or failed once; a name that is known from before is told at once,
   * and not waited for. Settles at `stop` at the latest, and never rejects.
   */
  async start(): Promise<void> {
    await Promise.all(this.#names.map((name) => name.start()));
  }

  /** What a name stood for when it was last resolved; `undefined` when it never was, or is not watched here. */
  addressesOf(name: Name): readonly ResolvedAddress[] | undefined {
    return this.#names.find((watched) => formatName(watched.name) === formatName(name))?.addresses;
  }

  /** Nothing is told any more, and no timer is left. A question that is under way ends by itself, within its deadline. */
  stop(): void {
    for (const name of this.#names) name.stop();
  }
}

/** What all names of a backend share. */
interface Watch {
  readonly resolveMs: number;
  readonly resolver: NameResolver;
  readonly clock: Clock;
  readonly observer: NameObserver;
  readonly random: () => number;
}

class WatchedName {
  readonly name: Name;
  /** The last good answer. */
  addresses: readonly ResolvedAddress[] | undefined;
  readonly #watch: Watch;
  readonly #firstAnswer = Promise.withResolvers<void>();
  #lastAnswer: "none_yet" | "ok" | "failed" = "none_yet";
  /** For a name that has never been resolved. */
  #retryMs = firstRetryMs;
  #timer: TimerHandle | undefined;
  #stopped = false;

  constructor(name: Name, known: readonly ResolvedAddress[] | undefined, watch: Watch) {
    this.name = name;
    this.addresses = known;
    this.#watch = watch;
  }

  start(): Promise<void> {
    if (this.addresses !== undefined) {
      this.#watch.observer.changed(this.name, this.addresses);
      this.#firstAnswer.resolve();
    }
    void this.#ask();
    return this.#firstAnswer.promise;
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== undefined) this.#watch.clock.clearTimer(this.#timer);
    this.#firstAnswer.resolve();
  }

  async #ask(): Promise<void> {
    const answer = await this.#watch.resolver.resolve(this.name);
    if (this.#stopped) return;
    this.#take(answer);
    const waitMs = this.#nextMs();
    // The observer may have stopped us.
    if (waitMs !== undefined && !this.#stopped) {
      this.#timer = this.#watch.clock.setTimer(() => void this.#ask(), waitMs);
    }
    this.#firstAnswer.resolve();
  }

  #take(answer: Answer): void {
    const before = this.#lastAnswer;
    this.#lastAnswer = answer.ok ? "ok" : "failed";
    if (!answer.ok) {
      if (before !== "failed") this.#watch.observer.failed(this.name, answer.why, this.addresses?.length ?? 0);
      return;
    }
    const same = this.addresses !== undefined && sameAddresses(this.addresses, answer.addresses);
    this.addresses = answer.addresses;
    if (!same) this.#watch.observer.changed(this.name, answer.addresses);
    else if (before === "failed") this.#watch.observer.recovered(this.name, answer.addresses);
  }

  /** How long until the name is asked for again; `undefined`: it is not. */
  #nextMs(): number | undefined {
    const { resolveMs, random } = this.#watch;
    const spread = 1 - jitter + 2 * jitter * random();
    if (this.addresses !== undefined) return resolveMs === 0 ? undefined : resolveMs * spread;
    const waitMs = Math.min(this.#retryMs, resolveMs === 0 ? retryMaxMs : resolveMs);
    this.#retryMs = Math.min(this.#retryMs * 2, retryMaxMs);
    return waitMs * spread;
  }
}
