/** The words of a problem: what was found and what was wanted. */

/** The longest piece of the user's own text that a message repeats. */
const SHOWN_CHARS_MAX = 60;

/** Makes the message of a value that does not fit: `found 5, wanted a duration such as "5s"`. */
export function found(wanted: string): (issue: { input: unknown }) => string {
  return (issue) => `found ${describe(issue.input)}, wanted ${wanted}`;
}

/** As {@link found}, for a value that must not be shown: only what sort of value it is. */
export function foundSecret(wanted: string): (issue: { input: unknown }) => string {
  return (issue) =>
    `found ${typeof issue.input === "string" ? "text with other characters" : sortOf(issue.input)}, wanted ${wanted}`;
}

/** A value in a few words on one line; text is quoted and cut to size. */
export function describe(value: unknown): string {
  if (typeof value === "string") {
    return JSON.stringify(value.length > SHOWN_CHARS_MAX ? `${value.slice(0, SHOWN_CHARS_MAX)}…` : value);
  }
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return sortOf(value);
}

/** What sort of value it is, and nothing of the value itself. */
export function sortOf(value: unknown): string {
  if (typeof value === "string") return "text";
  if (value === undefined || value === null) return "nothing";
  if (typeof value === "bigint") return "a number that is too large";
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date or time";
  if (typeof value === "object") return "a table";
  return `a ${typeof value}`;
}
