/** The answer to `GET /metrics`: the figures as Prometheus text, written by prom-client. */
import Registry from "prom-client/lib/registry.js";
import type { ProgramFigures } from "../figures.ts";
import type { Metric, Sample, Sources } from "./metric.ts";
import { processFigures } from "./process-figures.ts";
import { metrics } from "./table.ts";

/** So many samples are written without a look at the time; about 0.2 ms. */
const sliceSamplesMax = 64;
/** After so long the event loop has its turn, because it forwards bytes as well. */
const turnMs = 1;

/**
 * All metrics, in the text format 0.0.4 of Prometheus, and its content type. Each series is of one moment, but not all
 * of the same one. May be called again before it has resolved. Rejects only for a mistake of our own.
 */
export async function exposition(figures: ProgramFigures): Promise<{ body: string; type: string }> {
  // Of prom-client only the registry is loaded: all of it takes 10 MB, for HTTP and default metrics (Bun 1.4.5). A
  // registry asks a metric for nothing but `get`, so ours need not be counted a second time in classes of the library.
  const registry = new Registry();
  const sources: Sources = { figures, process: processFigures() };
  let body = "";
  let sinceMs = performance.now();
  for (const metric of metrics) {
    const slice = new Slice(metric);
    registry.registerMetric(slice);
    const samples = metric.samples(sources)[Symbol.iterator]();
    for (let more = slice.fill(samples), first = true; more || first; more = slice.fill(samples), first = false) {
      const text = await registry.getSingleMetricAsString(metric.name);
      body += `${first ? text : withoutHead(text)}\n`;
      if (performance.now() - sinceMs < turnMs) continue;
      await turn();
      sinceMs = performance.now();
    }
  }
  return { body, type: registry.contentType };
}

/** Some of a metric's samples, as the registry asks for them. */
class Slice {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly values: Sample[] = [];

  constructor({ name, help, type }: Metric) {
    this.name = name;
    this.help = help;
    this.type = type;
  }

  /** Takes the next ones in place of those it has; `false`: there are none. */
  fill(samples: Iterator<Sample>): boolean {
    this.values.length = 0;
    while (this.values.length < sliceSamplesMax) {
      const { done, value } = samples.next();
      if (done === true) break;
      this.values.push(value);
    }
    return this.values.length > 0;
  }

  get(): Promise<this> {
    return Promise.resolve(this);
  }
}

/** The registry writes HELP and TYPE, each a line, above the samples of each slice. */
function withoutHead(text: string): string {
  return text.slice(text.indexOf("\n", text.indexOf("\n") + 1) + 1);
}

/** Resolves when the events that wait have been handled. */
function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
