/** A backend that is changed while it works: what the operator wants, other settings, other tiers, checks that end. */
import { describe, expect, test } from "bun:test";
import type { Backend, BackendSettings } from "../../src/backend/backend.ts";
import type { BackendObserver } from "../../src/backend/backend-observer.ts";
import type { Balance } from "../../src/backend/balance/balancer.ts";
import type { Endpoint } from "../../src/backend/endpoint.ts";
import { Tiers } from "../../src/backend/tiers.ts";
import { backendWith, clientHost, endpointAt, seededRandom, weighted } from "../support/balanced.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const policies: readonly Balance[] = ["round_robin", "least_connections", "random_two", "source_hash", "first"];
const usual: BackendSettings = { name: "app", balance: "round_robin", retries: 2, eject: undefined, onDown: "keep" };
const eject = { failures: 3, forMs: 10_000 };

/** How many of so many short sessions each endpoint of the backend gets. */
function picks(backend: Backend, count: number): number[] {
  const got = new Map<Endpoint, number>(backend.endpoints.map((endpoint) => [endpoint, 0]));
  for (let client = 0; client < count; client++) {
    const taken = backend.take(clientHost(client), []);
    if (typeof taken === "string") continue;
    got.set(taken, got.get(taken)! + 1);
    backend.giveBack(taken);
  }
  return [...got.values()];
}

function fail(backend: Backend, endpoint: Endpoint, times: number): void {
  for (let time = 0; time < times; time++) backend.failed(endpoint, "refused");
}

/** What a backend tells from now on, in words, with the number of the endpoint in `all`. */
function heardOf(backend: Backend, all: readonly Endpoint[]): string[] {
  const heard: string[] = [];
  const note =
    (what: string) =>
    (endpoint: Endpoint, ...more: unknown[]) =>
      void heard.push([what, all.indexOf(endpoint), ...more].join(" "));
  const observer: Required<BackendObserver> = {
    down: note("down"),
    up: note("up"),
    ejected: note("ejected"),
    returned: note("returned"),
    stateChanged: note("state"),
    weightChanged: note("weight"),
    added: note("added"),
    removed: note("removed"),
  };
  backend.observe(observer);
  return heard;
}

describe("the state that an operator wants", () => {
  for (const state of ["drain", "down"] as const) {
    for (const balance of policies) {
      test(`${state}: no new clients, and open sessions are left alone (${balance})`, () => {
        const endpoints = weighted([1, 1, 1]);
        const backend = backendWith(endpoints, new VirtualClock(), { balance }, seededRandom(1));
        const heard = heardOf(backend, endpoints);
        const held = Array.from({ length: 30 }, (_, client) => backend.take(clientHost(client), []) as Endpoint);
        const active = endpoints[0]!.active;
        backend.setState(endpoints[0]!, state);
        expect(picks(backend, 300)[0]).toBe(0);
        expect(endpoints[0]!.active).toBe(active);
        expect(heard).toEqual([`state 0 ready ${state}`]);
        for (const endpoint of held) backend.giveBack(endpoint);
        expect(endpoints.map((endpoint) => endpoint.active)).toEqual([0, 0, 0]);
        backend.stop();
      });
    }
  }

  test("says whether it is down, beside active checks", () => {
    const [endpoint] = weighted([1]) as [Endpoint];
    const backend = backendWith([endpoint], new VirtualClock());
    const is: boolean[] = [];
    const look = () => is.push(endpoint.isDown, endpoint.fit);
    look();
    backend.setState(endpoint, "drain");
    look();
    backend.setState(endpoint, "down");
    look();
    backend.setHealth(endpoint, "down");
    backend.setState(endpoint, "ready");
    look();
    backend.setHealth(endpoint, "up");
    look();
    expect(is).toEqual([false, true, false, false, true, false, true, false, false, true]);
    backend.stop();
  });

  test("is told when it changes only, after the fact", () => {
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, new VirtualClock());
    const heard = heardOf(backend, endpoints);
    let inRotation: boolean | undefined;
    backend.observe({ stateChanged: (endpoint) => (inRotation = endpoint.inRotation) });
    backend.setState(endpoints[1]!, "ready");
    backend.setState(endpoints[1]!, "drain");
    expect(inRotation).toBe(false);
    backend.setState(endpoints[1]!, "drain");
    backend.setState(endpoints[1]!, "down");
    backend.setState(endpoints[1]!, "ready");
    expect(inRotation).toBe(true);
    expect(heard).toEqual(["state 1 ready drain", "state 1 drain down", "state 1 down ready"]);
    backend.stop();
  });

  test("ready again: warms up as one that is up again", async () => {
    const clock = new VirtualClock();
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, clock);
    backend.setState(endpoints[0]!, "drain");
    backend.setState(endpoints[0]!, "ready");
    expect(picks(backend, 1_100)[0]).toBeWithin(98, 103);
    await clock.advance(10_000);
    expect(picks(backend, 1_000)[0]).toBeWithin(499, 502);
    expect(clock.pendingTimers).toBe(0);
  });

  test("ready again while checks say down: nothing until they say up, and then it warms up", async () => {
    const clock = new VirtualClock();
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, clock);
    backend.setState(endpoints[0]!, "down");
    backend.setHealth(endpoints[0]!, "down");
    backend.setState(endpoints[0]!, "ready");
    await clock.advance(20_000);
    expect(picks(backend, 100)[0]).toBe(0);
    backend.setHealth(endpoints[0]!, "up");
    expect(picks(backend, 1_100)[0]).toBeWithin(98, 103);
    backend.stop();
  });

  test("checks go on meanwhile: what they find is told, and changes nothing for clients", () => {
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, new VirtualClock());
    backend.setState(endpoints[0]!, "drain");
    const heard = heardOf(backend, endpoints);
    for (const health of ["down", "up"] as const) {
      backend.setHealth(endpoints[0]!, health);
      expect(picks(backend, 10)).toEqual([0, 10]);
    }
    expect(heard).toEqual(["down 0", "up 0"]);
    backend.stop();
  });

  test("of all endpoints leaves nobody, and backups serve when no other is ready", () => {
    const endpoints = [endpointAt(0), endpointAt(1, { backup: true })];
    const backend = backendWith(endpoints, new VirtualClock());
    backend.setState(endpoints[0]!, "drain");
    expect(picks(backend, 10)).toEqual([0, 10]);
    expect(backend.available).toBe(true);
    backend.setState(endpoints[1]!, "down");
    expect([backend.available, backend.take("192.0.2.1", [])]).toEqual([false, "no_endpoint"]);
    backend.setState(endpoints[0]!, "ready");
    expect(picks(backend, 10)).toEqual([10, 0]);
    backend.stop();
  });

  test("that takes the last one out brings those back that are ejected, and those alone that may serve", () => {
    const endpoints = weighted([1, 1, 1]);
    const backend = backendWith(endpoints, new VirtualClock(), { eject });
    fail(backend, endpoints[0]!, 3);
    fail(backend, endpoints[1]!, 3);
    backend.setState(endpoints[1]!, "drain");
    const heard = heardOf(backend, endpoints);
    backend.setState(endpoints[2]!, "down");
    expect(heard).toEqual(["returned 0", "state 2 ready down"]);
    expect(endpoints.map(({ ejected }) => ejected)).toEqual([false, true, false]);
    expect(picks(backend, 10)).toEqual([10, 0, 0]);
    backend.stop();
  });

  test("keeps the last one that is ready from being ejected", () => {
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, new VirtualClock(), { eject });
    backend.setState(endpoints[0]!, "drain");
    fail(backend, endpoints[1]!, 100);
    expect(endpoints[1]!.ejected).toBe(false);
    backend.setState(endpoints[0]!, "ready");
    fail(backend, endpoints[1]!, 1);
    expect(endpoints[1]!.ejected).toBe(true);
    backend.stop();
  });

  test("does not end an ejection, and forgets failures that came before it", () => {
    const endpoints = weighted([1, 1, 1]);
    const backend = backendWith(endpoints, new VirtualClock(), { eject });
    fail(backend, endpoints[0]!, 3);
    fail(backend, endpoints[1]!, 2);
    for (const state of ["drain", "ready"] as const) {
      for (const endpoint of endpoints.slice(0, 2)) backend.setState(endpoint, state);
    }
    expect(endpoints[0]!.ejected).toBe(true);
    fail(backend, endpoints[1]!, 1);
    expect(endpoints[1]!.ejected).toBe(false);
    backend.stop();
  });

  test("of an endpoint that has left is noted, and holds when it comes back", () => {
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, new VirtualClock());
    const heard = heardOf(backend, endpoints);
    backend.setEndpoints([endpoints[1]!]);
    backend.setState(endpoints[0]!, "drain");
    backend.setWeight(endpoints[0]!, 7);
    backend.setEndpoints(endpoints);
    expect(heard).toEqual(["removed 0", "added 0"]);
    expect(picks(backend, 10)).toEqual([0, 10]);
    expect(endpoints[0]!.weight).toBe(7);
  });
});

describe("the weight that an operator wants", () => {
  for (const balance of ["round_robin", "random_two", "source_hash"] as const) {
    test(`counts in place of the configured one, until it is taken back (${balance})`, () => {
      const endpoints = weighted([1, 1, 2]);
      const backend = backendWith(endpoints, new VirtualClock(), { balance }, seededRandom(1));
      const heard = heardOf(backend, endpoints);
      backend.setWeight(endpoints[0]!, 5);
      expect(picks(backend, 8_000)[0]! / 8_000).toBeCloseTo(5 / 8, 1);
      backend.setWeight(endpoints[0]!, 5);
      backend.setWeight(endpoints[0]!, undefined);
      expect(picks(backend, 8_000)[0]! / 8_000).toBeCloseTo(1 / 4, 1);
      expect(endpoints[0]!.weight).toBe(1);
      expect(heard).toEqual(["weight 0 1 5", "weight 0 5 1"]);
    });
  }

  test("holds at once, be it much more or much less than before", () => {
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, new VirtualClock());
    picks(backend, 1);
    backend.setWeight(endpoints[0]!, 100);
    expect(picks(backend, 101)[0]).toBeWithin(99, 102);
    backend.setWeight(endpoints[1]!, 100);
    expect(picks(backend, 100)[0]).toBeWithin(49, 52);
    backend.setWeight(endpoints[0]!, undefined);
    expect(picks(backend, 101)[0]).toBeWithin(0, 3);
  });

  test("holds among least connections as well", () => {
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, new VirtualClock(), { balance: "least_connections" });
    backend.setWeight(endpoints[1]!, 3);
    for (let client = 0; client < 400; client++) backend.take(clientHost(client), []);
    expect(endpoints.map(({ active }) => active)).toEqual([100, 300]);
  });

  test("0 takes it out, and what follows warms up", async () => {
    const clock = new VirtualClock();
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, clock);
    backend.setWeight(endpoints[0]!, 0);
    expect(picks(backend, 100)).toEqual([0, 100]);
    backend.setWeight(endpoints[0]!, 1);
    expect(picks(backend, 1_100)[0]).toBeWithin(98, 103);
    await clock.advance(10_000);
    expect(picks(backend, 1_000)[0]).toBeWithin(499, 502);
  });

  test("survives a change of the set and of its settings", () => {
    const endpoints = weighted([1, 1, 1]);
    const backend = backendWith(endpoints.slice(0, 2), new VirtualClock());
    backend.setWeight(endpoints[0]!, 4);
    endpoints[0]!.settings = { ...endpoints[0]!.settings, connectionsMax: 9 };
    backend.setEndpoints(endpoints);
    expect(picks(backend, 600)).toEqual([400, 100, 100]);
  });

  test("that brings back the only one ends an ejection of nobody else", () => {
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, new VirtualClock(), { eject });
    fail(backend, endpoints[0]!, 3);
    backend.setWeight(endpoints[1]!, 0);
    expect(endpoints[0]!.ejected).toBe(false);
    expect(picks(backend, 10)).toEqual([10, 0]);
    backend.stop();
  });

  test.each([-1, 1_001, Number.NaN])("%p is a mistake of ours", (weight) => {
    const endpoints = weighted([1]);
    const backend = backendWith(endpoints, new VirtualClock());
    expect(() => backend.setWeight(endpoints[0]!, weight)).toThrow("assertion failed");
  });
});

describe("other settings", () => {
  test("are there for those who ask, under the same name alone", () => {
    const backend = backendWith(weighted([1]), new VirtualClock());
    backend.configure({ ...usual, balance: "source_hash", retries: 7, onDown: "close" });
    expect(backend.settings).toMatchObject({ retries: 7, onDown: "close" });
    expect(backend.goesByClient).toBe(true);
    expect(() => backend.configure({ ...usual, name: "other" })).toThrow("assertion failed");
  });

  for (const balance of policies) {
    test(`another policy holds from the next session on, with the sessions that are open (to ${balance})`, () => {
      const endpoints = weighted([1, 3, 1, 0]);
      const before = balance === "random_two" ? "first" : "random_two";
      const backend = backendWith(endpoints, new VirtualClock(), { balance: before }, seededRandom(1));
      const fresh = backendWith(weighted([1, 3, 1, 0]), new VirtualClock(), { balance }, seededRandom(1));
      const held = Array.from({ length: 12 }, (_, client) => backend.take(clientHost(client), []) as Endpoint);
      backend.configure({ ...usual, balance });
      for (const endpoint of held) backend.giveBack(endpoint);
      expect(endpoints.map(({ active }) => active)).toEqual([0, 0, 0, 0]);
      if (balance === "random_two") expect(picks(backend, 500)[1]).toBeWithin(280, 320);
      else expect(picks(backend, 500)).toEqual(picks(fresh, 500));
    });
  }

  test("another policy begins its own turns", async () => {
    const clock = new VirtualClock();
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, clock, { balance: "least_connections" });
    backend.setState(endpoints[1]!, "drain");
    for (let client = 0; client < 10; client++) backend.take("192.0.2.1", []);
    backend.setState(endpoints[1]!, "ready");
    await clock.advance(10_000);
    expect(picks(backend, 8)).toEqual([0, 8]);
    backend.configure(usual);
    expect(picks(backend, 4)).toEqual([2, 2]);
  });

  test("with the same policy let turns go on, and keep warm-up, health and ejections", async () => {
    const clock = new VirtualClock();
    const endpoints = weighted([9, 1, 1, 1]);
    const backend = backendWith(endpoints, clock, { eject });
    fail(backend, endpoints[2]!, 3);
    backend.setHealth(endpoints[3]!, "down");
    let light = 0;
    for (let client = 0; client < 1_000; client++) {
      backend.configure({ ...usual, eject, retries: client % 5 });
      const taken = backend.take("192.0.2.1", []) as Endpoint;
      if (taken === endpoints[1]) light++;
      backend.giveBack(taken);
    }
    expect(light).toBeWithin(99, 102);
    expect([endpoints[2]!.ejected, endpoints[3]!.health]).toEqual([true, "down"]);
    await clock.advance(10_000);
    backend.configure({ ...usual, eject });
    expect(picks(backend, 1_010)[2]).toBeWithin(9, 12);
    backend.stop();
  });

  test("without ejection end every one, and forget the failures so far", async () => {
    const clock = new VirtualClock();
    const endpoints = weighted([1, 1, 1]);
    const backend = backendWith(endpoints, clock, { eject });
    const heard = heardOf(backend, endpoints);
    fail(backend, endpoints[0]!, 3);
    fail(backend, endpoints[1]!, 2);
    backend.configure(usual);
    expect(heard).toEqual(["ejected 0 10000", "returned 0"]);
    fail(backend, endpoints[2]!, 100);
    backend.configure({ ...usual, eject });
    fail(backend, endpoints[1]!, 2);
    fail(backend, endpoints[2]!, 2);
    expect(endpoints.some(({ ejected }) => ejected)).toBe(false);
    await clock.advance(10_000);
    expect(clock.pendingTimers).toBe(0);
  });

  test("with another ejection hold from the next failure on; one that has begun lasts as was said", async () => {
    const clock = new VirtualClock();
    const endpoints = weighted([1, 1, 1]);
    const backend = backendWith(endpoints, clock, { eject });
    const heard = heardOf(backend, endpoints);
    fail(backend, endpoints[0]!, 3);
    fail(backend, endpoints[1]!, 1);
    backend.configure({ ...usual, eject: { failures: 2, forMs: 60_000 } });
    fail(backend, endpoints[1]!, 1);
    await clock.advance(10_000);
    expect(heard).toEqual(["ejected 0 10000", "ejected 1 60000", "returned 0"]);
    backend.stop();
  });

  test("set no timer in a backend that has stopped", () => {
    const clock = new VirtualClock();
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, clock, { eject });
    backend.stop();
    backend.setState(endpoints[0]!, "drain");
    backend.setState(endpoints[0]!, "ready");
    backend.configure({ ...usual, balance: "first" });
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("other settings of an endpoint", () => {
  test("that make it a backup, or none, under open sessions keep every count, limit and turn", () => {
    const endpoints = [endpointAt(0, { connectionsMax: 2 }), endpointAt(1), endpointAt(2, { backup: true })];
    const backend = backendWith(endpoints, new VirtualClock());
    const held = [0, 1, 2].map(() => backend.take("192.0.2.1", []) as Endpoint);
    expect(endpoints.map(({ active }) => active)).toEqual([2, 1, 0]);
    // As a backup it is full still; as a primary the other one gets everybody.
    endpoints[0]!.settings = { weight: 1, backup: true, connectionsMax: 2 };
    endpoints[2]!.settings = { weight: 1, backup: false, connectionsMax: 0 };
    // A session may end before the set is given again.
    backend.giveBack(held[1]!);
    backend.setEndpoints(endpoints);
    expect(picks(backend, 100)).toEqual([0, 50, 50]);
    backend.setState(endpoints[1]!, "drain");
    backend.setState(endpoints[2]!, "drain");
    expect(backend.take("192.0.2.1", [])).toBe("limit_endpoint");
    for (const endpoint of [held[0]!, held[2]!]) backend.giveBack(endpoint);
    expect(endpoints.map(({ active }) => active)).toEqual([0, 0, 0]);
    expect(picks(backend, 10)).toEqual([10, 0, 0]);
  });

  test("that lower its limit below what it has let nobody in until there is room", () => {
    const endpoints = weighted([1]);
    const backend = backendWith(endpoints, new VirtualClock());
    const held = [0, 1, 2].map(() => backend.take("192.0.2.1", []) as Endpoint);
    endpoints[0]!.settings = { weight: 1, backup: false, connectionsMax: 2 };
    backend.setEndpoints(endpoints);
    expect(backend.take("192.0.2.1", [])).toBe("limit_endpoint");
    backend.giveBack(held[0]!);
    expect(backend.take("192.0.2.1", [])).toBe("limit_endpoint");
    backend.giveBack(held[1]!);
    expect(backend.take("192.0.2.1", [])).toBe(endpoints[0]!);
    endpoints[0]!.settings = { weight: 1, backup: false, connectionsMax: 0 };
    backend.setEndpoints(endpoints);
    expect(backend.take("192.0.2.1", [])).toBe(endpoints[0]!);
  });

  test("that give it a weight after none let it warm up", () => {
    const endpoints = weighted([0, 1]);
    const backend = backendWith(endpoints, new VirtualClock());
    endpoints[0]!.settings = { weight: 1, backup: false, connectionsMax: 0 };
    backend.setEndpoints(endpoints);
    expect(picks(backend, 1_100)[0]).toBeWithin(98, 103);
    backend.stop();
  });
});

describe("without checks any more", () => {
  test("every endpoint counts as up, those that were down warm up, and nothing is told", async () => {
    const clock = new VirtualClock();
    const endpoints = weighted([1, 1, 1]);
    const backend = backendWith(endpoints, clock);
    backend.setHealth(endpoints[0]!, "down");
    backend.setHealth(endpoints[1]!, "up");
    backend.setState(endpoints[2]!, "drain");
    const heard = heardOf(backend, endpoints);
    backend.forgetHealth();
    expect(endpoints.map(({ health }) => health)).toEqual(["unknown", "unknown", "unknown"]);
    expect(picks(backend, 1_100)[0]).toBeWithin(98, 103);
    expect(endpoints[2]!.state).toBe("drain");
    expect(heard).toEqual([]);
    backend.stop();
  });

  test("an endpoint that comes back was not checked meanwhile", () => {
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, new VirtualClock());
    backend.setHealth(endpoints[0]!, "down");
    backend.setEndpoints([endpoints[1]!]);
    backend.forgetHealth();
    backend.setEndpoints(endpoints);
    expect(endpoints[0]!.health).toBe("unknown");
  });
});

describe("counts", () => {
  test("of failures are kept by reason; our own lack is no failure of the endpoint and ejects nobody", () => {
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, new VirtualClock(), { eject });
    for (const kind of ["refused", "local", "timeout", "local", "local"] as const) backend.failed(endpoints[0]!, kind);
    expect([endpoints[0]!.failures, endpoints[0]!.ejected, endpoints[0]!.ejections]).toEqual([2, false, 0]);
    expect([...endpoints[0]!.failuresByReason]).toEqual([
      ["refused", 1],
      ["local", 3],
      ["timeout", 1],
    ]);
    backend.failed(endpoints[0]!, "tls");
    expect([endpoints[0]!.failures, endpoints[0]!.ejected, endpoints[0]!.ejections]).toEqual([3, true, 1]);
    expect(endpoints[1]!.failuresByReason.size).toBe(0);
    backend.stop();
  });

  test("of ejections go on after a return and a departure", async () => {
    const clock = new VirtualClock();
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, clock, { eject });
    fail(backend, endpoints[0]!, 3);
    await clock.advance(10_000);
    fail(backend, endpoints[0]!, 3);
    backend.setEndpoints([endpoints[1]!]);
    expect([endpoints[0]!.ejections, endpoints[1]!.ejections]).toEqual([2, 0]);
  });
});

describe("observers", () => {
  test("are told until they want to hear no more, also from within", () => {
    const endpoints = weighted([1, 1]);
    const backend = backendWith(endpoints, new VirtualClock());
    const heard: string[] = [];
    const end = backend.observe({
      down: () => {
        heard.push("first");
        end();
      },
    });
    backend.observe({ down: () => void heard.push("second") });
    for (const health of ["down", "up", "down"] as const) backend.setHealth(endpoints[0]!, health);
    end();
    expect(heard).toEqual(["first", "second", "second"]);
    backend.stop();
  });
});

describe("tiers", () => {
  const endpoints = [endpointAt(0), endpointAt(1, { weight: 2 }), endpointAt(2, { backup: true })];

  test("that would be the same are kept, with their tables", () => {
    const tiers = new Tiers("source_hash", Math.random);
    tiers.arrange(endpoints, "source_hash");
    const [primaries, , backups] = endpoints.map((endpoint) => tiers.of(endpoint));
    tiers.arrange([...endpoints], "source_hash");
    expect(endpoints.map((endpoint) => tiers.of(endpoint))).toEqual([primaries, primaries, backups]);
    endpoints[2]!.weightOverride = 3;
    tiers.arrange(endpoints, "source_hash");
    expect(tiers.of(endpoints[0]!)).toBe(primaries!);
    expect(tiers.of(endpoints[2]!)).not.toBe(backups!);
    tiers.arrange(endpoints, "first");
    expect(tiers.of(endpoints[0]!)).not.toBe(primaries!);
    expect(tiers.of(endpointAt(9))).toBeUndefined();
  });
});
