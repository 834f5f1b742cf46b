/** The typed values at the end of a PROXY header of version 2 (HAProxy's specification, section 2.2): what they say, read and written. */
import { assert } from "../core/assert.ts";
import { crc32c } from "./crc32c.ts";
import { octets, octetText } from "./octets.ts";
import { more, type Peek } from "./peek.ts";

/** The values that mean something to us; see `ProxyHeader`. An empty one is as if it were not there. */
export interface Tlvs {
  readonly authority?: string | undefined;
  readonly alpn?: string | undefined;
}

/** Of a header without any. */
export const noTlvs: Peek<Tlvs> = { kind: "done", value: {}, bytes: 0 };

/**
 * Walks the values from `start` to `end` of a header that begins at 0, as far as they are there. Their heads are looked at
 * as they come, what they say when the header is whole. One of ours that comes twice is invalid; others are skipped.
 */
export function peekTlvs(bytes: Uint8Array, start: number, end: number): Peek<Tlvs> {
  const there = bytes.length;
  let alpnAt = 0;
  let authorityAt = 0;
  let checksumAt = 0;
  for (let at = start; at < end;) {
    const valueAt = at + headBytes;
    if (valueAt > end) return malformed;
    if (there <= at) return more;
    switch (bytes[at]) {
      case alpnType:
        if (alpnAt > 0) return twice;
        alpnAt = valueAt;
        break;
      case authorityType:
        if (authorityAt > 0) return twice;
        authorityAt = valueAt;
        break;
      case checksumType:
        if (checksumAt > 0) return twice;
        checksumAt = valueAt;
        break;
    }
    const isRead = alpnAt === valueAt || authorityAt === valueAt || checksumAt === valueAt;
    if (there <= at + 1) return more;
    const upper = bytes[at + 1]! * 256;
    if (valueAt + upper > end || (isRead && upper > 0)) return malformed;
    if (there <= at + 2) return more;
    at = valueAt + upper + bytes[at + 2]!;
    if (at > end || (checksumAt === valueAt && at !== valueAt + checksumBytes)) return malformed;
  }
  if (there < end) return more;
  if (checksumAt > 0 && !isChecked(bytes, checksumAt, end)) return wrongChecksum;
  const authority = authorityAt === 0 ? "" : readUtf8(bytes, authorityAt);
  if (authority === undefined) return badAuthority;
  const alpn = alpnAt === 0 ? "" : octetText(bytes, alpnAt, alpnAt + bytes[alpnAt - 1]!);
  return { kind: "done", value: { authority: authority || undefined, alpn: alpn || undefined }, bytes: end };
}

/** How many bytes {@link writeTlvs} writes. */
export function tlvBytes(tlvs: Tlvs): number {
  return valuesOf(tlvs).reduce((sum, [, value]) => sum + headBytes + value.length, 0);
}

/** Writes the values one behind the other, from `at` on. */
export function writeTlvs(bytes: Uint8Array, at: number, tlvs: Tlvs): void {
  for (const [type, value] of valuesOf(tlvs)) {
    assert(value.length <= valueBytesMax, `a value of ${value.length} bytes for a PROXY header`);
    bytes[at] = type;
    bytes[at + 2] = value.length;
    bytes.set(value, at + headBytes);
    at += headBytes + value.length;
  }
}

/** Type and length. */
const headBytes = 3;
const alpnType = 0x01;
const authorityType = 0x02;
const checksumType = 0x03;
const checksumBytes = 4;
/** The longest name of a protocol (RFC 7301 section 3.1), and the longest host name that HAProxy takes; longer ones are invalid. */
const valueBytesMax = 255;

const malformed = invalid("malformed values in a PROXY header");
const twice = invalid("a value that comes twice in a PROXY header");
const wrongChecksum = invalid("a PROXY header whose checksum is wrong");
const badAuthority = invalid("an authority in a PROXY header that is no text");

function invalid(why: string): Peek<never> {
  return { kind: "invalid", why };
}

/** The checksum is that of the whole header, with zeros in its own place (section 2.2.3). */
function isChecked(bytes: Uint8Array, checksumAt: number, end: number): boolean {
  const behind = checksumAt + checksumBytes;
  const found = new DataView(bytes.buffer, bytes.byteOffset + checksumAt, checksumBytes).getUint32(0);
  return found === crc32c(bytes, behind, end, crc32c(zeros, 0, checksumBytes, crc32c(bytes, 0, checksumAt)));
}

const zeros = new Uint8Array(checksumBytes);

/** The value at `at`, whose length is in the byte before; `undefined` when it is no UTF-8, or has control characters in it. */
function readUtf8(bytes: Uint8Array, at: number): string | undefined {
  const value = bytes.subarray(at, at + bytes[at - 1]!);
  if (value.some((byte) => byte < 0x20 || byte === 0x7f)) return undefined;
  try {
    return decoder.decode(value);
  } catch {
    return undefined;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

function valuesOf({ authority, alpn }: Tlvs): (readonly [type: number, value: Uint8Array])[] {
  const values: (readonly [number, Uint8Array])[] = [];
  if (alpn !== undefined) values.push([alpnType, octets(alpn)]);
  if (authority !== undefined) values.push([authorityType, encoder.encode(authority)]);
  return values;
}
