/** What a load is: what it does to a proxy, which figures it gives, and how they are shown. The loads are in kinds.ts. */
import type { Generator } from "./generator.ts";

/**
 * `bulk` streams one way · `ping-pong` is message and echo · `connect` is connect, request, answer, close · `mixed` is bulk
 * and ping-pong at once · `idle` holds connections · `soak` is all of it for minutes.
 */
export type Kind = "bulk" | "ping-pong" | "connect" | "mixed" | "idle" | "soak";

/**
 * `rate` and `cpu` in the units the column names · `bulkRate` Gb/s beside a `rate` of something else · `connectRate` thousands
 * of connections a second beside it · `busy` share of one core the proxy used, in percent · `p50Us`, `p99Us`, `p999Us` latency ·
 * `residentMb` of the proxy, after the load (`idle`: before it, `soak`: median of the last minute) · `growthKb` a connection,
 * 1 KB = 1024 B · `others` what programs that don't belong to the benchmark used of all cores, in percent.
 *
 * Of `soak` alone: `residentStartMb`, `residentThirdMb` (median of the third minute) and `residentGrowth` (`residentMb` as a
 * multiple of that) · descriptors before the load, at the end of the third minute, at the end of the load, and how many more
 * than before are left half a minute later · `connections` open at the end of the load.
 */
export type Figure =
  | "rate"
  | "cpu"
  | "bulkRate"
  | "connectRate"
  | "busy"
  | "p50Us"
  | "p99Us"
  | "p999Us"
  | "residentMb"
  | "growthKb"
  | "others"
  | "residentStartMb"
  | "residentThirdMb"
  | "residentGrowth"
  | "descriptorsStart"
  | "descriptorsThird"
  | "descriptorsEnd"
  | "descriptorsLeft"
  | "connections";

/** Figures that were taken; one that could not be taken is absent. */
export type Figures = Readonly<Partial<Record<Figure, number>>>;

/** What went wrong on the wire: connections refused, reset or cut, bytes missing or changed. */
export interface Errors {
  readonly errors: number;
  /** Empty when there was none. */
  readonly firstError: string;
}

/** The proxy at one moment of a soak. */
export interface Point {
  /** Since the load began. */
  readonly second: number;
  readonly residentMb: number;
  readonly descriptors: number;
  /** Connections that clients have open with the proxy. */
  readonly connections: number;
}

/** One measurement of one proxy. An error is never hidden. */
export interface Sample extends Errors {
  readonly figures: Figures;
  /** Of `soak`: the proxy every five seconds. */
  readonly points?: readonly Point[];
  /** Said under the table, in addition to the figures. */
  readonly remark?: string;
}

/** One column of the report. */
export interface Column {
  readonly figure: Figure;
  readonly title: string;
  readonly digits: number;
  /** The peers to whose figure the ratio is shown beside it. */
  readonly ratiosTo: readonly string[];
}

/** How long loads are measured. */
export interface Timing {
  readonly seconds: number;
  /** Of `soak`. */
  readonly minutes: number;
}

/** What a load is run against. */
export interface Run {
  readonly generator: Generator;
  /** Where clients connect: the proxy, or the backend when there is none. */
  readonly port: number;
  /** Process id of the proxy; undefined without one. */
  readonly pid: number | undefined;
  readonly seconds: number;
  /** Connections of the kind `idle`. */
  readonly idleConnections: number;
  /** Tells how a long measurement goes on. */
  say(line: string): void;
}

/** One load: a table of the report, with a row for each proxy. */
export interface Load {
  readonly kind: Kind;
  /** Unique, such as "bulk down, 8 flows". */
  readonly name: string;
  readonly columns: readonly Column[];
  /** Whether enough is asked of the proxy to fill its core, so that `busy` below 90 % means that something else was the limit. */
  readonly fillsCore: boolean;
  /**
   * The figure that must be clearly higher without a proxy, or the generator may be the limit. Undefined where that says
   * nothing; then only `busy` does.
   */
  readonly limitedBy: Figure | undefined;
  /** Whether each round needs a proxy that was just started, since the round before leaves memory behind. */
  readonly freshProxy: boolean;
  /** Whether it says something without a proxy. */
  readonly direct: boolean;
  /** Whether it is run only when `--kind` names it. */
  readonly onlyWhenNamed: boolean;
  /** However many are asked for. */
  readonly roundsMax: number;
  /** Fixed time of one measurement beside `secondsOf`, for estimates. */
  readonly overheadSeconds: number;
  /** How long one measurement lasts. */
  secondsOf(timing: Timing): number;
  /** Brings proxy code and buffers to their working state. What fails here counts like what fails later. */
  warmUp(run: Run): Promise<Errors>;
  measure(run: Run): Promise<Sample>;
}

/** Nothing went wrong. */
export const noErrors: Errors = { errors: 0, firstError: "" };

/** All together; the first message wins. */
export function addErrors(...all: readonly Errors[]): Errors {
  return {
    errors: all.reduce((sum, one) => sum + one.errors, 0),
    firstError: all.find((one) => one.firstError !== "")?.firstError ?? "",
  };
}
