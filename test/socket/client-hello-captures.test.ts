/** ClientHellos as real clients send them: what they were told to ask for is read, however they are cut into records. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect as tlsConnect, type ConnectionOptions } from "node:tls";
import { clientHelloBytesMax, peekClientHello, type ClientHello } from "../../src/protocol/client-hello.ts";
import { type Backend, listen } from "../support/backend.ts";
import { inRecords } from "../support/client-hello.ts";
import { peekWhole } from "../support/peek-laws.ts";
import { lacks, start, type ProgramName } from "../support/programs.ts";
import { until } from "../support/until.ts";

const parser = { peek: peekClientHello, bytesMax: clientHelloBytesMax };

/** Takes connections, and answers none. */
let server: Backend;

beforeAll(async () => {
  server = await listen();
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const ofNode: [what: string, options: ConnectionOptions, hello: ClientHello, bytesMin: number][] = [
  ["with no more than it wants", {}, { serverName: undefined, alpn: [] }, 1400],
  ["with a name", { servername: "WWW.Example.com" }, { serverName: "www.example.com", alpn: [] }, 1400],
  [
    "with protocols",
    { servername: "a.test", ALPNProtocols: ["h2", "http/1.1"] },
    { serverName: "a.test", alpn: ["h2", "http/1.1"] },
    1400,
  ],
  [
    "of TLS 1.2 only",
    { servername: "a.test", maxVersion: "TLSv1.2", ALPNProtocols: ["h2"] },
    { serverName: "a.test", alpn: ["h2"] },
    100,
  ],
  ["of TLS 1.3 only", { servername: "a.test", minVersion: "TLSv1.3" }, { serverName: "a.test", alpn: [] }, 1400],
  [
    "with X25519MLKEM768 only",
    { servername: "a.test", ecdhCurve: "X25519MLKEM768" },
    { serverName: "a.test", alpn: [] },
    1400,
  ],
  ["with X25519 only", { servername: "a.test", ecdhCurve: "X25519" }, { serverName: "a.test", alpn: [] }, 200],
];
test.each(ofNode)("node:tls %s", async (_, options, hello, bytesMin) => {
  const captured = await capture((port) => {
    const socket = tlsConnect({ host: "127.0.0.1", port, ...options });
    // It is reset in the midst of its handshake.
    socket.on("error", () => {});
    return () => socket.destroy();
  });
  expect(captured.length).toBeGreaterThan(bytesMin);
  expectHello(captured, hello);
});

test("Bun's fetch", async () => {
  const captured = await capture((port) => {
    const stop = new AbortController();
    fetch(`https://localhost:${port}/`, { signal: stop.signal }).catch(() => {});
    return () => stop.abort();
  });
  expectHello(captured, { serverName: "localhost", alpn: peeked(captured).alpn });
});

const ofOpenssl: [options: string, hello: ClientHello][] = [
  ["-noservername", { serverName: undefined, alpn: [] }],
  ["-servername 192.0.2.1", { serverName: undefined, alpn: [] }],
  ["-servername Example.com", { serverName: "example.com", alpn: [] }],
  ["-servername a.test. -alpn h2,http/1.1", { serverName: "a.test", alpn: ["h2", "http/1.1"] }],
  ["-servername a.test -tls1_2", { serverName: "a.test", alpn: [] }],
  ["-servername a.test -tls1_3 -groups P-521:P-384:X25519", { serverName: "a.test", alpn: [] }],
  ["-servername a.test -tls1_2 -no_ticket -cipher ECDHE-RSA-AES128-GCM-SHA256", { serverName: "a.test", alpn: [] }],
  ["-noservername -maxfraglen 512 -status -nextprotoneg h2 -tls1_2", { serverName: undefined, alpn: [] }],
];
test.skipIf(lacks("openssl")).each(ofOpenssl)("openssl s_client %s", async (options, hello) => {
  const captured = await capture((port) =>
    run("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...options.split(" ")]),
  );
  expectHello(captured, hello);
});

const ofCurl: [options: string, hello: ClientHello][] = [
  ["", { serverName: "a.test", alpn: ["h2", "http/1.1"] }],
  ["--http1.1", { serverName: "a.test", alpn: ["http/1.1"] }],
  ["--no-alpn", { serverName: "a.test", alpn: [] }],
  ["--tls-max 1.2", { serverName: "a.test", alpn: ["h2", "http/1.1"] }],
];
test.skipIf(lacks("curl")).each(ofCurl)("curl %s", async (options, hello) => {
  const captured = await capture((port) => {
    const given = options === "" ? [] : options.split(" ");
    const to = ["--resolve", `A.test:${port}:127.0.0.1`, `https://A.test:${port}/`];
    return run("curl", ["-q", "-sk", "--noproxy", "*", ...given, ...to]);
  });
  expectHello(captured, hello);
});

/** The first bytes of the client that `begin` starts: its whole ClientHello, and nothing else as long as nobody answers. */
async function capture(begin: (port: number) => () => unknown): Promise<Uint8Array> {
  const stop = begin(server.port);
  try {
    const client = await server.accepted();
    await until(
      () => peekClientHello(client.bytes()).kind !== "more",
      () => `a ClientHello: ${client.describe()}`,
    );
    const bytes = client.bytes();
    client.reset();
    return bytes;
  } finally {
    await stop();
  }
}

/** Runs a client that is ended when it has said what it has to. */
function run(name: ProgramName, args: readonly string[]): () => Promise<void> {
  const client = start(name, args);
  return () => client[Symbol.asyncDispose]();
}

function peeked(captured: Uint8Array): ClientHello {
  const peek = peekClientHello(captured);
  if (peek.kind !== "done") throw new Error(`a captured ClientHello is ${JSON.stringify(peek)}`);
  return peek.value;
}

/** It is read as it came, and cut into other records. */
function expectHello(captured: Uint8Array, hello: ClientHello): void {
  expect(peekWhole(parser, captured, new Uint8Array(20))).toEqual(hello);
  const message = captured.subarray(5);
  for (const size of [1, 3, 64, 300, message.length - 1]) {
    const sizes = Array<number>(Math.floor((message.length - 1) / size)).fill(size);
    expect(peekWhole(parser, inRecords(message, ...sizes), new Uint8Array(20))).toEqual(hello);
  }
}
