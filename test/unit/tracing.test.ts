/** What of traces needs no collector: which connections are taken, which ends are errors, what is loaded. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import { ENDS } from "../../src/session/end.ts";
import { isErrorEnd, spanStatuses } from "../../src/telemetry/span-status.ts";
import { Tracing, tracingLimits } from "../../src/telemetry/tracing.ts";
import { KeptLog, traced } from "../support/traced.ts";

/** How many of so many connections are asked for. The queue takes none of them. */
function asked(sample: number, connections: number, random: () => number): number {
  const settings = { otlp: "http://127.0.0.1:4318", sample, service: "sluice", headers: {} };
  const environment = { log: new KeptLog(), version: "1", env: {}, clock: systemClock, wallMs: Date.now, random };
  const tracing = new Tracing(settings, environment, { ...tracingLimits, queueSpansMax: 0 });
  let count = 0;
  for (let index = 0; index < connections; index++) {
    if (!tracing.sample()) continue;
    count++;
    tracing.connection(traced());
  }
  expect(tracing.figures).toEqual({ exported: 0, dropped: count * 2, failed: 0 });
  return count;
}

test.each([
  [0, 0],
  [0.01, 1],
  [0.5, 50],
  [0.985, 99],
  [1, 100],
])("with sample = %p, of 100 connections with numbers from 0 to 0.99 so many are traced: %p", (sample, count) => {
  let next = 0;
  expect(asked(sample, 100, () => next++ / 100)).toBe(count);
});

test("with sample = 0 not even a number is drawn", () => {
  let drawn = 0;
  expect(asked(0, 100, () => drawn++)).toBe(0);
  expect(drawn).toBe(0);
});

test("every end has a status, and there are no others", () => {
  expect(Object.keys(spanStatuses).toSorted()).toEqual(Object.keys(ENDS).toSorted());
});

test("what clients do is no error, what befalls them is", () => {
  const wordsOf = (error: boolean): string[] => Object.keys(ENDS).filter((end) => isErrorEnd(end) === error);
  expect(wordsOf(false)).toEqual([
    "client_finished",
    "backend_finished",
    "client_reset",
    "idle_timeout",
    "lifetime",
    "inspect_timeout",
    "inspect_failed",
    "no_route",
    "proxy_header_invalid",
    "denied",
    "limit_per_ip",
    "limit_rate",
    "closed_by_admin",
    "drain_idle",
  ]);
  expect(isErrorEnd("an end of a later version")).toBe(true);
});

test("OpenTelemetry is loaded when something may be sent, and not with a sample of 0", () => {
  const script = `
    import { openTracing } from ${JSON.stringify(join(import.meta.dir, "../../src/telemetry/tracing.ts"))};
    const loaded = () => Object.keys(require.cache).some((path) => path.includes("@opentelemetry"));
    const environment = { log: {}, version: "1", env: {}, clock: {}, wallMs: Date.now, random: Math.random };
    const settings = { otlp: "http://127.0.0.1:4318", service: "sluice", headers: {} };
    const before = loaded();
    const tracing = await openTracing({ ...settings, sample: 0 }, environment);
    const withNothing = loaded();
    await tracing.configure({ ...settings, sample: 0.01 });
    process.stdout.write(JSON.stringify([before, withNothing, loaded()]));
  `;
  const { stdout, stderr } = Bun.spawnSync([process.execPath, "-e", script]);
  expect([stderr.toString(), stdout.toString()]).toEqual(["", "[false,false,true]"]);
});
