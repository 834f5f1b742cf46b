/** From samples to what is read: medians, ratios inside a round, tables in Markdown, targets met or missed, and JSON. */
import { type Cell, directName } from "./comparison.ts";
import type { Column, Figure, Load, Sample } from "./kinds.ts";
import type { Machine } from "./machine.ts";
import { type Peer, referenceName } from "./peers.ts";
import { judge, type Target, targets } from "./targets.ts";

/** Everything the report says about one run of the benchmark. */
export interface Results {
  readonly command: string;
  readonly startedAt: Date;
  readonly rounds: number;
  readonly seconds: number;
  readonly idleConnections: number;
  readonly machine: Machine;
  readonly peers: readonly Peer[];
  /** Peers that were not measured, each with the reason. */
  readonly leftOut: readonly string[];
  readonly cells: readonly Cell[];
}

/** How the figures are made: the head of RESULTS.md and part of `--help`. */
export const howToMeasure = [
  "One proxy at a time is loaded, and the proxies take turns round after round: direct (no proxy), the peers, sluice, then again.",
  'Figures are medians of the rounds, with the lowest and highest rate in brackets; "× haproxy" is the median of the ratios',
  "inside each round. CPU is user and system time of the proxy with its threads and children (/proc/PID/stat) divided by all it",
  "moved, and survives a noisy machine better than rates do. Bulk bytes are checked by count on the far side, ping-pong and connect",
  "by content; a request is 64 B and so is its answer. Everything runs on 127.0.0.1, each proxy on one core.",
  "Close other programs, compare ratios and not absolute figures, and repeat a surprising run.",
];

/** Without a proxy at least this much more than with the best one, or the generator may be the limit. */
const directMargin = 1.3;
/** What other programs may use of all cores before a measurement counts as disturbed. */
const othersPercentMax = 8;
/** A proxy below this share of its core was not the limit. */
const busyEnoughPercent = 90;

/** The tables and the verdicts, as on the terminal and in RESULTS.md. */
export function renderTables(results: Results): string {
  const parts: string[] = [];
  for (const load of new Set(results.cells.map((cell) => cell.load))) {
    const cells = results.cells.filter((cell) => cell.load === load);
    parts.push(`### ${loadTitle(load, results)}\n\n${renderTable(load, cells)}`);
    const notes = [...limitNotes(load, cells), ...errorNotes(cells)];
    if (notes.length > 0) parts.push(notes.map((note) => `- ${note}`).join("\n"));
  }
  parts.push(`### Targets\n\n${renderTargets(results)}`);
  return `${parts.join("\n\n")}\n`;
}

/** The whole of RESULTS.md. */
export function renderMarkdown(results: Results): string {
  const { machine } = results;
  const versions = results.peers.map((peer) => `${peer.name} ${peer.version}`).join(" · ");
  const facts = [
    `- command: \`${results.command}\` (${results.rounds} rounds of ${results.seconds} s)`,
    `- date: ${results.startedAt.toISOString().slice(0, 16).replace("T", " ")} UTC`,
    `- machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGib} GiB, Linux ${machine.kernel}; ${machine.placement}`,
    `- versions: ${versions} · Bun ${machine.bun}`,
    ...results.leftOut.map((reason) => `- left out: ${reason}`),
  ];
  return [
    "# Side by side",
    "Written by `bun run bench:load`, which replaces it; `--help` names the options, `--quick` takes two minutes.",
    howToMeasure.join("\n"),
    facts.join("\n"),
    renderTables(results),
  ].join("\n\n");
}

/** The same for programs: every sample, medians and ratios. */
export function renderJson(results: Results): string {
  const cells = results.cells.map((cell) => {
    const reference = referenceOf(cell.load, results.cells);
    const figures = cell.load.columns.map(({ figure }) => [
      figure,
      { median: medianOf(cell, figure), ratio: ratioOf(cell, reference, figure) },
    ]);
    const { kind, name } = cell.load;
    return { kind, load: name, contender: cell.contender, figures: Object.fromEntries(figures), samples: cell.samples };
  });
  const peers = results.peers.map(({ name, version }) => ({ name, version }));
  const verdicts = judged(results).map(({ target, load, contender, found, verdict }) => ({
    load,
    contender,
    figure: target.figure,
    bound: target.bound,
    of: target.of,
    wanted: target.value,
    found,
    verdict,
  }));
  return `${JSON.stringify({ ...results, peers, cells, targets: verdicts }, null, 2)}\n`;
}

/** One measurement in a few words, for the progress line. */
export function renderSample(load: Load, sample: Sample): string {
  const shown = load.columns.filter(({ figure }) => ["rate", "cpu", "growthKb"].includes(figure));
  const figures = shown.flatMap(({ figure, digits, title }) => {
    const value = sample.figures[figure];
    return value === undefined ? [] : [`${value.toFixed(digits)} ${title}`];
  });
  if (sample.errors > 0) figures.push(`${sample.errors} ERRORS (${sample.firstError})`);
  return figures.join(", ");
}

/** Median of what is there; undefined of nothing. */
export function median(values: readonly (number | undefined)[]): number | undefined {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length % 2 === 1) return sorted[middle];
  const [below, above] = [sorted[middle - 1], sorted[middle]];
  return below === undefined || above === undefined ? undefined : (below + above) / 2;
}

function loadTitle(load: Load, results: Results): string {
  return load.kind === "idle" ? `${load.name}, ${results.idleConnections} connections` : load.name;
}

function renderTable(load: Load, cells: readonly Cell[]): string {
  const reference = referenceOf(load, cells);
  const columns = load.columns;
  const head = [
    "",
    ...columns.flatMap((column) => (column.ratio ? [column.title, `× ${referenceName}`] : [column.title])),
    "errors",
  ];
  const rows = cells.map((cell) => [
    cell.contender,
    ...columns.flatMap((column) => {
      const shown = showFigure(cell, column);
      return column.ratio ? [shown, showNumber(ratioOf(cell, reference, column.figure), 2)] : [shown];
    }),
    String(errorsOf(cell)),
  ]);
  return renderGrid(head, rows);
}

function showFigure(cell: Cell, column: Column): string {
  const shown = showNumber(medianOf(cell, column.figure), column.digits);
  const values = valuesOf(cell, column.figure).filter((value) => value !== undefined);
  if (column.figure !== "rate" || values.length < 2) return shown;
  return `${shown} (${Math.min(...values).toFixed(column.digits)}–${Math.max(...values).toFixed(column.digits)})`;
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
  const notes: string[] = [];
  const rated = cells.flatMap((cell) => {
    const rate = medianOf(cell, "rate");
    return rate === undefined ? [] : [{ name: cell.contender, rate }];
  });
  const direct = rated.find(({ name }) => name === directName);
  const best = rated.filter((entry) => entry !== direct).sort((a, b) => b.rate - a.rate)[0];
  if (direct !== undefined && best !== undefined && direct.rate < directMargin * best.rate) {
    const found = `direct is ${(direct.rate / best.rate).toFixed(2)} × the best proxy (${best.name})`;
    notes.push(`WARNING: ${found}, wanted ${directMargin} ×: the generator may be the limit; compare CPU.`);
  }
  const idling = cells.flatMap((cell) => {
    const busy = medianOf(cell, "busy");
    return load.fillsCore && busy !== undefined && busy < busyEnoughPercent
      ? [`${cell.contender} ${busy.toFixed(0)} %`]
      : [];
  });
  if (idling.length > 0) {
    notes.push(`Core not filled, so that the rate is a lower bound and the CPU figure holds: ${idling.join(", ")}.`);
  }
  const disturbed = cells
    .flatMap((cell) => valuesOf(cell, "others"))
    .filter((others) => (others ?? 0) > othersPercentMax);
  if (disturbed.length > 0) {
    const most = Math.max(...disturbed.map((others) => others ?? 0)).toFixed(0);
    const share = `${disturbed.length} of ${cells.reduce((sum, cell) => sum + cell.samples.length, 0)} measurements`;
    notes.push(
      `WARNING: other programs used up to ${most} % of the machine in ${share}: repeat it on a quiet machine.`,
    );
  }
  return notes;
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

interface Judged {
  readonly target: Target;
  readonly load: string;
  readonly contender: string;
  readonly found: number | undefined;
  readonly verdict: ReturnType<typeof judge>;
}

function judged(results: Results): Judged[] {
  const held = new Set(results.peers.filter((peer) => peer.isSluice).map((peer) => peer.name));
  return targets.flatMap((target) =>
    results.cells
      .filter((cell) => held.has(cell.contender) && cell.load.name.startsWith(target.load))
      .map((cell) => {
        const { figure } = target;
        const reference = referenceOf(cell.load, results.cells);
        const found = target.of === "ratio" ? ratioOf(cell, reference, figure) : medianOf(cell, figure);
        return {
          target,
          load: cell.load.name,
          contender: cell.contender,
          found,
          verdict: judge(target, found, errorsOf(cell)),
        };
      }),
  );
}

function renderTargets(results: Results): string {
  const all = judged(results);
  if (all.length === 0) return "No build of sluice was measured.";
  const rows = all.map(({ target, load, contender, found, verdict }) => {
    const unit = target.of === "ratio" ? ` × ${referenceName}` : "";
    return [load, contender, target.says, `${target.bound} ${target.value}${unit}`, showNumber(found, 2), verdict];
  });
  return renderGrid(["load", "proxy", "figure", "wanted", "found", "verdict"], rows, 6);
}

function referenceOf(load: Load, cells: readonly Cell[]): Cell | undefined {
  return cells.find((cell) => cell.load === load && cell.contender === referenceName);
}

function errorsOf(cell: Cell): number {
  return cell.samples.reduce((sum, sample) => sum + sample.errors, 0);
}

function valuesOf(cell: Cell, figure: Figure): (number | undefined)[] {
  return cell.samples.map((sample) => sample.figures[figure]);
}

function medianOf(cell: Cell, figure: Figure): number | undefined {
  return median(valuesOf(cell, figure));
}

function ratioOf(cell: Cell, reference: Cell | undefined, figure: Figure): number | undefined {
  if (reference === undefined) return undefined;
  const theirs = valuesOf(reference, figure);
  return median(
    valuesOf(cell, figure).map((value, round) => {
      const other = theirs[round];
      return value === undefined || other === undefined || other === 0 ? undefined : value / other;
    }),
  );
}
