/** Heads of HTTP/1 requests as servers read them, Node's (llhttp) and Bun's: what we and they take means the same to both. */
import { expect, test } from "bun:test";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import fc from "fast-check";
import { canonicalHost } from "../../src/core/address.ts";
import { peekHttpRequest } from "../../src/protocol/http-request.ts";
import { changed } from "../support/changed-bytes.ts";
import { type HttpHead, httpHead } from "../support/http-heads.ts";
import { connect } from "../support/peer.ts";
import { lacks, start } from "../support/programs.ts";

/** What a server has read; `undefined` when it refused. */
type Reading = { readonly method: string; readonly url: string; readonly host: string | undefined } | undefined;

/** Node's parser knows methods by name. */
const knownMethods = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "M-SEARCH"]);
/** Neither server takes bare LF. */
const known = httpHead.filter(
  ({ method, head }) => knownMethods.has(method) && isPlain(head) && !/(?<!\r)\n/.test(text(head)),
);
/** Fields by which a server would do something else than read on. */
const special = /^(?:expect|upgrade|connection|content-length|transfer-encoding|te|http2-settings):/im;

test.skipIf(lacks("node"))("Node reads every head that is right, and reads it so", async () => {
  await using server = await startNode();
  // Its schemes are made of letters.
  const heads = known.filter(({ line }) => !/^\S+ [a-z]+[+.-]/.test(text(line).trimStart()));
  await fc.assert(
    fc.asyncProperty(heads, async (head) => expectSame(head, await server.read(head.head))),
    { numRuns: 150 },
  );
});

test.skipIf(lacks("node"))("what Node reads of a changed head is what we read, if we take it", async () => {
  await using server = await startNode();
  await expectNoOtherReading(server);
});

test("Bun reads every head that is right and has a Host field and no host in its target, and reads it so", async () => {
  await using server = await startBun();
  const heads = known.filter(({ host, targetHost }) => host !== undefined && targetHost === undefined);
  await fc.assert(
    fc.asyncProperty(heads, async (head) => expectSame(head, await server.read(head.head))),
    { numRuns: 150 },
  );
});

test("what Bun reads of a changed head is what we read, if we take it", async () => {
  await using server = await startBun();
  await expectNoOtherReading(server);
});

test
  .skipIf(lacks("node"))
  .each([
    ["GET / HTTP/1.1\r\nHost: a\r\nHost : b\r\n\r\n"],
    ["GET / HTTP/1.1\r\nHost : a\r\n\r\n"],
    ["GET / HTTP/1.1\r\n Host: a\r\n\r\n"],
    ["GET / HTTP/1.1\r\nX: \0\r\n\r\n"],
    ["GET / HTTP/1.1\rHost: a\r\n\r\n"],
    ["GET / HTTP/1.1\r\nX y: z\r\n\r\n"],
    ["GET /a b HTTP/1.1\r\n\r\n"],
    ["get / HTTP/1.1\r\n\r\n"],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ])("Node refuses %j, and so do we", async (head) => {
  await using server = await startNode();
  expect(await server.read(Buffer.from(head))).toBeUndefined();
  expect(peekHttpRequest(Buffer.from(head)).kind).toBe("invalid");
});

interface HttpServer extends AsyncDisposable {
  read(head: Uint8Array): Promise<Reading>;
}

async function expectNoOtherReading(server: HttpServer): Promise<void> {
  let both = 0;
  await fc.assert(
    fc.asyncProperty(changed(known.map(({ head }) => head)), async (bytes) => {
      const ours = peekHttpRequest(bytes);
      if (ours.kind !== "done" || !isPlain(bytes)) return;
      const theirs = await server.read(bytes.subarray(0, ours.bytes));
      if (theirs === undefined) return;
      both++;
      expectReading(theirs, ours.value.method, ours.value.path, ours.value.host);
    }),
    { numRuns: 1000 },
  );
  expect(both).toBeGreaterThan(50);
}

function expectSame({ head, method, path, host }: HttpHead, theirs: Reading): void {
  if (theirs === undefined) throw new Error(`refused: ${JSON.stringify(text(head))}`);
  expectReading(theirs, method, path, host);
}

function expectReading(theirs: NonNullable<Reading>, method: string, path: string, host: string | undefined): void {
  expect(theirs.method).toBe(method);
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)([^]*)$/i.exec(theirs.url);
  const isConnect = method === "CONNECT";
  const rest = absolute?.[2] ?? (isConnect ? "" : theirs.url);
  const written = Buffer.from(/^[^?#]*/.exec(rest)![0], "latin1").toString();
  expect(path).toBe(absolute !== null && written === "" ? "/" : written);
  expect(host).toBe(hostOf(absolute?.[1] ?? (isConnect ? theirs.url : theirs.host)));
}

/** The host of an authority that is one. */
function hostOf(authority: string | undefined): string | undefined {
  const host = /^(?:\[(?<ip>[^\]]*)\]|(?<name>[^:]*?)\.?)(?::\d*)?$/.exec(authority ?? "")?.groups;
  return host?.["ip"] === undefined ? host?.["name"]?.toLowerCase() || undefined : canonicalHost(host["ip"]);
}

function isPlain(head: Uint8Array): boolean {
  return !special.test(text(head));
}

function text(head: Uint8Array): string {
  return Buffer.from(head).toString("latin1");
}

/** Sends a head over a connection of its own, and its end behind it. */
async function ask(port: number, head: Uint8Array): Promise<Reading> {
  await using client = await connect(port);
  await client.send(head);
  await client.finish();
  await client.closed();
  const answer = /^READ (.*)$/m.exec(client.text())?.[1];
  return answer === undefined ? undefined : (JSON.parse(answer) as Reading);
}

/** What both servers do. Node's gets it as text. */
function serve(create: typeof createServer, listening: (port: number) => void): ReturnType<typeof createServer> {
  const say = (request: IncomingMessage): string => {
    const { method, url, headers } = request;
    return `READ ${JSON.stringify({ method, url, host: headers.host })}\n`;
  };
  const answer: RequestListener = (request, response) => {
    response.shouldKeepAlive = false;
    // An answer to HEAD has no body: the connection itself takes it.
    request.socket.write(say(request));
    response.end();
  };
  const server = create({ requireHostHeader: false } as object, answer);
  server.on("connect", (request, socket) => (socket as Socket).end(say(request)));
  server.listen(0, "127.0.0.1", () => listening((server.address() as AddressInfo).port));
  return server;
}

async function startBun(): Promise<HttpServer> {
  const started = Promise.withResolvers<number>();
  const server = serve(createServer, started.resolve);
  const port = await started.promise;
  return {
    read: (head) => ask(port, head),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

async function startNode(): Promise<HttpServer> {
  const code = `(${serve.toString()})(require("node:http").createServer, (port) => console.log(port))`;
  const node = start("node", ["-e", code]);
  const port = Number(/^(\d+)\n/m.exec(await node.says(/^\d+\n/m))![1]);
  return { read: (head) => ask(port, head), [Symbol.asyncDispose]: () => node[Symbol.asyncDispose]() };
}
