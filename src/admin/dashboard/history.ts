/** The last hour, second by second: what the curves of the dashboard show. Kept whether somebody looks or not. */
import { assert } from "../../core/assert.ts";
import type { Clock, TimerHandle } from "../../core/clock.ts";
import { durationBoundsMs } from "../../stats/histogram.ts";
import type { ProgramFigures } from "../figures.ts";
import { quantileMs } from "./quantile.ts";
import type { Sample, Samples } from "./wire.ts";

/** How often a sample is taken. */
const periodMs = 1_000;
/** An hour; the oldest sample makes room for the newest. 36 bytes each, and 4 for each reason that was ever seen. */
export const samplesMax = 3_600;
/** What an elapsed time is cut off at, so that it fits its column. */
const elapsedMsMax = 65_535;

/** Who wants to know of each sample. */
export interface HistoryWatcher {
  sampled(): void;
  /** There will be no more. */
  stopped(): void;
}

/**
 * Takes a sample once a second from `start` to `stop`. It reads counters and active counts of listeners and the
 * histograms of backends, nothing else, and allocates its memory at the start: about 130 KB, at most 550 KB.
 */
export class History {
  readonly #read: () => ProgramFigures;
  readonly #clock: Clock;
  readonly #watchers = new Set<HistoryWatcher>();
  #ticker: TimerHandle | undefined = undefined;
  #columns: Columns | undefined = undefined;
  #totals: Totals | undefined = undefined;
  #sampledMs = 0;

  constructor(read: () => ProgramFigures, clock: Clock) {
    this.#read = read;
    this.#clock = clock;
  }

  /** Begins. What was counted before is in no sample. */
  start(): void {
    assert(this.#ticker === undefined, "the history was started twice");
    this.#columns = new Columns();
    this.#totals = totalsOf(this.#read());
    this.#sampledMs = this.#clock.nowMs();
    this.#ticker = this.#clock.setTicker(() => this.#sample(), periodMs);
  }

  /** Ends; whoever watches is told. What is there can still be read. */
  stop(): void {
    if (this.#ticker === undefined) return;
    this.#clock.clearTimer(this.#ticker);
    this.#ticker = undefined;
    for (const watcher of this.#watchers) watcher.stopped();
  }

  /** Whether samples are being taken. */
  get running(): boolean {
    return this.#ticker !== undefined;
  }

  /** Tells of every sample from now on, until the returned function is called. */
  watch(watcher: HistoryWatcher): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** The newest sample; `undefined` before there is one. */
  latest(): Sample | undefined {
    return this.#columns?.latest();
  }

  /** All samples that are kept. */
  samples(): Samples {
    const columns = this.#columns ?? new Columns();
    return columns.all(Math.round(this.#clock.nowMs() - this.#sampledMs));
  }

  #sample(): void {
    const nowMs = this.#clock.nowMs();
    const totals = totalsOf(this.#read());
    this.#columns!.add(this.#totals!, totals, nowMs - this.#sampledMs);
    this.#totals = totals;
    this.#sampledMs = nowMs;
    for (const watcher of this.#watchers) watcher.sampled();
  }
}

/** What a sample is made of: sums over all listeners and all backends. Counted since the start of the process. */
interface Totals {
  readonly open: number;
  readonly bytesToBackend: number;
  readonly bytesToClient: number;
  readonly ends: ReadonlyMap<string, number>;
  /** Buckets of the time that successful attempts took. */
  readonly connects: Float64Array;
}

function totalsOf({ listeners, backends }: ProgramFigures): Totals {
  const totals = { open: 0, bytesToBackend: 0, bytesToClient: 0 };
  const ends = new Map<string, number>();
  for (const listener of listeners) {
    totals.open += listener.active;
    totals.bytesToBackend += listener.bytesToBackend;
    totals.bytesToClient += listener.bytesToClient;
    for (const byEnd of listener.ended.values()) {
      for (const [end, count] of byEnd) ends.set(end, (ends.get(end) ?? 0) + count);
    }
  }
  const connects = new Float64Array(durationBoundsMs.length + 1);
  for (const backend of backends) {
    for (const [bucket, count] of backend.connects.counts.entries()) connects[bucket]! += count;
  }
  return { ...totals, ends, connects };
}

/** The samples, a column for each figure, written in a circle. */
class Columns {
  /** Samples that were ever added. */
  #added = 0;
  readonly #elapsedMs = new Uint16Array(samplesMax);
  readonly #open = new Uint32Array(samplesMax);
  readonly #opened = new Uint32Array(samplesMax);
  readonly #ended = new Uint32Array(samplesMax);
  readonly #bytesToBackend = new Float64Array(samplesMax);
  readonly #bytesToClient = new Float64Array(samplesMax);
  /** Not a number where nothing was connected. */
  readonly #connectP50Ms = new Float32Array(samplesMax);
  readonly #connectP99Ms = new Float32Array(samplesMax);
  /** By reason, which is a closed list; only those that occurred. */
  readonly #ends = new Map<string, Uint32Array>();

  /** Adds what happened between two moments. */
  add(before: Totals, now: Totals, elapsedMs: number): void {
    const at = this.#added % samplesMax;
    this.#added++;
    this.#elapsedMs[at] = Math.min(Math.round(elapsedMs), elapsedMsMax);
    this.#open[at] = now.open;
    // Of bytes in sessions that are just changing hands the sum may be a little behind; it catches up.
    this.#bytesToBackend[at] = Math.max(now.bytesToBackend - before.bytesToBackend, 0);
    this.#bytesToClient[at] = Math.max(now.bytesToClient - before.bytesToClient, 0);
    const ended = this.#addEnds(at, before.ends, now.ends);
    this.#ended[at] = ended;
    this.#opened[at] = Math.max(now.open - before.open + ended, 0);
    const connects = now.connects.map((count, bucket) => count - before.connects[bucket]!);
    this.#connectP50Ms[at] = quantileMs(connects, 0.5) ?? Number.NaN;
    this.#connectP99Ms[at] = quantileMs(connects, 0.99) ?? Number.NaN;
  }

  /** Returns how many there were. */
  #addEnds(at: number, before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): number {
    let sum = 0;
    for (const column of this.#ends.values()) column[at] = 0;
    for (const [end, count] of now) {
      const ended = count - (before.get(end) ?? 0);
      if (ended <= 0) continue;
      let column = this.#ends.get(end);
      if (column === undefined) this.#ends.set(end, (column = new Uint32Array(samplesMax)));
      column[at] = ended;
      sum += ended;
    }
    return sum;
  }

  /** The last one that was added. */
  latest(): Sample | undefined {
    if (this.#added === 0) return undefined;
    const at = (this.#added - 1) % samplesMax;
    const ends: Record<string, number> = {};
    for (const [end, column] of this.#ends) if (column[at]! > 0) ends[end] = column[at]!;
    return {
      elapsed_ms: this.#elapsedMs[at]!,
      open: this.#open[at]!,
      opened: this.#opened[at]!,
      ended: this.#ended[at]!,
      bytes_to_backend: this.#bytesToBackend[at]!,
      bytes_to_client: this.#bytesToClient[at]!,
      connect_p50_ms: figureOf(this.#connectP50Ms[at]!),
      connect_p99_ms: figureOf(this.#connectP99Ms[at]!),
      ends,
    };
  }

  /** All of them. */
  all(ageMs: number): Samples {
    const ends: Record<string, number[]> = {};
    for (const [end, column] of this.#ends) {
      const sparse: number[] = [];
      for (const [position, count] of this.#ordered(column).entries()) if (count > 0) sparse.push(position, count);
      if (sparse.length > 0) ends[end] = sparse;
    }
    return {
      age_ms: ageMs,
      elapsed_ms: this.#ordered(this.#elapsedMs),
      open: this.#ordered(this.#open),
      opened: this.#ordered(this.#opened),
      ended: this.#ordered(this.#ended),
      bytes_to_backend: this.#ordered(this.#bytesToBackend),
      bytes_to_client: this.#ordered(this.#bytesToClient),
      connect_p50_ms: this.#ordered(this.#connectP50Ms).map(figureOf),
      connect_p99_ms: this.#ordered(this.#connectP99Ms).map(figureOf),
      ends,
    };
  }

  /** A column from the oldest sample to the newest. */
  #ordered(column: ArrayLike<number> & { subarray(from: number, to?: number): Iterable<number> }): number[] {
    const next = this.#added % samplesMax;
    if (this.#added <= samplesMax) return [...column.subarray(0, this.#added)];
    return [...column.subarray(next), ...column.subarray(0, next)];
  }
}

/** To a microsecond: more digits would only be noise. */
function figureOf(ms: number): number | null {
  return Number.isNaN(ms) ? null : Math.round(ms * 1_000) / 1_000;
}
