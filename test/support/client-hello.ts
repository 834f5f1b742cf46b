/**
 * ClientHellos made of their parts, so that a test can have any of them wrong (RFC 8446 section 4.1.2). One that is right is
 * in openings.ts.
 */

import { joined } from "./joined.ts";

/** What to put in. What is left out is as a modern client has it; a list of bytes stands for a field as it is. */
export interface HelloParts {
  /** The version in the hello itself. Default: TLS 1.2, as TLS 1.3 writes it too. */
  version?: number;
  session?: Uint8Array;
  cipherSuites?: Uint8Array;
  compressionMethods?: Uint8Array;
  /** In their order; `undefined`: the hello ends before them, as in old TLS. */
  extensions?: readonly Uint8Array[] | undefined;
}

/** The handshake message, without a record around it. */
export function helloMessage(parts: HelloParts = {}): Uint8Array {
  const extensions = "extensions" in parts ? parts.extensions : [];
  const body = joined(
    uint(2, parts.version ?? 0x0303),
    new Uint8Array(32).fill(0x5a),
    vector(1, parts.session ?? new Uint8Array(32).fill(0x11)),
    vector(2, parts.cipherSuites ?? Uint8Array.of(0x0a, 0x0a, 0x13, 0x01, 0x13, 0x02, 0xc0, 0x2f)),
    vector(1, parts.compressionMethods ?? Uint8Array.of(0)),
    extensions === undefined ? new Uint8Array() : vector(2, joined(...extensions)),
  );
  return joined(uint(1, 1), vector(3, body));
}

/** The message in records: as many bytes in each as `sizes` says in turn, the rest in the last one. */
export function inRecords(message: Uint8Array, ...sizes: number[]): Uint8Array {
  const records: Uint8Array[] = [];
  let at = 0;
  for (const size of [...sizes, message.length]) {
    const piece = message.subarray(at, at + size);
    if (piece.length > 0) records.push(record(piece));
    at += piece.length;
  }
  return joined(...records);
}

/** One record, of a handshake unless said otherwise. The version is the one that clients write there. */
export function record(payload: Uint8Array, { type = 22, version = 0x0301 } = {}): Uint8Array {
  return joined(uint(1, type), uint(2, version), vector(2, payload));
}

/** The extension with one server name (RFC 6066 section 3). */
export function serverName(name: string): Uint8Array {
  return extension(0, serverNameList(entry(0, name)));
}

/** The body of that extension. */
export function serverNameList(...entries: Uint8Array[]): Uint8Array {
  return vector(2, joined(...entries));
}

/** One name in that list. */
export function entry(type: number, name: string): Uint8Array {
  return joined(uint(1, type), vector(2, latin1(name)));
}

/** The extension with the protocols (RFC 7301). */
export function alpn(...protocols: string[]): Uint8Array {
  return extension(16, vector(2, joined(...protocols.map((protocol) => vector(1, latin1(protocol))))));
}

/** Key shares (RFC 8446 section 4.2.8) of this many bytes: 1,216 for X25519MLKEM768, with 32 more for X25519. */
export function keyShare(bytes: number): Uint8Array {
  return extension(51, vector(2, joined(uint(2, 0x11ec), vector(2, new Uint8Array(bytes).fill(0x77)))));
}

/** An extension that means nothing (RFC 8701). */
export function grease(type: number): Uint8Array {
  return extension(type, new Uint8Array());
}

/** An extension of any type, with its body as it is. */
export function extension(type: number, body: Uint8Array): Uint8Array {
  return joined(uint(2, type), vector(2, body));
}

/** Bytes with their length before them, in `size` bytes. */
export function vector(size: number, body: Uint8Array): Uint8Array {
  return joined(uint(size, body.length), body);
}

/** A number in `size` bytes, the highest first. */
export function uint(size: number, value: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, index) => Math.floor(value / 256 ** (size - 1 - index)) % 256);
}

/** The bytes of a text of one character each. */
export function latin1(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}
