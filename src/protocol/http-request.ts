/**
 * The first HTTP/1 request of a connection (RFC 9112): what a route can depend on.
 *
 * Strict where proxies and servers have been made to disagree: no space before the colon of a field, no folded lines, no
 * control characters, no second Host field that says something else. What comes behind the head is not looked at.
 */
import { type Authority, readAuthority } from "./authority.ts";
import { character, cut, lineEnd, none, runEnd } from "./http-syntax.ts";
import { more, type Peek } from "./peek.ts";
import { peekRequestLine, type RequestLine } from "./request-line.ts";

/** The longest head of a request in bytes, empty lines before it included; a longer one is invalid. */
export const httpRequestBytesMax = 16 * 1024;

/** What the head of a request says. */
export interface HttpRequest {
  /** As sent; methods are case-sensitive. */
  readonly method: string;
  /** See {@link RequestLine}: as sent, without query and fragment. */
  readonly path: string;
  /**
   * Whom the request is for, in lower case, without port and final dot, an IPv6 address without brackets and in its
   * canonical form: the host of the target, else of the Host field; `undefined` when neither names one.
   */
  readonly host: string | undefined;
}

/**
 * Looks for the request line at the beginning of `bytes`, and no further: enough for a route that depends on the path
 * alone. `host` is that of the target, which most requests don't have; the Host field is not looked for. Decided at
 * {@link httpRequestBytesMax} bytes at the latest.
 */
export function peekRequestTarget(bytes: Uint8Array): Peek<HttpRequest> {
  return peekRequestLine(bytes, httpRequestBytesMax);
}

/** Looks for a whole head, up to the empty line that ends it. Decided at {@link httpRequestBytesMax} bytes at the latest. */
export function peekHttpRequest(bytes: Uint8Array): Peek<HttpRequest> {
  const line = peekRequestLine(bytes, httpRequestBytesMax);
  if (line.kind !== "done") return line;
  const limit = Math.min(bytes.length, httpRequestBytesMax);
  const ranOut = limit < httpRequestBytesMax ? more : tooLong;
  let named: Authority | undefined;
  for (let at = line.bytes; ;) {
    const headEnd = lineEnd(bytes, at, limit);
    if (headEnd === cut) return ranOut;
    if (headEnd !== none) return { kind: "done", value: request(line.value, named), bytes: headEnd };
    const nameEnd = runEnd(bytes, at, limit, character.token);
    if (nameEnd === limit) return ranOut;
    if (nameEnd === at || bytes[nameEnd] !== colon) return badField;
    const valueEnd = runEnd(bytes, nameEnd + 1, limit, character.value);
    const fieldEnd = lineEnd(bytes, valueEnd, limit);
    if (fieldEnd === cut) return ranOut;
    if (fieldEnd === none) return badField;
    if (isHost(bytes, at, nameEnd)) {
      const authority = readValue(bytes, nameEnd + 1, valueEnd);
      if (authority === undefined) return badHost;
      if (named !== undefined && (named.host !== authority.host || named.port !== authority.port)) return twoHosts;
      named = authority;
    }
    at = fieldEnd;
  }
}

const colon = 0x3a;
const space = 0x20;
const tab = 0x09;

const tooLong = invalid(`the head of an HTTP request of more than ${httpRequestBytesMax} bytes`);
const badField = invalid("a malformed field of an HTTP request");
const badHost = invalid("a Host field that is no host");
const twoHosts = invalid("two Host fields that differ");

function invalid(why: string): Peek<never> {
  return { kind: "invalid", why };
}

function request({ method, path, host }: RequestLine, named: Authority | undefined): HttpRequest {
  return { method, path, host: host ?? (named === undefined || named.host === "" ? undefined : named.host) };
}

function isHost(bytes: Uint8Array, start: number, end: number): boolean {
  return (
    end - start === 4 &&
    (bytes[start]! | 0x20) === 0x68 &&
    (bytes[start + 1]! | 0x20) === 0x6f &&
    (bytes[start + 2]! | 0x20) === 0x73 &&
    (bytes[start + 3]! | 0x20) === 0x74
  );
}

/** The value of a Host field, without the spaces and tabs around it. */
function readValue(bytes: Uint8Array, start: number, end: number): Authority | undefined {
  while (start < end && (bytes[start] === space || bytes[start] === tab)) start++;
  while (end > start && (bytes[end - 1] === space || bytes[end - 1] === tab)) end--;
  return readAuthority(bytes, start, end);
}
