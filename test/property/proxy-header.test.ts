import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { V1BinaryProxyProtocol, V2ProxyProtocol } from "proxy-protocol-js";
import { canonicalHost } from "../../src/core/address.ts";
import { octets } from "../../src/protocol/octets.ts";
import { type HostPort, peekProxyHeader, proxyHeaderBytesMax } from "../../src/protocol/proxy-header.ts";
import { proxyHeaderV1BytesMax, writeProxyHeaderV1 } from "../../src/protocol/proxy-header-v1.ts";
import { proxyHeaderV2BytesMax, writeProxyHeaderV2 } from "../../src/protocol/proxy-header-v2.ts";
import { changed } from "../support/changed-bytes.ts";
import { peekLawfully, peekWhole } from "../support/peek-laws.ts";
import { joined } from "../support/joined.ts";
import { emptyChecksum, withChecksum } from "../support/proxy-checksum.ts";
import { ends4, proxyV2, tlv } from "../support/proxy-headers.ts";

const parser = { peek: peekProxyHeader, bytesMax: proxyHeaderBytesMax };

const port = fc.integer({ min: 0, max: 65_535 });
const ipv4 = fc.record({ host: fc.ipV4(), port });
const ipv6 = fc.record({ host: fc.ipV6().map(canonicalHost), port });
const end = fc.oneof(ipv4, ipv6);
const behind = fc.uint8Array({ maxLength: 30 });
const authority = fc.option(
  fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 30 })
    .filter((text) => !/\p{Cc}/u.test(text) && text.isWellFormed()),
  { nil: undefined },
);
const alpn = fc.option(
  fc.string({ unit: fc.nat(255).map((code) => String.fromCharCode(code)), minLength: 1, maxLength: 255 }),
  {
    nil: undefined,
  },
);

describe("what is written is read", () => {
  test("of version 1", () => {
    fc.assert(
      fc.property(end, end, behind, (source, destination, payload) => {
        const value = peekWhole(parser, writeProxyHeaderV1(source, destination), payload);
        const family = isIpv4(source) && isIpv4(destination) ? "tcp4" : "tcp6";
        expect(value).toEqual({
          version: 1,
          command: "proxy",
          family,
          source,
          destination,
          authority: undefined,
          alpn: undefined,
        });
      }),
      { numRuns: 500 },
    );
  });

  test("of version 2, with all its values", () => {
    fc.assert(
      fc.property(end, end, authority, alpn, behind, (source, destination, name, protocol, payload) => {
        const value = peekWhole(
          parser,
          writeProxyHeaderV2(source, destination, { authority: name, alpn: protocol }),
          payload,
        );
        const family = isIpv4(source) && isIpv4(destination) ? "tcp4" : "tcp6";
        expect(value).toEqual({
          version: 2,
          command: "proxy",
          family,
          source,
          destination,
          authority: name,
          alpn: protocol,
        });
      }),
      { numRuns: 500 },
    );
  });
});

describe("proxy-protocol-js", () => {
  test("reads what is written of version 1, and the other way round", () => {
    fc.assert(
      fc.property(end, end, behind, (source, destination, payload) => {
        const written = writeProxyHeaderV1(source, destination);
        const theirs = V1BinaryProxyProtocol.parse(joined(written, payload));
        expect([theirs.source.port, theirs.destination.port]).toEqual([source.port, destination.port]);
        expect([theirs.source.ipAddress, theirs.destination.ipAddress].map(canonicalHost)).toEqual([
          source.host,
          destination.host,
        ]);
        expect<string>(theirs.inetProtocol).toBe(isIpv4(source) && isIpv4(destination) ? "TCP4" : "TCP6");
        expect(theirs.data).toEqual(payload);
        expect(peekProxyHeader(theirs.build())).toMatchObject({
          kind: "done",
          value: { source, destination },
          bytes: written.length,
        });
      }),
      { numRuns: 500 },
    );
  });

  test("reads what is written of version 2, and the other way round", () => {
    fc.assert(
      fc.property(fc.oneof(fc.tuple(ipv4, ipv4), fc.tuple(ipv6, ipv6)), behind, ([source, destination], payload) => {
        const written = writeProxyHeaderV2(source, destination, {});
        const theirs = V2ProxyProtocol.parse(joined(written, payload));
        const ends = theirs.proxyAddress as unknown as TheirEnds;
        expect([ends.sourcePort, ends.destinationPort]).toEqual([source.port, destination.port]);
        expect([ends.sourceAddress.address, ends.destinationAddress.address].map(theirHost)).toEqual([
          source.host,
          destination.host,
        ]);
        expect(theirs.data).toEqual(payload);
        const built = theirs.build().subarray(0, written.length);
        expect(peekProxyHeader(built)).toMatchObject({
          kind: "done",
          value: { source, destination },
          bytes: written.length,
        });
        expect(built).toEqual(written);
      }),
      { numRuns: 500 },
    );
  });
});

test("values of any kind are walked, and a checksum is right where it stands", () => {
  const other = fc
    .tuple(fc.integer({ min: 4, max: 255 }), fc.uint8Array({ maxLength: 300 }))
    .map(([type, value]) => tlv(type, value));
  fc.assert(
    fc.property(
      fc.array(other, { maxLength: 5 }),
      fc.array(other, { maxLength: 3 }),
      authority,
      behind,
      (before, after, name, payload) => {
        const known = name === undefined ? [] : [tlv(2, name)];
        const checksumAt = 16 + [ends4, ...before, ...known].reduce((sum, part) => sum + part.length, 0);
        const header = withChecksum(
          proxyV2(0x21, 0x11, ends4, ...before, ...known, emptyChecksum, ...after),
          checksumAt,
        );
        expect(peekWhole(parser, header, payload)).toMatchObject({ family: "tcp4", authority: name });
        header[checksumAt + 3]! ^= 1;
        expect(peekProxyHeader(header)).toEqual({ kind: "invalid", why: "a PROXY header whose checksum is wrong" });
      },
    ),
    { numRuns: 300 },
  );
});

test("of changed headers, all beginnings say the same as the whole, and those of full length are always decided", () => {
  const right = fc.oneof(
    fc.tuple(end, end).map(([source, destination]) => writeProxyHeaderV1(source, destination)),
    fc.string({ maxLength: 95 }).map((text) => octets(`PROXY UNKNOWN ${text}\r\n`)),
    fc
      .tuple(end, end, authority, alpn)
      .map(([source, destination, name, protocol]) =>
        writeProxyHeaderV2(source, destination, { authority: name, alpn: protocol }),
      ),
    fc
      .tuple(fc.constantFrom(0, 0x11, 0x21, 0x31), fc.uint8Array({ maxLength: 300 }))
      .map(([family, rest]) => proxyV2(0x21, family, rest)),
  );
  fc.assert(
    fc.property(changed(right), fc.nat(), fc.nat(255), (bytes, cut, filling) => {
      peekLawfully(parser, bytes, cut % (bytes.length + 1));
      const bytesMax = bytes[0] === 0x50 ? proxyHeaderV1BytesMax : proxyHeaderV2BytesMax;
      const long = new Uint8Array(bytesMax).fill(filling);
      long.set(bytes.subarray(0, bytesMax));
      expect(peekLawfully(parser, long, cut % (bytesMax + 1)).kind).not.toBe("more");
    }),
    { numRuns: 3000 },
  );
});

interface TheirEnds {
  readonly sourceAddress: { readonly address: readonly number[] };
  readonly destinationAddress: { readonly address: readonly number[] };
  readonly sourcePort: number;
  readonly destinationPort: number;
}

function theirHost(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join(".");
  return canonicalHost(Buffer.from(bytes).toString("hex").match(/..../g)!.join(":"));
}

function isIpv4({ host }: HostPort): boolean {
  return host.includes(".");
}
