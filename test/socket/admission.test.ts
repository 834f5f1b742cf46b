/** limits.connections: what is beyond it waits in the accept queue, or is reset; on every engine. */
import { expect, test } from "bun:test";
import { Dialer } from "../../src/backend/dial.ts";
import { systemClock } from "../../src/core/clock.ts";
import { TimerWheel } from "../../src/core/timer-wheel.ts";
import { Admission } from "../../src/listener/admission.ts";
import { Service } from "../../src/listener/service.ts";
import type { AccessRecord } from "../../src/session/record.ts";
import { SessionRegistry } from "../../src/session/registry.ts";
import { ActiveConnections } from "../../src/stats/active-connections.ts";
import { Traffic } from "../../src/stats/traffic.ts";
import { echo, listen } from "../support/backend.ts";
import { countDescriptors, tcpSockets } from "../support/descriptors.ts";
import {
  engineAfterMove,
  engineDescriptors,
  moverOf,
  onEveryEngine,
  type EngineUnderTest,
} from "../support/engines.ts";
import { connect } from "../support/peer.ts";
import { startProxy } from "../support/proxy.ts";
import { plainTarget, oneEndpoint, serviceSettings } from "../support/service-settings.ts";
import { recordsInto } from "../support/records.ts";
import { until } from "../support/until.ts";

onEveryEngine((engine) => {
  test("at the limit connections wait in the accept queue, and are served in their order as sessions end", async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine, limit: 3 });
    const most = watchMost(proxy.active);
    const clients = [];
    for (let index = 0; index < 20; index++) {
      const client = await connect(proxy.port);
      // Who waits may send already.
      await client.send(`client ${index}`);
      clients.push(client);
    }
    await until(() => proxy.active.count === 3, "the limit to be reached");
    expect(proxy.service.listener.paused).toBe(true);
    expect(queueLength(proxy.port)).toBe(17);
    for (const [index, client] of clients.entries()) {
      await client.receivedBytes(`client ${index}`.length);
      await client.finish();
      await client.finished();
      expect(client.text()).toBe(`client ${index}`);
      await proxy.recorded(index + 1);
      await until(() => proxy.active.count === Math.min(3, 19 - index), "the next to be let in");
    }
    expect(most()).toBe(3);
    expect(proxy.service.listener.paused).toBe(false);
    // Sessions are numbered when they are accepted.
    expect(proxy.records.map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(proxy.records.map(outcome)).toEqual(Array(20).fill(`client_finished ${engineAfterMove[engine]}`));
  });

  test("200 connections one at a time through a limit of one pause and resume 200 times and leave no descriptor", async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine, limit: 1 });
    const { listener } = proxy.service;
    const before = sessionDescriptors();
    for (let turn = 1; turn <= 200; turn++) {
      await using client = await connect(proxy.port);
      await client.send("x");
      await client.receivedBytes(1);
      expect([proxy.active.count, listener.paused]).toEqual([1, true]);
      await client.finish();
      await client.finished();
      await proxy.recorded(turn);
      expect([proxy.active.count, listener.paused]).toEqual([0, false]);
    }
    // Both ends of each connection are in this process.
    await until(
      () => sessionDescriptors() === before,
      () => `${before} descriptors: there are ${sessionDescriptors()}`,
    );
  });

  test("a burst of 300 connections through a limit of 10 is served whole, never more than 10 at once", async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine, limit: 10 });
    const most = watchMost(proxy.active);
    await Promise.all(Array.from({ length: 300 }, (_, index) => exchange(proxy.port, `client ${index}`)));
    await proxy.recorded(300);
    expect(most()).toBe(10);
    expect(proxy.records.map(outcome)).toEqual(Array(300).fill(`client_finished ${engineAfterMove[engine]}`));
  });

  test("two listeners share the limit: both pause at it, and what waits at either is let in when sessions end", async () => {
    await using backend = await listen(echo);
    await using pair = new Pair(backend.port, 4, engine);
    const most = watchMost(pair.active);
    const [first, second] = pair.ports;
    await using a = await connect(first);
    await using b = await connect(first);
    await using c = await connect(second);
    await using d = await connect(second);
    await until(() => pair.active.count === 4, "four sessions");
    expect(pair.state()).toEqual({ active: [2, 2], paused: [true, true] });
    await using atFirst = await connect(first);
    await using atSecond = await connect(second);
    await until(() => queueLength(first) === 1 && queueLength(second) === 1, "one to wait at each");
    a.reset();
    c.reset();
    for (const client of [atFirst, atSecond]) {
      await client.send("let in");
      await client.receivedBytes(6);
    }
    expect(most()).toBe(4);
    expect(pair.state()).toEqual({ active: [2, 2], paused: [true, true] });
    // A place that is given up at one listener is free for the other as well.
    await using late = await connect(second);
    b.reset();
    await late.send("me too");
    await late.receivedBytes(6);
    expect(pair.state()).toEqual({ active: [1, 3], paused: [true, true] });
    expect(d.ending).toBeUndefined();
  });

  test("two listeners under load never have more sessions open between them than the limit allows", async () => {
    await using backend = await listen(echo);
    await using pair = new Pair(backend.port, 5, engine);
    const most = watchMost(pair.active);
    await Promise.all(Array.from({ length: 200 }, (_, index) => exchange(pair.ports[index % 2]!, `client ${index}`)));
    await until(() => pair.records.length === 200, "200 access records");
    expect(most()).toBe(5);
    expect(pair.records.map(outcome)).toEqual(Array(200).fill(`client_finished ${engineAfterMove[engine]}`));
    expect(pair.state()).toEqual({ active: [0, 0], paused: [false, false] });
  });

  test('with overflow "reject" a connection beyond the limit is reset at once, recorded and counted', async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine, limit: 2, overflow: "reject" });
    await using first = await connect(proxy.port);
    await using second = await connect(proxy.port);
    await until(() => backend.connections.length === 2, "two sessions");
    await using third = await connect(proxy.port);
    const client = `127.0.0.1:${third.localPort}`;
    expect(await third.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toEqual({
      id: 3,
      listener: "web",
      client,
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
      end: "limit_connections",
    });
    const { listener } = proxy.service;
    expect([proxy.active.count, listener.active, listener.total]).toEqual([2, 2, 3]);
    expect([...proxy.ended]).toEqual([["limit_connections", 1]]);
    expect(listener.paused).toBe(false);
    expect(backend.connections.length).toBe(2);
    // The two that were there go on, and the place of one that ends is free again.
    await first.send("still here");
    await first.finish();
    await first.finished();
    expect(first.text()).toBe("still here");
    await proxy.recorded(2);
    await using fourth = await connect(proxy.port);
    await fourth.send("in");
    await fourth.receivedBytes(2);
    expect(proxy.active.count).toBe(2);
    expect(second.ending).toBeUndefined();
  });

  test('with overflow "reject" 200 connections beyond the limit are each recorded once, and leave nothing', async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine, limit: 1, overflow: "reject" });
    await using inside = await connect(proxy.port);
    await until(() => backend.connections.length === 1, "the session");
    await Promise.all(
      Array.from({ length: 200 }, async () => {
        await using client = await connect(proxy.port);
        await client.wasReset();
      }),
    );
    await proxy.recorded(200);
    expect(proxy.records.map(({ end }) => end)).toEqual(Array(200).fill("limit_connections"));
    expect(new Set(proxy.records.map(({ id }) => id)).size).toBe(200);
    expect([...proxy.ended]).toEqual([["limit_connections", 200]]);
    expect(proxy.active.count).toBe(1);
    expect(inside.ending).toBeUndefined();
  });
});

function outcome({ end, engine }: AccessRecord): string {
  return `${end} ${engine}`;
}

/** Descriptors of this process but those that the splice engine keeps for later. */
function sessionDescriptors(): number {
  return countDescriptors() - engineDescriptors();
}

/** Sends a text to an echo and expects it back, whole. */
async function exchange(port: number, text: string): Promise<void> {
  await using client = await connect(port);
  await client.send(text);
  await client.finish();
  await client.finished();
  expect(client.text()).toBe(text);
}

/** Connections that the kernel has made and that nobody has accepted. */
function queueLength(port: number): number {
  return tcpSockets(port).find((socket) => socket.localPort === port && socket.state === "LISTEN")!.receiveQueueBytes;
}

/** Tells the most connections that were open at once from now on: looked at whenever one is taken. */
function watchMost(active: ActiveConnections): () => number {
  let most = 0;
  const take = active.take.bind(active);
  active.take = () => {
    const count = take();
    most = Math.max(most, count);
    return count;
  };
  return () => most;
}

/** Two listeners in front of one backend, under one limit. */
class Pair {
  readonly active = new ActiveConnections();
  readonly records: AccessRecord[] = [];
  readonly #services: readonly Service[];
  readonly #registry = new SessionRegistry();

  constructor(backendPort: number, limit: number, engine: EngineUnderTest) {
    const target = plainTarget(oneEndpoint(backendPort));
    const fail = (error: unknown): never => {
      throw error;
    };
    const environment = {
      clock: systemClock,
      wheel: new TimerWheel(systemClock, fail),
      dialer: new Dialer(),
      registry: this.#registry,
      mover: moverOf(engine),
      admission: new Admission(this.active, limit, "queue"),
      traffic: new Traffic(),
      records: recordsInto(this.records),
      internalError: fail,
    };
    this.#services = ["first", "second"].map((name) => new Service(serviceSettings(name, target), environment));
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
    await until(
      () => this.active.count === 0,
      () => `the sessions to be closed: ${this.active.count} are open`,
    );
    await Promise.all(this.#services.map(({ listener }) => listener.close(AbortSignal.abort())));
  }
}
