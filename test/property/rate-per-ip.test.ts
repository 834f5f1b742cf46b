/** New connections a second from each address, against a plain bucket for each, and connections at once against plain counts. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ConnectionsPerIp } from "../../src/listener/connections-per-ip.ts";
import { RatePerIp } from "../../src/listener/rate-per-ip.ts";
import { TimesByAddress } from "../../src/listener/times-by-address.ts";

/** Buckets as one would draw them: what is in each, in milliseconds of filling, so that whole numbers stay whole. */
class PlainBuckets {
  readonly #levels = new Map<string, { levelMs: number; atMs: number }>();

  constructor(
    readonly connectionMs: number,
    readonly fullMs: number,
  ) {}

  take(host: string, nowMs: number): boolean {
    const before = this.#levels.get(host) ?? { levelMs: this.fullMs, atMs: nowMs };
    const levelMs = Math.min(this.fullMs, before.levelMs + nowMs - before.atMs);
    const taken = levelMs >= this.connectionMs;
    this.#levels.set(host, { levelMs: taken ? levelMs - this.connectionMs : levelMs, atMs: nowMs });
    return taken;
  }

  /** How many buckets are not full. */
  inUse(nowMs: number): number {
    return [...this.#levels.values()].filter(({ levelMs, atMs }) => levelMs + nowMs - atMs < this.fullMs).length;
  }
}

const hosts = ["10.0.0.1", "10.0.0.2", "192.0.2.7", "2001:db8::1", "2001:db8::2", "::1", "::", "::1:0:0"];

/** Rates whose connections are whole milliseconds apart: no rounding can make a difference. */
const perSecond = fc.constantFrom(1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 1000);
const elapsedMs = fc.oneof(
  fc.constant(0),
  fc.nat(3),
  fc.nat(120),
  fc.nat(1200),
  fc.constantFrom(999, 1000, 1001, 2001),
);
const step = fc.record({ host: fc.constantFrom(...hosts), elapsedMs, times: fc.integer({ min: 1, max: 12 }) });

test("every decision is that of a plain bucket for each address", () => {
  fc.assert(
    fc.property(perSecond, fc.array(step, { maxLength: 120 }), fc.boolean(), (rate, steps, forgets) => {
      const limited = new RatePerIp(rate, { seed: { low: 3, high: 4 } });
      const plain = new PlainBuckets(1000 / rate, 1000);
      let nowMs = 5000;
      for (const { host, elapsedMs: passed, times } of steps) {
        nowMs += passed;
        if (forgets) limited.forget(nowMs);
        for (let time = 0; time < times; time++) {
          const decided = { host, nowMs, taken: limited.take(host, nowMs) };
          expect(decided).toEqual({ host, nowMs, taken: plain.take(host, nowMs) });
        }
        expect(limited.addresses).toBeWithin(plain.inUse(nowMs), hosts.length + 1);
      }
    }),
    { numRuns: 1000 },
  );
});

test("at any bound of addresses an unknown one is never refused, and the bound holds", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 6 }), fc.array(step, { maxLength: 120 }), (addressesMax, steps) => {
      const limited = new RatePerIp(4, { addressesMax, seed: { low: 3, high: 4 } });
      const known = new Set<string>();
      let nowMs = 5000;
      for (const { host, elapsedMs: passed } of steps) {
        nowMs += passed;
        const taken = limited.take(host, nowMs);
        if (!known.has(host)) expect(taken).toBe(true);
        known.add(host);
        expect(limited.addresses).toBeLessThanOrEqual(addressesMax);
      }
    }),
  );
});

test("times by address are those of a plain map, whatever the seed", () => {
  const word = fc.constantFrom(0, 1, 2, 0xffff, 0xffffffff);
  const address = fc.tuple(word, word, word, fc.nat(2000));
  const entries = fc.array(fc.tuple(address, fc.integer({ min: 1 })), { size: "max", maxLength: 3000 });
  fc.assert(
    fc.property(fc.integer(), fc.integer(), entries, (low, high, all) => {
      const times = new TimesByAddress({ low, high });
      const plain = new Map<string, number>();
      for (const [words, time] of all) {
        const key = Uint32Array.from(words);
        times.set(key, times.hash(key), time);
        plain.set(words.join(), time);
      }
      expect(times.addresses).toBe(plain.size);
      const got = all.map(([words]) => times.get(Uint32Array.from(words), times.hash(Uint32Array.from(words))));
      expect(got).toEqual(all.map(([words]) => plain.get(words.join())!));
    }),
    { numRuns: 50 },
  );
});

test("connections at once are counted as in a plain list of them", () => {
  const action = fc.oneof(fc.record({ take: fc.constantFrom(...hosts) }), fc.record({ close: fc.nat() }));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(action, { maxLength: 200 }), (max, actions) => {
      const connections = new ConnectionsPerIp(max);
      const open: string[] = [];
      for (const each of actions) {
        if ("take" in each) {
          const allowed = open.filter((host) => host === each.take).length < max;
          expect(connections.take(each.take)).toBe(allowed);
          if (allowed) open.push(each.take);
        } else if (open.length > 0) {
          connections.giveBack(open.splice(each.close % open.length, 1)[0]!);
        }
        expect(connections.addresses).toBe(new Set(open).size);
      }
    }),
  );
});
