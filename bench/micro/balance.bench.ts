/** What choosing an endpoint costs: `bun bench/micro/balance.bench.ts`. */
import { bench, do_not_optimize, group, run } from "mitata";
import { Backend, type BackendSettings } from "../../src/backend/backend.ts";
import type { Balance } from "../../src/backend/balance/balancer.ts";
import { maglevTable } from "../../src/backend/balance/maglev-table.ts";
import { Endpoint } from "../../src/backend/endpoint.ts";
import { systemClock } from "../../src/core/clock.ts";
import { hashText } from "../../src/core/hash.ts";

const policies: readonly Balance[] = ["round_robin", "least_connections", "random_two", "source_hash", "first"];
const sizes = [16, 1_000];
const clients = Array.from({ length: 1_024 }, (_, index) => `192.0.${index >> 8}.${index & 255}`);
/** Sessions that are open all the while, for each endpoint. */
const openSessions = 10;

function address(index: number): { kind: "tcp"; host: string; port: number } {
  return { kind: "tcp", host: `10.0.${index >> 8}.${index & 255}`, port: 80 };
}

function endpoints(count: number, connectionsMax = 0): Endpoint[] {
  return Array.from(
    { length: count },
    (_, index) =>
      new Endpoint(address(index), address(index), { weight: 1 + (index % 7), backup: false, connectionsMax }),
  );
}

function backendOf(balance: Balance, members: readonly Endpoint[]): Backend {
  const settings: BackendSettings = { name: "app", balance, retries: 2, eject: undefined, onDown: "keep" };
  const backend = new Backend(settings, systemClock);
  backend.setEndpoints(members);
  return backend;
}

/**
 * Gives an endpoint to each client in turn and takes the oldest back, so that as many sessions as there were stay open.
 */
function session(backend: Backend, open: Endpoint[], tried: readonly Endpoint[] = []): () => void {
  let next = 0;
  return () => {
    const taken = backend.take(clients[next & 1_023]!, tried);
    if (typeof taken === "string") throw new Error(`no endpoint was to be had: ${taken}`);
    const place = next++ % open.length;
    backend.giveBack(open[place]!);
    open[place] = taken;
  };
}

/** Begins as many sessions as stay open. */
function opened(backend: Backend, count: number): Endpoint[] {
  return Array.from({ length: count }, (_, index) => backend.take(clients[index & 1_023]!, []) as Endpoint);
}

// The first benchmark of a run would be timed before the code is compiled.
for (const balance of policies) {
  const backend = backendOf(balance, endpoints(16));
  const once = session(backend, opened(backend, 1));
  for (let time = 0; time < 200_000; time++) once();
}

for (const size of sizes) {
  group(`take and give back, ${size} endpoints without a session`, () => {
    for (const balance of policies) {
      const backend = backendOf(balance, endpoints(size));
      bench(balance, session(backend, opened(backend, 1)));
    }
  });
  group(`take and give back, ${size} endpoints with ${openSessions} sessions each`, () => {
    for (const balance of policies) {
      const backend = backendOf(balance, endpoints(size));
      bench(balance, session(backend, opened(backend, size * openSessions)));
    }
  });
}

group("take and give back, 1,000 endpoints of which half are down", () => {
  for (const balance of policies) {
    const members = endpoints(1_000);
    const backend = backendOf(balance, members);
    for (const [index, endpoint] of members.entries()) if (index % 2 === 0) backend.setHealth(endpoint, "down");
    bench(balance, session(backend, opened(backend, 1_000)));
  }
});

group("take and give back, 1,000 endpoints of which all but five are down", () => {
  for (const balance of policies) {
    const members = endpoints(1_000);
    const backend = backendOf(balance, members);
    for (const endpoint of members.slice(5)) backend.setHealth(endpoint, "down");
    bench(balance, session(backend, opened(backend, 1_000)));
  }
});

group("take and give back, 1,000 endpoints of which ninety-nine in a hundred are full", () => {
  for (const balance of policies) {
    const backend = backendOf(balance, endpoints(1_000, openSessions));
    bench(balance, session(backend, opened(backend, 9_900)));
  }
});

group("a retry: the same, with one endpoint tried", () => {
  for (const balance of policies) {
    const members = endpoints(16);
    const backend = backendOf(balance, members);
    bench(`${balance}, 16 endpoints`, session(backend, opened(backend, 160), [members[3]!]));
  }
});

group("changes, 1,000 endpoints", () => {
  const members = endpoints(1_000);
  const names = members.map(({ name }) => name);
  const weights = members.map(({ settings }) => settings.weight);
  bench("the table of source_hash", () => do_not_optimize(maglevTable(names, weights)));
  bench("the table of source_hash, 10 endpoints", () =>
    do_not_optimize(maglevTable(names.slice(0, 10), weights.slice(0, 10))),
  );
  for (const balance of ["round_robin", "source_hash"] as const) {
    const backend = backendOf(balance, members);
    bench(`one goes down and a client comes, one comes up and a client comes: ${balance}`, () => {
      backend.setHealth(members[500]!, "down");
      backend.giveBack(backend.take("192.0.2.1", []) as Endpoint);
      backend.setHealth(members[500]!, "up");
      backend.giveBack(backend.take("192.0.2.1", []) as Endpoint);
    });
    backend.stop();
  }
});

bench("the hash of a client's address", () => do_not_optimize(hashText("192.0.2.117")));

await run();
