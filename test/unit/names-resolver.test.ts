/** The resolver without a network: what it asks, in which order, what it makes of the answers, and its deadline. */
import { describe, expect, test } from "bun:test";
import { hostname } from "node:os";
import type { Reply, ServiceRecord } from "../../src/backend/names/name-server.ts";
import type { Name } from "../../src/backend/names/name.ts";
import { Resolver, type Answer } from "../../src/backend/names/resolver.ts";
import { failed, found, none, ScriptedNameServer } from "../support/scripted-name-server.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const db: Name = { kind: "host", host: "db.test", port: 5432 };
const pg: Name = { kind: "srv", name: "_pg._tcp.test" };
const timedOut: Answer = { ok: false, why: "no answer within 5 s" };
const nothing: Answer = { ok: false, why: "there is no such name, or it has no address" };

interface FilesOfTest {
  hosts?: string;
  /** Undefined: DNS servers are given in the configuration. */
  resolvConf?: string;
}

class Setup {
  readonly clock = new VirtualClock();
  readonly server = new ScriptedNameServer();
  readonly resolver: Resolver;

  constructor({ hosts, resolvConf }: FilesOfTest = {}) {
    this.resolver = new Resolver({
      servers: resolvConf === undefined ? [{ host: "192.0.2.53", port: 53 }] : [],
      clock: this.clock,
      nameServers: () => [this.server],
      readText: async (path) => (path === "/etc/hosts" ? hosts : path === "/etc/resolv.conf" ? resolvConf : undefined),
    });
  }

  answers(question: string, reply: Reply<string> | Reply<ServiceRecord>): void {
    this.server.answers.set(question, reply);
  }

  /** The addresses as they are written in the configuration, or why there are none. */
  async resolve(name: Name): Promise<string[] | string> {
    const answer = await this.resolver.resolve(name);
    return answer.ok ? answer.addresses.map(({ host, port }) => `${host} ${port}`) : answer.why;
  }

  /** What has become of an answer when `ms` have passed. */
  async after(ms: number, answer: Promise<Answer>): Promise<Answer | "under way"> {
    let state: Answer | "under way" = "under way";
    void answer.then((settled) => {
      state = settled;
    });
    await this.clock.advance(ms);
    return state;
  }
}

function service(target: string, port: number, priority = 0, weight = 0): ServiceRecord {
  return { target, port, priority, weight };
}

describe("a host", () => {
  test("has its A and AAAA records, in order, with the configured port", async () => {
    const { resolver, server, answers } = bound(new Setup());
    answers("A db.test", found("10.0.0.2", "10.0.0.1"));
    answers("AAAA db.test", found("2001:db8::1"));
    const rest = { port: 5432, priority: 0, weight: undefined, target: "db.test" };
    expect(await resolver.resolve(db)).toEqual({
      ok: true,
      addresses: [
        { host: "10.0.0.1", ...rest },
        { host: "10.0.0.2", ...rest },
        { host: "2001:db8::1", ...rest },
      ],
    });
    expect(server.questions).toEqual(["A db.test", "AAAA db.test"]);
  });

  test("may have one family only", async () => {
    const setup = new Setup();
    setup.answers("A db.test", none);
    setup.answers("AAAA db.test", found("::1"));
    expect(await setup.resolve(db)).toEqual(["::1 5432"]);
  });

  test("that has neither, or is not there, is told so", async () => {
    const setup = new Setup();
    setup.answers("A db.test", none);
    setup.answers("AAAA db.test", none);
    expect(await setup.resolver.resolve(db)).toEqual(nothing);
  });

  test("of which one family failed is not known to have nothing", async () => {
    const setup = new Setup();
    setup.answers("A db.test", none);
    setup.answers("AAAA db.test", failed("REFUSED"));
    expect(await setup.resolve(db)).toBe("REFUSED");
    setup.answers("A db.test", failed("SERVFAIL"));
    expect(await setup.resolve(db)).toBe("SERVFAIL");
  });

  test("keeps the addresses of a family that fails, and loses those of a family that has none any more", async () => {
    const setup = new Setup();
    setup.answers("A db.test", found("10.0.0.1"));
    setup.answers("AAAA db.test", failed());
    expect(await setup.resolve(db)).toEqual(["10.0.0.1 5432"]);
    setup.answers("AAAA db.test", found("::1"));
    expect(await setup.resolve(db)).toEqual(["10.0.0.1 5432", "::1 5432"]);
    setup.answers("A db.test", found("10.0.0.2"));
    setup.answers("AAAA db.test", failed());
    expect(await setup.resolve(db)).toEqual(["10.0.0.2 5432", "::1 5432"]);
    setup.answers("AAAA db.test", none);
    expect(await setup.resolve(db)).toEqual(["10.0.0.2 5432"]);
    setup.answers("AAAA db.test", failed());
    expect(await setup.resolve(db)).toEqual(["10.0.0.2 5432"]);
  });

  test("that is an address is not asked for", async () => {
    const setup = new Setup();
    expect(await setup.resolve({ kind: "host", host: "2001:DB8::0:1", port: 80 })).toEqual(["2001:db8::1 80"]);
    expect(await setup.resolve({ kind: "host", host: "10.0.0.1", port: 80 })).toEqual(["10.0.0.1 80"]);
    expect(setup.server.asked).toEqual([]);
  });
});

describe("the hosts file", () => {
  const hosts = "10.0.0.1 db.test\n::1 six.test\n127.0.0.5 localhost\n";

  test("comes before DNS, whoever the DNS server is", async () => {
    for (const resolvConf of [undefined, ""]) {
      const setup = new Setup({ hosts, ...(resolvConf === undefined ? {} : { resolvConf }) });
      expect(await setup.resolve({ ...db, host: "DB.test." })).toEqual(["10.0.0.1 5432"]);
      expect(await setup.resolve({ ...db, host: "six.test" })).toEqual(["::1 5432"]);
      expect(await setup.resolve({ ...db, host: "localhost" })).toEqual(["127.0.0.5 5432"]);
      expect(setup.server.asked).toEqual([]);
    }
  });

  test("need not have localhost: it is this machine, and DNS has no say", async () => {
    const setup = new Setup();
    for (const host of ["localhost", "LOCALHOST.", "app.localhost"]) {
      expect(await setup.resolve({ ...db, host })).toEqual(["127.0.0.1 5432", "::1 5432"]);
    }
    expect(setup.server.asked).toEqual([]);
  });
});

describe("the search list", () => {
  const resolvConf = "search a.test b.test\n";

  test("completes a name for the system's servers: the first that is there is meant", async () => {
    const setup = new Setup({ resolvConf });
    for (const question of ["A db.a.test", "AAAA db.a.test", "AAAA db.b.test"]) setup.answers(question, none);
    setup.answers("A db.b.test", found("10.0.0.2"));
    expect(await setup.resolve({ ...db, host: "db" })).toEqual(["10.0.0.2 5432"]);
    expect(setup.server.questions).toEqual(["A db.a.test", "AAAA db.a.test", "A db.b.test", "AAAA db.b.test"]);
  });

  test("is not gone on with after a failure: the name may be there", async () => {
    const setup = new Setup({ resolvConf });
    setup.answers("A db.a.test", failed());
    setup.answers("AAAA db.a.test", none);
    expect(await setup.resolve({ ...db, host: "db" })).toBe("SERVFAIL");
    expect(setup.server.questions).toEqual(["A db.a.test", "AAAA db.a.test"]);
  });

  test("is over when no name is there", async () => {
    const setup = new Setup({ resolvConf });
    for (const name of ["db", "db.a.test", "db.b.test"]) {
      setup.answers(`A ${name}`, none);
      setup.answers(`AAAA ${name}`, none);
    }
    expect(await setup.resolver.resolve({ ...db, host: "db" })).toEqual(nothing);
    expect(setup.server.questions.filter((question) => question.startsWith("A "))).toEqual([
      "A db.a.test",
      "A db.b.test",
      "A db",
    ]);
  });

  test("is not used for a name with a final dot, nor for servers of the configuration", async () => {
    for (const [setup, host] of [
      [new Setup({ resolvConf }), "db."],
      [new Setup(), "db"],
    ] as const) {
      setup.answers("A db", found("10.0.0.1"));
      setup.answers("AAAA db", none);
      expect(await setup.resolve({ ...db, host })).toEqual(["10.0.0.1 5432"]);
      expect(setup.server.questions).toEqual(["A db", "AAAA db"]);
    }
  });

  test("shares the deadline with the name", async () => {
    const setup = new Setup({ resolvConf: "search a.test b.test c.test d.test\n" });
    const answer = setup.resolver.resolve({ ...db, host: "db" });
    for (let index = 0; index < 3; index++) {
      expect(await setup.after(1_500, answer)).toBe("under way");
      for (const question of setup.server.asked) question.answer(none);
    }
    expect(await setup.after(499, answer)).toBe("under way");
    expect(await setup.after(1, answer)).toEqual(timedOut);
    expect(setup.clock.pendingTimers).toBe(0);
  });

  test("begins with the domain of this machine where resolv.conf has none", async () => {
    const setup = new Setup({ resolvConf: "" });
    const [, ...domain] = hostname().split(".");
    const name = ["db", ...domain].join(".");
    setup.answers(`A ${name}`, found("10.0.0.1"));
    setup.answers(`AAAA ${name}`, none);
    expect(await setup.resolve({ ...db, host: "db" })).toEqual(["10.0.0.1 5432"]);
  });
});

describe("a service", () => {
  test("has the addresses of its targets, with the ports, priorities and weights of its records", async () => {
    const setup = new Setup();
    setup.answers("SRV _pg._tcp.test", found(service("B.test.", 5433, 20, 5), service("a.test", 5432, 10, 60)));
    setup.answers("A a.test", found("10.0.0.2", "10.0.0.1"));
    setup.answers("AAAA a.test", found("::1"));
    setup.answers("A b.test", found("10.0.0.3"));
    setup.answers("AAAA b.test", none);
    expect(await setup.resolver.resolve(pg)).toEqual({
      ok: true,
      addresses: [
        // The weight is the target's; its addresses share it.
        { host: "10.0.0.1", port: 5432, priority: 10, weight: 20, target: "a.test" },
        { host: "10.0.0.2", port: 5432, priority: 10, weight: 20, target: "a.test" },
        { host: "10.0.0.3", port: 5433, priority: 20, weight: 5, target: "b.test" },
        { host: "::1", port: 5432, priority: 10, weight: 20, target: "a.test" },
      ],
    });
  });

  test("asks for a target once, however many records it has, and never by the search list", async () => {
    const setup = new Setup({ resolvConf: "search a.test\n" });
    setup.answers("SRV _pg._tcp.test", found(service("db", 5432), service("db", 5433)));
    setup.answers("A db", found("10.0.0.1"));
    setup.answers("AAAA db", none);
    expect(await setup.resolve(pg)).toEqual(["10.0.0.1 5432", "10.0.0.1 5433"]);
    expect(setup.server.questions).toEqual(["SRV _pg._tcp.test", "A db", "AAAA db"]);
  });

  test("that is declared not to exist has no address", async () => {
    for (const target of ["", "."]) {
      const setup = new Setup();
      setup.answers("SRV _pg._tcp.test", found(service(target, 0)));
      expect(await setup.resolve(pg)).toBe("srv:_pg._tcp.test says that there is no such service");
    }
  });

  test("without records, or whose server fails, is told so", async () => {
    const setup = new Setup();
    setup.answers("SRV _pg._tcp.test", none);
    expect(await setup.resolve(pg)).toBe("there is no such name, or it has no SRV record");
    setup.answers("SRV _pg._tcp.test", failed());
    expect(await setup.resolve(pg)).toBe("SERVFAIL");
  });

  test("leaves out a target that has never been resolved, and keeps the addresses of one that was", async () => {
    const setup = new Setup();
    setup.answers("SRV _pg._tcp.test", found(service("a.test", 1), service("b.test", 2)));
    setup.answers("A a.test", found("10.0.0.1"));
    for (const question of ["AAAA a.test", "A b.test", "AAAA b.test"]) setup.answers(question, none);
    expect(await setup.resolve(pg)).toEqual(["10.0.0.1 1"]);
    setup.answers("A b.test", found("10.0.0.2"));
    expect(await setup.resolve(pg)).toEqual(["10.0.0.1 1", "10.0.0.2 2"]);
    setup.answers("A a.test", failed());
    setup.answers("A b.test", none);
    // The port is that of the record of now.
    setup.answers("SRV _pg._tcp.test", found(service("a.test", 3), service("b.test", 4)));
    expect(await setup.resolve(pg)).toEqual(["10.0.0.1 3", "10.0.0.2 4"]);
  });

  test("none of whose targets can be resolved has failed, for the reason of a target", async () => {
    const setup = new Setup();
    setup.answers("SRV _pg._tcp.test", found(service("a.test", 1), service("b.test", 2)));
    for (const question of ["A a.test", "AAAA a.test", "AAAA b.test"]) setup.answers(question, none);
    setup.answers("A b.test", failed("REFUSED"));
    expect(await setup.resolve(pg)).toBe("REFUSED");
    setup.answers("A b.test", none);
    expect(await setup.resolver.resolve(pg)).toEqual(nothing);
  });

  test("uses 256 records, those of the best priority", async () => {
    const setup = new Setup();
    const records = Array.from({ length: 300 }, (_, index) => service("a.test", index + 1, 300 - index));
    setup.answers("SRV _pg._tcp.test", found(...records));
    setup.answers("A a.test", found("10.0.0.1"));
    setup.answers("AAAA a.test", none);
    const answer = await setup.resolve(pg);
    expect([answer.length, answer[0], answer.at(-1)]).toEqual([256, "10.0.0.1 45", "10.0.0.1 300"]);
  });
});

describe("the deadline", () => {
  test("is 5 s, whatever the server does, and nothing is left behind", async () => {
    const setup = new Setup();
    const answer = setup.resolver.resolve(db);
    expect(await setup.after(4_999, answer)).toBe("under way");
    expect(await setup.after(1, answer)).toEqual(timedOut);
    expect(setup.server.asked.map(({ cancelled }) => cancelled)).toEqual([true, true]);
    expect(setup.clock.pendingTimers).toBe(0);
  });

  test("lets the family that answered have its say", async () => {
    const setup = new Setup();
    setup.answers("A db.test", found("10.0.0.1"));
    const answer = setup.resolver.resolve(db);
    expect(await setup.after(4_999, answer)).toBe("under way");
    expect(await setup.after(1, answer)).toMatchObject({ ok: true, addresses: [{ host: "10.0.0.1" }] });
  });

  test("is one for a service and its targets: those that are not there by then are left out", async () => {
    const setup = new Setup();
    setup.answers("A a.test", found("10.0.0.1"));
    setup.answers("AAAA a.test", none);
    const answer = setup.resolver.resolve(pg);
    expect(await setup.after(4_000, answer)).toBe("under way");
    setup.server.asked[0]!.answer(found(service("a.test", 1), service("silent.test", 2)));
    expect(await setup.after(999, answer)).toBe("under way");
    expect(setup.server.questions).toContain("A silent.test");
    expect(await setup.after(1, answer)).toMatchObject({ ok: true, addresses: [{ host: "10.0.0.1", port: 1 }] });
    // The question for the target itself has its own 5 s.
    await setup.clock.advance(4_000);
    expect(setup.clock.pendingTimers).toBe(0);
  });

  test("holds for names that wait in line as well, and nobody overtakes", async () => {
    const setup = new Setup();
    const many = Array.from({ length: 102 }, (_, index) => setup.resolver.resolve({ ...db, host: `db${index}.test` }));
    await setup.clock.advance(1_000);
    expect(setup.server.asked).toHaveLength(200);
    for (const question of setup.server.asked.slice(0, 2)) question.answer(found("10.0.0.1"));
    expect(await setup.after(0, many[0]!)).toMatchObject({ ok: true });
    expect(setup.server.questions.slice(200)).toEqual(["A db100.test", "AAAA db100.test"]);
    await setup.clock.advance(4_000);
    expect(await Promise.all(many.slice(1))).toEqual(many.slice(1).map(() => timedOut));
    expect(setup.server.asked).toHaveLength(202);
    expect(setup.clock.pendingTimers).toBe(0);
  });
});

test("a resolver that is closed gives up what is under way and in line, and asks for nothing any more", async () => {
  const setup = new Setup();
  const many = Array.from({ length: 101 }, (_, index) => setup.resolver.resolve({ ...db, host: `db${index}.test` }));
  await setup.clock.advance(0);
  setup.resolver.close();
  expect((await Promise.all(many)).map(({ ok }) => ok)).toEqual(many.map(() => false));
  expect((await setup.resolver.resolve(db)).ok).toBe(false);
  expect(setup.server.asked.map(({ cancelled }) => cancelled)).toEqual(Array.from({ length: 200 }, () => true));
  expect(setup.clock.pendingTimers).toBe(0);
});

describe("questions for one name", () => {
  test("that come while it is asked for are one, whatever the port and the spelling", async () => {
    const setup = new Setup();
    const both = Promise.all([setup.resolve(db), setup.resolve({ ...db, host: "DB.test", port: 80 })]);
    await setup.clock.advance(0);
    expect(setup.server.questions).toEqual(["A db.test", "AAAA db.test"]);
    for (const question of setup.server.asked) question.answer(found("10.0.0.1"));
    expect(await both).toEqual([["10.0.0.1 5432"], ["10.0.0.1 80"]]);
  });

  test("that come afterwards are asked again: nothing is cached", async () => {
    const setup = new Setup();
    for (const host of ["10.0.0.1", "10.0.0.2"]) {
      setup.answers("A db.test", found(host));
      setup.answers("AAAA db.test", none);
      expect(await setup.resolve(db)).toEqual([`${host} 5432`]);
    }
    expect(setup.server.questions).toHaveLength(4);
  });

  test("of a service are one as well", async () => {
    const setup = new Setup();
    const both = Promise.all([setup.resolve(pg), setup.resolve({ kind: "srv", name: "_PG._tcp.test." })]);
    await setup.clock.advance(0);
    expect(setup.server.questions).toEqual(["SRV _pg._tcp.test"]);
    setup.server.asked[0]!.answer(found(service("10.0.0.1", 80)));
    expect(await both).toEqual([["10.0.0.1 80"], ["10.0.0.1 80"]]);
  });
});

describe("other servers", () => {
  /** A server for each configured address, by its last number; the system's is number 0. */
  class Servers {
    readonly clock = new VirtualClock();
    readonly #all = new Map<number, ScriptedNameServer>();
    readonly resolver = new Resolver({
      servers: at(1),
      clock: this.clock,
      nameServers: (servers) => (servers.length === 0 ? [this.of(0)] : servers.map(({ port }) => this.of(port))),
      readText: async (path) => (path === "/etc/resolv.conf" ? "search lan.test" : undefined),
    });

    of(number: number): ScriptedNameServer {
      const known = this.#all.get(number);
      if (known !== undefined) return known;
      const server = new ScriptedNameServer();
      this.#all.set(number, server);
      return server;
    }

    /** Answers whatever a server has been asked and will be asked. */
    answer(number: number, host: string): void {
      for (const question of this.of(number).asked) question.answer(question.type === "A" ? found(host) : none);
    }
  }

  function at(...numbers: number[]): { host: string; port: number }[] {
    return numbers.map((port) => ({ host: "192.0.2.53", port }));
  }

  test("are asked from the next question on; one that is under way ends where it was asked, and is joined by nobody", async () => {
    const servers = new Servers();
    const { resolver, clock } = servers;
    const before = resolver.resolve(db);
    await clock.advance(0);
    resolver.useServers(at(2));
    const after = resolver.resolve(db);
    const joined = resolver.resolve({ ...db, port: 1 });
    await clock.advance(0);
    expect([servers.of(1).questions.length, servers.of(2).questions.length]).toEqual([2, 2]);
    servers.answer(2, "10.0.0.2");
    servers.answer(1, "10.0.0.1");
    const answers = await Promise.all([before, after, joined]);
    expect(answers.map((answer) => answer.ok && answer.addresses.map(({ host }) => host))).toEqual([
      ["10.0.0.1"],
      ["10.0.0.2"],
      ["10.0.0.2"],
    ]);
    const again = resolver.resolve(db);
    await clock.advance(0);
    expect(servers.of(2).questions.length).toBe(4);
    servers.answer(2, "10.0.0.2");
    expect((await again).ok).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });

  test("are not asked for the targets of a service that was asked for before", async () => {
    const servers = new Servers();
    const asked = servers.resolver.resolve(pg);
    await servers.clock.advance(0);
    servers.resolver.useServers(at(2));
    servers.of(1).asked[0]!.answer(found(service("a.test", 80)));
    await servers.clock.advance(0);
    expect(servers.of(1).questions).toEqual(["SRV _pg._tcp.test", "A a.test", "AAAA a.test"]);
    expect(servers.of(2).questions).toEqual([]);
    // Who asks for such a target now does not join that either.
    const target = servers.resolver.resolve({ kind: "host", host: "a.test.", port: 80 });
    await servers.clock.advance(0);
    expect(servers.of(2).questions).toEqual(["A a.test", "AAAA a.test"]);
    for (const number of [1, 2]) servers.answer(number, `10.0.0.${number}`);
    expect([(await asked).ok, (await target).ok]).toEqual([true, true]);
  });

  test("may be those of the system, with its search list, and no more afterwards", async () => {
    const servers = new Servers();
    const short: Name = { kind: "host", host: "db", port: 80 };
    const { resolver, clock } = servers;
    const asked: Promise<Answer>[] = [];
    for (const addresses of [at(), at(3), at(4, 5)]) {
      resolver.useServers(addresses);
      asked.push(resolver.resolve(short));
      await clock.advance(0);
    }
    expect(servers.of(0).questions).toEqual(["A db.lan.test", "AAAA db.lan.test"]);
    expect(servers.of(3).questions).toEqual(["A db", "AAAA db"]);
    expect(servers.of(4).questions).toEqual(["A db", "AAAA db"]);
    await clock.advance(4_000);
    expect(servers.of(5).questions).toEqual(["A db", "AAAA db"]);
    for (const number of [0, 3, 5]) servers.answer(number, "10.0.0.1");
    expect((await Promise.all(asked)).map(({ ok }) => ok)).toEqual([true, true, true]);
  });

  test("fill up an answer that came in part with what others had said before", async () => {
    const servers = new Servers();
    const { resolver, clock } = servers;
    const ask = async (number: number, ipv4: Reply<string>, ipv6: Reply<string>): Promise<Answer> => {
      const asked = resolver.resolve(db);
      await clock.advance(0);
      for (const question of servers.of(number).asked) question.answer(question.type === "A" ? ipv4 : ipv6);
      return asked;
    };
    await ask(1, found("10.0.0.1"), found("::1"));
    resolver.useServers(at(2));
    const answer = await ask(2, found("10.0.0.2"), failed());
    expect(answer.ok && answer.addresses.map(({ host }) => host)).toEqual(["10.0.0.2", "::1"]);
  });

  test("after the close are asked nothing, and a close ends questions of all", async () => {
    const servers = new Servers();
    const { resolver, clock } = servers;
    const asked = [resolver.resolve(db)];
    await clock.advance(0);
    resolver.useServers(at(2));
    asked.push(resolver.resolve(db));
    await clock.advance(0);
    resolver.close();
    resolver.useServers(at(3));
    asked.push(resolver.resolve(db));
    expect((await Promise.all(asked)).map(({ ok }) => ok)).toEqual([false, false, false]);
    expect(servers.of(3).questions).toEqual([]);
    expect([...servers.of(1).asked, ...servers.of(2).asked].map(({ cancelled }) => cancelled)).toEqual(
      Array.from({ length: 4 }, () => true),
    );
    expect(clock.pendingTimers).toBe(0);
  });
});

/** The parts of a setup, to be used without it. */
function bound(setup: Setup): Pick<Setup, "resolver" | "server" | "answers"> {
  return { resolver: setup.resolver, server: setup.server, answers: setup.answers.bind(setup) };
}
