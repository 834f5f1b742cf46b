/** Where the configuration of a command comes from, and how its problems are told. */
import { networkInterfaces } from "node:os";
import { formatDiagnostic, type Diagnostic, type SystemFacts } from "../config/load.ts";
import { spliceDescriptors, spliceSessionsMax } from "../forward/splice/capacity.ts";
import { spliceMissing } from "../forward/splice/probe.ts";
import { descriptorLimit } from "../sys/descriptor-limit.ts";
import { UsageError, type CommandSurroundings } from "./surroundings.ts";

/** Descriptors kept for all that is not a session: listeners, the admin server, the log, the runtime. */
export const descriptorReserve = 64;

/** What of the machine a configuration has to fit. */
export function systemFacts(): SystemFacts {
  const fdLimit = descriptorLimit();
  const spliceFds = spliceMissing() === undefined ? spliceDescriptors(spliceSessionsMax(fdLimit)) : 0;
  return { fdLimit, fdReserve: descriptorReserve, spliceFds, localHosts: localHosts() };
}

/** The addresses of this machine. */
function localHosts(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address));
}

/** The file to read: as asked for, else as in the environment, else `config.toml`. Throws a `UsageError`. */
export function configFile(asked: string | undefined, { env }: CommandSurroundings): string {
  const file = asked ?? env["SLUICE_CONFIG"] ?? "config.toml";
  if (file === "") throw new UsageError("SLUICE_CONFIG is empty, wanted the path of a file");
  return file;
}

/** Writes each problem on a line of standard error. */
export function reportProblems(problems: readonly Diagnostic[], { err }: CommandSurroundings): void {
  err(problems.map((problem) => `${formatDiagnostic(problem)}\n`).join(""));
  err(`sluice: the configuration is not valid: ${count(problems.length, "problem")}\n`);
}

/** Writes each warning on a line of standard error. */
export function reportWarnings(warnings: readonly Diagnostic[], { err }: CommandSurroundings): void {
  err(warnings.map((warning) => `warning: ${formatDiagnostic(warning)}\n`).join(""));
}

/**
 * The same problems in the words that were typed, for a command whose arguments stand for keys: `typed` has the argument
 * by the key's path. What a variable or a file has brought in is called as it is there.
 */
export function inTypedWords(problems: readonly Diagnostic[], typed: ReadonlyMap<string, string>): Diagnostic[] {
  return problems.map(({ source, path, message }) => ({
    source,
    path: source.kind === "program" ? (typed.get(path) ?? path) : path,
    message: message.replace(/\b[a-z_]+\.[a-z_.]+\b/g, (key) => typed.get(key) ?? key),
  }));
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
