/** What traces cost: to take a connection, and to make spans of it and write them down, per connection: `bun bench/micro/tracing.bench.ts`. */
import { type Attributes, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { TracerProvider } from "@opentelemetry/sdk-trace";
import { bench, do_not_optimize, group, run } from "mitata";
import { systemClock } from "../../src/core/clock.ts";
import { ConnectionSpans } from "../../src/telemetry/connection-spans.ts";
import type { Log } from "../../src/telemetry/log.ts";
import type { TracedConnection } from "../../src/telemetry/traced-connection.ts";
import { Tracing, tracingLimits } from "../../src/telemetry/tracing.ts";

const connection: TracedConnection = {
  record: {
    id: 7,
    listener: "web",
    client: "127.0.0.1:50412",
    backend: "app",
    endpoint: "10.0.0.1:80",
    route: null,
    sni: null,
    bytes_to_backend: 95,
    bytes_to_client: 1180,
    first_byte_ms: 10.25,
    attempts: 1,
    engine: "copy",
    end: "client_finished",
  },
  acceptedAtMs: 20_000,
  closedAtMs: 20_050,
  attempts: [{ endpoint: "10.0.0.1:80", sinceMs: 20_001, untilMs: 20_002, failure: undefined, reason: undefined }],
};
const silent = { warn() {}, info() {} } as unknown as Log;

function tracing(sample: number, queueSpansMax: number): Tracing {
  const settings = { otlp: "http://127.0.0.1:1", sample, service: "sluice", headers: {} };
  const environment = {
    log: silent,
    version: "1",
    env: {},
    clock: systemClock,
    wallMs: Date.now,
    random: Math.random,
  };
  return new Tracing(settings, environment, { ...tracingLimits, queueSpansMax });
}

function offer(to: Tracing): void {
  if (to.sample()) to.connection({ ...connection });
}

group("take a connection", () => {
  const sampled = tracing(0.01, 0);
  bench("1 %, with the queue full", () => offer(sampled));
  const all = tracing(1, 0);
  bench("all, with the queue full", () => offer(all));
});

group("make the spans of 256 connections", () => {
  const resource = resourceFromAttributes({ "service.name": "sluice" });
  const spans = new ConnectionSpans(resource, "1");
  const batch = Array.from({ length: 256 }, () => connection);
  bench("here", () => do_not_optimize(spans.of(batch, 1.7e12)));

  const tracer = new TracerProvider({ resource, spanProcessors: [] }).getTracer("sluice", "1");
  bench("by a tracer of the SDK", () => {
    for (const { record, attempts } of batch) {
      const root = tracer.startSpan(
        "connection web",
        { startTime: [1.7e9, 0], attributes: { ...record } as Attributes },
        ROOT_CONTEXT,
      );
      const context = trace.setSpan(ROOT_CONTEXT, root);
      for (const { endpoint } of attempts) {
        tracer.startSpan("connect", { startTime: [1.7e9, 1e6], attributes: { endpoint } }, context).end([1.7e9, 2e6]);
      }
      root.end([1.7e9, 5e7]);
    }
  });
});

await run();
