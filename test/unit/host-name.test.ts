/** Host names: what is one, how it is written, and what is an address instead. */
import { describe, expect, test } from "bun:test";
import { readHostName } from "../../src/protocol/host-name.ts";

describe("a name", () => {
  const rows: [text: string, name: string][] = [
    ["example.com", "example.com"],
    ["Example.COM", "example.com"],
    ["example.com.", "example.com"],
    ["localhost", "localhost"],
    ["a", "a"],
    ["_dmarc.example.com", "_dmarc.example.com"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["r3---sn-x.example", "r3---sn-x.example"],
    ["-a-.example", "-a-.example"],
    ["1.2.3", "1.2.3"],
    ["1.2.3.256", "1.2.3.256"],
    ["0x7f.1", "0x7f.1"],
    [`${"a".repeat(63)}.example`, `${"a".repeat(63)}.example`],
    [`${"a.".repeat(126)}b`, `${"a.".repeat(126)}b`],
  ];
  test.each(rows)("%s", (text, name) => {
    expect(readHostName(text)).toEqual({ kind: "name", name });
  });
});

test.each(["127.0.0.1", "255.255.255.255", "1.2.3.4.", "::1", "2001:DB8::1", "::ffff:1.2.3.4", "fe80::1%eth0"])(
  "%s is an address",
  (text) => {
    expect(readHostName(text)).toEqual({ kind: "address" });
  },
);

describe("neither", () => {
  const texts = [
    "",
    ".",
    "..",
    ".a",
    "a..b",
    "a..",
    "a b",
    " a",
    "a/b",
    "a:80",
    "[::1]",
    "*.example.com",
    "a\0b",
    "a\n",
    "b\u00fccher.example",
    "a@b",
    "a%62",
    `${"a".repeat(64)}.example`,
    `${"a.".repeat(126)}bb`,
    "a".repeat(255),
  ];
  test.each(texts)("%j", (text) => {
    expect(readHostName(text)).toEqual({ kind: "neither" });
  });
});
