/** Reads the text format of Prometheus, strictly: what is not of its grammar, or said twice, is an error. */

/** A family: what HELP and TYPE say, and its samples. */
export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: ExpositionSample[];
}

/** One line. `name` has the suffix of a histogram's parts. */
export interface ExpositionSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The families by name, in the order of the text (https://prometheus.io/docs/instrumenting/exposition_formats/). */
export function readExposition(text: string): Map<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let help: readonly [name: string, text: string] | undefined;
  let current = "";
  for (const line of text.slice(0, -1).split("\n")) {
    const [, keyword, name, rest] = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.*)$/.exec(line) ?? [];
    if (keyword === "HELP") {
      help = [name!, rest!.replaceAll("\\n", "\n").replaceAll("\\\\", "\\")];
    } else if (keyword === "TYPE") {
      if (help?.[0] !== name || families.has(name!)) throw new Error(`out of place: ${line}`);
      families.set(name!, { type: rest!, help: help![1], samples: [] });
      current = name!;
    } else {
      const sample = readSample(line);
      const family = families.get(current);
      const own = family?.type === "histogram" ? sample.name.replace(/_(?:bucket|sum|count)$/, "") : sample.name;
      const series = JSON.stringify([sample.name, Object.entries(sample.labels).toSorted()]);
      if (own !== current || seen.has(series)) throw new Error(`out of place, or a second time: ${line}`);
      seen.add(series);
      family!.samples.push(sample);
    }
  }
  return families;
}

function readSample(line: string): ExpositionSample {
  const [, name, inBraces = "", value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (name === undefined) throw new Error(`no sample: ${JSON.stringify(line)}`);
  const labels: Record<string, string> = {};
  const label = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;
  while (label.lastIndex < inBraces.length) {
    const found = label.exec(inBraces);
    if (found === null || found[1]! in labels) throw new Error(`no labels: ${JSON.stringify(line)}`);
    labels[found[1]!] = found[2]!.replace(/\\(.)/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
  }
  return { name, labels, value: readValue(value!, line) };
}

function readValue(text: string, line: string): number {
  if (text === "+Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  if (!/^-?\d+(?:\.\d+)?(?:e[+-]\d+)?$/.test(text)) throw new Error(`no value: ${JSON.stringify(line)}`);
  return Number(text);
}

/** The value of the one sample of this name with exactly these labels; `undefined`: there is none. */
export function valueOf(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const family = families.get(name) ?? families.get(name.replace(/_(?:bucket|sum|count)$/, ""));
  const wanted = Object.entries(labels).toSorted();
  return family?.samples.find(
    (sample) => sample.name === name && Bun.deepEquals(Object.entries(sample.labels).toSorted(), wanted),
  )?.value;
}
