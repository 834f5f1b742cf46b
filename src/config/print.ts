/** The effective configuration as TOML that loads again to the same configuration. */
import { isHidden, type Members, outputName } from "./declaration.ts";
import { type Config, declaration } from "./schema.ts";
import { overshadowedTimeouts } from "./timeout-order.ts";
import { type TomlValue, tomlText } from "./toml-text.ts";

/** What stands for a secret. */
const MASK = "********";

/** Every key that is built, defaults included; secrets are masked. A listener shows the timeouts that differ from the global ones. */
export function printConfig(config: Config): string {
  const lines: string[] = [];
  for (const [name, member] of Object.entries(declaration)) {
    if (isHidden(member)) continue;
    const value: unknown = Reflect.get(config, outputName(name, member));
    if (value === undefined) continue;
    const entries = Array.isArray(value) ? value : [value];
    for (const entry of entries) {
      lines.push(Array.isArray(value) ? `[[${name}]]` : `[${name}]`);
      addKeys(lines, member.members, entry, name === "timeouts" ? overshadowedDefaults(config) : new Map());
      addOverrides(lines, name, member.members, entry, config);
      lines.push("");
    }
  }
  return lines.join("\n").trimEnd() + "\n";
}

function addKeys(
  lines: string[],
  members: Members,
  values: Record<string, unknown>,
  asComments: Map<string, string>,
): void {
  for (const [name, member] of Object.entries(members)) {
    if (member.sort !== "key" || isHidden(member)) continue;
    const value = values[outputName(name, member)];
    const shown: TomlValue = member.kind.secret && value !== "" ? MASK : member.kind.toToml(value);
    const comment = asComments.get(name);
    lines.push(comment === undefined ? `${name} = ${tomlText(shown)}` : `# ${name} = ${tomlText(shown)}   ${comment}`);
  }
}

function addOverrides(
  lines: string[],
  entryName: string,
  members: Members,
  entry: Record<string, unknown>,
  config: Config,
): void {
  for (const [name, member] of Object.entries(members)) {
    if (member.sort !== "overrides") continue;
    const output = outputName(name, member);
    const globals = Reflect.get(config, output) as Record<string, unknown>;
    const own = entry[output] as Record<string, unknown>;
    const differing = Object.entries(member.members).filter(([key, inner]) => {
      const inside = outputName(key, inner);
      return !isHidden(inner) && own[inside] !== globals[inside];
    });
    if (differing.length === 0) continue;
    lines.push(`[${entryName}.${name}]`);
    addKeys(lines, Object.fromEntries(differing), own, new Map());
  }
}

/** Written down, a default that a shorter timeout overshadows would be refused as a mistake; as a comment it still informs. */
function overshadowedDefaults(config: Config): Map<string, string> {
  return new Map(
    overshadowedTimeouts(config.timeouts).map(({ never, first }) => [never, `the default; ${first} fires first`]),
  );
}
