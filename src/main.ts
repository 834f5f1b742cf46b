#!/usr/bin/env bun
/** The process: arguments and environment in, exit code out. The only home of `process.exit` and `process.env`. */
import { write, writeSync } from "node:fs";
import { commandLine } from "./cli/command-line.ts";
import { Terminal } from "./cli/terminal.ts";
import { Signals } from "./lifecycle/signals.ts";

const code = await commandLine(process.argv.slice(2), {
  env: process.env,
  isTerminal: process.stdout.isTTY === true,
  out: (text) => writeWhole(1, text),
  err: (text) => writeWhole(2, text),
  write: writeOutput,
  terminal: () => new Terminal(writeOutput),
  signals: () => new Signals(),
});
process.exit(code);

/**
 * Written before the process may exit, unlike what goes through a stream. A reader that has gone is nobody's loss, and a
 * slow one is waited for: a pipe does not block when another process that writes to it has made it so.
 */
function writeWhole(fd: 1 | 2, text: string): void {
  const bytes = Buffer.from(text);
  for (let offset = 0; offset < bytes.length;) {
    try {
      offset += writeSync(fd, bytes, offset);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EPIPE") return;
      if (code === "EAGAIN") Bun.sleepSync(1);
      else return cannotWrite(fd, code);
    }
  }
}

/** A full disk, a closed descriptor: what was asked for can't be had. */
function cannotWrite(fd: 1 | 2, code: string | undefined): never {
  if (fd === 1) writeWhole(2, `sluice: cannot write to standard output: ${code}\n`);
  process.exit(1);
}

/**
 * Waits for a slow reader in a thread of the pool, so that signals get through meanwhile. A pipe that another process has
 * made non-blocking is tried again.
 */
async function writeOutput(text: string): Promise<boolean> {
  const bytes = Buffer.from(text);
  for (let offset = 0; offset < bytes.length;) {
    const written = await new Promise<number | string>((settle) => {
      write(1, bytes, offset, bytes.length - offset, null, (error, count) => settle(error?.code ?? count));
    });
    if (typeof written === "number") offset += written;
    else if (written !== "EAGAIN") return false;
    else await Bun.sleep(10);
  }
  return true;
}
