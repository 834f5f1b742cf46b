/** The exposition of metrics: against the names of the interface, their documentation, and figures made for it. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timeoutKinds, type ProgramFigures } from "../../src/admin/figures.ts";
import { exposition } from "../../src/admin/metrics/exposition.ts";
import { withMetricTables } from "../../src/admin/metrics/reference.ts";
import { metrics } from "../../src/admin/metrics/table.ts";
import { ENDS } from "../../src/session/end.ts";
import { durationBoundsMs, DurationHistogram } from "../../src/stats/histogram.ts";
import { readExposition, valueOf, type Family } from "../support/exposition.ts";
import { call, lacks } from "../support/programs.ts";

const page = readFileSync(join(import.meta.dir, "../../docs/metrics.md"), "utf8");

/** What users and dashboards rely on: name, type, labels. */
const fixed: Readonly<Record<string, readonly [type: string, ...labels: string[]]>> = {
  sluice_connections_active: ["gauge", "listener"],
  sluice_connections_total: ["counter", "listener", "backend", "end"],
  sluice_connections_rejected_total: ["counter", "listener", "reason"],
  sluice_connection_seconds: ["histogram", "listener"],
  sluice_bytes_total: ["counter", "listener", "direction"],
  sluice_timeouts_total: ["counter", "kind"],
  sluice_forwarding_engine_connections: ["gauge", "engine"],
  sluice_connect_seconds: ["histogram", "backend"],
  sluice_first_byte_seconds: ["histogram", "backend"],
  sluice_retries_total: ["counter", "backend"],
  sluice_endpoint_up: ["gauge", "backend", "endpoint"],
  sluice_endpoint_connections_active: ["gauge", "backend", "endpoint"],
  sluice_endpoint_ejections_total: ["counter", "backend", "endpoint"],
  sluice_connect_failures_total: ["counter", "backend", "endpoint", "reason"],
  sluice_health_checks_total: ["counter", "backend", "endpoint", "result"],
  sluice_ready: ["gauge"],
  sluice_state: ["gauge", "state"],
  sluice_drain_remaining: ["gauge"],
  sluice_reloads_total: ["counter", "result"],
  sluice_trace_spans_total: ["counter", "result"],
  sluice_connections_max: ["gauge"],
  sluice_open_fds: ["gauge"],
  sluice_max_fds: ["gauge"],
  sluice_build_info: ["gauge", "version", "bun"],
  process_cpu_user_seconds_total: ["counter"],
  process_cpu_system_seconds_total: ["counter"],
  process_cpu_seconds_total: ["counter"],
  process_resident_memory_bytes: ["gauge"],
  process_virtual_memory_bytes: ["gauge"],
  process_heap_bytes: ["gauge"],
  process_threads: ["gauge"],
  process_start_time_seconds: ["gauge"],
  process_open_fds: ["gauge"],
  process_max_fds: ["gauge"],
};

function histogramOf(...durationsMs: readonly number[]): DurationHistogram {
  const histogram = new DurationHistogram();
  for (const ms of durationsMs) histogram.add(ms);
  return histogram;
}

/** Something in every series. */
function figures(different: Partial<ProgramFigures> = {}): ProgramFigures {
  return {
    ready: true,
    state: "ready",
    drainRemainingMs: undefined,
    version: "1.2.3",
    listeners: [
      {
        name: "web",
        active: 3,
        ended: new Map([
          [
            "app",
            new Map([
              ["client_finished", 7],
              ["backend_reset", 2],
            ]),
          ],
          [
            "",
            new Map([
              ["denied", 5],
              ["limit_rate", 4],
              ["no_route", 1],
            ]),
          ],
        ]),
        bytesToBackend: 1_000,
        bytesToClient: 2 ** 40 + 1,
        durations: histogramOf(0.25, 1_500),
      },
      {
        name: "removed",
        active: 0,
        ended: new Map([["gone", new Map([["drain_deadline", 1]])]]),
        bytesToBackend: 1,
        bytesToClient: 2,
        durations: histogramOf(5),
      },
    ],
    backends: [
      {
        name: "app",
        connects: histogramOf(0.3, 0.4),
        firstBytes: histogramOf(12),
        retries: 6,
        endpoints: [
          {
            name: "10.0.0.1:80",
            up: true,
            active: 3,
            ejections: 1,
            failures: new Map([["refused", 8]]),
            checks: { good: 10, bad: 2, inconclusive: 1 },
          },
          {
            name: "unix:/run/x.sock",
            up: false,
            active: 0,
            ejections: 0,
            failures: new Map(),
            checks: undefined,
          },
        ],
      },
      { name: "gone", connects: histogramOf(1), firstBytes: histogramOf(), retries: 0, endpoints: [] },
    ],
    timeouts: new Map([["idle", 9]]),
    engines: { copy: 2, splice: 1 },
    reloads: { applied: 1, invalid: 2, refused: 3 },
    traces: { exported: 100, dropped: 20, failed: 3 },
    descriptors: { open: 40, max: 1024 },
    connectionsMax: 500,
    ...different,
  };
}

async function scrape(different: Partial<ProgramFigures> = {}): Promise<Map<string, Family>> {
  return readExposition((await exposition(figures(different))).body);
}

/** All samples of a family, each as its labels and its value. */
function series(families: ReadonlyMap<string, Family>, name: string): readonly (readonly [string, number])[] {
  const { samples } = families.get(name)!;
  return samples.map(({ labels, value }) => [Object.values(labels).join(" "), value]);
}

describe("the metrics", () => {
  test("are those of the interface: names, types, labels", () => {
    const declared = metrics.map(({ name, type, labels }) => [name, [type, ...labels]]);
    expect(declared).toEqual(Object.entries(fixed) as typeof declared);
  });

  test("are in the live output, with these types, labels and words, and nothing else is", async () => {
    const families = await scrape();
    const live = [...families].map(([name, { type, help }]) => ({ name, type, help }));
    expect(live).toEqual(metrics.map(({ name, type, help }) => ({ name, type, help })));
    for (const { name, type, labels } of metrics) {
      const { samples } = families.get(name)!;
      expect({ name, samples: samples.length > 0 }).toEqual({ name, samples: true });
      for (const sample of samples) {
        const wanted = sample.name === `${name}_bucket` ? [...labels, "le"] : labels;
        expect({ of: sample.name, labels: Object.keys(sample.labels) }).toEqual({
          of: sample.name,
          labels: [...wanted],
        });
        expect(sample.name === name).toBe(type !== "histogram");
      }
    }
  });

  test("are in docs/metrics.md, as they are: bun src/admin/metrics/write-reference.ts", () => {
    expect(page).toBe(withMetricTables(page));
    for (const { name, type, labels, help } of metrics) {
      const row = page.split("\n").find((line) => line.startsWith(`| \`${name}\` `));
      const cells = row?.split("|").map((cell) => cell.trim());
      expect(cells).toEqual(["", `\`${name}\``, type, labels.map((label) => `\`${label}\``).join(", "), help, ""]);
    }
  });

  test("have one line of help each, of its own", () => {
    const helps = metrics.map(({ help }) => help);
    expect(new Set(helps).size).toBe(helps.length);
    expect(helps.filter((help) => !/^[A-Z0-9][^\n|]+[^.\s]$/.test(help))).toEqual([]);
  });

  test("are sent as the text format 0.0.4, without an empty line", async () => {
    const { body, type } = await exposition(figures());
    expect(type).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(body).not.toContain("\n\n");
  });
});

describe("the questions and alerts of docs/metrics.md", () => {
  const blocks = [...page.matchAll(/^```(\w+)\n([^]*?)^```/gm)].map(([, language, text]) => ({
    language,
    text: text!,
  }));
  const rules = blocks.find(({ language, text }) => language === "yaml" && text.startsWith("groups:"))!.text;
  const questions = blocks.find(({ language }) => language === "promql")!.text;

  test("ask for metrics, labels and ends that there are", () => {
    const known = metrics.flatMap(({ name, type }) =>
      type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    );
    const asked = [...`${rules}${questions}`.matchAll(/\b(?:sluice|process)_\w+/g)].map(([name]) => name);
    expect(asked.length).toBeGreaterThan(25);
    expect(asked.filter((name) => !known.includes(name))).toEqual([]);
    const ends = [...`${rules}${questions}`.matchAll(/\bend=~?"([^"]+)"/g)].flatMap(([, pattern]) =>
      pattern!.split("|"),
    );
    expect(ends.length).toBeGreaterThan(10);
    const none = ends.filter((pattern) => !Object.keys(ENDS).some((end) => new RegExp(`^(?:${pattern})$`).test(end)));
    expect(none).toEqual([]);
  });

  test.skipIf(lacks("promtool"))("are taken by promtool", async () => {
    const expressions = questions
      .replace(/^#.*$/gm, "")
      .replace(/\n {2,}/g, " ")
      .split("\n")
      .filter((line) => line !== "");
    expect(expressions.length).toBeGreaterThan(8);
    const recorded = expressions.map((expr, index) => ({ record: `q:${index}`, expr }));
    const folder = mkdtempSync(join(tmpdir(), "sluice-rules-"));
    try {
      writeFileSync(join(folder, "alerts.yml"), rules);
      writeFileSync(
        join(folder, "questions.yml"),
        JSON.stringify({ groups: [{ name: "questions", rules: recorded }] }),
      );
      const alerts = await call("promtool", ["check", "rules", join(folder, "alerts.yml")]);
      expect(alerts.stdout).toContain("SUCCESS: 11 rules found");
      const asked = await call("promtool", ["check", "rules", join(folder, "questions.yml")]);
      expect(asked.stdout).toContain(`SUCCESS: ${expressions.length} rules found`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test.skipIf(lacks("promtool"))("promtool check metrics finds nothing to say of the output", async () => {
  const { body } = await exposition(figures());
  const { stdout, stderr } = await call("promtool", ["check", "metrics"], body);
  expect({ stdout, stderr }).toEqual({ stdout: "", stderr: "" });
});

describe("of connections", () => {
  test("every end is counted by listener and backend, those without a backend too", async () => {
    expect(series(await scrape(), "sluice_connections_total")).toEqual([
      ["web app client_finished", 7],
      ["web app backend_reset", 2],
      ["web  denied", 5],
      ["web  limit_rate", 4],
      ["web  no_route", 1],
      ["removed gone drain_deadline", 1],
    ]);
  });

  test("the refused ones are counted by reason, whatever backend they would have had", async () => {
    const rejections = ["denied", "limit_connections", "limit_listener", "limit_per_ip", "limit_rate"];
    const each = new Map(Object.keys(ENDS).map((end, index) => [end, index + 1]));
    const ended = new Map([
      ["", each],
      ["app", new Map([["denied", 1_000]])],
    ]);
    const listeners = [{ ...figures().listeners[0]!, ended }];
    const counted = series(await scrape({ listeners }), "sluice_connections_rejected_total");
    expect(new Map(counted)).toEqual(
      new Map(rejections.map((end) => [`web ${end}`, each.get(end)! + (end === "denied" ? 1_000 : 0)])),
    );
  });

  test("bytes are exact beyond 32 bits", async () => {
    expect(series(await scrape(), "sluice_bytes_total")).toEqual([
      ["web to_backend", 1_000],
      ["web to_client", 1_099_511_627_777],
      ["removed to_backend", 1],
      ["removed to_client", 2],
    ]);
  });

  test("every kind of timeout has its series", async () => {
    const counted = series(await scrape(), "sluice_timeouts_total");
    expect(counted).toEqual(timeoutKinds.map((kind) => [kind, kind === "idle" ? 9 : 0]));
  });
});

test("of endpoints there is up or not, and checks only where there are any", async () => {
  const families = await scrape();
  expect(series(families, "sluice_endpoint_up")).toEqual([
    ["app 10.0.0.1:80", 1],
    ["app unix:/run/x.sock", 0],
  ]);
  expect(series(families, "sluice_health_checks_total")).toEqual([
    ["app 10.0.0.1:80 good", 10],
    ["app 10.0.0.1:80 bad", 2],
    ["app 10.0.0.1:80 inconclusive", 1],
  ]);
  expect(series(families, "sluice_connect_failures_total")).toEqual([["app 10.0.0.1:80 refused", 8]]);
  expect(series(families, "sluice_endpoint_connections_active").map(([, value]) => value)).toEqual([3, 0]);
  expect(series(families, "sluice_endpoint_ejections_total").map(([, value]) => value)).toEqual([1, 0]);
});

describe("of the program", () => {
  test.each(["starting", "ready", "draining"] as const)("one state is 1 and the others are 0: %s", async (state) => {
    const families = await scrape({ state, ready: state === "ready" });
    const wanted = ["starting", "ready", "draining"].map((one) => [one, Number(one === state)]);
    expect(series(families, "sluice_state")).toEqual(wanted as [string, number][]);
    expect(valueOf(families, "sluice_ready")).toBe(Number(state === "ready"));
  });

  test.each([
    ["0 when not draining", undefined, 0],
    ["seconds to the deadline", 2_500, 2.5],
    ["0 at the deadline", 0, 0],
    ["+Inf without one", Infinity, Infinity],
  ])("drain_remaining is %s", async (_, drainRemainingMs, seconds) => {
    expect(valueOf(await scrape({ drainRemainingMs }), "sluice_drain_remaining")).toBe(seconds);
  });

  test("results of reloads and of spans are there, spans only with tracing", async () => {
    const families = await scrape();
    const reloads = [
      ["applied", 1],
      ["invalid", 2],
      ["refused", 3],
    ] as const;
    expect(series(families, "sluice_reloads_total")).toEqual(reloads);
    const spans = [
      ["exported", 100],
      ["dropped", 20],
      ["failed", 3],
    ] as const;
    expect(series(families, "sluice_trace_spans_total")).toEqual(spans);
    expect(series(await scrape({ traces: undefined }), "sluice_trace_spans_total")).toEqual([]);
  });

  test("open descriptors are left out where the system does not tell", async () => {
    const families = await scrape({ descriptors: { open: NaN, max: 1_024 } });
    expect(series(families, "sluice_open_fds")).toEqual([]);
    expect(series(families, "process_open_fds")).toEqual([]);
    expect(valueOf(families, "sluice_max_fds")).toBe(1_024);
  });

  test("the rest is told as it is", async () => {
    const families = await scrape();
    expect(valueOf(families, "sluice_build_info", { version: "1.2.3", bun: Bun.version })).toBe(1);
    expect(valueOf(families, "sluice_connections_max")).toBe(500);
    expect(valueOf(families, "sluice_open_fds")).toBe(40);
    expect(valueOf(families, "process_open_fds")).toBe(40);
    expect(valueOf(families, "sluice_max_fds")).toBe(1_024);
    expect(valueOf(families, "process_max_fds")).toBe(1_024);
    expect(series(families, "sluice_forwarding_engine_connections")).toEqual([
      ["copy", 2],
      ["splice", 1],
    ]);
    expect(series(families, "sluice_connections_active")).toEqual([
      ["web", 3],
      ["removed", 0],
    ]);
    expect(series(families, "sluice_retries_total")).toEqual([
      ["app", 6],
      ["gone", 0],
    ]);
  });
});

describe("a histogram", () => {
  /** Its buckets by their labels, in order. */
  function buckets(families: ReadonlyMap<string, Family>): readonly (readonly [le: string, count: number])[] {
    const { samples } = families.get("sluice_connect_seconds")!;
    return samples.flatMap(({ name, labels, value }) =>
      name === "sluice_connect_seconds_bucket" && labels["backend"] === "app" ? [[labels["le"]!, value] as const] : [],
    );
  }

  function withConnects(connects: DurationHistogram): Partial<ProgramFigures> {
    return { backends: [{ ...figures().backends[0]!, connects }] };
  }

  test("has its bounds in seconds, written as people write them, and +Inf", async () => {
    const labels = buckets(await scrape()).map(([le]) => le);
    expect(labels.at(-1)).toBe("+Inf");
    expect(labels.slice(0, -1).map((le) => Math.round(Number(le) * 1e6) / 1e3)).toEqual([...durationBoundsMs]);
    expect(labels.filter((le) => !/^(?:\+Inf|\d+|\d*\.\d{1,5})$/.test(le))).toEqual([]);
  });

  test("counts what is as long as a bound below it", async () => {
    for (const [index, bound] of durationBoundsMs.entries()) {
      const counts = buckets(await scrape(withConnects(histogramOf(bound)))).map(([, count]) => count);
      expect(counts).toEqual([...durationBoundsMs.map((_, other) => Number(other >= index)), 1]);
    }
  });

  test("is cumulative, and its sum and count are those of what was added, to the microsecond", async () => {
    const micros = fc.array(fc.oneof(fc.integer({ min: 0, max: 10_000_000 }), fc.integer({ min: 0, max: 2e11 })), {
      maxLength: 300,
    });
    const property = fc.asyncProperty(micros, async (durations) => {
      const families = await scrape(withConnects(histogramOf(...durations.map((us) => us / 1_000))));
      const cumulative = buckets(families);
      expect(cumulative.map(([, count]) => count)).toEqual(
        cumulative.map(([le]) => durations.filter((us) => le === "+Inf" || us <= Math.round(Number(le) * 1e6)).length),
      );
      const of = { backend: "app" };
      expect(valueOf(families, "sluice_connect_seconds_count", of)).toBe(durations.length);
      const sum = durations.reduce((total, us) => total + us, 0);
      expect(valueOf(families, "sluice_connect_seconds_sum", of)).toBe(sum / 1e6);
    });
    await fc.assert(property, { numRuns: 50 });
  });
});

test("whatever a name has in it, it comes out as it was", async () => {
  const property = fc.asyncProperty(fc.string({ unit: "binary", maxLength: 20 }), fc.nat(), async (text, count) => {
    // No name has a lone line end that is not a line feed in it, which the format leaves as it is.
    const name = `"\\n\n\\\\"${text}`.toWellFormed().replaceAll("\r", "");
    const endpoint = { ...figures().backends[0]!.endpoints[0]!, name, active: count };
    const families = await scrape({ backends: [{ ...figures().backends[0]!, name, endpoints: [endpoint] }] });
    expect(valueOf(families, "sluice_endpoint_connections_active", { backend: name, endpoint: name })).toBe(count);
  });
  await fc.assert(property, { numRuns: 100 });
});

describe("thousands of series", () => {
  const many = (count: number): ProgramFigures["listeners"] =>
    Array.from({ length: count }, (_, index) => ({ ...figures().listeners[0]!, name: `listener-${index}` }));

  test.each([0, 1, 63, 64, 65, 128, 500])("are all there, under one head a metric: %d listeners", async (count) => {
    const families = await scrape({ listeners: many(count) });
    expect([...families.keys()]).toEqual(Object.keys(fixed));
    const names = Array.from({ length: count }, (_, index) => `listener-${index}`);
    expect(series(families, "sluice_connections_active").map(([name]) => name)).toEqual(names);
  });

  test("leave the event loop its turns, and a histogram is whole though it is fed meanwhile", async () => {
    const listeners = many(500);
    let turns = 0;
    let done = false;
    const beside = (): void => {
      turns++;
      for (const { durations } of listeners) durations.add(turns);
      if (!done) setImmediate(beside);
    };
    setImmediate(beside);
    const { body } = await exposition(figures({ listeners }));
    done = true;
    expect(turns).toBeGreaterThan(3);
    const { samples } = readExposition(body).get("sluice_connection_seconds")!;
    const perListener = durationBoundsMs.length + 3;
    expect(samples.length).toBe(500 * perListener);
    const counts = new Set<number>();
    for (let first = 0; first < samples.length; first += perListener) {
      const own = samples.slice(first, first + perListener).map(({ value }) => value);
      const [all, sum, count] = own.slice(-3);
      expect(own.slice(0, -2)).toEqual(own.slice(0, -2).toSorted((a, b) => a - b));
      expect(count).toBe(all);
      // 0.25 ms and 1.5 s were there; then came 1 ms, 2 ms and so on.
      const fed = count! - 2;
      expect(sum).toBeCloseTo((1_500.25 + (fed * (fed + 1)) / 2) / 1_000, 6);
      counts.add(count!);
    }
    expect(counts.size).toBeGreaterThan(1);
  });

  test("may be asked for twice at a time", async () => {
    const [first, second] = await Promise.all([exposition(figures({ listeners: many(200) })), exposition(figures())]);
    expect(readExposition(first.body).get("sluice_connections_active")!.samples.length).toBe(200);
    expect(readExposition(second.body).get("sluice_connections_active")!.samples.length).toBe(2);
  });
});
