/** Programs that others wrote, as peers in tests: found on this machine, called to their end, or run while a test talks to them. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PATIENCE_MS, Waiting } from "./until.ts";

/** What tests call, and the Debian package that has it; `.ci/run` installs them all. */
export const packages = {
  chromium: "chromium",
  chroot: "coreutils",
  curl: "curl",
  haproxy: "haproxy",
  initdb: "postgresql",
  mount: "mount",
  nginx: "nginx",
  node: "nodejs",
  nsenter: "util-linux",
  "ngx_stream_module.so": "libnginx-mod-stream",
  openssl: "openssl",
  pgbench: "postgresql",
  postgres: "postgresql",
  psql: "postgresql-client",
  promtool: "prometheus",
  "redis-cli": "redis-tools",
  "redis-server": "redis-server",
  setpriv: "util-linux",
  socat: "socat",
  ssh: "openssh-client",
  "ssh-keygen": "openssh-client",
  sshd: "openssh-server",
  tmux: "tmux",
  unshare: "util-linux",
  wrk: "wrk",
};

/** The name of a program, or of a module of one. */
export type ProgramName = keyof typeof packages;

/**
 * Whether a test can't run for want of a program, which whoever tries the repository need not have. In CI none may be
 * missing: there the test runs, and fails with a sentence.
 */
export function lacks(...names: readonly ProgramName[]): boolean {
  return process.env["CI"] !== "true" && names.some((name) => find(name) === undefined);
}

/** The file of a program; throws where there is none. */
export function fileOf(name: ProgramName): string {
  const found = find(name);
  if (found === undefined) throw new Error(`${name} is not there: apt-get install ${packages[name]}, as .ci/run does`);
  return found;
}

/** Debian keeps servers out of a user's PATH, those of PostgreSQL out of everybody's, and modules are no commands. */
function find(name: ProgramName): string | undefined {
  const versions = "/usr/lib/postgresql";
  const postgres = existsSync(versions) ? readdirSync(versions).toSorted((a, b) => Number(b) - Number(a)) : [];
  const folders = ["/usr/sbin", "/usr/lib/nginx/modules", ...postgres.map((version) => join(versions, version, "bin"))];
  return Bun.which(name) ?? folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
}

/** How a program is run. Of this process's environment it gets PATH and the like, and English. */
export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Whose process it is; ours if left out. */
  readonly user?: SystemUser | undefined;
}

/** A user of this system. */
export interface SystemUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Who runs a program that refuses to be root's: ourselves, or, where we are root, a user that Debian's packages have made. */
export function unprivileged(): SystemUser {
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const uid = process.getuid!();
  const found =
    uid === 0 ? users.find(([name]) => name === "postgres") : users.find(([, , number]) => Number(number) === uid);
  if (found === undefined) throw new Error("there is no user postgres: apt-get install postgresql, as .ci/run does");
  return { name: found[0]!, uid: Number(found[2]), gid: Number(found[3]) };
}

/** What a program that was called has written, and the code it ended with. */
export interface Called {
  readonly stdout: string;
  readonly stderr: string;
  /** What is in `stdout`, as it came. */
  readonly bytes: Uint8Array;
  readonly code: number;
}

/** Runs a program to its end, which must be a good one: code 0. */
export async function call(
  name: ProgramName,
  args: readonly string[],
  input?: Uint8Array | string,
  options?: ProgramOptions,
): Promise<Called> {
  const called = await attempt(name, args, input, options);
  if (called.code === 0) return called;
  const { code, stdout, stderr } = called;
  throw new Error(`${name} ${args.join(" ")} ended with code ${code}: ${stderr}${stdout.slice(0, 500)}`);
}

/** Runs a program to its end, whatever that is; one that takes longer than `PATIENCE_MS` is killed and is a failure. */
export async function attempt(
  name: ProgramName,
  args: readonly string[],
  input: Uint8Array | string = "",
  options: ProgramOptions = {},
): Promise<Called> {
  const stdin = typeof input === "string" ? new TextEncoder().encode(input) : input;
  await using child = Bun.spawn(command(name, args, options), {
    ...surroundings(options),
    stdin,
    stdout: "pipe",
    stderr: "pipe",
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  });
  const [bytes, stderr] = await Promise.all([child.stdout.bytes(), child.stderr.text(), child.exited]);
  const stdout = new TextDecoder().decode(bytes);
  if (child.exitCode === null) {
    throw new Error(`${name} ${args.join(" ")} was ended by ${child.signalCode}: ${stderr}${stdout.slice(0, 500)}`);
  }
  return { stdout, stderr, bytes, code: child.exitCode };
}

/** Starts a program that runs until it is told to end. */
export function start(
  name: ProgramName,
  args: readonly string[],
  options: ProgramOptions & { endWith?: NodeJS.Signals } = {},
): Program {
  return new Program(name, args, options);
}

/** A running program. At the end of its scope it is killed, or asked to end first. */
export class Program {
  readonly name: ProgramName;
  readonly pid: number;
  /** What it has written, to standard output and standard error together. */
  output = "";

  readonly #stdout: Uint8Array[] = [];
  readonly #stderr: Uint8Array[] = [];
  readonly #process: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #endWith: NodeJS.Signals;
  readonly #waiting = new Waiting();
  /** Set when it has ended and all of its output is there. */
  #end: string | undefined = undefined;

  constructor(
    name: ProgramName,
    args: readonly string[],
    { endWith = "SIGKILL", ...options }: ProgramOptions & { endWith?: NodeJS.Signals },
  ) {
    this.name = name;
    this.#endWith = endWith;
    this.#process = Bun.spawn(command(name, args, options), {
      ...surroundings(options),
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.pid = this.#process.pid;
    void this.#follow();
  }

  get stdout(): string {
    return this.bytes.toString();
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString();
  }

  /** What is in `stdout`, as it came. */
  get bytes(): Buffer {
    return Buffer.concat(this.#stdout);
  }

  /** Types this into it. */
  async type(text: Uint8Array | string): Promise<void> {
    this.#process.stdin.write(text);
    await this.#process.stdin.flush();
  }

  /** Ends what is typed into it. */
  async typed(): Promise<void> {
    await this.#process.stdin.end();
  }

  /** Resolves with what it has written once these words are in it; rejects when it ends without them. */
  says(words: string | RegExp): Promise<string> {
    const look = (): string | undefined => {
      if (typeof words === "string" ? this.output.includes(words) : words.test(this.output)) return this.output;
      if (this.#end !== undefined) throw new Error(`waited for ${String(words)}, but ${this.describe()}`);
      return undefined;
    };
    return this.#waiting.wait(look, () => `${String(words)}: ${this.describe()}`);
  }

  /** Whether it has ended. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** Resolves with its code, or the signal that ended it, when all it wrote is there. */
  exited(withinMs?: number): Promise<string> {
    return this.#waiting.wait(
      () => this.#end,
      () => `the end of ${this.describe()}`,
      withinMs,
    );
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  describe(): string {
    const life = this.#end === undefined ? "runs" : `ended with ${this.#end}`;
    return `${this.name} ${life}; it wrote:\n${this.output.slice(-3000)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#endWith !== "SIGKILL") {
      this.#process.kill(this.#endWith);
      await this.exited().catch(() => {});
    }
    this.#process.kill("SIGKILL");
    await this.exited();
  }

  async #follow(): Promise<void> {
    const { stdout, stderr, exited } = this.#process;
    await Promise.all([exited, this.#read(stdout, this.#stdout), this.#read(stderr, this.#stderr)]);
    this.#end = String(this.#process.signalCode ?? `code ${this.#process.exitCode}`);
    this.#waiting.changed();
  }

  async #read(stream: ReadableStream<Uint8Array>, chunks: Uint8Array[]): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      chunks.push(chunk);
      this.output += decoder.decode(chunk, { stream: true });
      this.#waiting.changed();
    }
  }
}

function command(name: ProgramName, args: readonly string[], { user }: ProgramOptions): string[] {
  const plain = [fileOf(name), ...args];
  if (user === undefined || user.uid === process.getuid!()) return plain;
  return [fileOf("setpriv"), `--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups", ...plain];
}

function surroundings({ env = {}, cwd }: ProgramOptions): { env: Record<string, string>; cwd?: string } {
  const names = ["PATH", "HOME", "TMPDIR"];
  const inherited = names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  return {
    env: { ...Object.fromEntries(inherited), LC_ALL: "C.UTF-8", ...env },
    ...(cwd === undefined ? {} : { cwd }),
  };
}
