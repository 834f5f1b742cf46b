/** Quantiles of a histogram of durations. */
import { durationBoundsMs } from "../../stats/histogram.ts";

/**
 * The duration, in ms, that the part `q` (0 to 1) of all counted did not exceed, estimated as Prometheus does it: within a
 * bucket they are taken to be spread evenly. Beyond all bounds it is the last bound; without any count `undefined`.
 * `counts` are those of the buckets of `DurationHistogram`, not cumulative.
 */
export function quantileMs(counts: Float64Array, q: number): number | undefined {
  let total = 0;
  for (const count of counts) total += count;
  if (total <= 0) return undefined;
  const rank = q * total;
  let below = 0;
  let lowerMs = 0;
  for (const [bucket, upperMs] of durationBoundsMs.entries()) {
    const count = counts[bucket]!;
    if (count > 0 && below + count >= rank) return lowerMs + ((upperMs - lowerMs) * (rank - below)) / count;
    below += count;
    lowerMs = upperMs;
  }
  return lowerMs;
}
