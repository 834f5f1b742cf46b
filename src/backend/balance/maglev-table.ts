/**
 * The table of consistent hashing: which endpoint has which place. Each endpoint has its own order of all places, and
 * they take turns in choosing the next that is free (D. Eisenbud and others, "Maglev: A Fast and Reliable Software
 * Network Load Balancer", NSDI 2016, section 3.4). When one leaves, its places are taken by others and few more change
 * hands. It is made of the whole set, down or not, and only when that changes: it takes some milliseconds.
 */
import { hashText, mix32 } from "../../core/hash.ts";

/**
 * Places of every table, whatever its endpoints: another number would move nearly every client. A prime, so that every
 * step reaches all places. With 1,000 endpoints each still has 65; beyond 65,537 some have none, and no clients.
 */
const places = 65_537;

/** The slot that has each place, by weight. Names matter, and not their order; one at least has a weight. */
export function maglevTable(names: readonly string[], weights: readonly number[]): Int32Array {
  const choosers = names
    .map((name, slot) => new Chooser(slot, name, weights[slot]!))
    .filter(({ weight }) => weight > 0)
    .toSorted((one, other) => one.hash - other.hash || (one.name < other.name ? -1 : 1));
  const heaviest = choosers.reduce((most, { weight }) => Math.max(most, weight), 0);
  const table = new Int32Array(places).fill(-1);
  let free = places;
  for (;;) {
    for (const chooser of choosers) {
      // The heaviest chooses in every round, the others in as many as their weight is of its.
      chooser.credit += chooser.weight;
      if (chooser.credit < heaviest) continue;
      chooser.credit -= heaviest;
      table[chooser.nextFree(table)] = chooser.slot;
      free--;
      if (free === 0) return table;
    }
  }
}

class Chooser {
  readonly hash: number;
  credit = 0;
  #place: number;
  readonly #step: number;

  constructor(
    readonly slot: number,
    readonly name: string,
    readonly weight: number,
  ) {
    this.hash = hashText(name);
    this.#place = this.hash % places;
    this.#step = (mix32(~this.hash) % (places - 1)) + 1;
  }

  nextFree(table: Int32Array): number {
    let place = this.#place;
    while (table[place]! >= 0) {
      place += this.#step;
      if (place >= places) place -= places;
    }
    this.#place = place;
    return place;
  }
}
