/** Host and port: what is read wherever it stands, and that nothing outside of it is. */
import { expect, test } from "bun:test";
import { readAuthority } from "../../src/protocol/authority.ts";

test.each([
  ["a.example", "a.example", undefined],
  ["A.Example.:0", "a.example", 0],
  ["a:65535", "a", 65_535],
  ["a:00080", "a", 80],
  ["[::1]", "::1", undefined],
  ["[::1]:", "::1", undefined],
  ["[2001:DB8::0:1]:443", "2001:db8::1", 443],
  ["", "", undefined],
  [":", "", undefined],
  [":80", "", 80],
  [".", ".", undefined],
  ["..", ".", undefined],
])("%j is host %j and port %p", (text, host, port) => {
  const bytes = Buffer.from(`9]${text}]:9`);
  expect(readAuthority(bytes, 2, 2 + text.length)).toEqual({ host, port });
});

test.each([
  "a b",
  "a\t",
  "@",
  "u@a",
  "a,b",
  "a;b",
  "a=b",
  "*",
  "a:b",
  "a:1:2",
  "a:65536",
  "a:99999999999999999999",
  "::1",
  "[::1",
  "[]",
  "[::1]80",
  "[a]",
  "a]",
  "ä",
])("%j is none", (text) => {
  const bytes = Buffer.from(`${text}]:9`);
  expect(readAuthority(bytes, 0, Buffer.byteLength(text))).toBeUndefined();
});
