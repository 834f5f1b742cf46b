/** Two endpoints are drawn by weight, and of these the one with fewer sessions for its weight is taken. */
import type { Balancer } from "./balancer.ts";
import { slackRounds, type Candidates } from "./candidates.ts";

/**
 * Among equals it is the one that was picked less for its weight. When neither of the two can be had, all are looked
 * at.
 */
export class RandomTwo implements Balancer {
  readonly #candidates: Candidates;
  readonly #random: () => number;
  /** The weights up to and with each slot. */
  readonly #sums: Float64Array;
  /** The version of the shares that the sums are of. */
  #version = -1;

  constructor(candidates: Candidates, random: () => number) {
    this.#candidates = candidates;
    this.#random = random;
    this.#sums = new Float64Array(candidates.count);
  }

  pick(): number {
    const { count, weights, version, openCount } = this.#candidates;
    if (openCount === 0) return -1;
    if (this.#version !== version) this.#sumUp();
    const total = this.#sums[count - 1]!;
    const one = this.#slotAt(this.#random() * total);
    // The other is drawn from the rest, as if the first were not there.
    let place = this.#random() * (total - weights[one]!);
    if (place >= this.#sums[one]! - weights[one]!) place += weights[one]!;
    const other = this.#slotAt(place);
    let slot = this.#better(one, other);
    if (slot === -1) slot = this.#bestOfAll();
    this.#candidates.charge(slot, slackRounds);
    return slot;
  }

  /** The better one; −1 when neither can be had. */
  #better(one: number, other: number): number {
    if (!this.#mayBePicked(one)) return this.#mayBePicked(other) ? other : -1;
    if (!this.#mayBePicked(other)) return one;
    const { loads, turns } = this.#candidates;
    if (loads[one] !== loads[other]) return loads[one]! < loads[other]! ? one : other;
    return turns.starts[one]! <= turns.starts[other]! ? one : other;
  }

  #mayBePicked(slot: number): boolean {
    return this.#candidates.open[slot] === 1 && this.#candidates.mayBegin(slot);
  }

  /**
   * The best of all that are open. If all wait for their turn, because they warm up, it is the one whose turn comes
   * first.
   */
  #bestOfAll(): number {
    const { count, open, turns } = this.#candidates;
    let best = -1;
    let waiting = -1;
    for (let slot = 0; slot < count; slot++) {
      if (open[slot] === 0) continue;
      if (!this.#mayBePicked(slot)) {
        if (waiting === -1 || turns.starts[slot]! < turns.starts[waiting]!) waiting = slot;
      } else if (best === -1 || this.#better(best, slot) === slot) best = slot;
    }
    return best === -1 ? waiting : best;
  }

  /** The slot whose weight covers this place in the row of all weights. */
  #slotAt(place: number): number {
    const sums = this.#sums;
    let low = 0;
    let high = sums.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sums[middle]! > place) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #sumUp(): void {
    const { count, weights, version } = this.#candidates;
    let sum = 0;
    for (let slot = 0; slot < count; slot++) {
      sum += weights[slot]!;
      this.#sums[slot] = sum;
    }
    this.#version = version;
  }
}
