/**
 * The first of a fixed number of slots, kept while their keys change: a tournament in a tree, in which each node has
 * the winner of the two below it. A change costs a comparison for each level (ten for a thousand slots), the question
 * for the first nothing. A scan of a thousand takes up to ten times as long.
 */

/** The smallest key wins, among equals the smallest tie, then the smallest slot. Nobody takes part at first. */
export class Tournament {
  readonly #keys: Float64Array;
  readonly #ties: Float64Array;
  /** Node 1 is the root, those below node n are 2n and 2n + 1; the second half are the slots themselves. */
  readonly #winners: Int32Array;
  readonly #leaves: number;

  constructor(slots: number) {
    this.#leaves = 2 ** Math.ceil(Math.log2(Math.max(slots, 1)));
    this.#keys = new Float64Array(this.#leaves).fill(Infinity);
    this.#ties = new Float64Array(this.#leaves);
    this.#winners = new Int32Array(2 * this.#leaves);
    for (let slot = 0; slot < this.#leaves; slot++) this.#winners[this.#leaves + slot] = slot;
    for (let node = this.#leaves - 1; node > 0; node--) this.#winners[node] = this.#winners[2 * node]!;
  }

  /** The winner, or −1 when nobody takes part. */
  get first(): number {
    const winner = this.#winners[1]!;
    return this.#keys[winner] === Infinity ? -1 : winner;
  }

  /** Takes part with this key, which is less than `Infinity`. */
  set(slot: number, key: number, tie: number): void {
    const keys = this.#keys;
    const ties = this.#ties;
    const winners = this.#winners;
    if (keys[slot] === key && ties[slot] === tie) return;
    keys[slot] = key;
    ties[slot] = tie;
    for (let node = (this.#leaves + slot) >> 1; node > 0; node >>= 1) {
      const left = winners[2 * node]!;
      const right = winners[2 * node + 1]!;
      const rightWins = keys[right]! < keys[left]! || (keys[right] === keys[left] && ties[right]! < ties[left]!);
      const winner = rightWins ? right : left;
      // It neither was the winner here nor is it now: nothing changes above.
      if (winners[node] !== slot && winner !== slot) return;
      winners[node] = winner;
    }
  }

  /** Takes no part. */
  remove(slot: number): void {
    this.set(slot, Infinity, 0);
  }
}
