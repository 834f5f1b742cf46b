/** The figures of the program at one moment: what metrics and the dashboard are made of. Read when somebody asks. */
import type { DurationHistogram } from "../stats/histogram.ts";

/** Everything, in the words of the metrics. Counters count since start. */
export interface ProgramFigures {
  readonly ready: boolean;
  readonly state: "starting" | "ready" | "draining";
  /** Milliseconds until the drain deadline; `undefined` when not draining, `Infinity` without a deadline. */
  readonly drainRemainingMs: number | undefined;
  readonly version: string;
  readonly listeners: readonly ListenerFigures[];
  readonly backends: readonly BackendFigures[];
  /** Timeouts that ended a connection or an attempt, by the key of `[timeouts]`; `drain_idle` for `shutdown.idle`. */
  readonly timeouts: ReadonlyMap<TimeoutKind, number>;
  /** Open connections by who moves their bytes; those not forwarding yet are in none. */
  readonly engines: Readonly<Record<"copy" | "splice", number>>;
  readonly reloads: Readonly<Record<"applied" | "invalid" | "refused", number>>;
  /** `undefined` without tracing. */
  readonly traces: { readonly exported: number; readonly dropped: number; readonly failed: number } | undefined;
  /** `open` is NaN where the system does not tell. */
  readonly descriptors: { readonly open: number; readonly max: number };
  /** Connections at once that are let in. */
  readonly connectionsMax: number;
}

/** The kinds of `timeouts_total`. */
export const timeoutKinds = [
  "connect",
  "response",
  "idle",
  "half_closed",
  "lifetime",
  "inspect",
  "drain_idle",
] as const;

/** One of them. */
export type TimeoutKind = (typeof timeoutKinds)[number];

/** Of a listener, one that a reload has removed included. */
export interface ListenerFigures {
  readonly name: string;
  readonly active: number;
  /** By backend (`""` = none), then by end. */
  readonly ended: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** Of all connections, open ones included. */
  readonly bytesToBackend: number;
  readonly bytesToClient: number;
  readonly durations: DurationHistogram;
}

/** Of a backend. */
export interface BackendFigures {
  readonly name: string;
  readonly connects: DurationHistogram;
  readonly firstBytes: DurationHistogram;
  readonly retries: number;
  /** Empty for one that a reload has removed. */
  readonly endpoints: readonly EndpointFigures[];
}

/** Of an endpoint that is in its backend now. */
export interface EndpointFigures {
  readonly name: string;
  /** Whether it gets clients: not down, not ejected, not taken out by an operator; weight and limits aside. */
  readonly up: boolean;
  readonly active: number;
  readonly ejections: number;
  /** Failed attempts by reason. */
  readonly failures: ReadonlyMap<string, number>;
  /** Active checks by result; `undefined` without any. */
  readonly checks: { readonly good: number; readonly bad: number; readonly inconclusive: number } | undefined;
}
