/** How many checks may be under way at once; who comes when all places are taken waits, first come, first served. */
import { assert } from "../../core/assert.ts";

/**
 * Checks at once, and so descriptors that checks hold. Enough for 1,000 endpoints checked every 2 s that take 100 ms
 * each; further checks begin late, and their interval counts from there.
 */
export const checksAtOnceMax = 64;

/** Who asks for a place. */
export interface PlaceTaker {
  /** The place is there. It may be given back within the call. */
  placed(): void;
}

/** Shared by all backends, since descriptors are. */
export class Places {
  /** Places that somebody has. */
  taken = 0;
  readonly #max: number;
  readonly #waiting = new Set<PlaceTaker>();
  /** Whether free places are being handed out: one given back meanwhile is seen by that loop, not by a deeper one. */
  #handingOut = false;

  constructor(max: number = checksAtOnceMax) {
    this.#max = max;
  }

  /** Those who wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Asks for a place: `placed` is called, now or when one is free. */
  ask(taker: PlaceTaker): void {
    this.#waiting.add(taker);
    this.#handOut();
  }

  /** Waits no longer. */
  leave(taker: PlaceTaker): void {
    this.#waiting.delete(taker);
  }

  /** Gives a place back. */
  giveBack(): void {
    assert(this.taken > 0, "a place was given back that nobody had");
    this.taken--;
    this.#handOut();
  }

  #handOut(): void {
    if (this.#handingOut) return;
    this.#handingOut = true;
    try {
      for (const taker of this.#waiting) {
        if (this.taken >= this.#max) break;
        this.#waiting.delete(taker);
        this.taken++;
        taker.placed();
      }
    } finally {
      this.#handingOut = false;
    }
  }
}
