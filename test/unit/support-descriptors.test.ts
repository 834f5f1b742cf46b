/** What the tests read of /proc, checked against things of a known shape. */
import { expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { listen } from "../support/backend.ts";
import {
  countDescriptors,
  cpuSeconds,
  openDescriptors,
  residentBytes,
  tcpSockets,
  tcpSocketsOf,
} from "../support/descriptors.ts";
import { connect } from "../support/peer.ts";
import { until } from "../support/until.ts";

test("a descriptor is listed with what it is while it is open, and not after", () => {
  const before = countDescriptors();
  const fd = openSync(import.meta.path, "r");
  expect(countDescriptors()).toBe(before + 1);
  expect(openDescriptors()).toContainEqual({ fd, target: import.meta.path });
  closeSync(fd);
  expect(countDescriptors()).toBe(before);
  expect(openDescriptors().map((descriptor) => descriptor.fd)).not.toContain(fd);
});

test("the descriptors are in order, and the look's own is not among them", () => {
  const numbers = openDescriptors().map(({ fd }) => fd);
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  expect(openDescriptors().filter(({ target }) => target.startsWith("/proc/"))).toEqual([]);
});

test("another process has descriptors of its own", async () => {
  await using child = await sleeper();
  expect(openDescriptors(child.pid).filter(({ fd }) => fd <= 2)).toEqual([
    { fd: 0, target: "/dev/null" },
    { fd: 1, target: expect.stringMatching(/^(pipe|socket):\[\d+\]$/) },
    { fd: 2, target: "/dev/null" },
  ]);
});

test("the sockets of a connection are found by either port, with their states, from LISTEN to the last FIN", async () => {
  await using backend = await listen();
  expect(tcpSockets(backend.port)).toMatchObject([
    { state: "LISTEN", local: backend.address, localPort: backend.port, remote: "0.0.0.0:0", remotePort: 0 },
  ]);
  await using client = await connect(backend.port);
  const accepted = await backend.accepted();
  const at = (port: number) =>
    tcpSockets(backend.port).find(({ localPort, state }) => localPort === port && state !== "LISTEN");
  const clientAddress = `127.0.0.1:${client.localPort}`;
  expect(at(client.localPort)).toMatchObject({ state: "ESTABLISHED", local: clientAddress, remote: backend.address });
  expect(at(backend.port)).toMatchObject({ state: "ESTABLISHED", local: backend.address, remote: clientAddress });
  expect(tcpSockets(client.localPort).length).toBe(2);

  await client.finish();
  await accepted.finished();
  const clientState = (): string | undefined => at(client.localPort)?.state;
  // FIN_WAIT1 until the acknowledgement, which may take its time.
  await until(
    () => clientState() === "FIN_WAIT2",
    () => `the client to be in FIN_WAIT2: ${clientState()}`,
  );
  expect(at(backend.port)?.state).toBe("CLOSE_WAIT");
  await accepted.finish();
  await client.gone();
  await accepted.gone();
  await until(() => tcpSockets(client.localPort).length === 0, "the last acknowledgement");
});

test("an IPv6 socket is found, its address as it is written", async () => {
  await using backend = await listen(undefined, { host: "::1" });
  expect(tcpSockets(backend.port)).toMatchObject([
    { state: "LISTEN", local: `[::1]:${backend.port}`, remote: "[::]:0" },
  ]);
});

test("the queues tell the bytes that nobody has read", async () => {
  await using backend = await listen(undefined, { paused: true });
  await using client = await connect(backend.port);
  await backend.accepted();
  await client.send("0123456789");
  const queued = () =>
    tcpSockets(client.localPort).find(({ localPort }) => localPort === backend.port)?.receiveQueueBytes;
  await until(
    () => queued() === 10,
    () => `ten bytes in the queue: ${queued()}`,
  );
});

test("the sockets of a process are its own and no others", async () => {
  const before = tcpSocketsOf().length;
  await using backend = await listen();
  await using client = await connect(backend.port);
  await backend.accepted();
  expect(tcpSocketsOf().length).toBe(before + 3);
  expect(tcpSocketsOf().filter(({ localPort }) => localPort === client.localPort).length).toBe(1);
  await using child = await sleeper();
  expect(tcpSocketsOf(child.pid)).toEqual([]);
});

test("processor time counts work and not waiting", async () => {
  const before = cpuSeconds();
  const startMs = performance.now();
  while (cpuSeconds() - before < 0.05) {
    if (performance.now() - startMs > 5_000) throw new Error("five seconds of work are not seen");
  }
  await using child = await sleeper();
  const asleep = cpuSeconds(child.pid);
  expect(asleep).toBeLessThan(1);
  await until(() => performance.now() - startMs > 150, "some time to pass");
  expect(cpuSeconds(child.pid) - asleep).toBeLessThan(0.05);
});

test("resident memory grows with what is touched, and a process that has ended has none", async () => {
  const before = residentBytes();
  const block = new Uint8Array(64 * 1024 * 1024).fill(1);
  const grown = residentBytes() - before;
  expect(block[block.length - 1]).toBe(1);
  expect(grown).toBeGreaterThan(32 * 1024 * 1024);
  expect(grown).toBeLessThan(256 * 1024 * 1024);
  const child = await sleeper();
  await child[Symbol.asyncDispose]();
  expect(() => residentBytes(child.pid)).toThrow();
});

/** A process that has started and does nothing. */
async function sleeper(): Promise<AsyncDisposable & { pid: number }> {
  const child = Bun.spawn([process.execPath, "-e", "console.log(1); setInterval(() => {}, 1e6)"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  const reader = child.stdout.getReader();
  await reader.read();
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
      await reader.cancel();
    },
  };
}
