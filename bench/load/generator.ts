/** The C load generator and backend (generator/): compiled at the start, one backend for all, one process for each load. */
import { join } from "node:path";
import { type ChildOptions, lastLines, startTalking, stop, type TalkingChild } from "./child.ts";
import type { Placement } from "./machine.ts";

/** What the generator does; the names are those of generator/main.c. */
export type Drive = "bulk-down" | "bulk-up" | "ping-pong" | "connect" | "reset-down" | "reset-up" | "reset-far";

/** One part of a load. */
export interface Part {
  readonly drive: Drive;
  readonly connections: number;
  /** Of a ping-pong message, or of a bulk flow, which is then followed by the next one; absent = 64, or a flow that lasts. */
  readonly bytes?: number;
  /** Between messages, connections or flows, and inside a flow that lasts between its pieces; absent = none. */
  readonly pauseMs?: number;
}

/** Parts that are driven at once by one process. */
export interface DriveOptions {
  readonly port: number;
  readonly parts: readonly Part[];
  readonly seconds: number;
}

/** What the generator saw of one part. Totals run from the first byte to the last; measured figures belong to `seconds`. */
export interface DriveReport {
  readonly bytes: number;
  readonly operations: number;
  readonly measuredBytes: number;
  readonly measuredOperations: number;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly errors: number;
  /** Empty when there was none. */
  readonly firstError: string;
}

/** Idle connections that are open until `release`. */
export interface Held {
  /** How many are open and proven end to end. */
  readonly connections: number;
  /** Closes them; the report's errors are what failed or did not stay open. */
  release(): Promise<DriveReport>;
}

/** Commands that can compile it, the first that is on PATH does. */
export const compilers: readonly string[] = ["cc", "gcc", "clang"];

/** Owns the compiled program and what was started from it. */
export class Generator {
  readonly #program: string;
  readonly #folder: string;
  readonly #placement: Placement;
  readonly #signal: AbortSignal;
  readonly #started = new Set<TalkingChild>();

  private constructor(program: string, folder: string, placement: Placement, signal: AbortSignal) {
    this.#program = program;
    this.#folder = folder;
    this.#placement = placement;
    this.#signal = signal;
  }

  /** Compiles generator/ into `folder`. Fails with what the compiler said, or when there is none. */
  static async compile(folder: string, placement: Placement, signal: AbortSignal): Promise<Generator> {
    const compiler = compilers.find((name) => Bun.which(name) !== null);
    if (compiler === undefined) {
      throw new Error(
        `cannot compile the load generator: found no ${compilers.join(", ")} on PATH, wanted a C compiler (Debian: apt-get install gcc libc6-dev)`,
      );
    }
    const program = join(folder, "generator");
    const sources = [...new Bun.Glob("*.c").scanSync({ cwd: join(import.meta.dir, "generator"), absolute: true })];
    const compiled = Bun.spawnSync([compiler, "-O2", "-o", program, ...sources]);
    if (!compiled.success)
      throw new Error(`cannot compile the load generator: ${compiler} said\n${compiled.stderr.toString()}`);
    return new Generator(program, folder, placement, signal);
  }

  /** Starts a backend on a free port, on the given core, and returns the port. */
  async serve(core: number | undefined): Promise<number> {
    const { child, options } = this.#start(["serve", "0"], core);
    const line = await firstLine(child);
    if (line === "") throw new Error(`cannot start the backend${await lastLines(options.logFile)}`);
    return (JSON.parse(line) as { port: number }).port;
  }

  /**
   * Runs one load to its end and returns a report for each part. Fails when the generator itself fails; what fails on the
   * wire is in the reports.
   */
  async drive({ port, parts, seconds }: DriveOptions): Promise<readonly DriveReport[]> {
    const texts = parts.map((part) => [part.drive, part.connections, part.bytes ?? 0, part.pauseMs ?? 0].join(":"));
    // The generator gives up by itself after 5 s of silence at each end; this is for a generator that hangs.
    const { child, options } = this.#start(
      ["drive", String(port), String(seconds), ...texts],
      this.#placement.generator,
      seconds * 1000 + 30_000,
    );
    const line = await firstLine(child);
    await this.#ended(child, options);
    const reports = JSON.parse(line) as DriveReport[];
    if (reports.length !== parts.length) {
      throw new Error(`${options.name} reported on ${reports.length} parts, wanted ${parts.length}`);
    }
    return reports;
  }

  /** Opens idle connections, each with one exchange; they are to be released within `seconds` and two minutes more. */
  async hold(port: number, connections: number, seconds = 0): Promise<Held> {
    const { child, options } = this.#start(
      ["hold", String(port), String(connections)],
      this.#placement.generator,
      seconds * 1000 + 120_000,
    );
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const first = await lines.read();
    if (first.done) throw new Error(`cannot hold connections${await lastLines(options.logFile)}`);
    return {
      connections: (JSON.parse(first.value) as { ready: number }).ready,
      release: async () => {
        child.stdin.end();
        let rest = "";
        for (let part = await lines.read(); !part.done; part = await lines.read()) rest += part.value;
        await this.#ended(child, options);
        const [report] = JSON.parse(rest) as DriveReport[];
        if (report === undefined) throw new Error(`${options.name} reported nothing on the connections it held`);
        return report;
      },
    };
  }

  /** Ends everything that still runs, the backends among it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#started].map(stop));
  }

  #start(args: string[], core: number | undefined, timeoutMs?: number): { child: TalkingChild; options: ChildOptions } {
    const options: ChildOptions = {
      name: "the load generator",
      command: [this.#program, ...args],
      core,
      directory: this.#folder,
      logFile: join(this.#folder, "generator.log"),
      signal: this.#signal,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
    const child = startTalking(options);
    this.#started.add(child);
    void child.exited.then(() => this.#started.delete(child));
    return { child, options };
  }

  async #ended(child: TalkingChild, options: ChildOptions): Promise<void> {
    const exitCode = await child.exited;
    this.#signal.throwIfAborted();
    if (exitCode !== 0)
      throw new Error(`${options.name} ended with exit code ${exitCode}${await lastLines(options.logFile)}`);
  }
}

async function firstLine(child: TalkingChild): Promise<string> {
  let text = "";
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!text.includes("\n")) {
    const part = await reader.read();
    if (part.done) break;
    text += part.value;
  }
  return text.split("\n")[0] ?? "";
}
