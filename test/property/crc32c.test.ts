import { expect, test } from "bun:test";
import fc from "fast-check";
import { crc32c } from "../../src/protocol/crc32c.ts";

test("it is what dividing bit by bit gives, and a wrong byte is always seen", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 200 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (bytes, place, difference) => {
        const checksum = crc32c(bytes);
        expect(checksum).toBe(dividedBitByBit(bytes));
        bytes[place % bytes.length]! ^= difference;
        expect(crc32c(bytes)).not.toBe(checksum);
      },
    ),
    { numRuns: 500 },
  );
});

/** The definition: the message as a polynomial, lowest bit of each byte first, divided by 0x1EDC6F41. */
function dividedBitByBit(bytes: Uint8Array): number {
  let remainder = 0xffffffffn;
  for (const byte of bytes) {
    for (let bit = 0; bit < 8; bit++) {
      const top = (remainder >> 31n) & 1n;
      remainder = (remainder << 1n) & 0xffffffffn;
      if (top !== BigInt((byte >> bit) & 1)) remainder ^= 0x1edc6f41n;
    }
  }
  const reversed = [...remainder.toString(2).padStart(32, "0")].toReversed().join("");
  return Number(BigInt(`0b${reversed}`) ^ 0xffffffffn);
}
