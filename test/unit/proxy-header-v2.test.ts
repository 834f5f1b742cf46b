/** The PROXY header of version 2: read, refused at the first wrong byte, written. */
import { describe, expect, test } from "bun:test";
import { peekProxyHeader, type ProxyHeader, proxyHeaderBytesMax } from "../../src/protocol/proxy-header.ts";
import { proxyHeaderV2BytesMax, writeProxyHeaderV2 } from "../../src/protocol/proxy-header-v2.ts";
import { firstInvalid, peekWhole } from "../support/peek-laws.ts";
import { joined } from "../support/joined.ts";
import { emptyChecksum, withChecksum } from "../support/proxy-checksum.ts";
import { ends, proxyV2, tlv } from "../support/proxy-headers.ts";

const parser = { peek: peekProxyHeader, bytesMax: proxyHeaderBytesMax };
const behind = Buffer.from("GET / HTTP/1.1\r\n");
const ipv4: ProxyHeader = {
  version: 2,
  command: "proxy",
  family: "tcp4",
  source: { host: "192.0.2.1", port: 56_324 },
  destination: { host: "198.51.100.1", port: 443 },
  authority: undefined,
  alpn: undefined,
};
const nothing = { ...ipv4, family: "unknown", source: undefined, destination: undefined } as const;
const local = { ...nothing, command: "local" } as const;
const ipv4Ends = ends([192, 0, 2, 1], [198, 51, 100, 1], [56_324, 443]);
const ipv6Ends = ends(
  [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1],
  [1, 65_535],
);
const ipv6 = {
  ...ipv4,
  family: "tcp6",
  source: { host: "2001:db8::1", port: 1 },
  destination: { host: "192.0.2.1", port: 65_535 },
} as const;

describe("a header", () => {
  const rows: [what: string, bytes: Uint8Array, header: ProxyHeader][] = [
    ["of TCP over IPv4", proxyV2(0x21, 0x11, ipv4Ends), ipv4],
    ["of TCP over IPv6, with an IPv4-mapped address", proxyV2(0x21, 0x21, ipv6Ends), ipv6],
    ["of a Unix socket", proxyV2(0x21, 0x31, of(216, 0x61)), { ...nothing, family: "unix" }],
    ["of nothing it says", proxyV2(0x21, 0x00), nothing],
    ["of LOCAL", proxyV2(0x20, 0x00), local],
    ["of LOCAL with addresses, which are not read", proxyV2(0x20, 0x11, ipv4Ends), local],
    ["of LOCAL with anything", proxyV2(0x20, 0xff, Uint8Array.of(3, 0, 4, 1, 2, 3, 4, 9)), local],
    [
      "with an authority",
      proxyV2(0x21, 0x11, ipv4Ends, tlv(2, "Example.com.")),
      { ...ipv4, authority: "Example.com." },
    ],
    [
      "with an authority beyond ASCII",
      proxyV2(0x21, 0x11, ipv4Ends, tlv(2, "bücher.example")),
      { ...ipv4, authority: "bücher.example" },
    ],
    [
      "with an authority of 255 bytes",
      proxyV2(0x21, 0x11, ipv4Ends, tlv(2, "a".repeat(255))),
      { ...ipv4, authority: "a".repeat(255) },
    ],
    ["with a protocol", proxyV2(0x21, 0x11, ipv4Ends, tlv(1, "h2")), { ...ipv4, alpn: "h2" }],
    [
      "with a protocol that is no text",
      proxyV2(0x21, 0x11, ipv4Ends, tlv(1, Uint8Array.of(0x0a, 0xff))),
      { ...ipv4, alpn: "\n\xff" },
    ],
    ["with an empty authority and an empty protocol", proxyV2(0x21, 0x11, ipv4Ends, tlv(2, ""), tlv(1, "")), ipv4],
    [
      "with both, and others before, between and behind",
      proxyV2(
        0x21,
        0x21,
        ipv6Ends,
        tlv(4, "xx"),
        tlv(2, "a.example"),
        tlv(0x20, of(300, 1)),
        tlv(1, "h2"),
        tlv(4, ""),
        tlv(0xee, "1"),
        tlv(0xee, "1"),
      ),
      { ...ipv6, authority: "a.example", alpn: "h2" },
    ],
    ["with values and no addresses", proxyV2(0x21, 0x00, tlv(2, "a.example")), { ...nothing, authority: "a.example" }],
    [
      "of a Unix socket with values",
      proxyV2(0x21, 0x31, of(216), tlv(1, "h2")),
      { ...nothing, family: "unix", alpn: "h2" },
    ],
    ["with a checksum", withChecksum(proxyV2(0x21, 0x11, ipv4Ends, emptyChecksum)), ipv4],
    [
      "with a checksum before other values",
      withChecksum(proxyV2(0x21, 0x11, ipv4Ends, emptyChecksum, tlv(2, "a.example")), 28),
      { ...ipv4, authority: "a.example" },
    ],
    ["of 4 KiB and its head", proxyV2(0x21, 0x11, ipv4Ends, tlv(4, of(4096 - 12 - 3, 7))), ipv4],
  ];
  test.each(rows)("%s", (_, bytes, header) => {
    expect(peekWhole(parser, bytes, behind)).toEqual(header);
    // Somewhere within other memory, too.
    expect(peekProxyHeader(joined(of(3, 9), bytes).subarray(3))).toEqual({
      kind: "done",
      value: header,
      bytes: bytes.length,
    });
  });
});

describe("what is no header is seen at its first wrong byte:", () => {
  const none = "no PROXY header";
  const command = "a PROXY header of an unknown version or command";
  const family = "a PROXY header of an unknown family";
  const tooLong = `a PROXY header of more than ${proxyHeaderV2BytesMax} bytes`;
  const tooShort = "a PROXY header too short for its addresses";
  const values = "malformed values in a PROXY header";
  const twice = "a value that comes twice in a PROXY header";
  const rows: [what: string, input: Uint8Array, bytes: number, why: string][] = [
    ...Array.from({ length: 12 }, (_, at): [string, Uint8Array, number, string] => [
      `byte ${at} of the signature`,
      Uint8Array.from(proxyV2(0x21, 0x11, ipv4Ends), (byte, index) => (index === at ? byte ^ 0x80 : byte)),
      at + 1,
      none,
    ]),
    ["version 1 in binary", proxyV2(0x11, 0x11, ipv4Ends), 13, command],
    ["version 3", proxyV2(0x31, 0x11, ipv4Ends), 13, command],
    ["command 2", proxyV2(0x22, 0x11, ipv4Ends), 13, command],
    ["UDP over IPv4", proxyV2(0x21, 0x12, ipv4Ends), 14, family],
    ["UDP over IPv6", proxyV2(0x21, 0x22, ipv6Ends), 14, family],
    ["a Unix datagram", proxyV2(0x21, 0x32, of(216)), 14, family],
    ["IPv4 without a protocol", proxyV2(0x21, 0x10, ipv4Ends), 14, family],
    ["a protocol without a family", proxyV2(0x21, 0x01, ipv4Ends), 14, family],
    ["family 4", proxyV2(0x21, 0x41, ipv4Ends), 14, family],
    ["11 bytes for IPv4", proxyV2(0x21, 0x11, ipv4Ends.subarray(1)), 16, tooShort],
    ["none for IPv4", proxyV2(0x21, 0x11), 16, tooShort],
    ["35 bytes for IPv6", proxyV2(0x21, 0x21, ipv6Ends.subarray(1)), 16, tooShort],
    ["215 bytes for a Unix socket", proxyV2(0x21, 0x31, of(215)), 16, tooShort],
    ["4 KiB and a byte", proxyV2(0x21, 0x11, of(4097)), 16, tooLong],
    ["4 KiB and 256 bytes", proxyV2(0x21, 0x11, of(4352)), 15, tooLong],
    ["64 KiB", proxyV2(0x20, 0x11, of(65_535)), 15, tooLong],
    ["one byte of a value", proxyV2(0x21, 0x11, ipv4Ends, Uint8Array.of(4)), 16, values],
    ["two bytes of a value", proxyV2(0x21, 0x11, ipv4Ends, Uint8Array.of(4, 0)), 16, values],
    ["one byte behind the values", proxyV2(0x21, 0x11, ipv4Ends, tlv(4, "xx"), Uint8Array.of(4)), 31, values],
    ["a value that goes beyond the end", proxyV2(0x21, 0x11, ipv4Ends, Uint8Array.of(4, 0, 3, 1, 2)), 31, values],
    ["a value that goes far beyond it", proxyV2(0x21, 0x11, ipv4Ends, Uint8Array.of(4, 1, 0, 1, 2)), 30, values],
    ["one behind others", proxyV2(0x21, 0x00, tlv(4, "xx"), Uint8Array.of(0xee, 0, 2, 1)), 24, values],
    ["an authority of 256 bytes", proxyV2(0x21, 0x11, ipv4Ends, tlv(2, "a".repeat(256))), 30, values],
    ["a protocol of 256 bytes", proxyV2(0x21, 0x11, ipv4Ends, tlv(1, "a".repeat(256))), 30, values],
    ["a checksum of 3 bytes", proxyV2(0x21, 0x11, ipv4Ends, tlv(3, Uint8Array.of(1, 2, 3))), 31, values],
    ["a checksum of 5 bytes", proxyV2(0x21, 0x11, ipv4Ends, tlv(3, Uint8Array.of(1, 2, 3, 4, 5))), 31, values],
    ["two authorities", proxyV2(0x21, 0x11, ipv4Ends, tlv(2, "a"), tlv(2, "b")), 33, twice],
    ["two protocols", proxyV2(0x21, 0x11, ipv4Ends, tlv(1, "a"), tlv(1, "a")), 33, twice],
    ["two checksums", withChecksum(proxyV2(0x21, 0x11, ipv4Ends, emptyChecksum, emptyChecksum)), 36, twice],
  ];
  test.each(rows)("%s", (_, input, bytes, why) => {
    expect(firstInvalid(parser, input)).toEqual({ bytes, why });
  });
});

describe("what a header says is looked at when it is whole:", () => {
  const authority = "an authority in a PROXY header that is no text";
  const rows: [what: string, input: Uint8Array, why: string][] = [
    ["an authority that is no UTF-8", proxyV2(0x21, 0x11, ipv4Ends, tlv(2, Uint8Array.of(0x61, 0xff))), authority],
    [
      "an authority that ends within a character",
      proxyV2(0x21, 0x11, ipv4Ends, tlv(2, Uint8Array.of(0x61, 0xc3))),
      authority,
    ],
    ["an authority with a line end", proxyV2(0x21, 0x11, ipv4Ends, tlv(2, "a\nb")), authority],
    ["an authority with a zero byte", proxyV2(0x21, 0x11, ipv4Ends, tlv(2, "a\0b")), authority],
    ["a checksum of zeros", proxyV2(0x21, 0x11, ipv4Ends, emptyChecksum), "a PROXY header whose checksum is wrong"],
  ];
  test.each(rows)("%s", (_, input, why) => {
    expect(firstInvalid(parser, input)).toEqual({ bytes: input.length, why });
  });

  test("a checksum tells any wrong byte that leaves the rest readable", () => {
    const right = withChecksum(proxyV2(0x21, 0x11, ipv4Ends, tlv(2, "a.example"), emptyChecksum));
    expect(peekProxyHeader(right)).toMatchObject({ kind: "done" });
    // Where its type stands it becomes another value, and then there is none.
    const typeAt = right.length - 7;
    for (let at = 16; at < right.length; at++) {
      for (const difference of at === typeAt ? [] : [1, 2, 0x80]) {
        const wrong = Uint8Array.from(right, (byte, index) => (index === at ? byte ^ difference : byte));
        expect({ at, answer: peekProxyHeader(wrong).kind }).toEqual({ at, answer: "invalid" });
      }
    }
  });
});

describe("a header is written", () => {
  const rows: [
    what: string,
    source: [string, number] | undefined,
    destination: [string, number] | undefined,
    tlvs: { authority?: string; alpn?: string },
    bytes: Uint8Array,
  ][] = [
    ["of IPv4", ["192.0.2.1", 56_324], ["198.51.100.1", 443], {}, proxyV2(0x21, 0x11, ipv4Ends)],
    ["of IPv4 within IPv6", ["::ffff:192.0.2.1", 56_324], ["::ffff:c633:6401", 443], {}, proxyV2(0x21, 0x11, ipv4Ends)],
    ["of both", ["2001:db8::1", 1], ["192.0.2.1", 65_535], {}, proxyV2(0x21, 0x21, ipv6Ends)],
    [
      "with a protocol and an authority",
      ["192.0.2.1", 56_324],
      ["198.51.100.1", 443],
      { authority: "bücher.example", alpn: "h2" },
      proxyV2(0x21, 0x11, ipv4Ends, tlv(1, "h2"), tlv(2, "bücher.example")),
    ],
    [
      "with a protocol that is no text",
      ["2001:db8::1", 1],
      ["192.0.2.1", 65_535],
      { alpn: "\xff\n" },
      proxyV2(0x21, 0x21, ipv6Ends, tlv(1, Uint8Array.of(0xff, 0x0a))),
    ],
    ["of LOCAL without a source", undefined, ["192.0.2.1", 1], { alpn: "h2" }, proxyV2(0x20, 0)],
    ["of LOCAL without a destination", ["192.0.2.1", 1], undefined, {}, proxyV2(0x20, 0)],
    ["of LOCAL with a name", ["192.0.2.1", 1], ["localhost", 1], {}, proxyV2(0x20, 0)],
    ["of LOCAL with a port that is none", ["192.0.2.1", 65_536], ["192.0.2.1", 1], {}, proxyV2(0x20, 0)],
  ];
  test.each(rows)("%s", (_, source, destination, tlvs, bytes) => {
    const end = (place: [string, number] | undefined) =>
      place === undefined ? undefined : { host: place[0], port: place[1] };
    const written = writeProxyHeaderV2(end(source), end(destination), tlvs);
    expect(written).toEqual(bytes);
    expect(peekProxyHeader(written)).toMatchObject({ kind: "done", bytes: written.length });
  });

  test("never with a value that nobody would take", () => {
    const place = { host: "192.0.2.1", port: 1 };
    expect(() => writeProxyHeaderV2(place, place, { authority: "ü".repeat(128) })).toThrow(
      "a value of 256 bytes for a PROXY header",
    );
    expect(writeProxyHeaderV2(place, place, { authority: "a".repeat(255), alpn: "b".repeat(255) }).length).toBe(
      28 + 2 * 258,
    );
  });
});

/** So many bytes, all the same. */
function of(length: number, byte = 0): Uint8Array {
  return new Uint8Array(length).fill(byte);
}
