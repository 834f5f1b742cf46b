/** Balancing through the proxy: who gets which client, what a full or failing endpoint does to it, and what is counted. */
import { describe, expect, test } from "bun:test";
import { Dialer, type Dial, type DialOwner, type DialRequest } from "../../src/backend/dial.ts";
import type { DialFailure } from "../../src/backend/dial-failure.ts";
import { Endpoint, type EndpointSettings } from "../../src/backend/endpoint.ts";
import { warmUpMs } from "../../src/backend/warm-up.ts";
import { echo, listen, type Backend } from "../support/backend.ts";
import { engineAfterMove, onEveryEngine } from "../support/engines.ts";
import { HeldDialer } from "../support/held-dialer.ts";
import { bindLoopback, closeDescriptor, listenOn } from "../support/libc.ts";
import { payload } from "../support/payload.ts";
import { connect, type Peer } from "../support/peer.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { refusedPort, silentHost } from "../support/unreachable.ts";
import { until } from "../support/until.ts";
import { VirtualProxy } from "../support/virtual-proxy.ts";

/** Gives each endpoint settings of its own, in their order; what is left out stays. */
function tune({ backend }: Pick<TestProxy, "backend">, ...settings: readonly Partial<EndpointSettings>[]): void {
  for (const [index, own] of settings.entries()) {
    const endpoint = backend.endpoints[index]!;
    endpoint.settings = { ...endpoint.settings, ...own };
  }
  backend.setEndpoints(backend.endpoints);
}

/** A short session from this address; resolves with its record. Nobody else may end one meanwhile. */
async function visit(proxy: Pick<TestProxy, "port" | "records" | "recorded">, localAddress = "127.0.0.1") {
  const before = proxy.records.length;
  await using client = await connect(proxy.port, { localAddress });
  void client.send("hello");
  void client.finish();
  await client.closed();
  return proxy.recorded(before + 1);
}

/** So many short sessions, one after the other; resolves with the name that each one's endpoint has among `names`. */
async function visits(
  proxy: Pick<TestProxy, "port" | "records" | "recorded">,
  count: number,
  names: Readonly<Record<string, { readonly address: string }>>,
): Promise<string> {
  let seen = "";
  for (let turn = 0; turn < count; turn++) {
    const { endpoint } = await visit(proxy);
    seen += Object.entries(names).find(([, { address }]) => address === endpoint)?.[0] ?? "-";
  }
  return seen;
}

/** Connects, and resolves when the backend has echoed a word: a session that is held open. */
async function held(proxy: Pick<TestProxy, "port">, localAddress = "127.0.0.1"): Promise<Peer> {
  const client = await connect(proxy.port, { localAddress });
  await client.send("in");
  await client.receivedBytes(2);
  return client;
}

/** Sessions that each endpoint has open. */
function active({ backend }: Pick<TestProxy, "backend">): number[] {
  return backend.endpoints.map((endpoint) => endpoint.active);
}

/** What each endpoint has counted. */
function counted({ backend }: Pick<TestProxy, "backend">): string[] {
  return backend.endpoints.map(({ connected, failures }) => `${connected} connected, ${failures} failed`);
}

describe("round_robin", () => {
  test.each([
    { weights: [1, 1, 1], turns: "abcabcabc" },
    { weights: [3, 1], turns: "abaaabaa" },
    { weights: [1, 3], turns: "babbbabb" },
    { weights: [2, 1, 1], turns: "abacabac" },
    { weights: [1, 0, 1], turns: "acacac" },
  ])("goes in turn by weights $weights, spread evenly", async ({ weights, turns }) => {
    await using a = await listen(echo);
    await using b = await listen(echo);
    await using c = await listen(echo);
    const backends: Record<string, Backend> = { a, b, c };
    const ports = weights.map((_, index) => Object.values(backends)[index]!.port);
    await using proxy = startProxy(ports);
    tune(proxy, ...weights.map((weight) => ({ weight })));
    expect(await visits(proxy, turns.length, backends)).toBe(turns);
    const all = Object.keys(backends).slice(0, weights.length);
    expect(proxy.backend.endpoints.map(({ connected }) => connected)).toEqual(
      all.map((name) => turns.split(name).length - 1),
    );
  });
});

onEveryEngine((engine) => {
  test("least_connections goes to whoever has the fewest sessions open for its weight", async () => {
    await using a = await listen(echo);
    await using b = await listen(echo);
    await using c = await listen(echo);
    const backend = { balance: "least_connections" } as const;
    await using proxy = startProxy([a.port, b.port, c.port], { engine, backend });
    tune(proxy, {}, {}, { weight: 2 });
    const clients: Peer[] = [];
    await using all = new AsyncDisposableStack();
    for (let turn = 0; turn < 8; turn++) clients.push(all.use(await held(proxy)));
    expect(active(proxy)).toEqual([2, 2, 4]);
    expect(counted(proxy)).toEqual(["2 connected, 0 failed", "2 connected, 0 failed", "4 connected, 0 failed"]);
    // The sessions of b end, one with a FIN and one with a reset: the next two clients are for b.
    const ofB = proxy.sessions.map(({ endpoint }, index) =>
      endpoint!.name === b.address ? clients[index]! : undefined,
    );
    const [first, second] = ofB.filter((client) => client !== undefined);
    await first!.finish();
    await first!.finished();
    second!.reset();
    await proxy.recorded(2);
    expect(active(proxy)).toEqual([2, 0, 4]);
    for (let turn = 0; turn < 2; turn++) clients.push(all.use(await held(proxy)));
    expect(active(proxy)).toEqual([2, 2, 4]);
    expect(proxy.records.map(({ endpoint, engine: moved }) => `${endpoint} ${moved}`)).toEqual(
      Array(2).fill(`${b.address} ${engineAfterMove[engine]}`),
    );
  });

  test("an endpoint that has as many connections as it may is passed over; when all have, limit_endpoint is the end", async () => {
    await using a = await listen(echo);
    await using b = await listen(echo);
    await using proxy = startProxy([a.port, b.port], { engine });
    tune(proxy, { connectionsMax: 1 }, { connectionsMax: 2 });
    await using first = await held(proxy);
    await using second = await held(proxy);
    await using third = await held(proxy);
    expect(proxy.sessions.map(({ endpoint }) => endpoint!.name)).toEqual([a.address, b.address, b.address]);
    for (let turn = 1; turn <= 3; turn++) {
      expect(await visit(proxy)).toMatchObject({
        backend: "app",
        endpoint: null,
        bytes_to_backend: 0,
        connect_ms: null,
        attempts: 0,
        engine: null,
        end: "limit_endpoint",
      });
    }
    expect([...proxy.ended]).toEqual([["limit_endpoint", 3]]);
    expect(active(proxy)).toEqual([1, 2]);
    // A place that is free is taken at once, however it became free.
    first.reset();
    await proxy.recorded(4);
    await using fourth = await held(proxy);
    await third.finish();
    await third.finished();
    await proxy.recorded(5);
    await using fifth = await held(proxy);
    expect(proxy.sessions.map(({ endpoint }) => endpoint!.name)).toEqual([b.address, a.address, b.address]);
    expect(active(proxy)).toEqual([1, 2]);
    expect(counted(proxy)).toEqual(["2 connected, 0 failed", "3 connected, 0 failed"]);
    for (const client of [second, fourth, fifth]) expect(client.ending).toBeUndefined();
  });
});

test("random_two takes the one of two that has fewer sessions open", async () => {
  await using a = await listen(echo);
  await using b = await listen(echo);
  await using proxy = startProxy([a.port, b.port], { backend: { balance: "random_two" } });
  await using all = new AsyncDisposableStack();
  for (let pairs = 1; pairs <= 8; pairs++) {
    all.use(await held(proxy));
    all.use(await held(proxy));
    expect(active(proxy)).toEqual([pairs, pairs]);
  }
});

test("source_hash gives a client the same endpoint each time, and others when that one is down", async () => {
  await using a = await listen(echo);
  await using b = await listen(echo);
  await using c = await listen(echo);
  await using proxy = startProxy([a.port, b.port, c.port], { backend: { balance: "source_hash" } });
  const round = async (): Promise<string[]> => {
    const endpoints: string[] = [];
    for (let host = 1; host <= 24; host++) endpoints.push((await visit(proxy, `127.0.0.${host}`)).endpoint!);
    return endpoints;
  };
  const before = await round();
  expect(new Set(before)).toEqual(new Set([a.address, b.address, c.address]));
  expect(await round()).toEqual(before);
  proxy.backend.setHealth(proxy.backend.endpoints[1]!, "down");
  const meanwhile = await round();
  expect(meanwhile).not.toContain(b.address);
  expect(meanwhile.filter((endpoint, index) => before[index] !== b.address && endpoint !== before[index])).toEqual([]);
  expect(proxy.records.map(({ end }) => end)).toEqual(Array(72).fill("client_finished"));
});

test("source_hash sends a client to another endpoint when its own refuses, and counts that", async () => {
  using refused = refusedPort();
  await using a = await listen(echo);
  await using proxy = startProxy([refused.port, a.port], { backend: { balance: "source_hash" } });
  const attempts = new Set<number>();
  for (let host = 1; host <= 24; host++) {
    const record = await visit(proxy, `127.0.0.${host}`);
    expect(record).toMatchObject({ endpoint: a.address, bytes_to_backend: 5, end: "client_finished" });
    attempts.add(record.attempts);
    expect((await visit(proxy, `127.0.0.${host}`)).attempts).toBe(record.attempts);
  }
  expect(attempts).toEqual(new Set([1, 2]));
});

test("first goes to the first that can be had", async () => {
  await using a = await listen(echo);
  await using b = await listen(echo);
  using refused = refusedPort();
  await using proxy = startProxy([refused.port, a.port, b.port], { backend: { balance: "first" } });
  expect(await visits(proxy, 3, { a, b })).toBe("aaa");
  expect(proxy.records.map(({ attempts }) => attempts)).toEqual([2, 2, 2]);
  tune(proxy, {}, { connectionsMax: 1 });
  await using inside = await held(proxy);
  expect(await visits(proxy, 2, { a, b })).toBe("bb");
  await inside.finish();
  await inside.finished();
  await proxy.recorded(6);
  expect(await visits(proxy, 1, { a, b })).toBe("a");
  expect(counted(proxy)).toEqual(["0 connected, 7 failed", "5 connected, 0 failed", "2 connected, 0 failed"]);
});

describe("a backup", () => {
  test("gets no client while another endpoint is there, and all when none is", async () => {
    await using a = await listen(echo);
    await using b = await listen(echo);
    await using spare = await listen(echo);
    await using proxy = startProxy([a.port, spare.port, b.port]);
    tune(proxy, {}, { backup: true }, {});
    const [first, , third] = proxy.backend.endpoints;
    const backends = { a, b, s: spare };
    expect(await visits(proxy, 4, backends)).toBe("abab");
    proxy.backend.setHealth(first!, "down");
    expect(await visits(proxy, 3, backends)).toBe("bbb");
    proxy.backend.setHealth(third!, "down");
    expect(await visits(proxy, 3, backends)).toBe("sss");
    proxy.backend.setHealth(third!, "up");
    expect(await visits(proxy, 3, backends)).toBe("bbb");
  });

  test("gets a client that all others refuse, as its last attempt", async () => {
    using first = refusedPort();
    using second = refusedPort();
    await using spare = await listen(echo);
    await using proxy = startProxy([spare.port, first.port, second.port]);
    tune(proxy, { backup: true });
    expect(await visit(proxy)).toMatchObject({ endpoint: spare.address, attempts: 3, end: "client_finished" });
    expect(counted(proxy)).toEqual(["1 connected, 0 failed", "0 connected, 1 failed", "0 connected, 1 failed"]);
  });

  test("gets no client because the others are merely full", async () => {
    await using a = await listen(echo);
    await using spare = await listen(echo);
    await using proxy = startProxy([a.port, spare.port]);
    tune(proxy, { connectionsMax: 1 }, { backup: true });
    await using inside = await held(proxy);
    expect(await visit(proxy)).toMatchObject({ endpoint: null, attempts: 0, end: "limit_endpoint" });
    expect(spare.connections.length).toBe(0);
    expect(inside.ending).toBeUndefined();
  });
});

describe("nothing to choose from", () => {
  test.each([
    { what: "no endpoint at all", prepare: ({ backend }: TestProxy) => backend.setEndpoints([]) },
    {
      what: "all down",
      prepare: ({ backend }: TestProxy) => backend.endpoints.forEach((endpoint) => backend.setHealth(endpoint, "down")),
    },
    { what: "all without weight", prepare: (proxy: TestProxy) => tune(proxy, { weight: 0 }, { weight: 0 }) },
  ])("($what): the client is reset at once with no_endpoint", async ({ prepare }) => {
    await using a = await listen(echo);
    await using b = await listen(echo);
    await using proxy = startProxy([a.port, b.port]);
    prepare(proxy);
    await using client = await connect(proxy.port);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({
      backend: "app",
      endpoint: null,
      bytes_to_backend: 0,
      bytes_to_client: 0,
      connect_ms: null,
      attempts: 0,
      engine: null,
      end: "no_endpoint",
    });
    expect((await proxy.recorded()).reason).toBeUndefined();
    expect([...proxy.ended]).toEqual([["no_endpoint", 1]]);
    expect(a.connections.length + b.connections.length).toBe(0);
  });

  test("after an attempt: what that one failed for is the end", async () => {
    using refused = refusedPort();
    await using a = await listen(echo);
    await using proxy = startProxy([a.port, refused.port], { backend: { balance: "least_connections" } });
    tune(proxy, { connectionsMax: 1 });
    await using inside = await held(proxy);
    const expected = { endpoint: refused.address, attempts: 1, reason: "ECONNREFUSED", end: "connect_refused" };
    expect(await visit(proxy)).toMatchObject(expected);
    expect(inside.ending).toBeUndefined();
  });
});

describe("a further attempt", () => {
  test("follows a refusal, a reset while connecting and a timeout; none goes to the same endpoint, the opening to one", async () => {
    using refused = refusedPort();
    const { fd, port } = bindLoopback();
    listenOn(fd, 16);
    await using silent = await silentHost();
    await using backend = await listen();
    const dialer = new HeldDialer();
    const ports = [refused.port, port, silent.port, backend.port];
    await using proxy = startProxy(ports, { retries: 9, dialer, timeouts: { connectMs: 1_000 } });
    await using client = await connect(proxy.port);
    const upload = payload(1, 200_000);
    const sent = client.send(upload);
    for (let attempt = 1; attempt <= 4; attempt++) {
      await dialer.holds(1);
      expect(active(proxy)).toEqual([1, 2, 3, 4].map((index) => (index === attempt ? 1 : 0)));
      dialer.release();
      // Made by the kernel within the call, and reset with its listener.
      if (attempt === 2) closeDescriptor(fd);
    }
    const peer = await backend.accepted();
    await sent;
    await client.finish();
    await peer.receivedPayload(upload);
    await peer.finished();
    expect(peer.received).toBe(200_000);
    await peer.finish();
    await client.finished();
    expect(await proxy.recorded()).toMatchObject({
      endpoint: backend.address,
      bytes_to_backend: 200_000,
      attempts: 4,
      end: "client_finished",
    });
    expect((await proxy.recorded()).reason).toBeUndefined();
    const failed = "0 connected, 1 failed";
    expect(counted(proxy)).toEqual([failed, failed, failed, "1 connected, 0 failed"]);
    expect(silent.attempts()).toBe(0);
  });

  test("goes to no endpoint twice, though all policies would like to", async () => {
    for (const balance of ["round_robin", "least_connections", "random_two", "source_hash", "first"] as const) {
      using first = refusedPort();
      using second = refusedPort();
      using third = refusedPort();
      await using proxy = startProxy([first.port, second.port, third.port], { retries: 9, backend: { balance } });
      expect(await visit(proxy)).toMatchObject({ attempts: 3, reason: "ECONNREFUSED", end: "connect_refused" });
      expect(counted(proxy)).toEqual(Array(3).fill("0 connected, 1 failed"));
    }
  });

  test("is not made when there are no retries", async () => {
    using refused = refusedPort();
    await using backend = await listen(echo);
    await using proxy = startProxy([refused.port, backend.port], { retries: 0 });
    expect(await visit(proxy)).toMatchObject({ endpoint: refused.address, attempts: 1, end: "connect_refused" });
    expect(await visit(proxy)).toMatchObject({ endpoint: backend.address, attempts: 1, end: "client_finished" });
  });
});

/** A dialer that finds no descriptor for its first attempts. */
class ExhaustedDialer extends Dialer {
  constructor(public left: number) {
    super();
  }

  override begin(request: DialRequest, owner: DialOwner): Dial | DialFailure {
    return this.left-- > 0 ? { kind: "local", code: "EMFILE" } : super.begin(request, owner);
  }
}

describe("ejection", () => {
  const eject = { failures: 2, forMs: 10_000 };

  test("takes an endpoint out after failures in a row, for longer each time, and never the last one", async () => {
    using refused = refusedPort();
    await using a = await listen(echo);
    const settings = { eject, retries: 1, balance: "first" } as const;
    await using proxy = new VirtualProxy([refused.port, a.port], { backend: settings });
    const told: string[] = [];
    proxy.backend.observe({
      ejected: ({ name }, forMs) => void told.push(`${name} ejected for ${forMs}`),
      returned: ({ name }) => void told.push(`${name} returned`),
    });
    const [endpoint] = proxy.backend.endpoints;
    const attempts = async (count: number): Promise<number[]> => {
      const made: number[] = [];
      for (let turn = 0; turn < count; turn++) made.push((await visit(proxy)).attempts);
      return made;
    };
    expect(await attempts(4)).toEqual([2, 2, 1, 1]);
    expect(endpoint!.ejected).toBe(true);
    await proxy.clock.advance(9_999);
    expect(await attempts(1)).toEqual([1]);
    await proxy.clock.advance(1);
    expect(endpoint!.ejected).toBe(false);
    // It warms up meanwhile, and the other one is the first choice; it is asked again when it has.
    expect(await attempts(1)).toEqual([1]);
    await proxy.clock.advance(warmUpMs);
    expect(await attempts(4)).toEqual([2, 2, 1, 1]);
    await proxy.clock.advance(20_000 + warmUpMs);
    a.stopListening();
    // Now both refuse: only one of them is ejected, and the other goes on being tried.
    for (let turn = 0; turn < 4; turn++) expect((await visit(proxy)).end).toBe("connect_refused");
    expect(proxy.backend.endpoints.map(({ ejected }) => ejected)).toEqual([true, false]);
    expect(told).toEqual([
      `${refused.address} ejected for 10000`,
      `${refused.address} returned`,
      `${refused.address} ejected for 20000`,
      `${refused.address} returned`,
      `${refused.address} ejected for 40000`,
    ]);
  });

  test("counts failures in a row: a success in between begins anew", async () => {
    await using a = await listen(echo);
    await using b = await listen(echo);
    const failing = new (class extends Dialer {
      refuse = false;
      override begin(request: DialRequest, owner: DialOwner): Dial | DialFailure {
        return this.refuse ? { kind: "refused", code: "ECONNREFUSED" } : super.begin(request, owner);
      }
    })();
    const settings = { eject, balance: "first" } as const;
    await using proxy = new VirtualProxy([a.port, b.port], { backend: settings, dialer: failing });
    for (const refuse of [true, false, true, false, true]) {
      failing.refuse = refuse;
      expect((await visit(proxy)).endpoint).toBe(a.address);
    }
    expect(proxy.backend.endpoints[0]!.ejected).toBe(false);
    failing.refuse = true;
    expect((await visit(proxy)).endpoint).toBe(a.address);
    expect(proxy.backend.endpoints[0]!.ejected).toBe(true);
    failing.refuse = false;
    expect((await visit(proxy)).endpoint).toBe(b.address);
  });

  test("does not follow from our own lack of descriptors, which counts against nobody", async () => {
    await using a = await listen(echo);
    await using b = await listen(echo);
    const dialer = new ExhaustedDialer(10);
    await using proxy = new VirtualProxy([a.port, b.port], { backend: { eject, retries: 1 }, dialer });
    for (let turn = 1; turn <= 5; turn++) {
      expect(await visit(proxy)).toMatchObject({ attempts: 2, reason: "EMFILE", end: "connect_failed" });
    }
    expect(counted(proxy)).toEqual(["0 connected, 0 failed", "0 connected, 0 failed"]);
    expect(proxy.backend.endpoints.map(({ ejected }) => ejected)).toEqual([false, false]);
    expect(await visits(proxy, 4, { a, b })).toBe("abab");
  });

  test("does not follow from clients that give up while they are dialled for", async () => {
    await using host = await silentHost();
    await using a = await listen(echo);
    const settings = { eject, balance: "first" } as const;
    await using proxy = new VirtualProxy([host.port, a.port], { backend: settings });
    for (let turn = 1; turn <= 5; turn++) {
      await using client = await connect(proxy.port);
      await until(() => host.attempts() === 1, "the SYN to be sent");
      client.reset();
      expect(await proxy.recorded(turn)).toMatchObject({ endpoint: host.address, attempts: 1, end: "client_reset" });
      expect(host.attempts()).toBe(0);
    }
    expect(counted(proxy)).toEqual(["0 connected, 0 failed", "0 connected, 0 failed"]);
    expect(proxy.backend.endpoints[0]!.ejected).toBe(false);
  });
});

onEveryEngine((engine) => {
  test("an endpoint that leaves the set, or is down, keeps the sessions it has and gets no new ones", async () => {
    await using a = await listen(echo);
    await using b = await listen(echo);
    await using c = await listen(echo);
    await using proxy = startProxy([a.port, b.port], { engine });
    const [first, second] = proxy.backend.endpoints;
    await using ofA = await held(proxy);
    await using ofB = await held(proxy);
    const address = { kind: "tcp", host: "127.0.0.1", port: c.port } as const;
    const third = new Endpoint(address, address, { weight: 1, backup: false, connectionsMax: 0 });
    proxy.backend.setEndpoints([second!, third]);
    proxy.backend.setHealth(second!, "down");
    expect([first!.active, second!.active, third.active]).toEqual([1, 1, 0]);
    expect(await visits(proxy, 2, { a, b, c })).toBe("cc");
    for (const client of [ofA, ofB]) {
      await client.send("out");
      await client.receivedBytes(5);
      expect(client.text()).toBe("inout");
      await client.finish();
      await client.finished();
    }
    await proxy.recorded(4);
    expect(proxy.records.slice(2)).toMatchObject(
      [a, b].map((backend) => ({
        endpoint: backend.address,
        bytes_to_backend: 5,
        engine: engineAfterMove[engine],
        end: "client_finished",
      })),
    );
    expect([first!.active, second!.active, third.active]).toEqual([0, 0, 0]);
  });
});
