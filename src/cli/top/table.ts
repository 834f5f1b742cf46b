/** A table that fits the width of a terminal: columns shrink as far as they may, then the least important ones go. */
import { columnsOf, cut, fit, type Paint, type Tone } from "./text.ts";

/** A column. */
export interface Column {
  /** Shown above it. */
  readonly title: string;
  readonly align: "left" | "right";
  /** How narrow it may become, its title included; one of figures stays as wide as they are. */
  readonly columnsMin: number | "whole";
  /** Where there is no room for all, those with the lowest rank go first. The highest stays. */
  readonly rank: number;
}

/** What is in a row for a column; harmless text. */
export interface Cell {
  readonly text: string;
  readonly tone?: Tone;
}

/** Between two columns. */
const gapColumns = 2;

/**
 * The lines of a table, its titles first, each `width` wide at most. A row has a cell for each column; one in which there is
 * nothing is left out.
 */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  width: number,
  paint: Paint,
): string[] {
  const widths = widthsOf(columns, rows, width);
  const line = (cells: readonly Cell[]): string => {
    const shown: string[] = [];
    for (const [index, { align }] of columns.entries()) {
      const { text, tone = "plain" } = cells[index]!;
      const own = widths[index]!;
      if (own > 0) shown.push(paint(fit(text, own, align), tone));
    }
    return shown.join(" ".repeat(gapColumns));
  };
  return [line(columns.map(({ title }) => ({ text: title, tone: "faint" }))), ...rows.map(line)];
}

/** The width of each column; 0 for one that is left out. */
function widthsOf(columns: readonly Column[], rows: readonly (readonly Cell[])[], width: number): number[] {
  const widths = columns.map(({ title }, index) =>
    rows.length > 0 && rows.every((row) => row[index]!.text === "")
      ? 0
      : rows.reduce((widest, row) => Math.max(widest, columnsOf(row[index]!.text)), columnsOf(title)),
  );
  const least = columns.map(({ columnsMin }, index) =>
    columnsMin === "whole" ? widths[index]! : Math.min(columnsMin, widths[index]!),
  );
  const total = (of: readonly number[]): number => {
    const shown = of.filter((own) => own > 0);
    return shown.reduce((sum, own) => sum + own, gapColumns * Math.max(0, shown.length - 1));
  };
  const byRank = [...columns.keys()].toSorted((a, b) => columns[a]!.rank - columns[b]!.rank);
  const last = byRank.pop();
  for (const index of byRank) {
    if (total(least) <= width) break;
    least[index] = 0;
    widths[index] = 0;
  }
  if (last !== undefined && total(least) > width)
    return widths.map((_, index) => (index === last ? Math.max(0, width) : 0));
  // The widest gives first, so that a long name does not cost the short ones.
  for (let over = total(widths) - width; over > 0; over--) {
    let widest = -1;
    for (const [index, own] of widths.entries()) {
      if (own > least[index]! && (widest < 0 || own > widths[widest]!)) widest = index;
    }
    widths[widest]!--;
  }
  return widths;
}

/** Pieces of text one after the other, in as many lines as they need, `linesMax` at most; what does not fit is left out. */
export function pieces(parts: readonly Cell[], width: number, linesMax: number, paint: Paint): string[] {
  const lines: string[] = [];
  let line = "";
  let used = 0;
  for (const { text, tone = "plain" } of parts) {
    if (text === "") continue;
    const shown = cut(text, width);
    const wanted = columnsOf(shown);
    if (used > 0 && used + gapColumns + wanted > width) {
      lines.push(line);
      line = "";
      used = 0;
    }
    const gap = used === 0 ? 0 : gapColumns;
    line += " ".repeat(gap) + paint(shown, tone);
    used += gap + wanted;
  }
  return [...lines, line].slice(0, linesMax);
}
