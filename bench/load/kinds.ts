/** The kinds of load as a table: what each does, which figures it gives, and how they are shown. A new kind is a new row. */
import type { Drive, DriveReport, Generator } from "./generator.ts";
import { type ProcessUsage, processUsage } from "./process-usage.ts";

/** `bulk` streams one way · `ping-pong` is message and echo · `connect` is connect, request, answer, close · `idle` holds. */
export type Kind = "bulk" | "ping-pong" | "connect" | "idle";

/**
 * `rate` and `cpu` in the units the column names · `busy` share of one core the proxy used, in percent · `p50Us`, `p99Us`,
 * `p999Us` latency · `residentMb` of the proxy, after the load (`idle`: before it) · `growthKb` a connection, 1 KB = 1024 B ·
 * `others` what programs that don't belong to the benchmark used of all cores, in percent.
 */
export type Figure = "rate" | "cpu" | "busy" | "p50Us" | "p99Us" | "p999Us" | "residentMb" | "growthKb" | "others";

/** What went wrong on the wire: connections refused, reset or cut, bytes missing or changed. */
export interface Errors {
  readonly errors: number;
  /** Empty when there was none. */
  readonly firstError: string;
}

/** One measurement of one proxy. A figure that could not be taken is absent; an error is never hidden. */
export interface Sample extends Errors {
  readonly figures: Partial<Record<Figure, number>>;
}

/** One column of the report. */
export interface Column {
  readonly figure: Figure;
  readonly title: string;
  readonly digits: number;
  /** Whether the ratio to HAProxy is shown beside it. */
  readonly ratio: boolean;
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
}

/** One load: a row of the report for each proxy. */
export interface Load {
  readonly kind: Kind;
  /** Unique, such as "bulk down, 8 flows". */
  readonly name: string;
  readonly columns: readonly Column[];
  /** Whether enough is asked of the proxy to fill its core, so that `busy` below 90 % means that something else was the limit. */
  readonly fillsCore: boolean;
  /** Whether each round needs a proxy that was just started, since the round before leaves memory behind. */
  readonly freshProxy: boolean;
  /** Whether it says something without a proxy. */
  readonly direct: boolean;
  /** Fixed time of one measurement beside `seconds`, for estimates. */
  readonly overheadSeconds: number;
  /** Brings proxy code and buffers to their working state. What fails here counts like what fails later. */
  warmUp(run: Run): Promise<Errors>;
  measure(run: Run): Promise<Sample>;
}

const busy: Column = { figure: "busy", title: "core busy %", digits: 0, ratio: false };
const resident: Column = { figure: "residentMb", title: "resident MB", digits: 1, ratio: false };
const latencies: readonly Column[] = [
  { figure: "p50Us", title: "p50 µs", digits: 0, ratio: false },
  { figure: "p99Us", title: "p99 µs", digits: 0, ratio: false },
  { figure: "p999Us", title: "p99.9 µs", digits: 0, ratio: false },
];
const bulkColumns: readonly Column[] = [
  { figure: "rate", title: "Gb/s", digits: 1, ratio: true },
  { figure: "cpu", title: "CPU-s/GiB", digits: 3, ratio: true },
  busy,
  resident,
];
const pingPongColumns: readonly Column[] = [
  { figure: "rate", title: "k round trips/s", digits: 1, ratio: true },
  { figure: "cpu", title: "CPU µs/round trip", digits: 2, ratio: true },
  ...latencies,
  busy,
  resident,
];
const connectColumns: readonly Column[] = [
  { figure: "rate", title: "k connections/s", digits: 2, ratio: true },
  { figure: "cpu", title: "CPU µs/connection", digits: 1, ratio: true },
  ...latencies,
  busy,
  resident,
];
const idleColumns: readonly Column[] = [
  { figure: "growthKb", title: "KB/connection", digits: 2, ratio: true },
  { figure: "residentMb", title: "resident MB before", digits: 1, ratio: false },
];

/** Every load, in the order of the report. */
export const loads: readonly Load[] = [
  bulk("bulk down, 1 flow", "bulk-down", 1),
  bulk("bulk down, 8 flows", "bulk-down", 8),
  bulk("bulk up, 1 flow", "bulk-up", 1),
  bulk("bulk up, 8 flows", "bulk-up", 8),
  pingPong("ping-pong 64 B, 1 connection", 1, 64),
  pingPong("ping-pong 64 B, 64 connections", 64, 64),
  connect("connect, 32 at once", 32),
  idle("idle"),
];

/** The kinds there are, in the order of the report. */
export const kinds: readonly Kind[] = [...new Set(loads.map((load) => load.kind))];

/** Both together; the first message wins. */
export function addErrors(one: Errors, other: Errors): Errors {
  return { errors: one.errors + other.errors, firstError: one.firstError || other.firstError };
}

function bulk(name: string, drive: Drive, flows: number): Load {
  return driven({ kind: "bulk", name, columns: bulkColumns, fillsCore: true }, drive, flows, 0, (report) => ({
    rate: (report.measuredBytes * 8) / report.seconds / 1e9,
    unitsForCpu: report.bytes / 2 ** 30,
  }));
}

function pingPong(name: string, connections: number, messageBytes: number): Load {
  const about = { kind: "ping-pong", name, columns: pingPongColumns, fillsCore: connections > 1 } as const;
  return driven(about, "ping-pong", connections, messageBytes, operations);
}

function connect(name: string, connections: number): Load {
  const about = { kind: "connect", name, columns: connectColumns, fillsCore: true } as const;
  return driven(about, "connect", connections, 64, operations);
}

function operations(report: DriveReport): { rate: number; unitsForCpu: number } {
  return { rate: report.measuredOperations / report.seconds / 1000, unitsForCpu: report.operations / 1e6 };
}

/** A load that one generator process drives for `seconds`; CPU is divided by all units it moved, its lead included. */
function driven(
  about: Pick<Load, "kind" | "name" | "columns" | "fillsCore">,
  drive: Drive,
  connections: number,
  messageBytes: number,
  read: (report: DriveReport) => { rate: number; unitsForCpu: number },
): Load {
  const start = (run: Run, seconds: number): Promise<DriveReport> =>
    run.generator.drive({ drive, port: run.port, connections, messageBytes, seconds });
  return {
    ...about,
    freshProxy: false,
    direct: true,
    overheadSeconds: 0.15,
    warmUp(run) {
      return start(run, 0.3);
    },
    async measure(run) {
      const before = run.pid === undefined ? undefined : await processUsage(run.pid);
      const startedMs = performance.now();
      const report = await start(run, run.seconds);
      const elapsedSeconds = (performance.now() - startedMs) / 1000;
      const after = run.pid === undefined ? undefined : await processUsage(run.pid);
      const { rate, unitsForCpu } = read(report);
      const latency = report.p50Us === 0 ? {} : { p50Us: report.p50Us, p99Us: report.p99Us, p999Us: report.p999Us };
      const figures = { rate, ...latency, ...spent(before, after, unitsForCpu, elapsedSeconds) };
      return { figures, errors: report.errors, firstError: report.firstError };
    },
  };
}

function spent(
  before: ProcessUsage | undefined,
  after: ProcessUsage | undefined,
  units: number,
  elapsedSeconds: number,
): Sample["figures"] {
  if (before === undefined || after === undefined) return {};
  const cpuSeconds = after.cpuSeconds - before.cpuSeconds;
  return {
    busy: (cpuSeconds / elapsedSeconds) * 100,
    residentMb: after.residentBytes / 2 ** 20,
    ...(units > 0 ? { cpu: cpuSeconds / units } : {}),
  };
}

/** Resident size before and after thousands of connections that each made one exchange and then say nothing. */
function idle(name: string): Load {
  return {
    kind: "idle",
    name,
    columns: idleColumns,
    fillsCore: false,
    freshProxy: true,
    direct: false,
    overheadSeconds: 2.2,
    async warmUp(run) {
      // Few connections and no load, since the garbage of thousands would be reused and taken off the growth.
      const held = await run.generator.hold(run.port, 100);
      return held.release();
    },
    async measure(run) {
      if (run.pid === undefined) return { figures: {}, errors: 0, firstError: "" };
      await Bun.sleep(settleMs);
      const before = await processUsage(run.pid);
      const held = await run.generator.hold(run.port, run.idleConnections);
      await Bun.sleep(settleMs);
      const after = await processUsage(run.pid);
      const { errors, firstError } = await held.release();
      const grownKb = (after.residentBytes - before.residentBytes) / 1024;
      const residentMb = before.residentBytes / 2 ** 20;
      const growth = held.connections > 0 ? { growthKb: grownKb / held.connections } : {};
      return { figures: { residentMb, ...growth }, errors, firstError };
    },
  };
}

/** Garbage collection and late frees get this long before a resident size is read. */
const settleMs = 400;
