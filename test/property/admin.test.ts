/** Whatever is sent to the admin server, it answers, changes only what it was asked for, and makes no mistake. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { answer } from "../../src/admin/admin-server.ts";
import { History } from "../../src/admin/dashboard/history.ts";
import { connectionStatus, FakePort, ServedAdmin } from "../support/admin.ts";
import { changed } from "../support/changed-bytes.ts";
import { connect } from "../support/peer.ts";
import { until } from "../support/until.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
const codes = new Set([200, 202, 400, 401, 403, 404, 405, 408, 409, 413, 431, 505]);

/** Pieces of paths that lead somewhere, and of such that do not. */
const pieces = fc.oneof(
  fc.constantFrom("connections", "backends", "app", "endpoints", "10.0.0.1:80", "[::1]:80", "unix%3A%2Frun%2Fx.sock"),
  fc.constantFrom("livez", "status", "metrics", "reload", "shutdown", "dashboard", "events", "7", "", "..", "%2e%2e"),
  fc.constantFrom("%", "%zz", "%ff", "%00", "__proto__", "constructor", "é", "\\", "a".repeat(300), "1e3", "-1"),
  fc.string({ unit: "grapheme-ascii", maxLength: 8 }).map((text) => text.replace(/[\s?#]/g, "x")),
);
const paths = fc.oneof(
  fc.constantFrom("/", "/livez", "/status", "/metrics", "/connections", "/connections/7", "/reload", "/shutdown"),
  fc.constantFrom(
    "/backends/app/endpoints/10.0.0.1:80",
    "/backends/app/endpoints/%5B::1%5D:80",
    "/events",
    "/dashboard/x",
  ),
  fc.array(pieces, { maxLength: 6 }).map((parts) => `/${parts.join("/")}`),
);
const queries = fc.oneof(
  fc.constant(""),
  fc.constantFrom("?search=web&limit=1", "?limit=-1", "?limit=&limit=2", "?%zz=%ff", "?", "?token=secret", "?search=%"),
  fc.string({ unit: "grapheme-ascii", maxLength: 20 }).map((text) => `?${text.replace(/[\s#]/g, "+")}`),
);
const hosts = fc.constantFrom("127.0.0.1", "localhost:9900", "[::1]:1", "evil.example", "[::1", "a b", "x/y#", ":", "");
const headers = fc.dictionary(
  fc.constantFrom("authorization", "origin", "sec-fetch-site", "content-type", "accept", "cookie", "x-y"),
  fc.oneof(
    fc.constantFrom("Bearer secret", "Bearer", "same-origin", "cross-site", "null", "http://127.0.0.1", "http://evil"),
    fc.string({ unit: "grapheme-ascii", maxLength: 30 }).map((text) => text.trim()),
  ),
);
const bodies = fc.oneof(
  fc.constantFrom("", "{}", '{"state":"drain"}', '{"weight":3}', '{"weight":1e400,"state":[]}', "[[[[", "null", '"x"'),
  fc.json({ maxDepth: 3 }),
  fc.string({ maxLength: 60 }),
  fc.constantFrom("[".repeat(4_000), `{"weight":${"1".repeat(4_000)}}`, " ".repeat(10_000)),
);
const asked = fc.record({
  method: fc.constantFrom(...methods),
  path: paths,
  query: queries,
  host: hosts,
  headers,
  body: bodies,
  token: fc.constantFrom("", "secret"),
});

type Asked = typeof asked extends fc.Arbitrary<infer T> ? T : never;

test("every request is answered in its form, and only the right ones change something", async () => {
  await fc.assert(
    fc.asyncProperty(asked, async ({ method, path, query, host, headers: given, body, token }) => {
      const mistakes: Error[] = [];
      const port = busyPort();
      const history = new History(() => port.figures(), new VirtualClock());
      const request = new Request(`http://127.0.0.1${path}${query}`, {
        method,
        headers: { ...given, host },
        ...(method === "GET" || method === "HEAD" ? {} : { body }),
      });
      const onMistake = (error: Error): void => void mistakes.push(error);
      const response = await answer(request, port, { token, history, onMistake });
      expect(mistakes).toEqual([]);
      expect(codes).toContain(response.status);
      expect(response.headers.get("x-content-type-options")).toBe("nosniff");
      expect(response.headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
      const type = response.headers.get("content-type") ?? "";
      const text = type.startsWith("text/event-stream") ? "" : await response.text();
      if (type.startsWith("application/json")) {
        const said = JSON.parse(text) as { error?: unknown };
        if (response.status >= 400) expect(said.error).toBeString();
      } else {
        expect([response.status, ["GET", "HEAD"].includes(method)]).toEqual([200, true]);
      }
      // What was not allowed was not done; what was done was asked for in the way that does it.
      if (response.status >= 400 && response.status !== 404 && response.status !== 409) expect(port.touched).toBe(0);
      if (port.touched > 0) {
        expect(["POST", "PUT", "DELETE"]).toContain(method);
        if (token !== "") expect(request.headers.get("authorization")).toBe("Bearer secret");
        expect(request.headers.get("sec-fetch-site") ?? "same-origin").toBeOneOf(["same-origin", "none"]);
      }
    }),
    { numRuns: 3_000 },
  );
});

test("on a socket every request is answered as well", async () => {
  const port = busyPort();
  await using admin = new ServedAdmin(port);
  await fc.assert(
    fc.asyncProperty(asked, async (request) => {
      const received = await sent(admin, bytesOf(request));
      const { path, method } = request;
      // Bun itself answers what it can't read, with a status line alone; and is silent on no method that it knows.
      const [, code = ""] = /^HTTP\/1\.1 (\d{3}) /.exec(received) ?? [];
      expect({ method, path, code: codes.has(Number(code)) ? "known" : received }).toEqual({
        method,
        path,
        code: "known",
      });
    }),
    { numRuns: 300 },
  );
  expect(admin.mistakes).toEqual([]);
});

test("bytes that are no requests hold up nobody", async () => {
  const port = busyPort();
  await using admin = new ServedAdmin(port);
  const heads = asked.map((request) => new TextEncoder().encode(bytesOf(request)));
  await fc.assert(
    fc.asyncProperty(fc.oneof(changed(heads), fc.uint8Array({ maxLength: 300 })), async (bytes) => {
      await using peer = await connect(admin.tcpPort);
      await peer.send(bytes).catch(() => {});
      const { status } = await fetch(`${admin.url}/livez`);
      expect(status).toBe(200);
    }),
    { numRuns: 300 },
  );
  expect(admin.mistakes).toEqual([]);
});

/** A program in which something is going on. */
function busyPort(): FakePort {
  const port = new FakePort();
  port.open = [connectionStatus(1), connectionStatus(7, { backend: null, sni: "é" })];
  return port;
}

/** The request as it goes over the wire, the last one of its connection. */
function bytesOf({ method, path, query, host, headers: given, body }: Asked): string {
  const lines = Object.entries(given).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = method === "GET" || method === "HEAD" ? "" : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
  const head = `${method} ${path}${query} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${lines.join("")}${length}\r\n`;
  return length === "" ? head : head + body;
}

/** What comes back until the other side ends it; of an event stream the beginning. */
async function sent(admin: ServedAdmin, bytes: string): Promise<string> {
  await using peer = await connect(admin.tcpPort);
  await peer.send(bytes).catch(() => {});
  await until(() => peer.ending !== undefined || peer.text().includes("event: status\n"), `an answer to ${bytes}`);
  return peer.text();
}
