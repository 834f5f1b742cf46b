/** A terminal of tmux's with one program in it: its screen, its keys, its size. */
import { writeFileSync } from "node:fs";
import { call, start, type Program } from "./programs.ts";
import { socketFolder, type SocketFolder } from "./socket-folder.ts";
import { until } from "./until.ts";

/** How many characters the terminal shows. */
export interface TmuxSize {
  readonly columns: number;
  readonly rows: number;
}

/** Starts a command in a terminal of its own; its output, errors and exit code are on the screen. */
export async function startInTmux(
  command: readonly string[],
  { columns, rows }: TmuxSize,
  env: Readonly<Record<string, string>> = {},
): Promise<Tmux> {
  const folder = socketFolder();
  const socket = folder.path("tmux");
  const variables = Object.entries(env).map(([name, value]) => `${name}=${quoted(value)} `);
  // What follows shows whether the screen, the cursor and the modes of the terminal are as they were.
  const shell = `echo before; ${variables.join("")}${command.map(quoted).join(" ")}; echo "ended with $?"; stty -a; exec cat`;
  // In the foreground, so that it ends with the test, whatever becomes of that.
  const server = start("tmux", ["-S", socket, "-f", "/dev/null", "-D"], { endWith: "SIGTERM" });
  const tmux = new Tmux(folder, socket, server);
  await until(
    async () => {
      const session = ["new-session", "-d", "-s", "test", "-x", String(columns), "-y", String(rows), shell];
      return call("tmux", ["-S", socket, "-u", ...session]).then(
        () => true,
        () => false,
      );
    },
    () => `tmux to take a session: ${server.describe()}`,
  );
  return tmux;
}

/** See `startInTmux`; ended with all that runs in it at the end of its scope. */
export class Tmux {
  readonly #folder: SocketFolder;
  readonly #socket: string;
  readonly #server: Program;

  constructor(folder: SocketFolder, socket: string, server: Program) {
    this.#folder = folder;
    this.#socket = socket;
    this.#server = server;
  }

  /** Resolves with the lines of the screen once `accepts` does; without blanks at their ends. */
  async shows(accepts: (lines: string[]) => boolean, what: string): Promise<string[]> {
    let lines: string[] = [];
    await until(
      async () => {
        lines = await this.screen();
        return accepts(lines);
      },
      () => `${what}; on the screen is\n${lines.join("\n")}`,
    );
    return lines;
  }

  /** The lines of the screen; `escapes`: with the colours that they are shown in. */
  async screen(escapes = false): Promise<string[]> {
    const { stdout } = await this.#call("capture-pane", "-p", ...(escapes ? ["-e"] : []), "-t", "test");
    return stdout
      .replace(/\n$/, "")
      .split("\n")
      .map((line) => line.trimEnd());
  }

  /** What tmux knows of the terminal: `cursor_flag`, `alternate_on`, `pane_title`, `wrap_flag`, `pane_pid`. */
  async knows(variable: string): Promise<string> {
    return (await this.#call("display-message", "-p", "-t", "test", `#{${variable}}`)).stdout.trim();
  }

  /** Presses keys, by tmux's names of them: `q`, `C-c`, `Up`. */
  async press(...keys: string[]): Promise<void> {
    await this.#call("send-keys", "-t", "test", ...keys);
  }

  /** Leaves nothing on the screen, as another program would that writes to the same terminal. */
  async erase(): Promise<void> {
    writeFileSync(await this.knows("pane_tty"), "\x1b[2J");
  }

  async resize({ columns, rows }: TmuxSize): Promise<void> {
    await this.#call("resize-window", "-t", "test", "-x", String(columns), "-y", String(rows));
  }

  #call(...args: string[]): ReturnType<typeof call> {
    return call("tmux", ["-S", this.#socket, "-u", ...args]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#call("kill-server").catch(() => {});
    await this.#server[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

/** For a POSIX shell. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
