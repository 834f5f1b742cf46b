/** The number of open connections, in memory that all threads share. */

/**
 * Counts open connections. Every thread that opens or closes one makes its own instance over the same memory.
 *
 * Whoever brings the count to zero wakes those who wait for it: nobody polls. A pending `whenZero` neither keeps the
 * process running nor stops it from exiting (Bun 1.4.5: with nothing else to do the process exits 0 and the wait is
 * dropped), so what is waited for, the open sockets, must do that, or an `await` at the top level of the entry module.
 */
export class ActiveConnections {
  /** The memory with the count, to hand to other threads. */
  readonly shared: SharedArrayBuffer;
  readonly #slot: Int32Array<SharedArrayBuffer>;

  /** @param shared memory of another instance, at least 4 bytes, the first 4 of which are the count; fresh memory when absent. */
  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared;
    this.#slot = new Int32Array(shared, 0, 1);
  }

  /** Connections open now. */
  get count(): number {
    return Atomics.load(this.#slot, 0);
  }

  /** Counts one connection more. Returns how many there are with it. */
  take(): number {
    return Atomics.add(this.#slot, 0, 1) + 1;
  }

  /**
   * Counts one connection less. Returns how many are left.
   *
   * @throws Error when none was open: one was given back twice. The count stays at zero.
   */
  giveBack(): number {
    // A subtraction that is taken back would show -1 to other threads, and one of them might then wait for a zero that
    // nobody announces. An exchange never shows it.
    let before = Atomics.load(this.#slot, 0);
    for (;;) {
      if (before <= 0)
        throw new Error(`cannot give back a connection: ${before} are open, so it was given back before`);
      const found = Atomics.compareExchange(this.#slot, 0, before, before - 1);
      if (found === before) break;
      before = found;
    }
    if (before === 1) Atomics.notify(this.#slot, 0);
    return before - 1;
  }

  /**
   * Resolves when no connection is open. Connections taken between the zero and the wake-up are waited for as well, so
   * this is for after accepting has ended. It can't be cancelled: race it against a deadline and forget it.
   */
  async whenZero(): Promise<void> {
    for (let seen = this.count; seen !== 0; seen = this.count) {
      // Refused at once when the count is no longer the one just seen; only the decrement to zero ends it.
      const waiting = Atomics.waitAsync(this.#slot, 0, seen);
      if (waiting.async) await waiting.value;
    }
  }
}
