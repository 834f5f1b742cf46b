/** The resolver and real DNS: c-ares asks servers of the test's own. The clock stands still unless it is moved. */
import { describe, expect, test } from "bun:test";
import { systemNameServers } from "../../src/backend/names/name-server.ts";
import type { Name, ResolvedAddress } from "../../src/backend/names/name.ts";
import { Resolver, type Answer, type NameResolver } from "../../src/backend/names/resolver.ts";
import type { NameObserver } from "../../src/backend/names/watched-name.ts";
import { WatchedNames } from "../../src/backend/names/watched-names.ts";
import { a, aaaa, cname, dnsServer, srv, type DnsServer } from "../support/dns-server.ts";
import { watchLeaks } from "../support/leaks.ts";
import { until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const db: Name = { kind: "host", host: "db.test", port: 5432 };
const pg: Name = { kind: "srv", name: "_pg._tcp.test" };
const dayS = 86_400;

watchLeaks();

function resolverOf(clock: VirtualClock, ...servers: { host: string; port: number }[]): Resolver {
  return new Resolver({ servers, clock, readText: async () => undefined });
}

/** Asks one server. */
async function resolve(server: DnsServer, name: Name): Promise<string[] | string> {
  return written(await resolverOf(new VirtualClock(), server).resolve(name));
}

function written(answer: Answer): string[] | string {
  return answer.ok ? answer.addresses.map(({ host, port }) => `${host} ${port}`) : answer.why;
}

describe("a host", () => {
  test("has its A and AAAA records", async () => {
    await using server = await dnsServer();
    server.set("db.test", a("10.0.0.2"), aaaa("2001:db8::1"), a("10.0.0.1"));
    const addresses = ["10.0.0.1 5432", "10.0.0.2 5432", "2001:db8::1 5432"];
    expect(await resolve(server, { ...db, host: "DB.Test." })).toEqual(addresses);
    expect(server.asked.map(({ type, over }) => `${type} ${over}`).toSorted()).toEqual(["A udp", "AAAA udp"]);
  });

  test("may be an alias", async () => {
    await using server = await dnsServer();
    server.set("db.test", cname("pod-1.test"));
    server.set("pod-1.test", a("10.0.0.1"));
    expect(await resolve(server, db)).toEqual(["10.0.0.1 5432"]);
  });

  test("may have more addresses than a datagram holds", async () => {
    await using server = await dnsServer();
    const addresses = Array.from({ length: 1_000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
    server.set("db.test", ...addresses.map((address) => a(address)));
    server.fail("db.test", "truncated", "A");
    expect(await resolve(server, db)).toEqual(addresses.map((address) => `${address} 5432`));
    expect(server.asked).toContainEqual({ name: "db.test", type: "A", over: "tcp" });
  });

  test("is asked for again each time, whatever its TTL", async () => {
    await using server = await dnsServer();
    const resolver = resolverOf(new VirtualClock(), server);
    for (const address of ["10.0.0.1", "10.0.0.2", "10.0.0.3"]) {
      server.set("db.test", a(address, dayS));
      expect(written(await resolver.resolve(db))).toEqual([`${address} 5432`]);
    }
    server.delete("db.test");
    expect(written(await resolver.resolve(db))).toBe("there is no such name, or it has no address");
  });

  for (const [how, why] of [
    ["nxdomain", "there is no such name, or it has no address"],
    ["nodata", "there is no such name, or it has no address"],
    ["servfail", "the DNS server failed (SERVFAIL)"],
    ["refused", "the DNS server refused to answer (REFUSED)"],
    ["garbage", "the DNS server's answer can't be understood"],
  ] as const) {
    test(`that has ${how} is told in words`, async () => {
      await using server = await dnsServer();
      server.set("db.test", a("10.0.0.1"));
      server.fail("db.test", how);
      expect(await resolve(server, db)).toBe(why);
    });
  }

  test("that no server would take for a name is not there", async () => {
    await using server = await dnsServer();
    for (const host of ["a..test", `${"x".repeat(64)}.test`, " ", "\u0000", "ü.test"]) {
      expect(await resolve(server, { ...db, host })).toBe("there is no such name, or it has no address");
    }
  });

  test("that is localhost is this machine, whatever the server says", async () => {
    await using server = await dnsServer();
    server.set("localhost", a("10.0.0.1"));
    expect(await resolve(server, { ...db, host: "localhost" })).toEqual(["127.0.0.1 5432", "::1 5432"]);
    expect(server.asked).toEqual([]);
  });
});

describe("a service", () => {
  test("has ports, priorities and weights of its records", async () => {
    await using server = await dnsServer();
    server.set(
      "_pg._tcp.test",
      srv("db-1.test", 5432, { priority: 10, weight: 60 }),
      srv("db-2.test", 5433, { priority: 20, weight: 65_535 }),
    );
    server.set("db-1.test", a("10.0.0.1"), aaaa("::1"));
    server.set("db-2.test", cname("db-1.test"));
    const first = { priority: 10, weight: 30, target: "db-1.test" };
    const second = { priority: 20, weight: 32_767.5, target: "db-2.test" };
    expect(await resolverOf(new VirtualClock(), server).resolve(pg)).toEqual({
      ok: true,
      addresses: [
        { host: "10.0.0.1", port: 5432, ...first },
        { host: "10.0.0.1", port: 5433, ...second },
        { host: "::1", port: 5432, ...first },
        { host: "::1", port: 5433, ...second },
      ],
    });
  });

  test("that is declared not to exist, or is not there, has no address", async () => {
    await using server = await dnsServer();
    expect(await resolve(server, pg)).toBe("there is no such name, or it has no SRV record");
    server.set("_pg._tcp.test", srv(".", 0));
    expect(await resolve(server, pg)).toBe("srv:_pg._tcp.test says that there is no such service");
  });

  test("may have targets that are no names: they are left out", async () => {
    await using server = await dnsServer();
    server.set("_pg._tcp.test", srv("a\\b c.test", 1), srv("\n\u0001.test", 2), srv("10.0.0.9", 3), srv("db.test", 4));
    server.set("db.test", a("10.0.0.1"));
    // An address in place of a name is against RFC 2782, and meant by everybody who does it.
    expect(await resolve(server, pg)).toEqual(["10.0.0.1 4", "10.0.0.9 3"]);
  });
});

describe("servers", () => {
  test("may have IPv6 addresses", async () => {
    await using server = await dnsServer("::1");
    server.set("db.test", a("10.0.0.1"));
    expect(await resolve(server, db)).toEqual(["10.0.0.1 5432"]);
  });

  test("of which the first fails: the second one is asked at once", async () => {
    await using broken = await dnsServer();
    await using server = await dnsServer();
    server.set("db.test", a("10.0.0.1"));
    for (const how of ["servfail", "refused", "garbage"] as const) {
      broken.fail("db.test", how);
      const resolver = resolverOf(new VirtualClock(), broken, server);
      expect(written(await resolver.resolve(db))).toEqual(["10.0.0.1 5432"]);
    }
  });

  test("of which the first says that there is no such name: that is an answer", async () => {
    await using first = await dnsServer();
    await using second = await dnsServer();
    second.set("db.test", a("10.0.0.1"));
    const resolver = resolverOf(new VirtualClock(), first, second);
    expect(written(await resolver.resolve(db))).toBe("there is no such name, or it has no address");
    expect(second.asked).toEqual([]);
  });

  test("of which the first is silent: the second one is asked after a second, and nothing is left of the first question", async () => {
    await using silent = await dnsServer();
    await using server = await dnsServer();
    const clock = new VirtualClock();
    silent.fail("db.test", "silent");
    server.set("db.test", a("10.0.0.1"));
    const answer = resolverOf(clock, silent, server).resolve(db);
    await silent.wasAsked("db.test", 2);
    expect(server.asked).toEqual([]);
    await clock.advance(1_000);
    expect(written(await answer)).toEqual(["10.0.0.1 5432"]);
    expect(clock.pendingTimers).toBe(0);
  });

  test("of which the first is not there at all: the second one is asked", async () => {
    const gone = await dnsServer();
    const { host, port } = gone;
    gone[Symbol.dispose]();
    await using server = await dnsServer();
    server.set("db.test", a("10.0.0.1"));
    const clock = new VirtualClock();
    const answer = resolverOf(clock, { host, port }, server).resolve(db);
    // A refusal may be noticed at once, or not before the second is over.
    await clock.advance(1_000);
    expect(written(await answer)).toEqual(["10.0.0.1 5432"]);
  });

  test("that hang hold a name for no longer than 5 s, and get no further question for it", async () => {
    await using server = await dnsServer();
    const clock = new VirtualClock();
    server.fail("db.test", "held");
    server.set("db.test", a("10.0.0.1"));
    const resolver = resolverOf(clock, server);
    const answer = resolver.resolve(db);
    await server.wasAsked("db.test", 2);
    await clock.advance(5_000);
    expect(written(await answer)).toBe("no answer within 5 s");
    server.release("db.test");
    // An answer that comes too late is nobody's.
    expect(written(await resolver.resolve(db))).toEqual(["10.0.0.1 5432"]);
    expect(clock.pendingTimers).toBe(0);
  });

  test("of the system are there, one by one", () => {
    expect(systemNameServers(new VirtualClock()).length).toBeGreaterThan(0);
  });
});

test("a resolver that is closed leaves no socket, whatever its servers do", async () => {
  await using server = await dnsServer();
  server.fail("db.test", "silent");
  const clock = new VirtualClock();
  const resolver = resolverOf(clock, server);
  const answer = resolver.resolve(db);
  await server.wasAsked("db.test", 2);
  resolver.close();
  expect((await answer).ok).toBe(false);
  expect(clock.pendingTimers).toBe(0);
});

test("questions from many backends for one name are two: A and AAAA", async () => {
  await using server = await dnsServer();
  server.fail("db.test", "held");
  server.set("db.test", a("10.0.0.1"));
  const resolver = resolverOf(new VirtualClock(), server);
  const answers = Promise.all(Array.from({ length: 50 }, (_, index) => resolver.resolve({ ...db, port: index + 1 })));
  await server.wasAsked("db.test", 2);
  server.release("db.test");
  expect((await answers).map(written)).toEqual(Array.from({ length: 50 }, (_, index) => [`10.0.0.1 ${index + 1}`]));
  expect(server.asked).toHaveLength(2);
});

test("other servers answer from the next question on, and one that is under way is answered by the old ones", async () => {
  await using old = await dnsServer();
  await using other = await dnsServer();
  old.set("db.test", a("10.0.0.1"));
  other.set("db.test", a("10.0.0.2"));
  const resolver = resolverOf(new VirtualClock(), old);
  const underWay = resolver.resolve(db);
  resolver.useServers([other]);
  const next = resolver.resolve(db);
  expect([written(await underWay), written(await next)]).toEqual([["10.0.0.1 5432"], ["10.0.0.2 5432"]]);
  expect([old.asked.length, other.asked.length]).toEqual([2, 2]);
});

test("a watched name follows its records, and keeps the last good ones while its server fails", async () => {
  await using server = await dnsServer();
  const clock = new VirtualClock();
  const heard: string[] = [];
  const told = (addresses: readonly ResolvedAddress[]): string => addresses.map(({ host }) => host).join(" ");
  const observer: NameObserver = {
    changed: (_, addresses) => void heard.push(`changed: ${told(addresses)}`),
    failed: (_, why, kept) => void heard.push(`failed: ${why}, ${kept} kept`),
    recovered: (_, addresses) => void heard.push(`recovered: ${told(addresses)}`),
  };
  const resolver = resolverOf(clock, server);
  let answers = 0;
  const counted: NameResolver = { resolve: (name) => resolver.resolve(name).finally(() => answers++) };
  // 0.5 is the middle: no jitter.
  const names = new WatchedNames([db], 30_000, counted, clock, observer, () => 0.5);
  /** Until the next question, `waitMs` from now, has been asked and answered. */
  const nextAnswer = async (waitMs: number): Promise<void> => {
    const before = answers;
    await clock.advance(waitMs);
    await until(() => answers === before + 1, "the question to be answered");
    await clock.advance(0);
  };

  await names.start();
  expect(heard.splice(0)).toEqual(["failed: there is no such name, or it has no address, 0 kept"]);
  server.set("db.test", a("10.0.0.1", dayS), a("10.0.0.2", dayS));
  await nextAnswer(1_000);
  expect(heard.splice(0)).toEqual(["changed: 10.0.0.1 10.0.0.2"]);
  server.set("db.test", a("10.0.0.2"), aaaa("::1"));
  await nextAnswer(30_000);
  expect(heard.splice(0)).toEqual(["changed: 10.0.0.2 ::1"]);
  for (const how of ["servfail", "nodata", "nxdomain"] as const) {
    server.fail("db.test", how);
    await nextAnswer(30_000);
  }
  expect(heard.splice(0)).toEqual(["failed: the DNS server failed (SERVFAIL), 2 kept"]);
  server.fail("db.test", undefined);
  await nextAnswer(30_000);
  expect(heard.splice(0)).toEqual(["recovered: 10.0.0.2 ::1"]);
  names.stop();
  expect(clock.pendingTimers).toBe(0);
});
