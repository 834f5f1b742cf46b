/** Signals to the real process: the second that ends it at once, those that come early, and those that do nothing yet. */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { echo, listen } from "../support/backend.ts";
import { tcpSocketsOf } from "../support/descriptors.ts";
import { connect } from "../support/peer.ts";
import { startSluice } from "../support/sluice.ts";
import { until } from "../support/until.ts";

test.each([
  ["SIGTERM", "SIGTERM", 143],
  ["SIGINT", "SIGINT", 130],
  ["SIGTERM", "SIGINT", 130],
  ["SIGINT", "SIGTERM", 143],
] as const)(
  "%s, then %s: the process ends at once with code %i, and every connection is reset",
  async (first, second, code) => {
    await using backend = await listen(echo);
    await using proxy = await startSluice({ config: config(backend.address) });
    const port = await proxy.port("web");
    await using one = await connect(port);
    await using two = await connect(port);
    for (const client of [one, two]) {
      await client.send("x");
      await client.receivedBytes(1);
    }
    proxy.signal(first);
    await proxy.logged(({ msg }) => msg === "draining", "the drain");
    proxy.signal(second);
    const exit = await proxy.exited();
    expect([exit.code, exit.signal]).toEqual([code, null]);
    expect(exit.afterMs).toBeLessThan(1_000);
    expect([await one.wasReset(), await two.wasReset()]).toEqual(["ECONNRESET", "ECONNRESET"]);
    for (const peer of backend.connections) expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(proxy.records().map(({ end, bytes_to_client }) => [end, bytes_to_client])).toEqual([
      ["forced", 1],
      ["forced", 1],
    ]);
    expect(proxy.log.find(({ msg }) => msg === "ending at once: a second signal")).toMatchObject({
      level: "warn",
      reason: second,
      connections: 2,
    });
  },
);

test("a Ctrl+C that comes twice at once, from the terminal and passed on by npm, is one", async () => {
  await using backend = await listen();
  await using proxy = await startSluice({ config: config(backend.address) });
  await using client = await connect(await proxy.port("web"));
  await client.send("question");
  const peer = await backend.accepted();
  proxy.signal("SIGINT");
  await until(() => !pending(proxy.pid, 2), "the first one to be taken");
  proxy.signal("SIGINT");
  await proxy.logged(({ msg }) => msg === "draining", "the drain");
  await peer.send("answer");
  await peer.finish();
  await client.finished();
  expect(client.text()).toBe("answer");
  await client.finish();
  expect((await proxy.exited()).code).toBe(0);
});

test("a second signal during shutdown.delay ends the process at once as well", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address, `delay = "1h"`) });
  await proxy.ready();
  proxy.signal("SIGTERM");
  await proxy.logged(({ msg }) => msg === "not ready any more; still accepting", "the delay");
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(143);
});

test("SIGHUP and SIGUSR2 end nothing, and are answered with a line each", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address) });
  await using client = await connect(await proxy.port("web"));
  await client.send("before");
  await client.receivedBytes(6);
  proxy.signal("SIGHUP");
  const reloaded = await proxy.logged((line) => line["by"] === "SIGHUP", "a line about SIGHUP");
  expect(reloaded).toMatchObject({ level: "info", changes: [], need_restart: [], msg: "configuration reloaded" });
  proxy.signal("SIGUSR2");
  const reserved = await proxy.logged((line) => line["signal"] === "SIGUSR2", "a line about SIGUSR2");
  expect(reserved).toMatchObject({ level: "warn", msg: "nothing done: this signal is not supported yet" });
  await client.send(" and after");
  await client.finish();
  await client.finished();
  expect(client.text()).toBe("before and after");
  // They do not count as a first signal either.
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
});

test("SIGTERM before anything was started ends the start half-way: nothing listens for connections, the exit code is 0", async () => {
  await using backend = await listen(echo);
  using pipe = new ConfigPipe();
  // The process waits for its configuration, with its handlers in place.
  await using proxy = await startSluice({ args: ["run", "--config", pipe.path] });
  await until(() => handles(proxy.pid, 15), "the process to handle SIGTERM");
  proxy.signal("SIGTERM");
  // A name has to be looked up before anything listens: a start of its own, during which the signal is heard.
  pipe.write(config(`localhost:${backend.port}`));
  const { code, signal } = await proxy.exited();
  expect([code, signal]).toEqual([0, null]);
  expect(proxy.log.map(({ msg }) => msg)).toEqual(["shutting down", "stopped"]);
  expect(proxy.log.at(-1)).toMatchObject({ reason: "SIGTERM", cut: 0, code: 0 });
});

test("SIGHUP before anything was started waits for the start, and then asks for what is in the file", async () => {
  await using backend = await listen(echo);
  using pipe = new ConfigPipe();
  await using proxy = await startSluice({ args: ["run", "--config", pipe.path] });
  await until(() => handles(proxy.pid, 1), "the process to handle SIGHUP");
  proxy.signal("SIGHUP");
  pipe.write(config(backend.address));
  await proxy.ready();
  const line = await proxy.logged(({ by }) => by === "SIGHUP", "a line about SIGHUP");
  // A pipe has nothing to say a second time.
  expect(line).toMatchObject({ level: "error", problems: [expect.stringContaining("it is a pipe")] });
  expect(tcpSocketsOf(proxy.pid).filter(({ state }) => state === "LISTEN").length).toBe(1);
  proxy.signal("SIGINT");
  expect((await proxy.exited()).code).toBe(0);
});

/** A configuration that is read only when the test writes it. */
class ConfigPipe {
  readonly #folder = mkdtempSync(join(tmpdir(), "sluice-pipe-"));
  readonly path = join(this.#folder, "config.toml");

  constructor() {
    const { exitCode } = Bun.spawnSync(["mkfifo", this.path]);
    if (exitCode !== 0) throw new Error(`cannot make a pipe at ${this.path}`);
  }

  write(text: string): void {
    writeFileSync(this.path, text);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}

/** Whether a process has a handler for a signal. */
function handles(pid: number, signal: number): boolean {
  return signalSet(pid, "SigCgt", signal);
}

/** Whether a process was sent a signal that it has not taken yet. */
function pending(pid: number, signal: number): boolean {
  return signalSet(pid, "ShdPnd", signal);
}

/** Whether a signal's bit is in one of the sets of a process (proc_pid_status(5)). */
function signalSet(pid: number, name: "SigCgt" | "ShdPnd", signal: number): boolean {
  const bits = new RegExp(`^${name}:\\s+([0-9a-f]+)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return bits !== undefined && ((BigInt(`0x${bits}`) >> BigInt(signal - 1)) & 1n) === 1n;
}

function config(endpoint: string, shutdown = ""): string {
  return `
[limits]
connections = 100

[shutdown]
${shutdown}

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = ["${endpoint}"]
`;
}
