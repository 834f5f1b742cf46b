/** The load generator, compiled and run against its own backend: each kind of load moves bytes, and failures are counted. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compilers, Generator, type Part } from "../../bench/load/generator.ts";

const anywhere = { generator: undefined, backend: undefined, proxy: undefined, sentence: "not pinned" };
const seconds = 0.1;
let folder: string;
let generator: Generator;
let port: number;

/** Whether there is no C compiler, which whoever tries the repository need not have. CI installs one. */
function lacks(what: readonly string[]): boolean {
  return process.env["CI"] !== "true" && what.every((name) => Bun.which(name) === null);
}

beforeAll(async () => {
  if (lacks(compilers)) return;
  folder = await mkdtemp(join(tmpdir(), "sluice-generator-"));
  generator = await Generator.compile(folder, anywhere, new AbortController().signal);
  port = await generator.serve(undefined);
});

afterAll(async () => {
  if (lacks(compilers)) return;
  await generator[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

test.skipIf(lacks(compilers)).each<Part>([
  { drive: "bulk-down", connections: 2 },
  { drive: "bulk-up", connections: 2 },
  { drive: "bulk-down", connections: 2, bytes: 2 ** 20, pauseMs: 1 },
  { drive: "bulk-up", connections: 2, bytes: 2 ** 20 },
  { drive: "bulk-down", connections: 1, pauseMs: 2 },
  { drive: "bulk-up", connections: 1, pauseMs: 2 },
  { drive: "ping-pong", connections: 300, bytes: 64 },
  { drive: "ping-pong", connections: 4, bytes: 16 * 1024, pauseMs: 1 },
  { drive: "connect", connections: 4 },
  { drive: "connect", connections: 4, pauseMs: 1 },
  { drive: "reset-down", connections: 1, bytes: 2 ** 20 },
  { drive: "reset-up", connections: 1, bytes: 2 ** 20, pauseMs: 1 },
  { drive: "reset-far", connections: 1 },
])("%j", async (part) => {
  const [report] = await generator.drive({ port, parts: [part], seconds });
  expect(report).toMatchObject({ seconds, errors: 0, firstError: "" });
  expect(report!.bytes).toBeGreaterThan(0);
  // Every connection has come to its end at least once: with a count of the far side, an echo, or the reset.
  expect(report!.operations).toBeGreaterThanOrEqual(part.connections);
  expect(report!.measuredBytes).toBeLessThan(report!.bytes);
  const timed = part.drive === "ping-pong" || part.drive === "connect";
  expect(report!.p50Us > 0).toBe(timed);
  expect(report!.p999Us).toBeGreaterThanOrEqual(report!.p50Us);
});

test.skipIf(lacks(compilers))("parts run at once and are reported one by one", async () => {
  const [bulk, chat] = await generator.drive({
    port,
    parts: [
      { drive: "bulk-down", connections: 4 },
      { drive: "ping-pong", connections: 16, bytes: 64 },
    ],
    seconds,
  });
  expect(bulk).toMatchObject({ errors: 0, operations: 4, measuredOperations: 0 });
  expect(chat).toMatchObject({ errors: 0 });
  expect(chat!.bytes).toBe(chat!.operations * 64);
  expect(bulk!.measuredBytes).toBeGreaterThan(chat!.measuredBytes);
});

test.skipIf(lacks(compilers))("idle connections are held until they are released", async () => {
  const held = await generator.hold(port, 50);
  expect(held.connections).toBe(50);
  expect(await held.release()).toMatchObject({ operations: 50, errors: 0 });
});

test.skipIf(lacks(compilers))("a connection that is refused is an error of its part, with its reason", async () => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const closedPort = listener.port;
  listener.stop(true);
  const parts: Part[] = [
    { drive: "ping-pong", connections: 2 },
    { drive: "connect", connections: 1 },
  ];
  const [chat, connect] = await generator.drive({ port: closedPort, parts, seconds });
  expect(chat).toMatchObject({ errors: 2, firstError: "ping-pong: connect: Connection refused", operations: 0 });
  expect(connect!.errors).toBeGreaterThan(900);
  expect(connect!.firstError).toBe("connect: connect and send: Connection refused");
});

test.skipIf(lacks(compilers))("a part that the generator does not know is its failure", async () => {
  const unknown = { drive: "bulk-sideways", connections: 1 } as unknown as Part;
  await expect(generator.drive({ port, parts: [unknown], seconds })).rejects.toThrow(
    "ended with exit code 2; it said:\n  usage:",
  );
});
