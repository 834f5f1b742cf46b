/** What was measured as Markdown tables, with notes on what makes a figure doubtful. */
import { directName } from "./contender.ts";
import type { Column, Load } from "./load.ts";
import { type Cell, errorsOf, medianOf, ratioOf, valuesOf } from "./statistics.ts";
import type { Store, StoredLoad } from "./store.ts";
import { judgeAll } from "./targets.ts";

/** Without a proxy at least this much more than with the best one, or the generator may be the limit. */
const directMargin = 1.3;
/** What other programs may use of all cores before a measurement counts as disturbed. */
const othersPercentMax = 8;
/** A proxy below this share of its core was not the limit. */
const busyEnoughPercent = 90;

/** A section for each load that was measured, in the order of `loads`, each with its table and its notes. */
export function renderLoads(store: Store, loads: readonly Load[]): string[] {
  return loads.flatMap((load) => {
    const stored = store.get(load.name);
    if (stored === undefined) return [];
    const { cells } = stored;
    const notes = [...limitNotes(load, cells), ...remarks(cells), ...errorNotes(cells)].map((note) => `- ${note}`);
    return [
      [`### ${titleOf(load, stored)}`, whenOf(stored), renderTable(load, cells), notes.join("\n")]
        .filter((part) => part !== "")
        .join("\n\n"),
    ];
  });
}

/** The table of the targets, as far as something was measured of them. */
export function renderTargets(store: Store): string {
  const all = judgeAll(store);
  if (all.length === 0) return "Nothing was measured that has a target.";
  const rows = all.map(({ target, load, contender, reference, found, verdict }) => {
    const wanted = `${target.bound} ${target.value}${reference === undefined ? "" : ` × ${reference}`}`;
    const digits = target.figure === "residentGrowth" ? 3 : target.figure === "descriptorsLeft" ? 0 : 2;
    return [load, contender, target.says, wanted, showNumber(found, digits), verdict];
  });
  return renderGrid(["load", "proxy", "figure", "wanted", "found", "verdict"], rows, 6);
}

/** "2026-11-21 11:40 UTC". */
export function renderTime(iso: string): string {
  return `${iso.slice(0, 16).replace("T", " ")} UTC`;
}

function titleOf(load: Load, stored: StoredLoad): string {
  if (load.kind === "idle") return `${load.name}, ${stored.idleConnections} connections`;
  return load.kind === "soak" ? `${load.name}, ${plural(stored.seconds / 60, "minute")}` : load.name;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function whenOf({ startedAt, command, rounds, seconds }: StoredLoad): string {
  const each = seconds === 0 ? "" : ` of ${seconds} s`;
  return `${renderTime(startedAt)}, \`${command}\`: ${plural(rounds, "round")}${each}.`;
}

function renderTable(load: Load, cells: readonly Cell[]): string {
  const { columns } = load;
  const head = [""].concat(
    columns.flatMap(({ title, ratiosTo }) => [title].concat(ratiosTo.map((name) => `× ${name}`))),
  );
  const rows = cells.map((cell) => [
    cell.contender,
    ...columns.flatMap((column) => [showFigure(cell, column)].concat(showRatios(cell, column, cells))),
    String(errorsOf(cell)),
  ]);
  return renderGrid([...head, "errors"], rows);
}

function showFigure(cell: Cell, column: Column): string {
  const shown = showNumber(medianOf(cell, column.figure), column.digits);
  const values = valuesOf(cell, column.figure).filter((value) => value !== undefined);
  if (!["rate", "bulkRate"].includes(column.figure) || values.length < 2) return shown;
  return `${shown} (${Math.min(...values).toFixed(column.digits)}–${Math.max(...values).toFixed(column.digits)})`;
}

function showRatios(cell: Cell, { figure, ratiosTo }: Column, cells: readonly Cell[]): string[] {
  return ratiosTo.map((name) => {
    const reference = cells.find(({ contender }) => contender === name);
    return showNumber(ratioOf(cell, reference, figure), 2);
  });
}

function showNumber(value: number | undefined, digits: number): string {
  return value === undefined ? "–" : value.toFixed(digits);
}

/** A Markdown table that is also aligned as plain text; the columns from `rightFrom` on hold numbers. */
function renderGrid(head: readonly string[], rows: readonly (readonly string[])[], rightFrom = 1): string {
  const widths = head.map((title, index) => Math.max(3, title.length, ...rows.map((row) => row[index]?.length ?? 0)));
  const line = (fields: readonly string[]): string =>
    `| ${fields.map((field, index) => (index < rightFrom ? field.padEnd(widths[index] ?? 0) : field.padStart(widths[index] ?? 0))).join(" | ")} |`;
  const rule = `|${widths.map((width, index) => (index < rightFrom ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}

/** Says where something other than the proxy may have been the limit, since such a rate compares nothing. */
function limitNotes(load: Load, cells: readonly Cell[]): string[] {
  return [...generatorNotes(load, cells), ...coreNotes(load, cells), ...othersNotes(cells)];
}

function generatorNotes(load: Load, cells: readonly Cell[]): string[] {
  const figure = load.limitedBy;
  if (figure === undefined) return [];
  const rated = cells.flatMap((cell) => {
    const rate = medianOf(cell, figure);
    return rate === undefined ? [] : [{ name: cell.contender, rate }];
  });
  const direct = rated.find(({ name }) => name === directName);
  const best = rated.filter((entry) => entry !== direct).toSorted((a, b) => b.rate - a.rate)[0];
  if (direct === undefined || best === undefined || direct.rate >= directMargin * best.rate) return [];
  const found = `direct is ${(direct.rate / best.rate).toFixed(2)} × the best proxy (${best.name})`;
  return [`WARNING: ${found}, wanted ${directMargin} ×: the generator may be the limit; compare CPU.`];
}

function coreNotes(load: Load, cells: readonly Cell[]): string[] {
  if (!load.fillsCore) return [];
  const idling = cells.flatMap((cell) => {
    const busy = medianOf(cell, "busy");
    return busy !== undefined && busy < busyEnoughPercent ? [`${cell.contender} ${busy.toFixed(0)} %`] : [];
  });
  if (idling.length === 0) return [];
  return [`Core not filled, so that the rate is a lower bound and the CPU figure holds: ${idling.join(", ")}.`];
}

function othersNotes(cells: readonly Cell[]): string[] {
  const disturbed = cells
    .flatMap((cell) => valuesOf(cell, "others"))
    .filter((others) => others !== undefined && others > othersPercentMax);
  if (disturbed.length === 0) return [];
  const most = Math.max(...disturbed.map((others) => others ?? 0)).toFixed(0);
  const share = `${disturbed.length} of ${cells.reduce((sum, cell) => sum + cell.samples.length, 0)} measurements`;
  return [`WARNING: other programs used up to ${most} % of the machine in ${share}: repeat it on a quiet machine.`];
}

function remarks(cells: readonly Cell[]): string[] {
  return cells.flatMap(({ contender, samples }) =>
    samples.flatMap(({ remark }) => (remark === undefined ? [] : [`${contender}: ${remark}.`])),
  );
}

function errorNotes(cells: readonly Cell[]): string[] {
  return cells.flatMap((cell) => {
    const bad = cell.samples.filter((sample) => sample.errors > 0);
    const first = bad[0];
    return first === undefined
      ? []
      : [`ERRORS with ${cell.contender} in ${bad.length} rounds, the first: ${first.firstError}`];
  });
}
