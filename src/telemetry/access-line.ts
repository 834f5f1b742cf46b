/** The line of an access record: what pino would write, at a third of its price, since its fields need no serializer. */

/** About how long a line is, for bounding how many may wait. */
export const accessLineChars = 400;

/**
 * The line of a record that was made at `timeMs` (of `Date.now()`), its line end included. Fields are written by
 * `JSON.stringify`: a template with escapes by hand takes twice as long (bench/micro/log.bench.ts).
 */
export function accessLine(record: object, timeMs: number): string {
  return `{"level":"info","time":"${isoTime(timeMs)}",${JSON.stringify(record).slice(1, -1)},"msg":"connection"}\n`;
}

let isoTimeMs = NaN;
let isoTimeText = "";

/** The time as in all lines. Many connections end in one millisecond, and its text costs more than all else of a line. */
function isoTime(timeMs: number): string {
  if (timeMs !== isoTimeMs) {
    isoTimeMs = timeMs;
    isoTimeText = new Date(timeMs).toISOString();
  }
  return isoTimeText;
}
