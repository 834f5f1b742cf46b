/**
 * The endpoints of one tier as a balancer sees them: columns of numbers, a slot for each endpoint. A pick reads them in
 * one go, which is why a thousand objects are not asked.
 */
import { Turns } from "./turns.ts";

/**
 * How far a policy that does not go by turns lets them get before or behind, in rounds; they decide among equals only.
 * With two, 10,000 short sessions drawn at random keep within 1 % of equal weights; with none, within 3 %.
 */
export const slackRounds = 2;

/** Kept by a tier, read by its balancer. All slots are out of rotation at first. */
export class Candidates {
  readonly count: number;
  /**
   * How much of its weight counts: 0 out of rotation, 1 all, between them while it warms up. At least one in rotation
   * has 1.
   */
  readonly shares: Float64Array;
  /** Weight × share. */
  readonly weights: Float64Array;
  /** 1 for each that may be picked now: in rotation, not full, not passed over. */
  readonly open: Uint8Array;
  /** Sessions / (weight × share). */
  readonly loads: Float64Array;
  openCount = 0;
  /** The weights of the open ones together. */
  openWeight = 0;
  /** Grows whenever a share changes. */
  version = 0;
  /** Whose turn it is, for balancers that go by turns. */
  readonly turns: Turns;

  constructor(
    /** What tells the endpoints apart, the same on every machine. */
    readonly names: readonly string[],
    /** The weight of each, warm-up aside; not negative. */
    readonly fullWeights: readonly number[],
  ) {
    this.count = names.length;
    this.shares = new Float64Array(this.count);
    this.weights = new Float64Array(this.count);
    this.open = new Uint8Array(this.count);
    this.loads = new Float64Array(this.count);
    this.turns = new Turns(this.count);
  }

  /** How much of its weight counts from now on. When that is a change, the slot is closed by it. */
  setShare(slot: number, share: number): void {
    if (this.shares[slot] === share) return;
    this.close(slot);
    const before = this.weights[slot]!;
    const after = this.fullWeights[slot]! * share;
    this.shares[slot] = share;
    this.weights[slot] = after;
    this.version++;
    if (share === 0) return;
    // One that begins to warm up waits for its first turn, or each that comes and goes would get a client at once.
    if (before === 0) this.turns.enter(slot, share === 1 ? 0 : 1 / after);
    else this.turns.reweighed(slot, before, after);
  }

  /** It may be picked from now on, and has so many sessions. Its share is not 0. */
  setOpen(slot: number, active: number): void {
    const weight = this.weights[slot]!;
    this.loads[slot] = active / weight;
    if (this.open[slot] === 1) return;
    this.open[slot] = 1;
    this.openCount++;
    this.openWeight += weight;
  }

  /** It may not be picked from now on. */
  close(slot: number): void {
    if (this.open[slot] === 0) return;
    this.open[slot] = 0;
    this.openCount--;
    this.openWeight -= this.weights[slot]!;
    // What rounding has left is forgotten now and then.
    if (this.openCount === 0) this.openWeight = 0;
  }

  /** It is picked: its turn is over. For `slack` see {@link Turns.charge}. */
  charge(slot: number, slack: number): void {
    this.turns.charge(slot, 1 / this.weights[slot]!, this.openWeight, slack);
  }

  /**
   * Whether its warm-up lets it be picked now. Few sessions would speak for it at every pick; so it is picked only in
   * its turn, which makes its picks keep to its share.
   */
  mayBegin(slot: number): boolean {
    return this.shares[slot] === 1 || this.turns.starts[slot]! <= this.turns.now;
  }

  /**
   * Goes on where others stopped: `slotsBefore` says which slot each had there, −1 for a new one. All are closed by it.
   */
  continueFrom(before: Candidates, slotsBefore: readonly number[]): void {
    for (const [slot, slotBefore] of slotsBefore.entries()) {
      // One that has no weight any more has no turns; one that had none is new to them.
      if (slotBefore === -1 || this.fullWeights[slot] === 0 || before.weights[slotBefore] === 0) continue;
      this.setShare(slot, before.shares[slotBefore]!);
      this.turns.continueFrom(slot, before.turns, slotBefore);
      this.turns.reweighed(slot, before.weights[slotBefore]!, this.weights[slot]!);
    }
  }
}
