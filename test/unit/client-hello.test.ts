/** The ClientHello: what is read from it, at which byte something else is seen, and which mistakes are refused. */
import { describe, expect, test } from "bun:test";
import { type ClientHello, clientHelloBytesMax, peekClientHello } from "../../src/protocol/client-hello.ts";
import {
  alpn,
  entry,
  extension,
  grease,
  helloMessage,
  inRecords,
  keyShare,
  latin1,
  record,
  serverName,
  serverNameList,
  uint,
  vector,
} from "../support/client-hello.ts";
import { clientHello } from "../support/openings.ts";
import { firstInvalid, peekWhole } from "../support/peek-laws.ts";
import { joined } from "../support/joined.ts";

const parser = { peek: peekClientHello, bytesMax: clientHelloBytesMax };
/** What a client sends behind its ClientHello with early data (RFC 8446 section 4.2.10): a compatibility record, then ciphertext. */
const behind = joined(record(Uint8Array.of(1), { type: 20 }), record(new Uint8Array(40), { type: 23 }));

describe("a ClientHello", () => {
  const rows: [what: string, bytes: Uint8Array, hello: ClientHello][] = [
    ["that names a host", clientHello({ serverName: "www.example.com" }), { serverName: "www.example.com", alpn: [] }],
    [
      "that names a host in capitals",
      clientHello({ serverName: "WWW.Example.com" }),
      { serverName: "www.example.com", alpn: [] },
    ],
    [
      "that names a host with a final dot",
      clientHello({ serverName: "example.com." }),
      { serverName: "example.com", alpn: [] },
    ],
    ["that names none", clientHello({}), { serverName: undefined, alpn: [] }],
    [
      "that names an IPv4 address",
      clientHello({ serverName: "192.0.2.1", alpn: ["h2"] }),
      { serverName: undefined, alpn: ["h2"] },
    ],
    ["that names an IPv6 address", clientHello({ serverName: "2001:db8::1" }), { serverName: undefined, alpn: [] }],
    [
      "with protocols, in their order",
      clientHello({ serverName: "a", alpn: ["h2", "http/1.1"] }),
      { serverName: "a", alpn: ["h2", "http/1.1"] },
    ],
    [
      "with protocols that are no text",
      clientHello({ serverName: "a", alpn: ["\n\n", "\xff"] }),
      { serverName: "a", alpn: ["\n\n", "\xff"] },
    ],
    [
      "with a protocol of 255 bytes",
      clientHello({ serverName: "a", alpn: ["x".repeat(255)] }),
      { serverName: "a", alpn: ["x".repeat(255)] },
    ],
    [
      "with the protocols before the name, and unknown extensions between and behind",
      inRecords(
        helloMessage({
          extensions: [
            grease(0x2a2a),
            alpn("h2"),
            extension(0xfe0d, new Uint8Array(200)),
            serverName("b"),
            grease(0xfafa),
          ],
        }),
      ),
      { serverName: "b", alpn: ["h2"] },
    ],
    ["of TLS 1.0, without extensions", withoutExtensions(0x0301), { serverName: undefined, alpn: [] }],
    ["of SSL 3.0", withoutExtensions(0x0300), { serverName: undefined, alpn: [] }],
    [
      "of a version that is still to come, in a record of another one",
      record(helloMessage({ version: 0x0309, extensions: [serverName("c")] }), { version: 0x03ff }),
      { serverName: "c", alpn: [] },
    ],
    ["without a session", inRecords(helloMessage({ session: new Uint8Array() })), { serverName: undefined, alpn: [] }],
    [
      "with no extensions in their list",
      inRecords(helloMessage({ extensions: [] })),
      { serverName: undefined, alpn: [] },
    ],
    ["with X25519MLKEM768, 1.4 KB", postQuantum(1216 + 32), { serverName: "pq.example", alpn: ["h2"] }],
    [
      "with X25519Kyber768Draft00 as well, 2.7 KB",
      postQuantum(2 * 1216 + 32),
      { serverName: "pq.example", alpn: ["h2"] },
    ],
  ];
  test.each(rows)("%s", (_, bytes, hello) => {
    expect(peekWhole(parser, bytes, behind)).toEqual(hello);
  });

  test("is the same in records of any size, down to one byte each", () => {
    const message = helloMessage({ extensions: [keyShare(300), serverName("split.example"), alpn("h2", "x")] });
    const hello = { serverName: "split.example", alpn: ["h2", "x"] };
    for (let size = 1; size < message.length; size++) {
      expect(peekWhole(parser, inRecords(message, size), behind)).toEqual(hello);
    }
    for (const size of [1, 2, 3, 7, 100]) {
      const sizes = Array<number>(Math.ceil(message.length / size)).fill(size);
      expect(peekWhole(parser, inRecords(message, ...sizes), behind)).toEqual(hello);
    }
  });

  test("may have 16 KiB with all its records, and not one byte more", () => {
    const fits = helloOfBytes(clientHelloBytesMax);
    expect(fits.length).toBe(clientHelloBytesMax);
    expect(peekClientHello(fits)).toEqual({
      kind: "done",
      value: { serverName: "long.example", alpn: [] },
      bytes: clientHelloBytesMax,
    });
    expect(peekClientHello(fits.subarray(0, -1))).toEqual({ kind: "more" });
    const why = `a TLS handshake message of more than ${clientHelloBytesMax} bytes`;
    // The head of the record tells it.
    expect(firstInvalid(parser, helloOfBytes(clientHelloBytesMax + 1))).toEqual({ bytes: 5, why });
    const message = helloOfBytes(clientHelloBytesMax).subarray(5);
    // Two records have one head too many: that of the second tells it.
    expect(firstInvalid(parser, inRecords(message, 100))).toEqual({ bytes: 5 + 100 + 5, why });
    // The message's own length tells it, when its first record is small.
    const tooLong = joined(uint(1, 1), uint(3, clientHelloBytesMax), new Uint8Array(96));
    expect(firstInvalid(parser, record(tooLong))).toEqual({ bytes: 9, why });
    expect(firstInvalid(parser, record(Uint8Array.of(1, 0xff, 0xff, 0xff, 3, 3)))).toEqual({ bytes: 9, why });
    // Records of one byte: there is no room for one more.
    const ones = inRecords(helloMessage({ extensions: [keyShare(4000)] }), ...Array<number>(4000).fill(1));
    expect(firstInvalid(parser, ones)).toEqual({ bytes: Math.ceil((clientHelloBytesMax - 5) / 6) * 6, why });
  });
});

describe("what is no TLS is seen at its first wrong byte", () => {
  const notTls = "not TLS";
  const other = "a TLS handshake message other than ClientHello";
  const interrupted = "a TLS handshake message interrupted by another record";
  const message = helloMessage({ extensions: [serverName("a")] });
  const rows: [what: string, input: Uint8Array, bytes: number, why: string][] = [
    ["HTTP", latin1("GET / HTTP/1.1\r\n"), 1, notTls],
    ["SSH", latin1("SSH-2.0-OpenSSH_9.2\r\n"), 1, notTls],
    ["a PROXY header", latin1("PROXY TCP4 "), 1, notTls],
    ["nothing but zeros", new Uint8Array(8), 1, notTls],
    ["an SSL 2.0 hello", Uint8Array.of(0x80, 0x2e, 1, 3, 1), 1, notTls],
    ["an alert", record(Uint8Array.of(1, 0), { type: 21 }), 1, notTls],
    ["application data", record(new Uint8Array(9), { type: 23 }), 1, notTls],
    ["a record of version 2", record(message, { version: 0x0201 }), 2, notTls],
    ["a record of version 4", record(message, { version: 0x0400 }), 2, notTls],
    ["a record of DTLS", record(message, { version: 0xfeff }), 2, notTls],
    ["an empty record", joined(record(new Uint8Array()), inRecords(message)), 5, notTls],
    ["a record of 64 KiB", Uint8Array.of(22, 3, 1, 0xff, 0xff), 4, notTls],
    ["a record of 16 KiB and a byte", Uint8Array.of(22, 3, 1, 0x40, 1), 5, notTls],
    ["a HelloRequest", record(Uint8Array.of(0, 0, 0, 0)), 6, other],
    ["a ServerHello", record(joined(Uint8Array.of(2), message.subarray(1))), 6, other],
    [
      "an alert within",
      joined(record(message.subarray(0, 50)), record(Uint8Array.of(1, 0), { type: 21 })),
      56,
      interrupted,
    ],
    [
      "a second record of version 2",
      joined(record(message.subarray(0, 50)), record(message.subarray(50), { version: 0x0201 })),
      57,
      notTls,
    ],
    ["an empty second record", joined(record(message.subarray(0, 50)), record(new Uint8Array())), 60, notTls],
  ];
  test.each(rows)("%s", (_, input, bytes, why) => {
    expect(firstInvalid(parser, input)).toEqual({ bytes, why });
  });

  test("a record that goes on behind the ClientHello, as soon as both lengths are known", () => {
    const why = "a TLS record that goes on behind its handshake message";
    expect(firstInvalid(parser, record(joined(message, Uint8Array.of(0))))).toEqual({ bytes: 9, why });
    const second = joined(message.subarray(50), message);
    expect(firstInvalid(parser, joined(record(message.subarray(0, 50)), record(second)))).toEqual({ bytes: 60, why });
    // The length of the message comes in the second record.
    const rest = joined(message.subarray(2), message);
    expect(firstInvalid(parser, joined(record(message.subarray(0, 2)), record(rest)))).toEqual({ bytes: 14, why });
  });
});

describe("a ClientHello with a mistake is refused:", () => {
  const malformed = "a malformed ClientHello";
  const broken = "a malformed TLS handshake message";
  const noName = "a server name that is no host name";
  const withServerName = (body: Uint8Array): Uint8Array =>
    inRecords(helloMessage({ extensions: [extension(0, body)] }));
  const withAlpn = (body: Uint8Array): Uint8Array => inRecords(helloMessage({ extensions: [extension(16, body)] }));
  const rows: [what: string, bytes: Uint8Array, why: string][] = [
    ["a version that is no TLS", inRecords(helloMessage({ version: 0x0203 })), malformed],
    ["a session of 33 bytes", inRecords(helloMessage({ session: new Uint8Array(33) })), malformed],
    ["no cipher suite", inRecords(helloMessage({ cipherSuites: new Uint8Array() })), malformed],
    ["half a cipher suite", inRecords(helloMessage({ cipherSuites: new Uint8Array(3) })), malformed],
    ["no compression method", inRecords(helloMessage({ compressionMethods: new Uint8Array() })), malformed],
    ["a message that ends too soon", record(joined(uint(1, 1), vector(3, new Uint8Array(20).fill(3)))), broken],
    ["an empty message", record(Uint8Array.of(1, 0, 0, 0)), broken],
    ["extensions longer than the message", lengthened(1), broken],
    ["extensions shorter than the message", lengthened(-1), malformed],
    ["an extension longer than all", inRecords(helloMessage({ extensions: [joined(uint(2, 5), uint(2, 9))] })), broken],
    ["half the head of an extension", inRecords(helloMessage({ extensions: [uint(2, 5)] })), broken],
    ["an empty extension for the name", withServerName(new Uint8Array()), broken],
    ["an empty list of names", withServerName(serverNameList()), broken],
    [
      "a list of names that ends before its extension",
      withServerName(joined(serverNameList(entry(0, "a")), uint(1, 0))),
      malformed,
    ],
    ["a list of names that goes on behind it", withServerName(joined(uint(2, 9), entry(0, "a"))), broken],
    ["two names", withServerName(serverNameList(entry(0, "a"), entry(0, "b"))), "more than one server name"],
    ["the same name twice", withServerName(serverNameList(entry(0, "a"), entry(0, "a"))), "more than one server name"],
    [
      "a name behind one of another type",
      withServerName(serverNameList(entry(1, "x"), entry(0, "a"))),
      "a server name of an unknown type",
    ],
    [
      "a name of another type behind the name",
      withServerName(serverNameList(entry(0, "a"), entry(1, "x"))),
      "more than one server name",
    ],
    [
      "two extensions with names",
      inRecords(helloMessage({ extensions: [serverName("a"), serverName("a")] })),
      "a ClientHello with two lists of server names",
    ],
    ["an empty name", clientHello({ serverName: "" }), noName],
    ["a name with a zero byte", clientHello({ serverName: "a.example\0.b" }), noName],
    ["a name with a space", clientHello({ serverName: "a b" }), noName],
    ["a name that is not ASCII", clientHello({ serverName: "b\xfccher.example" }), noName],
    ["a name with an empty label", clientHello({ serverName: "a..b" }), noName],
    ["a wildcard", clientHello({ serverName: "*.example.com" }), noName],
    ["a URL", clientHello({ serverName: "https://a.example" }), noName],
    ["a name with a port", clientHello({ serverName: "a.example:443" }), noName],
    ["a name of 254 characters", clientHello({ serverName: `${"a.".repeat(126)}bb` }), noName],
    ["a name of 256 bytes", clientHello({ serverName: "a".repeat(256) }), noName],
    ["an empty extension for protocols", withAlpn(new Uint8Array()), broken],
    ["an empty list of protocols", withAlpn(uint(2, 0)), malformed],
    ["an empty protocol", withAlpn(vector(2, Uint8Array.of(0))), malformed],
    ["an empty protocol behind one", withAlpn(vector(2, Uint8Array.of(1, 0x78, 0))), malformed],
    ["a protocol longer than the list", withAlpn(vector(2, Uint8Array.of(3, 0x68, 0x32))), broken],
    [
      "a list of protocols that ends before its extension",
      withAlpn(joined(vector(2, Uint8Array.of(1, 0x78)), uint(1, 0))),
      malformed,
    ],
    [
      "two extensions with protocols",
      inRecords(helloMessage({ extensions: [alpn("h2"), alpn("h2")] })),
      "a ClientHello with two lists of protocols",
    ],
  ];
  test.each(rows)("%s", (_, bytes, why) => {
    expect(peekClientHello(bytes)).toEqual({ kind: "invalid", why });
    expect(peekClientHello(joined(bytes, behind))).toEqual({ kind: "invalid", why });
    expect(firstInvalid(parser, bytes)).toMatchObject({ why });
  });
});

function withoutExtensions(version: number): Uint8Array {
  return record(helloMessage({ version, session: new Uint8Array(), extensions: undefined }), { version });
}

function postQuantum(bytes: number): Uint8Array {
  return inRecords(helloMessage({ extensions: [keyShare(bytes), serverName("pq.example"), alpn("h2")] }));
}

/** One record with a hello of so many bytes in all. */
function helloOfBytes(bytes: number): Uint8Array {
  const padded = (padding: number): Uint8Array =>
    inRecords(helloMessage({ extensions: [extension(21, new Uint8Array(padding)), serverName("long.example")] }));
  return padded(bytes - padded(0).length);
}

/** The length of the extensions is wrong by so much, and they are the last bytes. */
function lengthened(difference: number): Uint8Array {
  const bytes = inRecords(helloMessage({ extensions: [grease(0x0a0a), grease(0x1a1a)] }));
  bytes[bytes.length - 9]! += difference;
  return bytes;
}
