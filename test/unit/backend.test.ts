/** Which endpoints of a backend get clients: backups, health, ejection, warm-up, changes of the set. */
import { describe, expect, test } from "bun:test";
import type { Backend, BackendSettings } from "../../src/backend/backend.ts";
import type { BackendObserver } from "../../src/backend/backend-observer.ts";
import type { Balance } from "../../src/backend/balance/balancer.ts";
import { Endpoint } from "../../src/backend/endpoint.ts";
import { backendWith, clientHost, endpointAt, seededRandom } from "../support/balanced.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const policies: readonly Balance[] = ["round_robin", "least_connections", "random_two", "source_hash", "first"];
const minuteMs = 60_000;

/** Which of its endpoints get any of 1,000 short sessions. */
function served(backend: Backend): Endpoint[] {
  const got = sharesOf(backend);
  return backend.endpoints.filter((endpoint) => got.has(endpoint));
}

/** The part of 1,000 short sessions that each endpoint gets. */
function sharesOf(backend: Backend): Map<Endpoint, number> {
  const got = new Map<Endpoint, number>();
  for (let client = 0; client < 1_000; client++) {
    const taken = backend.take(clientHost(client), []);
    if (typeof taken === "string") continue;
    got.set(taken, (got.get(taken) ?? 0) + 1 / 1_000);
    backend.giveBack(taken);
  }
  return got;
}

/** Fails so often in a row. */
function fail(backend: Backend, endpoint: Endpoint, times: number): void {
  for (let time = 0; time < times; time++) backend.failed(endpoint, "refused");
}

/** What a backend tells, in words, with the number of the endpoint in `all`. */
function recorder(all: readonly Endpoint[]): { readonly events: string[]; readonly observer: BackendObserver } {
  const events: string[] = [];
  const note = (what: string) => (endpoint: Endpoint) => void events.push(`${what} ${all.indexOf(endpoint)}`);
  const observer: BackendObserver = {
    down: note("down"),
    up: note("up"),
    ejected: (endpoint, forMs) => void events.push(`ejected ${all.indexOf(endpoint)} for ${forMs}`),
    returned: note("returned"),
    added: note("added"),
    removed: note("removed"),
  };
  return { events, observer };
}

const ejecting: Partial<BackendSettings> = { eject: { failures: 3, forMs: 10_000 } };

describe("an endpoint", () => {
  const settings = { weight: 1, backup: false, connectionsMax: 0 };

  test("is called by what is dialled, and keeps what was configured", () => {
    const configured = { kind: "tcp", host: "db.internal", port: 5432 } as const;
    const endpoint = new Endpoint(configured, { kind: "tcp", host: "2001:db8::1", port: 5432 }, settings);
    const { name, configured: written, host } = endpoint;
    expect({ name, written, host }).toEqual({
      name: "[2001:db8::1]:5432",
      written: "db.internal:5432",
      host: "db.internal",
    });
  });

  test("of a service in DNS has the domain of the service for TLS", () => {
    const configured = { kind: "srv", name: "_pg._tcp.example.com" } as const;
    const endpoint = new Endpoint(configured, { kind: "tcp", host: "192.0.2.1", port: 5432 }, settings);
    expect(endpoint.host).toBe("example.com");
    expect(endpoint.configured).toBe("srv:_pg._tcp.example.com");
  });

  test("may be a Unix socket", () => {
    const address = { kind: "unix", path: "/run/app.sock" } as const;
    const endpoint = new Endpoint(address, address, settings);
    expect({ name: endpoint.name, host: endpoint.host }).toEqual({ name: "unix:/run/app.sock", host: "" });
  });
});

describe("backups", () => {
  const backup = { backup: true };

  test("get nobody while another endpoint is in rotation, full or not", () => {
    const endpoints = [endpointAt(0, { connectionsMax: 1 }), endpointAt(1, backup)];
    const backend = backendWith(endpoints, new VirtualClock());
    expect(served(backend)).toEqual([endpoints[0]!]);
    backend.take("192.0.2.1", []);
    expect(backend.take("192.0.2.1", [])).toBe("limit_endpoint");
  });

  test("share the clients when all others are down, by the policy", () => {
    const endpoints = [endpointAt(0), endpointAt(1), endpointAt(2, { ...backup, weight: 3 }), endpointAt(3, backup)];
    const backend = backendWith(endpoints, new VirtualClock());
    backend.setHealth(endpoints[0]!, "down");
    backend.setHealth(endpoints[1]!, "down");
    const got = sharesOf(backend);
    expect(got.get(endpoints[2]!)).toBeCloseTo(0.75, 2);
    expect(got.get(endpoints[3]!)).toBeCloseTo(0.25, 2);
    backend.stop();
  });

  test("take a session that has tried all others", () => {
    const endpoints = [endpointAt(0), endpointAt(1, backup), endpointAt(2)];
    const backend = backendWith(endpoints, new VirtualClock());
    expect(backend.take("192.0.2.1", [endpoints[0]!])).toBe(endpoints[2]!);
    expect(backend.take("192.0.2.1", [endpoints[0]!, endpoints[2]!])).toBe(endpoints[1]!);
    expect(backend.take("192.0.2.1", endpoints)).toBe("no_endpoint");
  });

  test("give way at once when another endpoint is up again", () => {
    const endpoints = [endpointAt(0), endpointAt(1, backup)];
    const backend = backendWith(endpoints, new VirtualClock());
    backend.setHealth(endpoints[0]!, "down");
    expect(served(backend)).toEqual([endpoints[1]!]);
    backend.setHealth(endpoints[0]!, "up");
    expect(served(backend)).toEqual([endpoints[0]!]);
    backend.stop();
  });

  test("are full, too", () => {
    const backend = backendWith([endpointAt(0, { backup: true, connectionsMax: 1 })], new VirtualClock());
    backend.take("192.0.2.1", []);
    expect(backend.take("192.0.2.1", [])).toBe("limit_endpoint");
  });
});

describe("health", () => {
  test("counts as up while unknown", () => {
    const backend = backendWith([endpointAt(0)], new VirtualClock());
    expect(backend.available).toBe(true);
    expect(served(backend)).toEqual([...backend.endpoints]);
  });

  test("down takes an endpoint out at once, and all down leaves no endpoint", () => {
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, new VirtualClock());
    backend.setHealth(endpoints[0]!, "down");
    expect(served(backend)).toEqual([endpoints[1]!]);
    backend.setHealth(endpoints[1]!, "down");
    expect(backend.take("192.0.2.1", [])).toBe("no_endpoint");
    expect(backend.available).toBe(false);
  });

  test("is told when it changes, and not when it is found again", () => {
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, new VirtualClock());
    const { events, observer } = recorder(endpoints);
    backend.observe(observer);
    for (const health of ["up", "up", "down", "down", "up", "up"] as const) backend.setHealth(endpoints[0]!, health);
    expect(events).toEqual(["down 0", "up 0"]);
    backend.stop();
  });

  test("of an endpoint that has left is noted and changes nothing", () => {
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, new VirtualClock());
    backend.setEndpoints([endpoints[1]!]);
    const { events, observer } = recorder(endpoints);
    backend.observe(observer);
    backend.setHealth(endpoints[0]!, "down");
    expect(events).toEqual([]);
    expect(served(backend)).toEqual([endpoints[1]!]);
  });
});

describe("ejection", () => {
  test("comes with so many failures in a row, and is over in time", async () => {
    const clock = new VirtualClock();
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, clock, ejecting);
    const { events, observer } = recorder(endpoints);
    backend.observe(observer);
    fail(backend, endpoints[0]!, 2);
    backend.succeeded(endpoints[0]!);
    fail(backend, endpoints[0]!, 2);
    expect(events).toEqual([]);
    fail(backend, endpoints[0]!, 1);
    expect(events).toEqual(["ejected 0 for 10000"]);
    expect(endpoints[0]!.ejected).toBe(true);
    expect(endpoints[0]!.failures).toBe(5);
    expect(endpoints[0]!.connected).toBe(1);
    await clock.advance(9_999);
    expect(served(backend)).toEqual([endpoints[1]!]);
    await clock.advance(1);
    expect(served(backend)).toEqual(endpoints);
    expect(events).toEqual(["ejected 0 for 10000", "returned 0"]);
    backend.stop();
  });

  test("does not happen when it is off", () => {
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, new VirtualClock());
    fail(backend, endpoints[0]!, 1_000);
    expect(served(backend)).toEqual(endpoints);
  });

  test("doubles each time up to five minutes, and the doubling is forgotten after five minutes without", async () => {
    const clock = new VirtualClock();
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, clock, ejecting);
    const { events, observer } = recorder(endpoints);
    backend.observe(observer);
    for (let time = 0; time < 7; time++) {
      fail(backend, endpoints[0]!, 3);
      await clock.advance(5 * minuteMs - 1);
      if (endpoints[0]!.ejected) await clock.advance(1);
    }
    expect(events.filter((event) => event.startsWith("ejected"))).toEqual([
      "ejected 0 for 10000",
      "ejected 0 for 20000",
      "ejected 0 for 40000",
      "ejected 0 for 80000",
      "ejected 0 for 160000",
      "ejected 0 for 300000",
      "ejected 0 for 300000",
    ]);
    await clock.advance(5 * minuteMs);
    fail(backend, endpoints[0]!, 3);
    expect(events.at(-1)).toBe("ejected 0 for 10000");
    backend.stop();
  });

  test("longer than five minutes from the start stays as long as it is", async () => {
    const clock = new VirtualClock();
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, clock, { eject: { failures: 1, forMs: 10 * minuteMs } });
    const { events, observer } = recorder(endpoints);
    backend.observe(observer);
    fail(backend, endpoints[0]!, 1);
    await clock.advance(10 * minuteMs);
    fail(backend, endpoints[0]!, 1);
    expect(events.filter((event) => event.startsWith("ejected"))).toEqual(Array(2).fill("ejected 0 for 600000"));
    backend.stop();
  });

  test("never takes the last endpoint in rotation", () => {
    const endpoints = [endpointAt(0), endpointAt(1), endpointAt(2, { weight: 0 })];
    const backend = backendWith(endpoints, new VirtualClock(), ejecting);
    fail(backend, endpoints[0]!, 3);
    fail(backend, endpoints[1]!, 100);
    expect(served(backend)).toEqual([endpoints[1]!]);
    backend.stop();
  });

  test("takes an endpoint that failed as the last one with its next failure, when another is back", async () => {
    const clock = new VirtualClock();
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, clock, ejecting);
    fail(backend, endpoints[0]!, 3);
    fail(backend, endpoints[1]!, 100);
    await clock.advance(10_000);
    fail(backend, endpoints[1]!, 1);
    expect(served(backend)).toEqual([endpoints[0]!]);
    backend.stop();
  });

  test("may leave the clients to the backups", () => {
    const endpoints = [endpointAt(0), endpointAt(1, { backup: true })];
    const backend = backendWith(endpoints, new VirtualClock(), ejecting);
    fail(backend, endpoints[0]!, 3);
    expect(served(backend)).toEqual([endpoints[1]!]);
    backend.stop();
  });

  test("is over when the last of the others goes down or leaves", () => {
    for (const leave of [
      (backend: Backend, endpoint: Endpoint) => backend.setHealth(endpoint, "down"),
      (backend: Backend, endpoint: Endpoint) =>
        backend.setEndpoints(backend.endpoints.filter((other) => other !== endpoint)),
    ]) {
      const endpoints = [endpointAt(0), endpointAt(1)];
      const backend = backendWith(endpoints, new VirtualClock(), ejecting);
      fail(backend, endpoints[0]!, 3);
      leave(backend, endpoints[1]!);
      expect(served(backend)).toEqual([endpoints[0]!]);
      backend.stop();
    }
  });

  test("is ended by a good check, and the next one is longer all the same", () => {
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, new VirtualClock(), ejecting);
    const { events, observer } = recorder(endpoints);
    backend.observe(observer);
    backend.setHealth(endpoints[0]!, "up");
    fail(backend, endpoints[0]!, 3);
    backend.setHealth(endpoints[0]!, "up");
    fail(backend, endpoints[0]!, 2);
    expect(endpoints[0]!.ejected).toBe(false);
    fail(backend, endpoints[0]!, 1);
    expect(events).toEqual(["ejected 0 for 10000", "returned 0", "ejected 0 for 20000"]);
    backend.stop();
  });

  test("that ends while the endpoint is down changes nothing for clients", async () => {
    const clock = new VirtualClock();
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, clock, ejecting);
    fail(backend, endpoints[0]!, 3);
    backend.setHealth(endpoints[0]!, "down");
    await clock.advance(minuteMs);
    expect(endpoints[0]!.ejected).toBe(false);
    expect(served(backend)).toEqual([endpoints[1]!]);
    backend.stop();
  });

  test("is over for an endpoint that leaves the set, without a word of its return", () => {
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, new VirtualClock(), ejecting);
    const { events, observer } = recorder(endpoints);
    backend.observe(observer);
    fail(backend, endpoints[0]!, 3);
    backend.setEndpoints([endpoints[1]!]);
    backend.setEndpoints(endpoints);
    expect(events).toEqual(["ejected 0 for 10000", "removed 0", "added 0"]);
    expect(served(backend)).toEqual(endpoints);
    backend.stop();
  });

  test("does not count failures of an endpoint that is out, or has left", () => {
    const endpoints = [endpointAt(0), endpointAt(1), endpointAt(2)];
    const backend = backendWith(endpoints, new VirtualClock(), ejecting);
    backend.setHealth(endpoints[0]!, "down");
    backend.setEndpoints(endpoints.slice(0, 2));
    fail(backend, endpoints[0]!, 100);
    fail(backend, endpoints[2]!, 100);
    expect([endpoints[0]!.ejected, endpoints[2]!.ejected]).toEqual([false, false]);
    expect([endpoints[0]!.failures, endpoints[2]!.failures]).toEqual([100, 100]);
  });
});

describe("warm-up", () => {
  for (const balance of ["round_robin", "least_connections", "random_two", "source_hash"] as const) {
    test(`${balance}: an endpoint that is up again gets a tenth of its share, and more by and by`, async () => {
      const clock = new VirtualClock();
      const endpoints = [endpointAt(0), endpointAt(1), endpointAt(2), endpointAt(3)];
      const backend = backendWith(endpoints, clock, { balance }, seededRandom(1));
      backend.setHealth(endpoints[0]!, "down");
      // Sessions that last would speak for the fresh one.
      for (let client = 0; client < 300; client++) backend.take(clientHost(client), []);
      backend.setHealth(endpoints[0]!, "up");
      const shares: number[] = [];
      for (let second = 0; second < 10; second++) {
        shares.push(sharesOf(backend).get(endpoints[0]!) ?? 0);
        await clock.advance(1_000);
      }
      const part = (share: number) => share / (share + 3);
      for (const [second, share] of shares.slice(0, 9).entries()) {
        const warmth = (second + 1) / 10;
        // By hash it is so many of those clients that are its own, as chance has it.
        if (balance === "source_hash") expect(Math.abs(share - warmth / 4)).toBeLessThan(0.05);
        else expect(share).toBeCloseTo(part(warmth), 2);
      }
      for (const [second, share] of shares.slice(1).entries()) expect(share).toBeGreaterThanOrEqual(shares[second]!);
      backend.stop();
    });
  }

  test("first: an endpoint that is up again is passed over until it is warm, if another can be had", async () => {
    const clock = new VirtualClock();
    const endpoints = [endpointAt(0), endpointAt(1, { connectionsMax: 1 })];
    const backend = backendWith(endpoints, clock, { balance: "first" });
    backend.setHealth(endpoints[0]!, "down");
    backend.setHealth(endpoints[0]!, "up");
    expect(served(backend)).toEqual([endpoints[1]!]);
    const held = backend.take("192.0.2.1", []) as Endpoint;
    expect(held).toBe(endpoints[1]!);
    expect(served(backend)).toEqual([endpoints[0]!]);
    backend.giveBack(held);
    await clock.advance(10_000);
    expect(served(backend)).toEqual([endpoints[0]!]);
    backend.stop();
  });

  for (const balance of policies) {
    test(`${balance}: when all come up together nothing is held back`, () => {
      const endpoints = [endpointAt(0), endpointAt(1)];
      const backend = backendWith(endpoints, new VirtualClock(), { balance }, seededRandom(1));
      const cold = sharesOf(backend);
      for (const endpoint of endpoints) backend.setHealth(endpoint, "down");
      for (const endpoint of endpoints) backend.setHealth(endpoint, "up");
      const shares = sharesOf(backend);
      for (const endpoint of endpoints) expect(shares.get(endpoint) ?? 0).toBeCloseTo(cold.get(endpoint) ?? 0, 1);
      if (balance === "first") expect(served(backend)).toEqual([endpoints[0]!]);
      backend.stop();
    });
  }

  test("an endpoint that returns from ejection warms up as well", async () => {
    const clock = new VirtualClock();
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, clock, ejecting);
    fail(backend, endpoints[0]!, 3);
    await clock.advance(10_000);
    expect(sharesOf(backend).get(endpoints[0]!)).toBeCloseTo(0.1 / 1.1, 2);
    await clock.advance(10_000);
    expect(sharesOf(backend).get(endpoints[0]!)).toBeCloseTo(0.5, 2);
    expect(clock.pendingTimers).toBe(0);
  });

  test("an endpoint that a good check brings back warms up as well", () => {
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, new VirtualClock(), ejecting);
    backend.setHealth(endpoints[0]!, "up");
    fail(backend, endpoints[0]!, 3);
    backend.setHealth(endpoints[0]!, "up");
    expect(sharesOf(backend).get(endpoints[0]!)).toBeCloseTo(0.1 / 1.1, 2);
    backend.stop();
  });

  test("source_hash: when all come up together each client has the endpoint that it had", () => {
    const endpoints = [endpointAt(0), endpointAt(1), endpointAt(2)];
    const backend = backendWith(endpoints, new VirtualClock(), { balance: "source_hash" });
    const placement = () => Array.from({ length: 100 }, (_, client) => backend.take(clientHost(client), []));
    const before = placement();
    for (const endpoint of endpoints) backend.setHealth(endpoint, "down");
    for (const endpoint of endpoints) backend.setHealth(endpoint, "up");
    for (const [client, endpoint] of placement().entries()) expect(endpoint).toBe(before[client]!);
    backend.stop();
  });

  test("round_robin: an endpoint that returns is owed nothing, and waits no longer than others when warm", async () => {
    const clock = new VirtualClock();
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, clock);
    const got = (picks: number) => {
      const before = endpoints[1]!.active;
      for (let pick = 0; pick < picks; pick++) backend.take("192.0.2.1", []);
      return endpoints[1]!.active - before;
    };
    backend.setHealth(endpoints[1]!, "down");
    expect(got(100)).toBe(0);
    backend.setHealth(endpoints[1]!, "up");
    expect(got(10)).toBe(0);
    expect(got(2)).toBe(1);
    await clock.advance(10_000);
    expect(got(10)).toBeWithin(4, 6);
  });

  test("one that warms up has all clients when it is alone, and its share counts from its return", async () => {
    const clock = new VirtualClock();
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, clock);
    for (const endpoint of endpoints) backend.setHealth(endpoint, "down");
    backend.setHealth(endpoints[0]!, "up");
    expect(served(backend)).toEqual([endpoints[0]!]);
    await clock.advance(5_000);
    backend.setHealth(endpoints[1]!, "up");
    // 0.1 beside 0.6.
    expect(sharesOf(backend).get(endpoints[1]!)).toBeCloseTo(0.1 / 0.7, 2);
    backend.stop();
  });

  for (const balance of policies) {
    for (const sessions of ["short", "long"] as const) {
      test(`${balance}: an endpoint that comes and goes takes few clients, with ${sessions} sessions`, async () => {
        const clock = new VirtualClock();
        const endpoints = [endpointAt(0), endpointAt(1)];
        const [flapping, steady] = endpoints as [Endpoint, Endpoint];
        const backend = backendWith(endpoints, clock, { balance }, seededRandom(1));
        const got = new Map(endpoints.map((endpoint) => [endpoint, 0]));
        let client = 0;
        for (let second = 0; second < 60; second++) {
          if (second % 6 === 0) {
            backend.setHealth(flapping, "down");
            // Its sessions end with it.
            while (flapping.active > 0) backend.giveBack(flapping);
          }
          if (second % 6 === 3) backend.setHealth(flapping, "up");
          for (let arrival = 0; arrival < 20; arrival++) {
            const taken = backend.take(clientHost(client++), []) as Endpoint;
            got.set(taken, got.get(taken)! + 1);
            if (sessions === "short") backend.giveBack(taken);
          }
          await clock.advance(1_000);
        }
        expect(got.get(flapping)! + got.get(steady)!).toBe(client);
        expect(got.get(flapping)! / client).toBeLessThan(0.15);
        backend.stop();
      });
    }
  }
});

describe("the set of endpoints", () => {
  test("may change under open sessions, whose endpoints are given back as ever", () => {
    const endpoints = [endpointAt(0), endpointAt(1), endpointAt(2)];
    const backend = backendWith(endpoints.slice(0, 2), new VirtualClock());
    const { events, observer } = recorder(endpoints);
    backend.observe(observer);
    const held = [backend.take("192.0.2.1", []), backend.take("192.0.2.1", [])] as Endpoint[];
    backend.setEndpoints(endpoints.slice(1));
    expect(events).toEqual(["removed 0", "added 2"]);
    expect(endpoints.map(({ active }) => active)).toEqual([1, 1, 0]);
    for (const endpoint of held) backend.giveBack(endpoint);
    expect(endpoints.map(({ active }) => active)).toEqual([0, 0, 0]);
    expect(served(backend)).toEqual(endpoints.slice(1));
  });

  test("keeps what is known of those that stay, sessions and ejections", () => {
    const endpoints = [endpointAt(0, { connectionsMax: 1 }), endpointAt(1), endpointAt(2), endpointAt(3)];
    const backend = backendWith(endpoints.slice(0, 3), new VirtualClock(), ejecting);
    fail(backend, endpoints[1]!, 3);
    backend.setHealth(endpoints[2]!, "down");
    expect(backend.take("192.0.2.1", [])).toBe(endpoints[0]!);
    backend.setEndpoints(endpoints);
    expect(served(backend)).toEqual([endpoints[3]!]);
    backend.stop();
  });

  test("may be given again with other settings of the same endpoints", () => {
    const endpoints = [endpointAt(0), endpointAt(1)];
    const backend = backendWith(endpoints, new VirtualClock());
    endpoints[0]!.settings = { weight: 4, backup: false, connectionsMax: 0 };
    backend.setEndpoints(endpoints);
    expect(sharesOf(backend).get(endpoints[0]!)).toBeCloseTo(0.8, 2);
    endpoints[0]!.settings = { weight: 4, backup: true, connectionsMax: 0 };
    backend.setEndpoints(endpoints);
    expect(served(backend)).toEqual([endpoints[1]!]);
  });

  test("lets one that comes to established ones warm up", async () => {
    const clock = new VirtualClock();
    const endpoints = [endpointAt(0), endpointAt(1), endpointAt(2)];
    const backend = backendWith(endpoints.slice(0, 2), clock);
    await clock.advance(10_000);
    backend.setEndpoints(endpoints);
    expect(sharesOf(backend).get(endpoints[2]!)).toBeCloseTo(0.1 / 2.1, 2);
    backend.stop();
  });

  test("lets nobody warm up when most of it is new, or when names are first resolved", async () => {
    const clock = new VirtualClock();
    const endpoints = [endpointAt(0), endpointAt(1), endpointAt(2), endpointAt(3)];
    const backend = backendWith([], clock);
    await clock.advance(10_000);
    backend.setEndpoints(endpoints.slice(0, 1));
    backend.setEndpoints(endpoints.slice(0, 2));
    expect(sharesOf(backend).get(endpoints[1]!)).toBeCloseTo(0.5, 2);
    await clock.advance(10_000);
    backend.setEndpoints(endpoints.slice(1));
    expect(sharesOf(backend).get(endpoints[3]!)).toBeCloseTo(1 / 3, 2);
    expect(clock.pendingTimers).toBe(0);
  });

  test("that changes all the time does not take the turns of a light endpoint", () => {
    const endpoints = [endpointAt(0, { weight: 9 }), endpointAt(1), endpointAt(2)];
    const backend = backendWith(endpoints.slice(0, 2), new VirtualClock());
    let light = 0;
    for (let client = 0; client < 1_000; client++) {
      backend.setEndpoints(client % 2 === 0 ? endpoints.slice(0, 2) : endpoints.slice(0, 2).toReversed());
      const taken = backend.take("192.0.2.1", []) as Endpoint;
      if (taken === endpoints[1]) light++;
      backend.giveBack(taken);
    }
    expect(light).toBeWithin(99, 102);
  });
});

test("nothing is left behind when it stops", async () => {
  const clock = new VirtualClock();
  const endpoints = [endpointAt(0), endpointAt(1), endpointAt(2)];
  const backend = backendWith(endpoints, clock, ejecting);
  fail(backend, endpoints[0]!, 3);
  expect(clock.pendingTimers).toBe(1);
  backend.stop();
  expect(clock.pendingTimers).toBe(0);
  fail(backend, endpoints[1]!, 3);
  expect(clock.pendingTimers).toBe(0);
  expect(served(backend)).toEqual([endpoints[2]!]);
});

test("giving back what nobody took is a mistake", () => {
  const endpoints = [endpointAt(0)];
  const backend = backendWith(endpoints, new VirtualClock());
  expect(() => backend.giveBack(endpoints[0]!)).toThrow("nobody had taken");
  expect(() => backend.setEndpoints([endpoints[0]!, endpoints[0]!])).toThrow("twice");
});
