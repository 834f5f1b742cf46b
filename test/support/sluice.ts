/** Runs the real program as a process of its own: its log read line by line, its signals, its exit. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PATIENCE_MS, Waiting } from "./until.ts";

/** How the program in this tree is called. */
export const SLUICE: readonly string[] = [
  process.execPath,
  fileURLToPath(new URL("../../src/main.ts", import.meta.url)),
];

/** A line of the log, with whatever fields it has. */
export type LogLine = { msg: string; level: string } & Record<string, unknown>;

/** How a process ended: with a code, or by a signal that it did not handle. */
export interface Exit {
  code: number | null;
  signal: string | null;
  /** Milliseconds from the last signal sent to it, or from its start when none was, to its end. */
  afterMs: number;
}

/** Where and how to run it. The environment has nothing of this process's own but PATH, HOME and the like. */
export interface Surroundings {
  env?: Readonly<Record<string, string>>;
  /** Default: an empty folder, removed at the end. */
  cwd?: string;
  /** Default: `SLUICE`. */
  command?: readonly string[];
  /** Descriptors of ours that it gets as 3, 4 and so on. */
  descriptors?: readonly number[];
}

/** What to run: `run` with a configuration file of this text, or other arguments. */
export type SluiceOptions = Surroundings & ({ config: string } | { args: readonly string[] });

/** Starts the program and does not wait: see `ready`. */
export async function startSluice(options: SluiceOptions): Promise<Sluice> {
  return new Sluice(options);
}

/** Runs a short command to its end. Fails when that takes longer than `withinMs`. */
export async function runSluice(
  args: readonly string[],
  { stdin = "", withinMs = PATIENCE_MS, ...surroundings }: Surroundings & { stdin?: string; withinMs?: number } = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  await using program = new Sluice({ ...surroundings, args }, stdin);
  const { code } = await program.exited(withinMs);
  return { code, stdout: program.stdout, stderr: program.stderr };
}

/** A running program. At the end of its scope it is killed; that it had died without being asked is a failure there. */
export class Sluice {
  /** Everything written so far. */
  stdout = "";
  stderr = "";
  /** The log lines so far. Lines that are not JSON objects, such as messages for people, are only in `stdout`. */
  readonly log: LogLine[] = [];
  readonly pid: number;
  readonly #process: Bun.Subprocess<Uint8Array, "pipe", "pipe">;
  readonly #folder: string;
  readonly #waiting = new Waiting();
  #asked = false;
  #sinceMs = performance.now();
  /** Set when the process has ended and all of its output has been read. */
  #exit: Exit | undefined;

  constructor(options: SluiceOptions, stdin = "") {
    const { env = {}, command = SLUICE, descriptors = [] } = options;
    this.#folder = mkdtempSync(join(tmpdir(), "sluice-test-"));
    let args: readonly string[];
    if ("args" in options) args = options.args;
    else {
      const file = join(this.#folder, "config.toml");
      writeFileSync(file, options.config);
      args = ["run", "--config", file];
    }
    this.#process = Bun.spawn([...command, ...args], {
      cwd: options.cwd ?? this.#folder,
      env: { ...inherited(), ...env },
      stdio: [new TextEncoder().encode(stdin), "pipe", "pipe", ...descriptors],
    });
    this.pid = this.#process.pid;
    void this.#follow();
  }

  /** Resolves with the first log line, past or to come, that the predicate accepts; rejects when the process ends. */
  logged(accepts: (line: LogLine) => boolean, what: string, withinMs?: number): Promise<LogLine> {
    const look = (): LogLine | undefined => {
      const line = this.log.find(accepts);
      if (line === undefined && this.#exit !== undefined) throw new Error(`waited for ${what}, but ${this.describe()}`);
      return line;
    };
    return this.#waiting.wait(look, () => `${what}: ${this.describe()}`, withinMs);
  }

  /** Resolves when the program says that it is ready: everything listens. */
  async ready(withinMs?: number): Promise<this> {
    await this.logged((line) => line.msg === "ready", 'the log line "ready"', withinMs);
    return this;
  }

  /** The address of a listener, `admin` for the admin server, as the log has it: for those that take a free port. */
  async address(listener: string): Promise<string> {
    const what = `the log line "listening" of listener "${listener}"`;
    const line = await this.logged((it) => it.msg === "listening" && it["listener"] === listener, what);
    const address = line["address"];
    if (typeof address !== "string") throw new Error(`${what} has no address: ${JSON.stringify(line)}`);
    return address;
  }

  /** The port of a listener; see `address`. */
  async port(listener: string): Promise<number> {
    const address = await this.address(listener);
    return Number(address.slice(address.lastIndexOf(":") + 1));
  }

  /** Where the admin server answers, without a slash at the end; see `address`. */
  async adminUrl(): Promise<string> {
    return `http://${await this.address("admin")}`;
  }

  /** The access records so far. */
  records(): LogLine[] {
    return this.log.filter((line) => line.msg === "connection");
  }

  /** Resolves with the access records when there are at least `count`. The program writes them in batches. */
  recorded(count: number, withinMs?: number): Promise<LogLine[]> {
    const look = (): LogLine[] | undefined => {
      const records = this.records();
      if (records.length >= count) return records;
      if (this.#exit !== undefined) throw new Error(`waited for ${count} access records, but ${this.describe()}`);
      return undefined;
    };
    const seen = (): string => `${count} access records: ${this.records().length} were written; ${this.describe()}`;
    return this.#waiting.wait(look, seen, withinMs);
  }

  /** Puts this text in place of the configuration it was started with. It is read when the program is asked to. */
  rewriteConfig(text: string): void {
    writeFileSync(join(this.#folder, "config.toml"), text);
  }

  /** Reloads this configuration by SIGHUP; resolves with the log line that says what came of it. */
  async reload(text: string): Promise<LogLine> {
    this.rewriteConfig(text);
    const about = (line: LogLine): boolean => line["by"] === "SIGHUP";
    const before = this.log.filter(about).length;
    this.signal("SIGHUP");
    return this.logged((line) => this.log.filter(about).indexOf(line) >= before, "a line about the reload");
  }

  /** Sends a signal. From then on the process may end. That it had ended before is an error. */
  signal(name: NodeJS.Signals): void {
    if (this.#ended) throw new Error(`cannot send ${name}: ${this.describe()}`);
    this.#asked = true;
    this.#sinceMs = performance.now();
    this.#process.kill(name);
  }

  /** Resolves when the process has ended and its output is complete. */
  exited(withinMs?: number): Promise<Exit> {
    this.#asked = true;
    return this.#waiting.wait(
      () => this.#exit,
      () => `the end of the process: ${this.describe()}`,
      withinMs,
    );
  }

  /** What is known of the process so far, for messages. */
  describe(): string {
    const { exitCode, signalCode } = this.#process;
    const life = this.#ended
      ? `process ${this.pid} ended with ${signalCode ?? `code ${exitCode}`}`
      : `process ${this.pid} runs`;
    return `${life}; standard error: ${quoted(this.stderr)}; last of standard output: ${quoted(this.stdout.slice(-2000))}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const diedUnasked = !this.#asked && this.#ended;
    this.#process.kill("SIGKILL");
    // Bounded: a process that this one had started could hold its output open for ever.
    await this.#waiting.wait(
      () => this.#exit,
      () => `the end of the killed process: ${this.describe()}`,
    );
    rmSync(this.#folder, { recursive: true, force: true });
    if (diedUnasked) throw new Error(`nobody asked the program to end, but ${this.describe()}`);
  }

  /** With a code or by a signal; its output may still be on its way. */
  get #ended(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  async #follow(): Promise<void> {
    const ended = this.#process.exited.then(() => performance.now() - this.#sinceMs);
    let partial = "";
    const stdout = follow(this.#process.stdout, (text) => {
      this.stdout += text;
      const lines = (partial + text).split("\n");
      partial = lines.pop() ?? "";
      for (const line of lines) this.#line(line);
      this.#waiting.changed();
    });
    const stderr = follow(this.#process.stderr, (text) => {
      this.stderr += text;
    });
    const [afterMs] = await Promise.all([ended, stdout, stderr]);
    const { exitCode: code, signalCode } = this.#process;
    this.#exit = { code, signal: signalCode === null ? null : String(signalCode), afterMs };
    this.#waiting.changed();
  }

  #line(line: string): void {
    if (!line.startsWith("{")) return;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return;
    }
    this.log.push(value as LogLine);
  }
}

async function follow(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
}

/** What a process needs of ours; nothing that could configure the program, such as SLUICE_… or BUN_…. */
function inherited(): Record<string, string> {
  const names = ["PATH", "HOME", "TMPDIR", "LANG"];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

function quoted(text: string): string {
  return text === "" ? "nothing" : `\n${text.trimEnd()}\n`;
}
