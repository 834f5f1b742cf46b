/** Clients of the real process of whom something must be heard first: while it drains, at its limits, and many of them that are silent. */
import { describe, expect, test } from "bun:test";
import { echo, listen, type Backend } from "../support/backend.ts";
import { certificate } from "../support/certificates.ts";
import { countDescriptors } from "../support/descriptors.ts";
import { connect, type Peer } from "../support/peer.ts";
import { pollReadiness } from "../support/readiness.ts";
import { startSluice, type LogLine, type Sluice } from "../support/sluice.ts";
import { until } from "../support/until.ts";

const request = "GET /api/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
const header = "PROXY TCP4 192.0.2.1 198.51.100.1 1000 80\r\n";
const withRoute = '[[listener.route]]\npath_prefix = "/api"\nbackend = "api"';
const withHeader = 'accept_proxy = "required"';
const withTls = `[listener.tls]\ncert = "${certificate("a").certFile}"\nkey = "${certificate("a").keyFile}"`;

/** What a listener waits for, the listener, and a beginning of it. */
type Half = readonly [what: string, listener: string, half: () => Promise<string | Uint8Array>];

/** Those without which no client is served. */
const halves: readonly Half[] = [
  ["a PROXY header", withHeader, () => Promise.resolve(header.slice(0, 20))],
  ["a ClientHello", withTls, async () => (await firstFlight()).subarray(0, 50)],
  ["a TLS handshake", withTls, firstFlight],
];
const ofRequest: Half = ["a request", withRoute, () => Promise.resolve("GET /ap")];

const draining = ({ msg }: LogLine): boolean => msg === "draining";

describe("a client that has said half of it when the drain begins", () => {
  test.each([
    ["a request", withRoute, request, { backend: "api", route: "path_prefix=/api", bytes_to_backend: request.length }],
    [
      "a PROXY header",
      withHeader,
      `${header}and more`,
      { backend: "app", client: "192.0.2.1:1000", bytes_to_backend: 8 },
    ],
  ])("is served when it says the rest (%s)", async (_, listener, opening, record) => {
    await using backend = await listen(echo);
    await using proxy = await startSluice({ config: config(backend, { listener }) });
    await using client = await inspected(proxy, opening.slice(0, 20));
    proxy.signal("SIGTERM");
    await proxy.logged(draining, "the drain");
    await client.send(opening.slice(20));
    await client.finish();
    await client.finished();
    expect(client.text()).toBe(opening.replace(header, ""));
    expect(await proxy.exited()).toMatchObject({ code: 0 });
    expect(proxy.records()).toMatchObject([{ ...record, end: "client_finished", attempts: 1 }]);
  });

  test("goes to the default backend, with that half, when timeouts.inspect is over", async () => {
    await using backend = await listen(echo);
    const settings = { listener: withRoute, timeouts: 'inspect = "500ms"' };
    await using proxy = await startSluice({ config: config(backend, settings) });
    await using client = await inspected(proxy, "GET /ap");
    proxy.signal("SIGTERM");
    await client.receivedBytes(7);
    await client.finish();
    await client.finished();
    expect(client.text()).toBe("GET /ap");
    expect((await proxy.exited()).code).toBe(0);
    expect(proxy.records()).toMatchObject([
      { backend: "app", route: null, bytes_to_backend: 7, end: "client_finished" },
    ]);
  });

  test.each(halves)(
    "is reset when timeouts.inspect is over, where it can't be done without (%s)",
    async (_, listener, half) => {
      await using backend = await listen();
      await using proxy = await startSluice({ config: config(backend, { listener, timeouts: 'inspect = "500ms"' }) });
      await using client = await inspected(proxy, await half());
      proxy.signal("SIGTERM");
      expect(await client.wasReset()).toBe("ECONNRESET");
      expect((await proxy.exited()).code).toBe(0);
      expect(proxy.records()).toMatchObject([{ backend: null, attempts: 0, end: "inspect_timeout" }]);
      expect(backend.connections).toEqual([]);
    },
  );

  test.each([ofRequest, ...halves])("is cut at the deadline when it says no more (%s)", async (_, listener, half) => {
    await using backend = await listen();
    const settings = { listener, shutdown: 'drain = "400ms"', timeouts: 'inspect = "0s"' };
    await using proxy = await startSluice({ config: config(backend, settings) });
    await using client = await inspected(proxy, await half());
    proxy.signal("SIGTERM");
    expect(await client.wasReset()).toBe("ECONNRESET");
    const { code, afterMs } = await proxy.exited();
    expect(code).toBe(3);
    expect(afterMs).toBeGreaterThanOrEqual(400);
    expect(proxy.records()).toMatchObject([{ backend: null, endpoint: null, attempts: 0, end: "drain_deadline" }]);
    const cut = proxy.log.filter(({ msg }) => msg === "cut: the drain deadline has passed");
    expect(cut).toMatchObject([{ level: "warn", listener: "web", backend: null, endpoint: null }]);
    expect(proxy.log.at(-1)).toMatchObject({ msg: "stopped", cut: 1, code: 3 });
  });

  test("is reset by a second signal", async () => {
    await using backend = await listen();
    await using proxy = await startSluice({ config: config(backend, { listener: withTls }) });
    await using client = await inspected(proxy, await firstFlight());
    proxy.signal("SIGTERM");
    await proxy.logged(draining, "the drain");
    proxy.signal("SIGTERM");
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect((await proxy.exited()).code).toBe(143);
    expect(proxy.records()).toMatchObject([{ backend: null, end: "forced" }]);
  });

  test.each(["300ms", "0s"])(
    "and is silent ends by shutdown.idle, inspect = %s, long before the deadline",
    async (inspect) => {
      await using backend = await listen(echo);
      const settings = { listener: withRoute, shutdown: 'idle = "300ms"', timeouts: `inspect = "${inspect}"` };
      await using proxy = await startSluice({ config: config(backend, settings) });
      await using client = await inspected(proxy, "GET /ap");
      proxy.signal("SIGTERM");
      expect(await client.wasReset()).toBe("ECONNRESET");
      const { code, afterMs } = await proxy.exited();
      expect(code).toBe(0);
      expect(afterMs).toBeLessThan(5_000);
      expect(proxy.records().map(({ end }) => end)).toEqual(["drain_idle"]);
    },
  );
});

describe("clients of whom nothing has been heard count", () => {
  test("for limits.connections: who comes late waits, and gets the place of one that leaves", async () => {
    await using backend = await listen(echo);
    await using proxy = await startSluice({
      config: config(backend, { listener: withRoute, limits: "connections = 3" }),
    });
    const port = await proxy.port("web");
    await using silent = await together(3, port);
    await until(async () => (await status(proxy)).connections_active === 3, "all to be inside");
    await using late = await connect(port);
    await late.send(request);
    expect(await status(proxy)).toMatchObject({ connections_active: 3, listeners: [{ paused: true }] });
    silent.clients[0]!.reset();
    await late.receivedBytes(request.length);
    expect(late.text()).toBe(request);
    expect(await proxy.recorded(1)).toMatchObject([{ end: "client_reset", backend: null, attempts: 0 }]);
  });

  test.each([
    ["limits.connections", { limits: 'connections = 3\noverflow = "reject"' }, "limit_connections"],
    ["the listener's connections", { limits: 'overflow = "reject"', more: "connections = 3" }, "limit_listener"],
    ["connections_per_ip", { more: "connections_per_ip = 3" }, "limit_per_ip"],
  ])(
    "for %s: who comes late is reset",
    async (_, { more = "", ...settings }: { more?: string; limits?: string }, end) => {
      await using backend = await listen(echo);
      const listener = `${more}\n${withRoute}`;
      await using proxy = await startSluice({ config: config(backend, { listener, ...settings }) });
      const port = await proxy.port("web");
      await using silent = await together(3, port);
      await until(async () => (await status(proxy)).connections_active === 3, "all to be inside");
      const late = await connect(port).catch((error: { code?: string }) => error.code);
      expect(typeof late === "object" ? await late.wasReset() : late).toBe("ECONNRESET");
      expect(await proxy.recorded(1)).toMatchObject([{ end, backend: null, attempts: 0 }]);
      silent.clients[0]!.reset();
      await proxy.recorded(2);
      await using next = await connect(port);
      await next.send(request);
      await next.receivedBytes(request.length);
    },
  );
});

test("2,000 silent clients all go to the default backend when timeouts.inspect is over, and nothing is left of them", async () => {
  await using stack = new AsyncDisposableStack();
  const greet = async (peer: Peer): Promise<void> => {
    await peer.send("welcome");
    await peer.finish();
  };
  // They are dialled all at once, and one accept queue of ours has 512 places.
  const backends = await Promise.all(Array.from({ length: 8 }, () => listen(greet)));
  for (const backend of backends) stack.use(backend);
  const settings = { listener: withRoute, limits: "connections = 2_500", timeouts: 'inspect = "2s"' };
  await using proxy = await startSluice({ config: config(backends, settings) });
  const port = await proxy.port("web");
  expect(await status(proxy)).toMatchObject({ connections_active: 0 });
  const before = countDescriptors(proxy.pid);
  const count = 2_000;
  await using silent = await together(count, port);
  for (const client of silent.clients) {
    await client.finished();
    expect(client.text()).toBe("welcome");
    void client.finish();
  }
  const records = await proxy.recorded(count);
  const odd = records.filter(
    ({ end, backend: to, route, attempts, first_byte_ms: firstByteMs }) =>
      end !== "backend_finished" || to !== "app" || route !== null || attempts !== 1 || Number(firstByteMs) < 2_000,
  );
  expect(odd).toEqual([]);
  expect(await status(proxy)).toMatchObject({
    connections_active: 0,
    ended: { backend_finished: count },
    listeners: [{ inspect_timeouts_total: count, connections_total: count, connections_active: 0 }],
  });
  await until(
    () => countDescriptors(proxy.pid) <= before,
    () => `${before} descriptors: there are ${countDescriptors(proxy.pid)}`,
  );
  // One that speaks is served as before.
  await using client = await connect(port);
  await client.send(request);
  await client.finish();
  await client.finished();
  expect((await proxy.recorded(count + 1)).at(-1)).toMatchObject({ backend: "api", route: "path_prefix=/api" });
  expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
});

test("readiness depends on the backends of routes as well", async () => {
  await using backend = await listen(echo);
  const gone = await listen(undefined, { host: "127.0.3.1" });
  await gone[Symbol.asyncDispose]();
  const settings = { listener: withRoute, api: gone.address, health: '[backend.health]\ntype = "tcp"' };
  await using proxy = await startSluice({ config: config(backend, settings) });
  await proxy.ready();
  await using readiness = pollReadiness(`${await proxy.adminUrl()}/readyz`);
  await readiness.sees("false");
  await using routed = await connect(await proxy.port("web"));
  await routed.send(request);
  expect(await routed.wasReset()).toBe("ECONNRESET");
  await using other = await connect(await proxy.port("web"));
  await other.send("something else");
  await other.receivedBytes(14);
  expect(await proxy.recorded(1)).toMatchObject([
    { end: "no_endpoint", backend: "api", route: "path_prefix=/api", attempts: 0 },
  ]);
});

/** A client that has sent this, and of which the program has not heard enough. */
async function inspected(proxy: Sluice, half: string | Uint8Array): Promise<Peer> {
  const client = await connect(await proxy.port("web"));
  await client.send(half);
  await until(async () => (await status(proxy)).listeners[0]!.connections_total === 1, "the client to be inside");
  return client;
}

/** What a real client of TLS says before it is answered. */
async function firstFlight(): Promise<Uint8Array> {
  await using server = await listen();
  const tls = { serverName: "a.test", rejectUnauthorized: false };
  const socket = { data() {}, error() {} };
  const connecting = Bun.connect({ hostname: "127.0.0.1", port: server.port, tls, socket });
  const peer = await server.accepted();
  const record = await peer.read(5);
  const body = await peer.read(record[3]! * 256 + record[4]!);
  peer.reset();
  await connecting.catch(() => {});
  return Buffer.concat([record, body]);
}

/** Clients that say nothing, connected some at a time: the accept queue has an end. */
async function together(count: number, port: number): Promise<{ clients: Peer[] } & AsyncDisposable> {
  const clients: Peer[] = [];
  while (clients.length < count) {
    const some = Math.min(100, count - clients.length);
    clients.push(...(await Promise.all(Array.from({ length: some }, () => connect(port)))));
  }
  return {
    clients,
    async [Symbol.asyncDispose]() {
      for (const client of clients) await client[Symbol.asyncDispose]();
    },
  };
}

interface Status {
  readonly connections_active: number;
  readonly listeners: readonly { readonly connections_total: number }[];
}

async function status(proxy: Sluice): Promise<Status> {
  const response = await fetch(`${await proxy.adminUrl()}/status`, { keepalive: false });
  return (await response.json()) as Status;
}

/** One listener, with `listener` in it, and two backends at the same addresses unless said otherwise. */
function config(
  servers: Backend | readonly Backend[],
  { listener = "", limits = "", shutdown = "", timeouts = "", api = "", health = "" },
): string {
  const app = [servers].flat().map(({ address }) => address);
  return `
[limits]
${limits}

[shutdown]
${shutdown}

[timeouts]
${timeouts}

[admin]
listen = "127.0.0.1:0"

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"
${listener}

[[backend]]
name = "app"
endpoints = ${JSON.stringify(app)}

[[backend]]
name = "api"
endpoints = ${JSON.stringify(api === "" ? app : [api])}
${health}
`;
}
