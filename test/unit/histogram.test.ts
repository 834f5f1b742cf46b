/** Histograms of durations. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { durationBoundsMs, DurationHistogram } from "../../src/stats/histogram.ts";

describe("the bounds", () => {
  test("grow, each by at most twelve times, from a dial in a rack to a session of a day", () => {
    const steps = durationBoundsMs.slice(1).map((bound, index) => bound / durationBoundsMs[index]!);
    expect(steps.filter((step) => !(step > 1 && step <= 12))).toEqual([]);
    expect(durationBoundsMs[0]).toBeLessThanOrEqual(0.5);
    expect(durationBoundsMs.at(-1)).toBeGreaterThanOrEqual(86_400_000);
  });
});

describe("a histogram", () => {
  test("is empty at first", () => {
    const histogram = new DurationHistogram();
    expect([...histogram.counts]).toEqual(Array(durationBoundsMs.length + 1).fill(0));
    expect([histogram.count, histogram.sumUs]).toEqual([0, 0]);
  });

  test("has what is as long as a bound in its bucket, what is longer in the next one", () => {
    for (const [index, bound] of durationBoundsMs.entries()) {
      const histogram = new DurationHistogram();
      histogram.add(bound);
      histogram.add(bound + 0.001);
      expect([histogram.counts[index], histogram.counts[index + 1]]).toEqual([1, 1]);
      expect(histogram.count).toBe(2);
    }
  });

  test("has zero in the first bucket, and what is beyond all bounds in the last one", () => {
    const histogram = new DurationHistogram();
    histogram.add(0);
    histogram.add(1e12);
    expect([histogram.counts[0], histogram.counts.at(-1)]).toEqual([1, 1]);
  });

  test("has the number and the sum of whatever was added", () => {
    const durations = fc.array(
      fc.integer({ min: 0, max: 2e11 }).map((us) => us / 1_000),
      { maxLength: 500 },
    );
    fc.assert(
      fc.property(durations, (all) => {
        const histogram = new DurationHistogram();
        for (const ms of all) histogram.add(ms);
        expect(histogram.count).toBe(all.length);
        const sum = all.reduce((total, ms) => total + Math.round(ms * 1_000), 0);
        expect(histogram.sumUs).toBe(sum);
      }),
    );
  });
});
