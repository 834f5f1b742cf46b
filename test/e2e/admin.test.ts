/** The admin server of the real process: what it answers, to whom, and that it holds nothing up. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { echo, listen } from "../support/backend.ts";
import { connect, type Peer } from "../support/peer.ts";
import { startSluice } from "../support/sluice.ts";
import { until } from "../support/until.ts";

const probes = ["/livez", "/readyz", "/ready", "/api/ready"];

test("probes answer GET with JSON that no cache keeps, and HEAD with the same and no body", async () => {
  await using backend = await listen();
  await using proxy = await startSluice({ config: config(backend.address) });
  await proxy.ready();
  const url = `http://${await proxy.address("admin")}`;
  for (const path of probes) {
    const body = path === "/livez" ? '{"live":true}' : '{"ready":true}';
    const get = await fetch(`${url}${path}`);
    expect([path, get.status, await get.text()]).toEqual([path, 200, body]);
    expect(get.headers.get("content-type")).toStartWith("application/json");
    expect(get.headers.get("cache-control")).toBe("no-store");
    const head = await fetch(`${url}${path}`, { method: "HEAD" });
    expect([path, head.status, await head.text()]).toEqual([path, 200, ""]);
    expect(head.headers.get("content-length")).toBe(String(body.length));
  }
});

test("an unknown path and a method that a path does not take are told in JSON, with what there is", async () => {
  await using backend = await listen();
  await using proxy = await startSluice({ config: config(backend.address) });
  await proxy.ready();
  const url = `http://${await proxy.address("admin")}`;
  const unknown = await fetch(`${url}/healthz?x=1`);
  expect([unknown.status, await unknown.json()]).toEqual([
    404,
    { error: "no such path: /healthz", paths: expect.arrayContaining([...probes, "/status", "/shutdown"]) },
  ]);
  const post = await fetch(`${url}/readyz`, { method: "POST", body: "{}" });
  expect([post.status, post.headers.get("allow"), await post.json()]).toEqual([
    405,
    "GET, HEAD",
    { error: "/readyz takes GET, HEAD" },
  ]);
  const get = await fetch(`${url}/shutdown`);
  expect([get.status, get.headers.get("allow"), await get.json()]).toEqual([
    405,
    "POST",
    { error: "/shutdown takes POST" },
  ]);
});

test("status tells what is open, what was moved and how connections ended, exactly", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address) });
  const port = await proxy.port("web");
  const url = `http://${await proxy.address("admin")}/status`;
  {
    await using ended = await connect(port);
    await ended.send("12345");
    await ended.finish();
    await ended.finished();
  }
  await proxy.recorded(1);
  await using open = await connect(port);
  await open.send("abc");
  await open.receivedBytes(3);
  const status = (await (await fetch(url)).json()) as Record<string, unknown>;
  expect(status["uptime_ms"]).toBeGreaterThan(0);
  expect((status["limits"] as { fds: number }).fds).toBeGreaterThan(1_000);
  expect(status).toEqual({
    version: packageJson.version,
    bun: Bun.version,
    pid: proxy.pid,
    uptime_ms: expect.any(Number),
    state: "ready",
    ready: true,
    shutdown: null,
    connections_active: 1,
    limits: { connections: 100, overflow: "queue", fds: expect.any(Number) },
    listeners: [
      {
        name: "web",
        address: `127.0.0.1:${port}`,
        backend: "app",
        routes: [],
        paused: false,
        removed: false,
        connections_active: 1,
        connections_total: 2,
        inspect_timeouts_total: 0,
        bytes_to_backend: 8,
        bytes_to_client: 8,
      },
    ],
    backends: [
      {
        name: "app",
        available: true,
        endpoints: [
          {
            address: backend.address,
            configured: backend.address,
            health: "unknown",
            state: "ready",
            ejected: false,
            ejections_total: 0,
            weight: 1,
            backup: false,
            connections_active: 1,
            connections_total: 2,
            connect_failures_total: 0,
          },
        ],
      },
    ],
    ended: { client_finished: 1 },
    reloads: { applied: 0, invalid: 0, refused: 0 },
  });
});

test("open connections are listed and found, and one is closed with its id", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address) });
  const port = await proxy.port("web");
  const url = `http://${await proxy.address("admin")}/connections`;
  await using first = await connect(port);
  await first.send("12345");
  await first.receivedBytes(5);
  await using second = await connect(port);
  await second.send("abc");
  await second.receivedBytes(3);
  const listed: unknown = await (await fetch(url)).json();
  const connection = (id: number, { localPort }: Peer, bytes: number): object => ({
    id,
    listener: "web",
    client: `127.0.0.1:${localPort}`,
    backend: "app",
    endpoint: backend.address,
    route: null,
    sni: null,
    phase: "forwarding",
    age_ms: expect.any(Number),
    idle_ms: expect.any(Number),
    bytes_to_backend: bytes,
    bytes_to_client: bytes,
    engine: "copy",
  });
  expect(listed).toEqual({ total: 2, matching: 2, connections: [connection(1, first, 5), connection(2, second, 3)] });
  const found = await fetch(`${url}?search=${second.localPort}&limit=1`);
  expect(await found.json()).toEqual({ total: 2, matching: 1, connections: [connection(2, second, 3)] });
  const closed = await fetch(`${url}/2`, { method: "DELETE" });
  expect([closed.status, await closed.json()]).toEqual([200, { closed: 2 }]);
  expect(await second.wasReset()).toBe("ECONNRESET");
  expect((await proxy.recorded(1))[0]).toMatchObject({ id: 2, end: "closed_by_admin" });
  expect((await fetch(`${url}/2`, { method: "DELETE" })).status).toBe(404);
  await first.send("x");
  await first.receivedBytes(6);
});

test("an endpoint is drained and brought back: what it has goes on, what comes goes elsewhere", async () => {
  await using one = await listen(echo);
  await using two = await listen(echo);
  await using proxy = await startSluice({ config: config(`${one.address}", "${two.address}`) });
  const port = await proxy.port("web");
  const url = `http://${await proxy.address("admin")}/backends/app/endpoints`;
  const put = async (endpoint: string, body: object): Promise<object> => {
    const response = await fetch(`${url}/${encodeURIComponent(endpoint)}`, {
      method: "PUT",
      body: JSON.stringify(body),
    });
    return { code: response.status, ...((await response.json()) as object) };
  };
  /** Sends a byte through a new connection. */
  const visit = async (): Promise<Peer> => {
    const peer = await connect(port);
    await peer.send("x");
    await peer.receivedBytes(1);
    return peer;
  };
  await using held = await visit();
  const drained = { code: 200, address: one.address, state: "drain", connections_active: 1, connections_total: 1 };
  expect(await put(one.address, { state: "drain" })).toMatchObject(drained);
  for (let count = 0; count < 4; count++) (await visit()).reset();
  await held.send("y");
  await held.receivedBytes(2);
  const back = { code: 200, state: "ready", weight: 3, connections_total: 1 };
  expect(await put(one.address, { state: "ready", weight: 3 })).toMatchObject(back);
  expect(await put(two.address, { state: "down" })).toMatchObject({ state: "down", connections_total: 4 });
  for (let count = 0; count < 4; count++) (await visit()).reset();
  expect(await put(one.address, { weight: 0 })).toMatchObject({ weight: 0, connections_total: 5 });
  const problem = "weight: found -1, wanted a whole number from 0 to 1000";
  expect(await put(one.address, { weight: -1 })).toEqual({ code: 400, error: problem, problems: [problem] });
  expect(await put("127.0.0.1:1", { weight: 1 })).toEqual({
    code: 404,
    error: expect.stringContaining('backend "app" has no endpoint "127.0.0.1:1"'),
    known: [one.address, two.address],
  });
});

test("the page comes with a policy of its own, metrics as text, events as a stream that holds up no shutdown", async () => {
  await using backend = await listen();
  await using proxy = await startSluice({ config: config(backend.address) });
  await proxy.ready();
  const url = `http://${await proxy.address("admin")}`;
  const page = await fetch(`${url}/`);
  expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
  expect(page.headers.get("content-security-policy")).toContain("script-src 'self'");
  expect((await fetch(`${url}/dashboard/nothing.js`)).status).toBe(404);
  const metrics = await fetch(`${url}/metrics`);
  expect(metrics.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
  expect(await metrics.text()).toContain("\nsluice_ready 1\n");
  await using viewer = await connect(await proxy.port("admin"));
  await viewer.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await until(() => viewer.text().includes("event: sample\n"), "a sample");
  proxy.signal("SIGTERM");
  const { code, afterMs } = await proxy.exited();
  expect(code).toBe(0);
  expect(afterMs).toBeLessThan(1_000);
  expect(proxy.stderr).toBe("");
});

test("pages of other sites change nothing, and read nothing under a name of theirs", async () => {
  await using backend = await listen();
  await using proxy = await startSluice({ config: config(backend.address) });
  await proxy.ready();
  const url = `http://${await proxy.address("admin")}`;
  const rebound = await fetch(`${url}/status`, { headers: { host: "evil.example" } });
  expect(rebound.status).toBe(403);
  for (const headers of [{ origin: "http://evil.example" }, { "sec-fetch-site": "cross-site" }]) {
    const posted = await fetch(`${url}/shutdown`, { method: "POST", headers: headers as Record<string, string> });
    expect(posted.status).toBe(403);
  }
  expect((await fetch(`${url}/readyz`, { headers: { host: "evil.example" } })).status).toBe(200);
  expect(proxy.log.some(({ msg }) => msg === "shutting down")).toBe(false);
});

describe("an address that others can reach", () => {
  test.each([":0", ":9900", "0.0.0.0:0", "[::]:0", "192.0.2.1:9900", "[fe80::1]:9900", "sluice.internal:9900"])(
    "(%s) needs a token, or nothing is started",
    async (listen) => {
      await using proxy = await startSluice({ config: config("127.0.0.1:1", listen) });
      expect((await proxy.exited()).code).toBe(2);
      expect(proxy.stderr).toMatch(
        /config\.toml:\d+:\d+ admin\.listen: \S+ can be reached from other machines, wanted a token \(SLUICE_ADMIN_TOKEN_FILE or admin\.token\) or a loopback address such as "127\.0\.0\.1:\d+"\n/,
      );
      expect(proxy.log).toEqual([]);
    },
  );

  test("is served when there is one, and an empty one is none", async () => {
    const env = { SLUICE_ADMIN_TOKEN: "secret" };
    await using proxy = await startSluice({ config: config("127.0.0.1:1", "0.0.0.0:0"), env });
    const port = await proxy.port("admin");
    expect((await fetch(`http://127.0.0.1:${port}/status`)).status).toBe(401);
    const authorization = "Bearer secret";
    expect((await fetch(`http://127.0.0.1:${port}/status`, { headers: { authorization } })).status).toBe(200);
    const empty = { SLUICE_ADMIN_TOKEN: "" };
    await using open = await startSluice({ config: config("127.0.0.1:1", "0.0.0.0:0"), env: empty });
    expect((await open.exited()).code).toBe(2);
  });
});

test("with a token, status and shutdown want it and probes do not; it is in no line of the log", async () => {
  const token = "s3cret-t0ken-of-the-admin-server";
  await using backend = await listen();
  using secret = new SecretFile(`${token}\n`);
  await using proxy = await startSluice({
    config: `[log]\nlevel = "debug"\n${config(backend.address)}`,
    env: { SLUICE_ADMIN_TOKEN_FILE: secret.path },
  });
  await proxy.ready();
  const url = `http://${await proxy.address("admin")}`;
  const ask = async (path: string, method: string, authorization?: string): Promise<number> => {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    const response = await fetch(`${url}${path}`, { method, headers });
    if (response.status === 401) {
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      expect(await response.json()).toEqual({ error: "a bearer token is needed: Authorization: Bearer TOKEN" });
    }
    return response.status;
  };
  for (const [path, method] of [
    ["/status", "GET"],
    ["/shutdown", "POST"],
  ] as const) {
    expect(await ask(path, method)).toBe(401);
    expect(await ask(path, method, "Bearer wrong")).toBe(401);
    expect(await ask(path, method, `Bearer ${token}x`)).toBe(401);
    expect(await ask(path, method, `Bearer ${token.slice(0, -1)}`)).toBe(401);
    expect(await ask(path, method, `Basic ${btoa(`admin:${token}`)}`)).toBe(401);
  }
  for (const path of probes) expect(await ask(path, "GET")).toBe(200);
  expect(await ask("/status", "GET", `Bearer ${token}`)).toBe(200);
  // Nobody who was refused has ended anything.
  expect(proxy.log.some(({ msg }) => msg === "shutting down")).toBe(false);
  expect(await ask("/shutdown", "POST", `Bearer ${token}`)).toBe(202);
  expect((await proxy.exited()).code).toBe(0);
  expect(proxy.stdout).not.toContain(token);
  expect(proxy.stderr).not.toContain(token);
});

test("connections to the admin server that stay open, or send rubbish, do not hold up the end", async () => {
  await using backend = await listen();
  await using proxy = await startSluice({ config: config(backend.address) });
  await proxy.ready();
  const port = await proxy.port("admin");
  await using silent = await connect(port);
  await using half = await connect(port);
  await half.send("GET /livez HTTP/1.1\r\nHost: ");
  await using rubbish = await connect(port);
  await rubbish.send(new Uint8Array(1_000).fill(0xff));
  await rubbish.closed();
  const livez = await fetch(`http://127.0.0.1:${port}/livez`);
  expect(livez.status).toBe(200);
  expect([silent.ending, half.ending]).toEqual([undefined, undefined]);
  proxy.signal("SIGTERM");
  const { code, afterMs } = await proxy.exited();
  expect(code).toBe(0);
  expect(afterMs).toBeLessThan(1_000);
  expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
});

test("an admin address that is in use ends the start with exit code 1 and one line, before anything else listens", async () => {
  await using backend = await listen();
  await using proxy = await startSluice({ config: config(backend.address, backend.address) });
  expect((await proxy.exited()).code).toBe(1);
  expect(proxy.stderr).toMatch(
    new RegExp(`^sluice: cannot bind the admin server to ${backend.address.replaceAll(".", "\\.")}: .*EADDRINUSE.*\n$`),
  );
  expect(proxy.log.filter(({ msg }) => msg === "listening" || msg === "ready")).toEqual([]);
});

class SecretFile {
  readonly #folder = mkdtempSync(join(tmpdir(), "sluice-secret-"));
  readonly path = join(this.#folder, "token");

  constructor(text: string) {
    writeFileSync(this.path, text);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}

function config(endpoint: string, admin = "127.0.0.1:0"): string {
  return `
[limits]
connections = 100

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = ["${endpoint}"]

[admin]
listen = "${admin}"
`;
}
