/**
 * Whose turn it is, by weight: each candidate is owed one turn in each stretch of virtual time that is as long as its
 * gap, 1 / weight. A turn may be taken from the start of its stretch on and should be by its end; the next stretch
 * begins where this one ended. Taking the turn that ends first, of those that have started, keeps each candidate within
 * one turn of its share at all times (R. Tijdeman, "The chairman assignment problem", 1980; as a scheduler: EEVDF,
 * Stoica and Abdel-Wahab, 1995).
 */

/** Virtual time, and the next turn of each candidate. */
export class Turns {
  /**
   * Grows by 1 in a round, in which every open candidate is picked as often as its weight says. A double counts them
   * for longer than any process lives.
   */
  now = 0;
  /** When the next turn of each candidate starts; before `now` when it is due. */
  readonly starts: Float64Array;

  constructor(count: number) {
    this.starts = new Float64Array(count);
  }

  /**
   * A candidate takes a turn; `openWeight` is the weight of all that could have. One that has long not been picked,
   * being full or busy, is owed its present turn and those of `slack` rounds, and not all that it missed; nor does one
   * that was picked out of turn pay for more.
   */
  charge(slot: number, gap: number, openWeight: number, slack: number): void {
    let start = this.starts[slot]!;
    if (start < this.now - gap - slack) start = this.now - gap - slack;
    else if (start > this.now + slack) start = this.now + slack;
    this.starts[slot] = start + gap;
    this.now += 1 / openWeight;
  }

  /** A candidate comes in: it is owed nothing, and its first turn starts after so many rounds. */
  enter(slot: number, rounds: number): void {
    this.starts[slot] = this.now + rounds;
  }

  /** The weight of a candidate has changed: the rest of its wait is as much shorter or longer. */
  reweighed(slot: number, before: number, after: number): void {
    const wait = this.starts[slot]! - this.now;
    if (wait > 0) this.starts[slot] = this.now + (wait * before) / after;
  }

  /** Takes a candidate over from where it stood elsewhere. */
  continueFrom(slot: number, before: Turns, slotBefore: number): void {
    this.starts[slot] = this.now + before.starts[slotBefore]! - before.now;
  }
}
