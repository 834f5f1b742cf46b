/**
 * The condition `path_prefix`: the path of the first HTTP/1 request, by whole segments as Kubernetes Ingress compares them
 * (pathType Prefix): "/api" takes "/api", "/api/" and "/api/x", never "/apiary". A "/" at the end of the prefix is ignored.
 *
 * Paths are compared in a canonical form, because the backend, which gets the bytes as they are, will most likely read
 * them so: whoever writes "/%61pi" or "/x/../api" must not get around a route.
 *
 * - Escapes of unreserved characters are decoded (RFC 3986 section 6.2.2.2), those of others stay escapes, in upper case:
 *   "/api%2Fx" is one segment, which "/api" does not take; nor does `path_separated_prefix` of Envoy, while nginx decodes it.
 * - What is not ASCII is escaped as UTF-8 (RFC 3987 section 3.1): "/café" is "/caf%C3%A9".
 * - Segments "." and ".." are resolved, escaped ones too, and none leads above "/" (RFC 3986 section 5.2.4). nginx does so,
 *   and Envoy with `normalize_path`.
 * - Empty segments stay: "//api" is not "/api" (RFC 3986, and Envoy; nginx merges slashes).
 * - Upper and lower case differ.
 */
import type { Parsed } from "../core/result.ts";
import { httpRequestBytesMax } from "../protocol/http-request.ts";
import { type Condition, type Judgement, undone } from "./condition.ts";
import type { Reading } from "./reading.ts";

/** The longest prefix in characters; a longer one is refused. */
const prefixCharsMax = 1024;

const slash = 0x2f;

/** Takes requests whose path is the prefix or lies below it. Requests without a path (`OPTIONS *`, CONNECT) fit no prefix. */
export class PathPrefix implements Condition {
  readonly key = "path_prefix";
  readonly text: string;
  readonly peekBytesMax = httpRequestBytesMax;
  /** Canonical, without the "/" at its end; "" takes every path. */
  readonly #prefix: string;

  private constructor(text: string) {
    this.text = text;
    const path = canonicalPath(text);
    this.#prefix = path.endsWith("/") ? path.slice(0, -1) : path;
  }

  /** Reads the value of the key. */
  static parse(text: string): Parsed<PathPrefix> {
    if (!text.startsWith("/")) return { ok: false, wanted: 'a path that begins with "/", such as "/api"' };
    if (text.length > prefixCharsMax) return { ok: false, wanted: `a path of at most ${prefixCharsMax} characters` };
    if (/[?#\s\p{Cc}]/u.test(text)) return { ok: false, wanted: 'a path without "?", "#" and spaces, such as "/api"' };
    return { ok: true, value: new PathPrefix(text) };
  }

  judge(reading: Reading): Judgement {
    const path = reading.path();
    if (path.kind !== "done") return undone(path);
    return liesIn(path.value, this.#prefix) ? "yes" : "no";
  }

  covers(other: Condition): boolean {
    return other instanceof PathPrefix && liesIn(other.#prefix, this.#prefix);
  }
}

function liesIn(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === slash);
}

/** One spelling for paths that mean the same. `path` begins with "/" and has no query. */
export function canonicalPath(path: string): string {
  const ascii = /[^\0-\x7f]/.test(path) ? path.replace(/[^\0-\x7f]+/g, escapes) : path;
  const decoded = ascii.includes("%") ? ascii.replace(/%[0-9A-Fa-f]{2}/g, canonicalEscape) : ascii;
  return /\/\.\.?(?:\/|$)/.test(decoded) ? withoutDotSegments(decoded) : decoded;
}

function escapes(text: string): string {
  return Buffer.from(text).toString("hex").toUpperCase().replace(/../g, "%$&");
}

function canonicalEscape(escape: string): string {
  const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
  return /[A-Za-z0-9._~-]/.test(character) ? character : escape.toUpperCase();
}

function withoutDotSegments(path: string): string {
  const segments = path.split("/").slice(1);
  const kept: string[] = [];
  for (const segment of segments) {
    if (segment === "..") kept.pop();
    else if (segment !== ".") kept.push(segment);
  }
  const last = segments.at(-1);
  // "/a/." and "/a/b/.." name the directory.
  if (last === "." || last === "..") kept.push("");
  return `/${kept.join("/")}`;
}
