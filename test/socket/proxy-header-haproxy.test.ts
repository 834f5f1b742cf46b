/** PROXY headers that HAProxy writes, and what it makes of those we write and of others. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect as tlsConnect } from "node:tls";
import fc from "fast-check";
import { canonicalHost } from "../../src/core/address.ts";
import {
  type HostPort,
  peekProxyHeader,
  type ProxyHeader,
  proxyHeaderBytesMax,
} from "../../src/protocol/proxy-header.ts";
import { writeProxyHeaderV1 } from "../../src/protocol/proxy-header-v1.ts";
import { writeProxyHeaderV2 } from "../../src/protocol/proxy-header-v2.ts";
import { type Backend, listen } from "../support/backend.ts";
import { type Balancer, startHaproxy } from "../support/balancers.ts";
import { certificate } from "../support/certificates.ts";
import { changed } from "../support/changed-bytes.ts";
import { connect } from "../support/peer.ts";
import { peekWhole } from "../support/peek-laws.ts";
import { joined } from "../support/joined.ts";
import { lacks } from "../support/programs.ts";
import { emptyChecksum, withChecksum } from "../support/proxy-checksum.ts";
import { ends4, ends6, proxyV2, tlv } from "../support/proxy-headers.ts";
import { until } from "../support/until.ts";

const parser = { peek: peekProxyHeader, bytesMax: proxyHeaderBytesMax };
const missing = lacks("haproxy", "openssl");
const payload = Buffer.from("behind it");

/** What HAProxy's ports do with what comes, and how they hand it on to the backend. */
const services = {
  /** Takes a PROXY header of either version, and writes what it has read in version 2. */
  reads: { bind: "accept-proxy", server: "send-proxy-v2" },
  writesV1: { bind: "", server: "send-proxy" },
  writesV2: { bind: "", server: "send-proxy-v2" },
  /** Writes version 2 with more in it. */
  writesValues: { bind: "", server: "send-proxy-v2 proxy-v2-options crc32c,unique-id" },
  /** Ends TLS, and says so; it takes h2 and http/1.1. */
  endsTls: { bind: "ssl alpn h2,http/1.1 crt", server: "send-proxy-v2 proxy-v2-options crc32c,ssl,cert-cn,authority" },
} as const;
type ServiceName = keyof typeof services;
const serviceNames = Object.keys(services) as ServiceName[];

let backend: Backend;
let haproxy: Balancer<ServiceName>;

beforeAll(async () => {
  if (missing) return;
  backend = await listen();
  haproxy = await startHaproxy(serviceNames, ({ ports, bundle }) =>
    serviceNames
      .map((name) => {
        const { bind, server } = services[name];
        return `
listen ${name}
  mode tcp
  unique-id-format %{+X}o%ci-%rt
  bind 127.0.0.1:${ports[name]} ${bind} ${name === "endsTls" ? bundle(certificate("a")) : ""}
  server backend ${backend.address} ${server}`;
      })
      .join("\n"),
  );
});

afterAll(async () => {
  if (missing) return;
  await haproxy[Symbol.asyncDispose]();
  await backend[Symbol.asyncDispose]();
});

describe("HAProxy writes", () => {
  test.skipIf(lacks("haproxy", "openssl")).each(["writesV1", "writesV2", "writesValues"] as const)(
    "a header (%s)",
    async (name) => {
      const port = haproxy.ports[name];
      await using client = await connect(port);
      await client.send(payload);
      const header = await written(payload);
      expect(header).toEqual({
        version: name === "writesV1" ? 1 : 2,
        command: "proxy",
        family: "tcp4",
        source: { host: "127.0.0.1", port: client.localPort },
        destination: { host: "127.0.0.1", port },
        authority: undefined,
        alpn: undefined,
      });
    },
  );

  test.skipIf(lacks("haproxy", "openssl"))("the name and the protocol of a TLS client", async () => {
    const port = haproxy.ports.endsTls;
    const socket = tlsConnect({
      host: "127.0.0.1",
      port,
      servername: "A.test",
      ALPNProtocols: ["h2"],
      ca: certificate("ca").cert,
      checkServerIdentity: () => undefined,
    });
    socket.on("error", () => {});
    try {
      socket.write(payload);
      expect(await written(payload)).toMatchObject({
        family: "tcp4",
        destination: { port },
        authority: expect.stringMatching(/^a\.test$/i),
        alpn: "h2",
      });
    } finally {
      socket.destroy();
    }
  });
});

describe("HAProxy reads", () => {
  const ipv4 = fc.record({ host: fc.ipV4(), port: fc.integer({ min: 0, max: 65_535 }) });
  const ipv6 = fc.record({ host: fc.ipV6().map(canonicalHost), port: fc.integer({ min: 0, max: 65_535 }) });
  const end = fc.oneof(ipv4, ipv6);

  test.skipIf(lacks("haproxy", "openssl")).each(["v1", "v2"] as const)("what is written of %s", async (version) => {
    await fc.assert(
      fc.asyncProperty(end, end, async (source, destination) => {
        const header =
          version === "v1"
            ? writeProxyHeaderV1(source, destination)
            : writeProxyHeaderV2(source, destination, { authority: "a.example", alpn: "h2" });
        expect(await reading(header)).toMatchObject({ command: "proxy", source, destination });
      }),
      { numRuns: 100 },
    );
  });

  test.skipIf(lacks("haproxy", "openssl")).each(["v1", "v2"] as const)(
    "that nobody is named, in %s, and says who is there",
    async (version) => {
      const header =
        version === "v1" ? writeProxyHeaderV1(undefined, undefined) : writeProxyHeaderV2(undefined, undefined, {});
      expect(await reading(header)).toMatchObject({
        source: { host: "127.0.0.1" },
        destination: { host: "127.0.0.1" },
      });
    },
  );

  const refused: [what: string, header: Uint8Array][] = [
    ["a wrong checksum", proxyV2(0x21, 0x11, ends4, emptyChecksum)],
    ["a value that goes beyond the end", proxyV2(0x21, 0x11, ends4, Uint8Array.of(4, 0, 9, 1))],
    ["one byte behind the addresses", proxyV2(0x21, 0x11, ends4, Uint8Array.of(4))],
    ["an authority of 256 bytes", proxyV2(0x21, 0x11, ends4, tlv(2, "a".repeat(256)))],
    ["UDP", proxyV2(0x21, 0x12, ends4)],
    ["family 4", proxyV2(0x21, 0x41, ends4)],
    ["command 2", proxyV2(0x22, 0x11, ends4)],
    ["version 1 in binary", proxyV2(0x11, 0x11, ends4)],
    ["too few bytes for the addresses", proxyV2(0x21, 0x21, ends4)],
    ["two spaces", Buffer.from("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n")],
    ["a bare LF", Buffer.from("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n")],
    ["a space before CRLF", Buffer.from("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n")],
    ["IPv6 as TCP4", Buffer.from("PROXY TCP4 ::1 ::1 1 2\r\n")],
    ["IPv4 as TCP6", Buffer.from("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n")],
    ["UDP in text", Buffer.from("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n")],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n")],
  ];
  test.skipIf(lacks("haproxy", "openssl")).each(refused)("no header with %s, and no more do we", async (_, header) => {
    expect(await reading(header)).toBeUndefined();
    expect(peekProxyHeader(joined(header, payload)).kind).toBe("invalid");
  });

  test.skipIf(lacks("haproxy", "openssl"))("every changed header that we read, with the same ends", async () => {
    const right = fc.oneof(
      fc.tuple(end, end).map(([source, destination]) => writeProxyHeaderV1(source, destination)),
      fc
        .tuple(end, end)
        .map(([source, destination]) =>
          writeProxyHeaderV2(source, destination, { authority: "a.example", alpn: "h2" }),
        ),
      fc
        .constantFrom(ends4, ends6)
        .map((ends) => withChecksum(proxyV2(0x21, ends === ends4 ? 0x11 : 0x21, ends, tlv(4, "xx"), emptyChecksum))),
    );
    let read = 0;
    await fc.assert(
      fc.asyncProperty(changed(right), async (bytes) => {
        const ours = peekProxyHeader(bytes);
        if (ours.kind !== "done" || ours.value.source === undefined) return;
        read++;
        const { source, destination } = ours.value;
        expect(await reading(bytes.subarray(0, ours.bytes))).toMatchObject({ source, destination });
      }),
      { numRuns: 400 },
    );
    expect(read).toBeGreaterThan(20);
  });
});

/** The header that HAProxy wrote for the connection that comes next; behind it comes the payload, and nothing else. */
async function written(behind: Uint8Array): Promise<ProxyHeader> {
  const connection = await backend.accepted();
  let bytes = 0;
  await until(
    () => {
      const peek = peekProxyHeader(connection.bytes());
      if (peek.kind === "done") ({ bytes } = peek);
      return peek.kind === "invalid" || (peek.kind === "done" && connection.received >= peek.bytes + behind.length);
    },
    () => `a header of HAProxy and what is behind it: ${connection.describe()}`,
  );
  const all = connection.bytes();
  connection.reset();
  expect(all.subarray(bytes)).toEqual(new Uint8Array(behind));
  return peekWhole(parser, all.subarray(0, bytes), behind);
}

/** Whom HAProxy takes the client for that begins with this header; `undefined` when it refuses it. */
async function reading(
  header: Uint8Array,
): Promise<{ source: HostPort | undefined; destination: HostPort | undefined } | undefined> {
  const before = backend.connections.length;
  await using client = await connect(haproxy.ports.reads);
  await client.send(joined(header, payload));
  // It hangs up on who is refused, and connects to the backend for who is not.
  await until(
    () => backend.connections.length > before || client.ending !== undefined,
    () => `HAProxy to decide: ${client.describe()}`,
  );
  return backend.connections.length > before ? written(payload) : undefined;
}
