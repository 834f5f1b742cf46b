/** The pure parts of resolving: sets of addresses, the hosts file, the search list, the weights of SRV records. */
import { describe, expect, test } from "bun:test";
import { HostsFile, parseHosts, readText } from "../../src/backend/names/hosts-file.ts";
import {
  addressesMax,
  addressSet,
  formatName,
  sameAddresses,
  type ResolvedAddress,
} from "../../src/backend/names/name.ts";
import { candidates, noSearchList, parseSearchList } from "../../src/backend/names/search-list.ts";
import { endpointWeights, srvSettings } from "../../src/backend/names/srv-settings.ts";
import { Turns } from "../../src/backend/names/turns.ts";

function address(host: string, rest: Partial<ResolvedAddress> = {}): ResolvedAddress {
  return { host, port: 5432, priority: 0, weight: undefined, target: "db.test", ...rest };
}

test("names are written as in the configuration", () => {
  expect(formatName({ kind: "host", host: "db.internal", port: 5432 })).toBe("db.internal:5432");
  expect(formatName({ kind: "srv", name: "_pg._tcp.example.com" })).toBe("srv:_pg._tcp.example.com");
});

describe("a set of addresses", () => {
  const hosts = (addresses: readonly ResolvedAddress[]): string[] => addresses.map(({ host }) => host);

  test("has IPv4 before IPv6, each by value", () => {
    const sorted = ["9.255.0.1", "10.0.0.9", "10.0.0.10", "100.0.0.1", "::", "::1", "2001:db8::a", "2001:db8::1:0"];
    expect(hosts(addressSet(sorted.toReversed().map((host) => address(host))))).toEqual(sorted);
  });

  test("has one host by port", () => {
    const set = addressSet([80, 5432, 443].map((port) => address("10.0.0.1", { port })));
    expect(set.map(({ port }) => port)).toEqual([80, 443, 5432]);
  });

  test("has one spelling for each address, and each once", () => {
    const spellings = ["2001:DB8:0::1", "::ffff:10.0.0.1", "2001:db8::1", "10.0.0.1"];
    expect(hosts(addressSet(spellings.map((host) => address(host))))).toEqual(["10.0.0.1", "2001:db8::1"]);
  });

  test("of an address that is there twice keeps the better priority, and adds up weights of one priority", () => {
    const records = [
      address("10.0.0.1", { priority: 20, weight: 100 }),
      address("10.0.0.1", { priority: 10, weight: 3, target: "b.test" }),
      address("10.0.0.1", { priority: 10, weight: 4, target: "a.test" }),
    ];
    expect(addressSet(records)).toEqual([address("10.0.0.1", { priority: 10, weight: 7, target: "a.test" })]);
  });

  test("is bounded, and what is left out does not depend on the order of the records", () => {
    const many = Array.from({ length: addressesMax + 5 }, (_, index) => address(`10.0.${index >> 8}.${index & 255}`));
    expect(addressSet(many)).toHaveLength(addressesMax);
    expect(addressSet(many.toReversed())).toEqual(addressSet(many));
  });

  test("is another one with another host, port, priority, weight or target, or one less", () => {
    const set = [address("10.0.0.1"), address("10.0.0.2")];
    expect(sameAddresses(set, structuredClone(set))).toBe(true);
    expect(sameAddresses(set, set.slice(0, 1))).toBe(false);
    for (const other of [{ host: "10.0.0.3" }, { port: 1 }, { priority: 1 }, { weight: 1 }, { target: "x.test" }]) {
      expect(sameAddresses(set, [set[0]!, { ...set[1]!, ...other }])).toBe(false);
    }
  });
});

describe("the hosts file", () => {
  test("gives each name of a line its address, aliases too, whatever the spelling", () => {
    const hosts = parseHosts(
      "# comment\n127.0.0.1\tlocalhost  Box.Example.COM. box\r\n::1 localhost # loopback\n\n  10.0.0.5 db db # db\n",
    );
    expect([...hosts]).toEqual([
      ["localhost", ["127.0.0.1", "::1"]],
      ["box.example.com", ["127.0.0.1"]],
      ["box", ["127.0.0.1"]],
      ["db", ["10.0.0.5"]],
    ]);
  });

  test("passes over what is no address, or one that only an interface makes complete", () => {
    expect([...parseHosts("db 10.0.0.1\n10.0.0 x\nfe80::1%lo0 localhost\n10.0.0.1\n")]).toEqual([]);
  });

  test("is read for each question", async () => {
    let text: string | undefined = "10.0.0.1 db.test\n";
    const file = new HostsFile("/etc/hosts", async (path) => (path === "/etc/hosts" ? text : "10.9.9.9 db.test\n"));
    expect(await file.addressesOf("db.test")).toEqual(["10.0.0.1"]);
    expect(await file.addressesOf("other.test")).toEqual([]);
    text = "10.0.0.2 db.test\n";
    expect(await file.addressesOf("db.test")).toEqual(["10.0.0.2"]);
    text = undefined;
    expect(await file.addressesOf("db.test")).toEqual([]);
  });

  test("that is not there is as good as empty", async () => {
    expect(await readText("/nowhere/hosts")).toBeUndefined();
    expect(await readText(import.meta.path)).toStartWith("/** The pure parts");
  });
});

describe("the search list", () => {
  test("is that of the last line, of at least one dot by default", () => {
    expect(parseSearchList("nameserver 10.0.0.1\n", "box")).toEqual({ domains: [], dots: 1 });
    expect(parseSearchList("search a.test b.test\n", "box.own.test").domains).toEqual(["a.test", "b.test"]);
    expect(parseSearchList("search a.test\ndomain B.test. c.test\n", "box").domains).toEqual(["b.test"]);
    expect(parseSearchList("domain a.test\n\tsearch  b.test .\n", "box").domains).toEqual(["b.test"]);
  });

  test("is the domain of the machine where none is given", () => {
    expect(parseSearchList("", "box.own.test").domains).toEqual(["own.test"]);
    expect(parseSearchList("search\n", "box.own.test").domains).toEqual([]);
  });

  test("takes the number of dots, up to 15, and passes over other options and comments", () => {
    expect(parseSearchList("options timeout:1 ndots:5 rotate", "box").dots).toBe(5);
    expect(parseSearchList("options ndots:99", "box").dots).toBe(15);
    expect(parseSearchList("options ndots:-1 ndots:x ndots:", "box").dots).toBe(1);
    expect(parseSearchList("# search a.test\n; options ndots:5\n", "box")).toEqual({ domains: [], dots: 1 });
  });

  test("is bounded", () => {
    const many = Array.from({ length: 100 }, (_, index) => `d${index}.test`);
    expect(parseSearchList(`search ${many.join(" ")}`, "box").domains).toEqual(many.slice(0, 16));
  });

  test("comes behind a name with dots, and before one without", () => {
    const list = { domains: ["a.test", "b.test"], dots: 2 };
    expect(candidates("db", list)).toEqual(["db.a.test", "db.b.test", "db"]);
    expect(candidates("db.x", list)).toEqual(["db.x.a.test", "db.x.b.test", "db.x"]);
    expect(candidates("db.x.y", list)).toEqual(["db.x.y", "db.x.y.a.test", "db.x.y.b.test"]);
    expect(candidates("db", { ...list, dots: 0 })[0]).toBe("db");
  });

  test("is not for a name with a final dot, nor for one that would get too long", () => {
    const list = { domains: ["a.test"], dots: 1 };
    expect(candidates("db.", list)).toEqual(["db"]);
    expect(candidates("db", noSearchList)).toEqual(["db"]);
    const long = `${"x".repeat(60)}.`.repeat(4).slice(0, -1);
    expect(candidates(long, { ...list, domains: ["long.domain.test"] })).toEqual([long]);
  });
});

describe("weights of SRV records", () => {
  const weights = (...given: (number | undefined)[]): readonly number[] =>
    endpointWeights(given.map((weight) => ({ priority: 0, weight })));

  test("from 1 to 1000 stay as they are", () => {
    expect(weights(60, 40, 1, 1_000)).toEqual([60, 40, 1, 1_000]);
  });

  test("that are all 0 mean equal ones", () => {
    expect(weights(0, 0, 0)).toEqual([1, 1, 1]);
  });

  test("of 0 beside others mean hardly ever", () => {
    expect(weights(0, 10, 5)).toEqual([1, 1_000, 500]);
  });

  test("above 1000 are scaled, and none is lost", () => {
    expect(weights(65_535, 32_768, 1)).toEqual([1_000, 500, 1]);
  });

  test("with fractions are scaled", () => {
    expect(weights(0.5, 1)).toEqual([500, 1_000]);
  });

  test("that are not given are equal", () => {
    expect(weights(undefined, undefined)).toEqual([1, 1]);
    expect(weights()).toEqual([]);
  });

  test("are compared within their priority", () => {
    const records = [
      { priority: 10, weight: 2_000 },
      { priority: 20, weight: 4_000 },
      { priority: 10, weight: 1_000 },
      { priority: 30, weight: 0 },
    ];
    expect(endpointWeights(records)).toEqual([1_000, 1_000, 500, 1]);
  });

  test("and priorities make settings: all but the best are backups", () => {
    const own = { weight: 1, backup: false, connectionsMax: 7 };
    const records = [
      address("10.0.0.1", { priority: 10, weight: 60 }),
      address("10.0.0.2", { priority: 20, weight: 5 }),
      address("10.0.0.3", { priority: 30, weight: 0 }),
      address("10.0.0.4", { priority: 10, weight: 40 }),
    ];
    expect(srvSettings(records, own)).toEqual([
      { weight: 60, backup: false, connectionsMax: 7 },
      { weight: 5, backup: true, connectionsMax: 7 },
      { weight: 1, backup: true, connectionsMax: 7 },
      { weight: 40, backup: false, connectionsMax: 7 },
    ]);
    expect(srvSettings(records, { ...own, weight: 0 }).map(({ weight }) => weight)).toEqual([0, 0, 0, 0]);
    expect(srvSettings(records, { ...own, backup: true }).map(({ backup }) => backup)).not.toContain(false);
    expect(srvSettings([], own)).toEqual([]);
  });
});

describe("turns", () => {
  test("are given in the order in which they were wanted, so many at once", async () => {
    const turns = new Turns(2);
    const begun: number[] = [];
    const works = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
    const taken = works.map((work, index) =>
      turns.take(() => {
        begun.push(index);
        return work.promise;
      }),
    );
    await Promise.resolve();
    expect(begun).toEqual([0, 1]);
    works[1]!.resolve();
    await taken[1];
    await Promise.resolve();
    expect(begun).toEqual([0, 1, 2]);
    for (const work of works) work.resolve();
    await Promise.all(taken);
    expect(begun).toEqual([0, 1, 2, 3, 4]);
  });

  test("come back when the work fails", async () => {
    const turns = new Turns(1);
    await expect(turns.take(() => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
    expect(await turns.take(async () => "next")).toBe("next");
  });
});
