/** The real program with a configuration file that a test rewrites, and the two ways to have it read again. */
import { renameSync } from "node:fs";
import { ConfigFolder } from "./configuration.ts";
import { type LogLine, Sluice, startSluice } from "./sluice.ts";

/** What `POST /reload` answered. */
export interface ReloadAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** What the line that a reload ends with says in the log. */
const endings = ["configuration reloaded", "configuration not reloaded: nothing has changed"];

/** A running program; at the end of its scope it is killed. */
export class ReloadingSluice {
  readonly program: Sluice;
  readonly file: string;
  readonly #folder: ConfigFolder;

  private constructor(program: Sluice, folder: ConfigFolder, file: string) {
    this.program = program;
    this.#folder = folder;
    this.file = file;
  }

  /** Resolves when it is ready. */
  static async start(config: string): Promise<ReloadingSluice> {
    const folder = await ConfigFolder.open();
    const file = await folder.write("config.toml", config);
    const program = await startSluice({ args: ["run", "--config", file] });
    await program.ready();
    return new ReloadingSluice(program, folder, file);
  }

  get pid(): number {
    return this.program.pid;
  }

  /** Puts another configuration in the place of the one that there is, at once. */
  async rewrite(config: string): Promise<void> {
    renameSync(await this.#folder.write("config.toml.new", config), this.file);
  }

  /** Sends SIGHUP, and resolves with the line that says what came of it. */
  async hangUp(): Promise<LogLine> {
    const isEnding = ({ msg, by }: LogLine) => endings.includes(msg) && by === "SIGHUP";
    const before = this.program.log.filter(isEnding).length;
    this.program.signal("SIGHUP");
    let ending: LogLine | undefined;
    await this.program.logged(() => {
      ending = this.program.log.filter(isEnding)[before];
      return ending !== undefined;
    }, "what came of SIGHUP");
    return ending!;
  }

  /** Asks the admin server, over a connection that does not stay open. */
  async post(): Promise<ReloadAnswer> {
    const answer = await fetch(`${await this.program.adminUrl()}/reload`, {
      method: "POST",
      headers: { connection: "close" },
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  }

  /** What the admin server says of the program. */
  async status(): Promise<Record<string, unknown>> {
    const answer = await fetch(`${await this.program.adminUrl()}/status`, { headers: { connection: "close" } });
    return (await answer.json()) as Record<string, unknown>;
  }

  /** Problems as they are told, without the folder of the file. */
  withoutFolder(lines: unknown): string[] {
    return (lines as string[]).map((line) => line.replaceAll(this.#folder.at("/"), ""));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}
