/** Reads what `bun test` says of its work: the closing lines of its output, and its JUnit report. */

/** The figures with which a run closes. An error outside of any test is among the failed. */
export interface Closing {
  passed: number;
  failed: number;
}

/**
 * Reads the last lines of a run that came to its end: ` 12 pass`, ` 0 fail`, …, `Ran 12 tests across 3 files.`
 * `undefined` when it did not.
 */
export function readClosing(output: string): Closing | undefined {
  const end = [...output.matchAll(/^Ran \d+ tests? across \d+ files?\./gm)].at(-1);
  if (end === undefined) return undefined;
  const count = (word: string): number => {
    const counts = [...output.slice(0, end.index).matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))];
    return Number(counts.at(-1)?.[1] ?? 0);
  };
  return { passed: count("pass"), failed: count("fail") };
}

/** What the report tells beyond the closing lines. */
export interface TestReport {
  /** How many tests of a file passed or failed, by its path. */
  ran: ReadonlyMap<string, number>;
  /** Names of the tests of a file that were skipped or are still to be written, by its path. */
  skipped: ReadonlyMap<string, readonly string[]>;
}

/**
 * Reads a JUnit report as Bun 1.4.5 writes it: a `testcase` each, with `failure` or `skipped` in it. It counts otherwise
 * than the closing lines do: an error outside of any test is missing, and of a process that crashed it has the tests
 * that were over by then.
 */
export function readReport(xml: string): TestReport {
  const ran = new Map<string, number>();
  const skipped = new Map<string, string[]>();
  for (const [, attributes = "", body = ""] of xml.matchAll(TEST_CASE)) {
    const file = attribute(attributes, "file");
    if (body.includes("<skipped")) {
      const name = [attribute(attributes, "classname"), attribute(attributes, "name")].filter(Boolean).join(" > ");
      skipped.set(file, [...(skipped.get(file) ?? []), name]);
    } else {
      ran.set(file, (ran.get(file) ?? 0) + 1);
    }
  }
  return { ran, skipped };
}

/** Inside of attributes and text, Bun escapes `<`, `>` and `"`: tags can be found by their shape. */
const TEST_CASE = /<testcase\s([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;

function attribute(attributes: string, name: string): string {
  const value = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1] ?? "";
  return value
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&amp;", "&");
}
