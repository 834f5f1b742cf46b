/** Answers of the admin server, without a socket. */
import { describe, expect, test } from "bun:test";
import { answer, type AdminPort } from "../../src/admin/admin-server.ts";
import type { Status } from "../../src/admin/status.ts";

const status: Status = {
  version: "1.2.3",
  bun: "1.4.5",
  pid: 1,
  uptime_ms: 5,
  state: "ready",
  connections_active: 0,
  limits: { connections: 10, overflow: "queue", fds: 1024 },
  listeners: [],
  backends: [],
  ended: {},
};

class TestPort implements AdminPort {
  ready = true;
  shutdowns = 0;
  status(): Status {
    return status;
  }
  requestShutdown(): void {
    this.shutdowns++;
  }
}

/** Status and body of an answer. */
async function ask(
  path: string,
  { method = "GET", token = "", authorization, port = new TestPort() }: Partial<AskOptions> = {},
): Promise<[number, unknown]> {
  const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
  const response = answer(new Request(`http://admin${path}`, { method, headers }), port, token);
  expect(response.headers.get("cache-control")).toBe("no-store");
  return [response.status, await response.json()];
}

interface AskOptions {
  method: string;
  token: string;
  authorization: string;
  port: TestPort;
}

describe("probes", () => {
  test.each(["/readyz", "/ready", "/api/ready"])("%s is 200 when ready and 503 when not", async (path) => {
    const port = new TestPort();
    expect(await ask(path, { port })).toEqual([200, { ready: true }]);
    port.ready = false;
    expect(await ask(path, { port })).toEqual([503, { ready: false }]);
  });

  test("/livez is 200, ready or not", async () => {
    const port = new TestPort();
    port.ready = false;
    expect(await ask("/livez", { port })).toEqual([200, { live: true }]);
  });

  test("a query changes nothing, and a slash at the end is another path", async () => {
    expect(await ask("/readyz?verbose=1")).toEqual([200, { ready: true }]);
    expect((await ask("/readyz/"))[0]).toBe(404);
  });
});

test("/status is what the program tells", async () => {
  expect(await ask("/status")).toEqual([200, { ...status }]);
});

test("/shutdown asks for one by POST alone, each time it is asked", async () => {
  const port = new TestPort();
  expect((await ask("/shutdown", { port }))[0]).toBe(405);
  expect((await ask("/shutdown", { port, method: "PUT" }))[0]).toBe(405);
  expect(port.shutdowns).toBe(0);
  expect(await ask("/shutdown", { port, method: "POST" })).toEqual([202, { state: "draining" }]);
  expect(port.shutdowns).toBe(1);
});

describe("with a token", () => {
  const token = "open sesame";

  test.each([
    undefined,
    "",
    "open sesame",
    "Bearer",
    "Bearer ",
    "Bearer open",
    "Bearer open sesame!",
    "Basic open sesame",
    "bearer open sesame",
  ])("authorization %p is refused, and does nothing", async (authorization) => {
    const port = new TestPort();
    const given = authorization === undefined ? {} : { authorization };
    const refused = [401, { error: "a bearer token is needed: Authorization: Bearer TOKEN" }];
    expect(await ask("/status", { token, port, ...given })).toEqual(refused as [number, unknown]);
    expect(await ask("/shutdown", { method: "POST", token, port, ...given })).toEqual(refused as [number, unknown]);
    expect(port.shutdowns).toBe(0);
  });

  test("the token itself is accepted", async () => {
    const port = new TestPort();
    expect((await ask("/status", { token, authorization: `Bearer ${token}` }))[0]).toBe(200);
    expect((await ask("/shutdown", { method: "POST", token, port, authorization: `Bearer ${token}` }))[0]).toBe(202);
    expect(port.shutdowns).toBe(1);
  });

  test("probes want none", async () => {
    for (const path of ["/livez", "/readyz", "/ready", "/api/ready"]) expect((await ask(path, { token }))[0]).toBe(200);
  });
});

test.each(["__proto__", "constructor", "toString"])("/%s is no path", async (path) => {
  expect(await ask(`/${path}`)).toEqual([
    404,
    {
      error: `no such path: /${path}`,
      paths: ["/livez", "/readyz", "/ready", "/api/ready", "/status", "/shutdown"],
    },
  ]);
});
