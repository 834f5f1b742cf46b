/** What is to be measured, in which order, and how long that takes. */
import type { Load, Timing } from "./load.ts";
import { isMeasured, type Peer } from "./peer.ts";

/** Everything one run measures. */
export interface Plan {
  readonly loads: readonly Load[];
  readonly peers: readonly Peer[];
  /** Names in `--proxy`. */
  readonly named: readonly string[];
  readonly quick: boolean;
  readonly rounds: number;
  readonly timing: Timing;
}

/** What a quick run is planned for: two minutes less a reserve for a slow machine. */
const quickBudgetSeconds = 105;
/** Starting one proxy for one load, warming it up and ending it. */
const startSeconds = 0.6;
const secondsMin = 0.2;
const secondsMax = 3;

/** The peers that are measured for a load, in their order. */
export function peersOf(plan: Plan, load: Load): readonly Peer[] {
  const { named, quick } = plan;
  return plan.peers.filter((peer) => isMeasured(peer.scope, load, { named: named.includes(peer.name), quick }));
}

/** Rounds of a load. */
export function roundsOf(plan: Plan, load: Load): number {
  return Math.min(plan.rounds, load.roundsMax);
}

/** How many measurements a plan takes. */
export function countMeasurements(plan: Plan): number {
  return plan.loads.reduce((sum, load) => sum + countOf(plan, load), 0);
}

/** How long a plan takes, in seconds. */
export function estimateSeconds(plan: Plan): number {
  return plan.loads.reduce(
    (sum, load) =>
      sum +
      countOf(plan, load) * (load.overheadSeconds + load.secondsOf(plan.timing)) +
      startSeconds * peersOf(plan, load).length,
    0,
  );
}

/** The same plan with as many seconds a measurement as fit into a quick run. */
export function fitQuick(plan: Plan): Plan {
  const withSeconds = (seconds: number): Plan => ({ ...plan, timing: { ...plan.timing, seconds } });
  const fixedSeconds = estimateSeconds(withSeconds(0));
  const forOneSecond = estimateSeconds(withSeconds(1)) - fixedSeconds;
  const fitting = forOneSecond === 0 ? secondsMax : (quickBudgetSeconds - fixedSeconds) / forOneSecond;
  return withSeconds(Math.min(secondsMax, Math.max(secondsMin, Math.floor(fitting * 10) / 10)));
}

function countOf(plan: Plan, load: Load): number {
  return roundsOf(plan, load) * (peersOf(plan, load).length + (load.direct ? 1 : 0));
}
