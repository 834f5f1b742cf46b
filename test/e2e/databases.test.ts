/** Databases behind the proxy: psql and pgbench with PostgreSQL, redis-cli over TLS with redis. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { certificate } from "../support/certificates.ts";
import { Payload } from "../support/payload.ts";
import { Postgres } from "../support/postgres.ts";
import { attempt, call, lacks, start, type Called } from "../support/programs.ts";
import { startRedis } from "../support/redis.ts";
import { byId } from "../support/records.ts";
import { startSluice, type Sluice } from "../support/sluice.ts";
import { until } from "../support/until.ts";

const programs = ["initdb", "openssl", "pgbench", "postgres", "psql", "setpriv"] as const;
let postgres: Postgres;

beforeAll(async () => {
  if (!lacks(...programs)) postgres = await Postgres.start(certificate("a"));
});

afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
});

test.skipIf(lacks(...programs)).each([["disable"], ["require"], ["verify-full"]])(
  "psql with sslmode=%s works, through routes that look at its first bytes",
  async (sslmode) => {
    await using sluice = await startSluice({ config: inFrontOf(postgres.address, routes) });
    const address = { host: "a.test", hostaddr: "127.0.0.1", port: await sluice.port("web") };
    const trust = { sslmode, sslrootcert: certificate("ca").certFile };
    const ssl = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    const encrypted = sslmode === "disable" ? "f|\n" : "t|TLSv1.3\n";
    expect((await psql({ ...address, ...trust }, ["-c", ssl])).stdout).toBe(encrypted);
    const [record] = await sluice.recorded(1);
    expect(record).toMatchObject({
      route: sslmode === "disable" ? null : expect.stringMatching(/^prefix/),
      attempts: 1,
    });
    expect(peersEnds).toContain(record!["end"]);
  },
);

test.skipIf(lacks(...programs))("50,000 rows go in and come out as they were", async () => {
  await using sluice = await startSluice({ config: inFrontOf(postgres.address) });
  const address = { host: "127.0.0.1", port: await sluice.port("web"), sslmode: "disable" };
  const rows = Array.from({ length: 50_000 }, (_, index) => `${index}\trow ${index} ${"x".repeat(index % 100)}\n`).join(
    "",
  );
  await psql(address, ["-c", "CREATE TABLE rows (id int, words text)"]);
  await psql(address, ["-c", "COPY rows FROM STDIN"], rows);
  const { stdout } = await psql(address, ["-c", "COPY (SELECT * FROM rows ORDER BY id) TO STDOUT"]);
  expect(stdout === rows).toBe(true);
  const [, copiedIn, copiedOut] = byId(await sluice.recorded(3));
  expect(copiedIn!["bytes_to_backend"]).toBeGreaterThan(rows.length);
  expect(copiedOut!["bytes_to_client"]).toBeGreaterThan(rows.length);
});

test.skipIf(lacks(...programs))("pgbench makes all of its transactions, over TLS and in plain", async () => {
  await using sluice = await startSluice({ config: inFrontOf(postgres.address) });
  const port = await sluice.port("web");
  await pgbench(port, ["-i", "-q"]);
  for (const sslmode of ["disable", "require"]) {
    const { stdout } = await pgbench(port, ["-c", "4", "-j", "2", "-t", "100"], sslmode);
    expect(stdout).toContain("number of transactions actually processed: 400/400\n");
    expect(stdout).toContain("number of failed transactions: 0 (0.000%)\n");
  }
  await pgbench(port, ["-C", "-S", "-c", "2", "-t", "20"]);
  const records = await sluice.recorded(1 + 2 * (4 + 1) + 40);
  for (const { end } of records) expect(peersEnds).toContain(end);
});

test.skipIf(lacks(...programs))(
  "a server that dies under pgbench is an error for it at once, and back when it is",
  async () => {
    await using sluice = await startSluice({ config: inFrontOf(postgres.address, '[admin]\nlisten = "127.0.0.1:0"') });
    const port = await sluice.port("web");
    await pgbench(port, ["-i", "-q"]);
    const before = (await sluice.recorded(1)).length;
    await using client = start("pgbench", [...pgbenchOptions, "-c", "4", "-j", "2", "-T", "60"], pgAddress(port));
    await until(async () => (await bytesToClient(sluice)) > 100_000, "pgbench to be at work");
    await postgres.cut();
    expect(await client.exited()).toBe("code 2");
    expect(client.output).toMatch(/terminating connection|server closed the connection unexpectedly/);
    const records = (await sluice.recorded(before + 5)).slice(before);
    for (const { end } of records) expect(peersEnds).toContain(end);

    const refused = await attempt("psql", [...psqlArgs({ host: "127.0.0.1", port }), "-c", "SELECT 1"]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/Connection reset by peer|server closed the connection unexpectedly/);
    expect(byId(await sluice.recorded(before + 6)).at(-1)).toMatchObject({ end: "connect_refused", attempts: 1 });
    await postgres.again();
    expect((await psql({ host: "127.0.0.1", port }, ["-c", "SELECT 1"])).stdout).toBe("1\n");
  },
);

test.skipIf(lacks("openssl", "redis-cli", "redis-server"))(
  "redis-cli works over TLS that ends in front of redis",
  async () => {
    await using redis = await startRedis();
    const { certFile, keyFile } = certificate("a");
    const tls = `tls = { cert = "${certFile}", key = "${keyFile}" }`;
    await using sluice = await startSluice({ config: inFrontOf(redis.address, "", tls) });
    const trust = ["--tls", "--cacert", certificate("ca").certFile, "--sni", "a.test"];
    const cli = ["-h", "127.0.0.1", "-p", String(await sluice.port("web")), ...trust];
    const increments = await call("redis-cli", cli, "INCR counter\n".repeat(1_000));
    expect(increments.stdout.trimEnd().split("\n")).toEqual(
      Array.from({ length: 1_000 }, (_, index) => `${index + 1}`),
    );
    const commands = Array.from({ length: 10_000 }, (_, index) => `SET key:${index} ${"v".repeat(index % 100)}x\r\n`);
    expect((await call("redis-cli", [...cli, "--pipe"], commands.join(""))).stdout).toEndWith(
      "errors: 0, replies: 10000\n",
    );
    const value = new Payload(3, 5_000_000).bytes();
    expect((await call("redis-cli", [...cli, "-x", "SET", "large"], value)).stdout).toBe("OK\n");
    const got = await call("redis-cli", [...cli, "--raw", "GET", "large"]);
    // redis-cli ends its answer with a line.
    expect(Buffer.compare(got.bytes.subarray(0, -1), value)).toBe(0);
    const records = await sluice.recorded(4);
    expect(records.map(({ end, sni }) => ({ end, sni }))).toEqual(
      Array(4).fill({ end: "client_finished", sni: "a.test" }),
    );
  },
);

/**
 * How a connection of PostgreSQL ends: the client says so and closes, and so does the server. Which FIN is first is anybody's
 * guess; and what TLS says last comes to a socket that is closed, on either side, which answers with a reset.
 */
const peersEnds: readonly unknown[] = ["client_finished", "client_reset", "backend_finished", "backend_reset"];

/** SSLRequest (PostgreSQL documentation, "Message Formats"), and two routes of other protocols on the same listener. */
const routes = `
[[listener.route]]
prefix = "SSH-2.0"
backend = "nobody"
[[listener.route]]
path_prefix = "/"
backend = "nobody"
[[listener.route]]
prefix = "\\\\x00\\\\x00\\\\x00\\\\x08\\\\x04\\\\xd2\\\\x16\\\\x2f"
backend = "app"
[[backend]]
name = "nobody"
endpoints = ["127.0.0.1:1"]
`;

function inFrontOf(endpoint: string, more = "", ofListener = ""): string {
  return `
[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"
${ofListener}
${more}
[[backend]]
name = "app"
endpoints = ["${endpoint}"]
`;
}

/** psql without its user's settings, and answers as plain values. */
function psqlArgs(address: Readonly<Record<string, string | number>>): string[] {
  const all = { user: "postgres", dbname: "postgres", connect_timeout: 5, ...address };
  const conninfo = Object.entries(all).map(([key, value]) => `${key}=${value}`);
  return ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", conninfo.join(" ")];
}

function psql(
  address: Readonly<Record<string, string | number>>,
  args: readonly string[],
  input?: string,
): Promise<Called> {
  return call("psql", [...psqlArgs(address), ...args], input);
}

const pgbenchOptions = ["-h", "127.0.0.1", "-U", "postgres"];

function pgAddress(port: number, sslmode = "disable"): { env: Record<string, string> } {
  return { env: { PGPORT: `${port}`, PGSSLMODE: sslmode, PGDATABASE: "postgres" } };
}

function pgbench(port: number, args: readonly string[], sslmode?: string): Promise<Called> {
  return call("pgbench", [...pgbenchOptions, ...args], "", pgAddress(port, sslmode));
}

async function bytesToClient(sluice: Sluice): Promise<number> {
  const status = (await (await fetch(`${await sluice.adminUrl()}/status`)).json()) as {
    listeners: { bytes_to_client: number }[];
  };
  return status.listeners[0]!.bytes_to_client;
}
