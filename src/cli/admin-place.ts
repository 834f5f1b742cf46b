/** Where a command finds the admin server, and with which token: options, environment, configuration, in this order. */
import { readFileSync } from "node:fs";
import { parseAddress } from "../core/address.ts";
import { isSendable, parseAdminUrl, urlOf } from "./admin-client.ts";
import { UsageError, type CommandSurroundings } from "./surroundings.ts";

/** Where it is when nobody says so. */
export const adminDefault = "http://127.0.0.1:9900";

/** Where to ask, and as whom. */
export interface AdminPlace {
  readonly url: string;
  /** Empty = none. */
  readonly token: string;
}

/** What was typed. */
export interface AdminOptions {
  readonly admin?: string | undefined;
  readonly config?: string | undefined;
  readonly "token-file"?: string | undefined;
}

/** What the configuration file says of it, as it is written there; `undefined` for what it does not say. */
export interface ConfiguredAdmin {
  readonly file: string;
  readonly listen: string | undefined;
  readonly token: string | undefined;
}

/** The largest file that a variable or an option may name; a larger one is refused. */
const valueBytesMax = 64 * 1024;

/**
 * Finds the server. The token of the configuration file belongs to the server that is configured there: with `--admin` it is
 * only used where `--config` says so. Without `needsToken` there is none, and nothing is read for it. Throws a `UsageError`.
 */
export async function adminPlace(
  options: AdminOptions,
  surroundings: CommandSurroundings,
  { needsToken }: { readonly needsToken: boolean },
): Promise<AdminPlace> {
  const listen = options.admin === undefined ? valueOf("SLUICE_ADMIN_LISTEN", surroundings.env) : undefined;
  const given = needsToken ? givenToken(options, surroundings) : "";
  const known = options.admin !== undefined || listen !== undefined;
  const tokenMayBeThere = given === undefined && (options.admin === undefined || options.config !== undefined);
  const configured = !known || tokenMayBeThere ? await configuredAdmin(options, surroundings, known) : undefined;
  const token = given ?? configured?.token ?? "";
  if (token !== "" && !isSendable(token)) {
    throw new UsageError("the token can't be sent: found blanks or characters beyond ASCII, wanted neither");
  }
  return { url: urlFrom(options.admin, listen, configured), token };
}

/** `undefined` when neither an option nor the environment has one. */
function givenToken(options: AdminOptions, { env }: CommandSurroundings): string | undefined {
  const file = options["token-file"];
  return file === undefined ? valueOf("SLUICE_ADMIN_TOKEN", env) : readValue("--token-file", file);
}

function urlFrom(
  typed: string | undefined,
  listen: string | undefined,
  configured: ConfiguredAdmin | undefined,
): string {
  if (typed !== undefined) {
    const url = parseAdminUrl(typed);
    if (url.ok) return url.value;
    throw new UsageError(`option "--admin": found "${typed}", wanted ${url.wanted}`);
  }
  if (listen !== undefined) return listeningAt(listen, "SLUICE_ADMIN_LISTEN");
  if (configured === undefined) return adminDefault;
  if (configured.listen !== undefined) return listeningAt(configured.listen, `${configured.file}: admin.listen`);
  throw new UsageError(`${configured.file} has no admin server ([admin] with listen), wanted one, or --admin URL`);
}

function listeningAt(text: string, where: string): string {
  const address = parseAddress(text);
  if (!address.ok) throw new UsageError(`${where}: found "${text}", wanted ${address.wanted}`);
  if (address.value.kind === "unix")
    throw new UsageError(`${where}: found a Unix socket, wanted an address with a port`);
  if (address.value.port === 0) {
    throw new UsageError(`${where}: port 0 takes a free port, which only the log tells; wanted --admin URL`);
  }
  return urlOf(address.value);
}

/** `undefined` where there is no file, and nobody has named one. */
async function configuredAdmin(
  { config }: AdminOptions,
  surroundings: CommandSurroundings,
  optional: boolean,
): Promise<ConfiguredAdmin | undefined> {
  // The readers of the configuration are loaded where one is read: a health check with --admin does without.
  const { readConfiguredAdmin } = await import("./configured-admin.ts");
  return readConfiguredAdmin(config, surroundings, optional);
}

/** The value of a variable, or of the file that its _FILE form names, as for `sluice run`. */
function valueOf(variable: string, env: CommandSurroundings["env"]): string | undefined {
  const [value, file] = [env[variable], env[`${variable}_FILE`]];
  if (file === undefined) return value;
  if (value !== undefined)
    throw new UsageError(`${variable} and ${variable}_FILE are both set, wanted only one of the two`);
  return readValue(`${variable}_FILE`, file);
}

/** The text of a small file without its line end. */
function readValue(of: string, path: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const code = String((error as { code?: unknown } | null)?.code ?? error);
    const found = code === "ENOENT" ? "no such file" : code === "EACCES" ? "permission denied" : code;
    throw new UsageError(`${of}: cannot read ${path}: ${found}`);
  }
  if (bytes.byteLength > valueBytesMax)
    throw new UsageError(`${of}: ${path} is larger than ${valueBytesMax / 1024} KiB`);
  return bytes.toString().replace(/\r?\n$/, "");
}
