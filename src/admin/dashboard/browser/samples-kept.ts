/** The last hour in the browser: samples with their times, and the points of the curves made of them. */
import type { Sample, Samples } from "../wire.ts";
import { type EndGroup, endGroupOf } from "./end-groups.ts";

/** As many as the server keeps; older ones are dropped. */
const samplesMax = 3_600;
/** Points of a curve: more than that would only be noise. */
const pointsMax = 300;

interface Kept {
  /** When it was taken, by the clock of the browser. */
  readonly timeMs: number;
  readonly sample: Sample;
}

/** What the curves show, one column each; the times, in seconds, come first. `null` where there is nothing. */
export interface Points {
  readonly times: number[];
  readonly open: (number | null)[];
  readonly opened: (number | null)[];
  readonly ended: (number | null)[];
  readonly toBackend: (number | null)[];
  readonly toClient: (number | null)[];
  readonly p50: (number | null)[];
  readonly p99: (number | null)[];
  readonly ends: Map<EndGroup, (number | null)[]>;
}

/** What is known of the last hour. */
export class SamplesKept {
  #kept: Kept[] = [];

  /** Replaces everything by what the server has. */
  load(samples: Samples, nowMs: number): void {
    const { elapsed_ms: elapsed } = samples;
    const ends: Record<string, number>[] = elapsed.map(() => ({}));
    for (const [end, sparse] of Object.entries(samples.ends)) {
      for (let at = 0; at + 1 < sparse.length; at += 2) ends[sparse[at]!]![end] = sparse[at + 1]!;
    }
    let timeMs = nowMs - samples.age_ms - elapsed.reduce((sum, ms) => sum + ms, 0);
    this.#kept = elapsed.map((elapsed_ms, at) => {
      timeMs += elapsed_ms;
      return {
        timeMs,
        sample: {
          elapsed_ms,
          open: samples.open[at]!,
          opened: samples.opened[at]!,
          ended: samples.ended[at]!,
          bytes_to_backend: samples.bytes_to_backend[at]!,
          bytes_to_client: samples.bytes_to_client[at]!,
          connect_p50_ms: samples.connect_p50_ms[at]!,
          connect_p99_ms: samples.connect_p99_ms[at]!,
          ends: ends[at]!,
        },
      };
    });
  }

  add(sample: Sample, nowMs: number): void {
    this.#kept.push({ timeMs: nowMs, sample });
    if (this.#kept.length > samplesMax) this.#kept.shift();
  }

  /** The newest. */
  get last(): Sample | undefined {
    return this.#kept.at(-1)?.sample;
  }

  /** How often each reason ended a connection in the last `spanMs`, the most frequent first. */
  endsWithin(spanMs: number, nowMs: number): [end: string, count: number][] {
    const sums = new Map<string, number>();
    for (const { timeMs, sample } of this.#kept) {
      if (timeMs <= nowMs - spanMs) continue;
      for (const [end, ended] of Object.entries(sample.ends)) sums.set(end, (sums.get(end) ?? 0) + ended);
    }
    return [...sums].sort(([a, times], [b, more]) => more - times || (a < b ? -1 : 1));
  }

  /**
   * The curves of the last `spanMs`. Samples that share a point are put together: rates and the median as their mean,
   * connections and the 99th percentile as the highest. Points stand at whole multiples of their width, so that a curve
   * moves on without changing its shape.
   */
  points(spanMs: number, nowMs: number): Points {
    const widthMs = Math.max(1, Math.round(spanMs / 1_000 / pointsMax)) * 1_000;
    const points = emptyPoints(groupsOf(this.#kept));
    let bucket: Kept[] = [];
    for (const kept of this.#kept) {
      if (kept.timeMs <= nowMs - spanMs - widthMs) continue;
      // A second per point: each has its own, however much its time shakes.
      const shares = widthMs > 1_000 && bucketOf(kept, widthMs) === bucketOf(bucket[0] ?? kept, widthMs);
      if (bucket.length > 0 && !shares) {
        addPoint(points, bucket);
        bucket = [];
      }
      bucket.push(kept);
    }
    if (bucket.length > 0) addPoint(points, bucket);
    return points;
  }
}

function bucketOf({ timeMs }: Kept, widthMs: number): number {
  return Math.floor(timeMs / widthMs);
}

/** The groups that occur at all. */
function groupsOf(kept: readonly Kept[]): Set<EndGroup> {
  const groups = new Set<EndGroup>();
  for (const { sample } of kept) {
    for (const end of Object.keys(sample.ends)) {
      const group = endGroupOf(end);
      if (group !== undefined) groups.add(group);
    }
  }
  return groups;
}

function emptyPoints(groups: Iterable<EndGroup>): Points {
  const points = { times: [], open: [], opened: [], ended: [], toBackend: [], toClient: [], p50: [], p99: [] };
  return { ...points, ends: new Map([...groups].map((group) => [group, []])) };
}

function addPoint(points: Points, bucket: readonly Kept[]): void {
  const samples = bucket.map(({ sample }) => sample);
  const elapsed = sum(samples.map(({ elapsed_ms }) => elapsed_ms)) / 1_000;
  const rate = (of: (sample: Sample) => number): number | null => (elapsed > 0 ? sum(samples.map(of)) / elapsed : null);
  points.times.push(bucket.at(-1)!.timeMs / 1_000);
  points.open.push(Math.max(...samples.map(({ open }) => open)));
  points.opened.push(rate(({ opened }) => opened));
  points.ended.push(rate(({ ended }) => ended));
  points.toBackend.push(rate(({ bytes_to_backend }) => bytes_to_backend));
  points.toClient.push(rate(({ bytes_to_client }) => bytes_to_client));
  const medians = samples.flatMap(({ connect_p50_ms }) => connect_p50_ms ?? []);
  points.p50.push(medians.length === 0 ? null : sum(medians) / medians.length);
  const highest = samples.flatMap(({ connect_p99_ms }) => connect_p99_ms ?? []);
  points.p99.push(highest.length === 0 ? null : Math.max(...highest));
  for (const [group, column] of points.ends) {
    column.push(rate(({ ends }) => sum(Object.keys(ends).map((end) => (endGroupOf(end) === group ? ends[end]! : 0)))));
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
