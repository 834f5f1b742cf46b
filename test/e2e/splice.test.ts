/** The splice engine in the real process, from the sources and as the executable: what it moves, and what it says where it can't. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json";
import { pipeSizes } from "../../src/forward/splice/pipe-pool.ts";
import { listen, type Backend } from "../support/backend.ts";
import { openDescriptors } from "../support/descriptors.ts";
import { pipeCapacity } from "../support/libc.ts";
import { payload } from "../support/payload.ts";
import { connect, type Peer } from "../support/peer.ts";
import { SLUICE, startSluice, type LogLine, type Sluice } from "../support/sluice.ts";
import { settled, until } from "../support/until.ts";

const root = join(import.meta.dir, "../..");
const buildTimeoutMs = 60_000;

/** An otherwise empty folder with the executable alone, and an empty one to run in. */
const home = mkdtempSync(join(tmpdir(), "sluice-splice-"));
const executable = join(home, "sluice");
const empty = join(home, "empty");

beforeAll(async () => {
  mkdirSync(empty);
  const words = packageJson.scripts.build.split(" ").map((word) => (word === "dist/sluice" ? executable : word));
  const build = Bun.spawn([process.execPath, ...words.slice(1)], { cwd: root, stdout: "pipe", stderr: "pipe" });
  const [code, said] = await Promise.all([build.exited, build.stderr.text()]);
  if (code !== 0) throw new Error(`the build ended with code ${code}: ${said}`);
}, buildTimeoutMs);

afterAll(() => {
  rmSync(home, { recursive: true });
});

/** How the program is called: each must behave the same. */
const programs: readonly (readonly [string, () => { command: readonly string[]; cwd?: string }])[] = [
  ["from the sources", () => ({ command: SLUICE })],
  ["as the executable, in an empty folder", () => ({ command: [executable], cwd: empty })],
];

describe.each(programs)("%s", (_, program) => {
  test('"splice": a download of 100 MB arrives whole, and its record says who moved it', async () => {
    await using backend = await listen();
    await using proxy = await started(backend, "splice", program());
    const expected = payload(1, 100_000_000);
    await using client = await connect(await proxy.port("web"));
    const peer = await backend.accepted();
    const arrived = client.receivedPayload(expected);
    await client.send("GET");
    await peer.receivedBytes(3);
    await peer.send(expected, 30_000);
    await peer.finish();
    await arrived;
    await client.finished();
    expect(client.sha256()).toBe(expected.sha256());
    await client.finish();
    expect(await proxy.recorded(1)).toMatchObject([
      { engine: "splice", end: "backend_finished", bytes_to_backend: 3, bytes_to_client: 100_000_000 },
    ]);
    await stop(proxy);
  });

  test('"auto": a small request stays with "copy", a download of 20 MB is moved to "splice"', async () => {
    await using backend = await listen();
    await using proxy = await started(backend, "auto", program());
    expect(await download(proxy, backend, 2_000)).toMatchObject({ engine: "copy", bytes_to_client: 2_000 });
    // The first one that shows to be bulk starts the Worker, and is moved once that runs: while it still has bytes to come.
    const first = await download(proxy, backend, 20_000_000);
    expect(["copy", "splice"]).toContain(String(first["engine"]));
    expect(await download(proxy, backend, 20_000_000)).toMatchObject({
      engine: "splice",
      end: "backend_finished",
      bytes_to_client: 20_000_000,
    });
    await stop(proxy);
  });
});

test('"splice": /status has the bytes of a download that is held up, as they move', async () => {
  await using backend = await listen();
  await using proxy = await started(backend, "splice");
  const admin = await proxy.adminUrl();
  const bytesToClient = async (): Promise<number> => {
    const status = (await (await fetch(`${admin}/status`)).json()) as { listeners: { bytes_to_client: number }[] };
    return status.listeners[0]!.bytes_to_client;
  };
  await using client = await connect(await proxy.port("web"), { paused: true, receiveBufferBytes: 65_536 });
  const peer = await backend.accepted();
  const expected = payload(2, 40_000_000);
  const sent = peer.send(expected, 30_000);
  await settled(() => peer.sent, "the backend to be stopped");
  const heldUp = await bytesToClient();
  expect(heldUp).toBeGreaterThan(0);
  expect(heldUp).toBeLessThan(40_000_000);
  expect(await bytesToClient()).toBe(heldUp);
  expect(proxy.records()).toEqual([]);
  const arrived = client.receivedPayload(expected);
  client.resumeReading();
  await client.receivedBytes(heldUp + 1_000_000);
  await until(async () => (await bytesToClient()) > heldUp, "the figure to grow while the download goes on");
  await sent;
  await arrived;
  expect(await bytesToClient()).toBe(40_000_000);
  await peer.finish();
  await client.finish();
  expect(await proxy.recorded(1)).toMatchObject([{ engine: "splice", bytes_to_client: 40_000_000 }]);
  await stop(proxy);
});

describe("where the kernel refuses splice(2)", () => {
  const program = { command: withPreload("refuse-splice.ts") };

  test('"auto" says so once, with the reason, and copies', async () => {
    await using backend = await listen();
    await using proxy = await started(backend, "auto", program);
    expect(await download(proxy, backend, 20_000_000)).toMatchObject({ engine: "copy", bytes_to_client: 20_000_000 });
    expect(await download(proxy, backend, 20_000_000)).toMatchObject({ engine: "copy", bytes_to_client: 20_000_000 });
    await stop(proxy);
    expect(proxy.log.filter(({ level }) => level !== "info")).toMatchObject([
      {
        level: "warn",
        msg: "without splicing: every connection is copied",
        why: "the system refuses splice from a socket (ENOSYS)",
      },
    ]);
  });

  test('"splice" does not start: exit code 1, and a sentence that says why and what else there is', async () => {
    await using backend = await listen();
    await using proxy = await startSluice({ config: config(backend, "splice"), ...program });
    expect(await proxy.exited()).toMatchObject({ code: 1, signal: null });
    expect(proxy.stderr).toBe(
      'sluice: cannot use forwarding.engine = "splice": the system refuses splice from a socket (ENOSYS); "auto" does without where it must\n',
    );
    expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
  });

  test('"copy" does not even ask', async () => {
    await using backend = await listen();
    await using proxy = await started(backend, "copy", program);
    expect(await download(proxy, backend, 1_000_000)).toMatchObject({ engine: "copy", bytes_to_client: 1_000_000 });
    await stop(proxy);
    expect(proxy.log.filter(({ level }) => level !== "info")).toEqual([]);
  });
});

test("beyond the quota of pipes of an unprivileged user, smaller ones are used, and every byte arrives", async () => {
  await using backend = await listen();
  // No file: the user that it becomes may not read the test's.
  await using proxy = await startSluice({
    args: ["forward", "--connections=100", "127.0.0.1:0", backend.address],
    env: { SLUICE_FORWARDING_ENGINE: "splice" },
    command: withPreload("without-pipe-quota.ts"),
  });
  await proxy.ready();
  const before = pipes(proxy);
  const port = await proxy.port("forward");
  await using client = await connect(port, { paused: true, receiveBufferBytes: 65_536 });
  const peer = await backend.accepted();
  const expected = payload(3, 20_000_000);
  const sent = peer.send(expected, 30_000);
  await settled(() => peer.sent, "the backend to be stopped");
  const made = pipes(proxy).filter((fd) => !before.includes(fd));
  expect(made.length).toBeGreaterThanOrEqual(2);
  for (const fd of made) expect(capacityOf(proxy, fd)).toBeLessThan(pipeSizes.at(-1)!);
  const arrived = client.receivedPayload(expected);
  client.resumeReading();
  await sent;
  await arrived;
  await peer.finish();
  await client.finish();
  expect(await proxy.recorded(1)).toMatchObject([
    { engine: "splice", end: "backend_finished", bytes_to_client: 20_000_000 },
  ]);
  await stop(proxy);
});

function withPreload(name: string): readonly string[] {
  const [bun = "", ...rest] = SLUICE;
  return [bun, "--preload", join(import.meta.dir, "../support", name), ...rest];
}

function config(backend: Backend, engine: string): string {
  return `[forwarding]
engine = "${engine}"

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = ["${backend.address}"]

[admin]
listen = "127.0.0.1:0"

[limits]
connections = 100
`;
}

async function started(
  backend: Backend,
  engine: string,
  program: { command: readonly string[]; cwd?: string } = { command: SLUICE },
): Promise<Sluice> {
  const proxy = await startSluice({ config: config(backend, engine), ...program });
  return proxy.ready();
}

async function stop(proxy: Sluice): Promise<void> {
  proxy.signal("SIGTERM");
  expect(await proxy.exited()).toMatchObject({ code: 0, signal: null });
  expect(proxy.stderr).toBe("");
}

/** A request of three bytes and so many in answer, checked; then the backend finishes, and the client after it. */
async function download(proxy: Sluice, backend: Backend, bytes: number): Promise<LogLine> {
  const before = proxy.records().length;
  await using client = await connect(await proxy.port("web"));
  const peer: Peer = await backend.accepted();
  const expected = payload(bytes, bytes);
  const arrived = client.receivedPayload(expected);
  await client.send("GET");
  await peer.receivedBytes(3);
  await peer.send(expected, 30_000);
  await peer.finish();
  await arrived;
  await client.finished();
  await client.finish();
  return (await proxy.recorded(before + 1))[before]!;
}

/** Descriptors of the pipes of a process. */
function pipes(proxy: Sluice): number[] {
  return openDescriptors(proxy.pid)
    .filter(({ target }) => target.startsWith("pipe:"))
    .map(({ fd }) => fd);
}

/** The capacity of another process's pipe, by opening its other name. */
function capacityOf(proxy: Sluice, fd: number): number {
  const own = openSync(`/proc/${proxy.pid}/fd/${fd}`, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return pipeCapacity(own);
  } finally {
    closeSync(own);
  }
}
