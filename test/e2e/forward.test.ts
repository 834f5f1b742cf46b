/** `sluice forward`, the real process: where it forwards to, what each option does, and how it names what is wrong. */
import { expect, test } from "bun:test";
import { echo, listen } from "../support/backend.ts";
import { connect, type Peer } from "../support/peer.ts";
import { runSluice, startSluice, type LogLine, type Sluice } from "../support/sluice.ts";
import { refusedPort, silentHost } from "../support/unreachable.ts";
import { until } from "../support/until.ts";

test("the endpoints take turns, IPv6 among them, and :0 is a free port of every IPv4 address", async () => {
  await using one = await listen(echo);
  await using two = await listen(echo, { host: "::1" });
  await using three = await listen(echo);
  const endpoints = [one.address, two.address, three.address];
  await using proxy = await startSluice({ args: ["forward", ":0", ...endpoints] });
  expect(await proxy.address("forward")).toMatch(/^0\.0\.0\.0:[1-9]\d*$/);
  for (let turn = 0; turn < 6; turn++) expect(await exchanged(proxy, `turn ${turn}`)).toBe(`turn ${turn}`);
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
  expect(proxy.records().map(({ endpoint }) => endpoint)).toEqual([...endpoints, ...endpoints]);
  expect([one, two, three].map(({ connections }) => connections.length)).toEqual([2, 2, 2]);
  expect(proxy.records()[0]).toMatchObject({ listener: "forward", backend: "forward", end: "client_finished" });
});

test("an endpoint that refuses is passed over, unless --retries says 0", async () => {
  using refusing = refusedPort();
  await using backend = await listen(echo);
  await using proxy = await startSluice({ args: ["forward", "127.0.0.1:0", refusing.address, backend.address] });
  expect(await exchanged(proxy, "retried")).toBe("retried");
  expect(await proxy.recorded(1)).toMatchObject([{ end: "client_finished", attempts: 2, endpoint: backend.address }]);
  await using strict = await startSluice({ args: ["forward", "--retries=0", "127.0.0.1:0", refusing.address] });
  expect(await howReset(await strict.port("forward"))).toBe("ECONNRESET");
  expect(await strict.recorded(1)).toMatchObject([{ end: "connect_refused", attempts: 1 }]);
});

test("--connect-timeout bounds each attempt", async () => {
  await using host = await silentHost();
  const end = await endOf(["--connect-timeout", "150ms", "--retries", "0"], host.address, (client) =>
    client.wasReset(),
  );
  expect(end).toMatchObject({ end: "connect_timeout", attempts: 1 });
  expect(end["duration_ms"]).toBeGreaterThanOrEqual(149);
});

test.concurrent.each([
  ["--response-timeout", "response_timeout", (client: Peer) => client.send("not answered")],
  ["--idle-timeout", "idle_timeout", async () => {}],
  ["--half-closed-timeout", "half_closed_timeout", (client: Peer) => client.finish()],
  ["--lifetime", "lifetime", async () => {}],
] as const)("%s ends a connection with %s", async (option, end, act) => {
  await using backend = await listen();
  const record = await endOf([option, "150ms"], backend.address, async (client) => {
    await backend.accepted();
    await act(client);
    await client.wasReset();
  });
  expect(record).toMatchObject({ end });
  expect(record["duration_ms"]).toBeGreaterThanOrEqual(149);
});

test("--connections and --overflow bound what is open at once, and --admin shows it", async () => {
  await using backend = await listen(echo);
  const options = ["--connections", "1", "--overflow", "reject", "--admin", "127.0.0.1:0"];
  await using proxy = await startSluice({ args: ["forward", ...options, "127.0.0.1:0", backend.address] });
  const status = (await (await fetch(`${await proxy.adminUrl()}/status`)).json()) as { limits: object };
  expect(status.limits).toMatchObject({ connections: 1, overflow: "reject" });
  const port = await proxy.port("forward");
  await using first = await connect(port);
  await first.send("x");
  await first.receivedBytes(1);
  expect(await howReset(port)).toBe("ECONNRESET");
  expect(await proxy.recorded(1)).toMatchObject([{ end: "limit_connections" }]);
});

test("--delay keeps accepting, and --drain bounds the wait for what is open: exit code 3", async () => {
  await using backend = await listen(echo);
  const options = ["--delay", "200ms", "--drain=100ms"];
  await using proxy = await startSluice({ args: ["forward", ...options, "127.0.0.1:0", backend.address] });
  await using open = await connect(await proxy.port("forward"));
  await until(() => backend.connections.length === 1, "the session");
  proxy.signal("SIGTERM");
  const line = await proxy.logged(({ msg }) => msg === "not ready any more; still accepting", "the delay");
  expect(line["delay_ms"]).toBe(200);
  expect(await exchanged(proxy, "still accepted")).toBe("still accepted");
  const { code, afterMs } = await proxy.exited();
  expect(code).toBe(3);
  expect(afterMs).toBeGreaterThanOrEqual(299);
  expect(await open.wasReset()).toBe("ECONNRESET");
});

test("--log-level, --log-format and --no-access-log decide what is written", async () => {
  await using backend = await listen(echo);
  const stdoutWith = async (...options: string[]): Promise<string> => {
    await using proxy = await startSluice({ args: ["forward", ...options, "127.0.0.1:0", backend.address] });
    await until(
      () => /\bready\b/.test(proxy.stdout),
      () => proxy.describe(),
    );
    await using client = await connect(Number(/127\.0\.0\.1:(\d+)/.exec(proxy.stdout)![1]));
    await client.finish();
    await client.finished();
    proxy.signal("SIGTERM");
    expect((await proxy.exited()).code).toBe(0);
    return proxy.stdout;
  };
  const [json, pretty, silent, debug] = await Promise.all([
    stdoutWith("--log-format", "json"),
    stdoutWith("--log-format", "pretty"),
    stdoutWith("--no-access-log"),
    stdoutWith("--log-level", "debug"),
  ]);
  const messages = (text: string): unknown[] => lines(text).map((line) => line.msg);
  expect(messages(json!)).toEqual(["listening", "ready", "connection", "shutting down", "stopped"]);
  expect(messages(silent!)).toEqual(["listening", "ready", "shutting down", "stopped"]);
  expect(pretty).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: listening \{/);
  expect(pretty!.split("\n").length).toBe(6);
  expect(lines(debug!).some(({ level }) => level === "debug")).toBe(true);
  await using other = await listen(echo);
  const refused = await runSluice(["forward", "--log-level", "error", backend.address, other.address]);
  expect(refused).toMatchObject({ code: 1, stdout: "" });
});

test("options and arguments beat variables, variables beat defaults", async () => {
  using refusing = refusedPort();
  await using backend = await listen(echo);
  const env = {
    SLUICE_LISTENER_FORWARD_LISTEN: "127.0.0.1:1",
    SLUICE_BACKEND_FORWARD_ENDPOINTS: "127.0.0.1:1",
    SLUICE_BACKEND_FORWARD_RETRIES: "7",
    SLUICE_LIMITS_CONNECTIONS: "7",
    SLUICE_SHUTDOWN_DRAIN_FILE: "/nowhere",
    SLUICE_LIMITS_OVERFLOW: "reject",
  };
  const options = ["--connections=5", "--drain=1s", "--retries=0", "--admin=127.0.0.1:0"];
  const args = ["forward", ...options, "127.0.0.1:0", refusing.address, backend.address];
  await using proxy = await startSluice({ args, env });
  expect(await howReset(await proxy.port("forward"))).toBe("ECONNRESET");
  expect(await exchanged(proxy, "second")).toBe("second");
  expect((await proxy.recorded(2)).map(({ end, attempts }) => [end, attempts])).toEqual([
    ["connect_refused", 1],
    ["client_finished", 1],
  ]);
  const status = (await (await fetch(`${await proxy.adminUrl()}/status`)).json()) as { limits: object };
  expect(status.limits).toMatchObject({ connections: 5, overflow: "reject" });
});

test("every problem is told at once, in the words that were typed", async () => {
  const options = ["--connect-timeout=5", "--retries=-1", "--connections=many", "--overflow=drop", "--log-level=loud"];
  const { code, stdout, stderr } = await runSluice(["forward", ...options, "--admin=:9900", "80", "127.0.0.1", "x:1"]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr.trimEnd().split("\n").toSorted()).toEqual([
    '--admin: 0.0.0.0:9900 can be reached from other machines, wanted a token (SLUICE_ADMIN_TOKEN_FILE or admin.token) or a loopback address such as "127.0.0.1:9900"',
    '--connect-timeout: found "5", wanted a duration with its unit, such as "5s" or "5ms"',
    '--connections: found "many", wanted a whole number from 1 to 10_000_000',
    '--log-level: found "loud", wanted one of "debug", "info", "warn", "error"',
    '--overflow: found "drop", wanted one of "queue", "reject"',
    '--retries: found "-1", wanted a whole number from 0 to 100',
    'ENDPOINT 1: found "127.0.0.1", wanted an address with a port, such as "127.0.0.1:80"',
    'LISTEN: found "80", wanted an address with a port, such as "127.0.0.1:80", "[::1]:80" or "name:80"',
    "sluice: the configuration is not valid: 8 problems",
  ]);
});

test("a value that only another forbids names both options", async () => {
  const { code, stderr } = await runSluice(["forward", "--idle-timeout=10s", "--lifetime=5s", ":0", "127.0.0.1:1"]);
  expect(code).toBe(2);
  expect(stderr).toStartWith('--idle-timeout: found "10s", wanted at most --lifetime ("5s"), or "0s": ');
});

test("a variable that is wrong is named as the variable that it is", async () => {
  const env = { SLUICE_TIMEOUTS_CONNECT: "soon" };
  const { code, stderr } = await runSluice(["forward", ":0", "127.0.0.1:1"], { env });
  expect(code).toBe(2);
  expect(stderr).toStartWith('SLUICE_TIMEOUTS_CONNECT timeouts.connect: found "soon", wanted a duration');
});

/** The access record of one connection, after `act` has seen it to its end. */
async function endOf(
  options: readonly string[],
  endpoint: string,
  act: (client: Peer) => Promise<unknown>,
): Promise<LogLine> {
  await using proxy = await startSluice({ args: ["forward", ...options, "127.0.0.1:0", endpoint] });
  await using client = await connect(await proxy.port("forward"));
  await act(client);
  const records = await proxy.recorded(1);
  return records[0]!;
}

/** How a connection ended: so soon, perhaps, that it had not been there for its client yet. */
async function howReset(port: number): Promise<string> {
  try {
    await using client = await connect(port);
    return await client.wasReset();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** What an echo backend gives back through the proxy. */
async function exchanged(proxy: Sluice, text: string): Promise<string> {
  await using client = await connect(await proxy.port("forward"));
  await client.send(text);
  await client.finish();
  await client.finished();
  return client.text();
}

function lines(text: string): LogLine[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as LogLine);
}
