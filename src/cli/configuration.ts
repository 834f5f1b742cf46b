/** Where the configuration of a command comes from, and how its problems are told. */
import { networkInterfaces } from "node:os";
import { formatDiagnostic, loadConfig, type Diagnostic, type SystemFacts } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
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

/**
 * The addresses of this machine; none where the system does not tell them, such as under a RestrictAddressFamilies= of
 * systemd without AF_NETLINK: then an endpoint that leads back to a listener by one of them is not found out.
 */
export function localHosts(interfaces: typeof networkInterfaces = networkInterfaces): string[] {
  try {
    return Object.values(interfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address));
  } catch {
    return [];
  }
}

/** The file to read: as asked for, else as in the environment, else `config.toml`. Throws a `UsageError`. */
export function configFile(asked: string | undefined, { env }: CommandSurroundings): string {
  const file = asked ?? env["SLUICE_CONFIG"] ?? "config.toml";
  if (file === "") throw new UsageError("SLUICE_CONFIG is empty, wanted the path of a file");
  return file;
}

/** What reading the configuration again came to; problems and warnings are lines as they are told at start. */
export type Reread =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly problems: readonly string[] };

/**
 * Reads, whenever it is called, the same file again and the files that it and the environment name; the variables themselves
 * are those of now. A relative path is one of the folder that the process was started in, which it never leaves.
 * `system` is what the configuration had to fit at start: the runtime does not raise its limit of descriptors a second time
 * (Bun 1.4.5), and whether splicing works can't be tried out once the descriptors are used up. `engine` is the one that runs.
 */
export function rereading(
  file: string,
  env: CommandSurroundings["env"],
  system: SystemFacts,
  engine: Config["forwarding"]["engine"],
): () => Promise<Reread> {
  const variables = { ...env };
  const splices = engine !== "copy";
  return async () => {
    // The machine's addresses may be others by now.
    const loaded = await loadConfig(file, variables, { ...system, splices, localHosts: localHosts() }, "again");
    return loaded.ok
      ? { ok: true, config: loaded.config, warnings: loaded.warnings.map(formatDiagnostic) }
      : { ok: false, problems: loaded.problems.map(formatDiagnostic) };
  };
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
