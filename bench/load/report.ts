/** What is read in the end: the tables on the terminal, RESULTS.md, and one line for each measurement. */
import { loads } from "./kinds.ts";
import type { Figure, Load, Sample } from "./load.ts";
import type { Measured, Store } from "./store.ts";
import { renderLoads, renderTargets, renderTime } from "./tables.ts";

/** How the figures are made: the head of RESULTS.md and part of `--help`. */
export const howToMeasure = [
  "One proxy at a time is loaded, and the proxies take turns round after round: direct (no proxy), the peers, sluice, then again.",
  'Figures are medians of the rounds, with the lowest and highest rate in brackets; "× haproxy" is the median of the ratios',
  "inside each round. CPU is user and system time of the proxy with its threads and children (/proc/PID/stat) divided by all it",
  "moved, and survives a noisy machine better than rates do. Bulk bytes are checked by count on the far side, ping-pong and connect",
  "by content; a request is 64 B and so is its answer. In `mixed`, generator and backend serve round trips before bulk, and",
  "look for them after each piece of it. A `soak` asks for about half of what a proxy can do, of all kinds at once, with idle",
  "connections and with resets in mid-transfer. Everything runs on 127.0.0.1, each proxy on one core.",
  "Close other programs, compare ratios and not absolute figures, and repeat a surprising run.",
];

/** The tables and the verdicts, as on the terminal and in RESULTS.md. */
export function renderTables(store: Store): string {
  return `${[...renderLoads(store, loads), "### Targets", renderTargets(store)].join("\n\n")}\n`;
}

/** The whole of RESULTS.md. */
export function renderMarkdown(store: Store): string {
  const runs = new Map<string, Measured>();
  for (const load of store.values()) runs.set(`${load.startedAt} ${load.command}`, load);
  return [
    "# Side by side",
    "Written by `bun run bench:load` from results.json, which keeps the last measurement of each load; `--help` names the options.",
    howToMeasure.join("\n"),
    [...runs.values()].map(renderRun).join("\n"),
    renderTables(store),
  ].join("\n\n");
}

const shortFigures: ReadonlySet<Figure> = new Set([
  "rate",
  "p99Us",
  "bulkRate",
  "cpu",
  "growthKb",
  "residentGrowth",
  "descriptorsLeft",
]);

/** One measurement in a few words, for the progress line. */
export function renderSample(load: Load, sample: Sample): string {
  const shown = load.columns.filter(({ figure }) => shortFigures.has(figure));
  const figures = shown.flatMap(({ figure, digits, title }) => {
    const value = sample.figures[figure];
    return value === undefined ? [] : [`${value.toFixed(digits)} ${title}`];
  });
  if (sample.errors > 0) figures.push(`${sample.errors} ERRORS (${sample.firstError})`);
  return figures.join(", ");
}

function renderRun({ command, startedAt, machine, peers, leftOut }: Measured): string {
  const { cpu, cores, memoryGib, kernel, bun, placement } = machine;
  const versions = peers.map(({ name, version }) => `${name} ${version}`).join(" · ");
  const remarks = peers.flatMap(({ name, remark }) => (remark === undefined ? [] : [`${name}: ${remark}`]));
  return [
    `- ${renderTime(startedAt)}, \`${command}\``,
    `  - machine: ${cpu}, ${cores} cores, ${memoryGib} GiB, Linux ${kernel}; ${placement}`,
    `  - versions: ${versions} · Bun ${bun}`,
    ...remarks.map((remark) => `  - ${remark}`),
    ...leftOut.map((reason) => `  - left out: ${reason}`),
  ].join("\n");
}
