/** Round robin: each endpoint in turn. */

/** Whose turn it is among a fixed number. */
export class RoundRobin {
  readonly #count: number;
  #cursor = -1;

  constructor(count: number) {
    this.#count = count;
  }

  /** The index whose turn it is, from 0 to `count - 1`. */
  next(): number {
    this.#cursor++;
    if (this.#cursor >= this.#count) this.#cursor = 0;
    return this.#cursor;
  }
}
