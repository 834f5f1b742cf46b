/** PROXY headers written by hand, after HAProxy's specification, sections 2.1 and 2.2. */
import { joined } from "./joined.ts";

/** The second byte but one: version 2, and the command. */
export const command = { local: 0x20, proxy: 0x21 } as const;

/** Family and kind of socket. */
export const family = { unspecified: 0x00, tcp4: 0x11, tcp6: 0x21, unix: 0x31 } as const;

/** A header of version 2: 12 bytes of signature, the command, the family, the length of what follows, and that. */
export function proxyV2(commandByte: number, familyByte: number, ...rest: readonly Uint8Array[]): Uint8Array {
  const body = joined(...rest);
  const head = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, commandByte, familyByte];
  return joined(Uint8Array.of(...head, body.length >> 8, body.length & 0xff), body);
}

/** The addresses of TCP over IPv4 or IPv6: 4 or 16 bytes each, then the ports. */
export function ends(
  source: readonly number[],
  destination: readonly number[],
  ports: readonly [number, number],
): Uint8Array {
  return Uint8Array.of(...source, ...destination, ...ports.flatMap((port) => [port >> 8, port & 0xff]));
}

/** A value with its type and its length. */
export function tlv(type: number, value: Uint8Array | string): Uint8Array {
  const bytes = joined(value);
  return joined(Uint8Array.of(type, bytes.length >> 8, bytes.length & 0xff), bytes);
}

/** Types of values. */
export const tlvType = { alpn: 0x01, authority: 0x02, noop: 0x04, uniqueId: 0x05 } as const;

/** The header of version 1 of a client 203.0.113.7:40000 that connected to 198.51.100.1:443, or of another one. */
export function proxyV1(source = "203.0.113.7", port = 40_000): Uint8Array {
  return joined(`PROXY TCP4 ${source} 198.51.100.1 ${port} 443\r\n`);
}

/** 203.0.113.7, 198.51.100.1 and their ports 40000 and 443. */
export const ends4 = ends([203, 0, 113, 7], [198, 51, 100, 1], [40_000, 443]);

/** 2001:db8::7, 2001:db8::1 and their ports 40000 and 443. */
export const ends6 = ends(
  [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
  [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  [40_000, 443],
);
