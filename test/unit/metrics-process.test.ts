/** What the process takes of the machine, held against what the kernel says of it. */
import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { exposition } from "../../src/admin/metrics/exposition.ts";
import { processFigures } from "../../src/admin/metrics/process-figures.ts";
import { openDescriptors } from "../../src/sys/descriptor-count.ts";
import { countDescriptors } from "../support/descriptors.ts";
import { readExposition, valueOf } from "../support/exposition.ts";

/** A field of /proc/self/status, in its unit. */
function statusOf(name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync("/proc/self/status", "utf8"))![1]);
}

/** The fields of /proc/self/stat from the third on, numbered as proc_pid_stat(5) does. */
function statField(number: number): number {
  const stat = readFileSync("/proc/self/stat", "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[number - 3]);
}

/** USER_HZ, the unit of times in /proc: 100 on every architecture that Bun runs on. */
const ticksPerSecond = 100;

test("processor time is the kernel's, of all threads", () => {
  const before = processFigures();
  const user = statField(14) / ticksPerSecond;
  const system = statField(15) / ticksPerSecond;
  const after = processFigures();
  const tick = 0.011;
  expect(user).toBeWithin(before.userSeconds - tick, after.userSeconds + tick);
  expect(system).toBeWithin(before.systemSeconds - tick, after.systemSeconds + tick);
});

test("memory is the kernel's", () => {
  const { residentBytes, linux } = processFigures();
  // The collector may be at work in threads of its own.
  const nearly = (bytes: number): [number, number] => [bytes * 0.8, bytes * 1.25];
  expect(residentBytes).toBeWithin(...nearly(statusOf("VmRSS") * 1024));
  expect(linux!.virtualBytes).toBeWithin(...nearly(statusOf("VmSize") * 1024));
  expect(linux!.threads).toBeWithin(statusOf("Threads") - 3, statusOf("Threads") + 4);
});

test("the heap holds what JavaScript holds", () => {
  Bun.gc(true);
  const before = processFigures().heapBytes;
  // Large beside what other tests of this process leave to the collector.
  const kept = new Uint8Array(256 * 2 ** 20).fill(1);
  Bun.gc(true);
  const { heapBytes } = processFigures();
  expect(heapBytes - before).toBeWithin(0.9 * kept.length, 1.5 * kept.length);
});

test("the start is the kernel's, and does not move", () => {
  const booted = Number(/^btime (\d+)/m.exec(readFileSync("/proc/stat", "utf8"))![1]);
  const { startedSeconds } = processFigures();
  expect(startedSeconds).toBeWithin(
    booted + statField(22) / ticksPerSecond - 2,
    booted + statField(22) / ticksPerSecond + 2,
  );
  expect(processFigures().startedSeconds).toBe(startedSeconds);
});

test("open descriptors are counted, without the one that counting takes", () => {
  const first = openDescriptors();
  expect(first).toBe(countDescriptors());
  // Before Linux 6.2 the folder has no size, and the number is up to 15 s old.
  if (statSync("/proc/self/fd").size === 0) return;
  const opened = Array.from({ length: 100 }, () => openSync("/dev/null", "r"));
  expect(openDescriptors()).toBe(first! + 100);
  for (const fd of opened) closeSync(fd);
  expect(openDescriptors()).toBe(first!);
});

test("the exposition has them in seconds and bytes", async () => {
  const before = processFigures();
  const { body } = await exposition({
    ready: false,
    state: "starting",
    drainRemainingMs: undefined,
    version: "1.2.3",
    listeners: [],
    backends: [],
    timeouts: new Map(),
    engines: { copy: 0, splice: 0 },
    reloads: { applied: 0, invalid: 0, refused: 0 },
    traces: undefined,
    descriptors: { open: 1, max: 2 },
    connectionsMax: 3,
  });
  const after = processFigures();
  const families = readExposition(body);
  const value = (name: string): number => valueOf(families, name)!;
  expect(value("process_cpu_user_seconds_total")).toBeWithin(before.userSeconds, after.userSeconds + 1e-9);
  expect(value("process_cpu_system_seconds_total")).toBeWithin(before.systemSeconds, after.systemSeconds + 1e-9);
  expect(value("process_cpu_seconds_total")).toBeCloseTo(
    value("process_cpu_user_seconds_total") + value("process_cpu_system_seconds_total"),
    9,
  );
  expect(value("process_start_time_seconds")).toBe(before.startedSeconds);
  expect(value("process_resident_memory_bytes")).toBeGreaterThan(2 ** 20);
  expect(value("process_virtual_memory_bytes")).toBeGreaterThan(value("process_resident_memory_bytes"));
  expect(value("process_heap_bytes")).toBeGreaterThan(0);
  expect(value("process_threads")).toBeGreaterThan(0);
});
