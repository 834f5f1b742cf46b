/** Where an IP address ends in a text that is still arriving. What it says is read by `core/ip.ts`. */

/** There is no address, nor the beginning of one. */
export const noAddress = -1;

/**
 * Where the IPv4 address at `at` ends: four numbers from 0 to 255 without leading zeros. `limit` when it may go on there:
 * what ends it has not been seen. {@link noAddress} as soon as no further byte can make it one.
 */
export function ipv4End(bytes: Uint8Array, at: number, limit: number): number {
  for (let part = 0; part < 4; part++) {
    if (part > 0) {
      if (at === limit) return limit;
      if (bytes[at++] !== dot) return noAddress;
    }
    const start = at;
    let value = 0;
    while (at < limit && isDigit(bytes[at]!)) {
      if (value === 0 && at > start) return noAddress;
      value = value * 10 + bytes[at++]! - 0x30;
      if (value > 255) return noAddress;
    }
    if (at === limit) return limit;
    if (at === start) return noAddress;
  }
  return at;
}

/**
 * The same for IPv6 (RFC 4291 section 2.2): eight groups of one to four hexadecimal digits, "::" once for one group of
 * zeros or more, the last two groups perhaps as an IPv4 address, no zone.
 */
export function ipv6End(bytes: Uint8Array, at: number, limit: number): number {
  let groups = 0;
  let hasDouble = false;
  /** Nothing has to follow here. */
  let isComplete = false;
  if (at < limit && bytes[at] === colon) {
    if (++at === limit) return limit;
    if (bytes[at++] !== colon) return noAddress;
    hasDouble = true;
    isComplete = true;
  }
  for (;;) {
    const groupsMax = hasDouble ? 7 : 8;
    const start = at;
    while (at < limit && isHexDigit(bytes[at]!)) if (++at - start > 4) return noAddress;
    if (at > start && groups === groupsMax) return noAddress;
    if (at === limit) return limit;
    if (at === start) return isComplete ? at : noAddress;
    if (bytes[at] === dot) {
      const hasPlace = hasDouble ? groups <= 5 : groups === 6;
      return hasPlace ? ipv4End(bytes, start, limit) : noAddress;
    }
    groups++;
    if (bytes[at] !== colon) return hasDouble || groups === 8 ? at : noAddress;
    if (groups === groupsMax) return noAddress;
    isComplete = false;
    if (++at === limit) return limit;
    if (bytes[at] === colon) {
      if (hasDouble) return noAddress;
      at++;
      hasDouble = true;
      isComplete = true;
    }
  }
}

const colon = 0x3a;
const dot = 0x2e;

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isHexDigit(byte: number): boolean {
  return isDigit(byte) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
}
