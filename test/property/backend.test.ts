/** A backend under every order of sessions, failures, checks, changes of the set and time. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Backend } from "../../src/backend/backend.ts";
import type { Balance } from "../../src/backend/balance/balancer.ts";
import { ejectionMsMax } from "../../src/backend/eject.ts";
import type { Endpoint } from "../../src/backend/endpoint.ts";
import { clientHost, endpointAt, seededRandom } from "../support/balanced.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const count = 6;
const eject = { failures: 3, forMs: 4_000 };

type Step =
  /** A session begins and tries endpoints, as many as `retries` says, while its attempts fail. */
  | { readonly kind: "session"; readonly client: number; readonly failing: readonly boolean[] }
  /** The session that began so long ago ends. */
  | { readonly kind: "end"; readonly which: number }
  /** An attempt that began before fails only now. */
  | { readonly kind: "late"; readonly endpoint: number; readonly times: number }
  | { readonly kind: "check"; readonly endpoint: number; readonly health: "up" | "down" }
  | { readonly kind: "set"; readonly endpoints: readonly number[] }
  | { readonly kind: "wait"; readonly ms: number };

const endpoint = fc.nat(count - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("session" as const),
      client: fc.nat(1_000),
      failing: fc.array(fc.boolean(), { maxLength: 3 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("end" as const), which: fc.nat(1_000) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("late" as const), endpoint, times: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("check" as const),
      endpoint,
      health: fc.constantFrom("up" as const, "down" as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("set" as const),
      endpoints: fc.uniqueArray(endpoint, { maxLength: count }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      ms: fc.oneof(fc.constant(1_000), fc.nat(12_000), fc.constant(ejectionMsMax)),
    }),
  },
);
const settings = fc.record({
  weight: fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 5, arbitrary: fc.integer({ min: 1, max: 5 }) }),
  backup: fc.oneof({ weight: 2, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  connectionsMax: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3 })),
});
const balance = fc.constantFrom<Balance>("round_robin", "least_connections", "random_two", "source_hash", "first");

/** A backend, what it told, and what must hold after every step. */
class Harness {
  readonly clock = new VirtualClock();
  readonly backend: Backend;
  readonly sessions: Endpoint[] = [];
  readonly #all: readonly Endpoint[];
  readonly #known = new Set<Endpoint>();
  readonly #down = new Set<Endpoint>();
  /** Until when each is ejected at the latest, by what was told. */
  readonly #ejected = new Map<Endpoint, number>();

  constructor(balance: Balance, all: readonly Endpoint[], seed: number) {
    this.#all = all;
    const name = "app";
    this.backend = new Backend({ name, balance, retries: 2, eject, onDown: "keep" }, this.clock, seededRandom(seed));
    // Nothing is told twice, and nothing ends that has not begun.
    this.backend.observe({
      added: (endpoint) => {
        expect(this.#known.has(endpoint)).toBe(false);
        this.#known.add(endpoint);
      },
      removed: (endpoint) => {
        expect(this.#known.delete(endpoint)).toBe(true);
        this.#ejected.delete(endpoint);
        this.#down.delete(endpoint);
      },
      down: (endpoint) => {
        expect(this.#down.has(endpoint)).toBe(false);
        this.#down.add(endpoint);
      },
      up: (endpoint) => expect(this.#down.delete(endpoint)).toBe(true),
      ejected: (endpoint, forMs) => {
        expect(this.#ejected.has(endpoint)).toBe(false);
        expect(forMs).toBeWithin(eject.forMs, ejectionMsMax + 1);
        this.#ejected.set(endpoint, this.clock.nowMs() + forMs);
      },
      returned: (endpoint) => {
        expect(this.#ejected.get(endpoint)).toBeGreaterThanOrEqual(this.clock.nowMs());
        this.#ejected.delete(endpoint);
      },
    });
    this.backend.setEndpoints(all);
  }

  async run(step: Step): Promise<void> {
    switch (step.kind) {
      case "session":
        return this.#session(step.client, step.failing);
      case "end": {
        const [ended] = this.sessions.splice(step.which % Math.max(this.sessions.length, 1), 1);
        if (ended !== undefined) this.backend.giveBack(ended);
        return;
      }
      case "late":
        for (let time = 0; time < step.times; time++) this.backend.failed(this.#all[step.endpoint]!, "refused");
        return;
      case "check":
        // Who has left is not checked.
        if (this.#known.has(this.#all[step.endpoint]!)) this.backend.setHealth(this.#all[step.endpoint]!, step.health);
        return;
      case "set":
        return this.backend.setEndpoints(step.endpoints.map((index) => this.#all[index]!));
      case "wait":
        return this.clock.advance(step.ms);
    }
  }

  /** What holds at all times. */
  check(): void {
    const { endpoints } = this.backend;
    expect(new Set(endpoints)).toEqual(this.#known);
    expect(this.clock.pendingTimers).toBeLessThanOrEqual(1);
    for (const endpoint of this.#all) {
      expect(endpoint.active).toBe(this.sessions.filter((session) => session === endpoint).length);
    }
    for (const endpoint of endpoints) {
      expect(endpoint.ejected).toBe(this.#ejected.has(endpoint));
      if (endpoint.ejected) expect(this.#ejected.get(endpoint)!).toBeGreaterThan(this.clock.nowMs());
    }
    // Ejection never leaves nobody.
    expect(endpoints.some((endpoint) => endpoint.inRotation)).toBe(endpoints.some((endpoint) => endpoint.fit));
    expect(this.backend.available).toBe(endpoints.some((endpoint) => endpoint.fit));
  }

  #session(client: number, failing: readonly boolean[]): void {
    const tried: Endpoint[] = [];
    for (const fails of [...failing, false]) {
      const expected = this.#mayBeTaken(tried);
      const taken = this.backend.take(clientHost(client), tried);
      if (typeof taken === "string") {
        expect(taken).toBe(expected as typeof taken);
        return;
      }
      expect(expected).toContain(taken);
      if (!fails) {
        this.backend.succeeded(taken);
        this.sessions.push(taken);
        return;
      }
      this.backend.failed(taken, "refused");
      this.backend.giveBack(taken);
      tried.push(taken);
    }
  }

  /** The endpoints of which one must be taken; or the word that there is none. */
  #mayBeTaken(tried: readonly Endpoint[]): readonly Endpoint[] | "no_endpoint" | "limit_endpoint" {
    const left = this.backend.endpoints.filter((endpoint) => endpoint.inRotation && !tried.includes(endpoint));
    const primaries = left.filter((endpoint) => !endpoint.settings.backup);
    const tier = primaries.length > 0 ? primaries : left;
    if (tier.length === 0) return "no_endpoint";
    const open = tier.filter(
      ({ settings, active }) => settings.connectionsMax === 0 || active < settings.connectionsMax,
    );
    return open.length === 0 ? "limit_endpoint" : open;
  }
}

test("a session gets an endpoint that may serve it or the right word, and the ejected return", async () => {
  const all = fc.array(settings, { minLength: count, maxLength: count });
  await fc.assert(
    fc.asyncProperty(balance, all, fc.nat(), fc.array(step, { maxLength: 80 }), async (balance, all, seed, steps) => {
      const endpoints = all.map((settings, index) => endpointAt(index, settings));
      const harness = new Harness(balance, endpoints, seed);
      harness.check();
      for (const step of steps) {
        await harness.run(step);
        harness.check();
      }
      // Time alone brings everybody back and leaves no timer.
      await harness.clock.advance(2 * ejectionMsMax);
      harness.check();
      for (const endpoint of harness.backend.endpoints) expect(endpoint.ejected).toBe(false);
      expect(harness.clock.pendingTimers).toBe(0);
      for (const endpoint of harness.sessions) harness.backend.giveBack(endpoint);
      for (const endpoint of endpoints) expect(endpoint.active).toBe(0);
    }),
    { numRuns: 150 },
  );
}, 30_000);
