/** Host names as clients send them. */
import { isIP } from "node:net";

/** The longest name in characters (RFC 1035 section 2.3.4, without the final dot); a longer one is none. */
const nameCharsMax = 253;
/** The longest part between two dots (RFC 1035 section 2.3.4); a longer one makes the whole none. */
const labelCharsMax = 63;

/** What a text is that should be a host name. */
export type HostName =
  | { readonly kind: "name"; /** In lower case, without a final dot. */ readonly name: string }
  | { readonly kind: "address" }
  | { readonly kind: "neither" };

/**
 * Letters, digits, "-" and "_" in labels of one to 63 characters, 253 in all; one final dot may follow. Underscores are
 * no part of host names (RFC 952), but there are some. Internationalized names come as "xn--…".
 */
export function readHostName(text: string): HostName {
  const name = (text.endsWith(".") ? text.slice(0, -1) : text).toLowerCase();
  if (isIP(name) !== 0) return { kind: "address" };
  if (name.length > nameCharsMax) return { kind: "neither" };
  let labelStart = 0;
  for (let at = 0; at <= name.length; at++) {
    // NaN behind the end, which ends the last label.
    const code = name.charCodeAt(at);
    if (isLetterOrDigit(code) || code === hyphen || code === underscore) continue;
    if (code !== dot && at < name.length) return { kind: "neither" };
    if (at === labelStart || at - labelStart > labelCharsMax) return { kind: "neither" };
    labelStart = at + 1;
  }
  return { kind: "name", name };
}

const dot = 0x2e;
const hyphen = 0x2d;
const underscore = 0x5f;

function isLetterOrDigit(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39);
}
