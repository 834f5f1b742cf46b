/**
 * What a configuration file says of the admin server. Nothing else of the file is judged: a proxy that runs is not to be
 * called ill because its file has been edited since.
 */
import { existsSync } from "node:fs";
import { CONFIG_BYTES_MAX, formatDiagnostic, readTextFile, type Diagnostic } from "../config/load.ts";
import { parseToml } from "../config/toml.ts";
import type { ConfiguredAdmin } from "./admin-place.ts";
import { configFile } from "./configuration.ts";
import { UsageError, type CommandSurroundings } from "./surroundings.ts";

/**
 * Reads `asked`, else what the environment names, else config.toml; `undefined` when there is no config.toml, or when the
 * file can't be used and is `optional`. Throws a `UsageError` for a file that was named and can't be used.
 */
export function readConfiguredAdmin(
  asked: string | undefined,
  surroundings: CommandSurroundings,
  optional: boolean,
): ConfiguredAdmin | undefined {
  const file = configFile(asked, surroundings);
  const named = asked !== undefined || surroundings.env["SLUICE_CONFIG"] !== undefined;
  if (!named && !existsSync(file)) return undefined;
  const read = readTextFile(file, CONFIG_BYTES_MAX);
  if (!read.ok) {
    if (optional && asked === undefined) return undefined;
    throw new UsageError(`${file}: cannot read the configuration: ${read.found}`);
  }
  const parsed = parseToml(read.text);
  if (!parsed.ok) {
    if (optional && asked === undefined) return undefined;
    const { line, column, name, message } = parsed;
    const problem: Diagnostic = { source: { kind: "file", file, line, column }, path: name, message };
    throw new UsageError(formatDiagnostic(problem));
  }
  const admin = member(parsed.value, "admin");
  return { file, listen: textAt(admin, "listen"), token: textAt(admin, "token") };
}

function textAt(table: unknown, key: string): string | undefined {
  const value = member(table, key);
  return typeof value === "string" ? value : undefined;
}

function member(table: unknown, key: string): unknown {
  return typeof table === "object" && table !== null ? (table as Record<string, unknown>)[key] : undefined;
}
