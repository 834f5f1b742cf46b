/** The command line of the benchmark: what it may say, and what it means. */
import { parseArgs } from "node:util";
import { directName } from "./contender.ts";
import { kinds, loads } from "./kinds.ts";
import { peerRows } from "./peers.ts";
import { howToMeasure } from "./report.ts";

/** What was asked for; undefined = not said. */
export interface Options {
  readonly quick: boolean;
  readonly write: boolean;
  readonly kinds: readonly string[] | undefined;
  readonly proxies: readonly string[] | undefined;
  readonly rounds: number | undefined;
  readonly seconds: number | undefined;
  readonly minutes: number | undefined;
  /** Name → command. */
  readonly builds: ReadonlyMap<string, string>;
}

/** Wrong usage, said in one line; exit code 2. */
export class UsageError extends Error {}

/** The text of `--help`. */
export const help = `bun run bench:load [options]

Measures sluice side by side with haproxy, haproxy with splicing, nginx (stream) and socat, as far as they are on PATH, and
without a proxy. Prints tables and targets, and writes bench/results.json and bench/RESULTS.md, in which the tables of loads
that were not measured stay as they are. Linux, a C compiler.

  --quick            within two minutes: without nginx and socat, and with as many seconds a measurement as fit
  --kind A,B         only these kinds: ${kinds.join(", ")}; ${onlyWhenNamed()} is run only when it is named here
  --proxy A,B        only these proxies, such as sluice,haproxy; "${directName}" is always measured. A proxy that is named is
                     measured for every load it can do
  --rounds N         rounds, three or more for a median that says something (3); soak has one
  --seconds N        seconds of each measurement (3)
  --minutes N        minutes of the soak (10); from 4 on it can be judged
  --sluice COMMAND   the sluice to measure (bun src/main.ts), run in the repository's root; repeat it as NAME=COMMAND to
                     compare builds: --sluice before="bun ../before/src/main.ts" --sluice after="bun src/main.ts".
                     Each build is measured as NAME (default configuration), NAME-copy (engine copy; bulk and mixed unless
                     --proxy names it) and NAME-log (access log on, into a file; connect only)
  --no-write         leave bench/RESULTS.md and bench/results.json as they are
  --help             this text

${howToMeasure.join("\n")}

Exit code: 0 measured (targets missed included) · 1 could not measure · 2 wrong usage · 130/143 interrupted.
`;

/** Reads the arguments. Fails with a UsageError. */
export function readOptions(args: string[]): Options {
  const values = parse(args);
  const builds = new Map<string, string>();
  for (const given of values.sluice ?? ["bun src/main.ts"]) {
    const named = /^([\w.-]+)=(.+)$/.exec(given);
    const name = named?.[1] ?? "sluice";
    if (builds.has(name)) throw new UsageError(`--sluice names "${name}" twice; write NAME=COMMAND for each build`);
    builds.set(name, named?.[2] ?? given);
  }
  return {
    quick: values.quick ?? false,
    write: !(values["no-write"] ?? false),
    kinds: readList("--kind", values.kind, kinds),
    proxies: readList("--proxy", values.proxy, [directName, ...readNames(builds)]),
    rounds: readNumber("--rounds", values.rounds, /^[1-9]\d*$/, "a whole number from 1"),
    seconds: readNumber("--seconds", values.seconds, /^(?=.*[1-9])\d*\.?\d+$/, "a number above 0"),
    minutes: readNumber("--minutes", values.minutes, /^(?=.*[1-9])\d*\.?\d+$/, "a number above 0"),
    builds,
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      strict: true,
      allowPositionals: false,
      options: {
        quick: { type: "boolean" },
        kind: { type: "string" },
        proxy: { type: "string" },
        rounds: { type: "string" },
        seconds: { type: "string" },
        minutes: { type: "string" },
        sluice: { type: "string", multiple: true },
        "no-write": { type: "boolean" },
      },
    }).values;
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)} (--help lists the options)`);
  }
}

/** The names of all contenders. A build must not be called like another one's configuration, or like a peer. */
function readNames(builds: ReadonlyMap<string, string>): string[] {
  const names = peerRows(builds).map((row) => row.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index || name === directName);
  if (twice !== undefined) throw new UsageError(`--sluice: "${twice}" is the name of another proxy of this run`);
  return names;
}

function readList(option: string, text: string | undefined, known: readonly string[]): string[] | undefined {
  if (text === undefined) return undefined;
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new UsageError(`${option}: found "${unknown}", wanted some of ${known.join(", ")}`);
  return names;
}

function readNumber(option: string, text: string | undefined, pattern: RegExp, wanted: string): number | undefined {
  if (text === undefined) return undefined;
  if (!pattern.test(text)) throw new UsageError(`${option}: found "${text}", wanted ${wanted}`);
  return Number(text);
}

function onlyWhenNamed(): string {
  return loads.flatMap((load) => (load.onlyWhenNamed ? [load.kind] : [])).join(", ");
}
