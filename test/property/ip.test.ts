/** IP addresses as bytes against what the runtime says of their texts. */
import { expect, test } from "bun:test";
import { isIP } from "node:net";
import fc from "fast-check";
import { canonicalHost } from "../../src/core/address.ts";
import { ipBytes, ipText, readIp } from "../../src/core/ip.ts";

/** Almost addresses: what they are made of, in any order. */
const almost = fc
  .array(fc.constantFrom("0", "1", "25", "255", "256", "00", "f", "FFFF", "10000", ":", "::", ".", "1:", "0.", "0:"), {
    maxLength: 18,
  })
  .map((parts) => parts.join(""));

test("a text is an address when the runtime says so, and of the same family but for IPv4 inside IPv6", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), almost, fc.string()), (text) => {
      const bytes = new Uint8Array(ipBytes);
      const family = readIp(text, bytes);
      expect(family !== 0).toBe(isIP(text) !== 0);
      if (isIP(text) === 4) expect(family).toBe(4);
      if (family === 6) expect(ipText(bytes, 0)).toInclude(":");
      if (family === 4) expect(isIP(ipText(bytes, 0))).toBe(4);
    }),
    { numRuns: 20_000 },
  );
});

test("any sixteen bytes are read back from their text, which is the canonical one and the one of URL", () => {
  const byte = fc.oneof(fc.constant(0), fc.constant(0), fc.integer({ min: 0, max: 255 }));
  const mapped = fc
    .array(byte, { minLength: 4, maxLength: 4 })
    .map((last) => [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...last]);
  fc.assert(
    fc.property(fc.oneof(fc.array(byte, { minLength: 16, maxLength: 16 }), mapped), (bytes) => {
      const text = ipText(Uint8Array.from(bytes), 0);
      const again = new Uint8Array(ipBytes);
      expect(readIp(text, again)).toBe(text.includes(":") ? 6 : 4);
      expect([...again]).toEqual(bytes);
      expect(canonicalHost(text.toUpperCase())).toBe(text);
      if (text.includes(":")) expect(URL.parse(`http://[${text}]`)?.hostname).toBe(`[${text}]`);
    }),
    { numRuns: 5000 },
  );
});
