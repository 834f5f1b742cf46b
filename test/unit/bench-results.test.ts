/** What the load benchmark keeps and writes: results.json by load, what a later run replaces in it, and RESULTS.md. */
import { describe, expect, test } from "bun:test";
import { loads } from "../../bench/load/kinds.ts";
import type { Figures } from "../../bench/load/load.ts";
import { renderMarkdown, renderTables } from "../../bench/load/report.ts";
import { type Cell, medianOf } from "../../bench/load/statistics.ts";
import { mergeStores, parseStore, renderStore, type StoredLoad } from "../../bench/load/store.ts";

const known = loads.map((load) => load.name);
const [down, up, idle, soak] = ["bulk down, 1 flow", "bulk up, 1 flow", "idle", "soak"] as const;

describe("results.json", () => {
  test("comes back as it was written, with medians and ratios for programs beside the samples", () => {
    const store = new Map([[down, storedLoad("first", bulkCells(10, 20))]]);
    const text = renderStore(store);
    expect(JSON.parse(text)).toMatchObject({
      loads: { [down]: { command: "first", cells: [{}, { figures: { rate: { median: 20, toHaproxy: 2 } } }] } },
      targets: [{ load: down, contender: "sluice", figure: "rate", verdict: "not measured" }, { figure: "cpu" }],
    });
    const again = parseStore(text);
    expect([...again.keys()]).toEqual([down]);
    expect(again.get(down)).toMatchObject({ command: "first", rounds: 3, cells: bulkCells(10, 20) });
    expect(renderStore(again)).toBe(text);
  });

  test("may be missing, and must be nothing else, since it would be overwritten", () => {
    expect(parseStore("").size).toBe(0);
    expect(() => parseStore("[]")).toThrow('found neither "loads" nor "cells"');
    expect(() => parseStore("null")).toThrow("found no JSON object");
    expect(() => parseStore("{")).toThrow();
  });

  test("of the time when it held one run is taken over load by load", () => {
    const { cells, ...run } = storedLoad("bun run bench:load", []);
    const peers = [
      { name: "haproxy", version: "2.6" },
      { name: "sluice", version: "0.1.0 (bun src/main.ts)" },
    ];
    const old = [down, up].flatMap((load) =>
      bulkCells(10, 20).map((one) => ({ kind: "bulk", load, ...one, figures: { rate: { median: 1 } } })),
    );
    const store = parseStore(JSON.stringify({ ...run, peers, cells: [...cells, ...old], targets: [] }));
    expect([...store.keys()]).toEqual([down, up]);
    expect(store.get(up)).toEqual({
      ...run,
      peers: [
        { name: "haproxy", version: "2.6", sluice: undefined },
        { ...peers[1]!, sluice: { build: "sluice", variant: "default" } },
      ],
      cells: bulkCells(10, 20),
    });
  });

  test("keeps the loads that a run did not measure, in the order of the report, and drops loads there are no more", () => {
    const before = new Map([
      [idle, storedLoad("first", [])],
      ["bulk sideways", storedLoad("first", [])],
      [up, storedLoad("first", [])],
    ]);
    const merged = mergeStores(
      before,
      new Map([
        [down, storedLoad("second", [])],
        [idle, storedLoad("second", [])],
      ]),
      known,
    );
    expect([...merged].map(([name, { command }]) => `${name}: ${command}`)).toEqual([
      `${down}: second`,
      `${up}: first`,
      `${idle}: second`,
    ]);
  });
});

describe("the report", () => {
  test("says with each table when and how it was measured, and names each run once", () => {
    const text = renderMarkdown(
      new Map([
        [down, storedLoad("first", bulkCells(10, 20))],
        [up, storedLoad("first", bulkCells(10, 20))],
        [soak, { ...storedLoad("second", []), rounds: 1, seconds: 600, startedAt: "2026-11-22T08:00:01.000Z" }],
      ]),
    );
    expect(text.match(/^#+ .*/gm)).toEqual([
      "# Side by side",
      `### ${down}`,
      `### ${up}`,
      "### soak, 10 minutes",
      "### Targets",
    ]);
    expect(text.match(/^- 2026.*/gm)).toEqual(["- 2026-11-21 11:40 UTC, `first`", "- 2026-11-22 08:00 UTC, `second`"]);
    expect(text.match(/^2026.*/gm)).toEqual([
      "2026-11-21 11:40 UTC, `first`: 3 rounds of 3 s.",
      "2026-11-21 11:40 UTC, `first`: 3 rounds of 3 s.",
      "2026-11-22 08:00 UTC, `second`: 1 round of 600 s.",
    ]);
    expect(text).toContain("  - socat: a process for each connection\n  - left out: nginx: not on PATH");
  });

  test("gives the median with its range and the ratios to haproxy and to haproxy with splicing", () => {
    const rows = rowsOf(down, [
      cell("haproxy", { rate: 10 }, { rate: 12 }, { rate: 8 }),
      cell("haproxy-splice", { rate: 20 }, { rate: 20 }, { rate: 20 }),
      cell("sluice", { rate: 30, cpu: 0.25 }, { rate: 30, cpu: 0.25 }, {}),
    ]);
    expect(rows[0]!.slice(1, 7)).toEqual([
      "Gb/s",
      "× haproxy",
      "× haproxy-splice",
      "CPU-s/GiB",
      "× haproxy",
      "× haproxy-splice",
    ]);
    expect(rows[2]!.slice(0, 4)).toEqual(["haproxy", "10.0 (8.0–12.0)", "1.00", "0.50"]);
    expect(rows[4]!.slice(0, 6)).toEqual(["sluice", "30.0 (30.0–30.0)", "2.75", "1.50", "0.250", "–"]);
  });

  test("warns of errors, of a core that was not filled, of other programs and of a generator that may be the limit", () => {
    const bad: Cell = {
      contender: "sluice",
      samples: [
        { figures: { rate: 10, busy: 50, others: 20 }, errors: 2, firstError: "connect: refused", remark: "two more" },
      ],
    };
    const text = renderTables(new Map([[down, storedLoad("first", [cell("direct", { rate: 12 }), bad])]]));
    expect(text.match(/^- .*/gm)).toEqual([
      "- WARNING: direct is 1.20 × the best proxy (sluice), wanted 1.3 ×: the generator may be the limit; compare CPU.",
      "- Core not filled, so that the rate is a lower bound and the CPU figure holds: sluice 50 %.",
      "- WARNING: other programs used up to 20 % of the machine in 1 of 2 measurements: repeat it on a quiet machine.",
      "- sluice: two more.",
      "- ERRORS with sluice in 1 rounds, the first: connect: refused",
    ]);
    expect(text).toContain("| ERRORS ");
  });
});

function storedLoad(command: string, cells: readonly Cell[]): StoredLoad {
  return {
    command,
    startedAt: "2026-11-21T11:40:24.343Z",
    machine: { cpu: "A", cores: 2, memoryGib: 24, kernel: "6.18", bun: "1.4.5", placement: "proxy on core 1" },
    peers: [
      { name: "haproxy", version: "2.6" },
      { name: "socat", version: "1.7", remark: "a process for each connection" },
      { name: "sluice", version: "0.1.0", sluice: { build: "sluice", variant: "default" } },
    ],
    leftOut: ["nginx: not on PATH"],
    idleConnections: 5000,
    rounds: 3,
    seconds: 3,
    cells,
  };
}

function bulkCells(theirs: number, ours: number): Cell[] {
  const cells = [cell("haproxy", { rate: theirs }), cell("sluice", { rate: ours })];
  expect(cells.map((one) => medianOf(one, "rate"))).toEqual([theirs, ours]);
  return cells;
}

function cell(contender: string, ...rounds: Figures[]): Cell {
  return { contender, samples: rounds.map((figures) => ({ figures, errors: 0, firstError: "" })) };
}

/** The first table, field by field. */
function rowsOf(load: string, cells: readonly Cell[]): string[][] {
  const table = renderTables(new Map([[load, storedLoad("first", cells)]])).match(/^\|.*/gm) ?? [];
  return table.map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((field) => field.trim()),
  );
}
