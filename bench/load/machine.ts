/** The machine that is measured on: what it is, and which of its cores does what. */
import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** What RESULTS.md says about the machine. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly bun: string;
  /** Which core each part was pinned to, as a sentence. */
  readonly placement: string;
}

/** The core of each part; undefined = not pinned. */
export interface Placement {
  readonly generator: number | undefined;
  readonly backend: number | undefined;
  readonly proxy: number | undefined;
  readonly sentence: string;
}

/** What one process may use and how many connections fit in it. */
export interface Limits {
  /** Hard limit of open descriptors of one process. */
  readonly descriptors: number;
  /** Connections a proxy is configured for, at two descriptors each. */
  readonly proxyConnections: number;
  /** Connections the kind `idle` opens. */
  readonly idleConnections: number;
}

/** Describes this machine for the report. */
export function describeMachine(placement: Placement): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? "unknown",
    cores: all.length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    bun: Bun.version,
    placement: placement.sentence,
  };
}

/**
 * Cores for generator, backend and proxy. A proxy has a core to itself, so that "one thread each" is kept by helper
 * threads too, and figures are steadier: on the first machine the rounds of one cell were within 6 % pinned and 18 % free.
 */
export function placeOnCores(): Placement {
  const cores = allowedCores();
  const [first, second] = cores;
  const last = cores.at(-1);
  if (Bun.which("taskset") === null || first === undefined || second === undefined || last === undefined) {
    const why = cores.length < 2 ? "there is one core" : "taskset is not on PATH";
    return { generator: undefined, backend: undefined, proxy: undefined, sentence: `not pinned: ${why}` };
  }
  const backend = cores.length > 2 ? second : first;
  const sentence =
    `generator on core ${first}, backend on core ${backend}, proxy on core ${last}` +
    (backend === first ? `; without a proxy the backend is on core ${last}` : "");
  return { generator: first, backend, proxy: last, sentence };
}

/** Limits that fit the descriptors this process, and so every process it starts, may open. */
export function readLimits(): Limits {
  const text = readFileSync("/proc/self/limits", "utf8");
  const descriptors = Number(/^Max open files\s+\S+\s+(\d+)/m.exec(text)?.[1] ?? 1024);
  // The reserve covers haproxy's pipes (2 × 200) and what a runtime opens for itself.
  const proxyConnections = Math.min(9000, Math.floor((descriptors - 600) / 2));
  return { descriptors, proxyConnections, idleConnections: Math.min(5000, Math.floor(proxyConnections * 0.8)) };
}

function allowedCores(): number[] {
  const list = /^Cpus_allowed_list:\s+(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
  const cores: number[] = [];
  for (const range of list.split(",")) {
    const [from, to] = range.split("-").map(Number);
    if (from === undefined || Number.isNaN(from)) continue;
    for (let core = from; core <= (to ?? from); core++) cores.push(core);
  }
  return cores;
}
