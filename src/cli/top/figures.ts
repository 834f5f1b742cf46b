/** Figures as people read them: short, always of about the same width. */
import type { Rate } from "./snapshot.ts";

/** `1234567` → `"1,234,567"`. */
export function countText(count: number): string {
  return Math.round(count)
    .toString()
    .replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** A rate for a second: `"9.5"`, `"1,234"`; `"-"` for none. */
export function rateText(rate: Rate): string {
  if (rate === undefined) return "-";
  return rate > 0 && rate < 9.95 ? rate.toFixed(1) : countText(rate);
}

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `1536` → `"1.5 KiB"`; `"-"` for none. */
export function bytesText(bytes: Rate): string {
  if (bytes === undefined) return "-";
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]!}`;
}

/** `63_000` → `"1m03s"`: the two greatest parts, below a minute seconds, below a second milliseconds. */
export function timeText(ms: number): string {
  if (ms < 1000) return `${Math.floor(ms)}ms`;
  const seconds = Math.floor(ms / 1000);
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3600), Math.floor(seconds / 86_400)];
  if (minutes === 0) return `${seconds}s`;
  if (hours === 0) return `${minutes}m${two(seconds % 60)}s`;
  return days === 0 ? `${hours}h${two(minutes % 60)}m` : `${days}d${two(hours % 24)}h`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
