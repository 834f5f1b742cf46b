/** What the process takes of the machine, in the units of its metrics. Read at a scrape. */
import { readFileSync } from "node:fs";

/** At one moment. Was compared with /proc, compiled and not: what Bun reports wrongly is left out (Bun 1.4.5). */
export interface ProcessFigures {
  /** Processor time of all threads. */
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly residentBytes: number;
  /** What JavaScript of the main thread holds, its buffers included; counted when the garbage collector has been at work. */
  readonly heapBytes: number;
  /** Since 1970; the same at every reading. */
  readonly startedSeconds: number;
  /** `undefined` elsewhere than on Linux. */
  readonly linux: { readonly virtualBytes: number; readonly threads: number } | undefined;
}

/** Reads them; takes 10 µs. */
export function processFigures(): ProcessFigures {
  const { user, system } = process.cpuUsage();
  // Of its other fields `heapTotal` is less than `heapUsed` at times, and `arrayBuffers` is always 0 (Bun 1.4.5).
  const { rss, heapUsed } = process.memoryUsage();
  return {
    userSeconds: user / 1e6,
    systemSeconds: system / 1e6,
    residentBytes: rss,
    heapBytes: heapUsed,
    startedSeconds: performance.timeOrigin / 1000,
    linux: linuxFigures(),
  };
}

function linuxFigures(): ProcessFigures["linux"] {
  let stat: string;
  try {
    stat = readFileSync("/proc/self/stat", "latin1");
  } catch {
    return undefined;
  }
  // proc_pid_stat(5). The second field, the name in parentheses, may have blanks; after it comes the third.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const threads = Number(fields[20 - 3]);
  const virtualBytes = Number(fields[23 - 3]);
  return Number.isSafeInteger(threads) && Number.isSafeInteger(virtualBytes) ? { virtualBytes, threads } : undefined;
}
