/** The admin server of the real process: what it answers, to whom, and that it holds nothing up. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { echo, listen } from "../support/backend.ts";
import { connect } from "../support/peer.ts";
import { startSluice } from "../support/sluice.ts";

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
    { error: "no such path: /healthz", paths: [...probes, "/status", "/shutdown"] },
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
    connections_active: 1,
    limits: { connections: 100, overflow: "queue", fds: expect.any(Number) },
    listeners: [
      {
        name: "web",
        address: `127.0.0.1:${port}`,
        backend: "app",
        routes: [],
        paused: false,
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
            ejected: false,
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
