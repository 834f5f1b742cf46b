/** Addresses as text: what is read, what is refused and with which hint, which are loopback, and which are the same. */
import { describe, expect, test } from "bun:test";
import { type Address, canonicalHost, formatAddress, isIp, isLoopback, parseAddress } from "../../src/core/address.ts";

const tcp = (host: string, port: number): Address => ({ kind: "tcp", host, port });
const unix = (path: string): Address => ({ kind: "unix", path });

describe("an address that is read, and written as it was", () => {
  const label = "a".repeat(63);
  const longName = `${label}.${label}.${label}.${"a".repeat(61)}`;
  const rows: [text: string, address: Address][] = [
    ["127.0.0.1:80", tcp("127.0.0.1", 80)],
    ["0.0.0.0:0", tcp("0.0.0.0", 0)],
    ["255.255.255.255:65535", tcp("255.255.255.255", 65_535)],
    [":80", tcp("", 80)],
    [":0", tcp("", 0)],
    ["[::1]:80", tcp("::1", 80)],
    ["[::]:8080", tcp("::", 8080)],
    ["[2001:db8::1]:443", tcp("2001:db8::1", 443)],
    ["[::ffff:10.0.0.1]:443", tcp("::ffff:10.0.0.1", 443)],
    ["[fe80::1%eth0]:80", tcp("fe80::1%eth0", 80)],
    ["localhost:80", tcp("localhost", 80)],
    ["LocalHost:80", tcp("LocalHost", 80)],
    ["app:80", tcp("app", 80)],
    ["app.example.com:80", tcp("app.example.com", 80)],
    ["app.example.com.:80", tcp("app.example.com.", 80)],
    ["a:1", tcp("a", 1)],
    ["my_service-1:80", tcp("my_service-1", 80)],
    ["_srv._tcp.example:80", tcp("_srv._tcp.example", 80)],
    ["10.0.0.1.example:80", tcp("10.0.0.1.example", 80)],
    ["1a:80", tcp("1a", 80)],
    [`${label}:80`, tcp(label, 80)],
    [`${longName}:80`, tcp(longName, 80)],
    ["unix:/run/x.sock", unix("/run/x.sock")],
    ["unix:relative.sock", unix("relative.sock")],
    ["unix:/run/with:80", unix("/run/with:80")],
    [`unix:/${"x".repeat(106)}`, unix(`/${"x".repeat(106)}`)],
  ];
  test.each(rows)("%s", (text, address) => {
    expect(parseAddress(text)).toEqual({ ok: true, value: address });
    expect(formatAddress(address)).toBe(text);
  });
});

describe("an address that is refused", () => {
  const EXAMPLES = '"127.0.0.1:80", "[::1]:80" or "name:80"';
  const PORT = `an address with a port from 0 to 65535, such as ${EXAMPLES}`;
  const HOST = `a host name or an IP address before the port, such as ${EXAMPLES}`;
  const BRACKETS = 'an IPv6 address in brackets and a port, such as "[::1]:80"';
  const INSIDE = 'an IPv6 address inside the brackets, such as "[::1]:80"';
  const FOUR = "an IPv4 address of four numbers from 0 to 255, or a name";
  const SCHEME = `an address without a scheme, such as ${EXAMPLES}`;
  const PATH = `an address without a path, such as ${EXAMPLES}`;
  const rows: [text: string, wanted: string][] = [
    ["", `an address with a port, such as ${EXAMPLES}`],
    ["localhost", 'an address with a port, such as "localhost:80"'],
    ["127.0.0.1", 'an address with a port, such as "127.0.0.1:80"'],
    ["[::1]", 'an address with a port, such as "[::1]:80"'],
    ["80", `an address with a port, such as ${EXAMPLES}`],
    ["not a name", `an address with a port, such as ${EXAMPLES}`],
    ["[not-ipv6]", `an address with a port, such as ${EXAMPLES}`],
    ["::1", BRACKETS],
    ["::1:80", BRACKETS],
    ["2001:db8::1", BRACKETS],
    ["a:b:80", BRACKETS],
    ["[::g]:80", INSIDE],
    ["[]:80", INSIDE],
    ["[127.0.0.1]:80", INSIDE],
    ["[localhost]:80", INSIDE],
    ["127.0.0.1:", PORT],
    ["127.0.0.1:http", PORT],
    ["127.0.0.1:-1", PORT],
    ["127.0.0.1:+80", PORT],
    ["127.0.0.1: 80", PORT],
    ["127.0.0.1:80 ", PORT],
    ["127.0.0.1:080", PORT],
    ["127.0.0.1:65536", PORT],
    ["127.0.0.1:100000", PORT],
    ["127.0.0.1:1e3", PORT],
    ["127.0.0.1:0x50", PORT],
    ["127.0.0.1:٨٠", PORT],
    [":", PORT],
    ["127.1:80", FOUR],
    ["256.0.0.1:80", FOUR],
    ["1.2.3:80", FOUR],
    ["1.2.3.4.5:80", FOUR],
    ["127.0.0.01:80", FOUR],
    ["127.0.0.1.:80", FOUR],
    ["2130706433:80", FOUR],
    ["-app:80", HOST],
    ["app-:80", HOST],
    ["a..b:80", HOST],
    [".app:80", HOST],
    ["*:80", HOST],
    ["*.example.com:80", HOST],
    ["user@host:80", HOST],
    ["a b:80", HOST],
    ["bücher.example:80", HOST],
    ["a\u0000b:80", HOST],
    [`${"a".repeat(64)}:80`, HOST],
    [`${"a.".repeat(127)}:80`, HOST],
    ["http://127.0.0.1:80", SCHEME],
    ["tcp://127.0.0.1:80", SCHEME],
    ["127.0.0.1:80/", PATH],
    ["10.0.0.0/8", PATH],
    ["/run/x.sock", PATH],
    ["unix:", 'a path after "unix:", such as "unix:/run/x.sock"'],
    ["unix:/a\u0000b", 'a path after "unix:", such as "unix:/run/x.sock"'],
    [`unix:/${"x".repeat(107)}`, "a socket path of at most 107 bytes"],
    [`unix:/${"ä".repeat(54)}`, "a socket path of at most 107 bytes"],
  ];
  test.each(rows)("%j", (text, wanted) => {
    expect(parseAddress(text)).toEqual({ ok: false, wanted });
  });
});

describe("only this machine reaches", () => {
  const local = ["127.0.0.1:1", "127.255.0.9:1", "[::1]:1", "[0:0::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1"];
  test.each([...local, "LOCALHOST:1", "localhost.:1", "unix:/run/x.sock"])("%s", (text) => {
    expect(isLoopback(addressOf(text))).toBe(true);
  });

  const others = ["0.0.0.0:1", ":1", "[::]:1", "10.0.0.1:1", "128.0.0.1:1", "[fe80::1]:1", "[::ffff:10.0.0.1]:1"];
  test.each([...others, "example.com:1", "localhost.example.com:1", "127.example:1"])("more than %s", (text) => {
    expect(isLoopback(addressOf(text))).toBe(false);
  });
});

describe("one spelling for each host", () => {
  const rows: [host: string, canonical: string][] = [
    ["", ""],
    ["App", "app"],
    ["app.", "app"],
    ["10.0.0.1", "10.0.0.1"],
    ["::", "::"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["0::0:0:0:0.0.0.0", "::"],
    ["::1", "::1"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["0000::0001", "::1"],
    ["1::", "1::"],
    ["2001:DB8::1", "2001:db8::1"],
    ["2001:0db8:0:0:0:0:0:1", "2001:db8::1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:0:0:2:3:0:0:4", "1::2:3:0:0:4"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["::FFFF:0A00:0001", "10.0.0.1"],
    ["::10.0.0.1", "::a00:1"],
    ["FE80::1%eth0", "fe80::1%eth0"],
  ];
  test.each(rows)("%j is %j", (host, canonical) => {
    expect(canonicalHost(host)).toBe(canonical);
    expect(canonicalHost(canonical)).toBe(canonical);
  });
});

test("a name is no IP address, and neither is nothing", () => {
  expect(["10.0.0.1", "::1", "::ffff:10.0.0.1"].map(isIp)).toEqual([true, true, true]);
  expect(["app", "localhost", "", "[::1]", "10.0.0"].map(isIp)).toEqual([false, false, false, false, false]);
});

function addressOf(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed.ok) throw new Error(`${text} is not an address, wanted ${parsed.wanted}`);
  return parsed.value;
}
