/** Inputs for parsers: random ones, and seeds that were changed, cut, and put together anew. The same number gives the same inputs. */

/** What an input goes beyond the bound by, at most. */
const beyondBytesMax = 64;

/** Gives one input after the other, always in the same memory. */
export class FuzzInput {
  readonly #seeds: readonly Uint8Array[];
  readonly #bytesMax: number;
  readonly #buffer: Uint8Array;
  #state: number;

  /** `bytesMax` is the bound of the parser: inputs of that length and beyond it are among them. */
  constructor(seeds: readonly Uint8Array[], bytesMax: number, start: number) {
    const longest = Math.max(...seeds.map((seed) => seed.length));
    this.#seeds = seeds;
    this.#bytesMax = bytesMax;
    this.#buffer = new Uint8Array(2 * longest + bytesMax + beyondBytesMax);
    // Far apart for neighbouring numbers, and never 0, which would stay 0.
    this.#state = Math.imul(start ^ 0x9e3779b9, 0x85ebca6b) || 1;
  }

  /** The next input; it is overwritten by the one after it. */
  next(): Uint8Array {
    const kind = this.below(16);
    let length: number;
    if (kind < 2) length = this.#random(1 + this.below(64));
    else if (kind < 9) length = this.#copy(0, this.#seed());
    else length = this.#splice();
    if (kind >= 2) for (let count = this.below(4); count > 0; count--) length = this.#change(length);
    if (this.below(4096) === 0) length = this.#lengthen(length);
    return this.#buffer.subarray(0, length);
  }

  /** A whole number from 0 to below `end`: xorshift, 32 bits. */
  below(end: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return (state >>> 0) % end;
  }

  #seed(): Uint8Array {
    return this.#seeds[this.below(this.#seeds.length)]!;
  }

  #random(length: number): number {
    for (let at = 0; at < length; at++) this.#buffer[at] = this.below(256);
    return length;
  }

  #copy(at: number, bytes: Uint8Array): number {
    this.#buffer.set(bytes, at);
    return at + bytes.length;
  }

  /** The beginning of one seed and the end of another, or of the same one: something left out or twice. */
  #splice(): number {
    const first = this.#seed();
    const second = this.below(2) === 0 ? first : this.#seed();
    const at = this.below(first.length + 1);
    this.#buffer.set(first);
    return this.#copy(at, second.subarray(this.below(second.length + 1)));
  }

  /** One small change, mostly of a byte. Returns the new length. */
  #change(length: number): number {
    const buffer = this.#buffer;
    if (length === 0) return this.#random(1);
    const at = this.below(length);
    switch (this.below(8)) {
      case 0:
        buffer[at] = this.below(256);
        return length;
      case 1:
        buffer[at]! ^= 1 << this.below(8);
        return length;
      case 2:
        buffer[at] = telling[this.below(telling.length)]!;
        return length;
      case 3:
        buffer[at]! += 1 - 2 * this.below(2);
        return length;
      case 4:
        // One byte less.
        buffer.copyWithin(at, at + 1, length);
        return length - 1;
      case 5:
        // One byte more.
        buffer.copyWithin(at + 1, at, length);
        buffer[at] = telling[this.below(telling.length)]!;
        return length + 1;
      case 6:
        return at;
      default:
        return length;
    }
  }

  /** Up to the bound and beyond it, with one byte again and again, or with what is there already. */
  #lengthen(length: number): number {
    const longer = this.#bytesMax - 2 + this.below(beyondBytesMax);
    if (longer <= length) return length;
    if (length === 0 || this.below(2) === 0) this.#buffer.fill(telling[this.below(telling.length)]!, length, longer);
    else for (let at = length; at < longer; at++) this.#buffer[at] = this.#buffer[at - length]!;
    return longer;
  }
}

/** Bytes that mean something somewhere. */
const telling = Uint8Array.from([
  0x00,
  0x01,
  0x02,
  0x03,
  0x10,
  0x16,
  0x20,
  0x21,
  0x40,
  0x7f,
  0x80,
  0xff,
  ...Buffer.from("\t\n\r #%*+,-./:;@AHPTZ[\\]_afhx{}~0159"),
]);
