/** The checks of a backend over time: when each comes, how many at once, what they make of the endpoints, and that they stop. */
import { describe, expect, test } from "bun:test";
import type { Backend } from "../../src/backend/backend.ts";
import type { Endpoint } from "../../src/backend/endpoint.ts";
import { HealthChecks } from "../../src/backend/health/health-checks.ts";
import { checksAtOnceMax, Places } from "../../src/backend/health/places.ts";
import type { HealthSettings } from "../../src/backend/health/settings.ts";
import { backendOf, endpointAt, FakeCheckDialer, tcpChecks, type FakeAttempt } from "../support/fake-check-dialer.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** In the middle: the second check half an interval after the first, the others an interval apart. */
const middle = (): number => 0.5;

interface HarnessOptions {
  readonly settings?: Partial<HealthSettings>;
  readonly count?: number;
  readonly random?: () => number;
  readonly places?: Places;
}

/** The checks of some endpoints. */
class Harness {
  readonly clock = new VirtualClock();
  readonly dialer = new FakeCheckDialer();
  readonly backend: Backend;
  readonly endpoints: readonly Endpoint[];
  readonly checks: HealthChecks;
  /** What observers were told, of the endpoint at port N as "N up: …", and of the backend's as "backend: N up". */
  readonly told: string[] = [];
  readonly results: string[] = [];
  readonly #beginMs = this.clock.nowMs();
  #started: "not yet" | "started" = "not yet";
  /** Called with each change. */
  onChange: (endpoint: Endpoint) => void = () => {};

  constructor({ settings = {}, count = 1, random = middle, places = new Places() }: HarnessOptions = {}) {
    this.endpoints = Array.from({ length: count }, (_, index) => endpointAt(index + 1));
    this.backend = backendOf(this.clock, ...this.endpoints);
    this.backend.observe({
      up: (endpoint) => this.told.push(`backend: ${portOf(endpoint)} up`),
      down: (endpoint) => this.told.push(`backend: ${portOf(endpoint)} down`),
    });
    const all = { ...tcpChecks, ...settings };
    this.checks = new HealthChecks(
      this.backend,
      all,
      this.dialer,
      undefined,
      this.clock,
      random,
      {
        onResult: (endpoint, { result, why, durationMs }) =>
          this.results.push(`${portOf(endpoint)} ${result} after ${durationMs}: ${why}`),
        onChange: (endpoint, from, to, why) => {
          this.told.push(`${portOf(endpoint)} ${from} → ${to}: ${why}`);
          this.onChange(endpoint);
        },
        onMistake: (endpoint, error) => this.told.push(`${portOf(endpoint)} mistake: ${error.message}`),
      },
      places,
    );
  }

  get endpoint(): Endpoint {
    return this.endpoints[0]!;
  }

  /** Milliseconds since the beginning. */
  get nowMs(): number {
    return this.clock.nowMs() - this.#beginMs;
  }

  get isStarted(): boolean {
    return this.#started === "started";
  }

  start(): void {
    void this.checks.start().then(() => {
      this.#started = "started";
    });
  }

  /** Lets time pass until `count` attempts have been made; the time of the last one. */
  async attempt(count: number): Promise<number> {
    const limitMs = this.nowMs + 100_000;
    while (this.dialer.attempts.length < count) {
      if (this.nowMs > limitMs) throw new Error(`no attempt ${count}: ${this.dialer.attempts.length} were made`);
      await this.clock.advance(1);
    }
    return this.nowMs;
  }

  /** The next check, which comes to this; what the endpoint is then. */
  async next(comesTo: "good" | "bad" | "inconclusive"): Promise<string> {
    await this.attempt(this.dialer.attempts.length + 1);
    finish(this.dialer.last, comesTo);
    return this.endpoint.health;
  }
}

function portOf({ dialAddress }: Endpoint): number {
  return dialAddress.kind === "tcp" ? dialAddress.port : 0;
}

function finish(attempt: FakeAttempt, comesTo: "good" | "bad" | "inconclusive"): void {
  if (comesTo === "good") attempt.connect();
  else if (comesTo === "bad") attempt.fail("refused", "ECONNREFUSED");
  else attempt.fail("local", "EMFILE");
}

/** Gives these numbers in turn, again and again. */
function turns(...numbers: number[]): () => number {
  let next = 0;
  return () => numbers[next++ % numbers.length]!;
}

describe("the first check", () => {
  test("of every endpoint comes at once, decides at once, and start settles with the last of them", async () => {
    const harness = new Harness({ count: 3 });
    harness.start();
    expect(harness.dialer.attempts.map(({ request }) => portOf(request.endpoint))).toEqual([1, 2, 3]);
    expect(harness.endpoints.map(({ health }) => health)).toEqual(["unknown", "unknown", "unknown"]);
    await harness.clock.advance(10);
    finish(harness.dialer.attempts[1]!, "bad");
    finish(harness.dialer.attempts[0]!, "good");
    await harness.clock.advance(10);
    expect(harness.endpoints.map(({ health }) => health)).toEqual(["up", "down", "unknown"]);
    expect(harness.isStarted).toBe(false);
    finish(harness.dialer.attempts[2]!, "good");
    await harness.clock.advance(0);
    expect(harness.isStarted).toBe(true);
    expect(harness.told).toEqual([
      "backend: 2 down",
      "2 unknown → down: connection refused",
      "1 unknown → up: connected",
      "3 unknown → up: connected",
    ]);
    expect(harness.results).toEqual([
      "2 bad after 10: connection refused",
      "1 good after 10: connected",
      "3 good after 20: connected",
    ]);
    harness.checks.stop();
  });

  test("is bounded by its timeout, and so is start", async () => {
    const harness = new Harness({ count: 2 });
    harness.start();
    await harness.clock.advance(399);
    expect(harness.isStarted).toBe(false);
    await harness.clock.advance(1);
    expect(harness.isStarted).toBe(true);
    // Those that are not known by then are down, not unknown: their own time is over first.
    expect(harness.endpoints.map(({ health }) => health)).toEqual(["down", "down"]);
    harness.checks.stop();
  });

  test("that can't be made leaves the endpoint unknown, and start does not wait for another", async () => {
    const harness = new Harness();
    harness.dialer.atOnce = { kind: "local", code: "EMFILE" };
    harness.start();
    await harness.clock.advance(0);
    expect(harness.isStarted).toBe(true);
    expect(harness.endpoint.health).toBe("unknown");
    expect(harness.told).toEqual([]);
    expect(harness.checks.counts(harness.endpoint)).toMatchObject({ good: 0, bad: 0, inconclusive: 1 });
    harness.dialer.atOnce = "wait";
    expect(await harness.next("bad")).toBe("down");
    harness.checks.stop();
  });

  test("of an endpoint that is removed is not waited for", async () => {
    const harness = new Harness({ count: 2 });
    harness.start();
    finish(harness.dialer.attempts[0]!, "good");
    harness.backend.setEndpoints([harness.endpoint]);
    await harness.clock.advance(0);
    expect(harness.isStarted).toBe(true);
    harness.checks.stop();
  });

  test("of no endpoint at all is not waited for", async () => {
    const harness = new Harness({ count: 0 });
    harness.start();
    await harness.clock.advance(0);
    expect(harness.isStarted).toBe(true);
    expect(harness.clock.pendingTimers).toBe(0);
    harness.checks.stop();
  });
});

describe("rise and fall", () => {
  test("so many good checks in a row make an endpoint up, so many bad ones down, and each change is told once", async () => {
    const harness = new Harness({ settings: { rise: 2, fall: 3 } });
    harness.start();
    finish(harness.dialer.last, "good");
    const after: string[] = [];
    for (const result of ["bad", "bad", "good", "bad", "bad", "bad", "bad", "good", "bad", "good", "good"] as const) {
      after.push(await harness.next(result));
    }
    expect(after).toEqual(["up", "up", "up", "up", "up", "down", "down", "down", "down", "down", "up"]);
    expect(harness.told).toEqual([
      "1 unknown → up: connected",
      "backend: 1 down",
      "1 up → down: connection refused",
      "backend: 1 up",
      "1 down → up: connected",
    ]);
    expect(harness.checks.counts(harness.endpoint)).toMatchObject({ good: 5, bad: 7, inconclusive: 0 });
    harness.checks.stop();
  });

  test("a check that can't be made stands for nothing: neither a row is broken nor is one begun", async () => {
    const harness = new Harness({ settings: { rise: 2, fall: 2 } });
    harness.start();
    finish(harness.dialer.last, "good");
    const after: string[] = [];
    for (const result of ["bad", "inconclusive", "inconclusive", "bad", "good", "inconclusive", "good"] as const) {
      after.push(await harness.next(result));
    }
    expect(after).toEqual(["up", "up", "up", "down", "down", "down", "up"]);
    harness.checks.stop();
  });

  test("the backend hears of each good check of an endpoint that is up, of none of one that is down", async () => {
    const harness = new Harness({ settings: { rise: 3, fall: 1 } });
    const heard: string[] = [];
    harness.backend.setHealth = (endpoint, health) => {
      endpoint.health = health;
      heard.push(health);
    };
    harness.start();
    finish(harness.dialer.last, "good");
    for (const result of ["good", "good", "bad", "good", "good", "good", "good"] as const) await harness.next(result);
    expect(heard).toEqual(["up", "up", "up", "down", "up", "up"]);
    harness.checks.stop();
  });
});

describe("the time of checks", () => {
  test("the second comes somewhere within the interval, the others an interval apart, from beginning to beginning", async () => {
    const harness = new Harness({ random: turns(0.3, 0.5, 0.5, 0.5) });
    harness.start();
    const times: number[] = [0];
    for (let count = 2; count <= 4; count++) {
      await harness.clock.advance(50);
      finish(harness.dialer.last, "good");
      times.push(await harness.attempt(count));
    }
    expect(times).toEqual([0, 300, 1_300, 2_300]);
    harness.checks.stop();
  });

  test("the interval is shorter or longer by up to a tenth", async () => {
    for (const [random, gapMs] of [
      [0, 900],
      [0.25, 950],
      [0.999, 1_099.8],
    ] as const) {
      const harness = new Harness({ random: () => random });
      harness.start();
      finish(harness.dialer.last, "good");
      const secondMs = await harness.attempt(2);
      finish(harness.dialer.last, "good");
      expect((await harness.attempt(3)) - secondMs).toBeWithin(gapMs - 1, gapMs + 2);
      harness.checks.stop();
    }
  });

  test("many endpoints are spread over the interval after their first check", async () => {
    const count = 50;
    const harness = new Harness({
      count,
      random: turns(...Array.from({ length: count }, (_, index) => index / count)),
    });
    harness.start();
    for (const attempt of harness.dialer.attempts) finish(attempt, "good");
    let most = 0;
    for (let tenth = 0; tenth < 10; tenth++) {
      const before = harness.dialer.attempts.length;
      await harness.clock.advance(100);
      most = Math.max(most, harness.dialer.attempts.length - before);
      for (const attempt of harness.dialer.open) finish(attempt, "good");
    }
    expect(harness.dialer.attempts.length).toBeGreaterThanOrEqual(2 * count);
    expect(most).toBeLessThanOrEqual(count / 5);
    harness.checks.stop();
  });

  test("an endpoint that is down is checked as often as before", async () => {
    const harness = new Harness({ settings: { fall: 1 } });
    harness.start();
    finish(harness.dialer.last, "bad");
    const times: number[] = [];
    for (let count = 2; count <= 4; count++) {
      times.push(await harness.attempt(count));
      finish(harness.dialer.last, "bad");
    }
    expect(times).toEqual([500, 1_500, 2_500]);
    harness.checks.stop();
  });

  test("a check that takes longer than the interval is followed at once, and never overlapped", async () => {
    const harness = new Harness({ settings: { intervalMs: 100, timeoutMs: 1_000 } });
    harness.start();
    await harness.clock.advance(700);
    expect(harness.dialer.attempts.length).toBe(1);
    finish(harness.dialer.last, "good");
    expect(await harness.attempt(2)).toBeLessThanOrEqual(701);
    await harness.clock.advance(1_000);
    expect(harness.dialer.attempts.length).toBe(3);
    expect(harness.dialer.open.length).toBe(1);
    harness.checks.stop();
  });

  test("reading an answer out belongs to the check: the next one comes after it", async () => {
    const harness = new Harness({ settings: { type: "http", intervalMs: 100, timeoutMs: 1_000 } });
    harness.start();
    const connection = harness.dialer.last.connect();
    connection.answer("HTTP/1.1 200 OK\r\n");
    expect(harness.endpoint.health).toBe("up");
    await harness.clock.advance(600);
    expect(harness.dialer.attempts.length).toBe(1);
    connection.data.finished();
    await harness.clock.advance(1);
    expect(harness.dialer.attempts.length).toBe(2);
    expect(harness.results).toEqual(["1 good after 0: status 200"]);
    harness.checks.stop();
  });
});

describe("many endpoints", () => {
  test("are not checked all at once: the others wait their turn, in their order", async () => {
    const places = new Places();
    const harness = new Harness({ count: checksAtOnceMax + 40, places });
    harness.start();
    expect(harness.dialer.attempts.length).toBe(checksAtOnceMax);
    expect({ taken: places.taken, waiting: places.waiting }).toEqual({ taken: checksAtOnceMax, waiting: 40 });
    for (let step = 1; step <= 10; step++) {
      finish(harness.dialer.attempts[step]!, "good");
      expect(harness.dialer.open.length).toBe(checksAtOnceMax);
      expect(portOf(harness.dialer.last.request.endpoint)).toBe(checksAtOnceMax + step);
    }
    harness.checks.stop();
    expect({ taken: places.taken, waiting: places.waiting }).toEqual({ taken: 0, waiting: 0 });
  });

  test("that don't answer don't hold up the start for longer than one timeout; those without a turn stay unknown", async () => {
    const harness = new Harness({ count: 5, places: new Places(2) });
    harness.start();
    await harness.clock.advance(400);
    expect(harness.isStarted).toBe(true);
    expect(harness.endpoints.map(({ health }) => health)).toEqual(["down", "down", "unknown", "unknown", "unknown"]);
    await harness.clock.advance(400);
    expect(harness.endpoints.map(({ health }) => health)).toEqual(["down", "down", "down", "down", "unknown"]);
    harness.checks.stop();
  });

  test("whose checks fail at once all have their turn", async () => {
    const places = new Places(2);
    const harness = new Harness({ count: 1_000, places });
    harness.dialer.atOnce = { kind: "refused", code: "ECONNREFUSED" };
    harness.start();
    await harness.clock.advance(0);
    expect(harness.isStarted).toBe(true);
    expect(harness.endpoints.every(({ health }) => health === "down")).toBe(true);
    expect({ taken: places.taken, waiting: places.waiting }).toEqual({ taken: 0, waiting: 0 });
    harness.checks.stop();
    expect(harness.clock.pendingTimers).toBe(0);
  });

  test("of several backends share the places they are given", async () => {
    const places = new Places(3);
    const first = new Harness({ count: 2, places });
    const second = new Harness({ count: 2, places });
    first.start();
    second.start();
    expect([first.dialer.open.length, second.dialer.open.length]).toEqual([2, 1]);
    first.checks.stop();
    expect([first.dialer.open.length, second.dialer.open.length]).toEqual([0, 2]);
    second.checks.stop();
    expect(places.taken).toBe(0);
  });
});

describe("endpoints that come and go", () => {
  test("one that comes is unknown until its first check, which comes at once", async () => {
    const harness = new Harness();
    harness.start();
    finish(harness.dialer.last, "good");
    await harness.clock.advance(200);
    const added = endpointAt(77);
    harness.backend.setEndpoints([harness.endpoint, added]);
    expect(harness.dialer.last.request.endpoint).toBe(added);
    expect(added.health).toBe("unknown");
    finish(harness.dialer.last, "bad");
    expect(added.health).toBe("down");
    expect(harness.checks.counts(added)).toMatchObject({ bad: 1, last: { result: "bad", why: "connection refused" } });
    harness.checks.stop();
  });

  test("one that goes has its check taken back, and is checked no more", async () => {
    const harness = new Harness({ count: 3, places: new Places(2) });
    harness.start();
    const [dialing, resting, waiting] = harness.endpoints;
    finish(harness.dialer.attempts[1]!, "good");
    expect(harness.dialer.last.request.endpoint).toBe(waiting!);
    const other = endpointAt(9);
    harness.backend.setEndpoints([other]);
    expect(harness.dialer.attempts.map(({ state }) => state)).toEqual(["cancelled", "reset", "cancelled", "dialing"]);
    for (const endpoint of [dialing, resting, waiting]) expect(harness.checks.counts(endpoint!)).toBeUndefined();
    await harness.clock.advance(5_000);
    expect(harness.dialer.attempts.slice(3).every(({ request }) => request.endpoint === other)).toBe(true);
    harness.checks.stop();
    expect(harness.clock.pendingTimers).toBe(0);
  });

  test("one that goes while it waits for its turn never has it", async () => {
    const harness = new Harness({ count: 2, places: new Places(1) });
    harness.start();
    harness.backend.setEndpoints([harness.endpoint]);
    finish(harness.dialer.last, "good");
    await harness.clock.advance(0);
    expect(harness.dialer.attempts.length).toBe(1);
    expect(harness.isStarted).toBe(true);
    harness.checks.stop();
  });

  test("one that goes because of its own check leaves nothing behind", async () => {
    const places = new Places(1);
    const harness = new Harness({ count: 2, places });
    harness.onChange = () => harness.backend.setEndpoints(harness.endpoints.slice(1));
    harness.start();
    finish(harness.dialer.last, "bad");
    expect(harness.checks.counts(harness.endpoint)).toBeUndefined();
    expect(places.taken).toBe(1);
    expect(harness.dialer.last.request.endpoint).toBe(harness.endpoints[1]!);
    harness.checks.stop();
    expect(places.taken).toBe(0);
    expect(harness.clock.pendingTimers).toBe(0);
  });
});

describe("stopping", () => {
  test("takes back what is under way, whatever that is, and leaves no timer", async () => {
    const places = new Places(3);
    const harness = new Harness({ settings: { type: "http" }, count: 5, places });
    harness.start();
    const [resting, talking] = harness.dialer.attempts;
    resting!.fail("refused", "ECONNREFUSED");
    talking!.connect();
    expect({ taken: places.taken, waiting: places.waiting }).toEqual({ taken: 3, waiting: 1 });
    harness.checks.stop();
    expect(harness.dialer.attempts.map(({ state }) => state)).toEqual(["failed", "reset", "cancelled", "cancelled"]);
    expect({ taken: places.taken, waiting: places.waiting }).toEqual({ taken: 0, waiting: 0 });
    expect(harness.clock.pendingTimers).toBe(0);
    await harness.clock.advance(10_000);
    expect(harness.dialer.attempts.length).toBe(4);
  });

  test("settles a start that waits", async () => {
    const harness = new Harness();
    harness.start();
    harness.checks.stop();
    await harness.clock.advance(0);
    expect(harness.isStarted).toBe(true);
  });

  test("leaves the endpoints as they are, and those that come later alone", async () => {
    const harness = new Harness();
    harness.start();
    finish(harness.dialer.last, "bad");
    harness.checks.stop();
    harness.checks.stop();
    const added = endpointAt(9);
    harness.backend.setEndpoints([added]);
    expect([harness.endpoint.health, added.health]).toEqual(["down", "unknown"]);
    expect(harness.dialer.attempts.length).toBe(1);
    expect(harness.clock.pendingTimers).toBe(0);
  });

  test("from within what a check has told ends everything", async () => {
    const places = new Places(1);
    const harness = new Harness({ count: 2, places });
    harness.onChange = () => harness.checks.stop();
    harness.start();
    finish(harness.dialer.last, "good");
    expect(harness.dialer.attempts.length).toBe(1);
    expect({ taken: places.taken, waiting: places.waiting, timers: harness.clock.pendingTimers }).toEqual({
      taken: 0,
      waiting: 0,
      timers: 0,
    });
  });

  test("while the start is beginning leaves no timer either", async () => {
    const harness = new Harness({ count: 3 });
    harness.dialer.atOnce = { kind: "refused", code: "ECONNREFUSED" };
    harness.onChange = () => harness.checks.stop();
    harness.start();
    await harness.clock.advance(0);
    expect(harness.isStarted).toBe(true);
    expect(harness.told).toEqual(["backend: 1 down", "1 unknown → down: connection refused"]);
    expect(harness.clock.pendingTimers).toBe(0);
  });

  test("before the start is allowed, and then there is none", () => {
    const harness = new Harness();
    harness.checks.stop();
    expect(() => harness.checks.start()).toThrow("assertion failed");
  });
});

test("a mistake of an observer is told, and the checks go on", async () => {
  const harness = new Harness();
  harness.onChange = () => {
    throw new Error("mistake");
  };
  harness.start();
  finish(harness.dialer.last, "good");
  expect(harness.told).toEqual(["1 unknown → up: connected", "1 mistake: mistake"]);
  await harness.clock.advance(0);
  expect(harness.isStarted).toBe(true);
  expect(await harness.next("good")).toBe("up");
  expect(harness.checks.counts(harness.endpoint)).toMatchObject({ good: 2 });
  harness.checks.stop();
  expect(harness.clock.pendingTimers).toBe(0);
});

test.each([{ intervalMs: 0 }, { timeoutMs: 0 }, { rise: 0 }, { fall: 0 }])("%p is a mistake of ours", (settings) => {
  expect(() => new Harness({ settings })).toThrow("assertion failed");
});
