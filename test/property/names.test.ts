/** Sets of addresses and weights of SRV records, whatever DNS says. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { addressSet, sameAddresses, type ResolvedAddress } from "../../src/backend/names/name.ts";
import { parseHosts } from "../../src/backend/names/hosts-file.ts";
import { candidates, parseSearchList } from "../../src/backend/names/search-list.ts";
import { endpointWeights } from "../../src/backend/names/srv-settings.ts";
import { readQuestion } from "../support/dns-message.ts";

const weight = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 65_535 }), fc.integer({ min: 1, max: 5 }));

/** Few values, so that addresses meet. */
const record: fc.Arbitrary<ResolvedAddress> = fc.record({
  host: fc.oneof(fc.constantFrom("10.0.0.1", "::1", "::ffff:10.0.0.1", "0:0::1"), fc.ipV4(), fc.ipV6()),
  port: fc.integer({ min: 1, max: 3 }),
  priority: fc.integer({ min: 0, max: 2 }),
  weight: weight.map((value) => value / 3),
  target: fc.constantFrom("a.test", "b.test"),
});

const records = fc.array(record, { maxLength: 30 });
const shuffled = records.chain((all) =>
  fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length })),
);

test("a set of addresses does not depend on the order of the records", () => {
  fc.assert(
    fc.property(shuffled, ([one, other]) => {
      expect(sameAddresses(addressSet(one), addressSet(other))).toBe(true);
    }),
  );
});

test("a set of addresses has each address of the records once, and is its own set", () => {
  fc.assert(
    fc.property(records, (all) => {
      const set = addressSet(all);
      const keys = set.map(({ host, port }) => `${host} ${port}`);
      expect(new Set(keys).size).toBe(keys.length);
      expect(sameAddresses(addressSet(set), set)).toBe(true);
      for (const { host, port } of all) {
        expect(set.filter((one) => sameHost(one.host, host) && one.port === port)).toHaveLength(1);
      }
      const families = set.map(({ host }) => (host.includes(":") ? 6 : 4));
      expect(families).toEqual(families.toSorted());
    }),
  );
});

test("the best priority of an address wins, and no weight of it is lost", () => {
  fc.assert(
    fc.property(records, (all) => {
      for (const { host, port, priority, weight: sum } of addressSet(all)) {
        const same = all.filter((one) => sameHost(one.host, host) && one.port === port);
        expect(priority).toBe(Math.min(...same.map((one) => one.priority)));
        const best = same.filter((one) => one.priority === priority);
        expect(sum).toBeCloseTo(best.reduce((total, one) => total + one.weight!, 0));
      }
    }),
  );
});

test("weights of endpoints are whole, from 1 to 1000, and keep order and ratios within their priority", () => {
  const group = fc.array(fc.record({ priority: fc.integer({ min: 0, max: 2 }), weight }), { maxLength: 12 });
  fc.assert(
    fc.property(group, (all) => {
      const weights = endpointWeights(all);
      expect(weights).toHaveLength(all.length);
      for (const each of weights) expect(Number.isInteger(each) && each >= 1 && each <= 1_000).toBe(true);
      all.forEach((one, i) =>
        all.forEach((other, j) => {
          if (one.priority !== other.priority) return;
          if (one.weight === other.weight) expect(weights[i]).toBe(weights[j]!);
          if (one.weight < other.weight) expect(weights[i]).toBeLessThanOrEqual(weights[j]!);
        }),
      );
      for (const priority of [0, 1, 2]) {
        const of = all.map((_, index) => index).filter((index) => all[index]!.priority === priority);
        const highest = Math.max(...of.map((index) => all[index]!.weight));
        if (highest === 0) continue;
        const factor = Math.max(...of.map((index) => weights[index]!)) / highest;
        // What is below one is one; the rest is off by no more than rounding.
        for (const index of of) {
          expect(Math.abs(weights[index]! - Math.max(1, all[index]!.weight * factor))).toBeLessThanOrEqual(0.500_001);
        }
      }
    }),
  );
});

test("files of the machine may have anything in them", () => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom("search a.test b.test", "domain .", "options ndots:3", "127.0.0.1 a.test A.TEST.", "::1 a # b"),
  );
  const text = fc.array(line, { maxLength: 12 }).map((lines) => lines.join("\n"));
  fc.assert(
    fc.property(text, fc.domain(), (contents, name) => {
      for (const [host, addresses] of parseHosts(contents)) {
        expect(host).toBe(host.toLowerCase());
        expect(addresses.length).toBeGreaterThan(0);
      }
      const asked = candidates(name, parseSearchList(contents, "box"));
      expect(asked).toContain(name);
      for (const each of asked) expect(each.startsWith(name)).toBe(true);
    }),
  );
});

test("the DNS server of the tests takes any message", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (message) => {
      const question = readQuestion(message);
      if (question !== undefined) expect(question.section.length).toBeLessThanOrEqual(message.length - 12);
    }),
  );
});

function sameHost(one: string, other: string): boolean {
  const pair = [one, other].map((host) => ({ host, port: 1, priority: 0, weight: 0, target: "" }));
  return addressSet(pair).length === 1;
}
