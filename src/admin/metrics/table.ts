/** Every metric there is: what the exposition is written from, and the tables of docs/metrics.md. */
import { backendMetrics } from "./backend-metrics.ts";
import { connectionMetrics } from "./connection-metrics.ts";
import type { Metric } from "./metric.ts";
import { processMetrics } from "./process-metrics.ts";
import { programMetrics } from "./program-metrics.ts";

/** In the order of the exposition, under the headings of the documentation. */
export const metricGroups: readonly { readonly title: string; readonly metrics: readonly Metric[] }[] = [
  { title: "Connections", metrics: connectionMetrics },
  { title: "Backends and endpoints", metrics: backendMetrics },
  { title: "The program", metrics: programMetrics },
  { title: "The process", metrics: processMetrics },
];

/** All of them. */
export const metrics: readonly Metric[] = metricGroups.flatMap((group) => group.metrics);
