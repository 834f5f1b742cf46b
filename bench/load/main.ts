/** `bun run bench:load`: measures sluice side by side with other proxies and without one; `--help` says how. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Cell, compare, countMeasurements, directName, type Plan } from "./comparison.ts";
import { Generator } from "./generator.ts";
import { kinds, type Load, loads } from "./kinds.ts";
import { describeMachine, placeOnCores, readLimits } from "./machine.ts";
import { type Peer, peerRows, referenceName, repository } from "./peers.ts";
import { howToMeasure, renderJson, renderMarkdown, renderSample, renderTables } from "./report.ts";

const help = `bun run bench:load [options]

Measures sluice side by side with haproxy, haproxy with splicing and nginx (stream), as far as they are on PATH, and
without a proxy. Prints tables and targets, and replaces bench/RESULTS.md and bench/results.json. Linux, a C compiler.

  --quick            within two minutes: three rounds with as many seconds each as fit
  --kind A,B         only these kinds: ${kinds.join(", ")}
  --proxy A,B        only these proxies, such as sluice,haproxy; "${directName}" is always measured
  --rounds N         rounds, three or more for a median that says something (3)
  --seconds N        seconds of each measurement (3)
  --sluice COMMAND   the sluice to measure (bun src/main.ts), run in the repository's root; repeat it as NAME=COMMAND to
                     compare builds: --sluice before="bun ../before/src/main.ts" --sluice after="bun src/main.ts"
  --no-write         leave bench/RESULTS.md and bench/results.json as they are
  --help             this text

${howToMeasure.join("\n")}

Exit code: 0 measured (targets missed included) · 1 could not measure · 2 wrong usage · 130/143 interrupted.
`;

/** What a quick run is planned for: two minutes less a reserve for a slow machine. */
const quickBudgetSeconds = 105;
/** Starting one proxy for one load, warming it up and ending it. */
const startSeconds = 0.6;

interface Options {
  readonly quick: boolean;
  readonly write: boolean;
  readonly kinds: readonly string[] | undefined;
  readonly proxies: readonly string[] | undefined;
  readonly rounds: number | undefined;
  readonly seconds: number | undefined;
  /** Name → command. */
  readonly builds: ReadonlyMap<string, string>;
}

/** Wrong usage, said in one line; exit code 2. */
class UsageError extends Error {}

process.exitCode = await main(Bun.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const interrupt = new AbortController();
  let interruptedExitCode: number | undefined;
  const onSignal = (exitCode: number) => () => {
    interruptedExitCode = exitCode;
    interrupt.abort(new Error("interrupted"));
  };
  const onInterrupt = onSignal(130);
  const onTerminate = onSignal(143);
  process.once("SIGINT", onInterrupt).once("SIGTERM", onTerminate);
  try {
    if (args.includes("--help") || args.includes("-h")) {
      process.stdout.write(help);
      return 0;
    }
    await run(readOptions(args), args, interrupt.signal);
    return 0;
  } catch (error) {
    if (interruptedExitCode !== undefined) {
      console.error("interrupted: all that was started has been ended");
      return interruptedExitCode;
    }
    console.error(`bench:load: ${error instanceof Error ? error.message : String(error)}`);
    return error instanceof UsageError ? 2 : 1;
  } finally {
    process.removeListener("SIGINT", onInterrupt).removeListener("SIGTERM", onTerminate);
  }
}

async function run(options: Options, args: readonly string[], signal: AbortSignal): Promise<void> {
  if (process.platform !== "linux")
    throw new Error(`cannot measure on ${process.platform}: epoll and /proc are Linux's`);
  const startedAt = new Date();
  const placement = placeOnCores();
  const limits = readLimits();
  const { peers, leftOut } = findPeers(options);
  for (const reason of leftOut) console.error(`left out: ${reason}`);
  const plan = makePlan(options, peers);

  const folder = await mkdtemp(join(tmpdir(), "sluice-bench-"));
  try {
    await using generator = await Generator.compile(folder, placement, signal);
    const total = countMeasurements(plan);
    let done = 0;
    console.error(
      `${total} measurements of ${plan.seconds} s, about ${estimateMinutes(plan)} min; ${placement.sentence}`,
    );
    const cells: Cell[] = await compare(plan, {
      generator,
      placement,
      limits,
      folder,
      signal,
      progress(load, contender, round, sample) {
        done += 1;
        const count = `${String(done).padStart(String(total).length)}/${total}`;
        console.error(`[${count}] ${load.name} · round ${round} · ${contender}: ${renderSample(load, sample)}`);
      },
    });
    const results = {
      command: ["bun run bench:load", ...args.map(quote)].join(" "),
      startedAt,
      rounds: plan.rounds,
      seconds: plan.seconds,
      idleConnections: limits.idleConnections,
      machine: describeMachine(placement),
      peers,
      leftOut,
      cells,
    };
    console.log(`\n${renderTables(results)}`);
    if (!options.write) return;
    await Bun.write(join(repository, "bench/RESULTS.md"), renderMarkdown(results));
    await Bun.write(join(repository, "bench/results.json"), renderJson(results));
    // As the format check wants them.
    Bun.spawnSync([process.execPath, "fmt", "bench/RESULTS.md", "bench/results.json"], { cwd: repository });
    console.error("written: bench/RESULTS.md and bench/results.json");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function readOptions(args: string[]): Options {
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
    proxies: readList("--proxy", values.proxy, [directName, ...peerRows(builds).map((row) => row.name)]),
    rounds: readNumber("--rounds", values.rounds, /^[1-9]\d*$/, "a whole number from 1"),
    seconds: readNumber("--seconds", values.seconds, /^(?=.*[1-9])\d*\.?\d+$/, "a number above 0"),
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
        sluice: { type: "string", multiple: true },
        "no-write": { type: "boolean" },
      },
    }).values;
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)} (--help lists the options)`);
  }
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

function findPeers(options: Options): { peers: Peer[]; leftOut: string[] } {
  const peers: Peer[] = [];
  const leftOut: string[] = [];
  for (const row of peerRows(options.builds)) {
    if (options.proxies !== undefined && !options.proxies.includes(row.name)) continue;
    const found = row.find();
    if ("leftOut" in found) leftOut.push(`${row.name}: ${found.leftOut}`);
    else peers.push(found);
  }
  if (!peers.some((peer) => peer.name === referenceName))
    leftOut.push(`ratios, since ${referenceName} is not measured`);
  return { peers, leftOut };
}

function makePlan(options: Options, peers: readonly Peer[]): Plan {
  const chosen = loads.filter((load) => options.kinds === undefined || options.kinds.includes(load.kind));
  const plan: Plan = { loads: chosen, peers, rounds: options.rounds ?? 3, seconds: options.seconds ?? 3 };
  if (!options.quick || options.seconds !== undefined) return plan;
  const timed = chosen.filter((load) => !load.freshProxy);
  const spareSeconds = quickBudgetSeconds - estimateOverheadSeconds(plan);
  const fitting = spareSeconds / countMeasurements({ ...plan, loads: timed });
  return { ...plan, seconds: Math.min(3, Math.max(0.2, Math.floor(fitting * 10) / 10)) };
}

function estimateOverheadSeconds(plan: Plan): number {
  const overhead = (load: Load): number => load.overheadSeconds * countMeasurements({ ...plan, loads: [load] });
  return plan.loads.reduce((sum, load) => sum + overhead(load) + startSeconds * (plan.peers.length + 1), 0);
}

function estimateMinutes(plan: Plan): string {
  const timed = plan.loads.filter((load) => !load.freshProxy);
  const seconds = estimateOverheadSeconds(plan) + plan.seconds * countMeasurements({ ...plan, loads: timed });
  return (seconds / 60).toFixed(1);
}

function quote(argument: string): string {
  return /^[\w./,=-]+$/.test(argument) ? argument : JSON.stringify(argument);
}
