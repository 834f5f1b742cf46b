/** The metrics of the process itself, under the names that Prometheus client libraries have for them. */
import { counter, gauge, type Metric } from "./metric.ts";
import { openDescriptors } from "./program-metrics.ts";

/** In the order of the exposition. */
export const processMetrics: readonly Metric[] = [
  counter("process_cpu_user_seconds_total", [], "Processor time in user mode, all threads", ({ process }) => [
    [process.userSeconds],
  ]),
  counter("process_cpu_system_seconds_total", [], "Processor time in the kernel, all threads", ({ process }) => [
    [process.systemSeconds],
  ]),
  counter("process_cpu_seconds_total", [], "Processor time, the sum of both", ({ process }) => [
    [process.userSeconds + process.systemSeconds],
  ]),
  gauge("process_resident_memory_bytes", [], "Memory that the process has in RAM", ({ process }) => [
    [process.residentBytes],
  ]),
  gauge(
    "process_virtual_memory_bytes",
    [],
    "Address space, most of it only set aside by the JavaScript engine; on Linux alone",
    ({ process: { linux } }) => (linux === undefined ? [] : [[linux.virtualBytes]]),
  ),
  gauge(
    "process_heap_bytes",
    [],
    "What JavaScript holds in the main thread, buffers included, as of the last garbage collection",
    ({ process }) => [[process.heapBytes]],
  ),
  gauge("process_threads", [], "Threads, those of the runtime included; on Linux alone", ({ process: { linux } }) =>
    linux === undefined ? [] : [[linux.threads]],
  ),
  gauge("process_start_time_seconds", [], "When the process began, in seconds since 1970", ({ process }) => [
    [process.startedSeconds],
  ]),
  gauge("process_open_fds", [], "Open file descriptors: `sluice_open_fds` under its usual name", ({ figures }) =>
    openDescriptors(figures),
  ),
  gauge(
    "process_max_fds",
    [],
    "File descriptors it may have open: `sluice_max_fds` under its usual name",
    ({ figures }) => [[figures.descriptors.max]],
  ),
];
