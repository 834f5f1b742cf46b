/**
 * Feeds the parsers of src/protocol with random, changed and spliced inputs:
 * `bun scripts/fuzz.ts [--inputs N] [--seconds S] [--seed X] [PART OF A NAME]`.
 *
 * Each gets N inputs (default: ten million), or as many as fit in S seconds. The first exception or broken law ends it
 * with exit code 1 and the input in hexadecimal; the seed gives the same inputs again.
 */
import { parseArgs } from "node:util";
import { fuzz } from "./fuzz-run.ts";
import { fuzzTargets } from "./fuzz-targets.ts";

const { values: options, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    inputs: { type: "string", default: "10000000" },
    seconds: { type: "string", default: "Infinity" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
});
const limits = {
  inputs: numberOf("inputs", options.inputs),
  seconds: numberOf("seconds", options.seconds),
  seed: numberOf("seed", options.seed),
};
const wanted = positionals[0] ?? "";
const targets = fuzzTargets.filter(({ name }) => name.includes(wanted));
if (targets.length === 0)
  usage(`no target has "${wanted}" in its name: ${fuzzTargets.map(({ name }) => name).join(", ")}`);

console.log(`seed ${limits.seed}`);
for (const target of targets) {
  const { inputs, seconds, outcomes, failure } = fuzz(target, limits);
  const counts = [...outcomes].toSorted().map(([outcome, count]) => `${count} ${outcome}`);
  console.log(`${target.name.padEnd(16)} ${inputs} inputs, ${counts.join(", ")}, ${seconds.toFixed(1)} s`);
  if (failure === undefined) continue;
  const { input, cut, error } = failure;
  console.log(`FAILED: ${error instanceof Error ? error.stack : String(error)}`);
  console.log(`the input, of ${input.length} bytes, and its first ${cut}:\n${Buffer.from(input).toString("hex")}`);
  process.exit(1);
}

function numberOf(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0)) usage(`--${name} ${text}: expected a number that is not negative`);
  return value;
}

function usage(problem: string): never {
  console.error(problem);
  process.exit(2);
}
