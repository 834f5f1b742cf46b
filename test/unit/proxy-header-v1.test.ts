/** The PROXY header of version 1: read, refused at the first wrong byte, written. */
import { describe, expect, test } from "bun:test";
import { peekProxyHeader, type ProxyHeader, proxyHeaderBytesMax } from "../../src/protocol/proxy-header.ts";
import { peekProxyHeaderV1, proxyHeaderV1BytesMax, writeProxyHeaderV1 } from "../../src/protocol/proxy-header-v1.ts";
import { firstInvalid, peekWhole } from "../support/peek-laws.ts";

const v1 = { peek: peekProxyHeaderV1, bytesMax: proxyHeaderV1BytesMax };
const either = { peek: peekProxyHeader, bytesMax: proxyHeaderBytesMax };
const behind = Buffer.from("GET / HTTP/1.1\r\n");
const longestIpv6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

describe("a header", () => {
  const rows: [line: string, family: "tcp4" | "tcp6", source: [string, number], destination: [string, number]][] = [
    ["PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "tcp4", ["192.0.2.1", 56324], ["198.51.100.1", 443]],
    ["PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "tcp4", ["0.0.0.0", 0], ["255.255.255.255", 65535]],
    ["PROXY TCP6 2001:DB8::1 ::1 1 10\r\n", "tcp6", ["2001:db8::1", 1], ["::1", 10]],
    ["PROXY TCP6 :: 0001:0:0:0:0:0:0:0 1 2\r\n", "tcp6", ["::", 1], ["1::", 2]],
    ["PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6401 1 2\r\n", "tcp6", ["192.0.2.1", 1], ["198.51.100.1", 2]],
    [`PROXY TCP6 ${longestIpv6} ${longestIpv6} 65535 65535\r\n`, "tcp6", [longestIpv6, 65535], [longestIpv6, 65535]],
  ];
  test.each(rows)("%j", (line, family, [sourceHost, sourcePort], [destinationHost, destinationPort]) => {
    const header: ProxyHeader = {
      version: 1,
      command: "proxy",
      family,
      source: { host: sourceHost, port: sourcePort },
      destination: { host: destinationHost, port: destinationPort },
      authority: undefined,
      alpn: undefined,
    };
    expect(peekWhole(either, Buffer.from(line), behind)).toEqual(header);
    expect(peekWhole(v1, Buffer.from(line), behind)).toEqual(header);
  });

  test.each([
    "PROXY UNKNOWN\r\n",
    "PROXY UNKNOWN \r\n",
    `PROXY UNKNOWN ${longestIpv6} ${longestIpv6} 65535 65535\r\n`,
    "PROXY UNKNOWN whatever\n stands \r here, \0 and \xff\r\n",
    "PROXY UNKNOWN \r\r\n",
  ])("%j says nothing", (line) => {
    expect(peekWhole(either, Buffer.from(line, "latin1"), behind)).toEqual({
      version: 1,
      command: "proxy",
      family: "unknown",
      source: undefined,
      destination: undefined,
      authority: undefined,
      alpn: undefined,
    });
  });
});

describe("what is no header is seen at its first wrong byte", () => {
  const none = "no PROXY header";
  const family = "a PROXY header of an unknown family";
  const address = "a wrong address in a PROXY header";
  const port = "a wrong port in a PROXY header";
  // A stroke stands behind that byte.
  const rows: [marked: string, why: string][] = [
    ["G|ET / HTTP/1.1\r\n", none],
    [" |PROXY TCP4", none],
    ["\x16|\x03\x01", none],
    ["p|roxy", none],
    ["PO|ST / HTTP/1.1\r\n", none],
    ["PRI| * HTTP/2.0\r\n", none],
    ["PROXY\t|TCP4", none],
    ["PROXY\r|\n", none],
    ["PROXY  |TCP4", family],
    ["PROXY t|cp4", family],
    ["PROXY TCP5|", family],
    ["PROXY TCP |", family],
    ["PROXY TCP44|", family],
    ["PROXY TCP4\r|\n", family],
    ["PROXY UD|P4", family],
    ["PROXY UNKNOWNS|\r\n", family],
    ["PROXY UNKNOWN\n|", family],
    ["PROXY UNKNOWN\rx|", family],
    ["PROXY TCP4  |192.0.2.1", address],
    ["PROXY TCP4 192.0.2.1\t|", address],
    ["PROXY TCP4 192.0.2.1\r|\n", address],
    ["PROXY TCP4 192.0.2.1  |198.51.100.1", address],
    ["PROXY TCP4 192.0.2 |", address],
    ["PROXY TCP4 192.0.2.01|", address],
    ["PROXY TCP4 192.0.2.256|", address],
    ["PROXY TCP4 192.0.2.1.|", address],
    ["PROXY TCP4 :|:1", address],
    ["PROXY TCP6 192.|0.2.1", address],
    ["PROXY TCP6 ::1%|eth0", address],
    ["PROXY TCP6 [|::1]", address],
    ["PROXY TCP6 ::1 :1|", address],
    ["PROXY TCP6 ::1 :::|", address],
    ["PROXY TCP4 1.2.3.4 5.6.7.8  |1 2", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 \r|\n", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 00|", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 01| 2", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 65536|", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 -|1", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 +|1", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 1\r|\n", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 1\t|2", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 1  |2", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 1 \r|\n", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 1 2 |\r\n", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n|", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r|\n", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 1 02|", port],
    ["PROXY TCP4 1.2.3.4 5.6.7.8 1 99999|", port],
  ];
  test.each(rows)("%j", (marked, why) => {
    const input = Buffer.from(marked.replace("|", ""), "latin1");
    expect(firstInvalid(either, input)).toEqual({ bytes: marked.indexOf("|"), why });
  });

  test("a line of more than 107 bytes", () => {
    const why = `a PROXY header of more than ${proxyHeaderV1BytesMax} bytes`;
    const line = (bytes: number): Buffer => Buffer.from(`${"PROXY UNKNOWN ".padEnd(bytes - 2, "x")}\r\n`);
    expect(peekWhole(either, line(107), behind).family).toBe("unknown");
    expect(firstInvalid(either, line(108))).toEqual({ bytes: 107, why });
    // Both addresses with an IPv4 part: valid, but longer than the specification foresees.
    const long = `PROXY TCP6 ${Array(2).fill("1111:1111:1111:1111:1111:1111:111.111.111.111").join(" ")} 65535 65535\r\n`;
    expect(firstInvalid(either, Buffer.from(long))).toEqual({ bytes: 107, why });
  });
});

describe("a header is written", () => {
  const rows: [source: [string, number] | undefined, destination: [string, number] | undefined, line: string][] = [
    [["192.0.2.1", 56324], ["198.51.100.1", 443], "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"],
    [["2001:DB8:0:0::1", 0], ["::1", 65535], "PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"],
    [["::ffff:192.0.2.1", 1], ["::ffff:198.51.100.1", 2], "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n"],
    [["fe80::1%eth0", 1], ["fe80::2%eth0", 2], "PROXY TCP6 fe80::1 fe80::2 1 2\r\n"],
    [["192.0.2.1", 1], ["2001:db8::1", 2], "PROXY TCP6 0:0:0:0:0:ffff:c000:201 2001:db8::1 1 2\r\n"],
    [["2001:db8::1", 1], ["::ffff:192.0.2.1", 2], "PROXY TCP6 2001:db8::1 0:0:0:0:0:ffff:c000:201 1 2\r\n"],
    [undefined, undefined, "PROXY UNKNOWN\r\n"],
    [["192.0.2.1", 1], undefined, "PROXY UNKNOWN\r\n"],
    [undefined, ["192.0.2.1", 1], "PROXY UNKNOWN\r\n"],
    [["localhost", 1], ["192.0.2.1", 1], "PROXY UNKNOWN\r\n"],
    [["192.0.2.1", 65536], ["192.0.2.1", 1], "PROXY UNKNOWN\r\n"],
    [["192.0.2.1", 1], ["192.0.2.1", -1], "PROXY UNKNOWN\r\n"],
    [["192.0.2.1", 1.5], ["192.0.2.1", 1], "PROXY UNKNOWN\r\n"],
    [["192.0.2.1", Number.NaN], ["192.0.2.1", 1], "PROXY UNKNOWN\r\n"],
  ];
  test.each(rows)("from %j to %j", (source, destination, line) => {
    const end = (place: [string, number] | undefined) =>
      place === undefined ? undefined : { host: place[0], port: place[1] };
    const written = writeProxyHeaderV1(end(source), end(destination));
    expect(Buffer.from(written).toString()).toBe(line);
    expect(peekProxyHeader(written)).toMatchObject({ kind: "done", bytes: line.length });
  });
});
