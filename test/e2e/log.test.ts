/** The log of the real process: whole, exact, never in the way, and without a secret. */
import { expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { echo, listen } from "../support/backend.ts";
import { tcpSocketsOf } from "../support/descriptors.ts";
import { engineAfterMove, engineBeforeMove, engines, workerRuns, type EngineUnderTest } from "../support/engines.ts";
import { payload } from "../support/payload.ts";
import { connect } from "../support/peer.ts";
import { runSluice, SLUICE, startSluice, type LogLine, type Sluice } from "../support/sluice.ts";
import { refusedPort } from "../support/unreachable.ts";
import { until } from "../support/until.ts";

test.each([...engines])(
  "each connection has one record, with every field in its place and its bytes exact: engine %s",
  async (engine) => {
    await using backend = await listen(async (peer) => {
      await peer.finished();
      await peer.send(new Uint8Array(peer.received * 2));
      await peer.finish();
    });
    await using proxy = await startSluice({ config: config(backend.address, "", engine) });
    const port = await proxy.port("web");
    // The last one is bulk for `auto`.
    const sizes = [1, 1_000, 12_000_000];
    const clients: string[] = [];
    for (const size of sizes) {
      await using client = await connect(port);
      clients.push(`127.0.0.1:${client.localPort}`);
      await client.send(new Uint8Array(size));
      // The upload starts the Worker, and the answer moves the session.
      if (size > 1_000) await workerRuns(engine, proxy.pid);
      await client.finish();
      await client.receivedBytes(size * 2);
      await client.finished();
    }
    const records = await proxy.recorded(3);
    const fields =
      "level time id listener client backend endpoint route sni bytes_to_backend bytes_to_client " +
      "connect_ms first_byte_ms duration_ms attempts engine end msg";
    for (const [index, record] of records.entries()) {
      expect(Object.keys(record).join(" ")).toBe(fields);
      const { time, connect_ms, first_byte_ms, duration_ms, ...exact } = record as LogLine & Record<string, number>;
      expect(exact).toEqual({
        level: "info",
        id: index + 1,
        listener: "web",
        client: clients[index]!,
        backend: "app",
        endpoint: backend.address,
        route: null,
        sni: null,
        bytes_to_backend: sizes[index]!,
        bytes_to_client: sizes[index]! * 2,
        attempts: 1,
        engine: (sizes[index]! > 1_000 ? engineAfterMove : engineBeforeMove)[engine],
        end: "client_finished",
        msg: "connection",
      } as never);
      expect(String(time)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(Math.abs(Date.parse(String(time)) - Date.now())).toBeLessThan(60_000);
      for (const ms of [connect_ms, first_byte_ms, duration_ms]) expect(ms).toBeGreaterThan(0);
      expect(first_byte_ms).toBeGreaterThanOrEqual(connect_ms!);
      expect(duration_ms).toBeGreaterThanOrEqual(first_byte_ms!);
      // Milliseconds with three decimals at most.
      for (const ms of [connect_ms, first_byte_ms, duration_ms]) expect(String(ms)).toMatch(/^\d+(\.\d{1,3})?$/);
    }
  },
);

test("a thousand connections have a thousand records when the process has ended, each id once", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address) });
  const port = await proxy.port("web");
  await Promise.all(
    Array.from({ length: 20 }, async (_, lane) => {
      for (let turn = 0; turn < 50; turn++) await exchange(port, "x".repeat(lane * 50 + turn + 1));
    }),
  );
  // The last of them are still held back at this moment.
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
  const records = proxy.records();
  expect(records.map(({ id }) => Number(id)).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 1_000 }, (_, index) => index + 1),
  );
  const bytes = records.map((record) => Number(record["bytes_to_client"])).toSorted((a, b) => a - b);
  expect(bytes).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 1));
  expect(proxy.log.at(-1)?.msg).toBe("stopped");
});

test("without access records, or above level info, connections leave no line", async () => {
  await using backend = await listen(echo);
  for (const log of ["access = false", 'level = "warn"']) {
    await using proxy = await startSluice({ config: config(backend.address, log) });
    const port = await listening(proxy);
    await exchange(port, "unseen");
    proxy.signal("SIGTERM");
    expect((await proxy.exited()).code).toBe(0);
    expect(proxy.records()).toEqual([]);
    const messages = proxy.log.map(({ msg }) => msg);
    expect(messages).toEqual(log === "access = false" ? ["listening", "ready", "shutting down", "stopped"] : []);
  }
});

test.each([...engines])(
  "level debug tells the start and the stop of every component, in order: engine %s",
  async (engine) => {
    await using backend = await listen(echo);
    await using proxy = await startSluice({ config: config(backend.address, 'level = "debug"', engine) });
    await proxy.ready();
    proxy.signal("SIGTERM");
    expect((await proxy.exited()).code).toBe(0);
    const lines = proxy.log.filter((line) => line.level === "debug" && typeof line["component"] === "string");
    const told = lines.map((line) => `${line.msg} ${String(line["component"])}`);
    const names = ["tracing", "backends", ...(engine === "copy" ? [] : ["splice engine"]), "listeners", "readiness"];
    const steps = (from: string, to: string, order: string[]): string[] =>
      order.flatMap((name) => [`${from} ${name}`, `${to} ${name}`]);
    expect(told).toEqual([...steps("starting", "started", names), ...steps("stopping", "stopped", names.toReversed())]);
  },
);

test('format "pretty" is for people: the same records, one line each, no JSON and no colours where no terminal is', async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address, 'format = "pretty"') });
  const port = await listening(proxy);
  await exchange(port, "hello");
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
  expect(proxy.log).toEqual([]);
  expect(proxy.stdout).not.toContain("\u001b");
  const lines = proxy.stdout.trimEnd().split("\n");
  expect(lines.map((line) => /^\[\d\d:\d\d:\d\d\.\d{3}\] (INFO): ([a-z ]+)( \{|$)/.exec(line)?.slice(1, 3))).toEqual([
    ["INFO", "listening"],
    ["INFO", "ready"],
    ["INFO", "connection"],
    ["INFO", "shutting down"],
    ["INFO", "stopped"],
  ]);
  expect(lines[2]).toContain('"bytes_to_backend":5,"bytes_to_client":5');
  expect(lines[2]).toContain('"end":"client_finished"');
});

test("a reader of the log that stalls holds up no byte and loses no line", async () => {
  await using backend = await listen(echo);
  using pipe = new Pipe();
  await using proxy = await startSluice({ config: config(backend.address), command: pipe.into(SLUICE) });
  const port = await listening(proxy);
  // More lines than a pipe holds (64 KiB): from here on the log is stuck.
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      for (let turn = 0; turn < 60; turn++) await exchange(port, "x");
    }),
  );
  {
    const megabyte = payload(1, 1024 * 1024);
    await using client = await connect(port);
    const received = client.receivedPayload(megabyte);
    await client.send(megabyte);
    await client.finish();
    await received;
    await client.finished();
  }
  proxy.signal("SIGTERM");
  // Now it is read, and all of it is there.
  const lines = await pipe.readToEnd();
  expect((await proxy.exited()).code).toBe(0);
  const records = lines.filter(({ msg }) => msg === "connection");
  expect(records.length).toBe(601);
  expect(records.filter((record) => record["bytes_to_client"] === 1024 * 1024).length).toBe(1);
  const others = lines.map(({ msg }) => msg).filter((msg) => msg !== "connection");
  expect(others).toEqual(["listening", "ready", "shutting down", "stopped"]);
});

test("a log that nobody will ever read does not keep the process from ending", async () => {
  await using backend = await listen(echo);
  using pipe = new Pipe();
  await using proxy = await startSluice({ config: config(backend.address), command: pipe.into(SLUICE) });
  const port = await listening(proxy);
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      for (let turn = 0; turn < 40; turn++) await exchange(port, "x");
    }),
  );
  proxy.signal("SIGTERM");
  const { code, signal, afterMs } = await proxy.exited();
  expect([code, signal]).toEqual([0, null]);
  expect(afterMs).toBeLessThan(3_000);
});

test("a reader of the log that goes away takes nothing with it", async () => {
  await using backend = await listen(echo);
  using pipe = new Pipe();
  await using proxy = await startSluice({ config: config(backend.address), command: pipe.into(SLUICE) });
  const port = await listening(proxy);
  await exchange(port, "with a reader");
  pipe.close();
  for (let turn = 0; turn < 20; turn++) await exchange(port, "without a reader");
  proxy.signal("SIGHUP");
  await exchange(port, "still there");
  proxy.signal("SIGTERM");
  const { code, signal } = await proxy.exited();
  expect([code, signal]).toEqual([0, null]);
  expect(proxy.stderr).toBe("");
});

test("clients and backends that send rubbish or reset are told in access records and nowhere else", async () => {
  await using backend = await listen(async (peer) => {
    const [first] = await peer.read(1);
    if (first === "r".charCodeAt(0)) return peer.reset();
    await echo(peer);
  });
  await using proxy = await startSluice({ config: config(backend.address) });
  const port = await proxy.port("web");
  for (let turn = 0; turn < 20; turn++) {
    await using byClient = await connect(port);
    await byClient.send(new Uint8Array(10_000).fill(0xff));
    await byClient.receivedBytes(1);
    byClient.reset();
    await using byBackend = await connect(port);
    await byBackend.send("r");
    await byBackend.wasReset();
  }
  const ends = (await proxy.recorded(40)).map(({ end }) => String(end));
  expect(ends.toSorted()).toEqual([...Array(20).fill("backend_reset"), ...Array(20).fill("client_reset")]);
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
  expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
  expect(proxy.stderr).toBe("");
});

test("clients that have reset before they were accepted are told in access records and nowhere else", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address).replace("1000", "1") });
  const port = await proxy.port("web");
  await using first = await connect(port);
  await first.send("x");
  await first.receivedBytes(1);
  for (let turn = 0; turn < 20; turn++) {
    await using waiting = await connect(port);
    waiting.reset();
  }
  await first.finish();
  await first.finished();
  const [, ...others] = await proxy.recorded(21);
  expect(others.map(({ end }) => end)).toEqual(Array(20).fill("client_reset"));
  await exchange(port, "still there");
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
  expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
});

test("a backend that refuses is no error line either", async () => {
  using refused = refusedPort();
  await using proxy = await startSluice({ config: config(refused.address) });
  // The reset may come before this process has looked at the connection.
  await expect(connect(await proxy.port("web")).then((client) => client.finished())).rejects.toThrow();
  expect(await proxy.recorded(1)).toMatchObject([{ end: "connect_refused", endpoint: refused.address, attempts: 1 }]);
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
  expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
});

test("the admin token is masked in sluice check --print, and in no message about a configuration that is wrong", async () => {
  const token = "s3cret-t0ken-of-the-admin-server";
  using folder = new Folder();
  const file = folder.write("config.toml", `${config("127.0.0.1:9")}\n[admin]\nlisten = "127.0.0.1:0"\n`);
  const env = { SLUICE_ADMIN_TOKEN_FILE: folder.write("token", `${token}\n`) };
  const printed = await runSluice(["check", "--print", "--config", file], { env });
  expect(printed.code).toBe(0);
  expect(printed.stdout).toContain('token = "********"');
  expect(printed.stdout).not.toContain(token);
  const withToken = folder.write(
    "wrong.toml",
    `${config("127.0.0.1:9")}\n[admin]\nlisten = "127.0.0.1:0"\ntoken = ["${token}"]\n`,
  );
  const wrong = await runSluice(["check", "--config", withToken]);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain("admin.token");
  expect(wrong.stderr + wrong.stdout).not.toContain(token);
});

/** Sends a text to an echo and expects it back, whole. */
async function exchange(port: number, text: string): Promise<void> {
  await using client = await connect(port);
  await client.send(text);
  await client.finish();
  await client.finished();
  expect(client.text()).toBe(text);
}

/** The port of a process whose log can't be asked. */
async function listening(proxy: Sluice): Promise<number> {
  const find = (): number | undefined => tcpSocketsOf(proxy.pid).find(({ state }) => state === "LISTEN")?.localPort;
  await until(
    () => find() !== undefined,
    () => `the process to listen: ${proxy.describe()}`,
  );
  return find()!;
}

/** A pipe that is read when the test says so. */
class Pipe {
  readonly #folder = new Folder();
  readonly #path = this.#folder.path("log");
  #fd: number;

  constructor() {
    const { exitCode } = Bun.spawnSync(["mkfifo", this.#path]);
    if (exitCode !== 0) throw new Error(`cannot make a pipe at ${this.#path}`);
    this.#fd = openSync(this.#path, constants.O_RDONLY | constants.O_NONBLOCK);
  }

  /** The command, with its standard output into this pipe. */
  into(command: readonly string[]): string[] {
    return ["bash", "-c", 'exec "$@" > "$0"', this.#path, ...command];
  }

  /** All lines, until the last writer has gone. */
  async readToEnd(): Promise<LogLine[]> {
    let text = "";
    const bytes = Buffer.alloc(64 * 1024);
    await until(
      () => {
        for (;;) {
          try {
            const count = readSync(this.#fd, bytes);
            if (count === 0) return true;
            text += bytes.toString("latin1", 0, count);
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code === "EAGAIN") return false;
            throw error;
          }
        }
      },
      () => `the end of the log: ${text.length} bytes came`,
    );
    expect(text).toEndWith("}\n");
    return text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as LogLine);
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
    this.#folder[Symbol.dispose]();
  }
}

class Folder {
  readonly #path = mkdtempSync(join(tmpdir(), "sluice-log-"));

  path(name: string): string {
    return join(this.#path, name);
  }

  write(name: string, text: string): string {
    writeFileSync(this.path(name), text);
    return this.path(name);
  }

  [Symbol.dispose](): void {
    rmSync(this.#path, { recursive: true });
  }
}

function config(endpoint: string, log = "", engine: EngineUnderTest = "auto"): string {
  return `
[forwarding]
engine = "${engine}"

[limits]
connections = 1000

[log]
${log}

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = ["${endpoint}"]
`;
}
