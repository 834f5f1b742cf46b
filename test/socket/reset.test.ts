/** Resets: passed on as resets, after every byte that had arrived before them, and nothing is left open. */
import { expect, test } from "bun:test";
import type { Half } from "../../src/forward/half.ts";
import type { Session } from "../../src/session/session.ts";
import { listen } from "../support/backend.ts";
import { tcpSockets, type TcpSocket } from "../support/descriptors.ts";
import { payload } from "../support/payload.ts";
import { connect, type Peer } from "../support/peer.ts";
import { startProxy } from "../support/proxy.ts";
import { settled, until } from "../support/until.ts";

/** The most that Bun reads at once (1.4.5): one chunk. */
const chunkBytesMax = 524_288;
/** Written in the turn it comes in, not at its end: it meets the reset that comes behind it in that turn. */
const writtenAtOnce = payload(9, 5000).bytes();
/** More than all buffers between two peers hold. */
const tooMuchBytes = 50_000_000;

/** One connection, as the kernel knows it: the ports of its two ends, from the point of view of the first. */
interface Ends {
  readonly localPort: number;
  readonly remotePort: number;
}

function kernelSocket({ localPort, remotePort }: Ends): TcpSocket {
  const found = tcpSockets(localPort).find(
    (socket) => socket.localPort === localPort && socket.remotePort === remotePort,
  );
  if (found === undefined) throw new Error(`there is no connection from port ${localPort} to port ${remotePort}`);
  return found;
}

/** Resolves when the other kernel has everything that was written at this end. */
async function delivered(from: Ends): Promise<void> {
  await until(
    () => kernelSocket(from).sendQueueBytes === 0,
    () => `all bytes to be acknowledged: ${kernelSocket(from).sendQueueBytes} are not`,
  );
}

/**
 * Sends until the half that reads from `from` is paused, and a little more, which stays in the proxy's kernel. Resolves
 * with how many bytes of `payload(seed, …)` that were, once all of them have arrived there: then a reset loses none.
 */
async function fillUp(from: Peer, seed: number, half: () => Half | undefined): Promise<number> {
  const endless = payload(seed, 2 ** 31);
  const pieceBytes = 65_536;
  let sentBytes = 0;
  const sendPiece = async (): Promise<void> => {
    await from.send(endless.slice(sentBytes, pieceBytes));
    sentBytes += pieceBytes;
  };
  while (half()?.paused !== true) {
    await sendPiece();
    await until(
      () => half()?.paused === true || half()?.bytes === sentBytes,
      () => `${sentBytes} bytes to be read: ${half()?.bytes} were passed on`,
    );
  }
  await sendPiece();
  const { localPort, remotePort } = half()!.source;
  await delivered({ localPort: remotePort, remotePort: localPort });
  // What pausing brings with it (a call of `drain` for no reason, Bun 1.4.5) is over.
  await settled(() => half()!.queuedBytes, "the half to stand still", { quietMs: 50 });
  expect(half()!.bytes + half()!.queuedBytes).toBeLessThan(sentBytes);
  return sentBytes;
}

/** Counts how often a write to a socket in error was refused (`-1`). */
function countBrokenSinks(session: Session): { readonly count: number } {
  const seen = { count: 0 };
  const original = session.sinkBroken;
  session.sinkBroken = (half) => {
    seen.count++;
    original.call(session, half);
  };
  return seen;
}

test("a reset of the client arrives at the backend as a reset, after the bytes before it", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("last words");
  client.reset();
  expect(await peer.wasReset()).toBe("ECONNRESET");
  expect(peer.text()).toBe("last words");
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 10,
    bytes_to_client: 0,
    attempts: 1,
    engine: "copy",
    end: "client_reset",
  });
});

test("a reset of the backend arrives at the client as a reset, after the bytes before it", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await until(() => proxy.sessions[0]!.phase === "forwarding", "the dial to be done");
  await peer.send("last words");
  peer.reset();
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(client.text()).toBe("last words");
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 0,
    bytes_to_client: 10,
    attempts: 1,
    engine: "copy",
    end: "backend_reset",
  });
});

test("a reset without a byte is passed on, both ways", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using first = await connect(proxy.port);
  const firstPeer = await backend.accepted();
  await until(() => proxy.sessions[0]!.phase === "forwarding", "the dial to be done");
  first.reset();
  expect(await firstPeer.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 0, bytes_to_client: 0, end: "client_reset" });

  await using second = await connect(proxy.port);
  const secondPeer = await backend.accepted();
  await until(() => proxy.sessions[0]!.phase === "forwarding", "the dial to be done");
  secondPeer.reset();
  expect(await second.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded(2)).toMatchObject({ bytes_to_backend: 0, bytes_to_client: 0, end: "backend_reset" });
});

test("1 MB and a reset of the client: a backend that reads late gets every byte, then the reset", async () => {
  const message = payload(1, 1_000_000);
  await using backend = await listen(undefined, { paused: true });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send(message);
  await delivered({ localPort: client.localPort, remotePort: proxy.port });
  const session = proxy.sessions[0]!;
  client.reset();
  await until(() => session.phase === "closing", "the reset to be seen");
  await settled(() => session.bytesToBackend, "the proxy to stand still", { quietMs: 120 });
  // The reader has its time: nothing is thrown away meanwhile.
  expect(proxy.records).toEqual([]);
  expect(peer.ending).toBeUndefined();
  peer.resumeReading();
  await peer.receivedPayload(message);
  expect(await peer.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 1_000_000,
    bytes_to_client: 0,
    end: "client_reset",
  });
});

test("1 MB and a reset of the backend: a client that reads late gets every byte, then the reset", async () => {
  const message = payload(2, 1_000_000);
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port, { paused: true });
  const peer = await backend.accepted();
  await peer.send(message);
  const session = proxy.sessions[0]!;
  await until(() => session.forwarder !== undefined, "the dial to be done");
  await delivered({ localPort: backend.port, remotePort: session.forwarder!.toClient.source.localPort });
  peer.reset();
  await until(() => session.phase === "closing", "the reset to be seen");
  await settled(() => session.bytesToClient, "the proxy to stand still", { quietMs: 120 });
  expect(proxy.records).toEqual([]);
  expect(client.ending).toBeUndefined();
  client.resumeReading();
  await client.receivedPayload(message);
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 0,
    bytes_to_client: 1_000_000,
    end: "backend_reset",
  });
});

test("a client that resets while it is paused: all that had arrived is passed on, then the reset", async () => {
  await using backend = await listen(undefined, { paused: true });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  const session = proxy.sessions[0]!;
  const sentBytes = await fillUp(client, 3, () => session.forwarder?.toBackend);
  expect(session.forwarder!.toBackend.paused).toBe(true);
  expect(session.forwarder!.toBackend.queuedBytes).toBeLessThanOrEqual(chunkBytesMax);
  client.reset();
  // Bun tells of the reset although reading is paused (1.4.5); it waits for the reader.
  await until(() => session.phase === "closing", "the reset to be seen");
  expect(proxy.records).toEqual([]);
  peer.resumeReading();
  expect(await peer.wasReset()).toBe("ECONNRESET");
  expect(peer.received).toBe(sentBytes);
  expect(peer.sha256()).toBe(payload(3, sentBytes).sha256());
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: sentBytes,
    bytes_to_client: 0,
    end: "client_reset",
  });
});

test("a backend that resets while it is paused: all that had arrived is passed on, then the reset", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port, { paused: true });
  const peer = await backend.accepted();
  const session = proxy.sessions[0]!;
  const sentBytes = await fillUp(peer, 4, () => session.forwarder?.toClient);
  expect(session.forwarder!.toClient.paused).toBe(true);
  peer.reset();
  await until(() => session.phase === "closing", "the reset to be seen");
  expect(proxy.records).toEqual([]);
  client.resumeReading();
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(client.received).toBe(sentBytes);
  expect(client.sha256()).toBe(payload(4, sentBytes).sha256());
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 0,
    bytes_to_client: sentBytes,
    end: "backend_reset",
  });
});

test("a reset waits for a reader that stands still no longer than timeouts.half_closed", async () => {
  await using backend = await listen(undefined, { paused: true });
  await using proxy = startProxy(backend.port, { timeouts: { halfClosedMs: 150 } });
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  void client.send(payload(5, tooMuchBytes));
  await settled(() => client.sent, "the client to be stopped", { quietMs: 60 });
  const session = proxy.sessions[0]!;
  client.reset();
  await until(() => session.phase === "closing", "the reset to be seen");
  const sinceMs = performance.now();
  const record = await proxy.recorded();
  // The time is looked at every 50 ms, by a wheel that turns every 50 ms.
  expect(performance.now() - sinceMs).toBeGreaterThanOrEqual(149);
  expect(record.end).toBe("client_reset");
  expect(record.bytes_to_backend).toBeGreaterThan(0);
  expect(await peer.wasReset()).toBe("ECONNRESET");
});

test("a backend that answers and resets into an upload: the write is refused, the answer arrives, then the reset", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("part one");
  await peer.receivedBytes(8);
  const broken = countBrokenSinks(proxy.sessions[0]!);
  // One turn of the event loop brings the proxy all three, the client's bytes first: they are written into the reset.
  void client.send(writtenAtOnce);
  void peer.send("413 too large");
  peer.reset();
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(client.text()).toBe("413 too large");
  expect(broken.count).toBe(1);
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 8, bytes_to_client: 13, end: "backend_reset" });
});

test("a backend that answers and resets in the turn that brings it a few bytes: the answer arrives, then the reset", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("part one");
  await peer.receivedBytes(8);
  const broken = countBrokenSinks(proxy.sessions[0]!);
  void client.send("part two");
  void peer.send("413 too large");
  peer.reset();
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(client.text()).toBe("413 too large");
  expect(broken.count).toBe(0);
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 8, bytes_to_client: 13, end: "backend_reset" });
});

test("a client that sends and resets into a download: the write is refused, its bytes arrive, then the reset", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await peer.send("part one");
  await client.receivedBytes(8);
  const broken = countBrokenSinks(proxy.sessions[0]!);
  void peer.send(writtenAtOnce);
  void client.send("stop");
  client.reset();
  expect(await peer.wasReset()).toBe("ECONNRESET");
  expect(peer.text()).toBe("stop");
  expect(broken.count).toBe(1);
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 4, bytes_to_client: 8, end: "client_reset" });
});

test("a refused write while its resetter is paused leaves no descriptor open, and the whole answer arrives", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port, { paused: true });
  const peer = await backend.accepted();
  const session = proxy.sessions[0]!;
  const sentBytes = await fillUp(peer, 6, () => session.forwarder?.toClient);
  expect(session.forwarder!.toClient.paused).toBe(true);
  const broken = countBrokenSinks(session);
  void client.send(writtenAtOnce);
  peer.reset();
  await until(() => session.phase === "closing", "the reset to be seen");
  expect(broken.count).toBe(1);
  client.resumeReading();
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(client.received).toBe(sentBytes);
  expect(client.sha256()).toBe(payload(6, sentBytes).sha256());
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 0,
    bytes_to_client: sentBytes,
    end: "backend_reset",
  });
});

test("a backend that resets into an upload that is stuck ends the session, and its answer arrives", async () => {
  await using backend = await listen(undefined, { paused: true });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  void client.send(payload(7, tooMuchBytes));
  await settled(() => client.sent, "the client to be stopped");
  expect(proxy.sessions[0]!.forwarder!.toBackend.paused).toBe(true);
  void peer.send("enough");
  peer.reset();
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(client.text()).toBe("enough");
  const record = await proxy.recorded();
  expect(record).toMatchObject({ bytes_to_client: 6, end: "backend_reset" });
  expect(record.bytes_to_backend).toBeLessThan(tooMuchBytes);
});

test("a client that finishes and then resets: the backend gets the FIN, then the reset", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("request");
  await client.finish();
  await peer.finished();
  client.reset();
  await peer.wasReset();
  expect(peer.text()).toBe("request");
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 7, bytes_to_client: 0, end: "client_reset" });
});

test("a backend that finishes and then resets: the client gets the FIN, then the reset", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await peer.send("answer");
  await peer.finish();
  await client.finished();
  peer.reset();
  await client.wasReset();
  expect(client.text()).toBe("answer");
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 0, bytes_to_client: 6, end: "backend_reset" });
});

test("the backend resets after the client has finished: the client gets the answer and the reset", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("request");
  await client.finish();
  await peer.finished();
  await peer.send("half an ans");
  peer.reset();
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(client.text()).toBe("half an ans");
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 7, bytes_to_client: 11, end: "backend_reset" });
});

test("the client resets after the backend has finished: the backend gets the bytes and the reset", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await peer.send("answer");
  await peer.finish();
  await client.finished();
  await client.send("half a requ");
  client.reset();
  expect(await peer.wasReset()).toBe("ECONNRESET");
  expect(peer.text()).toBe("half a requ");
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 11, bytes_to_client: 6, end: "client_reset" });
});

test("a client that finishes with bytes stuck and then resets: the backend gets all of them, then the reset", async () => {
  await using backend = await listen(undefined, { paused: true });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  const message = payload(8, 1_000_000);
  await client.send(message);
  await client.finish();
  await delivered({ localPort: client.localPort, remotePort: proxy.port });
  const session = proxy.sessions[0]!;
  await until(() => session.forwarder!.toBackend.state === "ended", "the FIN to be passed on");
  client.reset();
  await until(() => session.phase === "closing", "the reset to be seen");
  expect(proxy.records).toEqual([]);
  peer.resumeReading();
  await peer.receivedPayload(message);
  await peer.wasReset();
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 1_000_000,
    bytes_to_client: 0,
    end: "client_reset",
  });
});

test("both reset at once: the first that the proxy sees gives the word", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("x");
  await peer.receivedBytes(1);
  client.reset();
  peer.reset();
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 1, bytes_to_client: 0, end: "client_reset" });

  await using other = await connect(proxy.port);
  const otherPeer = await backend.accepted();
  await other.send("y");
  await otherPeer.receivedBytes(1);
  otherPeer.reset();
  other.reset();
  expect(await proxy.recorded(2)).toMatchObject({ bytes_to_backend: 1, bytes_to_client: 0, end: "backend_reset" });
});

test("the backend resets while a reset of the client waits for it to read: nothing is left to wait for", async () => {
  await using backend = await listen(undefined, { paused: true });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  void client.send(payload(9, tooMuchBytes));
  await settled(() => client.sent, "the client to be stopped");
  const session = proxy.sessions[0]!;
  client.reset();
  await until(() => session.phase === "closing", "the reset to be seen");
  peer.reset();
  const record = await proxy.recorded();
  expect(record.end).toBe("client_reset");
  expect(record.bytes_to_backend).toBeLessThan(tooMuchBytes);
});

test("what a survivor still sends after the other side has reset is dropped, and the reset reaches it", async () => {
  await using backend = await listen(undefined, { paused: true });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  const message = payload(10, 1_000_000);
  await client.send(message);
  await delivered({ localPort: client.localPort, remotePort: proxy.port });
  const session = proxy.sessions[0]!;
  client.reset();
  await until(() => session.phase === "closing", "the reset to be seen");
  await peer.send("nobody hears this");
  peer.resumeReading();
  await peer.receivedPayload(message);
  expect(await peer.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 1_000_000,
    bytes_to_client: 0,
    end: "client_reset",
  });
});

test("a survivor that finishes while bytes of the one that has reset wait for it gets them, then the reset", async () => {
  await using backend = await listen(undefined, { paused: true });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  const message = payload(13, 1_000_000);
  await client.send(message);
  await delivered({ localPort: client.localPort, remotePort: proxy.port });
  const session = proxy.sessions[0]!;
  client.reset();
  await until(() => session.phase === "closing", "the reset to be seen");
  await peer.finish();
  peer.resumeReading();
  await peer.receivedPayload(message);
  expect(await peer.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 1_000_000,
    bytes_to_client: 0,
    end: "client_reset",
  });
});

test("a client that closes without reading its answer resets, and so does the proxy towards the backend", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port, { paused: true });
  const peer = await backend.accepted();
  await peer.send(payload(11, 50_000));
  await until(() => proxy.sessions[0]?.bytesToClient === 50_000, "the answer to be with the client's kernel");
  client.close();
  expect(await peer.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 0, bytes_to_client: 50_000, end: "client_reset" });
});

test("a backend that closes without reading the request resets, and so does the proxy towards the client", async () => {
  await using backend = await listen(undefined, { paused: true });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send(payload(12, 50_000));
  await until(() => proxy.sessions[0]?.bytesToBackend === 50_000, "the request to be with the backend's kernel");
  peer.close();
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 50_000, bytes_to_client: 0, end: "backend_reset" });
});
