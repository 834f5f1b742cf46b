/** Networks as text, and sets of them. */
import { describe, expect, test } from "bun:test";
import { type Cidr, CidrSet, formatCidr, parseCidr } from "../../src/core/cidr.ts";

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (!parsed.ok) throw new Error(`${text} is no network, wanted ${parsed.wanted}`);
  return parsed.value;
}

const set = (...texts: string[]): CidrSet => new CidrSet(texts.map(cidr));

describe("a network that is read", () => {
  const rows: [text: string, network: Cidr, written: string][] = [
    ["10.0.0.0/8", { kind: "ipv4", address: "10.0.0.0", bits: 8 }, "10.0.0.0/8"],
    ["0.0.0.0/0", { kind: "ipv4", address: "0.0.0.0", bits: 0 }, "0.0.0.0/0"],
    ["192.0.2.7", { kind: "ipv4", address: "192.0.2.7", bits: 32 }, "192.0.2.7/32"],
    ["192.0.2.7/32", { kind: "ipv4", address: "192.0.2.7", bits: 32 }, "192.0.2.7/32"],
    ["192.0.2.128/25", { kind: "ipv4", address: "192.0.2.128", bits: 25 }, "192.0.2.128/25"],
    ["2001:DB8::/32", { kind: "ipv6", address: "2001:db8::", bits: 32 }, "2001:db8::/32"],
    ["::/0", { kind: "ipv6", address: "::", bits: 0 }, "::/0"],
    ["::1", { kind: "ipv6", address: "::1", bits: 128 }, "::1/128"],
    ["fe80:0:0:0::/10", { kind: "ipv6", address: "fe80::", bits: 10 }, "fe80::/10"],
    ["::ffff:10.0.0.0/104", { kind: "ipv4", address: "10.0.0.0", bits: 8 }, "10.0.0.0/8"],
    ["::ffff:0:0/96", { kind: "ipv4", address: "0.0.0.0", bits: 0 }, "0.0.0.0/0"],
    ["::ffff:10.1.2.3", { kind: "ipv4", address: "10.1.2.3", bits: 32 }, "10.1.2.3/32"],
    ["::fffe:0:0/95", { kind: "ipv6", address: "::fffe:0:0", bits: 95 }, "::fffe:0:0/95"],
  ];
  test.each(rows)("%s", (text, network, written) => {
    expect(parseCidr(text)).toEqual({ ok: true, value: network });
    expect(formatCidr(network)).toBe(written);
    expect(parseCidr(written)).toEqual({ ok: true, value: network });
  });
});

describe("a network that is refused", () => {
  const ADDRESS = 'an IP address with or without a prefix length, such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.7"';
  const bits = (most: number) =>
    `a prefix length from /0 to /${most}, such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.7"`;
  const instead = (network: string, alone: string) =>
    `a network address, such as "${network}", or "${alone}" for this address alone`;
  const rows: [text: string, wanted: string][] = [
    ["", ADDRESS],
    ["/8", ADDRESS],
    ["10/8", ADDRESS],
    ["10.0.0/24", ADDRESS],
    ["localhost", ADDRESS],
    ["[::1]/128", ADDRESS],
    ["10.0.0.1:80", ADDRESS],
    ["fe80::%eth0/64", ADDRESS],
    ["fe80::1%eth0", ADDRESS],
    [" 10.0.0.0/8", ADDRESS],
    ["10.0.0.0/", bits(32)],
    ["10.0.0.0/33", bits(32)],
    ["10.0.0.0/08", bits(32)],
    ["10.0.0.0/-1", bits(32)],
    ["10.0.0.0/8 ", bits(32)],
    ["10.0.0.0/255.0.0.0", bits(32)],
    ["10.0.0.0/8/8", bits(32)],
    ["::/129", bits(128)],
    ["::/1e1", bits(128)],
    ["10.1.2.3/8", instead("10.0.0.0/8", "10.1.2.3")],
    ["10.0.0.1/31", instead("10.0.0.0/31", "10.0.0.1")],
    ["1.2.3.4/0", instead("0.0.0.0/0", "1.2.3.4")],
    ["2001:db8::1/32", instead("2001:db8::/32", "2001:db8::1")],
    ["8000::/0", instead("::/0", "8000::")],
    ["::ffff:10.1.0.0/104", instead("10.0.0.0/8", "10.1.0.0")],
    // Of IPv6 these are the first 64 bits, and the rest of the address is beyond them.
    ["::ffff:10.0.0.0/64", instead("::/64", "10.0.0.0")],
  ];
  test.each(rows)("%j", (text, wanted) => {
    expect(parseCidr(text)).toEqual({ ok: false, wanted });
  });
});

describe("a set of networks", () => {
  test("without any has nobody", () => {
    expect(set().empty).toBe(true);
    expect(set().has("10.0.0.1")).toBe(false);
    expect(set("10.0.0.0/8").empty).toBe(false);
  });

  test("has what is in one of them, up to both ends", () => {
    const networks = set("10.0.0.0/8", "192.0.2.128/25", "2001:db8::/33", "203.0.113.9");
    const inside = ["10.0.0.0", "10.255.255.255", "192.0.2.128", "192.0.2.255", "203.0.113.9"];
    const outside = ["9.255.255.255", "11.0.0.0", "192.0.2.127", "192.0.3.0", "203.0.113.8", "203.0.113.10"];
    expect(inside.filter((host) => !networks.has(host))).toEqual([]);
    expect(outside.filter((host) => networks.has(host))).toEqual([]);
    expect(["2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"].map((host) => networks.has(host))).toEqual([
      true,
      true,
    ]);
    expect(["2001:db7:ffff::", "2001:db8:8000::"].map((host) => networks.has(host))).toEqual([false, false]);
  });

  test("has an IPv4 address however it is written", () => {
    for (const networks of [set("10.0.0.0/8"), set("::ffff:10.0.0.0/104")]) {
      for (const host of ["10.1.2.3", "::ffff:10.1.2.3", "::FFFF:A01:203", "0:0:0:0:0:ffff:a01:203"]) {
        expect(networks.has(host)).toBe(true);
      }
      expect(["11.1.2.3", "::ffff:11.1.2.3", "::10.1.2.3"].map((host) => networks.has(host))).toEqual([
        false,
        false,
        false,
      ]);
    }
  });

  test("that has all of a family has all of it; IPv4 is a part of IPv6", () => {
    const [all4, all6] = [set("0.0.0.0/0"), set("::/0")];
    for (const host of ["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"]) {
      expect([all4.has(host), all6.has(host)]).toEqual([true, true]);
    }
    for (const host of ["::", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::1%eth0"]) {
      expect([all4.has(host), all6.has(host)]).toEqual([false, true]);
    }
  });

  test("has nothing that is no address", () => {
    const all = set("0.0.0.0/0", "::/0");
    expect(["", "unknown", "localhost", "unix:", "10.0.0.1:80", "[::1]"].filter((host) => all.has(host))).toEqual([]);
  });
});
