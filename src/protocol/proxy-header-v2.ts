/**
 * The PROXY header in its second version, binary (HAProxy's specification, section 2.2): a signature, command, family and
 * length, then the addresses, then values with a type and a length each (TLVs).
 */
import { ipText, ipv4Text } from "../core/ip.ts";
import { agrees, octets } from "./octets.ts";
import { more, type Peek } from "./peek.ts";
import { endsOf } from "./proxy-ends.ts";
import type { HostPort, ProxyFamily, ProxyHeader } from "./proxy-header.ts";
import { noTlvs, peekTlvs, type Tlvs, tlvBytes, writeTlvs } from "./proxy-tlv.ts";

/** What comes before the addresses: signature, command, family, length. */
const headBytes = 16;

/**
 * The longest header in bytes; a longer one is invalid. The specification sets no bound; what is sent stays below 536
 * bytes, some more with a client's certificate in it.
 */
export const proxyHeaderV2BytesMax = headBytes + 4096;

/**
 * Looks for a header at the beginning of `bytes`.
 *
 * - LOCAL: all that follows the length is skipped, whatever it is, as the specification wants it.
 * - UNSPEC has no addresses, and is taken. Datagram sockets are invalid: nobody forwards them over TCP.
 * - TLVs fill the rest to the last byte. ALPN and AUTHORITY are read, a CRC32c is checked, the rest is skipped.
 */
export function peekProxyHeaderV2(bytes: Uint8Array): Peek<ProxyHeader> {
  const there = bytes.length;
  if (!agrees(bytes, 0, signature)) return noHeader;
  if (there <= 12) return more;
  const command = bytes[12]!;
  if (command !== proxyCommand && command !== localCommand) return badCommand;
  if (there === 13) return more;
  const isLocal = command === localCommand;
  const family = isLocal ? "unknown" : families.get(bytes[13]!);
  if (family === undefined) return badFamily;
  if (there === 14) return more;
  if (headBytes + bytes[14]! * 256 > proxyHeaderV2BytesMax) return tooLong;
  if (there === 15) return more;
  const end = headBytes + bytes[14]! * 256 + bytes[15]!;
  const tlvsStart = headBytes + addressBytes[family];
  if (end > proxyHeaderV2BytesMax) return tooLong;
  if (!isLocal && end < tlvsStart) return tooShort;
  const tlvs = isLocal ? noTlvs : peekTlvs(bytes, tlvsStart, end);
  if (tlvs.kind === "invalid") return tlvs;
  if (tlvs.kind === "more" || there < end) return more;
  return { kind: "done", value: header(isLocal, family, bytes, tlvs.value), bytes: end };
}

/**
 * Writes the header of a connection from `source` to `destination`. IPv4 and IPv6 together are both written as IPv6.
 * LOCAL, without anything else, when one of them is `undefined`, or is no IP address and port. A TLV that is `undefined` is
 * left out; each takes up to 255 bytes, `alpn` a character for each byte.
 */
export function writeProxyHeaderV2(
  source: HostPort | undefined,
  destination: HostPort | undefined,
  tlvs: { readonly authority?: string | undefined; readonly alpn?: string | undefined },
): Uint8Array {
  const ends = endsOf(source, destination);
  if (ends === undefined) return headOf(localCommand, 0, 0);
  const family = ends.source.length === 4 ? "tcp4" : "tcp6";
  const ipBytes = ends.source.length;
  const bytes = headOf(proxyCommand, family === "tcp4" ? 0x11 : 0x21, addressBytes[family] + tlvBytes(tlvs));
  bytes.set(ends.source, headBytes);
  bytes.set(ends.destination, headBytes + ipBytes);
  writeUint16(bytes, headBytes + 2 * ipBytes, ends.sourcePort);
  writeUint16(bytes, headBytes + 2 * ipBytes + 2, ends.destinationPort);
  writeTlvs(bytes, headBytes + addressBytes[family], tlvs);
  return bytes;
}

const signature = octets("\r\n\r\n\0\r\nQUIT\n");
const proxyCommand = 0x21;
const localCommand = 0x20;

/** By the byte that has the family of addresses in its upper half and the kind of socket in its lower. */
const families: ReadonlyMap<number, ProxyFamily> = new Map([
  [0x00, "unknown"],
  [0x11, "tcp4"],
  [0x21, "tcp6"],
  [0x31, "unix"],
]);

/** Two addresses, and two ports where there are ports. */
const addressBytes: Readonly<Record<ProxyFamily, number>> = { unknown: 0, tcp4: 12, tcp6: 36, unix: 216 };

const noHeader = invalid("no PROXY header");
const badCommand = invalid("a PROXY header of an unknown version or command");
const badFamily = invalid("a PROXY header of an unknown family");
const tooLong = invalid(`a PROXY header of more than ${proxyHeaderV2BytesMax} bytes`);
const tooShort = invalid("a PROXY header too short for its addresses");

function invalid(why: string): Peek<never> {
  return { kind: "invalid", why };
}

function header(isLocal: boolean, family: ProxyFamily, bytes: Uint8Array, { authority, alpn }: Tlvs): ProxyHeader {
  const ipBytes = family === "tcp4" ? 4 : 16;
  const hasEnds = family === "tcp4" || family === "tcp6";
  const portsAt = headBytes + 2 * ipBytes;
  return {
    version: 2,
    command: isLocal ? "local" : "proxy",
    family,
    source: hasEnds ? hostPort(bytes, headBytes, ipBytes, portsAt) : undefined,
    destination: hasEnds ? hostPort(bytes, headBytes + ipBytes, ipBytes, portsAt + 2) : undefined,
    authority,
    alpn,
  };
}

function hostPort(bytes: Uint8Array, ipAt: number, ipBytes: number, portAt: number): HostPort {
  const host = ipBytes === 4 ? ipv4Text(bytes, ipAt) : ipText(bytes, ipAt);
  return { host, port: bytes[portAt]! * 256 + bytes[portAt + 1]! };
}

/** A header of its full length, in which the addresses and TLVs are still to be written. */
function headOf(command: number, family: number, restBytes: number): Uint8Array {
  const bytes = new Uint8Array(headBytes + restBytes);
  bytes.set(signature);
  bytes[12] = command;
  bytes[13] = family;
  writeUint16(bytes, 14, restBytes);
  return bytes;
}

/** A number of two bytes, the higher first. */
function writeUint16(bytes: Uint8Array, at: number, port: number): void {
  bytes[at] = port >> 8;
  bytes[at + 1] = port & 0xff;
}
