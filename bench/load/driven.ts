/** A load that one generator process drives for some seconds, and what the proxy spent on it. */
import type { DriveReport, Part } from "./generator.ts";
import { addErrors, type Figures, type Load, type Run } from "./load.ts";
import { type ProcessUsage, processUsage } from "./process-usage.ts";

/** What the reports of the parts say: figures, and by how many units the proxy's CPU seconds are divided. */
export interface Reading {
  readonly figures: Figures;
  readonly unitsForCpu: number;
}

/** What one driven load has that others don't. `limitedBy`: its rate unless said otherwise. */
export type About = Pick<Load, "kind" | "name" | "columns" | "fillsCore"> & Partial<Pick<Load, "limitedBy">>;

/** A load of these parts at once; `read` gets their reports in the same order. CPU is divided by all units, lead included. */
export function driven(about: About, parts: readonly Part[], read: (reports: readonly DriveReport[]) => Reading): Load {
  return {
    limitedBy: "rate",
    ...about,
    freshProxy: false,
    direct: true,
    onlyWhenNamed: false,
    roundsMax: Number.POSITIVE_INFINITY,
    overheadSeconds: 0.15,
    secondsOf: ({ seconds }) => seconds,
    async warmUp({ generator, port }) {
      return addErrors(...(await generator.drive({ port, parts, seconds: 0.3 })));
    },
    async measure({ generator, port, pid, seconds }) {
      const { reports, busy, ...spent } = await watched(pid, () => generator.drive({ port, parts, seconds }));
      const { figures, unitsForCpu } = read(reports);
      const cpu = spent.cpuSeconds === undefined || unitsForCpu === 0 ? {} : { cpu: spent.cpuSeconds / unitsForCpu };
      const residentMb = spent.residentBytes === undefined ? {} : { residentMb: spent.residentBytes / 2 ** 20 };
      return { figures: { ...figures, ...cpu, ...busy, ...residentMb }, ...addErrors(...reports) };
    },
  };
}

/** Runs `drive` and reads before and after it what the proxy uses; without a proxy there is nothing to read. */
export async function watched(
  pid: Run["pid"],
  drive: () => Promise<readonly DriveReport[]>,
): Promise<{
  readonly reports: readonly DriveReport[];
  readonly busy: Figures;
  readonly cpuSeconds: number | undefined;
  readonly residentBytes: number | undefined;
}> {
  const read = async (): Promise<ProcessUsage | undefined> => (pid === undefined ? undefined : processUsage(pid));
  const before = await read();
  const startedMs = performance.now();
  const reports = await drive();
  const elapsedSeconds = (performance.now() - startedMs) / 1000;
  const after = await read();
  if (before === undefined || after === undefined) {
    return { reports, busy: {}, cpuSeconds: undefined, residentBytes: undefined };
  }
  const cpuSeconds = after.cpuSeconds - before.cpuSeconds;
  const busy = { busy: (cpuSeconds / elapsedSeconds) * 100 };
  return { reports, busy, cpuSeconds, residentBytes: after.residentBytes };
}
