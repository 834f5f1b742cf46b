/** What a command is given by the process it runs in. */
import type { Signals } from "../lifecycle/signals.ts";
import type { Terminal } from "./terminal.ts";

/** The process, as far as a command may see it; a test gives it another. */
export interface CommandSurroundings {
  /** The environment variables. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean;
  /** Writes to standard output or standard error; a line end is not added. */
  out(text: string): void;
  err(text: string): void;
  /**
   * Writes to standard output for a command that stays: without holding up the process while nobody reads, one text at a
   * time. `false`: nobody will read it any more.
   */
  write(text: string): Promise<boolean>;
  /** The terminal of the process; only where standard output is one. */
  terminal(): Terminal;
  /** Takes the signals over, for a command that stays; called first thing. */
  signals(): Signals;
}

/** The exit codes of the program. A signal's own (130, 143) are in lifecycle/signals.ts. */
export const exitCodes = {
  /** All work is finished. */
  done: 0,
  /** Something could not be started, or died. */
  failed: 1,
  /** Wrong usage, or a configuration that is not valid. */
  usage: 2,
  /** The drain deadline passed and connections were cut. */
  cut: 3,
} as const;

/** Something was asked for in a way that can't be understood; the message says how it is meant. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
