/**
 * A ring of small messages in shared memory, from one thread to one other. Neither side waits for a lock or allocates.
 *
 * A message is four words: what it says, and up to three numbers. The writer makes sure by other means that there is
 * room: who has to be told only so often can't overflow a ring of that size.
 */
import { assert } from "../../core/assert.ts";

const wordsPerMessage = 4;
/** The two counters before the messages: how many were read, and how many were written. They wrap around at 2³². */
const readIndex = 0;
const writtenIndex = 1;
const headerWords = 2;

/** One end of a ring; each thread has its own instance over the same memory, and uses it in one direction only. */
export class Ring {
  /** The message that `next` has read. */
  kind = 0;
  a = 0;
  b = 0;
  c = 0;

  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #capacity: number;

  /** Words of memory that a ring for so many messages needs; `capacity` is a power of two. */
  static words(capacity: number): number {
    return headerWords + capacity * wordsPerMessage;
  }

  constructor(words: Int32Array<SharedArrayBuffer>) {
    this.#words = words;
    this.#capacity = (words.length - headerWords) / wordsPerMessage;
    assert(Number.isInteger(Math.log2(this.#capacity)), "the capacity of a ring is no power of two");
  }

  /** Writes a message. Who waits in `whenWritten` is not woken before `wake`. */
  push(kind: number, a: number, b: number, c: number): void {
    const words = this.#words;
    const written = words[writtenIndex]!;
    assert(((written - Atomics.load(words, readIndex)) | 0) < this.#capacity, "a ring of messages has overflowed");
    const at = headerWords + (written & (this.#capacity - 1)) * wordsPerMessage;
    words[at] = kind;
    words[at + 1] = a;
    words[at + 2] = b;
    words[at + 3] = c;
    Atomics.store(words, writtenIndex, (written + 1) | 0);
  }

  /** Reads the oldest message into `kind`, `a`, `b` and `c`; `false` when there is none. */
  next(): boolean {
    const words = this.#words;
    const read = words[readIndex]!;
    if (read === Atomics.load(words, writtenIndex)) return false;
    const at = headerWords + (read & (this.#capacity - 1)) * wordsPerMessage;
    this.kind = words[at]!;
    this.a = words[at + 1]!;
    this.b = words[at + 2]!;
    this.c = words[at + 3]!;
    Atomics.store(words, readIndex, (read + 1) | 0);
    return true;
  }

  /** Wakes the reader that waits in `whenWritten`. */
  wake(): void {
    Atomics.notify(this.#words, writtenIndex);
  }

  /** Resolves when there may be something to read: at once, or when the writer, or anybody, calls `wake`. */
  async whenWritten(): Promise<void> {
    const waiting = Atomics.waitAsync(this.#words, writtenIndex, this.#words[readIndex]!);
    if (waiting.async) await waiting.value;
  }
}
