/** Medians, and ratios inside a round, of what was measured. */
import type { Figure, Sample } from "./load.ts";

/** All samples of one contender under one load: one a round, in order. */
export interface Cell {
  /** Name of the peer, or "direct". */
  readonly contender: string;
  readonly samples: readonly Sample[];
}

/** Median of what is there; undefined of nothing. */
export function median(values: readonly (number | undefined)[]): number | undefined {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length % 2 === 1) return sorted[middle];
  const [below, above] = [sorted[middle - 1], sorted[middle]];
  return below === undefined || above === undefined ? undefined : (below + above) / 2;
}

/** A figure of every round; undefined where it could not be taken. */
export function valuesOf(cell: Cell, figure: Figure): (number | undefined)[] {
  return cell.samples.map((sample) => sample.figures[figure]);
}

/** The median of a figure over the rounds. */
export function medianOf(cell: Cell, figure: Figure): number | undefined {
  return median(valuesOf(cell, figure));
}

/** The median of the ratios inside each round, since what disturbs a round disturbs both. */
export function ratioOf(cell: Cell, reference: Cell | undefined, figure: Figure): number | undefined {
  if (reference === undefined) return undefined;
  const theirs = valuesOf(reference, figure);
  return median(
    valuesOf(cell, figure).map((value, round) => {
      const other = theirs[round];
      return value === undefined || other === undefined || other === 0 ? undefined : value / other;
    }),
  );
}

/** Errors of all rounds. */
export function errorsOf(cell: Cell): number {
  return cell.samples.reduce((sum, sample) => sum + sample.errors, 0);
}
