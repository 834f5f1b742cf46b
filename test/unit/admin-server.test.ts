/** Answers of the admin server, without a socket: which paths and methods there are, for whom, and what they do. */
import { describe, expect, test } from "bun:test";
import type { AskOptions } from "../support/admin.ts";
import { ask as answered, FakePort } from "../support/admin.ts";

const probes = ["/livez", "/readyz", "/ready", "/api/ready"];
const paths = [
  ...probes,
  "/status",
  "/metrics",
  "/connections",
  "/connections/ID",
  "/backends/NAME/endpoints/ADDRESS",
  "/reload",
  "/shutdown",
  "/events",
  "/",
  "/dashboard/*",
];

/** Status and body of an answer, which has what every answer has. */
async function ask(path: string, options: AskOptions = {}): Promise<[number, unknown]> {
  const response = await answered(path, options);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    "cache-control": "no-store",
    "content-type": "application/json;charset=utf-8",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
  });
  return [response.status, await response.json()];
}

describe("probes", () => {
  test.each(["/readyz", "/ready", "/api/ready"])("%s is 200 when ready and 503 when not", async (path) => {
    const port = new FakePort();
    expect(await ask(path, { port })).toEqual([200, { ready: true }]);
    port.ready = false;
    expect(await ask(path, { port })).toEqual([503, { ready: false }]);
  });

  test("/livez is 200, ready or not", async () => {
    const port = new FakePort();
    port.ready = false;
    expect(await ask("/livez", { port })).toEqual([200, { live: true }]);
  });

  test("a query changes nothing, and a slash at the end is another path", async () => {
    expect(await ask("/readyz?verbose=1")).toEqual([200, { ready: true }]);
    expect((await ask("/readyz/"))[0]).toBe(404);
  });
});

test("/status is what the program tells", async () => {
  const port = new FakePort();
  expect(await ask("/status", { port })).toEqual([200, JSON.parse(JSON.stringify(port.status()))]);
});

test("/metrics is Prometheus text, with the type that says so", async () => {
  const response = await answered("/metrics");
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(await response.text()).toContain("\nsluice_ready 1\n");
});

test("/shutdown asks for one by POST alone, each time it is asked", async () => {
  const port = new FakePort();
  expect((await ask("/shutdown", { port }))[0]).toBe(405);
  expect((await ask("/shutdown", { port, method: "PUT" }))[0]).toBe(405);
  expect(port.shutdowns).toBe(0);
  expect(await ask("/shutdown", { port, method: "POST" })).toEqual([202, { state: "draining" }]);
  expect(port.shutdowns).toBe(1);
});

describe("/reload", () => {
  const post = (port: FakePort): Promise<[number, unknown]> => ask("/reload", { port, method: "POST" });

  test("is 200 with what changed, what needs a restart and what to look at", async () => {
    const port = new FakePort();
    const changes = [`listener.web.timeouts.idle: "1h" → "5m"`];
    port.reloading = async () => ({ kind: "applied", changes, needRestart: ["forwarding.engine"], warnings: ["w"] });
    const body = { result: "applied", changes, need_restart: ["forwarding.engine"], warnings: ["w"] };
    expect(await post(port)).toEqual([200, body]);
    expect(port.reloads).toBe(1);
  });

  test("is 422 with every problem", async () => {
    const port = new FakePort();
    port.reloading = async () => ({ kind: "invalid", problems: ["config.toml:1:1 a", "config.toml:2:1 b"] });
    const body = { result: "invalid", problems: ["config.toml:1:1 a", "config.toml:2:1 b"] };
    expect(await post(port)).toEqual([422, body]);
  });

  test("is 409 when it can't be done now", async () => {
    const port = new FakePort();
    port.reloading = async () => ({ kind: "refused", why: "another one is under way" });
    expect(await post(port)).toEqual([409, { result: "refused", error: "another one is under way" }]);
  });

  test("is done by POST alone", async () => {
    const port = new FakePort();
    for (const method of ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      expect((await answered("/reload", { port, method })).status).toBe(405);
    }
    expect(port.reloads).toBe(0);
  });
});

describe("methods", () => {
  test.each([
    ["/livez", "GET, HEAD"],
    ["/status", "GET, HEAD"],
    ["/metrics", "GET, HEAD"],
    ["/connections", "GET, HEAD"],
    ["/connections/7", "DELETE"],
    ["/backends/app/endpoints/10.0.0.1:80", "PUT"],
    ["/reload", "POST"],
    ["/shutdown", "POST"],
    ["/events", "GET"],
    ["/", "GET, HEAD"],
    ["/dashboard/page.js", "GET, HEAD"],
  ])("%s takes %s and answers OPTIONS and others with 405", async (path, allowed) => {
    for (const method of ["OPTIONS", "PATCH"]) {
      const response = await answered(path, { method });
      expect([response.status, response.headers.get("allow")]).toEqual([405, allowed]);
      expect(await response.json()).toEqual({ error: `${path} takes ${allowed}` });
    }
  });
});

describe("with a token", () => {
  const token = "open sesame";
  const wanted = "a bearer token is needed: Authorization: Bearer TOKEN";
  const guarded = [
    ["GET", "/status"],
    ["GET", "/metrics"],
    ["GET", "/connections"],
    ["GET", "/events"],
    ["DELETE", "/connections/1"],
    ["PUT", "/backends/app/endpoints/10.0.0.1:80"],
    ["POST", "/reload"],
    ["POST", "/shutdown"],
  ] as const;

  test.each([
    undefined,
    "",
    "open sesame",
    "Bearer",
    "Bearer ",
    "Bearer open",
    "Bearer open sesame!",
    "Bearer  open sesame",
    "Basic open sesame",
    "bearer open sesame",
  ])("authorization %p is refused everywhere, and does nothing", async (authorization) => {
    const port = new FakePort();
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    for (const [method, path] of guarded) {
      const body = method === "PUT" ? '{"state":"drain"}' : null;
      const response = await answered(path, { method, token, port, headers, body });
      expect([path, response.status, response.headers.get("www-authenticate")]).toEqual([path, 401, "Bearer"]);
      expect(await response.json()).toEqual({ error: wanted });
    }
    expect([port.touched, port.made]).toEqual([0, 0]);
  });

  test("no other token is accepted, however near its digest comes", async () => {
    const refused = Array.from({ length: 3_000 }, (_, index) =>
      answered("/status", { token, headers: { authorization: `Bearer ${index}` } }),
    );
    expect(new Set((await Promise.all(refused)).map(({ status }) => status))).toEqual(new Set([401]));
  });

  test("a token in the query or in a cookie is none", async () => {
    for (const query of [`token=${token}`, `access_token=${token}`, `authorization=Bearer ${token}`]) {
      expect(await ask(`/status?${encodeURI(query)}`, { token })).toEqual([401, { error: wanted }]);
    }
    expect((await ask("/status", { token, headers: { cookie: `token=${token}` } }))[0]).toBe(401);
  });

  test("the token itself is accepted", async () => {
    const port = new FakePort();
    const headers = { authorization: `Bearer ${token}` };
    expect((await ask("/status", { token, headers }))[0]).toBe(200);
    expect((await ask("/shutdown", { method: "POST", token, port, headers }))[0]).toBe(202);
    expect(port.shutdowns).toBe(1);
  });

  test("probes want none", async () => {
    for (const path of probes) expect((await ask(path, { token }))[0]).toBe(200);
  });

  test("who has none learns which paths there are, and nothing else", async () => {
    expect((await ask("/nothing", { token }))[0]).toBe(404);
    expect((await ask("/connections/no-number", { token, method: "DELETE" }))[0]).toBe(401);
    expect((await ask("/backends/none/endpoints/x:1", { token, method: "PUT", body: "{}" }))[0]).toBe(401);
  });
});

test.each([
  "__proto__",
  "constructor",
  "toString",
  "connections/",
  "connections/1/2",
  "backends/app",
  "status/x",
  "dashboardx",
  "dashboard/",
])("/%s is no path", async (path) => {
  expect(await ask(`/${path}`)).toEqual([404, { error: `no such path: /${path}`, paths }]);
});

test("a path that is told back is cut", async () => {
  const [status, body] = await ask(`/${"x".repeat(5_000)}`);
  expect([status, (body as { error: string }).error]).toEqual([404, `no such path: /${"x".repeat(99)}…`]);
});

describe("a handler that throws", () => {
  test.each([
    ["/status", "GET"],
    ["/connections", "GET"],
    ["/metrics", "GET"],
    ["/shutdown", "POST"],
    ["/reload", "POST"],
    ["/connections/1", "DELETE"],
  ])("is 500 without a word of why for %s, and the log is told", async (path, method) => {
    const port = new FakePort();
    const broken = (): never => {
      throw new Error("secret detail");
    };
    Object.assign(port, { status: broken, figures: broken, connections: broken, requestShutdown: broken });
    Object.assign(port, { reload: broken, closeConnection: broken });
    const told: string[] = [];
    const onMistake = ({ message }: Error): void => void told.push(message);
    expect(await ask(path, { port, method, onMistake })).toEqual([
      500,
      { error: "a mistake in sluice: the log has it" },
    ]);
    expect(told).toEqual(["secret detail"]);
  });
});
