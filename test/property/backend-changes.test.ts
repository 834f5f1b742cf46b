/** A backend that is changed all the time, against a model that knows what was asked of it and nothing else. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Backend, type BackendSettings } from "../../src/backend/backend.ts";
import type { Balance } from "../../src/backend/balance/balancer.ts";
import type { DialFailureKind } from "../../src/backend/dial-failure.ts";
import { ejectionMsMax } from "../../src/backend/eject.ts";
import type { Endpoint, EndpointSettings, EndpointState, Health } from "../../src/backend/endpoint.ts";
import { clientHost, endpointAt, seededRandom } from "../support/balanced.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const count = 5;

type Step =
  /** A session begins, with attempts that fail for these reasons before the last one. */
  | { readonly kind: "session"; readonly client: number; readonly failing: readonly DialFailureKind[] }
  /** The session that began so long ago ends. */
  | { readonly kind: "end"; readonly which: number }
  /** Failures of attempts that began before. */
  | { readonly kind: "late"; readonly of: number; readonly reasons: readonly DialFailureKind[] }
  | { readonly kind: "health"; readonly of: number; readonly health: "up" | "down" }
  | { readonly kind: "state"; readonly of: number; readonly state: EndpointState }
  | { readonly kind: "weight"; readonly of: number; readonly weight: number | undefined }
  | { readonly kind: "configure"; readonly settings: Partial<BackendSettings> }
  /** Another configuration of the endpoints: these stay or come, as it says. */
  | { readonly kind: "set"; readonly endpoints: readonly (readonly [of: number, settings: EndpointSettings])[] }
  | { readonly kind: "forget" }
  | { readonly kind: "wait"; readonly ms: number };

const of = fc.nat(count - 1);
const weight = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 5, arbitrary: fc.integer({ min: 1, max: 9 }) },
);
const reason = fc.constantFrom<DialFailureKind>("refused", "timeout", "unreachable", "tls", "local");
const endpointSettings: fc.Arbitrary<EndpointSettings> = fc.record({
  weight,
  backup: fc.oneof({ weight: 2, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  connectionsMax: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3 })),
});
const balance = fc.constantFrom<Balance>("round_robin", "least_connections", "random_two", "source_hash", "first");
const eject = fc.constantFrom(undefined, { failures: 2, forMs: 4_000 }, { failures: 1, forMs: 60_000 });
const backendSettings = fc.record({ balance, eject, retries: fc.nat(3) }, { requiredKeys: [] });

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("session" as const),
      client: fc.nat(1_000),
      failing: fc.array(reason, { maxLength: 3 }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("end" as const), which: fc.nat(1_000) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("late" as const), of, reasons: fc.array(reason, { maxLength: 4 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("health" as const), of, health: fc.constantFrom("up", "down") }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("state" as const),
      of,
      state: fc.constantFrom<EndpointState>("ready", "ready", "drain", "down"),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("weight" as const), of, weight: fc.option(weight, { nil: undefined }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("configure" as const), settings: backendSettings }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("set" as const),
      endpoints: fc.uniqueArray(fc.tuple(of, endpointSettings), { selector: ([index]) => index, maxLength: count }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "forget" as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      ms: fc.oneof(fc.constant(1_000), fc.nat(12_000), fc.constant(ejectionMsMax)),
    }),
  },
);

/** What is known of one endpoint without asking it. */
class Known {
  settings: EndpointSettings;
  override: number | undefined = undefined;
  state: EndpointState = "ready";
  health: Health = "unknown";
  isThere = true;
  ejected = false;
  ejections = 0;
  sessions = 0;
  readonly failures = new Map<DialFailureKind, number>();

  constructor(readonly endpoint: Endpoint) {
    this.settings = endpoint.settings;
  }

  get weight(): number {
    return this.override ?? this.settings.weight;
  }

  /** Whether it could get clients if it were not ejected. */
  get fit(): boolean {
    return this.isThere && this.weight > 0 && this.state === "ready" && this.health !== "down";
  }

  get full(): boolean {
    const { connectionsMax } = this.settings;
    return connectionsMax > 0 && this.sessions >= connectionsMax;
  }
}

class Harness {
  readonly clock = new VirtualClock();
  readonly backend: Backend;
  readonly #all: readonly Known[];
  readonly #open: Known[] = [];
  #settings: BackendSettings;

  constructor(balance: Balance, endpoints: readonly Endpoint[], seed: number) {
    this.#settings = { name: "app", balance, retries: 2, eject: undefined, onDown: "keep" };
    this.backend = new Backend(this.#settings, this.clock, seededRandom(seed));
    this.#all = endpoints.map((endpoint) => new Known(endpoint));
    this.backend.setEndpoints(endpoints);
    this.backend.observe({
      ejected: (endpoint) => {
        const known = this.#known(endpoint);
        expect([this.#settings.eject === undefined, known.ejected, known.fit]).toEqual([false, false, true]);
        known.ejected = true;
        known.ejections++;
      },
      returned: (endpoint) => {
        expect(this.#known(endpoint).ejected).toBe(true);
        this.#known(endpoint).ejected = false;
      },
      // Told after the fact, and not when it is none.
      stateChanged: (endpoint, from, to) => {
        expect([from === to, endpoint.state]).toEqual([false, to]);
      },
      weightChanged: (endpoint, from, to) => {
        expect([from === to, endpoint.weight]).toEqual([false, to]);
      },
    });
  }

  async run(step: Step): Promise<void> {
    switch (step.kind) {
      case "session":
        return this.#session(step.client, step.failing);
      case "end": {
        const [ended] = this.#open.splice(step.which % Math.max(this.#open.length, 1), 1);
        if (ended !== undefined) this.#giveBack(ended);
        return;
      }
      case "late":
        for (const reason of step.reasons) this.#failed(this.#all[step.of]!, reason);
        return;
      case "health": {
        const known = this.#all[step.of]!;
        // Who has left is not checked.
        if (!known.isThere) return;
        known.health = step.health;
        return this.backend.setHealth(known.endpoint, step.health);
      }
      case "state":
        this.#all[step.of]!.state = step.state;
        return this.backend.setState(this.#all[step.of]!.endpoint, step.state);
      case "weight":
        this.#all[step.of]!.override = step.weight;
        return this.backend.setWeight(this.#all[step.of]!.endpoint, step.weight);
      case "configure":
        this.#settings = { ...this.#settings, ...step.settings };
        return this.backend.configure(this.#settings);
      case "set":
        return this.#set(step.endpoints);
      case "forget":
        for (const known of this.#all) if (known.isThere) known.health = "unknown";
        return this.backend.forgetHealth();
      case "wait":
        return this.clock.advance(step.ms);
    }
  }

  /** What holds at all times. */
  check(): void {
    const { backend } = this;
    expect(this.clock.pendingTimers).toBeLessThanOrEqual(1);
    for (const known of this.#all) {
      const { endpoint, sessions, ejected, health, weight, fit, failures, ejections } = known;
      expect(endpoint).toMatchObject({ active: sessions, ejected, weight, ejections, failuresByReason: failures });
      expect(endpoint.failures).toBe([...failures].reduce((sum, [kind, n]) => sum + (kind === "local" ? 0 : n), 0));
      expect(endpoint.isDown).toBe(health === "down" || known.state === "down");
      if (!known.isThere) continue;
      expect(endpoint.health).toBe(health);
      expect(endpoint.inRotation).toBe(fit && !ejected);
    }
    const fit = this.#all.filter((known) => known.fit);
    expect(backend.available).toBe(fit.length > 0);
    // Ejection never leaves nobody, and ends when there is to be none.
    if (fit.length > 0) expect(fit.some(({ ejected }) => !ejected)).toBe(true);
    if (this.#settings.eject === undefined) expect(this.#all.some(({ ejected }) => ejected)).toBe(false);
  }

  /** Everybody who is there and may serve gets clients, and nobody else, when all is quiet. */
  async checkAtRest(): Promise<void> {
    await this.clock.advance(2 * ejectionMsMax);
    this.check();
    expect(this.clock.pendingTimers).toBe(0);
    for (const known of this.#open.splice(0)) this.#giveBack(known);
    this.check();
    this.backend.configure({ ...this.#settings, balance: "round_robin" });
    const fit = this.#all.filter((known) => known.fit);
    const primaries = fit.filter(({ settings }) => !settings.backup);
    const tier = primaries.length > 0 ? primaries : fit;
    const weights = tier.reduce((sum, { weight }) => sum + weight, 0);
    const got = new Map<Endpoint, number>();
    for (let round = 0; round < 4 * weights; round++) {
      const taken = this.backend.take("192.0.2.1", []) as Endpoint;
      got.set(taken, (got.get(taken) ?? 0) + 1);
      this.backend.giveBack(taken);
    }
    // Four rounds: each had its turns, by weight, but for one that may be under way.
    for (const known of tier) expect(Math.abs(got.get(known.endpoint)! - 4 * known.weight)).toBeLessThanOrEqual(2);
    expect(got.size).toBe(tier.length);
  }

  #session(client: number, failing: readonly DialFailureKind[]): void {
    const tried: Endpoint[] = [];
    for (const reason of [...failing, undefined]) {
      const expected = this.#mayBeTaken(tried);
      const taken = this.backend.take(this.backend.goesByClient ? clientHost(client) : "", tried);
      if (typeof taken === "string") {
        expect(taken).toBe(expected as typeof taken);
        return;
      }
      const known = this.#known(taken);
      expect(expected).toContain(known);
      known.sessions++;
      if (reason === undefined) {
        this.backend.succeeded(taken);
        this.#open.push(known);
        return;
      }
      this.#failed(known, reason);
      this.#giveBack(known);
      tried.push(taken);
    }
  }

  #failed(known: Known, reason: DialFailureKind): void {
    known.failures.set(reason, (known.failures.get(reason) ?? 0) + 1);
    this.backend.failed(known.endpoint, reason);
  }

  #giveBack(known: Known): void {
    known.sessions--;
    this.backend.giveBack(known.endpoint);
  }

  #set(endpoints: readonly (readonly [number, EndpointSettings])[]): void {
    const now = endpoints.map(([of, settings]) => {
      const known = this.#all[of]!;
      known.settings = settings;
      known.endpoint.settings = settings;
      return known;
    });
    for (const known of this.#all) {
      if (now.includes(known) && !known.isThere) known.health = "unknown";
      known.isThere = now.includes(known);
      if (!known.isThere) known.ejected = false;
    }
    this.backend.setEndpoints(now.map(({ endpoint }) => endpoint));
  }

  /** The endpoints of which one must be taken; or the word that there is none. */
  #mayBeTaken(tried: readonly Endpoint[]): readonly Known[] | "no_endpoint" | "limit_endpoint" {
    const left = this.#all.filter((known) => known.fit && !known.ejected && !tried.includes(known.endpoint));
    const primaries = left.filter(({ settings }) => !settings.backup);
    const tier = primaries.length > 0 ? primaries : left;
    if (tier.length === 0) return "no_endpoint";
    const free = tier.filter((known) => !known.full);
    return free.length === 0 ? "limit_endpoint" : free;
  }

  #known(endpoint: Endpoint): Known {
    return this.#all.find((known) => known.endpoint === endpoint)!;
  }
}

test("whatever is changed, a session gets an endpoint that may serve it, and nothing is counted wrong", async () => {
  const all = fc.array(endpointSettings, { minLength: count, maxLength: count });
  await fc.assert(
    fc.asyncProperty(balance, all, fc.nat(), fc.array(step, { maxLength: 80 }), async (balance, all, seed, steps) => {
      const endpoints = all.map((settings, index) => endpointAt(index, settings));
      const harness = new Harness(balance, endpoints, seed);
      harness.check();
      for (const step of steps) {
        await harness.run(step);
        harness.check();
      }
      await harness.checkAtRest();
    }),
    { numRuns: 200 },
  );
}, 30_000);

type Change =
  | { readonly kind: "picks"; readonly picks: number }
  /** Of no consequence for who is next. */
  | { readonly kind: "idle"; readonly what: "configure" | "set" | "state" | "weight" | "health" }
  | { readonly kind: "weigh"; readonly of: number; readonly weight: number }
  | { readonly kind: "drain"; readonly of: number };

const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("picks" as const), picks: fc.integer({ min: 1, max: 30 }) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("idle" as const),
      what: fc.constantFrom("configure" as const, "set", "state", "weight", "health"),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("weigh" as const),
      of: fc.nat(3),
      weight: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 1_000 })),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("drain" as const), of: fc.nat(3) }) },
);

test("turns stay fair: from one change of weights or rotation to the next, each has its share but for two turns", async () => {
  const weights = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 4, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(weights, fc.array(change, { maxLength: 60 }), async (weights, changes) => {
      const clock = new VirtualClock();
      const endpoints = weights.map((weight, index) => endpointAt(index, { weight }));
      const settings = { name: "app", balance: "round_robin", eject: undefined, onDown: "keep" } as const;
      const backend = new Backend({ ...settings, retries: 0 }, clock);
      backend.setEndpoints(endpoints);
      const got = new Map<Endpoint, number>();
      let picks = 0;
      const inRotation = (): Endpoint[] => endpoints.filter((endpoint) => endpoint.inRotation);
      for (const change of changes) {
        if (change.kind === "picks") {
          for (let pick = 0; pick < change.picks && inRotation().length > 0; pick++) {
            const taken = backend.take("", []) as Endpoint;
            backend.giveBack(taken);
            got.set(taken, (got.get(taken) ?? 0) + 1);
            picks++;
          }
          const sum = inRotation().reduce((sum, { weight }) => sum + weight, 0);
          for (const endpoint of inRotation()) {
            expect(Math.abs((got.get(endpoint) ?? 0) - (picks * endpoint.weight) / sum)).toBeLessThanOrEqual(2);
          }
        } else if (change.kind === "idle") {
          const [first] = endpoints;
          if (change.what === "configure") backend.configure({ ...settings, retries: picks % 4 });
          else if (change.what === "set") backend.setEndpoints([...backend.endpoints].reverse());
          else if (change.what === "state") backend.setState(first!, first!.state);
          else if (change.what === "weight") backend.setWeight(first!, first!.weight);
          else backend.setHealth(first!, "up");
        } else {
          const endpoint = endpoints[change.of]!;
          if (change.kind === "weigh") backend.setWeight(endpoint, change.weight);
          else backend.setState(endpoint, endpoint.state === "ready" ? "drain" : "ready");
          await clock.advance(10_000);
          got.clear();
          picks = 0;
        }
      }
    }),
    { numRuns: 300 },
  );
}, 30_000);
