/** The comparison itself: for each load all contenders are up, and are measured in turns, round after round. */
import { mkdir } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import {
  type ChildOptions,
  freePort,
  howEnded,
  lastLines,
  type SilentChild,
  startSilent,
  stop,
  waitUntilReady,
} from "./child.ts";
import type { Generator } from "./generator.ts";
import { addErrors, type Load, type Run, type Sample } from "./kinds.ts";
import type { Limits, Placement } from "./machine.ts";
import { type Peer, repository } from "./peers.ts";
import { machineCpuSeconds, processUsage } from "./process-usage.ts";

/** What is to be measured. */
export interface Plan {
  readonly loads: readonly Load[];
  readonly peers: readonly Peer[];
  readonly rounds: number;
  /** Measured time of one load. */
  readonly seconds: number;
}

/** All samples of one contender under one load: one a round, in order. */
export interface Cell {
  readonly load: Load;
  /** Name of the peer, or "direct". */
  readonly contender: string;
  readonly samples: readonly Sample[];
}

/** What the measurements run on. */
export interface Bench {
  readonly generator: Generator;
  readonly placement: Placement;
  readonly limits: Limits;
  /** Temporary folder for configurations and logs. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Called after each measurement. */
  progress(load: Load, contender: string, round: number, sample: Sample): void;
}

/** The contender without a proxy. */
export const directName = "direct";

/** How many measurements a plan takes. */
export function countMeasurements(plan: Plan): number {
  const inOneRound = plan.loads.map((load) => plan.peers.length + (load.direct ? 1 : 0));
  return plan.rounds * inOneRound.reduce((sum, count) => sum + count, 0);
}

/**
 * Measures the whole plan. A contender that can't be started or dies gets samples with errors; the others go on.
 * Fails when no backend can be started, and with the signal's reason when that is aborted.
 */
export async function compare(plan: Plan, bench: Bench): Promise<Cell[]> {
  const backendPort = await bench.generator.serve(bench.placement.backend);
  // Without a proxy its core is free: left idle, the generator's share of the other core would be taken for the limit.
  const shared = bench.placement.backend === bench.placement.generator;
  const directPort = shared ? await bench.generator.serve(bench.placement.proxy) : backendPort;

  const cells: Cell[] = [];
  for (const load of plan.loads) {
    const contenders: Contender[] = plan.peers.map((peer) => new StartedProxy(peer, load, backendPort, bench));
    if (load.direct) contenders.unshift(new Direct(directPort));
    const samples = new Map<string, Sample[]>(contenders.map(({ name }) => [name, []]));
    try {
      for (let round = 1; round <= plan.rounds; round++) {
        for (const contender of contenders) {
          const sample = await measure(contender, load, plan, bench);
          samples.get(contender.name)?.push(sample);
          bench.progress(load, contender.name, round, sample);
        }
      }
    } finally {
      await Promise.all(contenders.map((contender) => contender.stop()));
    }
    cells.push(...contenders.map(({ name }) => ({ load, contender: name, samples: samples.get(name) ?? [] })));
  }
  return cells;
}

/** Something that clients connect to. `start` of one that runs changes nothing. */
interface Contender {
  readonly name: string;
  start(): Promise<{ port: number; pid: number | undefined; fresh: boolean }>;
  stop(): Promise<void>;
  /** How it ended without being asked to; undefined while it runs. */
  death(): Promise<string | undefined>;
}

async function measure(contender: Contender, load: Load, plan: Plan, bench: Bench): Promise<Sample> {
  try {
    const { port, pid, fresh } = await contender.start();
    const { generator, limits } = bench;
    const run: Run = { generator, port, pid, seconds: plan.seconds, idleConnections: limits.idleConnections };
    const warmUp = fresh ? await load.warmUp(run) : { errors: 0, firstError: "" };
    const before = await readCpu();
    const sample = await load.measure(run);
    const others = othersPercent(before, await readCpu());
    if (load.freshProxy) await contender.stop();
    return { figures: { ...sample.figures, others }, ...addErrors(warmUp, sample) };
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

class Direct implements Contender {
  readonly name = directName;
  readonly #port: number;
  #fresh = true;

  constructor(port: number) {
    this.#port = port;
  }

  start(): ReturnType<Contender["start"]> {
    const fresh = this.#fresh;
    this.#fresh = false;
    return Promise.resolve({ port: this.#port, pid: undefined, fresh });
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  death(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}

class StartedProxy implements Contender {
  readonly name: string;
  readonly #peer: Peer;
  readonly #load: Load;
  readonly #backendPort: number;
  readonly #bench: Bench;
  #running: { child: SilentChild; options: ChildOptions; port: number } | undefined;

  constructor(peer: Peer, load: Load, backendPort: number, bench: Bench) {
    this.name = peer.name;
    this.#peer = peer;
    this.#load = load;
    this.#backendPort = backendPort;
    this.#bench = bench;
  }

  async start(): ReturnType<Contender["start"]> {
    if (this.#running !== undefined) return { port: this.#running.port, pid: this.#running.child.pid, fresh: false };
    const { placement, limits, signal } = this.#bench;
    const port = await freePort();
    const folder = join(this.#bench.folder, `${this.#load.kind}-${this.name}-${port}`);
    await mkdir(folder, { recursive: true });
    const connections = limits.proxyConnections;
    const command = await this.#peer.prepare({ folder, port, backendPort: this.#backendPort, connections });
    const options: ChildOptions = {
      name: this.name,
      command,
      core: placement.proxy,
      directory: repository,
      logFile: join(folder, "output.log"),
      signal,
    };
    const child = startSilent(options);
    this.#running = { child, options, port };
    try {
      await waitUntilReady(child, port, options);
    } catch (error) {
      await this.stop();
      throw error;
    }
    return { port, pid: child.pid, fresh: true };
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    if (running !== undefined) await stop(running.child);
  }

  async death(): Promise<string | undefined> {
    if (this.#running === undefined) return undefined;
    const { child, options } = this.#running;
    const how = howEnded(child);
    return how && `${this.name} ended under load with ${how}${await lastLines(options.logFile)}`;
  }
}
