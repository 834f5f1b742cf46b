/** The targets of the load benchmark: whose figure is measured against whose, round by round, and the verdict. */
import { describe, expect, test } from "bun:test";
import { loads } from "../../bench/load/kinds.ts";
import type { Figures } from "../../bench/load/load.ts";
import { peerRows } from "../../bench/load/peers.ts";
import { type Cell, median, ratioOf } from "../../bench/load/statistics.ts";
import type { Store, StoredPeer } from "../../bench/load/store.ts";
import { judge, judgeAll, type Target, targets } from "../../bench/load/targets.ts";

test("the median is the middle one, or between the two in the middle, of what could be taken", () => {
  expect(median([3, undefined, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([undefined])).toBeUndefined();
});

test("a ratio is the median of those inside the rounds, not that of the medians", () => {
  const ours = cell("sluice", { rate: 10 }, { rate: 40 }, { rate: 90 });
  const theirs = cell("haproxy", { rate: 10 }, { rate: 10 }, { rate: 100 });
  expect(ratioOf(ours, theirs, "rate")).toBe(1);
  expect(ratioOf(cell("sluice", { rate: 10 }, {}, { rate: 50 }), theirs, "rate")).toBe(0.75);
  expect(ratioOf(ours, cell("haproxy", { rate: 0 }), "rate")).toBeUndefined();
  expect(ratioOf(ours, undefined, "rate")).toBeUndefined();
});

describe("a target", () => {
  const atLeast: Target = { load: "", variant: "default", figure: "rate", says: "", bound: "at least", value: 1.3 };
  const atMost: Target = { ...atLeast, bound: "at most" };

  test.each([
    [atLeast, 1.3, 0, "met"],
    [atLeast, 1.29, 0, "MISSED"],
    [atMost, 1.3, 0, "met"],
    [atMost, 1.31, 0, "MISSED"],
    [atMost, undefined, 0, "not measured"],
    [atLeast, 2, 1, "ERRORS"],
    [atLeast, undefined, 1, "ERRORS"],
  ] as const)("%j with %p found and %d errors", (target, found, errors, verdict) => {
    expect(judge(target, found, errors)).toBe(verdict);
  });

  test("belongs to one configuration of every build and to the reference it names", () => {
    const found = judgedOf("bulk down, 1 flow", [
      cell("haproxy", { rate: 10, cpu: 1 }),
      cell("haproxy-splice", { rate: 20, cpu: 0.5 }),
      cell("sluice", { rate: 30, cpu: 0.2 }),
      cell("sluice-copy", { rate: 16, cpu: 0.7 }),
      cell("other", { rate: 10, cpu: 0.4 }),
    ]);
    expect(found).toEqual([
      "sluice throughput at least 1.3 × haproxy-splice: 1.5 met",
      "other throughput at least 1.3 × haproxy-splice: 0.5 MISSED",
      "sluice CPU per GiB at most 0.6 × haproxy-splice: 0.4 met",
      "other CPU per GiB at most 0.6 × haproxy-splice: 0.8 MISSED",
      "sluice-copy throughput at least 1.5 × haproxy: 1.6 met",
      "sluice-copy CPU per GiB at most 0.65 × haproxy: 0.7 MISSED",
    ]);
  });

  test("on the access log refers to the same build without it", () => {
    const found = judgedOf("connect, 32 at once", [
      cell("haproxy", { rate: 20, cpu: 50 }),
      cell("sluice", { rate: 20, cpu: 60 }),
      cell("sluice-log", { rate: 19, cpu: 70 }),
    ]);
    expect(found).toEqual([
      "sluice connections at least 1 × haproxy: 1 met",
      "sluice CPU per connection at most 1 × haproxy: 1.2 MISSED",
      "sluice-log connections, access log on at least 0.9 × sluice: 0.95 met",
    ]);
  });

  test("that needs a reference is not measured without it, and one that needs none is", () => {
    expect(judgedOf("ping-pong 64 B, 512 connections", [cell("sluice", { rate: 9, cpu: 1 })])).toEqual([
      "sluice round trips at least 1 × haproxy: undefined not measured",
      "sluice CPU per round trip at most 1 × haproxy: undefined not measured",
    ]);
    expect(judgedOf("idle", [cell("sluice", { growthKb: 2, residentMb: 61 })])).toEqual([
      "sluice KB per connection at most 4: 2 met",
      "sluice MB at start at most 60: 61 MISSED",
    ]);
    expect(judgedOf("soak", [cell("sluice", { residentGrowth: 1.05, descriptorsLeft: 1 })])).toEqual([
      "sluice MB of the last minute ÷ third minute at most 1.05: 1.05 met",
      "sluice descriptors left at most 0: 1 MISSED",
    ]);
  });

  test("is about loads, figures and references that there are", () => {
    const peers = peerRows(new Map()).map((row) => row.name);
    for (const { load, figure, times } of targets) {
      const meant = loads.filter(({ name }) => name.startsWith(load));
      expect({ load, found: meant.length > 0 }).toEqual({ load, found: true });
      for (const { columns } of meant) expect(columns.map((column) => column.figure)).toContain(figure);
      if (times !== undefined && times !== "own default") expect(peers).toContain(times);
    }
  });
});

function cell(contender: string, ...rounds: Figures[]): Cell {
  return { contender, samples: rounds.map((figures) => ({ figures, errors: 0, firstError: "" })) };
}

/** Every target that applies to these cells, in words. */
function judgedOf(load: string, cells: readonly Cell[]): string[] {
  const builds = new Map([
    ["sluice", "bun src/main.ts"],
    ["other", "bun src/main.ts"],
  ]);
  const peers: StoredPeer[] = peerRows(builds).map(({ name, sluice }) => ({ name, version: "1.0.0", sluice }));
  const machine = { cpu: "", cores: 2, memoryGib: 1, kernel: "", bun: "", placement: "" };
  const run = { command: "", startedAt: "", machine, peers, leftOut: [], idleConnections: 0, rounds: 1, seconds: 1 };
  const store: Store = new Map([[load, { ...run, cells }]]);
  return judgeAll(store).map(({ target, contender, reference, found, verdict }) => {
    const times = reference === undefined ? "" : ` × ${reference}`;
    return `${contender} ${target.says} ${target.bound} ${target.value}${times}: ${found} ${verdict}`;
  });
}
