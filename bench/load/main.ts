/** `bun run bench:load`: measures sluice side by side with other proxies and without one; `--help` says how. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compare, type Compared } from "./comparison.ts";
import { Generator } from "./generator.ts";
import { loads } from "./kinds.ts";
import { describeMachine, placeOnCores, readLimits } from "./machine.ts";
import { help, type Options, readOptions, UsageError } from "./options.ts";
import { haproxyName, type Peer, repository } from "./peer.ts";
import { peerRows } from "./peers.ts";
import { countMeasurements, estimateSeconds, fitQuick, peersOf, type Plan, roundsOf } from "./plan.ts";
import { renderMarkdown, renderSample, renderTables } from "./report.ts";
import { type Measured, mergeStores, parseStore, renderStore, type Store } from "./store.ts";

const resultsFile = join(repository, "bench/results.json");
const reportFile = join(repository, "bench/RESULTS.md");

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
  const startedAt = new Date().toISOString();
  const placement = placeOnCores();
  const limits = readLimits();
  const { peers, leftOut } = findPeers(options);
  const plan = makePlan(options, peers);
  const measuredPeers = peers.filter((peer) => plan.loads.some((load) => peersOf(plan, load).includes(peer)));
  for (const reason of leftOut) console.error(`left out: ${reason}`);
  // Before the minutes it takes to have something to write.
  const before = options.write ? await readStore() : new Map();

  const folder = await mkdtemp(join(tmpdir(), "sluice-bench-"));
  try {
    await using generator = await Generator.compile(folder, placement, signal);
    const total = countMeasurements(plan);
    let done = 0;
    const minutes = (estimateSeconds(plan) / 60).toFixed(1);
    const each = [...new Set(plan.loads.map((load) => load.secondsOf(plan.timing)))].filter((seconds) => seconds > 0);
    const lasting = each.length === 0 ? "" : ` (${each.join(" or ")} s)`;
    console.error(`measurements: ${total}${lasting}, about ${minutes} min; ${placement.sentence}`);
    const compared = await compare(plan, {
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
      say(load, contender, line) {
        console.error(`${load.name} · ${contender} · ${line}`);
      },
    });
    const fresh = storeOf(compared, plan, {
      command: ["bun run bench:load", ...args.map(quote)].join(" "),
      startedAt,
      machine: describeMachine(placement),
      peers: measuredPeers.map(({ name, version, remark, sluice }) => ({ name, version, remark, sluice })),
      leftOut,
      idleConnections: limits.idleConnections,
    });
    console.log(`\n${renderTables(fresh)}`);
    if (options.write) await writeStore(before, fresh);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function findPeers(options: Options): { peers: Peer[]; leftOut: string[] } {
  const peers: Peer[] = [];
  const leftOut: string[] = [];
  for (const { find, ...row } of peerRows(options.builds)) {
    const named = options.proxies?.includes(row.name) ?? false;
    if (options.proxies !== undefined && !named) continue;
    const found = find();
    if ("leftOut" in found) leftOut.push(`${row.name}: ${found.leftOut}`);
    else if (options.quick && !named && row.scope.quick?.length === 0) leftOut.push(`${row.name}: not in a quick run`);
    else peers.push({ ...row, ...found });
  }
  if (!peers.some((peer) => peer.name === haproxyName)) leftOut.push(`ratios, since ${haproxyName} is not measured`);
  return { peers, leftOut };
}

function makePlan(options: Options, peers: readonly Peer[]): Plan {
  const { kinds, quick, rounds = 3, seconds = 3, minutes = 10 } = options;
  const plan: Plan = {
    loads: loads.filter((load) => (kinds === undefined ? !load.onlyWhenNamed : kinds.includes(load.kind))),
    peers,
    named: options.proxies ?? [],
    quick,
    rounds,
    timing: { seconds, minutes },
  };
  return quick && options.seconds === undefined ? fitQuick(plan) : plan;
}

function storeOf(compared: readonly Compared[], plan: Plan, measured: Measured): Store {
  return new Map(
    compared.map(({ load, cells }) => {
      const contenders = new Set(cells.map((cell) => cell.contender));
      const peers = measured.peers.filter((peer) => contenders.has(peer.name));
      const about = { rounds: roundsOf(plan, load), seconds: load.secondsOf(plan.timing) };
      return [load.name, { ...measured, peers, ...about, cells }];
    }),
  );
}

async function readStore(): Promise<Store> {
  const file = Bun.file(resultsFile);
  try {
    return parseStore((await file.exists()) ? await file.text() : "");
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot read bench/results.json, which the tables of other loads are kept in: ${found}`);
  }
}

async function writeStore(before: Store, fresh: Store): Promise<void> {
  const store = mergeStores(
    before,
    fresh,
    loads.map((load) => load.name),
  );
  await Bun.write(resultsFile, renderStore(store));
  await Bun.write(reportFile, renderMarkdown(store));
  // As the format check wants them.
  Bun.spawnSync([process.execPath, "fmt", "bench/RESULTS.md", "bench/results.json"], { cwd: repository });
  console.error("written: bench/RESULTS.md and bench/results.json");
}

function quote(argument: string): string {
  return /^[\w./,=-]+$/.test(argument) ? argument : JSON.stringify(argument);
}
