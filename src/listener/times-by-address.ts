/**
 * A point in time for each of many addresses, in typed arrays: nothing for the garbage collector to walk through. Addresses
 * are only ever added; who wants to forget drops the whole.
 *
 * It is a hash table that grows page by page (extendible hashing: R. Fagin and others, 1979): when a page is full, half of
 * it moves to a new one. So growing makes no garbage, and no call has to move more than one page.
 */
import { hashOfFour, type HashSeed } from "../core/seeded-hash.ts";

/**
 * Places of a page, and how many are taken when it is divided: beyond that, looking for a free one takes long. Half a
 * million addresses, the most that are remembered together, just fit 2,048 pages.
 */
const pagePlaces = 320;
const pageAddressesMax = 288;
/** A place has a number of 64 bits and an address of four words. */
const placeBytes = 8 + 16;

/** What a page had while it is divided. */
const dividedTimes = new Float64Array(pagePlaces);
const dividedAddresses = new Uint32Array(pagePlaces * 4);

/** Addresses are four words, at the beginning of an array; times are above zero. */
export class TimesByAddress {
  /** How many addresses it has. */
  addresses = 0;
  readonly #seed: HashSeed;
  /** The number of the page for each value of the first `#bits` bits of a hash. One with `n` bits less is there 2ⁿ times. */
  #pageOf = Uint32Array.of(0, 1);
  #bits = 1;
  /** Pages: how many addresses they have, and how many first bits the hashes of these have in common. */
  readonly #used = [0, 0];
  readonly #commonBits = [1, 1];
  /**
   * The places of pages 0 and 1, of 2 and 3, of 4 to 7, of 8 to 15 and so on, each made when its first page is. The kernel
   * gives memory for those pages alone that are written to. A time is 0 where a place is empty.
   */
  readonly #times = [new Float64Array(2 * pagePlaces)];
  readonly #addresses = [new Uint32Array(2 * pagePlaces * 4)];

  constructor(seed: HashSeed) {
    this.#seed = seed;
  }

  /** Memory that its pages take. */
  get bytes(): number {
    return this.#used.length * pagePlaces * placeBytes;
  }

  /** What `get` and `set` want beside the address. */
  hash(address: Uint32Array): number {
    return hashOfFour(address, 0, this.#seed);
  }

  /** The time of an address; 0 when it has none. */
  get(address: Uint32Array, hash: number): number {
    const page = this.#pageOf[hash >>> (32 - this.#bits)]!;
    return this.#times[blockOf(page)]![this.#place(page, address, 0, hash)]!;
  }

  /** Sets the time of an address, which is added when it has none. */
  set(address: Uint32Array, hash: number, time: number): void {
    let page = this.#pageOf[hash >>> (32 - this.#bits)]!;
    let place = this.#place(page, address, 0, hash);
    if (this.#times[blockOf(page)]![place] === 0) {
      while (this.#used[page]! >= pageAddressesMax) {
        this.#divide(page, hash);
        page = this.#pageOf[hash >>> (32 - this.#bits)]!;
        place = this.#place(page, address, 0, hash);
      }
      this.addresses++;
      this.#add(page, place, address, 0, time);
    } else {
      this.#times[blockOf(page)]![place] = time;
    }
  }

  /** Where an address is in its page's block, or the empty place where it would be: behind the first, with no gap between. */
  #place(page: number, from: Uint32Array, at: number, hash: number): number {
    const block = blockOf(page);
    const times = this.#times[block]!;
    const addresses = this.#addresses[block]!;
    const first = (page - firstPageOf(block)) * pagePlaces;
    let offset = ((hash & 0xffff) * pagePlaces) >>> 16;
    for (;;) {
      const place = first + offset;
      if (
        times[place] === 0 ||
        (addresses[place * 4 + 3] === from[at + 3] &&
          addresses[place * 4 + 2] === from[at + 2] &&
          addresses[place * 4 + 1] === from[at + 1] &&
          addresses[place * 4] === from[at])
      ) {
        return place;
      }
      offset = offset === pagePlaces - 1 ? 0 : offset + 1;
    }
  }

  #add(page: number, place: number, from: Uint32Array, at: number, time: number): void {
    const block = blockOf(page);
    const addresses = this.#addresses[block]!;
    for (let word = 0; word < 4; word++) addresses[place * 4 + word] = from[at + word]!;
    this.#times[block]![place] = time;
    this.#used[page]!++;
  }

  /** Gives the page of this hash a second one, for the addresses whose next bit is 1. */
  #divide(page: number, hash: number): void {
    if (this.#commonBits[page] === this.#bits) this.#lengthenHashes();
    const bits = ++this.#commonBits[page]!;
    const upper = this.#newPage(bits);
    // The page stands at neighbouring values; the upper half of them becomes the new page's.
    const half = 1 << (this.#bits - bits);
    const first = (hash >>> (33 - bits)) * 2 * half;
    this.#pageOf.fill(upper, first + half, first + 2 * half);

    const block = blockOf(page);
    const from = (page - firstPageOf(block)) * pagePlaces;
    const times = this.#times[block]!.subarray(from, from + pagePlaces);
    dividedTimes.set(times);
    dividedAddresses.set(this.#addresses[block]!.subarray(from * 4, (from + pagePlaces) * 4));
    times.fill(0);
    this.#used[page] = 0;
    for (let index = 0; index < pagePlaces; index++) {
      if (dividedTimes[index] === 0) continue;
      const moved = hashOfFour(dividedAddresses, index * 4, this.#seed);
      const to = ((moved >>> (32 - bits)) & 1) === 1 ? upper : page;
      this.#add(
        to,
        this.#place(to, dividedAddresses, index * 4, moved),
        dividedAddresses,
        index * 4,
        dividedTimes[index]!,
      );
    }
  }

  #newPage(commonBits: number): number {
    const page = this.#used.length;
    const block = blockOf(page);
    if (block === this.#times.length) {
      const places = firstPageOf(block) * pagePlaces;
      this.#times.push(new Float64Array(places));
      this.#addresses.push(new Uint32Array(places * 4));
    }
    this.#used.push(0);
    this.#commonBits.push(commonBits);
    return page;
  }

  /** One more bit of a hash tells its page: every page stands there twice as often. */
  #lengthenHashes(): void {
    const before = this.#pageOf;
    this.#pageOf = new Uint32Array(before.length * 2);
    for (let value = 0; value < this.#pageOf.length; value++) this.#pageOf[value] = before[value >> 1]!;
    this.#bits++;
  }
}

/** The block of a page: 0 for the first two, then one for each power of two. A block has as many pages as are before it. */
function blockOf(page: number): number {
  return 31 - Math.clz32(page | 1);
}

function firstPageOf(block: number): number {
  return block === 0 ? 0 : 1 << block;
}
