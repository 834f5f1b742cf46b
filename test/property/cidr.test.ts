/** Networks against arithmetic on numbers of 128 bits. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Cidr, CidrSet, formatCidr, parseCidr } from "../../src/core/cidr.ts";
import { ipBytes, ipText, readIp } from "../../src/core/ip.ts";

/** The number of an address; IPv4 is ::ffff:a.b.c.d. */
function numberOf(host: string): bigint {
  const bytes = new Uint8Array(ipBytes);
  expect(readIp(host, bytes)).not.toBe(0);
  return BigInt(`0x${bytes.toHex()}`);
}

/** The same the other way; a colon in front keeps IPv4 inside IPv6 in the form of IPv6. */
function hexText(number: bigint): string {
  return number
    .toString(16)
    .padStart(32, "0")
    .replace(/(.{4})(?!$)/g, "$1:");
}

const full = (1n << 128n) - 1n;

/** The networks of few addresses, near to each other, so that they touch and contain one another. */
const near4 = fc.nat(1023).map((last) => 0xffff_0a00_0000n + BigInt(last));
const near6 = fc.nat(1023).map((last) => (0x2001_0db8n << 96n) + BigInt(last));
const any4 = fc.bigInt({ min: 0n, max: 0xffff_ffffn }).map((last) => 0xffff_0000_0000n + last);
const any6 = fc.bigInt({ min: 0n, max: full });
const number = fc.oneof(near4, near6, any4, any6);
const bits = fc.oneof(fc.integer({ min: 0, max: 128 }), fc.integer({ min: 118, max: 128 }));

/** A network as it is written, and as numbers. */
const network = fc.tuple(number, bits).map(([address, length]) => {
  const first = (address >> BigInt(128 - length)) << BigInt(128 - length);
  return { text: `${hexText(first)}/${length}`, first, last: first | (full >> BigInt(length)) };
});

test("a set has the addresses that are between the first and the last of a network", () => {
  fc.assert(
    fc.property(fc.array(network, { maxLength: 12 }), fc.array(number, { minLength: 1 }), (networks, others) => {
      const cidrs = networks.map(({ text }) => cidr(text));
      const set = new CidrSet(cidrs);
      const edges = networks.flatMap(({ first, last }) => [first, last, first - 1n, last + 1n]);
      for (const address of [...others, ...edges.filter((edge) => edge >= 0n && edge <= full)]) {
        const expected = networks.some(({ first, last }) => first <= address && address <= last);
        const canonical = ipText(Uint8Array.fromHex(address.toString(16).padStart(32, "0")), 0);
        expect({ address: canonical, networks, has: set.has(canonical) }).toEqual({
          address: canonical,
          networks,
          has: expected,
        });
        expect(set.has(hexText(address))).toBe(expected);
      }
    }),
    { numRuns: 500 },
  );
});

test("a network that is written is read back; an address beyond its prefix is refused with the network it is in", () => {
  fc.assert(
    fc.property(number, bits, (address, length) => {
      const text = `${hexText(address)}/${length}`;
      const parsed = parseCidr(text);
      const rest = full >> BigInt(length);
      expect(parsed.ok).toBe((address & rest) === 0n);
      if (!parsed.ok) {
        const proposed = /such as "([^"]+)", or "([^"]+)"/.exec(parsed.wanted)!;
        expect(numberOf(proposed[2]!)).toBe(address);
        expect(numberOf(cidr(proposed[1]!).address)).toBe(address & ~rest);
        return;
      }
      expect(numberOf(parsed.value.address)).toBe(address);
      expect(parseCidr(formatCidr(parsed.value))).toEqual(parsed);
      expect(parsed.value.bits).toBe(parsed.value.kind === "ipv4" ? length - 96 : length);
    }),
    { numRuns: 2000 },
  );
});

test("whatever is read of any text: a network, or what was wanted", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f.:/]*$/)), (text) => {
      const parsed = parseCidr(text);
      if (parsed.ok) expect(parseCidr(formatCidr(parsed.value))).toEqual(parsed);
      else expect(parsed.wanted).toMatch(/^an? /);
    }),
    { numRuns: 2000 },
  );
});

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (!parsed.ok) throw new Error(`${text} is no network, wanted ${parsed.wanted}`);
  return parsed.value;
}
