/**
 * Every check of this project, as `npm test` and `bun run test` run it: types, format, lint, then all tests, in random
 * order. It fails when one of them does, and when the tests did not really run: no closing line (a stray
 * `process.exit(0)` ends `bun test` with code 0), no test, fewer than the files declare, or, with CI=true, one that was
 * skipped. Its last line is `N passed, N failed`, as the runner reported. Temporary files of the tests are in a folder of
 * their own (TMPDIR), which goes with all that is in it when a run is over, however it ended.
 *
 *   bun scripts/test.ts [--times N] [--seed N] [--only-tests] [--root DIR]
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { countDeclaredTests } from "./declared-tests.ts";
import { type Closing, readClosing, readReport, type TestReport } from "./test-report.ts";

/** A whole run that takes longer is ended: something hangs. */
const RUN_TIMEOUT_MS = 30 * 60_000;
/**
 * For one test, unless it says otherwise. It bounds what hangs; a wait in a test gives up earlier, with a sentence.
 * Given as an argument, since Bun 1.4.5 ignores `timeout` in bunfig.toml.
 */
const TEST_TIMEOUT_MS = 30_000;
/** Many of the tests wait rather than work, and some measure time: more at once would disturb them. */
const WORKERS_MAX = 4;

const { values: options } = parseArgs({
  options: {
    times: { type: "string", default: "1" },
    seed: { type: "string" },
    "only-tests": { type: "boolean", default: false },
    root: { type: "string", default: join(import.meta.dir, "..") },
  },
});
const root = resolve(options.root);
const times = Number(options.times);
if (!Number.isInteger(times) || times < 1) throw new Error(`--times ${options.times}: expected a number from 1 on`);

/** What came to end this process. It ends what runs, and this process when all is cleared away; a second one ends it at once. */
let endedBy: NodeJS.Signals | undefined;
const ending = new AbortController();
for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    endedBy = signal;
    ending.abort();
  });
}

process.exitCode = await main();
if (endedBy !== undefined) process.kill(process.pid, endedBy);

async function main(): Promise<number> {
  const failures: string[] = options["only-tests"] ? [] : await runChecks();
  let passed = 0;
  let failed = 0;
  let closings = 0;
  for (let time = 1; time <= times && endedBy === undefined; time++) {
    const { closing, problems } = await runTests(time);
    if (closing !== undefined) {
      passed += closing.passed;
      failed += closing.failed;
      closings++;
    }
    failures.push(...problems.map((problem) => (times === 1 ? problem : `run ${time} of ${times}: ${problem}`)));
  }
  say("");
  for (const failure of failures) say(`FAILED: ${failure}`);
  if (closings > 0) say(`${passed} passed, ${failed} failed`);
  return failures.length === 0 ? 0 : 1;
}

/** What is checked before the tests; the names of those that failed. */
async function runChecks(): Promise<string[]> {
  const checks: readonly { name: string; command: readonly string[] }[] = [
    { name: "types", command: ["check", "-b", "--no-script"] },
    { name: "format", command: ["fmt", "--check", "--no-script"] },
    // Its own interpreter would be Node, which need not be here.
    { name: "lint", command: ["--bun", join("node_modules", "oxlint", "bin", "oxlint"), "--deny-warnings"] },
  ];
  const failures: string[] = [];
  for (const { name, command } of checks) {
    if (endedBy !== undefined) break;
    const startMs = performance.now();
    const { code, output } = await run([process.execPath, ...command], "quiet");
    say(`${name.padEnd(8)}${code === 0 ? "ok" : "FAILED"} (${seconds(performance.now() - startMs)})`);
    if (code === 0) continue;
    say(output.trimEnd());
    failures.push(`${name}: exit code ${code}`);
  }
  return failures;
}

/** Runs all tests once. What is wrong with the run is told, whether or not the runner thinks so. */
async function runTests(time: number): Promise<{ closing: Closing | undefined; problems: string[] }> {
  const seed = options.seed ?? String(Math.floor(Math.random() * 2 ** 31));
  const folder = mkdtempSync(join(tmpdir(), "sluice-run-"));
  const reportFile = join(folder, "report.xml");
  // Short, since the paths of Unix sockets in it have to be.
  const temporary = join(folder, "tmp");
  say(`tests   ${times === 1 ? "" : `run ${time} of ${times}, `}seed ${seed}`);
  try {
    mkdirSync(temporary);
    // Programs that run as another user pass through, to the folders in it that are theirs.
    for (const path of [folder, temporary]) chmodSync(path, 0o711);
    const startMs = performance.now();
    const { code, output } = await run(
      [
        process.execPath,
        "test",
        "--no-orphans",
        `--parallel=${Math.min(availableParallelism(), WORKERS_MAX)}`,
        "--randomize",
        `--seed=${seed}`,
        `--timeout=${TEST_TIMEOUT_MS}`,
        "--only-failures",
        "--reporter=junit",
        `--reporter-outfile=${reportFile}`,
      ],
      "shown",
      { TMPDIR: temporary },
    );
    const closing = readClosing(output);
    const problems = judge(code, closing, readReportFile(reportFile));
    say(`tests   ${problems.length === 0 ? "ok" : "FAILED"} (${seconds(performance.now() - startMs)})`);
    return { closing, problems };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What is wrong with a run. The counts are those of its closing lines; the report has the files and the names. */
function judge(code: number | null, closing: Closing | undefined, report: TestReport): string[] {
  const declared = declaredTests();
  if (declared.length === 0) return ["no test ran: there is no file of tests"];
  if (closing === undefined) {
    const how = code === null ? `it was ended after ${seconds(RUN_TIMEOUT_MS)}` : `exit code ${code}`;
    return [`bun test came to no closing line (${how}): does a test, or what it calls, end the process?`];
  }
  const problems: string[] = [];
  const ran = closing.passed + closing.failed;
  if (closing.failed > 0) problems.push(`${closing.failed} of ${ran} tests failed`);
  else if (code !== 0) problems.push(`bun test ended with code ${code}, although no test failed`);
  if (ran === 0) problems.push("no test ran");
  for (const { file, count } of declared) {
    const ranOfFile = report.ran.get(file) ?? 0;
    const skippedOfFile = report.skipped.get(file)?.length ?? 0;
    if (ranOfFile + skippedOfFile < count) problems.push(`${file} declares ${count} tests, ${ranOfFile} ran`);
  }
  const skipped = [...report.skipped].flatMap(([file, names]) => names.map((name) => `skipped: ${file}: ${name}`));
  // Whoever tries the repository need not have every tool that some test asks for; CI installs them.
  if (process.env["CI"] === "true") problems.push(...skipped);
  else for (const line of skipped) say(line);
  return problems;
}

/** Every file that `bun test` takes for tests, wherever it lies, with what it declares. */
function declaredTests(): { file: string; count: number }[] {
  const pattern = new Bun.Glob("**/*{.test,.spec,_test,_spec}.{ts,tsx,mts,cts,js,jsx,mjs,cjs}");
  return [...pattern.scanSync({ cwd: root })]
    .filter((file) => !/(^|\/)(node_modules|dist)\//.test(file))
    .sort()
    .map((file) => ({ file, count: countDeclaredTests(readFileSync(join(root, file), "utf8")) }));
}

/** Bun writes no report when no test ran: nothing is in it then. */
function readReportFile(file: string): TestReport {
  return readReport(existsSync(file) ? readFileSync(file, "utf8") : "");
}

/** Runs a command in the root; `shown` passes its output on as it comes. Without a code it was ended for its time. */
async function run(
  command: readonly string[],
  output: "quiet" | "shown",
  environment: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; output: string }> {
  const child = Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, ...(process.stdout.isTTY ? { FORCE_COLOR: "1" } : {}), ...environment },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: RUN_TIMEOUT_MS,
    signal: ending.signal,
  });
  let whole = "";
  const follow = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      whole += decoder.decode(chunk, { stream: true });
      if (output === "shown") process.stdout.write(chunk);
    }
  };
  await Promise.all([follow(child.stdout), follow(child.stderr), child.exited]);
  return { code: child.exitCode, output: Bun.stripANSI(whole) };
}

/** Everything goes the same way, so that the closing line comes last. */
function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
