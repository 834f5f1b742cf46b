/** A started process: pinned to a core, its output kept in a file, ready when its port answers, ended by its own id. */
import { readFile } from "node:fs/promises";
import { processTree } from "./process-usage.ts";

/** How to start a process. */
export interface ChildOptions {
  /** Said in messages, such as "haproxy". */
  readonly name: string;
  readonly command: readonly string[];
  /** Core to run on; undefined = wherever the kernel likes. */
  readonly core: number | undefined;
  readonly directory: string;
  /** Where standard error goes, and standard output when it is not read. */
  readonly logFile: string;
  /** Ends the process when it is aborted. */
  readonly signal: AbortSignal;
  /** Hang-up for a process that does not end by itself; absent = none. */
  readonly timeoutMs?: number;
}

/** A process with readable standard output and writable standard input. */
export type TalkingChild = Bun.Subprocess<"pipe", "pipe", Bun.BunFile>;

/** A process that only writes its log. */
export type SilentChild = Bun.Subprocess<"ignore", Bun.BunFile, Bun.BunFile>;

const readyTimeoutMs = 10_000;
const stopTimeoutMs = 2000;

/** Starts a process whose answers are read. */
export function startTalking(options: ChildOptions): TalkingChild {
  return Bun.spawn(pinned(options), {
    ...common(options),
    stdin: "pipe",
    stdout: "pipe",
    stderr: Bun.file(options.logFile),
  });
}

/** Starts a server. */
export function startSilent(options: ChildOptions): SilentChild {
  const log = Bun.file(options.logFile);
  return Bun.spawn(pinned(options), { ...common(options), stdin: "ignore", stdout: log, stderr: log });
}

/** Waits until `port` on loopback takes a connection; fails when the process ends before that or is silent for 10 s. */
export async function waitUntilReady(child: SilentChild, port: number, options: ChildOptions): Promise<void> {
  const deadline = performance.now() + readyTimeoutMs;
  while (!(await takesConnection(port))) {
    options.signal.throwIfAborted();
    const how = howEnded(child);
    const state = how
      ? `it ended with ${how}`
      : performance.now() > deadline
        ? `port ${port} took no connection within ${readyTimeoutMs / 1000} s`
        : undefined;
    if (state !== undefined)
      throw new Error(`cannot start ${options.name}: ${state}${await lastLines(options.logFile)}`);
    await Bun.sleep(20);
  }
}

/** Ends a process: SIGTERM, and after two seconds SIGKILL for it and what it started. Returns when it has ended. */
export async function stop(child: Bun.Subprocess): Promise<void> {
  if (howEnded(child) !== undefined) return;
  const tree = await processTree(child.pid);
  child.kill("SIGTERM");
  const ended = await Promise.race([child.exited.then(() => true), Bun.sleep(stopTimeoutMs).then(() => false)]);
  if (ended) return;
  for (const pid of tree) killIfThere(pid);
  await child.exited;
}

/** "exit code 1" or the name of the signal; undefined while it runs. */
export function howEnded(child: Bun.Subprocess): string | undefined {
  if (child.signalCode !== null) return String(child.signalCode);
  return child.exitCode === null ? undefined : `exit code ${child.exitCode}`;
}

/** The last lines of a log, for a message; empty when there is nothing. */
export async function lastLines(logFile: string): Promise<string> {
  const text = await readFile(logFile, "utf8").catch(() => "");
  const lines = text.trimEnd().split("\n").slice(-5).join("\n  ");
  return lines === "" ? "" : `; it said:\n  ${lines}`;
}

/** A port on loopback that nothing listens on, below the range the kernel takes client ports from. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
      return port;
    } catch {
      // Taken; the next one.
    }
  }
  throw new Error("cannot find a free port on 127.0.0.1 between 15000 and 30000: 100 attempts found each one taken");
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself, which is what was wanted.
  }
}

function pinned(options: ChildOptions): string[] {
  return options.core === undefined
    ? [...options.command]
    : ["taskset", "-c", String(options.core), ...options.command];
}

function common(options: ChildOptions): {
  cwd: string;
  env: Record<string, string>;
  signal: AbortSignal;
  timeout?: number;
} {
  // What the user's shell sets for an own sluice must not reach the one that is measured.
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(Bun.env)) {
    if (value !== undefined && !name.startsWith("SLUICE_")) env[name] = value;
  }
  const timeout = options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs };
  return { cwd: options.directory, env, signal: options.signal, ...timeout };
}

async function takesConnection(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {}, connectError() {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}
