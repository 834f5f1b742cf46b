/** Bytes as people write them in a configuration: text, with escapes for what is no text ("SSH-", "\x16\x03", "PING\r\n"). */
import type { Parsed } from "../core/result.ts";

/** Reads text into bytes: `\x..`, `\r`, `\n`, `\t`, `\0` and `\\` are escapes, all else is taken as its UTF-8. Empty text is no bytes. */
export function parseByteText(text: string): Parsed<Uint8Array> {
  // UTF-8 takes at most three bytes for a UTF-16 unit, and an escape is longer than its byte.
  const bytes = new Uint8Array(3 * text.length);
  let length = 0;
  for (let at = 0; at < text.length;) {
    const backslash = text.indexOf("\\", at);
    const end = backslash === -1 ? text.length : backslash;
    if (end > at) length += encoder.encodeInto(text.slice(at, end), bytes.subarray(length)).written;
    if (end === text.length) break;
    const isHex = text[end + 1] === "x";
    const byte = isHex ? hexByte(text.slice(end + 2, end + 4)) : bytesOfEscapes.get(text[end + 1] ?? "");
    if (byte === undefined) return { ok: false, wanted: isHex ? WANTED_HEX : WANTED_ESCAPE };
    bytes[length++] = byte;
    at = end + (isHex ? 4 : 2);
  }
  return { ok: true, value: bytes.slice(0, length) };
}

/** Writes bytes the way {@link parseByteText} reads them, in printable ASCII. */
export function formatByteText(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += textsOfBytes[byte];
  return text;
}

const encoder = new TextEncoder();

const WANTED_HEX = String.raw`two hexadecimal digits after "\x", such as "\x1f"`;
const WANTED_ESCAPE = String.raw`one of the escapes \x1f (any byte), \r, \n, \t, \0 and \\ after a backslash`;

/** The escapes that stand for one byte each; `\x..` stands for any. */
const bytesOfEscapes: ReadonlyMap<string, number> = new Map([
  ["\\", 0x5c],
  ["r", 0x0d],
  ["n", 0x0a],
  ["t", 0x09],
  ["0", 0x00],
]);

const textsOfBytes: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  for (const [escape, escaped] of bytesOfEscapes) if (byte === escaped) return `\\${escape}`;
  const isPrintable = byte >= 0x20 && byte < 0x7f;
  return isPrintable ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
});

function hexByte(digits: string): number | undefined {
  return /^[0-9a-fA-F]{2}$/.test(digits) ? Number.parseInt(digits, 16) : undefined;
}
