/** A queue of slots in a ring of fixed size: nothing is allocated when one enters or leaves. */

/** First in, first out. Whoever uses it sees to it that a slot is in it once at most. */
export class SlotQueue {
  length = 0;
  #head = 0;
  readonly #slots: Int32Array;

  constructor(slots: number) {
    this.#slots = new Int32Array(slots);
  }

  push(slot: number): void {
    this.#slots[(this.#head + this.length++) % this.#slots.length] = slot;
  }

  /** The slot that has waited longest. Only while there is one. */
  shift(): number {
    const slot = this.#slots[this.#head]!;
    this.#head = (this.#head + 1) % this.#slots.length;
    this.length--;
    return slot;
  }
}
