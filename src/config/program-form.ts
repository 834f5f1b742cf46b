/** From the file's names to the program's: camelCase with units, a listener's timeouts merged. */
import { type Key, type Members, type Output, outputName } from "./declaration.ts";

/**
 * Turns validated values under the file's names into what the program sees. A value that is missing because it was
 * invalid stays missing, so that the checks across keys can run on what is there.
 */
export function programForm<M extends Members>(members: M, values: Record<string, unknown>): Output<M> {
  return renamed(members, values) as Output<M>;
}

function renamed(
  members: Members,
  values: Record<string, unknown>,
  root?: Record<string, unknown>,
): Record<string, unknown> {
  const output: Record<string, unknown> = {};
  // The table that this one overrides stands at the top level, declared before it.
  const top = root ?? output;
  for (const [tomlName, member] of Object.entries(members)) {
    const name = outputName(tomlName, member);
    const value = values[tomlName];
    switch (member.sort) {
      case "key":
        output[name] = isIncomplete(member, value) ? undefined : value;
        break;
      case "table":
        output[name] = renamed(member.members, asTable(value), top);
        break;
      case "optional table":
        output[name] = value === undefined ? undefined : renamed(member.members, asTable(value), top);
        break;
      case "overrides":
        output[name] = { ...asTable(top[name]), ...written(renamed(member.members, asTable(value), top)) };
        break;
      case "tables":
        output[name] = Array.isArray(value) ? value.map((entry) => renamed(member.members, asTable(entry), top)) : [];
        break;
    }
  }
  return output;
}

/** A list with an invalid element is missing as a whole. Only where elements may be tables is each looked at alone. */
function isIncomplete(member: Key, value: unknown): boolean {
  return member.element === undefined && Array.isArray(value) && value.includes(undefined);
}

function asTable(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function written(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
