/**
 * By the hash of the client's address: as long as the set of endpoints stays, a client gets the same one, and one that
 * is down, full or warming up moves its own clients only.
 */
import { hashText, mix32 } from "../../core/hash.ts";
import type { Balancer } from "./balancer.ts";
import type { Candidates } from "./candidates.ts";
import { maglevTable } from "./maglev-table.ts";

/**
 * Places of the table that are looked at for a client before all endpoints are; with a tenth of them open, one client
 * in thirty gets there.
 */
const placesMax = 32;

/** The golden ratio of 32 bits: far apart for each step, and mixed afterwards. */
const stride = 0x9e3779b9;

/**
 * The client's hash names a place in a table in which each endpoint has as many as its weight says; when that endpoint
 * is not to be had, another hash of the same client names the next place, and so on. One that warms up takes those of
 * its clients first whose hash lies below its share, so that each of them moves once.
 */
export class SourceHash implements Balancer {
  readonly #candidates: Candidates;
  /** Made at the first pick: changes of the set come in bursts, and a tier of backups may never be asked. */
  #table: Int32Array | undefined = undefined;

  constructor(candidates: Candidates) {
    this.#candidates = candidates;
  }

  pick(clientHost: string): number {
    const { open, shares, openCount } = this.#candidates;
    if (openCount === 0) return -1;
    const table = (this.#table ??= maglevTable(this.#candidates.names, this.#candidates.fullWeights));
    const hash = hashOfClient(clientHost);
    for (let step = 0; step < placesMax; step++) {
      const placed = mix32(hash + Math.imul(step, stride));
      const slot = table[placed % table.length]!;
      if (open[slot] === 0) continue;
      if (shares[slot] === 1 || fraction(mix32(placed ^ stride)) < shares[slot]!) return slot;
    }
    return this.#highestBidder(hash);
  }

  /** Rendezvous hashing by weight: each open endpoint bids for the client, as if the others were not there. */
  #highestBidder(hash: number): number {
    const { count, open, weights, names } = this.#candidates;
    let best = -1;
    let bestBid = Infinity;
    for (let slot = 0; slot < count; slot++) {
      if (open[slot] === 0) continue;
      const bid = -Math.log(fraction(mix32(hash ^ hashText(names[slot]!)))) / weights[slot]!;
      if (bid >= bestBid) continue;
      best = slot;
      bestBid = bid;
    }
    return best;
  }
}

/** From above 0 to below 1. */
function fraction(hash: number): number {
  return (hash + 0.5) / 2 ** 32;
}

/** An IPv4 address has the same hash when a listener for both families writes it as IPv6 (::ffff:192.0.2.1). */
function hashOfClient(host: string): number {
  return hashText(host, host.startsWith("::ffff:") && host.includes(".") ? 7 : 0);
}
