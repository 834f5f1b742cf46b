/** IP addresses in a text that is still arriving: where they end, and the first byte that is wrong. */
import { describe, expect, test } from "bun:test";
import { ipv4End, ipv6End, noAddress } from "../../src/protocol/ip-text.ts";
import { octets } from "../../src/protocol/octets.ts";

const ends = { IPv4: ipv4End, IPv6: ipv6End };

describe("an address ends where something else begins", () => {
  const rows: [kind: keyof typeof ends, text: string][] = [
    ["IPv4", "0.0.0.0"],
    ["IPv4", "255.255.255.255"],
    ["IPv4", "10.1.20.199"],
    ["IPv6", "::"],
    ["IPv6", "::1"],
    ["IPv6", "1::"],
    ["IPv6", "2001:DB8::aBcD"],
    ["IPv6", "0001:0002:0003:0004:0005:0006:0007:0008"],
    ["IPv6", "1:2:3:4:5:6:7::"],
    ["IPv6", "::2:3:4:5:6:7:8"],
    ["IPv6", "1:2:3::5:6:7:8"],
    ["IPv6", "::ffff:192.0.2.1"],
    ["IPv6", "::1.2.3.4"],
    ["IPv6", "1:2:3:4:5:6:7.8.9.10"],
    ["IPv6", "1:2:3:4:5::7.8.9.10"],
  ];
  test.each(rows)("%s: %s", (kind, text) => {
    for (const behind of [" ", "\r", "x", ":", "%"].filter((byte) => byte !== ":" || text.endsWith("::"))) {
      expect(ends[kind](octets(`  ${text}${behind}`), 2, text.length + 3)).toBe(text.length + 2);
    }
    for (let limit = 0; limit <= text.length; limit++) expect(ends[kind](octets(text), 0, limit)).toBe(limit);
  });
});

describe("what is no address is seen at its first wrong byte", () => {
  // A stroke stands behind that byte.
  const rows: [kind: keyof typeof ends, text: string][] = [
    ["IPv4", ".|1.1.1"],
    ["IPv4", " |"],
    ["IPv4", "256|.1.1.1"],
    ["IPv4", "1000|"],
    ["IPv4", "00|.0.0.0"],
    ["IPv4", "01|.2.3.4"],
    ["IPv4", "1..|2"],
    ["IPv4", "1.2.3 |4"],
    ["IPv4", "1.2.3. |"],
    ["IPv4", "1x|.2.3.4"],
    ["IPv4", "-|1.2.3.4"],
    ["IPv6", "g|"],
    ["IPv6", " |"],
    ["IPv6", ":1|"],
    ["IPv6", ": |"],
    ["IPv6", "1::2::|"],
    ["IPv6", "12345|"],
    ["IPv6", "1 |"],
    ["IPv6", "1:2:3:4:5:6:7 |"],
    ["IPv6", "1:2:3:4:5:6:7: |"],
    ["IPv6", "1:2:3:4:5:6:7:8:|"],
    ["IPv6", "1:2:3:4:5:6:7::8|"],
    ["IPv6", "1::2:3:4:5:6:7:|8"],
    ["IPv6", "::2:3:4:5:6:7:8:|"],
    ["IPv6", "1.|2.3.4"],
    ["IPv6", "1:2:3:4:5:6:7:8.|"],
    ["IPv6", "1:2:3:4:5:6:256.|"],
    ["IPv6", "::01.|2.3.4"],
    ["IPv6", "::f.|"],
    ["IPv6", "1:2:3:4:5:6::1.|"],
    ["IPv6", "::1.2.3 |"],
    ["IPv6", "::1.2.3.256|"],
    ["IPv6", "fe80::1:%|"],
  ];
  test.each(rows)("%s: %s", (kind, marked) => {
    const wrongAt = marked.indexOf("|");
    const bytes = octets(marked.replace("|", ""));
    for (let limit = 0; limit <= bytes.length; limit++) {
      expect({ limit, end: ends[kind](bytes, 0, limit) }).toEqual({ limit, end: limit < wrongAt ? limit : noAddress });
    }
  });
});
