/** Traces of the real process, at a collector that decodes them. */
import { expect, test } from "bun:test";
import { echo, listen } from "../support/backend.ts";
import { OtlpReceiver, type ReceivedSpan } from "../support/otlp-receiver.ts";
import { refusedAt } from "../support/operated.ts";
import { connect } from "../support/peer.ts";
import { startSluice, type Sluice } from "../support/sluice.ts";
import { refusedPort } from "../support/unreachable.ts";

function config(otlp: string, endpoints: readonly string[], tracing = ""): string {
  return `
[shutdown]
drain = "2s"

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = ${JSON.stringify(endpoints)}
balance = "first"

[tracing]
otlp = "${otlp}"
${tracing}
`;
}

/** A connection that says something, hears it, and finishes. */
async function talk(proxy: Sluice, text: string): Promise<void> {
  await using client = await connect(await proxy.port("web"));
  await client.send(new TextEncoder().encode(text));
  await client.receivedBytes(text.length);
  await client.finish();
  await client.finished();
}

const ofConnections = (spans: readonly ReceivedSpan[]): ReceivedSpan[] => spans.filter(({ kind }) => kind === 2);

test("a connection is a span with its dials as children, and says what its access record says", async () => {
  using collector = new OtlpReceiver();
  await using backend = await listen(echo);
  using refused = refusedPort();
  await using proxy = await startSluice({
    config: config(collector.url, [refused.address, backend.address]),
    env: { OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test" },
  });
  await proxy.ready();
  const beforeNs = BigInt(Date.now()) * 1_000_000n;
  await talk(proxy, "hello");
  const [record] = await proxy.recorded(1);
  const [root, first, second] = await collector.received(3);
  expect(collector.mistakes).toEqual([]);
  expect(root).toMatchObject({ name: "connection web", kind: 2, parentSpanId: undefined, status: { code: 0 } });
  expect(root!.attributes).toMatchObject({
    "sluice.id": record!["id"] as number,
    "sluice.end": "client_finished",
    "sluice.endpoint": backend.address,
    "sluice.bytes_to_backend": 5,
    "sluice.bytes_to_client": 5,
    "sluice.attempts": 2,
    "client.address": "127.0.0.1",
    "client.port": Number(String(record!["client"]).split(":")[1]),
  });
  expect(root!.resource).toMatchObject({
    "service.name": "sluice",
    "process.pid": proxy.pid,
    "deployment.environment.name": "test",
  });
  expect(first).toMatchObject({ name: `connect ${refused.address}`, status: { code: 2, message: "ECONNREFUSED" } });
  expect(second).toMatchObject({ name: `connect ${backend.address}`, kind: 3, status: { code: 0 } });
  for (const child of [first!, second!]) {
    expect(child.parentSpanId).toBe(root!.spanId);
    expect(child.traceId).toBe(root!.traceId);
    expect(child.startNs >= root!.startNs && child.endNs >= child.startNs && root!.endNs >= child.endNs).toBe(true);
  }
  expect(second!.startNs >= first!.endNs).toBe(true);
  // The wall clock counts whole milliseconds where the offset is taken from it.
  expect(root!.startNs >= beforeNs - 2_000_000n).toBe(true);
  const nowNs = BigInt(Date.now() + 2) * 1_000_000n;
  expect(root!.endNs <= nowNs).toBe(true);
  const durationMs = Number(root!.endNs - root!.startNs) / 1e6;
  expect(Math.abs(durationMs - (record!["duration_ms"] as number))).toBeLessThan(1);
});

test("what was not sent yet is sent at a shutdown", async () => {
  using collector = new OtlpReceiver();
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(collector.url, [backend.address]) });
  await proxy.ready();
  for (let count = 0; count < 20; count++) await talk(proxy, "hello");
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
  expect(ofConnections(collector.spans).length).toBe(20);
  expect(collector.mistakes).toEqual([]);
});

test("a collector that hangs holds up neither connections nor the shutdown, and the log says it in a line or two", async () => {
  using collector = new OtlpReceiver();
  collector.mode = { kind: "hang" };
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(collector.url, [backend.address]) });
  await proxy.ready();
  for (let count = 0; count < 20; count++) await talk(proxy, "hello");
  await proxy.recorded(20);
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
  const lines = proxy.log.filter(({ level }) => level === "warn" || level === "error");
  expect(lines.map(({ msg }) => msg)).toEqual(["traces were lost at the end"]);
});

test("with sample = 0 nobody is asked, and a start does not depend on the collector", async () => {
  using collector = new OtlpReceiver();
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(collector.url, [backend.address], "sample = 0.0") });
  await proxy.ready();
  await talk(proxy, "hello");
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
  expect(collector.connections).toBe(0);
});

test("a client that is refused when it connects has its span too, and a reload turns tracing off and on", async () => {
  using collector = new OtlpReceiver();
  await using backend = await listen(echo);
  const traced = config(collector.url, [backend.address]);
  const denying = traced.replace('backend = "app"\n', 'backend = "app"\ndeny = ["127.0.0.1"]\n');
  await using proxy = await startSluice({ config: denying });
  await refusedAt(await proxy.port("web"));
  const [span] = await collector.received(1);
  const [record] = await proxy.recorded(1);
  expect(span!.attributes).toMatchObject({
    "sluice.end": "denied",
    "sluice.attempts": 0,
    "client.address": "127.0.0.1",
  });
  expect(`${span!.attributes["client.address"]}:${span!.attributes["client.port"]}`).toBe(String(record!["client"]));

  const off = await proxy.reload(traced.slice(0, traced.indexOf("[tracing]")));
  expect(off["changes"]).toContainEqual(expect.stringContaining("tracing: removed"));
  await talk(proxy, "untraced");
  await proxy.recorded(2);
  await proxy.reload(traced);
  await talk(proxy, "traced");
  const spans = await collector.received(3);
  expect(collector.mistakes).toEqual([]);
  expect(ofConnections(spans).map(({ attributes }) => attributes["sluice.id"])).toEqual([1, 3]);
});
