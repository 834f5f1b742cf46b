/**
 * IP addresses as bytes: sixteen in network order for both families, IPv4 as ::ffff:a.b.c.d (RFC 4291, section 2.5.5.2).
 * So one address has one form, however it was written, and reading one allocates nothing.
 */

/** Bytes of an address, of either family. */
export const ipBytes = 16;

const dot = 0x2e;
const colon = 0x3a;

/**
 * Reads an IPv4 or IPv6 address, without brackets, to the first 16 bytes of `into`. Says the family, 4 also for an address
 * of IPv4 inside IPv6; 0, with anything in `into`, for what is no address. A zone ("%eth0") is left out.
 */
export function readIp(text: string, into: Uint8Array): 0 | 4 | 6 {
  const isIpv4 = text.indexOf(":") === -1;
  if (isIpv4) {
    into.fill(0, 0, 10);
    into[10] = into[11] = 0xff;
    return readIpv4(text, 0, text.length, into, 12) ? 4 : 0;
  }
  const percent = text.indexOf("%");
  if (percent === text.length - 1) return 0;
  if (!readIpv6(text, percent === -1 ? text.length : percent, into)) return 0;
  return isMapped(into, 0) ? 4 : 6;
}

/** Writes the 16 bytes that begin at `at`: dotted for IPv4, else as RFC 5952 has it, the longest run of zeros as "::". */
export function ipText(bytes: Uint8Array, at: number): string {
  if (isMapped(bytes, at)) return ipv4Text(bytes, at + 12);
  let gap = -1;
  let gapGroups = 1;
  for (let group = 0; group < 8; group++) {
    let zeros = 0;
    while (group + zeros < 8 && groupAt(bytes, at, group + zeros) === 0) zeros++;
    if (zeros > gapGroups) {
      gap = group;
      gapGroups = zeros;
    }
    group += zeros;
  }
  let text = "";
  for (let group = 0; group < 8; group++) {
    if (group === gap) {
      text += "::";
      group += gapGroups - 1;
    } else {
      if (group > 0 && group !== gap + gapGroups) text += ":";
      text += groupAt(bytes, at, group).toString(16);
    }
  }
  return text;
}

/** Writes the four bytes of an IPv4 address that begin at `at`. */
export function ipv4Text(bytes: Uint8Array, at: number): string {
  return `${bytes[at]!}.${bytes[at + 1]!}.${bytes[at + 2]!}.${bytes[at + 3]!}`;
}

/** Whether the 16 bytes that begin at `at` are an IPv4 address. */
function isMapped(bytes: Uint8Array, at: number): boolean {
  for (let index = at; index < at + 10; index++) if (bytes[index] !== 0) return false;
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
}

function groupAt(bytes: Uint8Array, at: number, group: number): number {
  return (bytes[at + 2 * group]! << 8) | bytes[at + 2 * group + 1]!;
}

/** Four numbers from 0 to 255 without leading zeros, from `start` up to `end`. */
function readIpv4(text: string, start: number, end: number, into: Uint8Array, at: number): boolean {
  let position = start;
  for (let index = 0; index < 4; index++) {
    if (index > 0 && (position >= end || text.charCodeAt(position++) !== dot)) return false;
    const first = position;
    let value = 0;
    for (; position < end; position++) {
      const digit = text.charCodeAt(position) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      if (value > 255 || (position > first && text.charCodeAt(first) === 0x30)) return false;
    }
    if (position === first) return false;
    into[at + index] = value;
  }
  return position === end;
}

/** Groups of up to four hexadecimal digits up to `end`, one "::" at most, the last two perhaps as IPv4 (RFC 4291, section 2.2). */
function readIpv6(text: string, end: number, into: Uint8Array): boolean {
  let position = 0;
  let at = 0;
  /** Where "::" stands; -1 = nowhere. */
  let gap = -1;
  if (text.charCodeAt(0) === colon) {
    if (text.charCodeAt(1) !== colon) return false;
    gap = 0;
    position = 2;
  }
  while (position < end) {
    if (at === ipBytes) return false;
    const first = position;
    let value = 0;
    for (; position < end; position++) {
      const digit = hexDigit(text.charCodeAt(position));
      if (digit < 0) break;
      if (position - first === 4) return false;
      value = value * 16 + digit;
    }
    if (position < end && text.charCodeAt(position) === dot) {
      if (at > ipBytes - 4 || !readIpv4(text, first, end, into, at)) return false;
      at += 4;
      break;
    }
    if (position === first) return false;
    into[at++] = value >> 8;
    into[at++] = value & 0xff;
    if (position === end) break;
    if (text.charCodeAt(position++) !== colon || position === end) return false;
    if (text.charCodeAt(position) !== colon) continue;
    if (gap !== -1) return false;
    gap = at;
    position++;
  }
  if (gap === -1) return at === ipBytes;
  // It stands for one group at least.
  if (at === ipBytes) return false;
  into.copyWithin(ipBytes - (at - gap), gap, at);
  into.fill(0, gap, ipBytes - (at - gap));
  return true;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
