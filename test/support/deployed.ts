/** What lies in deploy/ and .github/workflows/, read for tests: YAML, units of systemd, configurations. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "../../src/config/load.ts";
import { spliceDescriptors, spliceSessionsMax } from "../../src/forward/splice/capacity.ts";
import { descriptorReserve } from "../../src/cli/configuration.ts";
import type { Config } from "../../src/config/schema.ts";

const root = join(import.meta.dir, "../..");

/** A mapping of YAML, as deep as it is asked. */
export type Node = Record<string, unknown>;

/** The text of a file of the repository. */
export function textOf(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** The files that a pattern finds, from the root of the repository on. */
export function filesLike(pattern: string): string[] {
  return [...new Bun.Glob(pattern).scanSync({ cwd: root, dot: true })].toSorted();
}

/** Whether the repository has it. */
export function isThere(path: string): boolean {
  return existsSync(join(root, path));
}

/** The documents of a file of YAML. */
export function documentsOf(path: string): Node[] {
  const parsed: unknown = Bun.YAML.parse(textOf(path));
  return (Array.isArray(parsed) ? parsed : [parsed]) as Node[];
}

/** What is at a place, `spec.template.spec.containers.0.image`; throws when nothing is there. */
export function at<T>(node: unknown, place: string): T {
  let found = node;
  for (const key of place.split(".")) found = (found as Node | undefined)?.[key];
  if (found === undefined) throw new Error(`nothing is at ${place} of ${JSON.stringify(node)?.slice(0, 200)}`);
  return found as T;
}

/** The settings of a unit of systemd, `Service.ExecStart`, each with all of its values. */
export function unitOf(path: string): Map<string, string[]> {
  const settings = new Map<string, string[]>();
  let section = "";
  for (const line of textOf(path).split("\n")) {
    if (/^\s*(?:[#;]|$)/.test(line)) continue;
    const heading = /^\[(\w+)\]$/.exec(line)?.[1];
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (heading !== undefined) section = heading;
    else if (key === undefined || value === undefined) throw new Error(`${path}: no line of a unit: ${line}`);
    else settings.set(`${section}.${key}`, [...(settings.get(`${section}.${key}`) ?? []), value]);
  }
  return settings;
}

/** The one object of deploy/kubernetes of this kind and name. */
export function kubernetesObject(kind: string, name: string): Node {
  const objects = filesLike("deploy/kubernetes/*.yaml").flatMap((path) => documentsOf(path));
  const found = objects.filter((it) => it["kind"] === kind && (it["metadata"] as Node | undefined)?.["name"] === name);
  if (found.length !== 1) throw new Error(`${found.length} objects are ${kind} ${name}`);
  return found[0]!;
}

/** The only value of a setting of a unit. */
export function settingOf(unit: ReadonlyMap<string, string[]>, setting: string): string {
  const values = unit.get(setting) ?? [];
  if (values.length !== 1) throw new Error(`${setting} has ${values.length} values`);
  return values[0]!;
}

/** The three configurations. */
export interface DeployedConfigs {
  readonly compose: Config;
  readonly kubernetes: Config;
  readonly systemd: Config;
}

/** A pod has the limit of descriptors of its node: this is the lowest of the usual ones, which the configuration counts on. */
const podDescriptors = 65_536;

/** What all of deploy/ configures, as `sluice check` takes it where it is to run. */
export async function deployedConfigs(): Promise<DeployedConfigs> {
  const inCompose = at<number>(documentsOf("deploy/compose.yaml")[0], "services.proxy.ulimits.nofile.hard");
  const inService = Number(settingOf(unitOf("deploy/systemd/sluice.service"), "Service.LimitNOFILE"));
  return {
    compose: await configOf("deploy/compose/config.toml", inCompose),
    kubernetes: await configOf("deploy/kubernetes/config.toml", podDescriptors),
    systemd: await configOf("deploy/systemd/config.toml", inService),
  };
}

/** A configuration where so many descriptors may be open; throws with every problem and warning. */
async function configOf(path: string, fdLimit: number): Promise<Config> {
  const spliceFds = spliceDescriptors(spliceSessionsMax(fdLimit));
  const facts = { fdLimit, fdReserve: descriptorReserve, spliceFds };
  const loaded = await loadConfig(join(root, path), { SLUICE_ADMIN_TOKEN: "secret" }, facts);
  const said = loaded.ok ? loaded.warnings : loaded.problems;
  if (!loaded.ok || said.length > 0) throw new Error(said.map((line) => `${path}: ${line.message}`).join("\n"));
  return loaded.config;
}

/** The port of an address of the configuration. */
export function portOf(address: { kind: string; port?: number }): number {
  if (address.port === undefined)
    throw new Error(`wanted an address with a port, found one of the kind ${address.kind}`);
  return address.port;
}

/** `45s`, `1m30s` or a number of seconds, in milliseconds. */
export function durationMs(text: string | number): number {
  if (/^\d+$/.test(String(text))) return Number(text) * 1000;
  const parts = [...String(text).matchAll(/(\d+)(ms|s|m|h)/g)];
  const unitsMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  if (parts.map(([part]) => part).join("") !== text || parts.length === 0) throw new Error(`no duration: ${text}`);
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * unitsMs[unit!]!, 0);
}
