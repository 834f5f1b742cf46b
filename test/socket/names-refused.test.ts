/** DNS servers that refuse, or cut their answers short: c-ares in Bun 1.4.5 hears nothing of it and would spin. The clock stands still unless it is moved. */
import { describe, expect, test } from "bun:test";
import { promises as dns } from "node:dns";
import { closeSync, openSync } from "node:fs";
import { nameServerAt } from "../../src/backend/names/name-server.ts";
import type { Name } from "../../src/backend/names/name.ts";
import { FailureWatch } from "../../src/backend/names/failure-watch.ts";
import { Resolver, type Answer } from "../../src/backend/names/resolver.ts";
import { countDescriptors } from "../support/descriptors.ts";
import { a, dnsServer, type DnsServer } from "../support/dns-server.ts";
import { watchLeaks } from "../support/leaks.ts";
import { refusingServer } from "../support/refusing-server.ts";
import { until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const db: Name = { kind: "host", host: "db.test", port: 5432 };
const pg: Name = { kind: "srv", name: "_pg._tcp.test" };
const refused = { kind: "failed", why: "no DNS server could be reached" } as const;

watchLeaks();

function resolverOf(clock: VirtualClock, ...servers: { host: string; port: number }[]): Resolver {
  return new Resolver({ servers, clock, readText: async () => undefined });
}

describe("a server that refuses", () => {
  test.each(["127.0.0.1", "::1"] as const)("(%s) has failed at once, and leaves no timer", async (host) => {
    using server = await refusingServer(host);
    const clock = new VirtualClock();
    for (const name of [db, pg]) {
      expect(await resolverOf(clock, server).resolve(name)).toEqual({ ok: false, why: refused.why });
    }
    expect(clock.pendingTimers).toBe(0);
  });

  test("is passed over at once for the next one", async () => {
    using first = await refusingServer();
    using second = await refusingServer();
    using server = await dnsServer();
    server.set("db.test", a("10.0.0.1"));
    const clock = new VirtualClock();
    expect(await resolverOf(clock, first, second, server).resolve(db)).toMatchObject({ ok: true });
    expect(server.asked).toHaveLength(2);
    expect(clock.pendingTimers).toBe(0);
  });

  test("refuses each of many names, which are asked for beside one another", async () => {
    using server = await refusingServer();
    const resolver = new Resolver({ servers: [server], clock: new VirtualClock() });
    const names = Array.from({ length: 300 }, (_, index) => ({ ...db, host: `db-${index}.test` }));
    const answers = await Promise.all(names.map((name) => resolver.resolve(name)));
    expect(answers).toEqual(names.map(() => ({ ok: false, why: refused.why })));
  });

  test("from the second sending on has failed then", async () => {
    const server = await dnsServer();
    server.fail("db.test", "silent");
    const clock = new VirtualClock();
    const answer = resolverOf(clock, server).resolve(db);
    await server.wasAsked("db.test", 2);
    const { port } = server;
    server[Symbol.dispose]();
    using _ = await refusingServer("127.0.0.1", port);
    await clock.advance(1_000);
    expect(await answer).toEqual({ ok: false, why: refused.why });
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("the watch of a question", () => {
  test("notices a refusal that comes later, by looks that become fewer", async () => {
    await using setup = await Watched.asked();
    await setup.clock.advance(62);
    expect(setup.refusals).toBe(0);
    await setup.refuse();
    // Looks are 1, 3, 7, 15, 31, 63, 127, 227 ms after the sending.
    await setup.clock.advance(0.9);
    expect(setup.refusals).toBe(0);
    await setup.clock.advance(0.1);
    expect([setup.refusals, setup.clock.pendingTimers]).toEqual([1, 0]);
  });

  test("looks each 100 ms in the end", async () => {
    await using setup = await Watched.asked();
    await setup.clock.advance(227 + 1_000);
    await setup.refuse();
    await setup.clock.advance(99);
    expect(setup.refusals).toBe(0);
    await setup.clock.advance(1);
    expect(setup.refusals).toBe(1);
  });

  test("ends with its stop, and with the socket", async () => {
    await using stopped = await Watched.asked();
    stopped.watch.stop();
    expect(stopped.clock.pendingTimers).toBe(0);
    await stopped.refuse();
    await using gone = await Watched.asked();
    gone.channel.cancel();
    await gone.refuse();
    await gone.clock.advance(1_000);
    await stopped.clock.advance(1_000);
    expect([stopped.refusals, gone.refusals]).toEqual([0, 0]);
  });

  test("finds the socket where another thread has opened something, or closed it, since the look for a free descriptor", async () => {
    using refusing = await refusingServer();
    for (const change of ["opened", "closed"] as const) {
      const held = Array.from({ length: 4 }, () => openSync("/dev/null", "r"));
      const lowest = held.shift()!;
      // A question under way, whose socket is not to be taken for the new one.
      await using other = await Watched.asked();
      const channel = new dns.Resolver();
      channel.setServers([refusing.address]);
      const heard = Promise.withResolvers<void>();
      const watch = new FailureWatch(new VirtualClock(), () => heard.resolve());
      const asked = watch.send(() => {
        if (change === "opened") held.push(openSync("/dev/null", "r"));
        else closeSync(lowest);
        return channel.resolve4("db.test").catch(() => undefined);
      });
      await heard.promise;
      channel.cancel();
      await asked;
      expect(other.refusals).toBe(0);
      for (const fd of change === "opened" ? [lowest, ...held] : held) closeSync(fd);
    }
  });

  test("has nothing to watch when the question could not be sent", async () => {
    using busy = await dnsServer();
    busy.fail("db.test", "silent");
    const clock = new VirtualClock();
    const others = nameServerAt(busy, clock).addresses("db.test", 4);
    await clock.advance(0);
    const watch = new FailureWatch(clock, () => expect.unreachable());
    const before = clock.pendingTimers;
    expect(watch.send(() => 1)).toBe(1);
    await clock.advance(0);
    watch.stop();
    expect(clock.pendingTimers).toBe(before);
    others.cancel();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("an answer over TCP", () => {
  test("that is cut short has failed when that is seen", async () => {
    await using server = await dnsServer();
    server.fail("db.test", "cut_short");
    const clock = new VirtualClock();
    let answer: Answer | undefined;
    void resolverOf(clock, server)
      .resolve(db)
      .then((it) => (answer = it));
    await until(async () => {
      await clock.advance(1);
      return answer !== undefined;
    }, "the answer");
    expect(answer).toEqual({ ok: false, why: "the DNS server's answer can't be understood" });
    // Each family was asked for once: neither a second later nor at the end of the time.
    expect(server.asked.map(({ type, over }) => `${type} ${over}`).toSorted()).toEqual([
      "A tcp",
      "A udp",
      "AAAA tcp",
      "AAAA udp",
    ]);
    expect(clock.pendingTimers).toBe(0);
  });

  test("that takes its time is waited for, and not asked for again", async () => {
    await using server = await dnsServer();
    server.set("db.test", a("10.0.0.1"));
    server.fail("db.test", "stalled");
    const clock = new VirtualClock();
    const answer = resolverOf(clock, server).resolve(db);
    await server.wasAsked("db.test", 4);
    await clock.advance(4_999);
    server.release("db.test");
    expect(await answer).toMatchObject({ ok: true, addresses: [{ host: "10.0.0.1" }] });
    expect(server.count("db.test")).toBe(4);
    expect(clock.pendingTimers).toBe(0);
  });
});

test("two thousand refusals leave nothing behind", async () => {
  using server = await refusingServer();
  const clock = new VirtualClock();
  const asked = nameServerAt(server, clock);
  const before = countDescriptors();
  for (let turn = 0; turn < 20; turn++) {
    const replies = await Promise.all(Array.from({ length: 100 }, () => asked.addresses("db.test", 4).reply));
    expect(new Set(replies.map((reply) => JSON.stringify(reply)))).toEqual(new Set([JSON.stringify(refused)]));
  }
  await until(() => countDescriptors() <= before, "the sockets to be closed");
  expect(clock.pendingTimers).toBe(0);
});

/** A question that is watched, to a server that is silent until it refuses. */
class Watched implements AsyncDisposable {
  readonly clock = new VirtualClock();
  readonly channel = new dns.Resolver({ timeout: 10_000 });
  readonly watch = new FailureWatch(this.clock, () => void this.refusals++);
  refusals = 0;
  readonly #server: DnsServer;
  readonly #asked: Promise<unknown>[];

  private constructor(server: DnsServer) {
    this.#server = server;
    this.channel.setServers([server.address]);
    this.#asked = [this.watch.send(() => this.channel.resolve4("db.test").catch(() => undefined))];
  }

  static async asked(): Promise<Watched> {
    const server = await dnsServer();
    server.fail("db.test", "silent");
    const watched = new Watched(server);
    await server.wasAsked("db.test");
    await watched.clock.advance(0);
    return watched;
  }

  /** From now on an error waits at the socket: another question has left it, and was refused. */
  async refuse(): Promise<void> {
    const { port } = this.#server;
    this.#server[Symbol.dispose]();
    using _ = await refusingServer("127.0.0.1", port);
    this.#asked.push(this.channel.resolve4("other.test").catch(() => undefined));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.watch.stop();
    this.channel.cancel();
    await Promise.all(this.#asked);
    this.#server[Symbol.dispose]();
  }
}
