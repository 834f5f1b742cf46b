/** The comparison itself: for each load all contenders are up, and are measured in turns, round after round. */
import { cpus } from "node:os";
import { type Contender, Direct, type Place, StartedProxy } from "./contender.ts";
import type { Generator } from "./generator.ts";
import { addErrors, type Load, noErrors, type Run, type Sample } from "./load.ts";
import { peersOf, type Plan, roundsOf } from "./plan.ts";
import { machineCpuSeconds, processUsage } from "./process-usage.ts";
import type { Cell } from "./statistics.ts";

/** What the measurements run on. */
export interface Bench extends Place {
  readonly generator: Generator;
  /** Called after each measurement. */
  progress(load: Load, contender: string, round: number, sample: Sample): void;
  /** Called now and then during a long one. */
  say(load: Load, contender: string, line: string): void;
}

/** What was measured of one load. */
export interface Compared {
  readonly load: Load;
  readonly cells: readonly Cell[];
}

/**
 * Measures the whole plan. A contender that can't be started or dies gets samples with errors; the others go on.
 * Fails when no backend can be started, and with the signal's reason when that is aborted.
 */
export async function compare(plan: Plan, bench: Bench): Promise<Compared[]> {
  const backendPort = await bench.generator.serve(bench.placement.backend);
  // Without a proxy its core is free: left idle, the generator's share of the other core would be taken for the limit.
  const shared = bench.placement.backend === bench.placement.generator;
  const directPort = shared ? await bench.generator.serve(bench.placement.proxy) : backendPort;

  const compared: Compared[] = [];
  for (const load of plan.loads) {
    const contenders: Contender[] = peersOf(plan, load).map((peer) => new StartedProxy(peer, load, backendPort, bench));
    if (load.direct) contenders.unshift(new Direct(directPort));
    const samples = new Map<string, Sample[]>(contenders.map(({ name }) => [name, []]));
    try {
      for (let round = 1; round <= roundsOf(plan, load); round++) {
        for (const contender of contenders) {
          const sample = await measure(contender, load, plan, bench);
          samples.get(contender.name)?.push(sample);
          bench.progress(load, contender.name, round, sample);
        }
      }
    } finally {
      await Promise.all(contenders.map((contender) => contender.stop()));
    }
    if (contenders.length === 0) continue;
    compared.push({
      load,
      cells: contenders.map(({ name }) => ({ contender: name, samples: samples.get(name) ?? [] })),
    });
  }
  return compared;
}

async function measure(contender: Contender, load: Load, plan: Plan, bench: Bench): Promise<Sample> {
  try {
    const { port, pid, fresh } = await contender.start();
    const { generator, limits } = bench;
    const run: Run = {
      generator,
      port,
      pid,
      seconds: load.secondsOf(plan.timing),
      idleConnections: limits.idleConnections,
      say: (line) => bench.say(load, contender.name, line),
    };
    const warmUp = fresh ? await load.warmUp(run) : noErrors;
    const before = await readCpu();
    const sample = await load.measure(run);
    const others = othersPercent(before, await readCpu());
    if (load.freshProxy) await contender.stop();
    return { ...sample, figures: { ...sample.figures, others }, ...addErrors(warmUp, sample) };
  } catch (error) {
    bench.signal.throwIfAborted();
    const message = error instanceof Error ? error.message : String(error);
    const death = await contender.death();
    // The next round starts it anew, so that one death does not cost all figures.
    await contender.stop();
    return { figures: {}, errors: 1, firstError: death ?? message };
  }
}

interface CpuReading {
  readonly atMs: number;
  readonly machineSeconds: number;
  /** The benchmark with everything it started, of which the proxy is a part. */
  readonly ownSeconds: number;
}

async function readCpu(): Promise<CpuReading> {
  const { cpuSeconds } = await processUsage(process.pid);
  return { atMs: performance.now(), machineSeconds: await machineCpuSeconds(), ownSeconds: cpuSeconds };
}

function othersPercent(before: CpuReading, after: CpuReading): number {
  const usedSeconds = after.machineSeconds - before.machineSeconds - (after.ownSeconds - before.ownSeconds);
  const possibleSeconds = ((after.atMs - before.atMs) / 1000) * cpus().length;
  return Math.max(0, (usedSeconds / possibleSeconds) * 100);
}
