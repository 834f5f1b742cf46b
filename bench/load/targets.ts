/** What sluice is held to, as a table, and whether it was met. */
import type { Figure } from "./load.ts";
import type { Variant } from "./peer.ts";
import { type Cell, errorsOf, medianOf, ratioOf } from "./statistics.ts";
import type { Store, StoredLoad } from "./store.ts";

/** Whose figure of the same round is the measure: a peer's, or that of the same build with the default configuration. */
export type Reference = "haproxy" | "haproxy-splice" | "own default";

/** One promise about one figure of the loads whose name begins with `load`. */
export interface Target {
  readonly load: string;
  readonly variant: Variant;
  readonly figure: Figure;
  /** Said in the report. */
  readonly says: string;
  readonly bound: "at most" | "at least";
  readonly value: number;
  /** What `value` multiplies; absent: it is the figure itself. */
  readonly times?: Reference;
}

/** `not measured` when the figure, or the reference's beside it, is missing; `ERRORS` when bytes or connections were lost. */
export type Verdict = "met" | "MISSED" | "ERRORS" | "not measured";

/** A target with what was found of one contender. */
export interface Judged {
  readonly target: Target;
  readonly load: string;
  readonly contender: string;
  /** The contender that `times` means; undefined without one. */
  readonly reference: string | undefined;
  readonly found: number | undefined;
  readonly verdict: Verdict;
}

/** The targets, in the order of the report. */
export const targets: readonly Target[] = [
  atLeast(1.3, "haproxy-splice", "bulk", "default", "rate", "throughput"),
  atMost(0.6, "haproxy-splice", "bulk", "default", "cpu", "CPU per GiB"),
  atLeast(1.5, "haproxy", "bulk", "copy", "rate", "throughput"),
  atMost(0.65, "haproxy", "bulk", "copy", "cpu", "CPU per GiB"),
  ...["ping-pong 64 B, 64 ", "ping-pong 64 B, 512 "].flatMap((load) => [
    atLeast(1, "haproxy", load, "default", "rate", "round trips"),
    atMost(1, "haproxy", load, "default", "cpu", "CPU per round trip"),
  ]),
  atLeast(1, "haproxy", "connect", "default", "rate", "connections"),
  atMost(1, "haproxy", "connect", "default", "cpu", "CPU per connection"),
  atLeast(0.9, "own default", "connect", "log", "rate", "connections, access log on"),
  ...["bulk down, 1", "ping-pong 64 B, 64 ", "connect"].flatMap((load) => [
    atLeast(0.98, "own default", load, "watched", "rate", "rate, scraped and watched"),
    atMost(1.02, "own default", load, "watched", "cpu", "CPU, scraped and watched"),
  ]),
  atLeast(0.98, "own default", "connect", "traced", "rate", "connections, 1 % traced"),
  atLeast(4, "haproxy-splice", "mixed", "default", "rate", "round trips"),
  atMost(0.4, "haproxy-splice", "mixed", "default", "p99Us", "p99 of round trips"),
  atLeast(1.3, "haproxy-splice", "mixed", "default", "bulkRate", "throughput"),
  atMost(4, undefined, "idle", "default", "growthKb", "KB per connection"),
  atMost(60, undefined, "idle", "default", "residentMb", "MB at start"),
  atMost(1.05, undefined, "soak", "default", "residentGrowth", "MB of the last minute ÷ third minute"),
  atMost(0, undefined, "soak", "default", "descriptorsLeft", "descriptors left"),
];

/** Judges all targets on all that was measured of them. */
export function judgeAll(store: Store): Judged[] {
  return targets.flatMap((target) =>
    [...store]
      .filter(([name]) => name.startsWith(target.load))
      .flatMap(([name, load]) => judgeLoad(target, name, load)),
  );
}

/** Judges a target on what was found: the median ratio or the median figure, and how many errors came with it. */
export function judge(target: Target, found: number | undefined, errors: number): Verdict {
  if (errors > 0) return "ERRORS";
  if (found === undefined) return "not measured";
  const met = target.bound === "at most" ? found <= target.value : found >= target.value;
  return met ? "met" : "MISSED";
}

function judgeLoad(target: Target, name: string, load: StoredLoad): Judged[] {
  const cellOf = (contender: string): Cell | undefined => load.cells.find((cell) => cell.contender === contender);
  return load.peers.flatMap(({ name: contender, sluice }) => {
    const cell = cellOf(contender);
    if (cell === undefined || sluice?.variant !== target.variant) return [];
    const { figure, times } = target;
    const reference = times === "own default" ? sluice.build : times;
    const found = reference === undefined ? medianOf(cell, figure) : ratioOf(cell, cellOf(reference), figure);
    return [{ target, load: name, contender, reference, found, verdict: judge(target, found, errorsOf(cell)) }];
  });
}

type Row = [value: number, times: Reference | undefined, load: string, variant: Variant, figure: Figure, says: string];

function atLeast(...row: Row): Target {
  return rowOf("at least", row);
}

function atMost(...row: Row): Target {
  return rowOf("at most", row);
}

function rowOf(bound: Target["bound"], [value, times, load, variant, figure, says]: Row): Target {
  return { load, variant, figure, says, bound, value, ...(times === undefined ? {} : { times }) };
}
