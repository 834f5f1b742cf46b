/** The notify socket of a service manager, as socat has it: what a program tells of itself, a line for each assignment. */
import { start, type Program } from "./programs.ts";
import { socketFolder, type SocketFolder } from "./socket-folder.ts";
import { until } from "./until.ts";
import { existsSync, readFileSync } from "node:fs";

/** Listens at a path of its own, or at an abstract name. */
export async function listenForNotifications({ abstract = false } = {}): Promise<NotifySocket> {
  const folder = socketFolder();
  const path = folder.path("notify");
  const program = start("socat", ["-u", abstract ? `ABSTRACT-RECV:${path}` : `UNIX-RECV:${path}`, "STDOUT"]);
  const there = (): boolean =>
    abstract ? readFileSync("/proc/net/unix", "utf8").includes(`@${path}`) : existsSync(path);
  await until(there, () => `the notify socket: ${program.describe()}`);
  return new NotifySocket(folder, abstract ? `@${path}` : path, program);
}

/** See `listenForNotifications`. */
export class NotifySocket {
  /** As NOTIFY_SOCKET has it. */
  readonly address: string;
  readonly #folder: SocketFolder;
  readonly #program: Program;

  constructor(folder: SocketFolder, address: string, program: Program) {
    this.#folder = folder;
    this.address = address;
    this.#program = program;
  }

  /** What has come so far. */
  get lines(): string[] {
    return this.#program.stdout.split("\n").slice(0, -1);
  }

  /** Resolves when it was told this. */
  async told(line: string | RegExp): Promise<void> {
    const found = (): boolean => this.lines.some((one) => (typeof line === "string" ? one === line : line.test(one)));
    await until(found, () => `${String(line)}; it was told ${JSON.stringify(this.lines)}`);
  }

  /** Reads nothing more. */
  suspend(): void {
    this.#program.signal("SIGSTOP");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}
