import { expect, test } from "bun:test";
import { hashText, mix32 } from "../../src/core/hash.ts";

test("mix32 is the finalizer of MurmurHash3", () => {
  expect([0, 1, 2, 0xffffffff].map(mix32)).toEqual([0, 0x514e28b7, 0x30f4c306, 0x81f16f39]);
});

test("hashText is FNV-1a, mixed", () => {
  // The plain FNV-1a values are known ones.
  expect(hashText("")).toBe(mix32(0x811c9dc5));
  expect(hashText("a")).toBe(mix32(0xe40c292c));
  expect(hashText("foobar")).toBe(mix32(0xbf9cf968));
});

test("hashText may begin further on", () => {
  expect(hashText("::ffff:192.0.2.1", 7)).toBe(hashText("192.0.2.1"));
});

test("addresses in a row are spread evenly by every part of the hash", () => {
  const bins = 16;
  for (const shift of [0, 8, 16, 28]) {
    const counts = new Uint32Array(bins);
    for (let index = 0; index < 65_536; index++) {
      counts[(hashText(`10.0.${index >> 8}.${index & 255}`) >>> shift) % bins]!++;
    }
    // 4,096 in each with a standard deviation of 62: five of these.
    for (const count of counts) expect(count).toBeWithin(3_786, 4_406);
  }
});
