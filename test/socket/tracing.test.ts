/** Traces, sent to a collector that decodes them, and to collectors that do everything wrong. */
import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import {
  openTracing,
  tracingLimits,
  type Tracing,
  type TracingEnvironment,
  type TracingSettings,
} from "../../src/telemetry/tracing.ts";
import { OtlpReceiver, type ReceivedSpan, type ReceiverMode } from "../support/otlp-receiver.ts";
import { KeptLog, offer, traced } from "../support/traced.ts";
import { until } from "../support/until.ts";

/** The wall clock of the tests, by the program's clock. */
const wallOffsetMs = 1_700_000_000_000;

class Scene {
  readonly receiver = new OtlpReceiver();
  readonly log = new KeptLog();
  readonly settings: TracingSettings = { otlp: this.receiver.url, sample: 1, service: "sluice", headers: {} };

  /** Tracing that sends soon. The wall clock stands still in relation to the program's, so that times are exact. */
  open(
    limits: Partial<typeof tracingLimits> = {},
    settings: Partial<TracingSettings> = {},
    environment: Partial<TracingEnvironment> = {},
  ): Promise<Tracing> {
    const frozen = { ...systemClock, nowMs: () => 30_000 };
    return openTracing(
      { ...this.settings, ...settings },
      {
        log: this.log,
        version: "1.2.3",
        env: {},
        clock: frozen,
        wallMs: () => wallOffsetMs + 30_000,
        random: () => 0.5,
        ...environment,
      },
      { ...tracingLimits, batchEveryMs: 5, pauseMs: 5, pauseMaxMs: 5, ...limits },
    );
  }

  [Symbol.dispose](): void {
    this.receiver[Symbol.dispose]();
    expect(this.receiver.mistakes).toEqual([]);
  }
}

/** The ids of the connections that were received. */
const ofConnections = ({ receiver }: Scene): unknown[] =>
  receiver.spans.filter(({ kind }) => kind === 2).map(({ attributes }) => attributes["sluice.id"]);

const made = ({ figures }: Tracing): number => figures.exported + figures.dropped + figures.failed;

test("a connection with two failed dials and a third that works is four spans of one trace, in each other", async () => {
  using scene = new Scene();
  const tracing = await scene.open();
  offer(
    tracing,
    traced({ endpoint: "[2001:db8::1]:443", sni: "db.example.com", client_cert: "CN=me", route: "sni=*.example.com" }, [
      { endpoint: "10.0.0.1:80", sinceMs: 20_001, untilMs: 20_002.5, failure: "refused", reason: "ECONNREFUSED" },
      { endpoint: "unix:/run/x.sock", sinceMs: 20_002.5, untilMs: 20_003, failure: "timeout", reason: undefined },
      { endpoint: "[2001:db8::1]:443", sinceMs: 20_003, untilMs: 20_004.125, failure: undefined, reason: undefined },
    ]),
  );
  const [root, first, second, third, ...more] = await scene.receiver.received(4);
  await tracing.stop(1_000);
  expect(more).toEqual([]);
  expect(new Set([root, first, second, third].map((span) => span!.traceId)).size).toBe(1);
  expect(new Set([root, first, second, third].map((span) => span!.spanId)).size).toBe(4);
  expect(root!.parentSpanId).toBeUndefined();
  for (const child of [first, second, third]) expect(child!.parentSpanId).toBe(root!.spanId);

  const ns = (ms: number): bigint => BigInt(Math.round((wallOffsetMs + ms) * 1_000)) * 1_000n;
  /** A number of this size has steps of a quarter of a microsecond. */
  const near = (time: bigint, ms: number): void => expect(Number(time - ns(ms))).toBeWithin(-500, 501);
  near(root!.startNs, 20_000);
  near(root!.endNs, 20_050);
  near(first!.startNs, 20_001);
  near(first!.endNs, 20_002.5);
  near(third!.endNs, 20_004.125);
  near(root!.events[0]!.timeNs, 20_010.25);
  expect(second!.startNs).toBe(first!.endNs);
  expect(root!.events.map((event) => event.name)).toEqual(["first_byte"]);

  expect(root).toMatchObject({ name: "connection web", kind: 2, status: { code: 0 } });
  expect(root!.attributes).toEqual({
    "network.transport": "tcp",
    "network.type": "ipv4",
    "client.address": "127.0.0.1",
    "client.port": 50412,
    "server.address": "db.example.com",
    "tls.client.subject": "CN=me",
    "sluice.id": 7,
    "sluice.listener": "web",
    "sluice.backend": "app",
    "sluice.endpoint": "[2001:db8::1]:443",
    "sluice.route": "sni=*.example.com",
    "sluice.bytes_to_backend": 95,
    "sluice.bytes_to_client": 1180,
    "sluice.attempts": 3,
    "sluice.engine": "copy",
    "sluice.end": "client_finished",
  });
  expect(first).toMatchObject({
    name: "connect 10.0.0.1:80",
    kind: 3,
    status: { code: 2, message: "ECONNREFUSED" },
    attributes: {
      "network.transport": "tcp",
      "network.type": "ipv4",
      "network.peer.address": "10.0.0.1",
      "network.peer.port": 80,
      "server.address": "10.0.0.1",
      "server.port": 80,
      "error.type": "refused",
      "sluice.backend": "app",
      "sluice.endpoint": "10.0.0.1:80",
      "sluice.attempt": 1,
    },
    events: [],
  });
  expect(second).toMatchObject({ name: "connect unix:/run/x.sock", status: { code: 2, message: "timeout" } });
  expect(second!.attributes).toEqual({
    "network.transport": "unix",
    "network.peer.address": "/run/x.sock",
    "server.address": "/run/x.sock",
    "error.type": "timeout",
    "sluice.backend": "app",
    "sluice.endpoint": "unix:/run/x.sock",
    "sluice.attempt": 2,
  });
  expect(third).toMatchObject({ kind: 3, status: { code: 0 } });
  expect(third!.attributes).toMatchObject({
    "network.type": "ipv6",
    "server.address": "2001:db8::1",
    "server.port": 443,
  });
  expect(tracing.figures).toEqual({ exported: 4, dropped: 0, failed: 0 });
  expect(scene.log.lines).toEqual([]);
});

test("a connection that failed is an error with the word of its end; without a client, a backend or a byte these are left out", async () => {
  using scene = new Scene();
  const tracing = await scene.open();
  const nothing = { backend: null, endpoint: null, engine: null, first_byte_ms: null };
  offer(tracing, traced({ ...nothing, client: "unknown", end: "tls_failed", reason: "ERR_SSL_NO_CIPHER" }, []));
  offer(tracing, traced({ ...nothing, client: "unix:", end: "denied" }, []));
  const [failed, denied] = await scene.receiver.received(2);
  await tracing.stop(1_000);
  expect(failed!.status).toEqual({ code: 2, message: "tls_failed" });
  expect(failed!.events).toEqual([]);
  expect(Object.keys(failed!.attributes).toSorted()).toEqual([
    "error.type",
    "network.transport",
    "network.type",
    "sluice.attempts",
    "sluice.bytes_to_backend",
    "sluice.bytes_to_client",
    "sluice.end",
    "sluice.id",
    "sluice.listener",
    "sluice.reason",
  ]);
  expect(failed!.attributes).toMatchObject({ "error.type": "tls_failed", "sluice.reason": "ERR_SSL_NO_CIPHER" });
  expect(denied!.status.code).toBe(0);
  expect(denied!.attributes).toMatchObject({ "network.transport": "unix", "sluice.end": "denied" });
});

test("the resource says who sends; the environment adds to it and beats the configuration", async () => {
  using scene = new Scene();
  const plain = await scene.open({}, { service: "edge" });
  offer(plain, traced());
  await scene.receiver.received(2);
  await plain.stop(1_000);
  const { resource, scope } = scene.receiver.spans[0]!;
  expect(resource).toMatchObject({ "service.name": "edge", "service.version": "1.2.3", "process.pid": process.pid });
  expect(resource["host.name"]).toBeString();
  expect(resource["telemetry.sdk.name"]).toBe("opentelemetry");
  expect(scope).toEqual({ name: "sluice", version: "1.2.3" });

  const resourceWith = async (env: Record<string, string>): Promise<ReceivedSpan["resource"]> => {
    const count = scene.receiver.spans.length;
    const tracing = await scene.open({}, { service: "edge" }, { env });
    offer(tracing, traced());
    await scene.receiver.received(count + 2);
    await tracing.stop(1_000);
    return scene.receiver.spans[count]!.resource;
  };
  const given = "deployment.environment.name=prod , service.name=given,team=a%2Cb%3Dc,";
  expect(await resourceWith({ OTEL_RESOURCE_ATTRIBUTES: given })).toMatchObject({
    "deployment.environment.name": "prod",
    "service.name": "given",
    team: "a,b=c",
  });
  expect(await resourceWith({ OTEL_RESOURCE_ATTRIBUTES: given, OTEL_SERVICE_NAME: "named" })).toMatchObject({
    "service.name": "named",
  });
  expect(scene.log.lines).toEqual([]);
  const wrong = await resourceWith({ OTEL_RESOURCE_ATTRIBUTES: "good=1,bad" });
  expect(wrong["service.name"]).toBe("edge");
  expect(wrong["good"]).toBeUndefined();
  expect(scene.log.lines.map(({ message }) => message)).toEqual(["a variable of the environment is not used"]);
});

test("headers go with each request, and connections to the collector are used again", async () => {
  using scene = new Scene();
  const tracing = await scene.open({}, { headers: { "x-api-key": "secret" } });
  for (let count = 2; count <= 20; count += 2) {
    offer(tracing, traced());
    await scene.receiver.received(count);
  }
  await tracing.stop(1_000);
  expect(scene.receiver.headers).toMatchObject({ "x-api-key": "secret", "content-type": "application/json" });
  expect(scene.receiver.requests).toBe(10);
  expect(scene.receiver.connections).toBe(1);
  await until(() => scene.receiver.open === 0, "the end of the connection to the collector");
});

test("many connections go in batches of bounded size, all of them, each once", async () => {
  using scene = new Scene();
  const tracing = await scene.open();
  for (let id = 1; id <= 3_000; id++) offer(tracing, traced({ id }));
  await tracing.stop(10_000);
  expect(tracing.figures).toEqual({ exported: 6_000, dropped: 0, failed: 0 });
  expect(ofConnections(scene)).toEqual(Array.from({ length: 3_000 }, (_, index) => index + 1));
  expect(scene.receiver.requests).toBe(Math.ceil(6_000 / 512));
});

describe("a collector that fails costs nothing but a counter", () => {
  const failing: readonly (readonly [string, ReceiverMode])[] = [
    ["refuses what is sent (400)", { kind: "status", status: "400 Bad Request" }],
    ["fails (500)", { kind: "status", status: "500 Internal Server Error" }],
    [
      "is overloaded (503, Retry-After)",
      { kind: "status", status: "503 Service Unavailable", headers: ["retry-after: 1"] },
    ],
    ["hangs", { kind: "hang" }],
    ["closes", { kind: "close" }],
    ["resets", { kind: "reset" }],
    ["breaks off in the middle of an error", { kind: "break", status: "400 Bad Request" }],
    ["talks something else", { kind: "rubbish" }],
  ];
  test.each(failing)(
    "it %s: every span is counted, one warning is logged, and when it works one line says so",
    async (_, mode) => {
      using scene = new Scene();
      scene.receiver.mode = mode;
      const tracing = await scene.open({ sendMs: 100, sayAgainMs: 0 });
      offer(tracing, traced());
      await until(() => tracing.figures.failed === 2, "the failure");
      offer(tracing, traced());
      await until(() => tracing.figures.failed === 4, "the second failure");
      expect(scene.log.lines).toEqual([
        {
          level: "warn",
          message: "traces are lost: the collector does not take them",
          fields: { collector: scene.receiver.url, why: expect.any(String) },
        },
      ]);
      scene.receiver.mode = { kind: "ok" };
      offer(tracing, traced());
      offer(tracing, traced());
      await until(() => tracing.figures.exported === 4, "the success");
      await tracing.stop(1_000);
      expect(tracing.figures).toEqual({ exported: 4, dropped: 0, failed: 4 });
      expect(scene.log.lines.slice(1)).toEqual([
        {
          level: "info",
          message: "traces are taken again",
          fields: { collector: scene.receiver.url, exported: 4, dropped: 0, failed: 4 },
        },
      ]);
    },
  );

  test("it is gone: the same", async () => {
    using scene = new Scene();
    const gone = new OtlpReceiver();
    gone[Symbol.dispose]();
    const tracing = await scene.open({ sendMs: 100 }, { otlp: gone.url });
    offer(tracing, traced());
    await until(() => tracing.figures.failed === 2, "the failure");
    await tracing.stop(1_000);
    expect(scene.log.lines.map(({ level }) => level)).toEqual(["warn"]);
    expect(String(scene.log.lines[0]!.fields["why"])).toContain("ECONNREFUSED");
  });

  test("its answer trickles in for ever: the request is ended", async () => {
    using scene = new Scene();
    scene.receiver.mode = { kind: "trickle" };
    // Long enough for something to come in between, whatever else the machine does.
    const tracing = await scene.open({ sendMs: 500 });
    offer(tracing, traced());
    await until(() => tracing.figures.failed === 2, "the failure");
    await until(() => scene.receiver.open === 0, "the end of the connection to the collector");
    await tracing.stop(1_000);
    expect(String(scene.log.lines[0]!.fields["why"])).toBe("no whole answer within 500 ms");
  });

  test("it takes a part: the rest is counted as failed", async () => {
    using scene = new Scene();
    scene.receiver.mode = { kind: "partial", rejected: 1, message: "too many attributes" };
    const tracing = await scene.open();
    offer(tracing, traced());
    await until(() => made(tracing) === 2, "the answer");
    scene.receiver.mode = { kind: "ok" };
    offer(tracing, traced());
    await until(() => made(tracing) === 4, "the second answer");
    await tracing.stop(1_000);
    expect(tracing.figures).toEqual({ exported: 3, dropped: 0, failed: 1 });
    expect(scene.log.lines.map(({ fields }) => fields["why"])).toEqual([
      "the collector does not take them all: too many attributes",
    ]);
  });

  test("it hangs while 20,000 connections end: the queue is bounded, and no span is counted twice or not at all", async () => {
    using scene = new Scene();
    scene.receiver.mode = { kind: "hang" };
    const tracing = await scene.open();
    for (let id = 1; id <= 300; id++) offer(tracing, traced({ id }));
    await until(() => scene.receiver.requests === 1, "the first batch");
    for (let id = 301; id <= 20_000; id++) offer(tracing, traced({ id }));
    expect(tracing.figures).toEqual({ exported: 0, dropped: 40_000 - 512 - 16_384, failed: 0 });
    await tracing.stop(50);
    expect(tracing.figures).toEqual({ exported: 0, dropped: 40_000 - 512, failed: 512 });
    expect(scene.log.lines.map(({ level, message }) => [level, message])).toEqual([
      ["warn", "traces are lost: the collector does not take them"],
      ["warn", "traces were lost at the end"],
    ]);
    await until(() => scene.receiver.open === 0, "the end of the connection to the collector");
  });
});

describe("a stop", () => {
  test("sends what there is, at once", async () => {
    using scene = new Scene();
    const tracing = await scene.open({ batchEveryMs: 3_600_000 });
    for (let id = 1; id <= 1_000; id++) offer(tracing, traced({ id }));
    await tracing.stop(10_000);
    expect(tracing.figures).toEqual({ exported: 2_000, dropped: 0, failed: 0 });
    expect(scene.receiver.spans.length).toBe(2_000);
    offer(tracing, traced());
    expect(tracing.figures.dropped).toBe(2);
  });

  test("does not wait for a batch that failed before to be due, and asks a collector that fails once", async () => {
    using scene = new Scene();
    scene.receiver.mode = { kind: "status", status: "500 Internal Server Error" };
    const tracing = await scene.open({ pauseMs: 3_600_000, pauseMaxMs: 3_600_000 });
    offer(tracing, traced());
    await until(() => tracing.figures.failed === 2, "the failure");
    for (let id = 1; id <= 1_000; id++) offer(tracing, traced({ id }));
    await tracing.stop(10_000);
    expect(scene.receiver.requests).toBe(2);
    expect(tracing.figures).toEqual({ exported: 0, dropped: 2_000 - 512, failed: 2 + 512 });
  });

  test("is over at its deadline while the exporter tries again, which it then does not do any more", async () => {
    using scene = new Scene();
    scene.receiver.mode = { kind: "status", status: "503 Service Unavailable", headers: ["retry-after: 1"] };
    const tracing = await scene.open();
    offer(tracing, traced());
    await until(() => scene.receiver.requests === 1, "the first attempt");
    await tracing.stop(10);
    expect(tracing.figures).toEqual({ exported: 0, dropped: 0, failed: 2 });
    await until(() => scene.receiver.open === 0, "the end of the connection to the collector");
    const { connections } = scene.receiver;
    // The retry was due after a second; the next tracing sends later than that.
    const next = await scene.open({ batchEveryMs: 1_200 });
    scene.receiver.mode = { kind: "ok" };
    offer(next, traced());
    await scene.receiver.received(2);
    await next.stop(1_000);
    // Nor is what was given up counted, or told, a second time.
    expect(tracing.figures).toEqual({ exported: 0, dropped: 0, failed: 2 });
    expect(scene.log.lines.map(({ message }) => message)).toEqual(["traces were lost at the end"]);
    expect(scene.receiver.connections).toBe(connections + 1);
    expect(scene.receiver.requests).toBe(2);
  });

  test("of tracing that never had anything to send is over at once", async () => {
    using scene = new Scene();
    const tracing = await scene.open({}, { sample: 0 });
    await tracing.stop(3_600_000);
    await tracing.stop(3_600_000);
    expect(scene.receiver.connections).toBe(0);
  });
});

describe("changed while it runs", () => {
  test("another collector gets what comes from then on, and the counters go on", async () => {
    using scene = new Scene();
    using other = new OtlpReceiver();
    const tracing = await scene.open();
    offer(tracing, traced({ id: 1 }));
    await scene.receiver.received(2);
    await until(() => tracing.figures.exported === 2, "the answer");
    await tracing.configure({ ...scene.settings, otlp: `${other.url}/` });
    await until(() => scene.receiver.open === 0, "the end of the connection to the first collector");
    offer(tracing, traced({ id: 2 }));
    await other.received(2);
    await tracing.stop(1_000);
    expect(scene.receiver.spans.map(({ attributes }) => attributes["sluice.id"])).toEqual([1, undefined]);
    expect(other.spans.map(({ attributes }) => attributes["sluice.id"])).toEqual([2, undefined]);
    expect(tracing.figures).toEqual({ exported: 4, dropped: 0, failed: 0 });
  });

  test("a batch that is on its way to the first collector ends there, what waits behind it goes to the other", async () => {
    using scene = new Scene();
    using other = new OtlpReceiver();
    scene.receiver.mode = { kind: "hang" };
    const tracing = await scene.open();
    offer(tracing, traced({ id: 1 }));
    await until(() => scene.receiver.requests === 1, "the first batch");
    offer(tracing, traced({ id: 2 }));
    await tracing.configure({ ...scene.settings, otlp: other.url });
    expect(scene.receiver.open).toBe(1);
    scene.receiver.answerHeld();
    await other.received(2);
    expect(other.spans[0]!.attributes["sluice.id"]).toBe(2);
    await until(() => scene.receiver.open === 0, "the end of the connection to the first collector");
    await tracing.stop(1_000);
    expect(tracing.figures).toEqual({ exported: 4, dropped: 0, failed: 0 });
  });

  test("turned off, what waits is still sent, and it can be turned on again", async () => {
    using scene = new Scene();
    const tracing = await scene.open();
    offer(tracing, traced({ id: 1 }));
    tracing.off();
    offer(tracing, traced({ id: 2 }));
    await scene.receiver.received(2);
    await tracing.configure(scene.settings);
    offer(tracing, traced({ id: 3 }));
    await tracing.stop(1_000);
    expect(ofConnections(scene)).toEqual([1, 3]);
  });

  test("another sample holds from the next connection on", async () => {
    using scene = new Scene();
    const tracing = await scene.open({}, { sample: 0 });
    offer(tracing, traced({ id: 1 }));
    await tracing.configure({ ...scene.settings, sample: 0.51 });
    offer(tracing, traced({ id: 2 }));
    await tracing.configure({ ...scene.settings, sample: 0.5 });
    offer(tracing, traced({ id: 3 }));
    await tracing.stop(1_000);
    expect(ofConnections(scene)).toEqual([2]);
  });
});
