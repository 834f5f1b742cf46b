/** The tables of docs/metrics.md, generated from the metrics themselves. */
import type { Metric } from "./metric.ts";
import { metricGroups } from "./table.ts";

/** What encloses them in the page. */
export const referenceMarks = [
  "<!-- tables: bun src/admin/metrics/write-reference.ts -->",
  "<!-- /tables -->",
] as const;

/** The page with the tables of today between its marks. `bun src/admin/metrics/write-reference.ts` writes it; a test compares. */
export function withMetricTables(page: string): string {
  const [begin, end] = referenceMarks;
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`docs/metrics.md lacks its marks ${begin} and ${end}`);
  return `${page.slice(0, from)}${begin}\n\n${tables()}\n\n${page.slice(to)}`;
}

function tables(): string {
  return metricGroups.map(({ title, metrics }) => `### ${title}\n\n${table(metrics)}`).join("\n\n");
}

/** Columns are padded as `bun fmt` pads them, so that the page stays as it was generated. */
function table(metrics: readonly Metric[]): string {
  const rows = metrics.map(({ name, type, labels, help }) => [`\`${name}\``, type, code(labels), help]);
  const cells = [["metric", "type", "labels", "meaning"], ...rows];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  const [head, ...body] = cells;
  return [line(head!), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n");
}

function code(labels: readonly string[]): string {
  return labels.map((label) => `\`${label}\``).join(", ");
}
