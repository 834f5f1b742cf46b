/** Bytes as text: what escapes mean, what is refused and with which hint. */
import { describe, expect, test } from "bun:test";
import { formatByteText, parseByteText } from "../../src/protocol/byte-text.ts";

describe("text that is read", () => {
  const rows: [text: string, bytes: number[], shortest: string][] = [
    ["", [], ""],
    ["SSH-", [0x53, 0x53, 0x48, 0x2d], "SSH-"],
    [String.raw`\x16\x03`, [0x16, 0x03], String.raw`\x16\x03`],
    [String.raw`\xAb\xaB`, [0xab, 0xab], String.raw`\xab\xab`],
    [String.raw`PING\r\n`, [0x50, 0x49, 0x4e, 0x47, 13, 10], String.raw`PING\r\n`],
    [String.raw`\0\t\\`, [0, 9, 0x5c], String.raw`\0\t\\`],
    [String.raw`\x00\x09\x5c\x0d\x0a`, [0, 9, 0x5c, 13, 10], String.raw`\0\t\\\r\n`],
    [String.raw`\\x41`, [0x5c, 0x78, 0x34, 0x31], String.raw`\\x41`],
    [String.raw`\x414`, [0x41, 0x34], "A4"],
    [String.raw`\01`, [0, 0x31], String.raw`\01`],
    ["\r\n\0", [13, 10, 0], String.raw`\r\n\0`],
    ["ü€😀", [0xc3, 0xbc, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80], String.raw`\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80`],
    [`"' ~\x7f`, [0x22, 0x27, 0x20, 0x7e, 0x7f], String.raw`"' ~\x7f`],
  ];
  test.each(rows)("%j", (text, bytes, shortest) => {
    expect(parseByteText(text)).toEqual({ ok: true, value: Uint8Array.from(bytes) });
    expect(formatByteText(Uint8Array.from(bytes))).toBe(shortest);
  });
});

describe("text that is refused", () => {
  const hex = String.raw`two hexadecimal digits after "\x", such as "\x1f"`;
  const escape = String.raw`one of the escapes \x1f (any byte), \r, \n, \t, \0 and \\ after a backslash`;
  const rows: [text: string, wanted: string][] = [
    ["\\", escape],
    ["SSH-\\", escape],
    ["\\q", escape],
    ["\\X41", escape],
    ["\\u0041", escape],
    ["\\ü", escape],
    ["\\x", hex],
    ["\\x4", hex],
    ["\\x4g", hex],
    ["\\xg4", hex],
    ["\\x-1", hex],
    ["\\x 1", hex],
    ["\\x4\\x41", hex],
    ["a\\r\\x", hex],
  ];
  test.each(rows)("%j", (text, wanted) => {
    expect(parseByteText(text)).toEqual({ ok: false, wanted });
  });
});
