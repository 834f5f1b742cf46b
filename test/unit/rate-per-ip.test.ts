/** New connections a second from each address. */
import { describe, expect, test } from "bun:test";
import { RatePerIp } from "../../src/listener/rate-per-ip.ts";

const seed = { low: 1, high: 2 };

/** How many of `count` connections at once are taken. */
function burst(rate: RatePerIp, host: string, nowMs: number, count: number): number {
  let taken = 0;
  for (let index = 0; index < count; index++) if (rate.take(host, nowMs)) taken++;
  return taken;
}

/** The address number `index` of a network of 16 million. */
function address(index: number): string {
  return `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
}

describe("a bucket", () => {
  test("has a second's worth at first, and fills evenly from then on", () => {
    const rate = new RatePerIp(5, { seed });
    expect(burst(rate, "10.0.0.1", 1000, 9)).toBe(5);
    expect(rate.take("10.0.0.1", 1199)).toBe(false);
    expect(burst(rate, "10.0.0.1", 1200, 2)).toBe(1);
    expect(burst(rate, "10.0.0.1", 1600, 9)).toBe(2);
    expect(burst(rate, "10.0.0.1", 2600, 9)).toBe(5);
    expect(burst(rate, "10.0.0.1", 99_000, 9)).toBe(5);
  });

  test("loses nothing to who is refused", () => {
    const rate = new RatePerIp(1, { seed });
    expect(rate.take("10.0.0.1", 1000)).toBe(true);
    for (let ms = 1001; ms < 2000; ms++) expect(rate.take("10.0.0.1", ms)).toBe(false);
    expect(rate.take("10.0.0.1", 2000)).toBe(true);
  });

  test("of an odd rate has all its connections, too", () => {
    for (const perSecond of [3, 7, 9, 11, 13, 997, 3333]) {
      const rate = new RatePerIp(perSecond, { seed });
      expect(burst(rate, "10.0.0.1", 12_345.678, perSecond + 3)).toBe(perSecond);
      expect(burst(rate, "10.0.0.1", 13_345.678, perSecond + 3)).toBe(perSecond);
    }
  });

  test("of less than one a second allows one, and the next when it is time", () => {
    const rate = new RatePerIp(0.1, { seed });
    expect(burst(rate, "10.0.0.1", 1000, 3)).toBe(1);
    expect(rate.take("10.0.0.1", 10_999)).toBe(false);
    expect(rate.take("10.0.0.1", 11_000)).toBe(true);
  });
});

test("each address has a bucket of its own, however it is written", () => {
  const rate = new RatePerIp(2, { seed });
  expect(burst(rate, "10.0.0.1", 1000, 3)).toBe(2);
  expect(burst(rate, "10.0.0.2", 1000, 3)).toBe(2);
  expect(rate.take("::ffff:10.0.0.1", 1000)).toBe(false);
  expect(burst(rate, "2001:db8::1", 1000, 3)).toBe(2);
  expect(rate.take("2001:DB8:0:0::1", 1000)).toBe(false);
  expect(rate.addresses).toBe(3);
});

test("what is no address has no limit and is not remembered", () => {
  const rate = new RatePerIp(1, { seed });
  for (const host of ["", "unknown", "localhost", "unix:", "10.0.0"]) expect(burst(rate, host, 1000, 5)).toBe(5);
  expect(rate.addresses).toBe(0);
});

describe("an address is forgotten", () => {
  test("when its bucket is full again, at the next chance, and with it its memory", () => {
    const rate = new RatePerIp(5, { seed });
    const before = rate.bytes;
    for (let index = 0; index < 20_000; index++) rate.take(address(index), 1000);
    expect(rate.addresses).toBe(20_000);
    rate.forget(2000);
    expect(rate.addresses).toBe(20_000);
    rate.forget(2001);
    expect(rate.addresses).toBe(0);
    expect(rate.bytes).toBe(before);
  });

  test("not before, while others come and go", () => {
    const rate = new RatePerIp(1, { seed });
    // A connection a millisecond, each from an address that comes back a second later less one.
    for (let ms = 0; ms < 20_000; ms++) {
      const again = rate.take(address(ms), 1000 + ms) && (ms < 999 || !rate.take(address(ms - 999), 1000 + ms));
      if (!again) throw new Error(`at ${ms} ms an address was forgotten too early, or refused`);
      expect(rate.addresses).toBeLessThanOrEqual(2002);
    }
  });
});

describe("beyond the most addresses that are remembered", () => {
  test("nobody who has not connected is refused, and memory does not grow", () => {
    const rate = new RatePerIp(1, { addressesMax: 1000, seed });
    let mostBytes = 0;
    for (let index = 0; index < 50_000; index++) {
      expect(rate.take(address(index), 1000)).toBe(true);
      expect(rate.addresses).toBeLessThanOrEqual(1000);
      mostBytes = Math.max(mostBytes, rate.bytes);
    }
    expect(mostBytes).toBeLessThan(100_000);
  });

  test("those that came last are the ones who are remembered", () => {
    const rate = new RatePerIp(1, { addressesMax: 1000, seed });
    for (let index = 0; index < 5000; index++) rate.take(address(index), 1000);
    for (let index = 4500; index < 5000; index++) expect(rate.take(address(index), 1000)).toBe(false);
    expect(rate.take(address(0), 1000)).toBe(true);
  });
});

test("without a seed each has one of its own, and decides the same", () => {
  const [one, other] = [new RatePerIp(2), new RatePerIp(2)];
  for (let index = 0; index < 3000; index++) {
    const host = address(index % 1000);
    expect(one.take(host, 1000)).toBe(other.take(host, 1000));
  }
  expect(one.addresses).toBe(1000);
});
