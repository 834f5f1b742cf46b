/** A histogram of durations: how many were at most so long. Fed on the connection path, read when somebody asks. */

/**
 * The upper bounds of the buckets, in ms; what is longer is in one more. Three a decade from a dial in a rack (0.1 ms) to
 * one that nearly timed out (5 s), then the words that people have for how long a session lasted: up to a day.
 */
export const durationBoundsMs: readonly number[] = [
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000,
  3_600_000, 14_400_000, 86_400_000,
];

/** Counts only grow. */
export class DurationHistogram {
  /** How many fell into each bucket, the last one being for those beyond all bounds; not cumulative. */
  readonly counts = new Float64Array(durationBoundsMs.length + 1);
  /** The sum of all, in whole µs: so it is exact, in whatever order they were added. */
  sumUs = 0;

  /** `ms` as the access record has it, with three decimals: then both say the same of a connection. */
  add(ms: number): void {
    let bucket = 0;
    while (bucket < durationBoundsMs.length && ms > durationBoundsMs[bucket]!) bucket++;
    this.counts[bucket]!++;
    this.sumUs += Math.round(ms * 1000);
  }

  /** How many there were. */
  get count(): number {
    let count = 0;
    for (const one of this.counts) count += one;
    return count;
  }
}
