/** A graceful shutdown of the real process, in its order, with nothing lost; and what ends it early. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { echo, listen, type ConnectionHandler } from "../support/backend.ts";
import { engines, type EngineUnderTest } from "../support/engines.ts";
import { connect, type Peer } from "../support/peer.ts";
import { pollReadiness } from "../support/readiness.ts";
import { SLUICE, startSluice, type LogLine } from "../support/sluice.ts";
import { silentHost } from "../support/unreachable.ts";
import { until } from "../support/until.ts";

/** A bound for what happens at once, on a machine that has other things to do. */
const atOnceMs = 500;

const draining = ({ msg }: LogLine): boolean => msg === "draining";

test("readiness turns false first, accepting goes on for shutdown.delay, then stops while open connections go on", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address, "auto", `delay = "700ms"`) });
  await proxy.ready();
  const port = await proxy.port("web");
  await using open = await connect(port);
  await using poller = pollReadiness(`http://${await proxy.address("admin")}/readyz`);
  await poller.sees("true");
  proxy.signal("SIGTERM");
  await poller.sees("false");
  await using late = await connect(port);
  await late.send("accepted although not ready");
  await late.finish();
  await late.finished();
  expect(late.text()).toBe("accepted although not ready");
  await proxy.logged(draining, "the drain");
  await refused(port);
  await open.send("still served");
  await open.finish();
  await open.finished();
  expect(open.text()).toBe("still served");
  expect(await proxy.exited()).toMatchObject({ code: 0, signal: null });
  const told = proxy.log.filter(({ msg }) => msg !== "connection" && msg !== "listening" && msg !== "draining");
  expect(told.map(({ msg }) => msg)).toEqual([
    "ready",
    "shutting down",
    "not ready any more; still accepting",
    "stopped",
  ]);
  expect(told[1]).toMatchObject({ level: "info", reason: "SIGTERM", connections: 1 });
  expect(told[2]).toMatchObject({ delay_ms: 700 });
  expect(told[3]).toMatchObject({ reason: "SIGTERM", cut: 0, code: 0 });
  // The delay is waited for in full.
  expect(timeOf(proxy.log.find(draining)!) - timeOf(told[2]!)).toBeGreaterThanOrEqual(699);
  expect(proxy.records().map(({ end }) => end)).toEqual(["client_finished", "client_finished"]);
});

test("with nothing open the process exits at once", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address) });
  await proxy.ready();
  proxy.signal("SIGINT");
  const { code, afterMs } = await proxy.exited();
  expect(code).toBe(0);
  expect(afterMs).toBeLessThan(2 * atOnceMs);
  expect(proxy.log.filter(draining)).toEqual([]);
  expect(proxy.log.at(-1)).toMatchObject({ msg: "stopped", reason: "SIGINT", cut: 0, code: 0 });
});

test("an attempt to reach a backend is cut at the deadline as well", async () => {
  await using host = await silentHost();
  await using proxy = await startSluice({ config: config(host.address, "auto", `drain = "200ms"`) });
  await using client = await connect(await proxy.port("web"));
  await until(() => host.attempts() === 1, "the attempt");
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(3);
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(proxy.records()).toMatchObject([{ end: "drain_deadline", attempts: 1, connect_ms: null }]);
  expect(host.attempts()).toBe(0);
});

test("POST /shutdown drains as a signal does", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address) });
  await using client = await connect(await proxy.port("web"));
  await client.send("before");
  await client.receivedBytes(6);
  const admin = await proxy.address("admin");
  const response = await fetch(`http://${admin}/shutdown`, { method: "POST" });
  expect([response.status, await response.text()]).toEqual([202, '{"state":"draining"}']);
  await proxy.logged(draining, "the drain");
  const ready = await fetch(`http://${admin}/readyz`);
  expect([ready.status, await ready.text()]).toEqual([503, '{"ready":false}']);
  await client.send(" and after");
  await client.finish();
  await client.finished();
  expect(client.text()).toBe("before and after");
  expect((await proxy.exited()).code).toBe(0);
  expect(proxy.log.find(({ msg }) => msg === "shutting down")).toMatchObject({ reason: "asked by the admin server" });
});

test("a mistake that nobody catches is logged with its stack and drains as well; the exit code is 1", async () => {
  await using backend = await listen();
  const command = [SLUICE[0]!, "--preload", join(import.meta.dir, "../support/thrower.ts"), ...SLUICE.slice(1)];
  await using proxy = await startSluice({ config: config(backend.address), command });
  await using client = await connect(await proxy.port("web"));
  await client.send("question");
  const peer = await backend.accepted();
  proxy.signal("SIGUSR1");
  await proxy.logged(draining, "the drain");
  await peer.send("answer");
  await peer.finish();
  await client.finished();
  expect(client.text()).toBe("answer");
  await client.finish();
  expect((await proxy.exited()).code).toBe(1);
  const [line, ...further] = proxy.log.filter(({ level }) => level === "error");
  expect(line).toMatchObject({ msg: "uncaught error: shutting down", error: { message: "out of nowhere" } });
  expect((line!["error"] as { stack: string }).stack).toContain("thrower.ts");
  expect(further).toEqual([]);
  expect(proxy.log.at(-1)).toMatchObject({ msg: "stopped", reason: "process has failed", cut: 0, code: 1 });
  expect(proxy.records().map(({ end }) => end)).toEqual(["backend_finished"]);
});

describe.each([...engines])("engine %s:", (engine) => {
  test("a request in flight completes, the wait is told about once a second, and the exit follows the last byte", async () => {
    const answer = "a".repeat(200_000);
    await using backend = await listen();
    await using proxy = await startSluice({ config: config(backend.address, engine, `drain = "20s"`) });
    await using client = await connect(await proxy.port("web"));
    await client.send("GET / HTTP/1.0\r\n\r\n");
    const request = await backend.accepted();
    await request.receivedBytes(18);
    proxy.signal("SIGTERM");
    await until(
      () => proxy.log.filter(draining).length === 3,
      () => `three lines of the drain: ${proxy.describe()}`,
    );
    const lines = proxy.log.filter(draining);
    expect(lines.map(({ connections }) => connections)).toEqual([1, 1, 1]);
    const remaining = lines.map((line) => Number(line["remaining_ms"]));
    const times = lines.map(timeOf);
    for (let index = 1; index < lines.length; index++) {
      expect(times[index]! - times[index - 1]!).toBeGreaterThanOrEqual(999);
      expect(remaining[index]).toBeLessThanOrEqual(remaining[index - 1]! - 999);
    }
    expect(remaining[0]).toBeGreaterThan(19_000);
    expect(times[2]! - times[0]!).toBeLessThan(3_500);
    await request.send(answer);
    await request.finish();
    await client.finished();
    const lastByteMs = performance.now();
    expect(client.text()).toBe(answer);
    await client.finish();
    expect((await proxy.exited()).code).toBe(0);
    expect(performance.now() - lastByteMs).toBeLessThan(atOnceMs);
    expect(proxy.records()).toMatchObject([
      { end: "backend_finished", bytes_to_backend: 18, bytes_to_client: 200_000 },
    ]);
  });

  test("what is open at the deadline, idle or busy, is cut, named and recorded, and the exit code is 3", async () => {
    await using backend = await listen();
    await using proxy = await startSluice({ config: config(backend.address, engine, `drain = "400ms"`) });
    const port = await proxy.port("web");
    await using idle = await connect(port);
    await using busy = await connect(port);
    await busy.send("asked");
    await until(() => backend.connections.length === 2, "two sessions");
    await until(() => backend.connections.some(({ received }) => received === 5), "the question");
    const clients = [idle, busy].map((client) => `127.0.0.1:${client.localPort}`);
    proxy.signal("SIGTERM");
    const { code, afterMs } = await proxy.exited();
    expect(code).toBe(3);
    expect(afterMs).toBeGreaterThanOrEqual(400);
    expect(afterMs).toBeLessThan(400 + atOnceMs);
    expect([await idle.wasReset(), await busy.wasReset()]).toEqual(["ECONNRESET", "ECONNRESET"]);
    const cut = proxy.log.filter(({ msg }) => msg === "cut: the drain deadline has passed");
    expect(cut.map(withoutTime)).toEqual(
      clients.map((client, index) => ({
        level: "warn",
        id: index + 1,
        listener: "web",
        client,
        backend: "app",
        endpoint: backend.address,
        msg: "cut: the drain deadline has passed",
      })),
    );
    expect(proxy.records().map(({ id, end, bytes_to_backend }) => [id, end, bytes_to_backend])).toEqual([
      [1, "drain_deadline", 0],
      [2, "drain_deadline", 5],
    ]);
    expect(proxy.log.at(-1)).toMatchObject({ msg: "stopped", cut: 2, code: 3 });
  });

  test("with shutdown.idle silent connections end with drain_idle, busy ones are waited for, and the exit code is 0", async () => {
    await using backend = await listen(echo);
    await using proxy = await startSluice({ config: config(backend.address, engine, `idle = "200ms"\ndrain = "20s"`) });
    const port = await proxy.port("web");
    await using silent = await connect(port);
    await using busy = await connect(port);
    await until(() => backend.connections.length === 2, "two sessions");
    proxy.signal("SIGTERM");
    await until(() => {
      void busy.send("busy ");
      return silent.ending !== undefined;
    }, "the silent connection to be ended");
    expect(silent.ending).toEqual({ how: "reset", code: "ECONNRESET" });
    await busy.finish();
    await busy.finished();
    expect(busy.received).toBe(busy.sent);
    expect((await proxy.exited()).code).toBe(0);
    expect(proxy.records().map(({ end }) => end)).toEqual(["drain_idle", "client_finished"]);
  });

  test('with shutdown.drain "0s" there is no deadline: the wait says so, and ends with the last connection', async () => {
    await using backend = await listen(echo);
    await using proxy = await startSluice({ config: config(backend.address, engine, `drain = "0s"`) });
    await using client = await connect(await proxy.port("web"));
    await client.send("before");
    await client.receivedBytes(6);
    proxy.signal("SIGTERM");
    expect(await proxy.logged(draining, "the drain")).toMatchObject({ connections: 1, remaining_ms: null });
    await client.send(" and after");
    await client.finish();
    await client.finished();
    expect(client.text()).toBe("before and after");
    expect((await proxy.exited()).code).toBe(0);
  });

  test("connections in the accept queue at SIGTERM, behind a limit that is reached, are served", async () => {
    await using backend = await listen(echo);
    await using proxy = await startSluice({
      config: `[limits]\nconnections = 1\n${config(backend.address, engine).replace(/\[limits\][^[]*/, "")}`,
    });
    const port = await proxy.port("web");
    await using first = await connect(port);
    await first.send("1");
    await first.receivedBytes(1);
    const waiting = await Promise.all(Array.from({ length: 5 }, () => connect(port)));
    proxy.signal("SIGTERM");
    await proxy.logged(draining, "the drain");
    for (const client of [first, ...waiting]) {
      const before = client.received;
      await client.send("served");
      await client.receivedBytes(before + 6);
      await client.finish();
      await client.finished();
    }
    expect((await proxy.exited()).code).toBe(0);
    expect(proxy.records().map(({ end }) => end)).toEqual(Array(6).fill("client_finished"));
  });

  test("with 500 clients in a loop of requests, SIGTERM costs nobody a byte: each gets its answer or is refused at the connect", async () => {
    const requestBytes = 300;
    const answer = new Uint8Array(4_000).fill(7);
    const answering: ConnectionHandler = async (peer) => {
      await peer.receivedBytes(requestBytes);
      await peer.send(answer);
      await peer.finish();
      await peer.finished();
    };
    await using backend = await listen(answering);
    await using proxy = await startSluice({ config: config(backend.address, engine, `drain = "20s"`) });
    const port = await proxy.port("web");
    let served = 0;
    const clients = Array.from({ length: 500 }, async () => {
      for (;;) {
        const client = await connect(port).catch((error: { code?: string }) => {
          if (error.code === "ECONNREFUSED") return undefined;
          throw error;
        });
        if (client === undefined) return;
        await request(client, requestBytes, answer.length);
        served++;
      }
    });
    await until(
      () => served >= 1_000,
      () => `1000 requests: ${served} were served`,
    );
    proxy.signal("SIGTERM");
    await Promise.all(clients);
    expect((await proxy.exited()).code).toBe(0);
    const records = proxy.records();
    expect(records.length).toBe(served);
    expect(new Set(records.map(({ end }) => end))).toEqual(new Set(["backend_finished"]));
    expect(sum(records, "bytes_to_backend")).toBe(served * requestBytes);
    expect(sum(records, "bytes_to_client")).toBe(served * answer.length);
    expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
  }, 60_000);
});

/** One question and its whole answer; a reset, or a byte too few, fails. */
async function request(client: Peer, requestBytes: number, answerBytes: number): Promise<void> {
  await using _ = client;
  await client.send(new Uint8Array(requestBytes));
  await client.finished(30_000);
  expect(client.received).toBe(answerBytes);
  await client.finish();
  await client.gone();
}

/** Resolves when nobody listens there any more; a connect meanwhile gets no answer. */
async function refused(port: number): Promise<void> {
  await until(async () => {
    const client = await connect(port).catch((error: { code?: string }) => {
      if (error.code === "ECONNREFUSED") return undefined;
      throw error;
    });
    await client?.[Symbol.asyncDispose]();
    return client === undefined;
  }, "connections to be refused");
}

function timeOf(line: LogLine): number {
  return Date.parse(String(line["time"]));
}

function withoutTime(line: LogLine): object {
  return Object.fromEntries(Object.entries(line).filter(([field]) => field !== "time"));
}

function sum(records: readonly LogLine[], field: string): number {
  return records.reduce((total, record) => total + Number(record[field]), 0);
}

function config(endpoint: string, engine: EngineUnderTest = "auto", shutdown = ""): string {
  return `
[forwarding]
engine = "${engine}"

[limits]
connections = 1000

[shutdown]
${shutdown}

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = ["${endpoint}"]

[admin]
listen = "127.0.0.1:0"
`;
}
