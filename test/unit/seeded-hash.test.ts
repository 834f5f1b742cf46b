/** The hash for keys from outside. */
import { expect, test } from "bun:test";
import { hashOfFour } from "../../src/core/seeded-hash.ts";

const seed = { low: 0x03020100, high: 0x07060504 };

test("it is HalfSipHash-1-3: the answer for the bytes 0 to 15 that the Linux kernel's own test has", () => {
  const words = Uint32Array.of(99, 0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c, 99);
  expect(hashOfFour(words, 1, seed)).toBe(0x8b31d501 | 0);
});

test("every bit of the words and of the seed changes about half of the hash", () => {
  const changed: number[] = [];
  const words = Uint32Array.of(1, 2, 3, 4);
  const before = hashOfFour(words, 0, seed);
  const compare = (after: number): number =>
    changed.push(((after ^ before) >>> 0).toString(2).replaceAll(/[^1]/g, "").length);
  for (let bit = 0; bit < 128; bit++) {
    const other = words.slice();
    other[bit >> 5]! ^= 1 << (bit & 31);
    compare(hashOfFour(other, 0, seed));
  }
  for (let bit = 0; bit < 32; bit++) {
    compare(hashOfFour(words, 0, { low: seed.low ^ (1 << bit), high: seed.high }));
    compare(hashOfFour(words, 0, { low: seed.low, high: seed.high ^ (1 << bit) }));
  }
  expect(Math.min(...changed)).toBeGreaterThan(3);
  expect(changed.reduce((sum, bits) => sum + bits, 0) / changed.length).toBeWithin(14, 19);
});
