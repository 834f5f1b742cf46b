/** Checks that are changed, begun or ended while their backend works. */
import { describe, expect, test } from "bun:test";
import type { Backend } from "../../src/backend/backend.ts";
import type { Endpoint } from "../../src/backend/endpoint.ts";
import { HealthChecks } from "../../src/backend/health/health-checks.ts";
import { Places } from "../../src/backend/health/places.ts";
import type { HealthSettings } from "../../src/backend/health/settings.ts";
import type { Originator } from "../../src/tls/originator.ts";
import { backendOf, endpointAt, FakeCheckDialer, tcpChecks, type FakeAttempt } from "../support/fake-check-dialer.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** Nobody speaks to it. */
const someTls = {} as Originator;

class Harness {
  readonly clock = new VirtualClock();
  readonly dialer = new FakeCheckDialer();
  readonly places: Places;
  readonly endpoints: readonly Endpoint[];
  readonly backend: Backend;
  readonly told: string[] = [];
  checks: HealthChecks;
  /** Called with each change. */
  onChange: () => void = () => {};

  constructor(count = 1, settings: Partial<HealthSettings> = {}, places = new Places()) {
    this.places = places;
    this.endpoints = Array.from({ length: count }, (_, index) => endpointAt(index + 1));
    this.backend = backendOf(this.clock, ...this.endpoints);
    this.checks = this.make(settings);
  }

  /** Checks that have not been started; the second one comes half an interval after the first. */
  make(settings: Partial<HealthSettings> = {}): HealthChecks {
    const random = (): number => 0.5;
    const observer = {
      onChange: ({ name }: Endpoint, from: string, to: string) => {
        this.told.push(`${name} ${from} → ${to}`);
        this.onChange();
      },
    };
    const all = { ...tcpChecks, ...settings };
    return new HealthChecks(this.backend, all, this.dialer, undefined, this.clock, random, observer, this.places);
  }

  get endpoint(): Endpoint {
    return this.endpoints[0]!;
  }

  configure(settings: Partial<HealthSettings>, tls?: Originator): void {
    this.checks.configure({ ...tcpChecks, ...settings }, tls);
  }

  /** The next check, which comes to this; what the first endpoint is then. */
  async next(comesTo: "good" | "bad"): Promise<string> {
    const before = this.dialer.attempts.length;
    for (let ms = 0; ms < 100_000 && this.dialer.open.length === 0; ms++) await this.clock.advance(1);
    if (this.dialer.open.length === 0) throw new Error(`no attempt after ${before}`);
    finish(this.dialer.open[0]!, comesTo);
    return this.endpoint.health;
  }

  /** Nothing is left of them. */
  expectNothingLeft(): void {
    const { dialer, places, clock } = this;
    expect({
      open: dialer.open.length,
      taken: places.taken,
      waiting: places.waiting,
      timers: clock.pendingTimers,
    }).toEqual({ open: 0, taken: 0, waiting: 0, timers: 0 });
  }

  stop(): void {
    this.checks.stop();
    this.backend.stop();
    this.expectNothingLeft();
  }
}

function finish(attempt: FakeAttempt, comesTo: "good" | "bad"): void {
  if (comesTo === "good") attempt.connect();
  else attempt.fail("refused", "ECONNREFUSED");
}

describe("checks that are changed", () => {
  test("leave an endpoint up until the new ones say down by their own fall", async () => {
    const harness = new Harness(1, { rise: 2, fall: 3 });
    void harness.checks.start();
    finish(harness.dialer.last, "good");
    // Two of the three that the old ones wanted speak against it; the row begins anew.
    await harness.next("bad");
    await harness.next("bad");
    harness.configure({ fall: 2 });
    expect(harness.endpoint.health).toBe("up");
    const after: string[] = [];
    for (const result of ["bad", "bad", "good", "good"] as const) after.push(await harness.next(result));
    expect(after).toEqual(["up", "down", "down", "up"]);
    expect(harness.told).toEqual(["127.0.0.1:1 unknown → up", "127.0.0.1:1 up → down", "127.0.0.1:1 down → up"]);
    harness.stop();
  });

  test("leave an endpoint down until the new ones say up by their own rise", async () => {
    const harness = new Harness(1, { rise: 1 });
    void harness.checks.start();
    finish(harness.dialer.last, "bad");
    harness.configure({ rise: 3 });
    const after: string[] = [];
    for (const result of ["good", "good", "bad", "good", "good", "good"] as const)
      after.push(await harness.next(result));
    expect(after).toEqual(["down", "down", "down", "down", "down", "up"]);
    harness.stop();
  });

  test("decide at once about an endpoint that is not known yet", async () => {
    const harness = new Harness(1);
    let started = false;
    void harness.checks.start().then(() => (started = true));
    harness.configure({ rise: 5, fall: 5 });
    expect(harness.dialer.attempts.map(({ state }) => state)).toEqual(["cancelled", "dialing"]);
    await harness.clock.advance(0);
    expect(started).toBe(false);
    finish(harness.dialer.last, "bad");
    await harness.clock.advance(0);
    expect([harness.endpoint.health, started]).toEqual(["down", true]);
    harness.stop();
  });

  test("begin at once, whatever was under way, and go on by the new interval", async () => {
    const harness = new Harness(3, {}, new Places(2));
    void harness.checks.start();
    finish(harness.dialer.attempts[0]!, "good");
    const [, dialing, third] = harness.dialer.attempts;
    expect(harness.places.waiting).toBe(0);
    harness.configure({ type: "http", path: "/healthz", intervalMs: 5_000 });
    expect([dialing!.state, third!.state]).toEqual(["cancelled", "cancelled"]);
    expect(harness.dialer.open.length).toBe(2);
    expect(harness.places.waiting).toBe(1);
    const times: number[] = [];
    for (let time = 0; time < 3; time++) {
      const connection = harness.dialer.open[0]!.connect();
      expect(connection.written).toStartWith("GET /healthz HTTP/1.1\r\n");
      connection.answer("HTTP/1.1 200 OK\r\n");
      connection.data.finished();
    }
    const beginMs = harness.clock.nowMs();
    harness.backend.setEndpoints([harness.endpoint]);
    for (let time = 0; time < 2; time++) {
      for (let ms = 0; ms < 100_000 && harness.dialer.open.length === 0; ms++) await harness.clock.advance(1);
      times.push(harness.clock.nowMs() - beginMs);
      const connection = harness.dialer.open[0]!.connect();
      connection.answer("HTTP/1.1 200 OK\r\n");
      connection.data.finished();
    }
    expect(times).toEqual([2_500, 7_500]);
    harness.stop();
  });

  test("that wait for a place keep it, and nobody's check goes by the old settings any more", async () => {
    const harness = new Harness(5, {}, new Places(2));
    void harness.checks.start();
    harness.configure({ type: "exchange", send: Buffer.from("PING") });
    const { attempts } = harness.dialer;
    expect(attempts.map(({ state }) => state)).toEqual(["cancelled", "cancelled", "dialing", "dialing"]);
    expect(attempts.map(({ request }) => harness.endpoints.indexOf(request.endpoint))).toEqual([0, 1, 2, 3]);
    expect(attempts[2]!.connect().written).toBe("PING");
    expect({ taken: harness.places.taken, waiting: harness.places.waiting }).toEqual({ taken: 2, waiting: 2 });
    harness.stop();
  });

  test("go on counting", async () => {
    const harness = new Harness(1);
    void harness.checks.start();
    finish(harness.dialer.last, "good");
    await harness.next("bad");
    harness.configure({ intervalMs: 300 });
    expect(harness.checks.counts(harness.endpoint)).toMatchObject({ good: 1, bad: 1, last: { result: "bad" } });
    await harness.next("good");
    expect(harness.checks.counts(harness.endpoint)).toMatchObject({ good: 2, bad: 1, last: { result: "good" } });
    harness.stop();
  });

  test("that are the same by value are left alone, whatever is under way", async () => {
    const harness = new Harness(2, { send: Buffer.from("PING"), header: Buffer.from("PROXY UNKNOWN\r\n") });
    void harness.checks.start();
    finish(harness.dialer.attempts[0]!, "good");
    const timers = harness.clock.pendingTimers;
    const same = {
      send: Buffer.from("PING"),
      header: Buffer.from("PROXY UNKNOWN\r\n"),
      status: [{ from: 200, to: 399 }],
    };
    harness.configure(same);
    expect(harness.dialer.attempts.map(({ state }) => state)).toEqual(["reset", "dialing"]);
    expect(harness.clock.pendingTimers).toBe(timers);
    harness.configure({ ...same, send: Buffer.from("PONG") });
    expect(harness.dialer.attempts.map(({ state }) => state)).toEqual(["reset", "cancelled", "dialing", "dialing"]);
    harness.stop();
  });

  test("of a backend that speaks TLS now, or with other names, are others", () => {
    const harness = new Harness(1);
    void harness.checks.start();
    harness.configure({}, someTls);
    expect(harness.dialer.last.request.tls).toBe(someTls);
    harness.configure({}, someTls);
    expect(harness.dialer.attempts.length).toBe(2);
    harness.stop();
  });

  test("go by the name that an endpoint has by now", async () => {
    const harness = new Harness(1, { type: "http" });
    void harness.checks.start();
    expect(harness.dialer.last.connect().written).toContain("Host: 127.0.0.1:1\r\n");
    harness.dialer.last.data.finished();
    harness.endpoint.configure({ kind: "tcp", host: "a.test", port: 1 }, harness.endpoint.settings);
    await harness.clock.advance(500);
    expect(harness.dialer.last.connect().written).toContain("Host: a.test:1\r\n");
    harness.stop();
  });

  test("before the start, or after the stop, begin nothing", () => {
    const harness = new Harness(1);
    harness.configure({ intervalMs: 300 });
    expect(harness.dialer.attempts.length).toBe(0);
    void harness.checks.start();
    harness.checks.stop();
    harness.configure({ intervalMs: 400 });
    expect(harness.dialer.attempts.length).toBe(1);
    harness.stop();
  });

  test("from within what a check has told leave one check of each endpoint", () => {
    const harness = new Harness(3, {}, new Places(2));
    let times = 0;
    harness.onChange = () => harness.configure({ intervalMs: 2_000 + times++ });
    void harness.checks.start();
    for (let step = 0; step < 20 && harness.dialer.open.length > 0; step++) {
      finish(harness.dialer.open[0]!, step % 2 === 0 ? "good" : "bad");
      const checked = harness.dialer.open.map(({ request }) => request.endpoint);
      expect(new Set(checked).size).toBe(checked.length);
      expect(harness.places.taken).toBe(checked.length);
    }
    expect(times).toBeGreaterThanOrEqual(3);
    harness.stop();
  });

  test("that fail at once and cost an endpoint its place leave nothing of it", () => {
    const harness = new Harness(3, { fall: 1 });
    void harness.checks.start();
    for (const attempt of harness.dialer.attempts) finish(attempt, "good");
    harness.dialer.atOnce = { kind: "refused", code: "ECONNREFUSED" };
    harness.backend.observe({
      down: (endpoint) => harness.backend.setEndpoints(harness.backend.endpoints.filter((one) => one === endpoint)),
    });
    harness.configure({ fall: 1, intervalMs: 300 });
    expect(harness.backend.endpoints).toEqual([harness.endpoint]);
    expect(harness.endpoints.map((endpoint) => harness.checks.counts(endpoint)?.bad)).toEqual([
      1,
      undefined,
      undefined,
    ]);
    harness.stop();
  });

  test("with settings that no configuration has are a mistake of ours", () => {
    const harness = new Harness(1);
    expect(() => harness.configure({ fall: 0 })).toThrow("assertion failed");
  });
});

describe("checks that come to a backend at work", () => {
  test("check its endpoints at once, and find what they are", async () => {
    const harness = new Harness(2);
    await harness.clock.advance(60_000);
    void harness.checks.start();
    finish(harness.dialer.attempts[0]!, "good");
    finish(harness.dialer.attempts[1]!, "bad");
    expect(harness.endpoints.map(({ health }) => health)).toEqual(["up", "down"]);
    harness.stop();
  });

  test("and go again leave its endpoints as they are; then nobody knows, and nothing of them is left", async () => {
    const harness = new Harness(1);
    let observers = 0;
    const observe = harness.backend.observe.bind(harness.backend);
    harness.backend.observe = (observer) => {
      observers++;
      const end = observe(observer);
      return () => {
        observers--;
        end();
      };
    };
    for (let time = 1; time <= 3; time++) {
      void harness.checks.start();
      expect(observers).toBe(1);
      finish(harness.dialer.last, "bad");
      harness.checks.stop();
      expect(observers).toBe(0);
      expect(harness.endpoint.health).toBe("down");
      harness.backend.forgetHealth();
      expect([harness.endpoint.health, harness.backend.available]).toEqual(["unknown", true]);
      // Those that come are no concern of checks that have ended.
      harness.backend.setEndpoints([harness.endpoint, endpointAt(100 + time)]);
      harness.backend.setEndpoints([harness.endpoint]);
      expect(harness.dialer.attempts.length).toBe(time);
      expect(harness.checks.counts(harness.endpoint)).toBeUndefined();
      harness.checks = harness.make();
    }
    // They have gone on, and are there again when somebody checks.
    expect(harness.endpoint.checks).toMatchObject({ good: 0, bad: 3 });
    void harness.checks.start();
    expect(harness.checks.counts(harness.endpoint)).toMatchObject({ bad: 3, inconclusive: 0 });
    harness.stop();
  });

  test("check endpoints that the operator has taken out as well", async () => {
    const harness = new Harness(2);
    harness.backend.setState(harness.endpoints[0]!, "drain");
    harness.backend.setState(harness.endpoints[1]!, "down");
    void harness.checks.start();
    finish(harness.dialer.attempts[0]!, "good");
    finish(harness.dialer.attempts[1]!, "bad");
    expect(harness.endpoints.map(({ health, inRotation }) => [health, inRotation])).toEqual([
      ["up", false],
      ["down", false],
    ]);
    await harness.clock.advance(500);
    expect(harness.dialer.open.length).toBe(2);
    harness.stop();
  });
});
