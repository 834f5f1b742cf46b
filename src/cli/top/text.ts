/**
 * Text in the columns of a terminal: harmless, cut and filled by how wide it is shown. Names come from the network (the SNI
 * of a client) and must not be able to send anything to the terminal.
 */

/**
 * What is no visible character: controls (escape sequences begin with one), formats (directions, joiners, tags), what is
 * not assigned or private, line separators, halves of surrogate pairs, and what is ignored unless a font knows it.
 */
const invisible = /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** Marks are shown on top of what precedes them; more than two in a row are a pile that covers other lines. */
const manyMarks = /(\p{M}{2})\p{M}+/gu;

/** Foreign text as it may be shown: whatever is no visible character becomes "�", a pile of marks a short one. */
export function harmless(text: string): string {
  return text.replace(invisible, "\ufffd").replace(manyMarks, "$1");
}

/** How many columns a harmless text takes; East Asian wide characters and emoji take two. */
export function columnsOf(text: string): number {
  return Bun.stringWidth(text);
}

/** A harmless text in exactly `columns` columns: cut, with "…" at its end, or filled with blanks. */
export function fit(text: string, columns: number, align: "left" | "right" = "left"): string {
  const shown = cut(text, columns);
  const blanks = " ".repeat(Math.max(0, columns - columnsOf(shown)));
  return align === "left" ? shown + blanks : blanks + shown;
}

/** A harmless text in `columns` columns at most. */
export function cut(text: string, columns: number): string {
  if (columns <= 0) return "";
  if (columnsOf(text) <= columns) return text;
  let shown = "";
  let used = 0;
  for (const character of text) {
    const width = columnsOf(character);
    // One column is kept for the sign that something is missing.
    if (used + width > columns - 1) break;
    shown += character;
    used += width;
  }
  return `${shown}…`;
}

/** How a piece of text is shown; by the meaning it has. */
export type Tone = "plain" | "title" | "faint" | "good" | "warning" | "bad";

/** Gives a text its tone; the text keeps its width. */
export type Paint = (text: string, tone: Tone) => string;

/** The parameters of SGR (ECMA-48, section 8.3.117) for each tone. */
const sgr: Readonly<Record<Tone, string>> = {
  plain: "",
  title: "1",
  faint: "2",
  good: "32",
  warning: "33",
  bad: "1;31",
};

/** With colours. */
export const inColours: Paint = (text, tone) => (sgr[tone] === "" ? text : `\x1b[${sgr[tone]}m${text}\x1b[0m`);

/** Without: for NO_COLOR, and for pipes. */
export const withoutColours: Paint = (text) => text;
