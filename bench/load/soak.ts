/**
 * The kind `soak`: everything at once for minutes at about half of what a proxy can do. What a proxy loses with each
 * connection adds up then: the resident size must not grow after the third minute, and no descriptor may be left at the end.
 */
import { watched } from "./driven.ts";
import type { DriveReport, Part } from "./generator.ts";
import {
  addErrors,
  type Column,
  type Figure,
  type Figures,
  type Load,
  noErrors,
  type Point,
  type Run,
} from "./load.ts";
import {
  countConnections,
  countDescriptors,
  type Descriptors,
  openDescriptors,
  processUsage,
  renderMore,
} from "./process-usage.ts";
import { median } from "./statistics.ts";

/** What runs at once, beside the connections that are idle. */
export const soakParts: readonly Part[] = [
  { drive: "bulk-down", connections: 2, bytes: 64 * 2 ** 20, pauseMs: 500 },
  { drive: "bulk-down", connections: 1, bytes: 2 ** 30, pauseMs: 3000 },
  { drive: "bulk-up", connections: 2, bytes: 64 * 2 ** 20, pauseMs: 500 },
  { drive: "bulk-up", connections: 1, bytes: 512 * 2 ** 20, pauseMs: 3000 },
  // These two last, with a receiver that is slow and a sender that is.
  { drive: "bulk-down", connections: 1, pauseMs: 20 },
  { drive: "bulk-up", connections: 1, pauseMs: 10 },
  { drive: "ping-pong", connections: 16, bytes: 64, pauseMs: 5 },
  { drive: "ping-pong", connections: 8, bytes: 16 * 1024, pauseMs: 5 },
  { drive: "connect", connections: 4, pauseMs: 10 },
  { drive: "reset-down", connections: 1, bytes: 8 * 2 ** 20, pauseMs: 500 },
  { drive: "reset-up", connections: 1, bytes: 8 * 2 ** 20, pauseMs: 500 },
  { drive: "reset-far", connections: 1, pauseMs: 500 },
];
const idleConnections = 500;

const warmUpSeconds = 5;
const sampleMs = 5000;
const sayMs = 10_000;
const returnMs = 30_000;

const columns: readonly Column[] = [
  column("residentStartMb", "MB at start", 1),
  column("residentThirdMb", "minute 3", 1),
  column("residentMb", "last minute", 1),
  column("residentGrowth", "× minute 3", 3),
  column("descriptorsStart", "descriptors at start", 0),
  column("descriptorsThird", "minute 3", 0),
  column("descriptorsEnd", "end", 0),
  column("descriptorsLeft", "left", 0),
  column("connections", "connections", 0),
  column("bulkRate", "Gb/s", 1),
  column("rate", "k round trips/s", 2),
  column("connectRate", "k connections/s", 2),
  column("busy", "core busy %", 0),
];

/** The load of that name. */
export function soak(name: string): Load {
  return {
    kind: "soak",
    name,
    columns,
    fillsCore: false,
    limitedBy: "rate",
    freshProxy: true,
    direct: false,
    onlyWhenNamed: true,
    roundsMax: 1,
    overheadSeconds: 8,
    secondsOf: ({ minutes }) => minutes * 60,
    async warmUp(run) {
      const held = await run.generator.hold(run.port, idleConnections);
      const reports = await run.generator.drive({ port: run.port, parts: soakParts, seconds: warmUpSeconds });
      return addErrors(...reports, await held.release());
    },
    async measure(run) {
      const { pid } = run;
      if (pid === undefined) return { figures: {}, ...noErrors };
      const before = await untilQuiet(run, pid);
      const start = await read(run, pid, 0);
      const points: Point[] = [];
      const { reports, busy } = await watched(pid, () => loaded(run, pid, points));
      const after = await untilBack(pid, before);
      const descriptorsLeft = Math.max(0, countDescriptors(after) - countDescriptors(before));
      const remark = descriptorsLeft === 0 ? {} : { remark: `descriptors left: ${renderMore(before, after)}` };
      const [held, ...driven] = reports;
      const figures = { ...pointFigures(start, points), descriptorsLeft, ...busy, ...rates(driven) };
      return { figures, points: [start, ...points], ...remark, ...addErrors(...driven, held ?? noErrors) };
    },
  };
}

/** The figures that a series gives. Those of the third minute are absent until there is a minute after it. */
export function pointFigures(start: Point, points: readonly Point[]): Figures {
  const last = points.at(-1);
  if (last === undefined) return { residentStartMb: start.residentMb, descriptorsStart: start.descriptors };
  const medianMb = (from: number, to: number): number | undefined =>
    median(points.filter(({ second }) => second > from && second <= to).map(({ residentMb }) => residentMb));
  const residentMb = medianMb(last.second - 60, last.second);
  const third = last.second > 230 ? medianMb(120, 180) : undefined;
  const atThird = points.findLast(({ second }) => second <= 182);
  return {
    residentStartMb: start.residentMb,
    descriptorsStart: start.descriptors,
    descriptorsEnd: last.descriptors,
    connections: last.connections,
    ...(residentMb === undefined ? {} : { residentMb }),
    ...(residentMb === undefined || third === undefined || atThird === undefined
      ? {}
      : { residentThirdMb: third, residentGrowth: residentMb / third, descriptorsThird: atThird.descriptors }),
  };
}

function column(figure: Figure, title: string, digits: number): Column {
  return { figure, title, digits, ratiosTo: [] };
}

/** The report of the idle connections, then those of the parts. */
async function loaded(run: Run, pid: number, points: Point[]): Promise<readonly DriveReport[]> {
  const { generator, port, seconds } = run;
  const held = await generator.hold(port, idleConnections, seconds);
  const driving = generator.drive({ port, parts: soakParts, seconds });
  try {
    await sampled(run, pid, points, driving);
    const reports = await driving;
    return [await held.release(), ...reports];
  } catch (error) {
    // The proxy is gone, or the generator: what is left of the load comes to nothing.
    await Promise.allSettled([driving, held.release()]);
    throw error;
  }
}

/** Reads the proxy every five seconds until the load is over, and says every ten how it is. */
async function sampled(run: Run, pid: number, points: Point[], driving: Promise<unknown>): Promise<void> {
  let over = false;
  const end = (): void => {
    over = true;
  };
  const ended = driving.then(end, end);
  const startedMs = performance.now();
  for (let count = 1; ; count++) {
    await Promise.race([ended, Bun.sleep(startedMs + count * sampleMs - performance.now())]);
    const second = Math.round((performance.now() - startedMs) / 1000);
    // Behind the end only what is closing could be seen.
    if (over || second > run.seconds) return ended;
    const point = await read(run, pid, second);
    points.push(point);
    if ((count * sampleMs) % sayMs === 0) run.say(renderPoint(point, run.seconds));
  }
}

async function read(run: Run, pid: number, second: number): Promise<Point> {
  const { residentBytes } = await processUsage(pid);
  return {
    second,
    residentMb: residentBytes / 2 ** 20,
    descriptors: countDescriptors(await openDescriptors(pid)),
    connections: await countConnections(run.port),
  };
}

function renderPoint(point: Point, seconds: number): string {
  const clock = (time: number): string => `${Math.floor(time / 60)}:${String(Math.round(time % 60)).padStart(2, "0")}`;
  const { residentMb, descriptors, connections } = point;
  return `${clock(point.second)} of ${clock(seconds)}: ${residentMb.toFixed(1)} MB, ${descriptors} descriptors, ${connections} connections`;
}

/** The descriptors once the connections of the warm-up have gone and their number has stayed the same for a second. */
async function untilQuiet(run: Run, pid: number): Promise<Descriptors> {
  let last = await openDescriptors(pid);
  let sinceMs = performance.now();
  for (const deadlineMs = sinceMs + returnMs; performance.now() < deadlineMs; await Bun.sleep(100)) {
    const before = last;
    last = await openDescriptors(pid);
    const changed = countDescriptors(last) !== countDescriptors(before);
    if (changed || (await countConnections(run.port)) > 0) sinceMs = performance.now();
    else if (performance.now() - sinceMs >= 1000) break;
  }
  return last;
}

/** The descriptors once there are no more than before, or when the deadline has passed. */
async function untilBack(pid: number, before: Descriptors): Promise<Descriptors> {
  for (const deadlineMs = performance.now() + returnMs; ; await Bun.sleep(100)) {
    const after = await openDescriptors(pid);
    if (countDescriptors(after) <= countDescriptors(before) || performance.now() >= deadlineMs) return after;
  }
}

function rates(reports: readonly DriveReport[]): Figures {
  const sum = (begins: string, of: (report: DriveReport) => number): number =>
    soakParts.reduce((all, { drive }, index) => {
      const report = reports[index];
      return report !== undefined && drive.startsWith(begins) ? all + of(report) / report.seconds : all;
    }, 0);
  return {
    bulkRate: (sum("bulk", (report) => report.measuredBytes) * 8) / 1e9,
    rate: sum("ping-pong", (report) => report.measuredOperations) / 1000,
    connectRate: sum("connect", (report) => report.measuredOperations) / 1000,
  };
}
