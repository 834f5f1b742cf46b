/**
 * Deterministic bytes that know their place: every byte depends on a seed and on its offset, so that a swapped, lost,
 * doubled or altered byte is seen at its exact offset, and 50 MB need not be kept to compare them.
 */

/** `length` bytes that depend on `seed` alone. Nothing is made until it is asked for. */
export function payload(seed: number, length: number): Payload {
  return new Payload(seed, length);
}

/** See `payload`. */
export class Payload {
  readonly seed: number;
  /** In bytes. */
  readonly length: number;

  constructor(seed: number, length: number) {
    this.seed = seed;
    this.length = length;
  }

  /** The bytes from `offset` on, at most `length` of them, in memory of their own. */
  slice(offset: number, length: number): Uint8Array {
    const lengthInside = Math.max(0, Math.min(length, this.length - offset));
    const skipped = offset % 4;
    const words = new Int32Array(Math.ceil((skipped + lengthInside) / 4));
    const first = (offset - skipped) / 4;
    const mixedSeed = mix(this.seed ^ 0x9e3779b9);
    for (let index = 0; index < words.length; index++) {
      words[index] = mix(Math.imul(first + index + 1, 0x9e3779b1) ^ mixedSeed);
    }
    return new Uint8Array(words.buffer, skipped, lengthInside);
  }

  /** All bytes; for payloads that fit in memory comfortably. */
  bytes(): Uint8Array {
    return this.slice(0, this.length);
  }

  /** SHA-256 of all bytes, in hexadecimal. */
  sha256(): string {
    const hash = new Bun.CryptoHasher("sha256");
    for (let offset = 0; offset < this.length; offset += STRIDE_BYTES) hash.update(this.slice(offset, STRIDE_BYTES));
    return hash.digest("hex");
  }
}

/** Compares a stream with the payload that it should be, chunk by chunk. */
export class PayloadCheck {
  readonly #payload: Payload;
  #offset = 0;
  #mismatch: string | undefined;

  constructor(payload: Payload) {
    this.#payload = payload;
  }

  /** The first difference, in words; `undefined` while there is none. It stays the first. */
  get mismatch(): string | undefined {
    return this.#mismatch;
  }

  /** True when every byte has come and was right. */
  get complete(): boolean {
    return this.#mismatch === undefined && this.#offset === this.#payload.length;
  }

  /** Bytes that were right so far. */
  get offset(): number {
    return this.#offset;
  }

  /** Compares the next bytes of the stream. */
  take(chunk: Uint8Array): void {
    if (this.#mismatch !== undefined) return;
    const expected = this.#payload.slice(this.#offset, chunk.length);
    if (Buffer.compare(expected, chunk) === 0) {
      this.#offset += chunk.length;
      return;
    }
    let same = 0;
    while (same < expected.length && expected[same] === chunk[same]) same++;
    this.#offset += same;
    this.#mismatch = this.#describe(chunk.subarray(same), expected[same]);
  }

  #describe(found: Uint8Array, expected: number | undefined): string {
    const { seed, length } = this.#payload;
    const name = `the payload (seed ${seed}, ${length} bytes)`;
    if (expected === undefined) return `${found.length} bytes more than ${name} has`;
    const difference = `byte ${this.#offset} of ${name}: expected ${hex(expected)}, found ${hex(found[0]!)}`;
    const belongsAt = this.#find(found.subarray(0, 16));
    return belongsAt === undefined ? difference : `${difference}; what was found belongs at byte ${belongsAt}`;
  }

  /** Where the payload has these bytes, looking a mebibyte around the present offset; few bytes are found nowhere. */
  #find(bytes: Uint8Array): number | undefined {
    if (bytes.length < 8) return undefined;
    const start = Math.max(0, this.#offset - 1024 * 1024);
    const around = this.#payload.slice(start, this.#offset - start + 1024 * 1024);
    const at = Buffer.from(around.buffer, around.byteOffset, around.length).indexOf(bytes);
    return at < 0 ? undefined : start + at;
  }
}

const STRIDE_BYTES = 256 * 1024;

/** The finaliser of MurmurHash3: every bit of the input changes every bit of the output half of the time. */
function mix(word: number): number {
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return word ^ (word >>> 16);
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}
