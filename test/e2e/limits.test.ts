/** limits.connections in the real process: checked against the descriptors there may be, and waited at without effort. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { echo, listen } from "../support/backend.ts";
import { countDescriptors, cpuSeconds, tcpSockets } from "../support/descriptors.ts";
import { connect } from "../support/peer.ts";
import { runSluice, SLUICE, startSluice } from "../support/sluice.ts";
import { until } from "../support/until.ts";

/** The program, with at most 256 descriptors. */
const with256Descriptors = ["bash", "-c", 'ulimit -n 256; exec "$@"', "bash", ...SLUICE];

test.each(["run", "check"])(
  "sluice %s refuses a limit that the descriptors do not allow, and says which number to change",
  async (command) => {
    using file = new ConfigFile(config("127.0.0.1:9", "connections = 97"));
    const result = await runSluice([command, "--config", file.path], { command: with256Descriptors });
    expect(result).toEqual({
      code: 2,
      stdout: "",
      stderr:
        `${file.path}:3:15 limits.connections: 97 connections need 258 file descriptors (2 each and 64 in reserve), found a limit of 256: ` +
        "set limits.connections to at most 96, or raise the limit to 258 (ulimit -Hn, LimitNOFILE= in systemd)\n" +
        "sluice: the configuration is not valid: 1 problem\n",
    });
  },
);

test("the default limit, which nobody wrote down, is lowered to what fits, with a warning that says so", async () => {
  using file = new ConfigFile(config("127.0.0.1:9", ""));
  const { code, stdout, stderr } = await runSluice(["check", "--print", "--config", file.path], {
    command: with256Descriptors,
  });
  expect(code).toBe(0);
  expect(stdout).toContain("[limits]\nconnections = 96\n");
  expect(stderr).toBe(
    "warning: limits.connections: lowered from 10000 to 96: the limit of 256 file descriptors leaves room for that many (2 each and 64 in reserve); raise it (ulimit -Hn, LimitNOFILE= in systemd) or set limits.connections yourself\n",
  );
});

test("with every descriptor spoken for the process waits without spinning, and lets in who waits when sessions end", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({
    config: `[timeouts]\nidle = "1s"\nhalf_closed = "1s"\n${config(backend.address, "connections = 96")}`,
    command: with256Descriptors,
  });
  const port = await proxy.port("web");
  const before = countDescriptors(proxy.pid);
  const inside = await Promise.all(Array.from({ length: 96 }, () => connect(port)));
  await until(() => backend.connections.length === 96, "96 sessions");
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
  const records = await proxy.recorded(96);
  expect(new Set(records.map(({ end }) => end))).toEqual(new Set(["idle_timeout"]));
  for (const client of [...inside, ...waiting]) client.reset();
  await proxy.recorded(126);
  await until(
    () => countDescriptors(proxy.pid) <= before,
    () => `${before} descriptors: there are ${countDescriptors(proxy.pid)}`,
  );
  proxy.signal("SIGTERM");
  expect((await proxy.exited()).code).toBe(0);
  expect(proxy.log.filter(({ level }) => level === "error")).toEqual([]);
});

test("a limit of one: a thousand connections one after the other take each its turn", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config(backend.address, "connections = 1") });
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
  await until(
    () => countDescriptors(proxy.pid) <= before,
    () => `${before} descriptors: there are ${countDescriptors(proxy.pid)}`,
  );
});

/** Connections that the kernel has made and that nobody has accepted. */
function queueLength(port: number): number {
  return tcpSockets(port).find((socket) => socket.localPort === port && socket.state === "LISTEN")!.receiveQueueBytes;
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

function config(endpoint: string, limits: string): string {
  return `
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
