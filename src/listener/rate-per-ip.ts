/**
 * New connections a second from each client address: a token bucket for each, in bounded memory.
 *
 * A bucket holds a second's worth of connections, one at least, and fills evenly. What is kept of it is the moment at which
 * it will be full (the GCRA of ITU-T I.371: the same decisions from one number). From that moment on it says nothing
 * that an unknown address's bucket would not say, so it is forgotten.
 *
 * Forgetting is done by halves, without looking for what is due: the younger half takes what is new, and when a bucket
 * would have had the time to fill since it began, the older one is dropped whole and the younger one takes its place.
 */
import { ipBytes, readIp } from "../core/ip.ts";
import type { HashSeed } from "../core/seeded-hash.ts";
import { TimesByAddress } from "./times-by-address.ts";

/**
 * How many addresses are remembered at most. When as many arrive before their buckets are full again, the half of those
 * that came first is forgotten: they may connect as if they had not yet, and nobody else is refused for it.
 */
export const rateAddressesMax = 1_000_000;

/** What may differ in a test. */
export interface RatePerIpOptions {
  readonly addressesMax?: number;
  readonly seed?: HashSeed;
}

/** A thousandth of a millisecond, so that sums of fractions of one don't refuse the last connection of a full bucket. */
const slackMs = 0.001;

/** The address that is asked about, in both forms. */
const addressBytes = new Uint8Array(new ArrayBuffer(ipBytes));
const address = new Uint32Array(addressBytes.buffer);

/** One for each listener that has the limit. Times are of one clock that never goes back, in ms. */
export class RatePerIp {
  /** What a connection takes out of a bucket, and what a full one has, as the time it takes to fill. */
  readonly #connectionMs: number;
  readonly #fullMs: number;
  readonly #halfMax: number;
  readonly #seed: HashSeed;
  #younger: TimesByAddress;
  #older: TimesByAddress;
  /** Addresses that are in both halves. */
  #inBoth = 0;
  #youngerSinceMs = -Infinity;
  /** When a bucket was last taken from. */
  #takenAtMs = -Infinity;

  /** `perSecond` is above zero; below one, one connection at once is still allowed. */
  constructor(perSecond: number, { addressesMax = rateAddressesMax, seed = randomSeed() }: RatePerIpOptions = {}) {
    this.#connectionMs = 1000 / perSecond;
    this.#fullMs = Math.max(1, perSecond) * this.#connectionMs;
    this.#halfMax = Math.max(1, Math.floor(addressesMax / 2));
    this.#seed = seed;
    this.#younger = new TimesByAddress(seed);
    this.#older = new TimesByAddress(seed);
  }

  /** Whether this address may connect now; if so, that is one connection less. What is no IP address has no limit. */
  take(host: string, nowMs: number): boolean {
    this.forget(nowMs);
    if (readIp(host, addressBytes) === 0) return true;
    const hash = this.#younger.hash(address);
    const younger = this.#younger.get(address, hash);
    const older = younger === 0 ? this.#older.get(address, hash) : 0;
    const fullAtMs = Math.max(nowMs, younger, older) + this.#connectionMs;
    if (fullAtMs - nowMs > this.#fullMs + slackMs) return false;
    if (younger === 0) {
      if (this.#younger.addresses >= this.#halfMax) this.#dropOlder(nowMs);
      else if (older !== 0) this.#inBoth++;
    }
    this.#takenAtMs = nowMs;
    this.#younger.set(address, hash, fullAtMs);
    return true;
  }

  /** Forgets buckets that are full again. `take` does so too; alone it is for times in which nobody connects. */
  forget(nowMs: number): void {
    if (nowMs - this.#youngerSinceMs <= this.#fullMs + slackMs) return;
    this.#dropOlder(nowMs);
    if (nowMs - this.#takenAtMs > this.#fullMs + slackMs) this.#dropOlder(nowMs);
  }

  /** Addresses that are remembered. */
  get addresses(): number {
    return this.#younger.addresses + this.#older.addresses - this.#inBoth;
  }

  /** Memory that they take. */
  get bytes(): number {
    return this.#younger.bytes + this.#older.bytes;
  }

  #dropOlder(nowMs: number): void {
    this.#inBoth = 0;
    this.#youngerSinceMs = nowMs;
    if (this.#younger.addresses === 0 && this.#older.addresses === 0) return;
    this.#older = this.#younger;
    this.#younger = new TimesByAddress(this.#seed);
  }
}

function randomSeed(): HashSeed {
  const [low = 0, high = 0] = crypto.getRandomValues(new Uint32Array(2));
  return { low, high };
}
