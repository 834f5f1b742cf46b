/** The command line: finds the command, runs it, and turns what went wrong into a message and an exit code. */
import { didYouMean } from "../core/did-you-mean.ts";
import { check } from "./check.ts";
import type { Command } from "./command.ts";
import { demo } from "./demo.ts";
import { forward } from "./forward.ts";
import { run } from "./run.ts";
import { schema } from "./schema.ts";
import { exitCodes, UsageError, type CommandSurroundings } from "./surroundings.ts";
import { version } from "./version.ts";

const commands: readonly Command[] = [run, check, forward, demo, schema];

/** Runs what the arguments ask for and returns the exit code. Rejects only for a mistake of our own. */
export async function commandLine(args: readonly string[], surroundings: CommandSurroundings): Promise<number> {
  try {
    return await execute(args, surroundings);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    surroundings.err(`sluice: ${error.message}\nTry "sluice help".\n`);
    return exitCodes.usage;
  }
}

async function execute(args: readonly string[], surroundings: CommandSurroundings): Promise<number> {
  const [first, ...rest] = args;
  if (first === undefined) return run.execute([], surroundings);
  switch (first) {
    case "--version":
    case "-v":
      surroundings.out(`sluice ${version} (Bun ${Bun.version})\n`);
      return exitCodes.done;
    case "--help":
    case "-h":
    case "help":
      surroundings.out(helpFor(first === "help" ? rest : []));
      return exitCodes.done;
  }
  // `run` is the default command: `sluice --config FILE`.
  if (first.startsWith("-")) return run.execute(args, surroundings);
  const command = named(first);
  if (rest.includes("--help") || rest.includes("-h")) {
    surroundings.out(commandHelp(command));
    return exitCodes.done;
  }
  return command.execute(rest, surroundings);
}

function named(name: string): Command {
  const command = commands.find((candidate) => candidate.name === name);
  if (command !== undefined) return command;
  const known = commands.map((candidate) => candidate.name);
  throw new UsageError(`unknown command "${name}"${didYouMean(name, known)}`);
}

function helpFor(args: readonly string[]): string {
  const [name, extra] = args;
  if (extra !== undefined) throw new UsageError(`unexpected argument "${extra}"`);
  return name === undefined ? generalHelp() : commandHelp(named(name));
}

function commandHelp({ usage, help }: Command): string {
  return `usage: ${usage}\n\n${help}\n`;
}

function generalHelp(): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const list = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join("\n");
  return `sluice ${version}: a TCP proxy that drains without losing a byte and says why every connection ended

usage: sluice [COMMAND] [OPTIONS]

${list}

  sluice help COMMAND   what a command does and takes
  sluice --version      the version
`;
}
