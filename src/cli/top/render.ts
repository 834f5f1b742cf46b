/** The lines of `sluice top`, from a snapshot and the size of a terminal: pure, so that it can be tested. */
import { bytesText, countText, rateText, timeText } from "./figures.ts";
import { connectionTable, endpointTable, listenerTable, type SectionTable } from "./sections.ts";
import type { Snapshot } from "./snapshot.ts";
import { pieces, tableLines, type Cell } from "./table.ts";
import { withoutColours, type Paint, type Tone } from "./text.ts";

/** Of a terminal, in characters. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** What is shown besides the figures. */
export interface View {
  /** Which connections come first. */
  readonly order: "busiest" | "oldest";
  /** Whom the figures are of. */
  readonly url: string;
  /** Why there are no newer figures; `undefined` while there are. Harmless text. */
  readonly lost?: string | undefined;
  readonly paint?: Paint;
}

/** The lines that ends take at most. */
const endLinesMax = 3;
/** What a table takes besides its rows: a blank line before it, and its titles. */
const tableFrameRows = 2;
/** The rows of each table that are shown before another one gets more of its own. */
const fairRows = 3;

/** The lines of the screen, at most `rows` of them and none wider than `columns`; escape sequences of tones aside. */
export function renderTop(snapshot: Snapshot, { columns, rows }: Size, view: View): string[] {
  const paint = view.paint ?? withoutColours;
  const head = headLines(snapshot, columns, view, paint);
  const foot = pieces(
    [
      { text: "q quit", tone: "faint" },
      { text: view.order === "busiest" ? "o oldest first" : "o busiest first", tone: "faint" },
      { text: view.url, tone: "faint" },
    ],
    columns,
    1,
    paint,
  );
  const ends = endLines(snapshot, columns, paint);
  const endsAndGap = ends.length > 0 ? ["", ...ends] : [];
  const room = rows - head.length - foot.length - endsAndGap.length;
  const [listeners, endpoints] = [listenerTable(snapshot), endpointTable(snapshot)];
  const connections = connectionTable(snapshot, view.order);
  // Where there is no room for a row of each, those that tell of trouble stay.
  const wanted = [endpoints, listeners, connections].filter((table) => table.rows.length > 0);
  const chosen = new Set(wanted.slice(0, Math.max(0, Math.floor(room / (tableFrameRows + 1)))));
  const shown = [listeners, endpoints, connections].filter((table) => chosen.has(table));
  const shares = fairShares(
    shown.map((table) => table.rows.length),
    room - tableFrameRows * shown.length,
  );
  const body = shown.map((table, index) => sectionLines(table, shares[index]!, columns, paint));
  const lines = [...head, ...endsAndGap, ...body.flat()].slice(0, Math.max(0, rows - 1));
  while (lines.length < rows - 1) lines.push("");
  return [...lines, ...foot].slice(0, Math.max(0, rows));
}

function headLines(snapshot: Snapshot, columns: number, view: View, paint: Paint): string[] {
  const { reading, newRate, endedRate, toBackendRate, toClientRate } = snapshot;
  const { state, drainRemainingMs, active, connectionsMax } = reading;
  const remaining = drainRemainingMs === undefined ? "" : `cut in ${timeText(drainRemainingMs)}`;
  const lines = pieces(
    [
      { text: `sluice ${reading.version}`, tone: "title" },
      view.lost === undefined ? { text: state, tone: stateTone(state) } : { text: "lost", tone: "bad" },
      { text: remaining, tone: "warning" },
      { text: `up ${timeText(reading.uptimeMs)}` },
      { text: `pid ${reading.pid}`, tone: "faint" },
    ],
    columns,
    2,
    paint,
  );
  if (view.lost !== undefined) {
    const said = `no answer since the figures below: ${view.lost}; trying again`;
    lines.push(...pieces([{ text: said, tone: "bad" }], columns, 1, paint));
  }
  const of = connectionsMax > 0 ? ` of ${countText(connectionsMax)}` : "";
  const figures: Cell[] = [
    { text: `connections ${countText(active)}${of}`, tone: "title" },
    { text: `new ${rateText(newRate)}/s` },
    { text: `ended ${rateText(endedRate)}/s` },
    { text: `to backends ${bytesText(toBackendRate)}/s` },
    { text: `to clients ${bytesText(toClientRate)}/s` },
  ];
  return [...lines, ...pieces(figures, columns, 3, paint)];
}

function stateTone(state: string): Tone {
  return state === "ready" ? "good" : "warning";
}

function endLines({ ended }: Snapshot, columns: number, paint: Paint): string[] {
  if (ended.length === 0) return [];
  const parts: Cell[] = ended.map(({ end, count, rate }) => ({
    text: `${end} ${countText(count)}${rate === undefined || rate === 0 ? "" : ` (${rateText(rate)}/s)`}`,
  }));
  return pieces([{ text: "ENDED", tone: "faint" }, ...parts], columns, endLinesMax, paint);
}

/** A blank line, the titles and as many rows as it may have; the last one of several says how many are missing. */
function sectionLines({ columns, rows, missing }: SectionTable, share: number, width: number, paint: Paint): string[] {
  if (share <= 0) return [];
  const whole = rows.length <= share && missing === 0;
  const shown = whole ? rows : rows.slice(0, Math.max(1, share - 1));
  const lines = ["", ...tableLines(columns, shown, width, paint)];
  const left = rows.length - shown.length + missing;
  const said: Cell = { text: `… ${countText(left)} more`, tone: "faint" };
  if (left > 0 && shown.length < share) lines.push(...pieces([said], width, 1, paint));
  return lines;
}

/** Divides rows: each wish gets a few at first, then one after the other as long as there are any. */
function fairShares(wishes: readonly number[], room: number): number[] {
  const shares = wishes.map(() => 0);
  let left = Math.max(0, room);
  for (const bound of [fairRows, Infinity]) {
    for (let given = true; given && left > 0;) {
      given = false;
      for (const [index, wish] of wishes.entries()) {
        if (left === 0 || shares[index]! >= Math.min(wish, bound)) continue;
        shares[index]!++;
        left--;
        given = true;
      }
    }
  }
  return shares;
}
