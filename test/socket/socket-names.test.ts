/** What the C library says of the two ends of a socket, in the words of records. */
import { expect, test } from "bun:test";
import { libc } from "../../src/sys/libc.ts";
import { closeDescriptor } from "../support/libc.ts";
import { socketFolder } from "../support/socket-folder.ts";
import { until } from "../support/until.ts";

/** Both ends of a connection to a listener there, each with its own and its peer's name, and the ports that Bun knows. */
async function names(hostname: string, connectTo: string) {
  const accepted: Bun.Socket[] = [];
  const handlers = { data() {}, open: (socket: Bun.Socket) => void accepted.push(socket) };
  const listener = Bun.listen({ hostname, port: 0, socket: handlers });
  const client = await Bun.connect({ hostname: connectTo, port: listener.port, socket: { data() {} } });
  await until(() => accepted.length === 1, "the connection to be accepted");
  const described = (socket: Bun.Socket) => {
    const { fd } = socket as unknown as { fd: number };
    return { peer: libc!.peerOf(fd), local: libc!.localOf(fd) };
  };
  const found = {
    client: described(client),
    accepted: described(accepted[0]!),
    listening: libc!.localOf((listener as unknown as { fd: number }).fd),
  };
  const ports = { listener: listener.port, client: client.localPort };
  client.terminate();
  accepted[0]!.terminate();
  listener.stop(true);
  return { ...found, ports };
}

test("IPv4: address and port", async () => {
  const { client, accepted, listening, ports } = await names("127.0.0.1", "127.0.0.1");
  const [server, from] = [`127.0.0.1:${ports.listener}`, `127.0.0.1:${ports.client}`];
  expect({ client, accepted, listening }).toEqual({
    client: { peer: server, local: from },
    accepted: { peer: from, local: server },
    listening: server,
  });
});

test("IPv6: the address in brackets", async () => {
  const { client, accepted, listening, ports } = await names("::1", "::1");
  const [server, from] = [`[::1]:${ports.listener}`, `[::1]:${ports.client}`];
  expect({ client, accepted, listening }).toEqual({
    client: { peer: server, local: from },
    accepted: { peer: from, local: server },
    listening: server,
  });
});

test("IPv4 at a listener for both families: as IPv4", async () => {
  const { client, accepted, listening, ports } = await names("::", "127.0.0.1");
  const [server, from] = [`127.0.0.1:${ports.listener}`, `127.0.0.1:${ports.client}`];
  expect({ client, accepted, listening }).toEqual({
    client: { peer: server, local: from },
    accepted: { peer: from, local: server },
    listening: `[::]:${ports.listener}`,
  });
});

test("a Unix socket: its path, where it has one", async () => {
  using folder = socketFolder();
  const path = folder.path("ünix.sock");
  const listening = libc!.bind(libc!.unixAddress(path));
  libc!.listen(listening, 4);
  const client = libc!.connectBegin(libc!.unixAddress(path));
  expect([libc!.localOf(listening), libc!.localOf(client), libc!.peerOf(client)]).toEqual([
    `unix:${path}`,
    "unix:",
    `unix:${path}`,
  ]);
  closeDescriptor(client);
  closeDescriptor(listening);
});

test("a Unix socket with a name that is no path: with an @", () => {
  const named = libc!.bind(libc!.unixAddress(`\0sluice-test-${process.pid}`));
  // The name ends where its memory does, the closing zero included, which is not shown.
  expect(libc!.localOf(named)).toBe(`unix:@sluice-test-${process.pid}`);
  closeDescriptor(named);
});

test("no name: a socket without a peer, and what is no socket", () => {
  const unconnected = libc!.bind(libc!.socketAddress("127.0.0.1", 0)!);
  expect(libc!.peerOf(unconnected)).toBeUndefined();
  expect(libc!.localOf(unconnected)).toMatch(/^127\.0\.0\.1:[0-9]+$/);
  closeDescriptor(unconnected);
  expect([libc!.peerOf(0), libc!.localOf(-1)]).toEqual([undefined, undefined]);
});
