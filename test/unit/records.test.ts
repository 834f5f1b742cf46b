/** What is written of connections, when what is wanted changes faster than it can be had. */
import { expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { Records } from "../../src/records.ts";
import { rejectedRecord } from "../../src/session/record.ts";
import type { Log } from "../../src/telemetry/log.ts";
import { listen } from "../support/backend.ts";

const settings = (otlp: string, sample: number) => ({ otlp, sample, service: "sluice", headers: {} });

test("traces that are switched off, or set to another share, while they are still being loaded are so afterwards", async () => {
  for (const last of [undefined, settings("http://127.0.0.1:9", 0)]) {
    const records = opened();
    await Promise.all([records.configureTraces(settings("http://127.0.0.1:9", 1)), records.configureTraces(last)]);
    for (let count = 0; count < 10; count++) traced(records);
    await records.stop(100);
    expect(records.figures).toEqual({ exported: 0, dropped: 0, failed: 0 });
  }
});

test("traces that are sent elsewhere while they are still being loaded go there, and nowhere else", async () => {
  await using one = await listen();
  await using two = await listen();
  const records = opened();
  const wanted = [one, two].map(({ address }) => records.configureTraces(settings(`http://${address}`, 1)));
  await Promise.all(wanted);
  traced(records);
  const stopped = records.stop(300);
  await (await two.accepted()).receivedBytes(1);
  await two[Symbol.asyncDispose]();
  await stopped;
  expect(one.connections).toEqual([]);
});

function opened(): Records {
  const log = new Proxy({}, { get: () => () => {} }) as Log;
  return new Records({ clock: systemClock, log, version: "1.2.3", env: {} });
}

function traced(records: Records): void {
  if (records.samplesTrace()) records.trace(rejectedRecord(1, "web", "127.0.0.1:1", "limit_rate"), undefined);
}
