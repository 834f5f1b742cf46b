/** What a metric is: its name, type, labels, a sentence that says what it means, and where its series come from. */
import { durationBoundsMs, type DurationHistogram } from "../../stats/histogram.ts";
import type { ProgramFigures } from "../figures.ts";
import type { ProcessFigures } from "./process-figures.ts";

/** What all metrics are read from. */
export interface Sources {
  readonly figures: ProgramFigures;
  readonly process: ProcessFigures;
}

/** One line of the exposition. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  /** Where it is not that of the metric: those of a histogram. */
  readonly metricName?: string;
}

/** A line of the table that the exposition and docs/metrics.md are made of. */
export interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** Of each series; a histogram's buckets have `le` besides. */
  readonly labels: readonly string[];
  /** One line, without a full stop at its end. */
  readonly help: string;
  /** Read one by one while the exposition is written, which may take several turns of the event loop. */
  samples(sources: Sources): Iterable<Sample>;
}

/** One series: a number or a histogram, and the value of each label in the order of their names. */
type Series<Value, Labels extends readonly string[]> = readonly [
  value: Value,
  ...labels: { [Index in keyof Labels]: string },
];

/** Where the series of a metric come from. */
type Read<Value, Labels extends readonly string[]> = (sources: Sources) => Iterable<Series<Value, Labels>>;

/** A sum that only grows while the process lives. */
export function counter<const Labels extends readonly string[]>(
  name: string,
  labels: Labels,
  help: string,
  read: Read<number, Labels>,
): Metric {
  return { name, type: "counter", labels, help, samples: (sources) => plainSamples(labels, read(sources)) };
}

/** A value that goes up and down. */
export function gauge<const Labels extends readonly string[]>(
  name: string,
  labels: Labels,
  help: string,
  read: Read<number, Labels>,
): Metric {
  return { name, type: "gauge", labels, help, samples: (sources) => plainSamples(labels, read(sources)) };
}

/** Durations, in seconds. */
export function histogram<const Labels extends readonly string[]>(
  name: string,
  labels: Labels,
  help: string,
  read: Read<DurationHistogram, Labels>,
): Metric {
  return { name, type: "histogram", labels, help, samples: (sources) => bucketSamples(name, labels, read(sources)) };
}

function* plainSamples<Labels extends readonly string[]>(
  labels: Labels,
  series: Iterable<Series<number, Labels>>,
): Iterable<Sample> {
  for (const [value, ...values] of series) yield { labels: named(labels, values), value };
}

/** The bounds of the buckets as labels, in seconds; the last one has none. */
const bounds: readonly string[] = [...durationBoundsMs.map((ms) => String(ms / 1000)), "+Inf"];

function* bucketSamples<Labels extends readonly string[]>(
  name: string,
  labels: Labels,
  series: Iterable<Series<DurationHistogram, Labels>>,
): Iterable<Sample> {
  for (const [{ counts, sumUs }, ...values] of series) {
    const own = named(labels, values);
    // All of one moment: buckets, sum and count must fit, and connections may end between two samples.
    const upTo = new Float64Array(counts);
    for (let bucket = 1; bucket < upTo.length; bucket++) upTo[bucket]! += upTo[bucket - 1]!;
    for (let bucket = 0; bucket < upTo.length; bucket++) {
      yield { labels: { ...own, le: bounds[bucket]! }, value: upTo[bucket]!, metricName: `${name}_bucket` };
    }
    yield { labels: own, value: sumUs / 1e6, metricName: `${name}_sum` };
    yield { labels: own, value: upTo.at(-1)!, metricName: `${name}_count` };
  }
}

function named(labels: readonly string[], values: readonly string[]): Record<string, string> {
  const record: Record<string, string> = {};
  for (let index = 0; index < labels.length; index++) record[labels[index]!] = values[index]!;
  return record;
}
