/** Which clients a listener takes: by address, by rate, by how many there are. */
import { describe, expect, test } from "bun:test";
import { Dialer } from "../../src/backend/dial.ts";
import { CidrSet } from "../../src/core/cidr.ts";
import { systemClock } from "../../src/core/clock.ts";
import { TimerWheel } from "../../src/core/timer-wheel.ts";
import { Admission } from "../../src/listener/admission.ts";
import { Service } from "../../src/listener/service.ts";
import type { AccessRecord } from "../../src/session/record.ts";
import { SessionRegistry } from "../../src/session/registry.ts";
import { ActiveConnections } from "../../src/stats/active-connections.ts";
import { Traffic } from "../../src/stats/traffic.ts";
import { echo, listen } from "../support/backend.ts";
import { tcpSockets } from "../support/descriptors.ts";
import { onEveryEngine } from "../support/engines.ts";
import { connect, type Peer, type Target } from "../support/peer.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { listenerSettings, oneEndpoint, plainTarget, serviceSettings } from "../support/service-settings.ts";
import { noRecords } from "../support/records.ts";
import { until } from "../support/until.ts";
import { VirtualProxy } from "../support/virtual-proxy.ts";

/** Sends "hello" from this address; resolves with what came back, or with how the connection ended instead. */
async function outcome(target: Target, localAddress = "127.0.0.1"): Promise<string> {
  await using client = await connect(target, { localAddress });
  void client.send("hello");
  void client.finish();
  const { how } = await client.closed();
  return how === "finished" ? client.text() : how;
}

/** Where a client came from, without its port, and how it ended. */
function told({ client, end }: AccessRecord): string {
  return `${client.slice(0, client.lastIndexOf(":"))} ${end}`;
}

/** What a record says of a client that was not taken. */
const nowhere = {
  backend: null,
  endpoint: null,
  route: null,
  sni: null,
  bytes_to_backend: 0,
  bytes_to_client: 0,
  connect_ms: null,
  first_byte_ms: null,
  duration_ms: 0,
  attempts: 0,
  engine: null,
};

/** Connects from this address, and resolves when the session has passed a word to the backend and back. */
async function inside(proxy: Pick<TestProxy, "port">, localAddress = "127.0.0.1"): Promise<Peer> {
  const client = await connect(proxy.port, { localAddress });
  await client.send("in");
  await client.receivedBytes(2);
  return client;
}

describe("allow and deny", () => {
  test("let in who is allowed and not denied, and reset the others at once", async () => {
    await using backend = await listen(echo);
    const rules = { allow: ["127.0.0.1", "127.0.1.0/24", "2001:db8::/32"], deny: ["127.0.1.66", "127.0.1.128/25"] };
    await using proxy = startProxy(backend.port, rules);
    const seen: Record<string, string> = {};
    const clients = ["127.0.0.1", "127.0.0.2", "127.0.1.1", "127.0.1.66", "127.0.1.127", "127.0.1.128", "127.0.2.1"];
    for (const client of clients) seen[client] = await outcome(proxy.port, client);
    expect(seen).toEqual({
      "127.0.0.1": "hello",
      "127.0.0.2": "reset",
      "127.0.1.1": "hello",
      "127.0.1.66": "reset",
      "127.0.1.127": "hello",
      "127.0.1.128": "reset",
      "127.0.2.1": "reset",
    });
    await proxy.recorded(7);
    const denied = proxy.records.filter(({ end }) => end === "denied");
    expect(denied.map(told)).toEqual(
      ["127.0.0.2", "127.0.1.66", "127.0.1.128", "127.0.2.1"].map((client) => `${client} denied`),
    );
    for (const record of denied) expect(record).toMatchObject(nowhere);
    expect(Object.fromEntries(proxy.ended)).toEqual({ client_finished: 3, denied: 4 });
    expect(backend.connections.length).toBe(3);
  });

  test("with deny alone everybody else is let in", async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { deny: ["127.0.0.2"] });
    expect(await outcome(proxy.port)).toBe("hello");
    expect(await outcome(proxy.port, "127.0.0.2")).toBe("reset");
    await proxy.recorded(2);
    expect(proxy.records.map(told)).toEqual(["127.0.0.1 client_finished", "127.0.0.2 denied"]);
  });

  test.each([
    { what: "written as IPv4", deny: "127.0.0.2/32", allow: "127.0.0.0/24" },
    { what: "written as IPv6", deny: "::ffff:127.0.0.2", allow: "::ffff:127.0.0.0/120" },
  ])("mean clients of IPv4 on a listener for both families, $what", async ({ deny, allow }) => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { listen: "[::]:0", deny: [deny], allow: [allow, "::1"] });
    expect(await outcome(proxy.port, "127.0.0.1")).toBe("hello");
    expect(await outcome(proxy.port, "127.0.0.2")).toBe("reset");
    expect(await outcome(proxy.port, "127.0.1.1")).toBe("reset");
    expect(await outcome({ host: "::1", port: proxy.port }, "::1")).toBe("hello");
    await proxy.recorded(4);
    expect(proxy.records.map(told)).toEqual([
      "127.0.0.1 client_finished",
      "127.0.0.2 denied",
      "127.0.1.1 denied",
      "[::1] client_finished",
    ]);
  });

  test("take no permit for those who are denied, however many come", async () => {
    await using backend = await listen(echo);
    const limits = { limit: 1, connections: 1, connectionsPerIp: 1 };
    await using proxy = startProxy(backend.port, { deny: ["127.0.0.2"], ...limits });
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => outcome(proxy.port, "127.0.0.2")));
    expect(outcomes).toEqual(Array(100).fill("reset"));
    await proxy.recorded(100);
    expect(proxy.active.count).toBe(0);
    expect(proxy.service.listener.active).toBe(0);
    expect(proxy.service.listener.paused).toBe(false);
    expect(await outcome(proxy.port)).toBe("hello");
    await proxy.recorded(101);
    expect(Object.fromEntries(proxy.ended)).toEqual({ denied: 100, client_finished: 1 });
    expect(new Set(proxy.records.map(({ id }) => id)).size).toBe(101);
    expect(proxy.service.listener.total).toBe(101);
  });

  test("are asked when a client's turn comes: one that is denied in the accept queue lets the next one in", async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { deny: ["127.0.0.2"], connections: 1 });
    await using first = await inside(proxy);
    const waiting = ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.2", "127.0.0.4"];
    const outcomes: Promise<string>[] = [];
    for (const [index, client] of waiting.entries()) {
      outcomes.push(outcome(proxy.port, client));
      await until(() => queueLength(proxy.port) === index + 1, "the client to be in the accept queue");
    }
    expect(proxy.records).toEqual([]);
    first.reset();
    expect(await Promise.all(outcomes)).toEqual(["reset", "hello", "reset", "reset", "hello"]);
    await proxy.recorded(6);
    expect(proxy.records.map(told).sort()).toEqual([
      "127.0.0.1 client_reset",
      "127.0.0.2 denied",
      "127.0.0.2 denied",
      "127.0.0.2 denied",
      "127.0.0.3 client_finished",
      "127.0.0.4 client_finished",
    ]);
  });
});

onEveryEngine((engine) => {
  describe("connections of a listener", () => {
    test('with overflow "queue" the rest waits in the accept queue, and a place that is free is taken at once', async () => {
      await using backend = await listen(echo);
      await using proxy = startProxy(backend.port, { engine, connections: 2 });
      await using first = await inside(proxy);
      await using second = await inside(proxy);
      await using third = await connect(proxy.port);
      await third.send("third");
      await using fourth = await connect(proxy.port);
      await fourth.send("fourth");
      await until(() => queueLength(proxy.port) === 2, "two clients in the accept queue");
      expect(proxy.service.listener).toMatchObject({ paused: true, active: 2, total: 2 });
      expect(proxy.active.count).toBe(2);
      expect(backend.connections.length).toBe(2);

      first.reset();
      await third.receivedBytes(5);
      expect(third.text()).toBe("third");
      expect(proxy.service.listener).toMatchObject({ paused: true, active: 2, total: 3 });
      expect(queueLength(proxy.port)).toBe(1);
      await second.finish();
      await second.finished();
      await fourth.receivedBytes(6);
      expect(fourth.text()).toBe("fourth");
      expect(queueLength(proxy.port)).toBe(0);
      await third.finish();
      await third.finished();
      await until(() => !proxy.service.listener.paused, "the listener to go on");
      await fourth.finish();
      await fourth.finished();
      await proxy.recorded(4);
      expect(proxy.records.map(({ end }) => end).sort()).toEqual([
        "client_finished",
        "client_finished",
        "client_finished",
        "client_reset",
      ]);
    });

    test('with overflow "queue" many come at once, and are served in turn, never more than it may', async () => {
      let most = 0;
      await using backend = await listen(async (peer) => {
        most = Math.max(most, proxy.service.listener.active);
        await echo(peer);
      });
      await using proxy = startProxy(backend.port, { engine, connections: 3 });
      const outcomes = await Promise.all(Array.from({ length: 60 }, () => outcome(proxy.port)));
      expect(outcomes).toEqual(Array(60).fill("hello"));
      await proxy.recorded(60);
      expect(most).toBe(3);
      expect([...proxy.ended]).toEqual([["client_finished", 60]]);
    });

    test('with overflow "reject" those beyond are reset with limit_listener, until a place is free', async () => {
      await using backend = await listen(echo);
      await using proxy = startProxy(backend.port, { engine, connections: 2, overflow: "reject" });
      await using first = await inside(proxy);
      await using second = await inside(proxy);
      const outcomes = await Promise.all(Array.from({ length: 20 }, () => outcome(proxy.port, "127.0.0.2")));
      expect(outcomes).toEqual(Array(20).fill("reset"));
      await proxy.recorded(20);
      expect(new Set(proxy.records.map(told))).toEqual(new Set(["127.0.0.2 limit_listener"]));
      for (const record of proxy.records) expect(record).toMatchObject(nowhere);
      expect([...proxy.ended]).toEqual([["limit_listener", 20]]);
      expect(proxy.service.listener).toMatchObject({ paused: false, active: 2, total: 22 });
      expect(proxy.active.count).toBe(2);
      expect(second.ending).toBeUndefined();

      await first.finish();
      await first.finished();
      await proxy.recorded(21);
      await using third = await inside(proxy);
      expect(await outcome(proxy.port)).toBe("reset");
      await proxy.recorded(22);
      expect(Object.fromEntries(proxy.ended)).toEqual({ limit_listener: 21, client_finished: 1 });
      expect(third.ending).toBeUndefined();
    });
  });

  test("connections_per_ip refuses an address as many as it may not have, and a place that is free is taken at once", async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine, connectionsPerIp: 2 });
    await using first = await inside(proxy, "127.0.0.2");
    await using second = await inside(proxy, "127.0.0.2");
    await using other = await inside(proxy, "127.0.0.3");
    expect(await outcome(proxy.port, "127.0.0.2")).toBe("reset");
    expect(await proxy.recorded()).toMatchObject({ ...nowhere, end: "limit_per_ip" });
    expect(await outcome(proxy.port, "127.0.0.3")).toBe("hello");
    expect(await outcome(proxy.port, "127.0.0.4")).toBe("hello");
    await proxy.recorded(3);
    first.reset();
    await proxy.recorded(4);
    await using third = await inside(proxy, "127.0.0.2");
    expect(await outcome(proxy.port, "127.0.0.2")).toBe("reset");
    await second.finish();
    await second.finished();
    await proxy.recorded(6);
    expect(await outcome(proxy.port, "127.0.0.2")).toBe("hello");
    await proxy.recorded(7);
    expect(proxy.records.map(told)).toEqual([
      "127.0.0.2 limit_per_ip",
      "127.0.0.3 client_finished",
      "127.0.0.4 client_finished",
      "127.0.0.2 client_reset",
      "127.0.0.2 limit_per_ip",
      "127.0.0.2 client_finished",
      "127.0.0.2 client_finished",
    ]);
    expect(Object.fromEntries(proxy.ended)).toEqual({ limit_per_ip: 2, client_finished: 4, client_reset: 1 });
    for (const client of [other, third]) expect(client.ending).toBeUndefined();
    expect(proxy.active.count).toBe(2);
  });
});

test("connections_per_ip counts an address of IPv4 once, whichever family its listener has", async () => {
  await using backend = await listen(echo);
  await using proxy = startProxy(backend.port, { listen: "[::]:0", connectionsPerIp: 1 });
  await using first = await inside(proxy, "127.0.0.2");
  expect(await outcome(proxy.port, "127.0.0.2")).toBe("reset");
  expect(await outcome({ host: "::1", port: proxy.port }, "::1")).toBe("hello");
  first.reset();
  await proxy.recorded(3);
  expect(await outcome(proxy.port, "127.0.0.2")).toBe("hello");
  await proxy.recorded(4);
});

test("connections_per_ip gives back what a session held that could not be served", async () => {
  await using proxy = startProxy([], { connectionsPerIp: 1 });
  for (let turn = 1; turn <= 3; turn++) {
    expect(await outcome(proxy.port)).toBe("reset");
    await proxy.recorded(turn);
  }
  expect(proxy.records.map(({ end }) => end)).toEqual(["no_endpoint", "no_endpoint", "no_endpoint"]);
});

test("rate_per_ip lets an address have a second's worth at once, then one as often as it may", async () => {
  await using backend = await listen(echo);
  const clients = { allow: new CidrSet([]), deny: new CidrSet([]), connectionsPerIp: 0, ratePerIp: 4 };
  await using proxy = new VirtualProxy([backend.port], { service: { clients } });
  const five = async (): Promise<string[]> => {
    const outcomes: string[] = [];
    for (let turn = 0; turn < 5; turn++) outcomes.push(await outcome(proxy.port, "127.0.0.2"));
    return outcomes;
  };
  expect(await five()).toEqual(["hello", "hello", "hello", "hello", "reset"]);
  expect(await outcome(proxy.port, "127.0.0.3")).toBe("hello");
  await proxy.clock.advance(249);
  expect(await outcome(proxy.port, "127.0.0.2")).toBe("reset");
  await proxy.clock.advance(1);
  expect(await outcome(proxy.port, "127.0.0.2")).toBe("hello");
  expect(await outcome(proxy.port, "127.0.0.2")).toBe("reset");
  await proxy.clock.advance(60_000);
  expect(await five()).toEqual(["hello", "hello", "hello", "hello", "reset"]);
  await proxy.recorded(14);
  expect(Object.fromEntries(proxy.ended)).toEqual({ client_finished: 10, limit_rate: 4 });
  const refused = proxy.records.filter(({ end }) => end === "limit_rate");
  expect(refused.length).toBe(4);
  for (const record of refused) expect(record).toMatchObject(nowhere);
  expect(proxy.active.count).toBe(0);
});

test("the rate is looked at before the places: a client that finds no place has used it up, one beyond it takes none", async () => {
  await using backend = await listen(echo);
  const clients = { allow: new CidrSet([]), deny: new CidrSet([]), connectionsPerIp: 1, ratePerIp: 2 };
  await using proxy = new VirtualProxy([backend.port], { service: { clients } });
  await using first = await connect(proxy.port, { localAddress: "127.0.0.2" });
  await first.send("in");
  await first.receivedBytes(2);
  expect(await outcome(proxy.port, "127.0.0.2")).toBe("reset");
  expect(await outcome(proxy.port, "127.0.0.2")).toBe("reset");
  await proxy.recorded(2);
  expect(proxy.records.map(({ end }) => end)).toEqual(["limit_per_ip", "limit_rate"]);
  first.reset();
  await proxy.recorded(3);
  await proxy.clock.advance(1_000);
  expect(await outcome(proxy.port, "127.0.0.2")).toBe("hello");
  await proxy.recorded(4);
});

describe("the listener's limit and that of all", () => {
  test('reached together, with overflow "queue": a place that is free lets exactly one in', async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { connections: 2, limit: 2 });
    await using first = await inside(proxy);
    await using second = await inside(proxy);
    const waiting = await Promise.all(Array.from({ length: 4 }, () => connect(proxy.port)));
    await until(() => queueLength(proxy.port) === 4, "four clients in the accept queue");
    await Promise.all(waiting.map((client) => client.send("in")));
    first.reset();
    await proxy.recorded(1);
    await until(() => queueLength(proxy.port) === 3, "one to be let in");
    expect(proxy.service.listener).toMatchObject({ paused: true, active: 2 });
    expect(proxy.active.count).toBe(2);
    second.reset();
    await until(() => queueLength(proxy.port) === 2, "another one to be let in");
    expect(proxy.active.count).toBe(2);
    for (const client of waiting) {
      await client.receivedBytes(2);
      await client[Symbol.asyncDispose]();
    }
    await proxy.recorded(6);
    expect([...proxy.ended]).toEqual([["client_reset", 6]]);
    await until(() => !proxy.service.listener.paused, "the listener to go on");
  });

  test("of two listeners each keep to their own: a place that is free goes to whoever may have it", async () => {
    await using backend = await listen(echo);
    await using two = new TwoListeners(backend.port, { limit: 3, connections: [1, 0] });
    const [narrow, wide] = two.ports;
    await using first = await inside({ port: narrow });
    await using second = await connect(narrow);
    await second.send("in");
    // Its own limit holds the first listener up, nothing the second one.
    await until(() => queueLength(narrow) === 1, "a client in the first listener's queue");
    expect(two.state()).toEqual({ active: [1, 0], paused: [true, false] });
    await using third = await inside({ port: wide });
    await using fourth = await inside({ port: wide });
    await using fifth = await connect(wide);
    await fifth.send("in");
    await until(() => queueLength(wide) === 1, "a client in the second listener's queue");
    expect(two.state()).toEqual({ active: [1, 2], paused: [true, true] });
    // A place of all is free, and none of the first listener: the second one goes on.
    third.reset();
    await fifth.receivedBytes(2);
    expect(two.state()).toEqual({ active: [1, 2], paused: [true, true] });
    expect(second.received).toBe(0);
    // A place of both.
    first.reset();
    await second.receivedBytes(2);
    expect(two.state()).toEqual({ active: [1, 2], paused: [true, true] });
    // The second listener's sessions end: it goes on, the first one is still full.
    for (const client of [fourth, fifth]) client.reset();
    await until(() => two.active.count === 1, "the sessions to be over");
    expect(two.state()).toEqual({ active: [1, 0], paused: [true, false] });
    second.reset();
    await until(() => two.active.count === 0, "the last session to be over");
    expect(two.state()).toEqual({ active: [0, 0], paused: [false, false] });
    await using sixth = await inside({ port: narrow });
    expect(sixth.ending).toBeUndefined();
  });

  test("of a listener that closes: its accept queue is served first, never beyond its limit", async () => {
    let most = 0;
    await using backend = await listen(async (peer) => {
      most = Math.max(most, proxy.service.listener.active);
      await echo(peer);
    });
    await using proxy = startProxy(backend.port, { connections: 2, limit: 3 });
    const clients = await Promise.all(Array.from({ length: 10 }, () => connect(proxy.port)));
    await until(() => queueLength(proxy.port) === 8, "the limit to be reached");
    const closed = proxy.service.listener.close(new AbortController().signal);
    for (const [index, client] of clients.entries()) {
      await client.send(`client ${index}`);
      await client.finish();
      await client.finished();
      expect(client.text()).toBe(`client ${index}`);
    }
    await closed;
    expect(most).toBe(2);
    await proxy.recorded(10);
    expect([...proxy.ended]).toEqual([["client_finished", 10]]);
  });

  test('name the narrower one, with overflow "reject"', async () => {
    await using backend = await listen(echo);
    for (const { connections, limit, end } of [
      { connections: 1, limit: 2, end: "limit_listener" },
      { connections: 2, limit: 1, end: "limit_connections" },
      { connections: 1, limit: 1, end: "limit_listener" },
    ]) {
      await using proxy = startProxy(backend.port, { connections, limit, overflow: "reject" });
      await using first = await inside(proxy);
      expect(await outcome(proxy.port)).toBe("reset");
      expect(await proxy.recorded()).toMatchObject({ ...nowhere, end });
      expect(proxy.active.count).toBe(1);
      first.reset();
      await proxy.recorded(2);
      expect(await outcome(proxy.port)).toBe("hello");
      await proxy.recorded(3);
    }
  });

  test("and of an address: a client that its address's limit refuses takes none of the places", async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { connections: 2, limit: 2, connectionsPerIp: 1 });
    await using first = await inside(proxy, "127.0.0.2");
    for (let turn = 1; turn <= 5; turn++) {
      expect(await outcome(proxy.port, "127.0.0.2")).toBe("reset");
      expect(await proxy.recorded(turn)).toMatchObject({ ...nowhere, end: "limit_per_ip" });
    }
    expect(proxy.service.listener).toMatchObject({ paused: false, active: 1, total: 6 });
    expect(await outcome(proxy.port, "127.0.0.3")).toBe("hello");
    await proxy.recorded(6);
    expect(first.ending).toBeUndefined();
  });
});

/** Connections that the kernel has made and that nobody has accepted. */
function queueLength(port: number): number {
  return tcpSockets(port).find((socket) => socket.localPort === port && socket.state === "LISTEN")!.receiveQueueBytes;
}

/** Two listeners in front of one backend, under one limit and each with one of its own. */
class TwoListeners {
  readonly active = new ActiveConnections();
  readonly #services: readonly Service[];
  readonly #registry = new SessionRegistry();

  constructor(backendPort: number, { limit, connections }: { limit: number; connections: readonly number[] }) {
    const target = plainTarget(oneEndpoint(backendPort));
    const fail = (error: unknown): never => {
      throw error;
    };
    const environment = {
      clock: systemClock,
      wheel: new TimerWheel(systemClock, fail),
      dialer: new Dialer(),
      registry: this.#registry,
      admission: new Admission(this.active, limit, "queue"),
      traffic: new Traffic(),
      records: noRecords,
      internalError: fail,
    };
    this.#services = connections.map((connectionsMax, index) => {
      const listener = { ...listenerSettings(`listener ${index}`), connectionsMax };
      return new Service(serviceSettings(listener.name, target, { listener }), environment);
    });
    for (const { listener } of this.#services) listener.open();
  }

  get ports(): [number, number] {
    const [first, second] = this.#services.map(({ listener }) => Number(listener.address.split(":").at(-1)));
    return [first!, second!];
  }

  state(): { active: number[]; paused: boolean[] } {
    return {
      active: this.#services.map(({ listener }) => listener.active),
      paused: this.#services.map(({ listener }) => listener.paused),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#registry.endAll("forced");
    await until(() => this.active.count === 0, "the sessions to be closed");
    await Promise.all(this.#services.map(({ listener }) => listener.close(AbortSignal.abort())));
  }
}
