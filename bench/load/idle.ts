/** The kind `idle`: resident size before and after thousands of connections that made one exchange and then say nothing. */
import { type Column, type Load, noErrors } from "./load.ts";
import { haproxyName } from "./peer.ts";
import { processUsage } from "./process-usage.ts";

const columns: readonly Column[] = [
  { figure: "growthKb", title: "KB/connection", digits: 2, ratiosTo: [haproxyName] },
  { figure: "residentMb", title: "resident MB before", digits: 1, ratiosTo: [] },
];

/** Garbage collection and late frees get this long before a resident size is read. */
const settleMs = 400;

/** The load of that name. */
export function idle(name: string): Load {
  return {
    kind: "idle",
    name,
    columns,
    fillsCore: false,
    limitedBy: "rate",
    freshProxy: true,
    direct: false,
    onlyWhenNamed: false,
    roundsMax: Number.POSITIVE_INFINITY,
    overheadSeconds: 2.2,
    secondsOf: () => 0,
    async warmUp(run) {
      // Few connections and no load, since the garbage of thousands would be reused and taken off the growth.
      const held = await run.generator.hold(run.port, 100);
      return held.release();
    },
    async measure(run) {
      if (run.pid === undefined) return { figures: {}, ...noErrors };
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
