/** The HTTP statuses that count as healthy, as the configuration has them: "200", "200-399", "200,301-302". */
import type { Parsed } from "../../core/result.ts";

/** Statuses from `from` to `to`, both included. */
export interface StatusRange {
  readonly from: number;
  readonly to: number;
}

/** At least one. */
export type StatusRanges = readonly StatusRange[];

/** The statuses there are (RFC 9110 section 15). */
const statusMin = 100;
const statusMax = 599;

const wanted = `HTTP statuses from ${statusMin} to ${statusMax}, such as "200", "200-399" or "200,301-302"`;

/** Reads statuses and ranges of them, with commas between; blanks around either are allowed. */
export function parseStatusRanges(text: string): Parsed<StatusRanges> {
  const ranges: StatusRange[] = [];
  for (const part of text.split(",")) {
    const match = /^\s*([0-9]{3})(?:\s*-\s*([0-9]{3}))?\s*$/.exec(part);
    if (match === null) return { ok: false, wanted };
    const from = Number(match[1]);
    const to = Number(match[2] ?? match[1]);
    if (from < statusMin || to > statusMax) return { ok: false, wanted };
    if (from > to) return { ok: false, wanted: `a range that begins with the lower status, such as "${to}-${from}"` };
    ranges.push({ from, to });
  }
  return { ok: true, value: ranges };
}

/** Whether a status lies in one of the ranges. */
export function includesStatus(ranges: StatusRanges, status: number): boolean {
  return ranges.some(({ from, to }) => from <= status && status <= to);
}
