/** What scripts/fuzz.ts tries: each parser of src/protocol with its bound and with inputs to begin from. */
import { formatByteText, parseByteText } from "../src/protocol/byte-text.ts";
import { clientHelloBytesMax, peekClientHello } from "../src/protocol/client-hello.ts";
import { httpRequestBytesMax, peekHttpRequest, peekRequestTarget } from "../src/protocol/http-request.ts";
import { peekProxyHeader, proxyHeaderBytesMax } from "../src/protocol/proxy-header.ts";
import { writeProxyHeaderV1 } from "../src/protocol/proxy-header-v1.ts";
import { writeProxyHeaderV2 } from "../src/protocol/proxy-header-v2.ts";
import * as hello from "../test/support/client-hello.ts";
import { clientHello } from "../test/support/openings.ts";
import { BrokenLaw, type Parser, peekLawfully } from "../test/support/peek-laws.ts";
import { emptyChecksum, withChecksum } from "../test/support/proxy-checksum.ts";
import { command, ends4, family, proxyV2, tlv, tlvType } from "../test/support/proxy-headers.ts";

/** One thing to try. */
export interface FuzzTarget {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  /** From here on every input has to be decided; longer ones are tried too. */
  readonly bytesMax: number;
  /** Tries one input, and its beginning up to `cut`. Returns what came of it; throws when something is wrong. */
  readonly attempt: (input: Uint8Array, cut: number) => string;
}

/** A parser of an opening, with the laws of all of them. */
export function peekTarget<T>(name: string, parser: Parser<T>, seeds: readonly Uint8Array[]): FuzzTarget {
  return {
    name,
    seeds,
    bytesMax: parser.bytesMax,
    attempt: (input, cut) => peekLawfully(parser, input, cut).kind,
  };
}

/** Every target, in the order in which they are tried. A further parser is a further line. */
export const fuzzTargets: readonly FuzzTarget[] = [
  peekTarget("client-hello", { peek: peekClientHello, bytesMax: clientHelloBytesMax }, helloSeeds()),
  peekTarget("http-request", { peek: peekHttpRequest, bytesMax: httpRequestBytesMax }, httpSeeds()),
  peekTarget("request-target", { peek: peekRequestTarget, bytesMax: httpRequestBytesMax }, httpSeeds()),
  peekTarget("proxy-header", { peek: peekProxyHeader, bytesMax: proxyHeaderBytesMax }, proxySeeds()),
  { name: "byte-text", seeds: textSeeds(), bytesMax: 1024, attempt: attemptByteText },
];

function helloSeeds(): Uint8Array[] {
  const { alpn, extension, grease, helloMessage, inRecords, keyShare, serverName } = hello;
  const whole = helloMessage({
    extensions: [
      grease(0x0a0a),
      serverName("www.example.com"),
      alpn("h2", "http/1.1"),
      extension(43, hello.vector(1, Uint8Array.of(3, 4, 3, 3))),
    ],
  });
  const postQuantum = helloMessage({ extensions: [keyShare(1216 + 32), serverName("pq.example"), alpn("h2")] });
  return [
    clientHello({}),
    clientHello({ serverName: "a.example" }),
    clientHello({ serverName: "192.0.2.1", alpn: ["h2"] }),
    inRecords(whole),
    inRecords(whole, 1, 2, 3, 4, 5, 40, 41),
    inRecords(postQuantum),
    inRecords(postQuantum, 512, 512),
    inRecords(helloMessage({ version: 0x0301, session: new Uint8Array(), extensions: undefined })),
  ];
}

function httpSeeds(): Uint8Array[] {
  return [
    "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
    "POST /api/v1/things?x=1#y HTTP/1.1\r\nhost: example.com:8080\r\nContent-Length: 5\r\nAccept: */*\r\n\r\nhello",
    "\r\n\nOPTIONS * HTTP/1.0\nHOST:[::1]:80\nX-Empty:\n\n",
    "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
    "GET http://example.com:80/a%20b?c HTTP/1.1\r\nHost: other.example\r\nHost: other.example\r\nCookie: a=\u00e4\r\n\r\n",
    `GET /${"a/".repeat(40)} HTTP/1.1\r\n${"X-Field: some value\r\n".repeat(4)}Host:\t[2001:db8::1] \r\n\r\n`,
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "SSH-2.0-OpenSSH_9.2\r\n",
  ].map((text) => Buffer.from(text, "latin1"));
}

function proxySeeds(): Uint8Array[] {
  const ipv4 = { host: "192.0.2.1", port: 56_324 };
  const ipv6 = { host: "2001:db8::1", port: 443 };
  const ends = [
    [ipv4, { host: "255.255.255.255", port: 65_535 }],
    [ipv6, { host: "::", port: 0 }],
    [ipv4, ipv6],
    [undefined, undefined],
  ] as const;
  const tlvs = { authority: "www.example.com", alpn: "h2" };
  const values = [tlv(tlvType.alpn, tlvs.alpn), tlv(tlvType.authority, tlvs.authority)];
  return [
    ...ends.map(([source, destination]) => writeProxyHeaderV1(source, destination)),
    Buffer.from("PROXY TCP6 ::ffff:192.0.2.1 1:2:3:4:5:6:7:8 1 2\r\n"),
    Buffer.from(`PROXY UNKNOWN ${"ffff:".repeat(15)}ffff 65535 65535\r\n`),
    ...ends.map(([source, destination]) => writeProxyHeaderV2(source, destination, tlvs)),
    withChecksum(proxyV2(command.proxy, family.tcp4, ends4, ...values, emptyChecksum)),
    proxyV2(command.proxy, family.unspecified, tlv(tlvType.noop, Uint8Array.of(9, 9)), tlv(0xe0, "")),
    proxyV2(command.proxy, family.unix, new Uint8Array(216).fill(0x61)),
    proxyV2(command.local, family.unspecified, new Uint8Array(20)),
  ];
}

function textSeeds(): Uint8Array[] {
  return ["SSH-2.0-", "\\x16\\x03\\x01", "PING\\r\\n", "\\\\\\0\\t", "gr\u00fc\u00dfe \\xe2\u{1f600}"].map((text) =>
    Buffer.from(text),
  );
}

/** Bytes come through text and back, and what text means does not change when it is written anew. */
function attemptByteText(input: Uint8Array): string {
  const back = parseByteText(formatByteText(input));
  if (!back.ok || Buffer.compare(back.value, input) !== 0) throw new BrokenLaw("bytes do not come back");
  const parsed = parseByteText(decoder.decode(input));
  if (!parsed.ok) return "refused";
  const again = parseByteText(formatByteText(parsed.value));
  if (!again.ok || Buffer.compare(again.value, parsed.value) !== 0)
    throw new BrokenLaw("text means something else anew");
  return "read";
}

const decoder = new TextDecoder();
