import { expect, test } from "bun:test";
import { isIP } from "node:net";
import fc from "fast-check";
import { ipv4End, ipv6End } from "../../src/protocol/ip-text.ts";
import { octets } from "../../src/protocol/octets.ts";

/** Almost addresses: what they are made of, in any order. */
const almost = fc
  .array(
    fc.constantFrom(
      "0",
      "1",
      "25",
      "255",
      "256",
      "00",
      "f",
      "ffff",
      "10000",
      ":",
      "::",
      ".",
      ".",
      ":",
      ":",
      "1:",
      "0.",
    ),
    {
      maxLength: 18,
    },
  )
  .map((parts) => parts.join(""));
const text = fc.oneof(fc.ipV4(), fc.ipV6(), almost);

test("a text is an address when node:net says so, and never another one", () => {
  fc.assert(
    fc.property(text, (address) => {
      const bytes = octets(`${address} `);
      const kind = isIP(address);
      expect(ipv4End(bytes, 0, bytes.length) === address.length).toBe(kind === 4);
      expect(ipv6End(bytes, 0, bytes.length) === address.length).toBe(kind === 6);
    }),
    { numRuns: 20_000 },
  );
});

test("what may still become an address can be made one", () => {
  // Whatever the groups so far, one of these completes them.
  const groups = Array.from({ length: 8 }, (_, count) => ":1".repeat(count));
  const tails = ["", ":", "::", "1", ...groups, ...groups.flatMap((group) => [`1${group}`, `:1${group}`]), ":", "0"];
  const parts = [".1.1.1", ".1.1", ".1", "1.1.1", "1.1", "1.1.1.1"];
  fc.assert(
    fc.property(text, fc.nat(), (address, cut) => {
      const beginning = address.slice(0, cut % (address.length + 1));
      const bytes = octets(beginning);
      const canBecome = (kind: number): boolean => [...tails, ...parts].some((tail) => isIP(beginning + tail) === kind);
      const mayBecome = (end: typeof ipv4End): boolean => end(bytes, 0, bytes.length) === bytes.length;
      expect({ beginning, ipv4: mayBecome(ipv4End) }).toEqual({ beginning, ipv4: canBecome(4) });
      expect({ beginning, ipv6: mayBecome(ipv6End) }).toEqual({ beginning, ipv6: canBecome(6) });
    }),
    { numRuns: 5000 },
  );
});
