/** The balancing policies as a backend's clients see them. */
import { describe, expect, test } from "bun:test";
import type { Backend } from "../../src/backend/backend.ts";
import type { Balance } from "../../src/backend/balance/balancer.ts";
import type { Endpoint } from "../../src/backend/endpoint.ts";
import { backendWith, clientHost, endpointAt, seededRandom, weighted } from "../support/balanced.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const clock = new VirtualClock();
const picks = 10_000;
const policies: readonly Balance[] = ["round_robin", "least_connections", "random_two", "source_hash", "first"];

function backendOf(balance: Balance, endpoints: readonly Endpoint[]): Backend {
  return backendWith(endpoints, clock, { balance }, seededRandom(1));
}

/** Begins a session, for a client that has tried nothing. */
function begin(backend: Backend, client = 0): Endpoint {
  const taken = backend.take(clientHost(client), []);
  if (typeof taken === "string") throw new Error(`no endpoint was to be had: ${taken}`);
  return taken;
}

/** How many of so many sessions each endpoint gets; each session ends when `open` others have begun after it. */
function countPicks(backend: Backend, count: number, open: number): number[] {
  const got = new Map<Endpoint, number>();
  const sessions: Endpoint[] = [];
  for (let client = 0; client < count; client++) {
    const endpoint = begin(backend, client);
    got.set(endpoint, (got.get(endpoint) ?? 0) + 1);
    sessions.push(endpoint);
    if (sessions.length > open) backend.giveBack(sessions.shift()!);
  }
  for (const endpoint of sessions) backend.giveBack(endpoint);
  return backend.endpoints.map((endpoint) => got.get(endpoint) ?? 0);
}

const weightings: readonly number[][] = [
  [1, 1],
  [1, 3],
  [1, 2, 3, 4],
  [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
  [5, 1, 1],
  [100, 50, 25, 1],
];

for (const weights of weightings) {
  const total = weights.reduce((sum, weight) => sum + weight);
  for (const balance of ["round_robin", "least_connections", "random_two", "source_hash"] as const) {
    for (const [sessions, open] of [
      ["that last", picks],
      ["that end at once", 0],
    ] as const) {
      test(`${balance} spreads ${picks} sessions ${sessions} by the weights ${weights.join(", ")}, within 2 %`, () => {
        const got = countPicks(backendOf(balance, weighted(weights)), picks, open);
        const error = got.map((count, slot) => Math.abs(count / picks - weights[slot]! / total));
        expect(Math.max(...error)).toBeLessThan(0.02);
        // Of its own share, where chance (clients' addresses) does not decide and the share is not tiny.
        if (balance === "source_hash") return;
        for (const [slot, count] of got.entries()) {
          const fair = (picks * weights[slot]!) / total;
          if (fair >= 500) expect(Math.abs(count / fair - 1)).toBeLessThan(0.02);
        }
      });
    }
  }
}

for (const balance of policies) {
  describe(balance, () => {
    test("never picks an endpoint of weight 0", () => {
      expect(countPicks(backendOf(balance, weighted([0, 1, 0])), 100, 10)).toEqual([0, 100, 0]);
    });

    test("with weight 0 everywhere there is no endpoint", () => {
      const backend = backendOf(balance, weighted([0, 0]));
      expect(backend.take("192.0.2.1", [])).toBe("no_endpoint");
      expect(backend.available).toBe(false);
    });

    test("without endpoints there is none", () => {
      expect(backendOf(balance, []).take("192.0.2.1", [])).toBe("no_endpoint");
    });

    test("passes over a full endpoint, says when all are, and goes on when one has room again", () => {
      const endpoints = [0, 1, 2].map((index) => endpointAt(index, { connectionsMax: index + 1 }));
      const backend = backendOf(balance, endpoints);
      for (let client = 0; client < 6; client++) begin(backend, client);
      expect(endpoints.map(({ active }) => active)).toEqual([1, 2, 3]);
      expect(backend.take(clientHost(6), [])).toBe("limit_endpoint");
      expect(backend.available).toBe(true);
      backend.giveBack(endpoints[1]!);
      expect(begin(backend, 7)).toBe(endpoints[1]!);
      expect(backend.take(clientHost(8), [])).toBe("limit_endpoint");
    });

    test("never picks an endpoint that the session has tried", () => {
      const backend = backendOf(balance, weighted([1, 5, 1, 3]));
      for (let client = 0; client < 100; client++) {
        const tried: Endpoint[] = [];
        for (let attempt = 0; attempt < 4; attempt++) {
          const endpoint = backend.take(clientHost(client), tried) as Endpoint;
          expect(tried).not.toContain(endpoint);
          tried.push(endpoint);
          backend.giveBack(endpoint);
        }
        expect(tried).toHaveLength(4);
        expect(backend.take(clientHost(client), tried)).toBe("no_endpoint");
      }
    });

    test("says limit_endpoint when what the session has not tried is full", () => {
      const endpoints = [endpointAt(0), endpointAt(1, { connectionsMax: 1 })];
      const backend = backendOf(balance, endpoints);
      expect(backend.take("192.0.2.1", [endpoints[0]!])).toBe(endpoints[1]!);
      expect(backend.take("192.0.2.1", [endpoints[0]!])).toBe("limit_endpoint");
    });

    test("a thousand endpoints are no matter", () => {
      const backend = backendOf(balance, weighted(Array.from({ length: 1_000 }, (_, index) => index % 5)));
      const got = countPicks(backend, 2_000, 500);
      expect(got.reduce((sum, count) => sum + count)).toBe(2_000);
      for (const [slot, count] of got.entries()) if (slot % 5 === 0) expect(count).toBe(0);
    });
  });
}

test("round_robin goes round, in the order of the configuration", () => {
  const endpoints = weighted([1, 1, 1]);
  const backend = backendOf("round_robin", endpoints);
  const order = Array.from({ length: 7 }, (_, client) => endpoints.indexOf(begin(backend, client)));
  expect(order).toEqual([0, 1, 2, 0, 1, 2, 0]);
});

test("round_robin spreads the turns of a heavy endpoint", () => {
  const endpoints = weighted([5, 1, 1]);
  const backend = backendOf("round_robin", endpoints);
  const order = Array.from({ length: 14 }, (_, client) => endpoints.indexOf(begin(backend, client)));
  for (let at = 0; at + 7 <= order.length; at++) {
    const window = order.slice(at, at + 7);
    expect(window.filter((slot) => slot === 0).length).toBeWithin(4, 7);
  }
});

test("round_robin does not make up for turns that a full endpoint missed", () => {
  const endpoints = [endpointAt(0, { connectionsMax: 1 }), endpointAt(1)];
  const backend = backendOf("round_robin", endpoints);
  const held = begin(backend);
  for (let client = 0; client < 100; client++) backend.giveBack(begin(backend, client));
  backend.giveBack(held);
  const next = Array.from({ length: 10 }, (_, client) => {
    const endpoint = begin(backend, client);
    backend.giveBack(endpoint);
    return endpoint;
  });
  expect(next.filter((endpoint) => endpoint === endpoints[0]).length).toBeWithin(5, 7);
});

test("least_connections picks the one with the fewest sessions for its weight", () => {
  const endpoints = weighted([1, 2, 4]);
  const backend = backendOf("least_connections", endpoints);
  for (let client = 0; client < 700; client++) begin(backend, client);
  expect(endpoints.map(({ active }) => active)).toEqual([100, 200, 400]);
  for (let ended = 0; ended < 50; ended++) backend.giveBack(endpoints[2]!);
  for (let client = 0; client < 50; client++) expect(begin(backend, client)).toBe(endpoints[2]!);
});

test("least_connections does not make one pay among equals for all that it got while another was busy", () => {
  const endpoints = weighted([1, 1]);
  const backend = backendOf("least_connections", endpoints);
  const held = [begin(backend), begin(backend)];
  backend.giveBack(endpoints[0]!);
  for (let client = 0; client < 100; client++) backend.giveBack(begin(backend, client));
  expect(held).toEqual(endpoints);
  backend.giveBack(endpoints[1]!);
  const got = countPicks(backend, 20, 0);
  expect(got[0]).toBeWithin(5, 11);
});

test("random_two takes the less loaded of the two it draws", () => {
  const endpoints = weighted([1, 1]);
  const backend = backendOf("random_two", endpoints);
  for (let client = 0; client < 10; client++) begin(backend, client);
  for (let ended = 0; ended < 5; ended++) backend.giveBack(endpoints[0]!);
  // Of two endpoints both are drawn.
  for (let client = 0; client < 5; client++) expect(begin(backend, client)).toBe(endpoints[0]!);
});

test("random_two draws two that differ, also when one has nearly all the weight", () => {
  const endpoints = weighted([1_000, 1]);
  const backend = backendOf("random_two", endpoints);
  for (let client = 0; client < 1_001; client++) begin(backend, client);
  expect(endpoints.map(({ active }) => active)).toEqual([1_000, 1]);
});

test("first takes the first that has room", () => {
  const endpoints = [endpointAt(0, { connectionsMax: 2 }), endpointAt(1, { connectionsMax: 1 }), endpointAt(2)];
  const backend = backendOf("first", endpoints);
  const order = Array.from({ length: 5 }, (_, client) => endpoints.indexOf(begin(backend, client)));
  expect(order).toEqual([0, 0, 1, 2, 2]);
});

describe("source_hash", () => {
  /** The endpoint of each client. */
  function placement(backend: Backend, clients = picks): Endpoint[] {
    return Array.from({ length: clients }, (_, client) => {
      const endpoint = begin(backend, client);
      backend.giveBack(endpoint);
      return endpoint;
    });
  }

  function moved(before: readonly Endpoint[], after: readonly Endpoint[]): number[] {
    return before.flatMap((endpoint, client) => (endpoint === after[client] ? [] : [client]));
  }

  test("a client keeps its endpoint", () => {
    const backend = backendOf("source_hash", weighted([1, 2, 3]));
    expect(placement(backend)).toEqual(placement(backend));
  });

  test("a client has the same endpoint at another proxy that knows the endpoints in another order", () => {
    const here = backendOf("source_hash", weighted([1, 2, 3]));
    const there = backendOf("source_hash", weighted([1, 2, 3]).toReversed());
    expect(placement(here).map(({ name }) => name)).toEqual(placement(there).map(({ name }) => name));
  });

  test("an IPv4 client is the same at a listener for both families", () => {
    const backend = backendOf("source_hash", weighted(Array.from({ length: 100 }, () => 1)));
    for (let client = 0; client < 100; client++) {
      expect(backend.take(`::ffff:${clientHost(client)}`, [])).toBe(begin(backend, client));
    }
  });

  test("IPv6 clients are spread too", () => {
    const endpoints = weighted([1, 1, 1, 1]);
    const backend = backendOf("source_hash", endpoints);
    for (let client = 0; client < 4_000; client++) backend.take(`2001:db8::${client.toString(16)}`, []);
    for (const { active } of endpoints) expect(active).toBeWithin(850, 1_150);
  });

  test("removing one of ten moves its own clients and less than one other in a hundred", () => {
    const endpoints = weighted(Array.from({ length: 10 }, () => 1));
    for (const gone of endpoints) {
      const backend = backendOf("source_hash", endpoints);
      const before = placement(backend);
      backend.setEndpoints(endpoints.filter((endpoint) => endpoint !== gone));
      const movers = moved(before, placement(backend));
      expect(movers.length).toBeLessThan(picks * 0.15);
      expect(movers.filter((client) => before[client] !== gone).length).toBeLessThan(picks * 0.01);
      backend.setEndpoints(endpoints);
      expect(moved(before, placement(backend))).toEqual([]);
    }
  });

  test("one that goes down moves its own clients only, to all others, and has them back when it is warm", async () => {
    const clock = new VirtualClock();
    const endpoints = weighted(Array.from({ length: 10 }, () => 1));
    const backend = backendWith(endpoints, clock, { balance: "source_hash" });
    const before = placement(backend);
    backend.setHealth(endpoints[4]!, "down");
    const during = placement(backend);
    expect(moved(before, during)).toEqual(
      before.flatMap((endpoint, client) => (endpoint === endpoints[4] ? [client] : [])),
    );
    expect(new Set(moved(before, during).map((client) => during[client])).size).toBe(9);
    backend.setHealth(endpoints[4]!, "up");
    const warming = placement(backend);
    expect(moved(during, warming).length).toBeWithin(50, 150);
    // Each of its clients moves once.
    for (const client of moved(during, warming)) expect(warming[client]).toBe(endpoints[4]!);
    await clock.advance(5_000);
    const warmer = placement(backend);
    for (const client of moved(warming, warmer)) expect(warmer[client]).toBe(endpoints[4]!);
    expect(moved(warming, warmer).length).toBeGreaterThan(300);
    await clock.advance(5_000);
    expect(moved(before, placement(backend))).toEqual([]);
    backend.stop();
  });

  test("the clients of a full endpoint have always the same next one", () => {
    const endpoints = Array.from({ length: 5 }, (_, index) =>
      endpointAt(index, { connectionsMax: index === 2 ? 1 : 0 }),
    );
    const backend = backendOf("source_hash", endpoints);
    const before = placement(backend);
    const client = before.indexOf(endpoints[2]!);
    begin(backend, client);
    const other = before.indexOf(endpoints[2]!, client + 1);
    const next = begin(backend, other);
    expect(next).not.toBe(endpoints[2]!);
    expect(begin(backend, other)).toBe(next);
    // A retry after the first choice goes there too.
    expect(backend.take(clientHost(other), [endpoints[2]!])).toBe(next);
  });

  test("with three of a thousand left, these share the clients", () => {
    const endpoints = weighted(Array.from({ length: 1_000 }, () => 1));
    const backend = backendOf("source_hash", endpoints);
    for (const endpoint of endpoints.slice(3)) backend.setHealth(endpoint, "down");
    const before = placement(backend, 3_000);
    for (const endpoint of endpoints.slice(0, 3)) {
      expect(before.filter((one) => one === endpoint).length).toBeWithin(850, 1_150);
    }
    backend.setHealth(endpoints[0]!, "down");
    const movers = moved(before, placement(backend, 3_000));
    for (const client of movers) expect(before[client]).toBe(endpoints[0]!);
  });
});
