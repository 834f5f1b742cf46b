/** How many connections each client address has open, against a limit. */
import { canonicalHost } from "../core/address.ts";
import { assert } from "../core/assert.ts";

/** One for each listener that has the limit. Holds an entry for each address that has a connection, and none longer. */
export class ConnectionsPerIp {
  #max: number;
  readonly #open = new Map<string, number>();

  /** At most `max` at once from one address, 1 at least. */
  constructor(max: number) {
    assert(max >= 1, "a limit of connections for an address must leave one");
    this.#max = max;
  }

  /** Another limit from now on; `Infinity` only counts. Connections beyond it go on. */
  configure(max: number): void {
    assert(max >= 1, "a limit of connections for an address must leave one");
    this.#max = max;
  }

  /** Counts a connection of this address; `false`, and nothing is counted, when it has as many as it may. */
  take(host: string): boolean {
    const key = keyOf(host);
    const open = this.#open.get(key) ?? 0;
    if (open >= this.#max) return false;
    this.#open.set(key, open + 1);
    return true;
  }

  /** A connection that was taken is over: its place is free at once. Once for each `take` that said `true`. */
  giveBack(host: string): void {
    const key = keyOf(host);
    const open = this.#open.get(key);
    assert(open !== undefined, "a connection was given back that its address had not taken");
    if (open === 1) this.#open.delete(key);
    else this.#open.set(key, open - 1);
  }

  /** Addresses that have a connection. */
  get addresses(): number {
    return this.#open.size;
  }
}

/** IPv6 has many spellings, some of them of IPv4; IPv4 has one. */
function keyOf(host: string): string {
  return host.includes(":") ? canonicalHost(host) : host;
}
