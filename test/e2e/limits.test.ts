/** limits.connections in the real process: checked against the descriptors there may be, and waited at without effort. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { echo, listen } from "../support/backend.ts";
import { countDescriptors, cpuSeconds, openDescriptors, tcpSockets } from "../support/descriptors.ts";
import { engines, workerRuns, type EngineUnderTest } from "../support/engines.ts";
import { payload } from "../support/payload.ts";
import { connect } from "../support/peer.ts";
import { runSluice, SLUICE, startSluice, type LogLine } from "../support/sluice.ts";
import { settled, until } from "../support/until.ts";

/** The program, with at most 256 descriptors. */
const with256Descriptors = ["bash", "-c", 'ulimit -n 256; exec "$@"', "bash", ...SLUICE];

/** What fits into 256 descriptors, 2 for each connection: the splice engine keeps some for itself, four for each session it takes. */
const fitting: Readonly<Record<EngineUnderTest, { connections: number; reserve: number }>> = {
  copy: { connections: 96, reserve: 64 },
  splice: { connections: 85, reserve: 86 },
  auto: { connections: 85, reserve: 86 },
};
/** So many sessions the splice engine takes then. */
const splicedMax = 4;

describe.each([...engines])("engine %s:", (engine) => {
  const { connections, reserve } = fitting[engine];
  const tooMany = connections + 1;
  const needed = tooMany * 2 + reserve;

  test.each(["run", "check"])(
    "sluice %s refuses a limit that the descriptors do not allow, and says which number to change",
    async (command) => {
      using file = new ConfigFile(config("127.0.0.1:9", `connections = ${tooMany}`, engine));
      const result = await runSluice([command, "--config", file.path], { command: with256Descriptors });
      expect(result).toEqual({
        code: 2,
        stdout: "",
        stderr:
          `${file.path}:6:15 limits.connections: ${tooMany} connections need ${needed} file descriptors (2 each and ${reserve} in reserve), found a limit of 256: ` +
          `set limits.connections to at most ${connections}, or raise the limit to ${needed} (ulimit -Hn, LimitNOFILE= in systemd)\n` +
          "sluice: the configuration is not valid: 1 problem\n",
      });
    },
  );

  test("the default limit, which nobody wrote down, is lowered to what fits, with a warning that says so", async () => {
    using file = new ConfigFile(config("127.0.0.1:9", "", engine));
    const { code, stdout, stderr } = await runSluice(["check", "--print", "--config", file.path], {
      command: with256Descriptors,
    });
    expect(code).toBe(0);
    expect(stdout).toContain(`[limits]\nconnections = ${connections}\n`);
    expect(stderr).toBe(
      `warning: limits.connections: lowered from 10000 to ${connections}: the limit of 256 file descriptors leaves room for that many (2 each and ${reserve} in reserve); raise it (ulimit -Hn, LimitNOFILE= in systemd) or set limits.connections yourself\n`,
    );
  });

  test("with every descriptor spoken for the process waits without spinning, and lets in who waits when sessions end", async () => {
    await using backend = await listen(echo);
    await using proxy = await startSluice({
      config: `[timeouts]\nidle = "1s"\nhalf_closed = "1s"\n${config(backend.address, `connections = ${connections}`, engine)}`,
      command: with256Descriptors,
    });
    const port = await proxy.port("web");
    const before = countDescriptors(proxy.pid);
    const inside = await Promise.all(Array.from({ length: connections }, () => connect(port)));
    await until(() => backend.connections.length === connections, "the sessions");
    const waiting = await Promise.all(Array.from({ length: 30 }, () => connect(port)));
    for (const client of waiting) await client.send("I wait");
    expect(queueLength(port)).toBe(30);
    expect(countDescriptors(proxy.pid)).toBeLessThanOrEqual(256);
    const beforeSeconds = cpuSeconds(proxy.pid);
    // Nothing happens until the first session has been idle for a second: a process that spins uses all of it.
    await until(() => inside.some(({ ending }) => ending !== undefined), "the first session to end");
    expect(cpuSeconds(proxy.pid) - beforeSeconds).toBeLessThan(0.3);
    for (const client of waiting) {
      await client.receivedBytes(6);
      expect(client.text()).toBe("I wait");
    }
    const records = await proxy.recorded(connections);
    expect(new Set(records.map(({ end }) => end))).toEqual(new Set(["idle_timeout"]));
    expect(spliced(records)).toBe(engine === "splice" ? splicedMax : 0);
    for (const client of [...inside, ...waiting]) client.reset();
    await proxy.recorded(connections + 30);
    await until(
      () => sessionDescriptors(proxy.pid) <= before,
      () => `${before} descriptors: there are ${sessionDescriptors(proxy.pid)}`,
    );
    proxy.signal("SIGTERM");
    expect((await proxy.exited()).code).toBe(0);
    expect(proxy.log.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("with every reader of the engine's sessions at a stop, their pipes full, the others get all their connections", async () => {
    const flood = payload(1, 80_000_000);
    await using backend = await listen(async (peer) => {
      const [first] = await peer.read(1);
      if (first !== "f".charCodeAt(0)) return peer.send("!");
      peer.pauseReading();
      await peer.send(flood, Infinity);
    });
    await using proxy = await startSluice({
      config: config(backend.address, `connections = ${connections}`, engine),
      command: with256Descriptors,
    });
    const port = await proxy.port("web");
    const flooded = await Promise.all(Array.from({ length: splicedMax }, () => connect(port)));
    for (const client of flooded) {
      await client.send("f");
      await client.receivedBytes(4_000_000);
      client.pauseReading();
      await workerRuns(engine, proxy.pid);
      client.resumeReading();
      await client.receivedBytes(client.received + 8_000_000);
      client.pauseReading();
      void client.send(flood, Infinity).catch(() => {});
    }
    await settled(() => flooded.reduce((sum, { sent }) => sum + sent, 0), "what the backends take");
    // Two pipes a session, each with two ends.
    if (engine === "splice") expect(pipeEnds(proxy.pid)).toBe(splicedMax * 4);
    if (engine === "auto") expect(pipeEnds(proxy.pid)).toBeGreaterThanOrEqual(splicedMax * 2);
    if (engine === "copy") expect(pipeEnds(proxy.pid)).toBe(0);
    const others = await Promise.all(Array.from({ length: connections - splicedMax }, () => connect(port)));
    for (const client of others) await client.send("x");
    for (const client of others) await client.receivedBytes(1);
    await using late = await connect(port);
    expect(queueLength(port)).toBe(1);
    expect(countDescriptors(proxy.pid)).toBeLessThanOrEqual(256);
    others[0]!.reset();
    await late.send("x");
    await late.receivedBytes(1);
    // At both ends: neither would take what the other had sent.
    for (const peer of [...flooded, ...others, late, ...backend.connections]) peer.reset();
    const records = await proxy.recorded(connections + 1);
    expect(spliced(records.filter((record) => Number(record["bytes_to_client"]) > 1))).toBe(
      engine === "copy" ? 0 : splicedMax,
    );
    proxy.signal("SIGTERM");
    expect((await proxy.exited()).code).toBe(0);
    expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
  });

  test("a limit of one: a thousand connections one after the other take each its turn", async () => {
    await using backend = await listen(echo);
    await using proxy = await startSluice({ config: config(backend.address, "connections = 1", engine) });
    const port = await proxy.port("web");
    const before = countDescriptors(proxy.pid);
    await Promise.all(
      Array.from({ length: 20 }, async (_, lane) => {
        for (let turn = 0; turn < 50; turn++) {
          await using client = await connect(port);
          const text = `lane ${lane}, turn ${turn}`;
          await client.send(text);
          await client.finish();
          await client.finished();
          expect(client.text()).toBe(text);
        }
      }),
    );
    const records = await proxy.recorded(1_000);
    expect(records.map(({ id }) => id)).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 1));
    expect(new Set(records.map(({ end }) => end))).toEqual(new Set(["client_finished"]));
    expect(spliced(records)).toBe(engine === "splice" ? 1_000 : 0);
    await until(
      () => sessionDescriptors(proxy.pid) <= before,
      () => `${before} descriptors: there are ${sessionDescriptors(proxy.pid)}`,
    );
  });
});

/** Connections that the kernel has made and that nobody has accepted. */
function queueLength(port: number): number {
  return tcpSockets(port).find((socket) => socket.localPort === port && socket.state === "LISTEN")!.receiveQueueBytes;
}

/** How many of these sessions the splice engine had at their end. */
function spliced(records: readonly LogLine[]): number {
  return records.filter((record) => record["engine"] === "splice").length;
}

/** Ends of pipes that a process has open. Its log and its input are no pipes: Bun gives a child sockets (1.4.5). */
function pipeEnds(pid: number): number {
  return openDescriptors(pid).filter(({ target }) => target.startsWith("pipe:")).length;
}

/** Its descriptors but for the pipes, which the splice engine keeps for later. */
function sessionDescriptors(pid: number): number {
  return countDescriptors(pid) - pipeEnds(pid);
}

class ConfigFile {
  readonly #folder = mkdtempSync(join(tmpdir(), "sluice-config-"));
  readonly path = join(this.#folder, "config.toml");

  constructor(text: string) {
    writeFileSync(this.path, text);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}

function config(endpoint: string, limits: string, engine: EngineUnderTest = "auto"): string {
  return `
[forwarding]
engine = "${engine}"

[limits]
${limits}

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = ["${endpoint}"]
`;
}
