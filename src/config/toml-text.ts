/** Writing TOML: only what the printed configuration and the reference need. */

/** A value as TOML has it. */
export type TomlValue = string | number | boolean | readonly TomlValue[] | { readonly [key: string]: TomlValue };

/** One value on one line. Numbers of five digits and more get "_" between thousands. */
export function tomlText(value: TomlValue): string {
  if (typeof value === "string") {
    // JSON's escapes are TOML's, but for DEL, which JSON leaves as it is.
    return JSON.stringify(value).replaceAll("\u007f", "\\u007f");
  }
  if (typeof value === "number") {
    return Number.isInteger(value) && Math.abs(value) >= 10_000
      ? value.toLocaleString("en-US").replaceAll(",", "_")
      : String(value);
  }
  if (typeof value === "boolean") return String(value);
  if (isList(value)) return `[${value.map(tomlText).join(", ")}]`;
  const entries = Object.entries(value).map(([key, inner]) => `${keyText(key)} = ${tomlText(inner)}`);
  return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
}

function keyText(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : tomlText(key);
}

function isList(value: TomlValue): value is readonly TomlValue[] {
  return Array.isArray(value);
}
