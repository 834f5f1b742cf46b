/** Loading configurations in tests: from text in a file of its own, and from values, with every line as `sluice check` writes it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Assembled } from "../../src/config/assemble.ts";
import { configFromValue, formatDiagnostic, loadConfig, type SystemFacts } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";

/** A machine on which every limit that a test does not ask about fits. */
export const ROOMY: SystemFacts = { fdLimit: 1_048_576, fdReserve: 64 };

/** The smallest configuration, as a value; a fresh copy each time. */
export function minimal(): { listener: Record<string, unknown>[]; backend: Record<string, unknown>[] } {
  return {
    listener: [{ name: "web", listen: "127.0.0.1:8080", backend: "app" }],
    backend: [{ name: "app", endpoints: ["127.0.0.1:9000"] }],
  };
}

/** The minimal configuration's only listener with further keys, as an extra for {@link fromValue}. */
export function listenerWith(keys: Record<string, unknown>): { listener: Record<string, unknown>[] } {
  return { listener: [{ ...minimal().listener[0], ...keys }] };
}

/** The same for its only backend. */
export function backendWith(keys: Record<string, unknown>): { backend: Record<string, unknown>[] } {
  return { backend: [{ ...minimal().backend[0], ...keys }] };
}

/** The minimal configuration as text, nine lines without a blank one at its end. */
export const MINIMAL_TOML = [
  "[[listener]]",
  'name = "web"',
  'listen = "127.0.0.1:8080"',
  'backend = "app"',
  "",
  "[[backend]]",
  'name = "app"',
  'endpoints = ["127.0.0.1:9000"]',
  "",
].join("\n");

/** What loading came to, in lines. Exactly one of `config` and `problems` is there. */
export interface Loaded {
  config: Config | undefined;
  problems: string[];
  warnings: string[];
}

/** Lays `extra` over the minimal configuration (table by table) and loads the result. */
export function fromValue(
  extra: Record<string, unknown> = {},
  env: Record<string, string> = {},
  system: SystemFacts = ROOMY,
): Loaded {
  return inLines(configFromValue({ ...minimal(), ...extra }, env, system));
}

/** The configuration that `value` gives; fails with its problems where it gives none. */
export function configOf(extra: Record<string, unknown> = {}, env: Record<string, string> = {}): Config {
  const { config, problems } = fromValue(extra, env);
  if (config === undefined) throw new Error(`expected a valid configuration, found:\n${problems.join("\n")}`);
  return config;
}

/** A folder that is there as long as it is in scope. Lines show its files without it: `config.toml:3:1 …`. */
export class ConfigFolder {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  static async open(): Promise<ConfigFolder> {
    return new ConfigFolder(await mkdtemp(join(tmpdir(), "sluice-config-")));
  }

  /** Where `name` is or would be in this folder. */
  at(name: string): string {
    return join(this.#path, name);
  }

  /** Writes a file and returns its path. */
  async write(name: string, content: string | Uint8Array): Promise<string> {
    await writeFile(this.at(name), content);
    return this.at(name);
  }

  /** Writes config.toml and loads it. */
  async load(
    content: string | Uint8Array,
    env: Record<string, string> = {},
    system: SystemFacts = ROOMY,
  ): Promise<Loaded> {
    return this.loadFile(await this.write("config.toml", content), env, system);
  }

  /** Loads whatever there is at `path`. */
  async loadFile(path: string, env: Record<string, string> = {}, system: SystemFacts = ROOMY): Promise<Loaded> {
    const { config, problems, warnings } = inLines(await loadConfig(path, env, system));
    const short = (line: string) => line.replaceAll(`${this.#path}/`, "");
    return { config, problems: problems.map(short), warnings: warnings.map(short) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#path, { recursive: true });
  }
}

/** What was assembled, each diagnostic as its line. */
function inLines(assembled: Assembled): Loaded {
  return assembled.ok
    ? { config: assembled.config, problems: [], warnings: assembled.warnings.map(formatDiagnostic) }
    : { config: undefined, problems: assembled.problems.map(formatDiagnostic), warnings: [] };
}
