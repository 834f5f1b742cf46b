/** Clients and servers that others wrote, through the real process: curl, wrk, socat and redis. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { echo, listen } from "../support/backend.ts";
import { Payload } from "../support/payload.ts";
import { call, lacks } from "../support/programs.ts";
import { startRedis } from "../support/redis.ts";
import { startSluice, type Sluice } from "../support/sluice.ts";

const large = new Payload(1, 10_000_000);
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-clients-"));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

test.skipIf(lacks("curl"))(
  "curl keeps its connection for several requests, and the proxy takes them for one session",
  async () => {
    await using server = new HttpBackend();
    await using proxy = await forward(server.address);
    const url = `http://${await proxy.address("forward")}`;
    const format = ["-w", "\\n%{http_code} %{num_connects}\\n"];
    const { stdout } = await call("curl", ["-sS", ...format, `${url}/a`, `${url}/b`, `${url}/c`]);
    expect(stdout).toBe("GET /a\n200 1\nGET /b\n200 0\nGET /c\n200 0\n");
    expect(await proxy.recorded(1)).toMatchObject([{ end: "client_finished", attempts: 1 }]);
    expect(proxy.records().length).toBe(1);
  },
);

test.skipIf(lacks("curl"))("curl downloads 10 MB and uploads 10 MB, and every byte is right", async () => {
  await using server = new HttpBackend();
  await using proxy = await forward(server.address);
  const url = `http://${await proxy.address("forward")}`;
  const file = join(folder, "large");
  await call("curl", ["-sS", "--fail", "-o", file, `${url}/large`]);
  expect(new Bun.CryptoHasher("sha256").update(await Bun.file(file).bytes()).digest("hex")).toBe(large.sha256());
  const { stdout } = await call("curl", ["-sS", "--fail", "--data-binary", `@${file}`, `${url}/digest`]);
  expect(stdout).toBe(`${large.length} ${large.sha256()}`);
  const [down, up] = await proxy.recorded(2);
  expect(down).toMatchObject({ end: "client_finished" });
  expect(down!["bytes_to_client"]).toBeGreaterThan(large.length);
  expect(up).toMatchObject({ end: "client_finished" });
  expect(up!["bytes_to_backend"]).toBeGreaterThan(large.length);
});

test.skipIf(lacks("wrk"))(
  "wrk sees no error in a second of requests, and the figures of both sides agree",
  async () => {
    await using server = new HttpBackend();
    await using proxy = await forward(server.address);
    const { stdout } = await call("wrk", ["-t1", "-c20", "-d1s", `http://${await proxy.address("forward")}/`]);
    expect(stdout).not.toMatch(/Socket errors|Non-2xx/);
    const requests = Number(/^ *(\d+) requests in /m.exec(stdout)?.[1]);
    expect(requests).toBeGreaterThan(100);
    // wrk stops counting a moment before it stops asking.
    expect(server.requests).toBeGreaterThanOrEqual(requests);
    expect(server.requests).toBeLessThanOrEqual(requests + 20 * 2);
    const records = await proxy.recorded(20);
    expect(records.every(({ end }) => end === "client_finished" || end === "client_reset")).toBe(true);
    expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
  },
);

test.skipIf(lacks("socat"))("socat sends, finishes, and gets all of the answer after that", async () => {
  await using backend = await listen(echo);
  await using proxy = await forward(backend.address);
  const sent = new Payload(2, 1_000_000).bytes();
  const options = ["-t", "10", "-", `TCP:${await proxy.address("forward")}`];
  const { bytes } = await call("socat", options, sent);
  expect(Buffer.compare(bytes, sent)).toBe(0);
  expect(await proxy.recorded(1)).toMatchObject([
    { end: "client_finished", bytes_to_backend: sent.length, bytes_to_client: sent.length },
  ]);
});

test.skipIf(lacks("redis-server", "redis-cli"))(
  "redis-cli works with a redis-server: pipelines, 10,000 commands at once, values of 5 MB",
  async () => {
    await using redis = await startRedis();
    await using proxy = await forward(redis.address);
    const cli = ["-h", "127.0.0.1", "-p", String(await proxy.port("forward"))];
    const increments = await call("redis-cli", cli, "INCR counter\n".repeat(1_000));
    expect(increments.stdout.trimEnd().split("\n")).toEqual(
      Array.from({ length: 1_000 }, (_, index) => `${index + 1}`),
    );
    const commands = Array.from({ length: 10_000 }, (_, index) => `SET key:${index} ${"v".repeat(index % 100)}x\r\n`);
    const piped = await call("redis-cli", [...cli, "--pipe"], commands.join(""));
    expect(piped.stdout).toEndWith("errors: 0, replies: 10000\n");
    const value = new Payload(3, 5_000_000).bytes();
    expect((await call("redis-cli", [...cli, "-x", "SET", "large"], value)).stdout).toBe("OK\n");
    const got = await call("redis-cli", [...cli, "--raw", "GET", "large"]);
    // redis-cli ends its answer with a line.
    expect(Buffer.compare(got.bytes.subarray(0, -1), value)).toBe(0);
    expect((await call("redis-cli", [...cli, "DBSIZE"])).stdout).toBe("10002\n");
    const records = await proxy.recorded(5);
    expect(new Set(records.map(({ end }) => end))).toEqual(new Set(["client_finished"]));
  },
);

/** A proxy in front of `endpoint`, killed with its scope. */
function forward(endpoint: string): Promise<Sluice> {
  return startSluice({ args: ["forward", "--connections", "1000", "127.0.0.1:0", endpoint] });
}

/** An HTTP backend: echoes what is asked for, gives `large`, and the digest of what is sent. */
class HttpBackend {
  requests = 0;
  readonly address: string;
  readonly #server: Bun.Server<undefined>;

  constructor() {
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: async (request) => {
        this.requests++;
        const { pathname } = new URL(request.url);
        if (pathname === "/large") return new Response(large.bytes());
        if (pathname !== "/digest") return new Response(`${request.method} ${pathname}`);
        const body = await request.bytes();
        return new Response(`${body.length} ${new Bun.CryptoHasher("sha256").update(body).digest("hex")}`);
      },
    });
    this.address = `127.0.0.1:${this.#server.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}
