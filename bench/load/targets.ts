/** What sluice is held to, as a table, and whether it was met. */
import type { Figure } from "./kinds.ts";

/** One promise about one figure of the loads whose name begins with `load`. */
export interface Target {
  readonly load: string;
  readonly figure: Figure;
  /** Said in the report. */
  readonly says: string;
  readonly bound: "at most" | "at least";
  /** × HAProxy's default in the same run, or the figure itself. */
  readonly of: "ratio" | "figure";
  readonly value: number;
  /** A figure that is only watched is reported, and neither met nor missed. */
  readonly watchedOnly?: true;
}

/** The targets, in the order of the report. */
export const targets: readonly Target[] = [
  { load: "bulk", figure: "rate", says: "throughput", bound: "at least", of: "ratio", value: 1.4 },
  { load: "ping-pong 64 B, 64", figure: "cpu", says: "CPU per round trip", bound: "at most", of: "ratio", value: 1.1 },
  {
    load: "ping-pong 64 B, 1 ",
    figure: "cpu",
    says: "CPU per round trip",
    bound: "at most",
    of: "ratio",
    value: 1.1,
    watchedOnly: true,
  },
  { load: "connect", figure: "cpu", says: "CPU per connection", bound: "at most", of: "ratio", value: 1.1 },
  {
    load: "idle",
    figure: "growthKb",
    says: "KB per connection",
    bound: "at most",
    of: "figure",
    value: 4,
    watchedOnly: true,
  },
];

/** `not measured` when the figure, or HAProxy's beside it, is missing; `ERRORS` when bytes or connections were lost. */
export type Verdict = "met" | "MISSED" | "ERRORS" | "not measured" | "watched";

/** Judges a target on what was found: the median ratio or the median figure, and how many errors came with it. */
export function judge(target: Target, found: number | undefined, errors: number): Verdict {
  if (errors > 0) return "ERRORS";
  if (found === undefined) return "not measured";
  if (target.watchedOnly === true) return "watched";
  const met = target.bound === "at most" ? found <= target.value : found >= target.value;
  return met ? "met" : "MISSED";
}
