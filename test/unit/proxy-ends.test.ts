/** The two ends of a connection as a PROXY header writes them: bytes of one family. */
import { expect, test } from "bun:test";
import { endsOf } from "../../src/protocol/proxy-ends.ts";

const ipv4 = Uint8Array.of(0, 255, 1, 2);
const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 255, 1, 2);
const ipv6 = Uint8Array.of(0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 1, 2);

/** The bytes of both, with these hosts at either end. */
function bytesOf(source: string, destination: string): readonly number[][] | undefined {
  const ends = endsOf({ host: source, port: 1 }, { host: destination, port: 65_535 });
  if (ends !== undefined) expect([ends.sourcePort, ends.destinationPort]).toEqual([1, 65_535]);
  return ends === undefined ? undefined : [[...ends.source], [...ends.destination]];
}

test("two of one family have its bytes, IPv4 inside IPv6 being IPv4, and a zone left out", () => {
  expect(bytesOf("0.255.1.2", "::ffff:0.255.1.2")).toEqual([[...ipv4], [...ipv4]]);
  expect(bytesOf("2001:db8::ff:102", "2001:DB8::ff:102%eth0")).toEqual([[...ipv6], [...ipv6]]);
  expect(bytesOf("::", "1::")).toEqual([Array(16).fill(0), [0, 1, ...Array(14).fill(0)]]);
});

test("of two families the address of IPv4 is mapped", () => {
  expect(bytesOf("0.255.1.2", "2001:db8::ff:102")).toEqual([[...mapped], [...ipv6]]);
  expect(bytesOf("2001:db8::ff:102", "0.255.1.2")).toEqual([[...ipv6], [...mapped]]);
});

test("what is no IP address or no port, or is not known, has none", () => {
  for (const host of ["", "name", "1.2.3", "1.2.3.256", "[::1]", ":::", "unix:/run/x"]) {
    expect([host, bytesOf(host, "10.0.0.1"), bytesOf("10.0.0.1", host)]).toEqual([host, undefined, undefined]);
  }
  const known = { host: "10.0.0.1", port: 1 };
  for (const port of [-1, 65_536, 1.5, Number.NaN]) expect(endsOf(known, { host: "10.0.0.2", port })).toBeUndefined();
  expect([endsOf(undefined, known), endsOf(known, undefined)]).toEqual([undefined, undefined]);
});
