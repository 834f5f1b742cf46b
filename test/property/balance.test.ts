/** The balancing policies under random weights, limits and sessions. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Backend } from "../../src/backend/backend.ts";
import type { Balance } from "../../src/backend/balance/balancer.ts";
import { maglevTable } from "../../src/backend/balance/maglev-table.ts";
import { Tournament } from "../../src/backend/balance/tournament.ts";
import type { Endpoint } from "../../src/backend/endpoint.ts";
import { backendWith, clientHost, endpointAt, seededRandom, weighted } from "../support/balanced.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const clock = new VirtualClock();
const weights = fc.array(fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 1_000 })), {
  minLength: 1,
  maxLength: 12,
});
const seed = fc.nat();

function backendOf(balance: Balance, endpoints: readonly Endpoint[], seed = 1): Backend {
  return backendWith(endpoints, clock, { balance }, seededRandom(seed));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

test("round_robin: after every pick each endpoint is within one pick of its share", () => {
  fc.assert(
    fc.property(weights, fc.integer({ min: 1, max: 2_000 }), (weights, picks) => {
      const endpoints = weighted(weights);
      const backend = backendOf("round_robin", endpoints);
      const total = sum(weights);
      for (let pick = 1; pick <= picks; pick++) {
        backend.take("192.0.2.1", []);
        for (const [slot, { active }] of endpoints.entries()) {
          if (Math.abs(active - (pick * weights[slot]!) / total) > 1 + 1e-9) {
            expect({ pick, slot, active }).toEqual({ pick, slot, active: (pick * weights[slot]!) / total });
          }
        }
      }
    }),
  );
});

test("10,000 sessions, short or long, are within 2 % of the weights", () => {
  const policy = fc.constantFrom<Balance>("round_robin", "least_connections", "random_two", "source_hash");
  fc.assert(
    fc.property(policy, weights, fc.boolean(), seed, (balance, weights, short, seed) => {
      const endpoints = weighted(weights);
      const backend = backendOf(balance, endpoints, seed);
      for (let client = 0; client < 10_000; client++) {
        const taken = backend.take(clientHost(client * 31), []) as Endpoint;
        taken.connected++;
        if (short) backend.giveBack(taken);
      }
      for (const [slot, { connected }] of endpoints.entries()) {
        expect(Math.abs(connected / 10_000 - weights[slot]! / sum(weights))).toBeLessThan(0.02);
      }
    }),
    // Clients' addresses are as good as random, so that some weights could come out worse: these don't.
    { seed: 4, numRuns: 60 },
  );
});

/** What a client does. */
type Step =
  | { readonly kind: "begin"; readonly client: number; readonly tried: readonly number[] }
  /** The session that began so long ago ends. */
  | { readonly kind: "end"; readonly which: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("begin" as const),
      client: fc.nat(50),
      tried: fc.uniqueArray(fc.nat(11), { maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("end" as const), which: fc.nat(1_000) }) },
);
const members = fc.array(
  fc.record({ weight: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 9 })), connectionsMax: fc.nat(4) }),
  { minLength: 1, maxLength: 12 },
);
const anyPolicy = fc.constantFrom<Balance>("round_robin", "least_connections", "random_two", "source_hash", "first");

test("a pick may be picked: least_connections has the least load, first is the first", () => {
  fc.assert(
    fc.property(anyPolicy, members, fc.array(step, { maxLength: 120 }), seed, (balance, members, steps, seed) => {
      const endpoints = members.map((settings, index) => endpointAt(index, settings));
      const backend = backendOf(balance, endpoints, seed);
      const sessions: Endpoint[] = [];
      const active = endpoints.map(() => 0);
      for (const step of steps) {
        if (step.kind === "end") {
          const [ended] = sessions.splice(step.which % Math.max(sessions.length, 1), 1);
          if (ended === undefined) continue;
          backend.giveBack(ended);
          active[endpoints.indexOf(ended)]!--;
        } else {
          const tried = step.tried.flatMap((index) => endpoints[index] ?? []);
          const left = endpoints.filter((endpoint) => endpoint.settings.weight > 0 && !tried.includes(endpoint));
          const open = left.filter(
            ({ settings, active }) => settings.connectionsMax === 0 || active < settings.connectionsMax,
          );
          const load = ({ settings, active }: Endpoint) => active / settings.weight;
          const least = Math.min(...open.map(load));
          const before = new Map(open.map((endpoint) => [endpoint, load(endpoint)]));
          const taken = backend.take(clientHost(step.client), tried);
          if (typeof taken === "string") {
            expect(open).toEqual([]);
            expect(taken).toBe(left.length > 0 ? "limit_endpoint" : "no_endpoint");
            continue;
          }
          expect(open.includes(taken)).toBe(true);
          if (balance === "least_connections") expect(before.get(taken)).toBe(least);
          if (balance === "first") expect(taken).toBe(open[0]!);
          sessions.push(taken);
          active[endpoints.indexOf(taken)]!++;
        }
        expect(endpoints.map((endpoint) => endpoint.active)).toEqual(active);
      }
    }),
    { numRuns: 300 },
  );
});

test("source_hash: a client keeps its endpoint whatever others do, and one that goes moves its own clients", () => {
  const clients = 2_000;
  const placed = (backend: Backend) =>
    Array.from({ length: clients }, (_, client) => {
      const endpoint = backend.take(clientHost(client), []) as Endpoint;
      backend.giveBack(endpoint);
      return endpoint;
    });
  const several = fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 2, maxLength: 20 });
  fc.assert(
    fc.property(several, fc.nat(), (weights, which) => {
      const endpoints = weighted(weights);
      const backend = backendOf("source_hash", endpoints);
      const before = placed(backend);
      expect(placed(backend).every((endpoint, client) => endpoint === before[client])).toBe(true);
      const gone = endpoints[which % endpoints.length]!;
      backend.setHealth(gone, "down");
      const down = placed(backend);
      expect(down.every((endpoint, client) => (before[client] === gone) === (endpoint !== before[client]))).toBe(true);
      backend.setEndpoints(endpoints.filter((endpoint) => endpoint !== gone));
      const others = placed(backend).filter(
        (endpoint, client) => before[client] !== gone && endpoint !== before[client],
      );
      expect(others.length / clients).toBeLessThan(0.02);
    }),
    { numRuns: 15 },
  );
});

test("the table of source_hash has places by weight, whatever the order of the endpoints", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 30 }), (weights) => {
      fc.pre(sum(weights) > 0);
      const names = weights.map((_, index) => `10.0.0.${index}:80`);
      const table = maglevTable(names, weights);
      const counts = weights.map(() => 0);
      for (const slot of table) counts[slot]!++;
      for (const [slot, count] of counts.entries()) {
        expect(Math.abs(count - (table.length * weights[slot]!) / sum(weights))).toBeLessThanOrEqual(weights.length);
      }
      const last = names.length - 1;
      const turned = maglevTable(names.toReversed(), weights.toReversed());
      expect(Array.from(turned, (slot) => last - slot)).toEqual([...table]);
    }),
    { numRuns: 10 },
  );
});

test("the tournament's winner is the smallest key, then the smallest tie, then the smallest slot", () => {
  const change = fc.record({ slot: fc.nat(20), key: fc.option(fc.nat(4), { nil: Infinity }), tie: fc.nat(2) });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 21 }), fc.array(change), (slots, changes) => {
      const tournament = new Tournament(slots);
      const all = Array.from({ length: slots }, (_, slot) => ({ slot, key: Infinity, tie: 0 }));
      for (const { slot, key, tie } of changes) {
        if (slot >= slots) continue;
        if (key === Infinity) tournament.remove(slot);
        else tournament.set(slot, key, tie);
        all[slot] = { slot, key, tie: key === Infinity ? 0 : tie };
        const [first] = all.toSorted((one, other) =>
          one.key === other.key ? one.tie - other.tie || one.slot - other.slot : one.key - other.key,
        );
        expect(tournament.first).toBe(first!.key === Infinity ? -1 : first!.slot);
      }
    }),
    { numRuns: 500 },
  );
});
