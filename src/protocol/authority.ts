/** Host and port as HTTP has them, in the Host field and in targets (RFC 3986 section 3.2, RFC 9110 sections 4.2 and 7.2). */
import { isIP } from "node:net";
import { canonicalHost } from "../core/address.ts";
import { octets, octetText } from "./octets.ts";

/** The longest host in bytes; a longer one is none. That of DNS, with some to spare. */
const hostBytesMax = 255;

/** What it says. */
export interface Authority {
  /** In lower case, without a final dot, an IPv6 address without its brackets and in its canonical form; "" for none. */
  readonly host: string;
  /** 0 to 65,535; `undefined` when there is none: "host" and "host:". */
  readonly port: number | undefined;
}

/**
 * Reads what stands from `start` to `end`, all of it; `undefined` when it is no host. A name may have what RFC 3986 calls
 * unreserved, and percent-encoding, which is kept; not its sub-delims, for no host has them and HAProxy takes "a,b" for two.
 * A user before the host is refused, as RFC 9110 section 4.2.4 advises.
 */
export function readAuthority(bytes: Uint8Array, start: number, end: number): Authority | undefined {
  if (bytes[start] === openingBracket) return readIpv6(bytes, start, end);
  let hostEnd = start;
  while (hostEnd < end && isNameByte(bytes[hostEnd]!)) hostEnd++;
  const port = readPort(bytes, hostEnd, end);
  if (port === "wrong" || hostEnd - start > hostBytesMax) return undefined;
  const nameEnd = hostEnd - start > 1 && bytes[hostEnd - 1] === dot ? hostEnd - 1 : hostEnd;
  return { host: octetText(bytes, start, nameEnd).toLowerCase(), port };
}

const openingBracket = 0x5b;
const closingBracket = 0x5d;
const colon = 0x3a;
const dot = 0x2e;

function readIpv6(bytes: Uint8Array, start: number, end: number): Authority | undefined {
  const bracket = bytes.subarray(start, Math.min(end, start + hostBytesMax)).indexOf(closingBracket);
  if (bracket === -1) return undefined;
  const address = octetText(bytes, start + 1, start + bracket);
  // isIP takes "fe80::1%eth0" too; a zone means something on one machine only.
  if (isIP(address) !== 6 || address.includes("%")) return undefined;
  const port = readPort(bytes, start + bracket + 1, end);
  return port === "wrong" ? undefined : { host: canonicalHost(address), port };
}

/** Nothing, or a colon and digits, or a colon alone. */
function readPort(bytes: Uint8Array, start: number, end: number): number | undefined | "wrong" {
  if (start === end) return undefined;
  if (bytes[start] !== colon) return "wrong";
  let port = 0;
  for (let at = start + 1; at < end; at++) {
    const digit = bytes[at]! - 0x30;
    if (digit < 0 || digit > 9) return "wrong";
    port = port * 10 + digit;
    if (port > 65_535) return "wrong";
  }
  return end === start + 1 ? undefined : port;
}

const nameBytes = new Uint8Array(256);
for (const byte of octets("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%")) nameBytes[byte] = 1;

function isNameByte(byte: number): boolean {
  return nameBytes[byte] === 1;
}
