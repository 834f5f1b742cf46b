/** Durations as people write them ("250ms", "5s", "1m30s", "1h") and as the program counts them: whole milliseconds. */
import type { Parsed } from "./result.ts";

/** The longest duration that is accepted, 365 days; a longer one is refused, so a sum of a time and a duration stays exact. */
export const DURATION_MS_MAX = 365 * 24 * 60 * 60 * 1000;

/** What a duration looks like: hours, minutes, seconds, milliseconds, each at most once and in this order. Also used in the JSON Schema. */
export const DURATION_PATTERN = /^(?=.)(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?$/;

/** Reads a duration into milliseconds, 0 … {@link DURATION_MS_MAX}. Units are required and values whole. */
export function parseDurationMs(text: string): Parsed<number> {
  const match = DURATION_PATTERN.exec(text);
  if (match === null) return { ok: false, wanted: wantedInsteadOf(text) };
  const [, hours = "0", minutes = "0", seconds = "0", millis = "0"] = match;
  const durationMs = Number(hours) * 3_600_000 + Number(minutes) * 60_000 + Number(seconds) * 1000 + Number(millis);
  if (durationMs > DURATION_MS_MAX) {
    return { ok: false, wanted: `a duration of at most ${formatDurationMs(DURATION_MS_MAX)} (365 days)` };
  }
  return { ok: true, value: durationMs };
}

/** Writes milliseconds the way {@link parseDurationMs} reads them, with the fewest parts: 90_000 is "1m30s", 0 is "0s". */
export function formatDurationMs(durationMs: number): string {
  const millis = Math.round(durationMs);
  if (millis === 0) return "0s";
  let text = "";
  let rest = millis;
  for (const [unit, unitMs] of UNITS) {
    const count = Math.floor(rest / unitMs);
    rest -= count * unitMs;
    if (count > 0) text += `${count}${unit}`;
  }
  return text;
}

const UNITS = [
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1],
] as const;

const EXAMPLES = `"250ms", "5s", "1m30s" or "1h"`;

/** The hint that fits the mistake; the usual ones are a number without its unit, a sign, and a fraction. */
function wantedInsteadOf(text: string): string {
  if (/^[0-9]{1,12}$/.test(text)) return `a duration with its unit, such as "${text}s" or "${text}ms"`;
  if (/^\s*-/.test(text)) return `a duration that is not negative, such as "5s" ("0s" is off)`;
  if (/[0-9]\.[0-9]/.test(text)) return `a duration in whole numbers, such as "1s500ms" instead of "1.5s"`;
  return `a duration such as ${EXAMPLES}`;
}
