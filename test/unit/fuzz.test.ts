/** scripts/fuzz.ts: a run of it, and that it finds what is wrong with a parser. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { FuzzInput } from "../../scripts/fuzz-input.ts";
import { fuzz } from "../../scripts/fuzz-run.ts";
import { fuzzTargets, peekTarget } from "../../scripts/fuzz-targets.ts";
import { httpRequestBytesMax, peekHttpRequest } from "../../src/protocol/http-request.ts";
import { more, type Peek } from "../../src/protocol/peek.ts";

const limits = { inputs: 5000, seconds: 60, seed: 1 };

test.each(fuzzTargets.map((target) => [target.name, target] as const))(
  "%s stands some thousand inputs, right ones and wrong ones",
  (_, target) => {
    const { inputs, outcomes, failure } = fuzz(target, limits);
    expect(failure).toBeUndefined();
    expect(inputs).toBe(limits.inputs);
    expect([...outcomes.values()].reduce((sum, count) => sum + count)).toBe(inputs);
    for (const outcome of target.name === "byte-text" ? ["read", "refused"] : ["done", "more", "invalid"]) {
      expect({ outcome, isTried: (outcomes.get(outcome) ?? 0) > 100 }).toEqual({ outcome, isTried: true });
    }
  },
);

describe("a parser is caught that", () => {
  const seeds = [Buffer.from("abcdef"), Buffer.from("abcabc")];
  const done = (bytes: number): Peek<string> => ({ kind: "done", value: "", bytes });
  const invalid: Peek<string> = { kind: "invalid", why: "so" };
  const rows: [what: string, peek: (bytes: Uint8Array) => Peek<string>, message: RegExp][] = [
    [
      "throws",
      (bytes) => {
        throw new RangeError(`at ${bytes.length}`);
      },
      /^at \d+$/,
    ],
    ["reads behind the end", (bytes) => done(bytes.length + 1), /bytes done of/],
    ["takes nothing", () => done(0), /0 bytes done of/],
    ["never decides", () => more, /more after \d+ bytes, at most 16/],
    ["changes its mind", (bytes) => (bytes.length < 3 ? invalid : done(1)), /invalid after [0-2] bytes, done after/],
    [
      "takes more when there is more",
      (bytes) => (bytes.length === 0 ? more : done(Math.min(bytes.length, 16))),
      /bytes done after/,
    ],
    ["wants more than it needs", (bytes) => (bytes.length < 4 ? more : done(2)), /more after [23] bytes, done are 2/],
    ["has no reason", () => ({ kind: "invalid", why: "" }), /without a reason/],
  ];
  test.each(rows)("%s", (_, peek, message) => {
    const { failure } = fuzz(peekTarget("wrong", { peek, bytesMax: 16 }, seeds), { ...limits, inputs: 100_000 });
    expect((failure?.error as Error | undefined)?.message).toMatch(message);
    expect(failure?.input.length).toBeGreaterThanOrEqual(failure?.cut ?? Infinity);
  });

  test("has a mistake deep in a valid input", () => {
    // Reads the head, and then one byte too many when a field is empty.
    const peek = (bytes: Uint8Array): Peek<unknown> => {
      const request = peekHttpRequest(bytes);
      const isOff = request.kind === "done" && Buffer.from(bytes).includes(":\r\n");
      return isOff ? { ...request, bytes: request.bytes + 1 } : request;
    };
    const { seeds: right } = fuzzTargets.find(({ name }) => name === "http-request")!;
    const { failure } = fuzz(peekTarget("wrong", { peek, bytesMax: httpRequestBytesMax }, right), {
      ...limits,
      inputs: 100_000,
    });
    expect(Buffer.from(failure!.input).toString()).toContain(":\r\n");
  });
});

test("the same number gives the same inputs, another one others, and some are as long as the bound", () => {
  const inputs = (seed: number): string[] => {
    const source = new FuzzInput([Buffer.from("seed")], 100, seed);
    return Array.from({ length: 20_000 }, () => Buffer.from(source.next()).toString("hex"));
  };
  const first = inputs(1);
  expect(inputs(1)).toEqual(first);
  expect(inputs(2)).not.toEqual(first);
  expect(first.filter((input) => input.length / 2 >= 100).length).toBeGreaterThan(1);
  expect(new Set(first).size).toBeGreaterThan(5000);
});

describe("the command", () => {
  test("tries every parser and says how many inputs came to what", () => {
    const { code, stdout } = run("--inputs", "2000", "--seed", "7");
    expect(stdout).toStartWith("seed 7\n");
    for (const { name } of fuzzTargets)
      expect(stdout).toMatch(new RegExp(`^${name} +2000 inputs, .*, \\d+\\.\\d s$`, "m"));
    expect(stdout.trimEnd().split("\n").length).toBe(1 + fuzzTargets.length);
    expect(code).toBe(0);
  });

  test("stops when its time is over, and tries what it is told", () => {
    const { code, stdout } = run("--seconds", "0", "proxy");
    expect(stdout).toMatch(/^seed \d+\nproxy-header +0 inputs, .*\n$/);
    expect(code).toBe(0);
  });

  test.each([
    [["--inputs", "many"], "--inputs many: expected a number that is not negative\n"],
    [["--seconds=-1"], "--seconds -1: expected a number that is not negative\n"],
    [["dns"], `no target has "dns" in its name: ${fuzzTargets.map(({ name }) => name).join(", ")}\n`],
  ])("refuses %j", (args, stderr) => {
    expect(run(...args)).toMatchObject({ code: 2, stderr });
  });
});

function run(...args: string[]): { code: number; stdout: string; stderr: string } {
  const script = join(import.meta.dir, "../../scripts/fuzz.ts");
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, script, ...args]);
  return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}
