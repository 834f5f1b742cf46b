/** The characters of HTTP/1, and the ends of its lines (RFC 9112 section 2.2, RFC 9110 section 5). */

/** Sets of characters; a number may stand for several. */
export const character = {
  /** Capitals, "-" and "_": what registered methods are made of, and what nginx takes. */
  method: 1,
  /** Visible ASCII, and bytes from 0x80 on, which a URI should not have, but curl sends and nginx takes. */
  target: 2,
  /** Those of a token (RFC 9110 section 5.6.2): names of fields. */
  token: 4,
  /** Those of a field's value: what is visible, spaces, tabs, bytes from 0x80 on. No other control characters. */
  value: 8,
  /** Letters, digits, "+", "-" and "." (RFC 3986 section 3.1). */
  scheme: 16,
} as const;

/** Where the run of characters of these sets ends that begins at `at`: `limit` when all are. */
export function runEnd(bytes: Uint8Array, at: number, limit: number, sets: number): number {
  while (at < limit && (setsOf[bytes[at]!]! & sets) !== 0) at++;
  return at;
}

/** The bytes end before it can be told. */
export const cut = -2;
/** There is none. */
export const none = -1;

/** Where the end of a line at `at`, CRLF or a bare LF, ends itself; {@link none} when something else stands there, or {@link cut}. */
export function lineEnd(bytes: Uint8Array, at: number, limit: number): number {
  if (at >= limit) return cut;
  if (bytes[at] === lf) return at + 1;
  if (bytes[at] !== cr) return none;
  if (at + 1 === limit) return cut;
  return bytes[at + 1] === lf ? at + 2 : none;
}

const cr = 0x0d;
const lf = 0x0a;

const setsOf = Uint8Array.from({ length: 256 }, (_, byte) => {
  const text = String.fromCharCode(byte);
  const isVisible = byte > 0x20 && byte !== 0x7f;
  return (
    (/[A-Z_-]/.test(text) ? character.method : 0) |
    (isVisible ? character.target : 0) |
    (/[A-Za-z0-9!#$%&'*+.^_`|~-]/.test(text) ? character.token : 0) |
    (isVisible || text === " " || text === "\t" ? character.value : 0) |
    (/[A-Za-z0-9+.-]/.test(text) ? character.scheme : 0)
  );
});
