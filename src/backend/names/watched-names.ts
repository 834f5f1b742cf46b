/** The names of one backend, resolved again and again: what they stand for, and when that changes. */
import { assert } from "../../core/assert.ts";
import type { Clock } from "../../core/clock.ts";
import { formatName, type Name, type ResolvedAddress } from "./name.ts";
import type { Answer, NameResolver } from "./resolver.ts";
import { WatchedName, type NameObserver, type NameWatch } from "./watched-name.ts";

/** Watches names from `start` to `stop`; each by itself, so that one that hangs holds up no other. */
export class WatchedNames {
  readonly #watch: NameWatch;
  /** By how they are written. */
  #names: ReadonlyMap<string, WatchedName>;
  #stopped = false;

  constructor(
    names: readonly Name[],
    /** How long after an answer a name is asked for again, in ms; 0: not at all, once it has been resolved. */
    resolveMs: number,
    resolver: NameResolver,
    clock: Clock,
    observer: NameObserver,
    /** At least 0, less than 1: spreads the questions over time. */
    random: () => number = Math.random,
  ) {
    this.#watch = { resolveMs, resolver, clock, observer, random };
    this.#names = this.#watched(names, new Map(), new Map());
  }

  /**
   * Asks for every name that it has not begun with. Settles when each of them has answered or failed once, or is watched
   * no more; at `stop` at the latest. Never rejects.
   */
  async start(): Promise<void> {
    await Promise.all([...this.#names.values()].map((name) => name.begin()));
  }

  /**
   * Watches these names from now on: those that stay go on as they are, others are asked for no more. The new ones begin
   * with the next `start`, and with what was `learnt` of them instead of a question. Tells nothing.
   */
  configure(names: readonly Name[], resolveMs: number, learnt: ReadonlyMap<string, Answer>): void {
    assert(!this.#stopped, "names were configured after their stop");
    const before = this.#names;
    this.#names = this.#watched(names, before, learnt);
    for (const [written, name] of before) if (!this.#names.has(written)) name.stop();
    if (resolveMs === this.#watch.resolveMs) return;
    this.#watch.resolveMs = resolveMs;
    for (const name of this.#names.values()) name.waitAnew();
  }

  /** Whether a name is watched. */
  has(name: Name): boolean {
    return this.#names.has(formatName(name));
  }

  /** What a name stood for when it was last resolved, or learnt; `undefined` when it never was, or is not watched here. */
  addressesOf(name: Name): readonly ResolvedAddress[] | undefined {
    return this.#names.get(formatName(name))?.addresses;
  }

  /** Nothing is told any more, and no timer is left. A question that is under way ends by itself, within its deadline. */
  stop(): void {
    this.#stopped = true;
    for (const name of this.#names.values()) name.stop();
  }

  /** Each name once. */
  #watched(
    names: readonly Name[],
    before: ReadonlyMap<string, WatchedName>,
    learnt: ReadonlyMap<string, Answer>,
  ): ReadonlyMap<string, WatchedName> {
    const watched = new Map<string, WatchedName>();
    for (const name of names) {
      const written = formatName(name);
      watched.set(written, before.get(written) ?? new WatchedName(name, this.#watch, learnt.get(written)));
    }
    return watched;
  }
}
