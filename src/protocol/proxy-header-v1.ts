/**
 * The PROXY header in its first version, a line of text (HAProxy's specification, section 2.1):
 *
 *     PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n
 */
import { canonicalHost } from "../core/address.ts";
import { ipText, ipv4Text } from "../core/ip.ts";
import { ipv4End, ipv6End, noAddress } from "./ip-text.ts";
import { agrees, octets, octetText } from "./octets.ts";
import { more, type Peek } from "./peek.ts";
import { endsOf, portMax } from "./proxy-ends.ts";
import type { HostPort, ProxyHeader } from "./proxy-header.ts";

/** The longest line in bytes, CRLF included (section 2.1); a longer one is invalid. */
export const proxyHeaderV1BytesMax = 107;

/**
 * Looks for a header at the beginning of `bytes`; as strict as the specification: single spaces, no leading zeros, CRLF.
 * Behind UNKNOWN all is skipped up to CRLF. IPv6 addresses may end in an IPv4 one, as inet_ntop writes them.
 */
export function peekProxyHeaderV1(bytes: Uint8Array): Peek<ProxyHeader> {
  const limit = Math.min(bytes.length, proxyHeaderV1BytesMax);
  const ranOut = limit < proxyHeaderV1BytesMax ? more : tooLong;
  if (!agrees(bytes, 0, head)) return noHeader;
  if (limit <= head.length) return ranOut;
  if (bytes[head.length] === unknown[0]) return peekUnknown(bytes, limit, ranOut);
  if (!agrees(bytes, head.length, tcp)) return badFamily;
  const version = head.length + tcp.length;
  if (limit <= version) return ranOut;
  const isIpv4 = bytes[version] === 0x34;
  if (!isIpv4 && bytes[version] !== 0x36) return badFamily;
  if (limit === version + 1) return ranOut;
  if (bytes[version + 1] !== space) return badFamily;
  const addressEnd = isIpv4 ? ipv4End : ipv6End;

  const sourceStart = version + 2;
  const sourceEnd = addressEnd(bytes, sourceStart, limit);
  if (sourceEnd === limit) return ranOut;
  if (sourceEnd === noAddress || bytes[sourceEnd] !== space) return badAddress;
  const destinationEnd = addressEnd(bytes, sourceEnd + 1, limit);
  if (destinationEnd === limit) return ranOut;
  if (destinationEnd === noAddress || bytes[destinationEnd] !== space) return badAddress;
  const sourcePortEnd = portEnd(bytes, destinationEnd + 1, limit);
  if (sourcePortEnd === limit) return ranOut;
  if (sourcePortEnd === noPort || bytes[sourcePortEnd] !== space) return badPort;
  const destinationPortEnd = portEnd(bytes, sourcePortEnd + 1, limit);
  if (destinationPortEnd === limit) return ranOut;
  if (destinationPortEnd === noPort || bytes[destinationPortEnd] !== cr) return badPort;
  if (destinationPortEnd + 1 === limit) return ranOut;
  if (bytes[destinationPortEnd + 1] !== lf) return badPort;

  const value: ProxyHeader = {
    version: 1,
    command: "proxy",
    family: isIpv4 ? "tcp4" : "tcp6",
    source: {
      host: canonicalHost(octetText(bytes, sourceStart, sourceEnd)),
      port: Number(octetText(bytes, destinationEnd + 1, sourcePortEnd)),
    },
    destination: {
      host: canonicalHost(octetText(bytes, sourceEnd + 1, destinationEnd)),
      port: Number(octetText(bytes, sourcePortEnd + 1, destinationPortEnd)),
    },
    authority: undefined,
    alpn: undefined,
  };
  return { kind: "done", value, bytes: destinationPortEnd + 2 };
}

/**
 * Writes the header of a connection from `source` to `destination`. IPv4 and IPv6 together are both written as IPv6, the
 * address of IPv4 in hexadecimal, as the specification knows no other form. UNKNOWN when one of them is `undefined`, or
 * is no IP address and port.
 */
export function writeProxyHeaderV1(source: HostPort | undefined, destination: HostPort | undefined): Uint8Array {
  const ends = endsOf(source, destination);
  if (ends === undefined) return octets("PROXY UNKNOWN\r\n");
  const isIpv4 = ends.source.length === 4;
  const textOf = isIpv4 ? ipv4Text : ipv6Text;
  const addresses = `${textOf(ends.source, 0)} ${textOf(ends.destination, 0)}`;
  return octets(`PROXY ${isIpv4 ? "TCP4" : "TCP6"} ${addresses} ${ends.sourcePort} ${ends.destinationPort}\r\n`);
}

const head = octets("PROXY ");
const tcp = octets("TCP");
const unknown = octets("UNKNOWN");
const crlf = octets("\r\n");
const space = 0x20;
const cr = 0x0d;
const lf = 0x0a;
const noPort = -1;

const tooLong = invalid(`a PROXY header of more than ${proxyHeaderV1BytesMax} bytes`);
const noHeader = invalid("no PROXY header");
const badFamily = invalid("a PROXY header of an unknown family");
const badAddress = invalid("a wrong address in a PROXY header");
const badPort = invalid("a wrong port in a PROXY header");

function invalid(why: string): Peek<never> {
  return { kind: "invalid", why };
}

/** UNKNOWN, from where it stands to the first CRLF. */
function peekUnknown(bytes: Uint8Array, limit: number, ranOut: Peek<never>): Peek<ProxyHeader> {
  if (!agrees(bytes, head.length, unknown)) return badFamily;
  let at = head.length + unknown.length;
  if (at >= limit) return ranOut;
  if (bytes[at] !== space && bytes[at] !== cr) return badFamily;
  if (bytes[at] === cr && !agrees(bytes, at, crlf)) return badFamily;
  while (at + 1 < limit && (bytes[at] !== cr || bytes[at + 1] !== lf)) at++;
  if (at + 1 >= limit) return ranOut;
  const value: ProxyHeader = {
    version: 1,
    command: "proxy",
    family: "unknown",
    source: undefined,
    destination: undefined,
    authority: undefined,
    alpn: undefined,
  };
  return { kind: "done", value, bytes: at + crlf.length };
}

/** Where the port at `at` ends: 0 to 65,535 without leading zeros. `limit` when it may go on there, {@link noPort} when it is none. */
function portEnd(bytes: Uint8Array, at: number, limit: number): number {
  const start = at;
  let port = 0;
  while (at < limit && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) {
    if (port === 0 && at > start) return noPort;
    port = port * 10 + bytes[at++]! - 0x30;
    if (port > portMax) return noPort;
  }
  return at === start && at < limit ? noPort : at;
}

/** Never with an IPv4 part: an IPv4-mapped address is written with all its groups. */
function ipv6Text(bytes: Uint8Array, at: number): string {
  const text = ipText(bytes, at);
  if (text.includes(":")) return text;
  const group = (first: number): string => ((bytes[first]! << 8) | bytes[first + 1]!).toString(16);
  return `0:0:0:0:0:ffff:${group(at + 12)}:${group(at + 14)}`;
}
