/**
 * Reads one TLS handshake message out of the records that carry it (RFC 8446 sections 4 and 5.1, the same in TLS 1.0 to
 * 1.2), from what has arrived of it so far. A message may be spread over records at any byte; nothing is copied.
 */
import { more, type Peek } from "./peek.ts";

/** The content type of handshake records. */
const handshakeContent = 22;
/** The first byte of every version since SSL 3.0. The second one is to be ignored in records (RFC 8446 section 5.1). */
const majorVersion = 3;
const recordHeadBytes = 5;
/** The longest plaintext of a record (RFC 8446 section 5.1). A longer one is no TLS. */
const recordPlaintextBytesMax = 16 * 1024;
const messageHeadBytes = 4;

/**
 * Goes from byte to byte of the message. Whatever stops it, running out of bytes or finding them wrong, is kept in
 * `stopped`; from then on all that is read is 0, so a caller may look after a few fields at once.
 *
 * Methods take `end`, the place in the message up to which they may read: that of the vector they are in.
 */
export class HandshakeReader {
  /** Why there is no going on; `undefined` while there is. */
  stopped: Peek<never> | undefined = undefined;
  /** Place in the message: how many of its bytes have been read, its head among them. */
  at = 0;
  /** Place in the bytes. */
  offset = 0;

  readonly #bytes: Uint8Array;
  readonly #bytesMax: number;
  /** What is left of the record at hand. */
  #recordLeft = 0;
  /** Length of the message; of its head as long as that has not been read. */
  #messageEnd = messageHeadBytes;

  /** More than `bytesMax` bytes, heads of records included, are too long. */
  constructor(bytes: Uint8Array, bytesMax: number) {
    this.#bytes = bytes;
    this.#bytesMax = bytesMax;
  }

  /** Reads the head of a message of this type, and gives the place where the message ends. */
  begin(type: number, otherType: string): number {
    if (this.number(1, messageHeadBytes) !== type) this.fail(otherType);
    const length = this.number(3, messageHeadBytes);
    this.#messageEnd = messageHeadBytes + length;
    if (recordHeadBytes + this.#messageEnd > this.#bytesMax) this.fail(this.#tooLong);
    else if (this.#recordLeft > length) this.fail(moreInRecord);
    return this.#messageEnd;
  }

  /** Stops for good; the first reason stays. */
  fail(why: string): void {
    this.stopped ??= { kind: "invalid", why };
  }

  /** Whether reading goes on and there is something to read before `end`. */
  isBefore(end: number): boolean {
    return this.stopped === undefined && this.at < end;
  }

  /** A number of `size` bytes, the highest first. */
  number(size: number, end: number): number {
    let value = 0;
    for (let index = 0; index < size; index++) value = value * 256 + this.#byte(end);
    return value;
  }

  /** Reads the length of a vector, a number of `size` bytes, and gives the place where the vector ends. */
  vector(size: number, end: number): number {
    const length = this.number(size, end);
    const vectorEnd = this.at + length;
    if (vectorEnd > end) this.fail(malformed);
    return vectorEnd;
  }

  /** Goes on to a place that is not behind. */
  skipTo(place: number): void {
    if (place > this.#messageEnd) this.fail(malformed);
    while (this.isBefore(place)) {
      if (this.#recordLeft === 0 && !this.#openRecord()) return;
      const count = Math.min(place - this.at, this.#recordLeft, this.#bytes.length - this.offset);
      if (count === 0) {
        this.stopped = more;
        return;
      }
      this.#advance(count);
    }
  }

  /** The octets up to `end`, each a character from U+0000 to U+00FF. */
  text(end: number): string {
    let text = "";
    while (this.isBefore(end)) text += String.fromCharCode(this.#byte(end));
    return text;
  }

  #byte(end: number): number {
    if (this.stopped !== undefined) return 0;
    if (this.at >= end) {
      this.fail(malformed);
      return 0;
    }
    if (this.#recordLeft === 0 && !this.#openRecord()) return 0;
    if (this.offset >= this.#bytes.length) {
      this.stopped = more;
      return 0;
    }
    const byte = this.#bytes[this.offset]!;
    this.#advance(1);
    return byte;
  }

  #advance(count: number): void {
    this.offset += count;
    this.at += count;
    this.#recordLeft -= count;
  }

  /** Reads the head of a record, byte by byte, so that what is no TLS is seen at once. */
  #openRecord(): boolean {
    const bytes = this.#bytes;
    const start = this.offset;
    const there = bytes.length - start;
    const length = there < recordHeadBytes ? undefined : bytes[start + 3]! * 256 + bytes[start + 4]!;
    if (start + recordHeadBytes >= this.#bytesMax) this.fail(this.#tooLong);
    else if (there > 0 && bytes[start] !== handshakeContent) this.fail(start === 0 ? notTls : otherRecord);
    else if (there > 1 && bytes[start + 1] !== majorVersion) this.fail(notTls);
    else if (there > 3 && bytes[start + 3]! * 256 > recordPlaintextBytesMax) this.fail(notTls);
    else if (length === undefined) this.stopped = more;
    else if (length === 0 || length > recordPlaintextBytesMax) this.fail(notTls);
    else if (start + recordHeadBytes + length > this.#bytesMax) this.fail(this.#tooLong);
    else if (this.at >= messageHeadBytes && this.at + length > this.#messageEnd) this.fail(moreInRecord);
    if (this.stopped !== undefined) return false;
    this.offset = start + recordHeadBytes;
    this.#recordLeft = length!;
    return true;
  }

  get #tooLong(): string {
    return `a TLS handshake message of more than ${this.#bytesMax} bytes`;
  }
}

const notTls = "not TLS";
const otherRecord = "a TLS handshake message interrupted by another record";
/** What follows a ClientHello waits for the server, so nothing can stand behind it in its record. */
const moreInRecord = "a TLS record that goes on behind its handshake message";
const malformed = "a malformed TLS handshake message";
