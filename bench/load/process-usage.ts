/** What a proxy uses, read from /proc (proc(5)): CPU seconds, resident size, descriptors and connections. */
import { readdir, readFile, readlink } from "node:fs/promises";

/** CPU and memory of a process tree at one moment. */
export interface ProcessUsage {
  /** User and system time of all threads, of living children and of those that ended and were waited for. */
  readonly cpuSeconds: number;
  /** Resident size, summed over the processes; pages they share are counted in each. */
  readonly residentBytes: number;
}

/** The unit of utime and stime: USER_HZ, 100 a second on every Linux architecture that Bun runs on. */
const ticksPerSecond = 100;

/** Usage of `pid` and its descendants. Fails when the process is gone, since a figure without it would be wrong. */
export async function processUsage(pid: number): Promise<ProcessUsage> {
  let ticks = 0;
  let residentBytes = 0;
  const tree = await readTree(pid);
  if (tree.length === 0) throw new Error(`cannot read the usage of process ${pid}: it has ended`);
  for (const stat of tree) {
    ticks += stat.ticks;
    residentBytes += await readResidentBytes(stat.pid);
  }
  return { cpuSeconds: ticks / ticksPerSecond, residentBytes };
}

/** CPU seconds that all programs together have used on this machine since it started (the first line of /proc/stat). */
export async function machineCpuSeconds(): Promise<number> {
  const line = (await readFile("/proc/stat", "utf8")).split("\n")[0] ?? "";
  const [user, nice, system, , , irq, softirq] = line.split(/\s+/).slice(1).map(Number);
  return [user, nice, system, irq, softirq].reduce((sum: number, ticks) => sum + (ticks ?? 0), 0) / ticksPerSecond;
}

/** How many descriptors a process tree has open of each kind, such as "socket", "pipe" and "anon_inode". */
export type Descriptors = ReadonlyMap<string, number>;

/** Open descriptors of `pid` and its descendants. Fails when the process is gone. */
export async function openDescriptors(pid: number): Promise<Descriptors> {
  const tree = await processTree(pid);
  if (tree.length === 0) throw new Error(`cannot read the descriptors of process ${pid}: it has ended`);
  const counts = new Map<string, number>();
  for (const one of tree) {
    for (const fd of await readdir(`/proc/${one}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${one}/fd/${fd}`).catch(() => undefined);
      // It was closed since the folder was read.
      if (target === undefined) continue;
      const kind = target.startsWith("/") ? "file" : (target.split(":")[0] ?? target);
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
  }
  return counts;
}

/** All of them together. */
export function countDescriptors(descriptors: Descriptors): number {
  return [...descriptors.values()].reduce((sum, count) => sum + count, 0);
}

/** What there is more of than before, in words, such as "2 pipe, 1 socket"; empty when there is nothing. */
export function renderMore(before: Descriptors, after: Descriptors): string {
  return [...after]
    .map(([kind, count]) => [kind, count - (before.get(kind) ?? 0)] as const)
    .filter(([, more]) => more > 0)
    .map(([kind, more]) => `${more} ${kind}`)
    .join(", ");
}

/** Established connections that were accepted on a port of loopback (/proc/net/tcp; state 01). */
export async function countConnections(port: number): Promise<number> {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = (await readFile("/proc/net/tcp", "utf8")).split("\n");
  return lines.filter((line) => {
    const [, from, , state] = line.trim().split(/\s+/);
    return from === local && state === "01";
  }).length;
}

/** Process ids of `pid` and its living descendants; empty when it is gone. */
export async function processTree(pid: number): Promise<number[]> {
  return (await readTree(pid)).map((stat) => stat.pid);
}

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

async function readTree(root: number): Promise<Stat[]> {
  const byParent = new Map<number, Stat[]>();
  let found: Stat | undefined;
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readStat(Number(name));
    if (stat === undefined) continue;
    if (stat.pid === root) found = stat;
    const siblings = byParent.get(stat.parent);
    if (siblings === undefined) byParent.set(stat.parent, [stat]);
    else siblings.push(stat);
  }
  const tree = found === undefined ? [] : [found];
  for (const stat of tree) tree.push(...(byParent.get(stat.pid) ?? []));
  return tree;
}

async function readStat(pid: number): Promise<Stat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  // The second field is the program's name in brackets and may hold anything; the third is the first after them.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): number => Number(fields[number - 3]);
  const [parent, utime, stime, cutime, cstime] = [field(4), field(14), field(15), field(16), field(17)];
  return { pid, parent, ticks: utime + stime + cutime + cstime };
}

async function readResidentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  return kib === undefined ? 0 : Number(kib) * 1024;
}
