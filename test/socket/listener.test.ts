/** A listener: what waits in its accept queue is served, whether it pauses or closes. */
import { expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { Admission } from "../../src/listener/admission.ts";
import { Listener } from "../../src/listener/listener.ts";
import { ActiveConnections } from "../../src/stats/active-connections.ts";
import { echo, listen } from "../support/backend.ts";
import { countDescriptors, tcpSockets } from "../support/descriptors.ts";
import { connect } from "../support/peer.ts";
import { startProxy } from "../support/proxy.ts";
import { listenerSettings } from "../support/service-settings.ts";
import { until } from "../support/until.ts";

/** Of a close that nobody cuts short. */
const never = new AbortController().signal;

test("what is in the accept queue when a listener closes is served, and who comes later is refused", async () => {
  await using backend = await listen(echo);
  await using proxy = startProxy(backend.port);
  // The kernel makes the connections within the calls; nobody accepts before the next turn of the event loop.
  const connecting = Array.from({ length: 50 }, () => connect(proxy.port));
  expect(queueLength(proxy.port)).toBe(50);
  const closed = proxy.service.listener.close(never);
  const clients = await Promise.all(connecting);
  for (const [index, client] of clients.entries()) await client.send(`client ${index}`);
  for (const client of clients) await client.finish();
  for (const [index, client] of clients.entries()) {
    await client.finished();
    expect(client.text()).toBe(`client ${index}`);
  }
  await closed;
  await expect(connect(proxy.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  await proxy.recorded(50);
  expect(proxy.records.map(({ end }) => end)).toEqual(Array(50).fill("client_finished"));
});

test("a listener that is paused at the limit serves its accept queue before it closes, never beyond the limit", async () => {
  let most = 0;
  await using backend = await listen(async (peer) => {
    most = Math.max(most, proxy.active.count);
    await echo(peer);
  });
  await using proxy = startProxy(backend.port, { limit: 2 });
  const clients = await Promise.all(Array.from({ length: 12 }, () => connect(proxy.port)));
  await until(() => proxy.active.count === 2 && queueLength(proxy.port) === 10, "the limit to be reached");
  expect(proxy.service.listener.paused).toBe(true);
  let state: "closing" | "closed" = "closing";
  const closed = proxy.service.listener.close(never).then(() => void (state = "closed"));
  for (const [index, client] of clients.entries()) {
    // The last two are let in together: then the queue is empty, and the close may end.
    if (index < 10) expect(state).toBe("closing");
    await client.send(`client ${index}`);
    await client.receivedBytes(`client ${index}`.length);
    await client.finish();
    await client.finished();
    expect(client.text()).toBe(`client ${index}`);
  }
  await closed;
  expect(most).toBe(2);
  await expect(connect(proxy.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  await proxy.recorded(12);
  expect(proxy.records.map(({ end }) => end)).toEqual(Array(12).fill("client_finished"));
});

test("a close that is cut short resets the accept queue at once and leaves the open sessions alone", async () => {
  await using backend = await listen(echo);
  await using proxy = startProxy(backend.port, { limit: 1 });
  await using open = await connect(proxy.port);
  await open.send("a");
  await open.receivedBytes(1);
  const waiting = await Promise.all(Array.from({ length: 5 }, () => connect(proxy.port)));
  await until(() => queueLength(proxy.port) === 5, "five connections in the accept queue");
  const abort = new AbortController();
  const closed = proxy.service.listener.close(abort.signal);
  // The limit holds the queue up, so nothing else would end the close.
  abort.abort();
  await closed;
  expect(await Promise.all(waiting.map((client) => client.wasReset()))).toEqual(Array(5).fill("ECONNRESET"));
  await expect(connect(proxy.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  await open.send("b");
  await open.receivedBytes(2);
  await open.finish();
  await open.finished();
  expect(open.text()).toBe("ab");
  expect(await proxy.recorded()).toMatchObject({ end: "client_finished", bytes_to_client: 2 });
});

test("a listener that was never opened, or is closed already, has nothing to close, to pause or to resume", async () => {
  const before = countDescriptors();
  const listener = new Listener(listenerSettings("web"), admission(), nobody, systemClock);
  await listener.close(never);
  listener.open();
  await listener.close(never);
  await listener.close(never);
  listener.resume();
  listener.pause();
  expect(listener.paused).toBe(false);
  expect(countDescriptors()).toBe(before);
});

test("pausing and resuming 200 times leaves no descriptor behind and loses no connection", async () => {
  await using backend = await listen(echo);
  await using proxy = startProxy(backend.port);
  const { listener } = proxy.service;
  const before = countDescriptors();
  for (let turn = 0; turn < 200; turn++) {
    listener.pause();
    listener.pause();
    expect(listener.paused).toBe(true);
    listener.resume();
    listener.resume();
    expect(listener.paused).toBe(false);
  }
  await until(
    () => countDescriptors() === before,
    () => `${before} descriptors: there are ${countDescriptors()}`,
  );
  listener.pause();
  await using client = await connect(proxy.port);
  await client.send("while it was paused");
  expect(proxy.active.count).toBe(0);
  listener.resume();
  await client.finish();
  await client.finished();
  expect(client.text()).toBe("while it was paused");
});

test("600 connections wait for a listener that is paused, more than Bun's own bound, also once it has resumed before", async () => {
  await using backend = await listen(echo);
  await using proxy = startProxy(backend.port);
  const { listener } = proxy.service;
  listener.pause();
  listener.resume();
  listener.pause();
  const clients = await Promise.all(Array.from({ length: 600 }, () => connect(proxy.port)));
  expect(queueLength(proxy.port)).toBe(600);
  listener.resume();
  for (const client of clients) await client.send("x");
  for (const client of clients) await client.finish();
  for (const client of clients) {
    await client.finished();
    expect(client.received).toBe(1);
  }
});

test("a listener on [::1] tells its address, and who its client is", async () => {
  const accepted: string[] = [];
  const acceptor = {
    ...nobody,
    accepted(by: Listener, socket: { remoteAddress: string; remotePort: number; terminate(): void }) {
      accepted.push(`${socket.remoteAddress} ${socket.remotePort}`);
      socket.terminate();
      by.giveBack();
    },
  };
  const listener = new Listener(listenerSettings("six", "::1"), admission(), acceptor, systemClock);
  listener.open();
  const port = Number(/^\[::1\]:(\d+)$/.exec(listener.address)?.[1]);
  await using client = await connect({ host: "::1", port });
  const { localPort } = client;
  await client.wasReset();
  expect(accepted).toEqual([`::1 ${localPort}`]);
  expect([listener.total, listener.active]).toEqual([1, 0]);
  await listener.close(AbortSignal.abort());
});

test("an address that is in use is told with the listener's name and what to do", async () => {
  await using backend = await listen();
  const settings = listenerSettings("web", "127.0.0.1", backend.port);
  const listener = new Listener(settings, admission(), nobody, systemClock);
  expect(() => listener.open()).toThrow(
    `cannot bind listener "web" to 127.0.0.1:${backend.port}: the address is in use by another socket (EADDRINUSE); choose another port, or stop what listens there`,
  );
  // Nothing was taken, so there is nothing to close.
  await listener.close(never);
});

test("an address that this machine does not have is told as such", () => {
  const listener = new Listener(listenerSettings("web", "192.0.2.1"), admission(), nobody, systemClock);
  expect(() => listener.open()).toThrow(
    'cannot bind listener "web" to 192.0.2.1:0: this machine has no such address (EADDRNOTAVAIL)',
  );
});

/** Connections that the kernel has made and that nobody has accepted. */
function queueLength(port: number): number {
  return tcpSockets(port).find((socket) => socket.localPort === port && socket.state === "LISTEN")!.receiveQueueBytes;
}

function admission(): Admission {
  return new Admission(new ActiveConnections(), 10, "queue");
}

/** Takes over nothing: for listeners that nobody connects to. */
const nobody = {
  accepted() {
    throw new Error("nobody was expected");
  },
  rejected() {
    throw new Error("nobody was expected");
  },
  failed(_listener: Listener, error: Error) {
    throw error;
  },
};
