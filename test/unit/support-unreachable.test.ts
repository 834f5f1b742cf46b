/** The places where a connect does not succeed: that they really behave so, for us and for any other program. */
import { expect, test } from "bun:test";
import { connect as connectWithNode } from "node:net";
import { echo } from "../support/backend.ts";
import { openDescriptors, tcpSockets } from "../support/descriptors.ts";
import { connect } from "../support/peer.ts";
import { refusedPort, silentHost } from "../support/unreachable.ts";
import { until } from "../support/until.ts";

test("a silent host answers no connect and refuses none, however many there are", async () => {
  const { attempts } = await (async () => {
    await using host = await silentHost();
    expect(host.address).toBe(`127.0.0.1:${host.port}`);
    expect(host.attempts()).toBe(0);
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => connect(host.port, { withinMs: 400 })));
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { message: expect.stringContaining("no answer") } });
    }
    // They are still under way: a Bun.connect cannot be called back.
    expect(host.attempts()).toBe(3);
    // Both ends of the one connection that fills the queue, and no other.
    expect(tcpSockets(host.port).filter(({ state }) => state === "ESTABLISHED").length).toBe(2);
    return host;
  })();
  await until(() => attempts() === 0, "the attempts to be refused by a host that is gone");
});

test("a silent host that opens serves what waited, with its next SYN, and what comes new", async () => {
  await using host = await silentHost();
  const waiting = connect(host.port);
  await until(() => host.attempts() === 1, "the attempt");
  await using backend = await host.open(echo);
  await using late = await waiting;
  await late.send("waited");
  expect(await late.read(6)).toEqual(new TextEncoder().encode("waited"));
  expect(host.attempts()).toBe(0);

  await using next = await connect(host.port);
  await next.send("new");
  await next.finish();
  await next.finished();
  expect(next.text()).toBe("new");
  // What had filled the queue is not among them.
  expect(backend.connections.length).toBe(2);
  expect(await host.open()).toBe(backend);
});

test("an attempt that is called back is seen no more", async () => {
  await using host = await silentHost();
  const socket = connectWithNode({ host: "127.0.0.1", port: host.port });
  await until(() => host.attempts() === 1, "the attempt");
  socket.destroy();
  await until(() => host.attempts() === 0, "the attempt to be gone");
});

test("a silent host that is gone refuses what still waits, and leaves no descriptor", async () => {
  const before = sockets();
  const host = await silentHost();
  const waiting = connect(host.port);
  await until(() => host.attempts() === 1, "the attempt");
  await host[Symbol.asyncDispose]();
  await expect(waiting).rejects.toMatchObject({ code: "ECONNREFUSED" });
  await until(
    () => sockets() <= before,
    () => `${before} open sockets: there are ${sockets()}`,
  );
});

test("a refused port refuses at once, and stays taken until it is given back", async () => {
  const before = sockets();
  const place = refusedPort();
  expect(place.address).toBe(`127.0.0.1:${place.port}`);
  for (let time = 0; time < 3; time++) {
    await expect(connect(place.port, { withinMs: 1_000 })).rejects.toMatchObject({ code: "ECONNREFUSED" });
  }
  const listenThere = () => Bun.listen({ hostname: "127.0.0.1", port: place.port, socket: { data() {} } });
  expect(listenThere).toThrow(expect.objectContaining({ code: "EADDRINUSE" }));
  place[Symbol.dispose]();
  listenThere().stop();
  await until(
    () => sockets() <= before,
    () => `${before} open sockets: there are ${sockets()}`,
  );
});

test("two places are never the same port", () => {
  const places = Array.from({ length: 50 }, () => refusedPort());
  expect(new Set(places.map(({ port }) => port)).size).toBe(50);
  for (const place of places) place[Symbol.dispose]();
});

/** How many sockets this process has open, listening or not, connected or not. */
function sockets(): number {
  return openDescriptors().filter(({ target }) => target.startsWith("socket:")).length;
}
