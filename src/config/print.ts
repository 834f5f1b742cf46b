/** The effective configuration as TOML that loads again to the same configuration. */
import { type Key, type Members, outputName, type Table } from "./declaration.ts";
import { type Config, declaration } from "./schema.ts";
import { overshadowedTimeouts } from "./timeout-order.ts";
import { type TomlValue, tomlText } from "./toml-text.ts";

/** What stands for a secret. */
const MASK = "********";

/**
 * Every key that is built, defaults included; secrets are masked. Tables that are off are left out, and a listener shows
 * the timeouts that differ from the global ones.
 */
export function printConfig(config: Config): string {
  const parts: string[] = [];
  for (const [name, member] of Object.entries(declaration)) {
    const comments = name === "timeouts" ? overshadowedDefaults(config) : undefined;
    for (const entry of entriesOf(name, member, config)) {
      const lines: string[] = [];
      addTable(lines, name, member, entry, config, comments);
      parts.push(lines.join("\n"));
    }
  }
  return `${parts.join("\n\n")}\n`;
}

/** What the program sees under a name in a table. */
type Values = Readonly<Record<string, unknown>>;

/** The tables that a member is printed as: none, one, or one for each entry. */
function entriesOf(name: string, member: Table, values: Values): Values[] {
  const value = values[outputName(name, member)];
  if (value === undefined) return [];
  return Array.isArray(value) ? (value as Values[]) : [value as Values];
}

/** `path` is the table's name with those it is in; a key with a comment is printed as a comment. */
function addTable(
  lines: string[],
  path: string,
  table: Table,
  values: Values,
  config: Config,
  comments?: ReadonlyMap<string, string>,
): void {
  lines.push(table.sort === "tables" ? `[[${path}]]` : `[${path}]`);
  const members = Object.entries(table.members);
  for (const [name, member] of members) {
    if (member.sort !== "key") continue;
    const comment = comments?.get(name);
    const line = `${name} = ${tomlText(shown(member, values[outputName(name, member)]))}`;
    lines.push(comment === undefined ? line : `# ${line}   ${comment}`);
  }
  // Behind the keys: in TOML a key belongs to the header above it.
  for (const [name, member] of members) {
    if (member.sort === "key") continue;
    for (const entry of entriesOf(name, member, values)) {
      const printed = member.sort === "overrides" ? differing(member, entry, globalsOf(name, member, config)) : member;
      if (Object.keys(printed.members).length > 0) addTable(lines, `${path}.${name}`, printed, entry, config);
    }
  }
}

function shown(key: Key, value: unknown): TomlValue {
  const written = key.kind.toToml(value);
  return key.kind.secret ? masked(written) : written;
}

/** Of a table of secrets the names stay. */
function masked(value: TomlValue): TomlValue {
  if (value === "") return value;
  if (typeof value !== "object" || Array.isArray(value)) return MASK;
  return Object.fromEntries(Object.entries(value).map(([name, inside]) => [name, masked(inside)]));
}

/** The table with the keys alone whose values differ from those of the table that it overrides. */
function differing(table: Table, own: Values, globals: Values): Table {
  const members = Object.entries(table.members).filter(([name, member]) => {
    const inside = outputName(name, member);
    return own[inside] !== globals[inside];
  });
  return { ...table, members: Object.fromEntries(members) satisfies Members };
}

function globalsOf(name: string, table: Table, config: Config): Values {
  return Reflect.get(config, outputName(name, table)) as Values;
}

/** Written down, a default that a shorter timeout overshadows would be refused as a mistake; as a comment it still informs. */
function overshadowedDefaults(config: Config): ReadonlyMap<string, string> {
  return new Map(
    overshadowedTimeouts(config.timeouts).map(({ never, first }) => [never, `the default; ${first} fires first`]),
  );
}
