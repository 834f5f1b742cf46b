/** The command line: finds the command, runs it, and turns what went wrong into a message and an exit code. */
import { didYouMean } from "../core/did-you-mean.ts";
import type { Command } from "./command.ts";
import { exitCodes, UsageError, type CommandSurroundings } from "./surroundings.ts";
import { version } from "./version.ts";

/** A command before it is loaded: what it takes is not there for the others, of which `health` is run every few seconds. */
interface CommandEntry {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  load(): Promise<Command>;
}

const run: CommandEntry = {
  name: "run",
  summary: "run the proxy (the default command)",
  load: async () => (await import("./run.ts")).run,
};

const commands: readonly CommandEntry[] = [
  run,
  { name: "check", summary: "validate the configuration", load: async () => (await import("./check.ts")).check },
  { name: "forward", summary: "a proxy without a file", load: async () => (await import("./forward.ts")).forward },
  {
    name: "demo",
    summary: "two HTTP backends, the proxy and the admin server, on loopback",
    load: async () => (await import("./demo.ts")).demo,
  },
  {
    name: "schema",
    summary: "write the JSON Schema of the configuration",
    load: async () => (await import("./schema.ts")).schema,
  },
  {
    name: "health",
    summary: "ask a running sluice whether it is ready",
    load: async () => (await import("./health.ts")).health,
  },
  {
    name: "top",
    summary: "watch a running sluice: connections, rates, backends",
    load: async () => (await import("./top.ts")).top,
  },
];

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
  if (first === undefined) return (await run.load()).execute([], surroundings);
  switch (first) {
    case "--version":
    case "-v":
      surroundings.out(`sluice ${version} (Bun ${Bun.version})\n`);
      return exitCodes.done;
    case "--help":
    case "-h":
    case "help":
      surroundings.out(await helpFor(first === "help" ? rest : []));
      return exitCodes.done;
  }
  // `run` is the default command: `sluice --config FILE`.
  if (first.startsWith("-")) return (await run.load()).execute(args, surroundings);
  const command = await named(first).load();
  if (rest.includes("--help") || rest.includes("-h")) {
    surroundings.out(commandHelp(command));
    return exitCodes.done;
  }
  return command.execute(rest, surroundings);
}

function named(name: string): CommandEntry {
  const command = commands.find((candidate) => candidate.name === name);
  if (command !== undefined) return command;
  const known = commands.map((candidate) => candidate.name);
  throw new UsageError(`unknown command "${name}"${didYouMean(name, known)}`);
}

async function helpFor(args: readonly string[]): Promise<string> {
  const [name, extra] = args;
  if (extra !== undefined) throw new UsageError(`unexpected argument "${extra}"`);
  return name === undefined ? generalHelp() : commandHelp(await named(name).load());
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
