/**
 * The request line of HTTP/1 (RFC 9112 section 3): method, target and version, with the empty lines that may stand before
 * it (section 2.2).
 *
 * Lines end with CRLF or with a bare LF, as section 2.2 allows and nginx reads it; a bare CR is invalid. One space stands
 * before the target and one behind it, and the version is HTTP/1 and a digit. Other text protocols show themselves early.
 */
import { readAuthority } from "./authority.ts";
import { character, cut, lineEnd, none, runEnd } from "./http-syntax.ts";
import { agrees, octets, octetText } from "./octets.ts";
import { more, type Peek } from "./peek.ts";

/** What a request line says. */
export interface RequestLine {
  readonly method: string;
  /**
   * Without query and fragment, otherwise as sent, read as UTF-8. "*" for `OPTIONS *`, "" for CONNECT, "/" where an
   * absolute target has none.
   */
  readonly path: string;
  /** The host of an absolute target (`GET http://host/`) or of CONNECT, as in {@link Authority}; `undefined` for others. */
  readonly host: string | undefined;
}

/** The longest method in bytes; a longer one is no HTTP. The longest registered one has 17. */
const methodBytesMax = 32;

/** Looks for a request line at the beginning of `bytes`. One that is not over after `bytesMax` bytes is invalid. */
export function peekRequestLine(bytes: Uint8Array, bytesMax: number): Peek<RequestLine> {
  const limit = Math.min(bytes.length, bytesMax);
  const ranOut = limit < bytesMax ? more : invalid(`an HTTP request line of more than ${bytesMax} bytes`);
  const start = emptyLinesEnd(bytes, limit);
  if (start === cut) return ranOut;
  const methodEnd = runEnd(bytes, start, limit, character.method);
  if (methodEnd - start > methodBytesMax) return notHttp;
  if (methodEnd === limit) return ranOut;
  if (methodEnd === start || bytes[methodEnd] !== space) return notHttp;
  const method = octetText(bytes, start, methodEnd);
  if (method === "PRI") return notHttp1;
  const targetStart = methodEnd + 1;
  const targetEnd = runEnd(bytes, targetStart, limit, character.target);
  const isWhole = targetEnd < limit;
  if (isWhole && bytes[targetEnd] !== space) return notHttp;
  const line = readTarget(method, bytes, targetStart, targetEnd, isWhole);
  if (line === cut) return ranOut;
  if (line === none) return badTarget;
  const minor = targetEnd + 1 + versionHead.length;
  if (!agrees(bytes, targetEnd + 1, versionHead)) return notHttp1;
  if (minor >= limit) return ranOut;
  if (!isDigit(bytes[minor]!)) return notHttp1;
  const end = lineEnd(bytes, minor + 1, limit);
  if (end === cut) return ranOut;
  return end === none ? notHttp1 : { kind: "done", value: line, bytes: end };
}

const space = 0x20;
const slash = 0x2f;
const asterisk = 0x2a;
const questionMark = 0x3f;
const numberSign = 0x23;
const versionHead = octets("HTTP/1.");
const authorityHead = octets("://");

const notHttp = invalid("not HTTP");
/** Such as the preface of HTTP/2, "PRI * HTTP/2.0" (RFC 9113 section 3.4). */
const notHttp1 = invalid("not HTTP/1");
const badTarget = invalid("a wrong target of an HTTP request");

function invalid(why: string): Peek<never> {
  return { kind: "invalid", why };
}

/** Where the first line begins that is not empty. */
function emptyLinesEnd(bytes: Uint8Array, limit: number): number {
  for (let at = 0; ;) {
    const end = lineEnd(bytes, at, limit);
    if (end === cut) return cut;
    if (end === none) return at;
    at = end;
  }
}

/** What the target says that stands from `start` to `end`, or would if it were whole. */
function readTarget(
  method: string,
  bytes: Uint8Array,
  start: number,
  end: number,
  isWhole: boolean,
): RequestLine | typeof cut | typeof none {
  if (start === end) return isWhole ? none : cut;
  if (method === "CONNECT") {
    if (!isWhole) return cut;
    const authority = readAuthority(bytes, start, end);
    if (authority === undefined || authority.host === "" || authority.port === undefined) return none;
    return { method, path: "", host: authority.host };
  }
  if (bytes[start] === slash) return isWhole ? { method, path: readPath(bytes, start, end), host: undefined } : cut;
  if (bytes[start] === asterisk) {
    if (method !== "OPTIONS" || end - start > 1) return none;
    return isWhole ? { method, path: "*", host: undefined } : cut;
  }
  return readAbsoluteTarget(method, bytes, start, end, isWhole);
}

function readAbsoluteTarget(
  method: string,
  bytes: Uint8Array,
  start: number,
  end: number,
  isWhole: boolean,
): RequestLine | typeof cut | typeof none {
  const schemeEnd = runEnd(bytes, start, end, character.scheme);
  if (!isLetter(bytes[start]!) || !agrees(bytes.subarray(0, end), schemeEnd, authorityHead)) return none;
  if (!isWhole) return cut;
  const authorityStart = schemeEnd + authorityHead.length;
  if (authorityStart > end) return none;
  let pathStart = authorityStart;
  while (pathStart < end && bytes[pathStart] !== slash && !endsPath(bytes[pathStart]!)) pathStart++;
  const authority = readAuthority(bytes, authorityStart, pathStart);
  if (authority === undefined || authority.host === "") return none;
  const path = bytes[pathStart] === slash ? readPath(bytes, pathStart, end) : "/";
  return { method, path, host: authority.host };
}

function readPath(bytes: Uint8Array, start: number, end: number): string {
  let pathEnd = start;
  while (pathEnd < end && !endsPath(bytes[pathEnd]!)) pathEnd++;
  return decoder.decode(bytes.subarray(start, pathEnd));
}

/** Bytes that are no UTF-8 become U+FFFD: no path of a configuration has it. */
const decoder = new TextDecoder();

function endsPath(byte: number): boolean {
  return byte === questionMark || byte === numberSign;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isLetter(byte: number): boolean {
  return (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a;
}
