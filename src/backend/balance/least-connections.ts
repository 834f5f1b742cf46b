/**
 * Least connections by weight: the open endpoint with the fewest sessions for its weight; among equals, the one that
 * was picked least for its weight.
 */
import type { Balancer } from "./balancer.ts";
import { slackRounds, type Candidates } from "./candidates.ts";
import { Tournament } from "./tournament.ts";

/**
 * One that warms up is picked in its turn only, or when no other can be: having few sessions, it would get every
 * client.
 */
export class LeastConnections implements Balancer {
  readonly #candidates: Candidates;
  /** By load. */
  readonly #ready: Tournament;
  /** Those that warm up, until their turn starts; by its start. */
  readonly #waiting: Tournament;

  constructor(candidates: Candidates) {
    this.#candidates = candidates;
    this.#ready = new Tournament(candidates.count);
    this.#waiting = new Tournament(candidates.count);
  }

  pick(): number {
    let next = this.#waiting.first;
    while (next !== -1 && this.#candidates.mayBegin(next)) {
      this.changed(next);
      next = this.#waiting.first;
    }
    const slot = this.#ready.first === -1 ? next : this.#ready.first;
    if (slot !== -1) this.#candidates.charge(slot, slackRounds);
    return slot;
  }

  changed(slot: number): void {
    const { open, loads, turns } = this.#candidates;
    const mayBegin = this.#candidates.mayBegin(slot);
    if (open[slot] === 1 && mayBegin) this.#ready.set(slot, loads[slot]!, turns.starts[slot]!);
    else this.#ready.remove(slot);
    if (open[slot] === 1 && !mayBegin) this.#waiting.set(slot, turns.starts[slot]!, 0);
    else this.#waiting.remove(slot);
  }
}
