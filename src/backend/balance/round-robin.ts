/**
 * Round robin by weight, spread evenly: of all open endpoints whose turn has started, the one whose turn ends first.
 */
import type { Balancer } from "./balancer.ts";
import type { Candidates } from "./candidates.ts";
import { Tournament } from "./tournament.ts";

/** Keeps those whose turn has started apart from those that wait for theirs. */
export class RoundRobin implements Balancer {
  readonly #candidates: Candidates;
  /** By the end of their turn. */
  readonly #ready: Tournament;
  /** By its start. */
  readonly #waiting: Tournament;

  constructor(candidates: Candidates) {
    this.#candidates = candidates;
    this.#ready = new Tournament(candidates.count);
    this.#waiting = new Tournament(candidates.count);
  }

  pick(): number {
    const { turns } = this.#candidates;
    let next = this.#waiting.first;
    while (next !== -1 && turns.starts[next]! <= turns.now) {
      this.changed(next);
      next = this.#waiting.first;
    }
    // When all have had their turns of this moment, by rounding or because others are full, the next one is early.
    const slot = this.#ready.first === -1 ? next : this.#ready.first;
    if (slot !== -1) this.#candidates.charge(slot, 0);
    return slot;
  }

  changed(slot: number): void {
    const { open, weights, turns } = this.#candidates;
    const start = turns.starts[slot]!;
    if (open[slot] === 1 && start <= turns.now) this.#ready.set(slot, start + 1 / weights[slot]!, 0);
    else this.#ready.remove(slot);
    if (open[slot] === 1 && start > turns.now) this.#waiting.set(slot, start, 0);
    else this.#waiting.remove(slot);
  }
}
