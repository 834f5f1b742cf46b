/** Resets: passed on as resets, after every byte that had arrived before them, and nothing is left open. */
import { expect, test } from "bun:test";
import { CopyHalf } from "../../src/forward/copy/copy-half.ts";
import type { Half } from "../../src/forward/forwarder.ts";
import type { Session } from "../../src/session/session.ts";
import { listen } from "../support/backend.ts";
import { tcpSockets, type TcpSocket } from "../support/descriptors.ts";
import { engineAfterMove, engineBeforeMove, onEveryEngine, settleOnEngine } from "../support/engines.ts";
import { payload } from "../support/payload.ts";
import { connect, type Peer } from "../support/peer.ts";
import { startProxy } from "../support/proxy.ts";
import { expectStalled, stalled, stallWatch } from "../support/stalled.ts";
import { settled, until } from "../support/until.ts";

/** More than all buffers between two peers hold. */
const tooMuchBytes = 50_000_000;

/** The connections of one end, as the kernel knows them: its port, and the port of the other end where that is known. */
interface Ends {
  readonly localPort: number;
  readonly remotePort?: number;
}

function kernelSockets({ localPort, remotePort }: Ends): TcpSocket[] {
  const found = tcpSockets(localPort).filter(
    (socket) =>
      socket.localPort === localPort &&
      socket.state !== "LISTEN" &&
      (remotePort === undefined || socket.remotePort === remotePort),
  );
  if (found.length === 0) throw new Error(`there is no connection from port ${localPort} to port ${remotePort}`);
  return found;
}

/** Resolves when the other kernel has everything that was written at this end. */
async function delivered(from: Ends): Promise<void> {
  const unacknowledged = (): number => kernelSockets(from).reduce((sum, { sendQueueBytes }) => sum + sendQueueBytes, 0);
  await until(
    () => unacknowledged() === 0,
    () => `all bytes to be acknowledged: ${unacknowledged()} are not`,
  );
}

/**
 * Sends until the half that reads from `from` is stalled, and a little more, which stays in the proxy's kernel. Resolves
 * with how many bytes of `payload(seed, …)` that were, once all of them have arrived there: then a reset loses none.
 */
async function fillUp(from: Peer, seed: number, half: () => Half | undefined, ends: Ends): Promise<number> {
  const endless = payload(seed, 2 ** 31);
  const pieceBytes = 65_536;
  let sentBytes = 0;
  const sendPiece = async (): Promise<void> => {
    await from.send(endless.slice(sentBytes, pieceBytes));
    sentBytes += pieceBytes;
  };
  const isStalled = stallWatch(half);
  while (!isStalled()) {
    await sendPiece();
    await until(
      () => isStalled() || half()?.bytes === sentBytes,
      () => `${sentBytes} bytes to be read: ${half()?.bytes} were passed on`,
    );
  }
  await sendPiece();
  await delivered(ends);
  // What pausing brings with it (a call of `drain` for no reason, Bun 1.4.5) is over.
  await settled(() => half()!.queuedBytes, "the half to stand still", { quietMs: 50 });
  expectStalled(half()!);
  expect(half()!.bytes + half()!.queuedBytes).toBeLessThan(sentBytes);
  return sentBytes;
}

/** Counts how often the session was told of a reset while Bun still had the socket: a write was refused (`-1`). */
function countRefusedWrites(session: Session): { readonly count: number } {
  const seen = { count: 0 };
  const original = session.sourceReset;
  session.sourceReset = (half) => {
    if (half instanceof CopyHalf && !half.sourceGone) seen.count++;
    original.call(session, half);
  };
  return seen;
}

onEveryEngine((engine) => {
  test("a reset of the client arrives at the backend as a reset, after the bytes before it", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await settleOnEngine(proxy, client, peer);
    await client.send("last words");
    client.reset();
    expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(peer.text()).toBe("pingpinglast words");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 18,
      bytes_to_client: 0,
      attempts: 1,
      engine: engineAfterMove[engine],
      end: "client_reset",
    });
  });

  test("a reset of the backend arrives at the client as a reset, after the bytes before it", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await settleOnEngine(proxy, client, peer);
    await peer.send("last words");
    peer.reset();
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(client.text()).toBe("last words");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 8,
      bytes_to_client: 10,
      attempts: 1,
      engine: engineAfterMove[engine],
      end: "backend_reset",
    });
  });

  test("a reset without a byte is passed on, both ways", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using first = await connect(proxy.port);
    const firstPeer = await backend.accepted();
    await proxy.forwarding();
    first.reset();
    expect(await firstPeer.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 0,
      bytes_to_client: 0,
      engine: engineBeforeMove[engine],
      end: "client_reset",
    });

    await using second = await connect(proxy.port);
    const secondPeer = await backend.accepted();
    await proxy.forwarding();
    secondPeer.reset();
    expect(await second.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded(2)).toMatchObject({
      bytes_to_backend: 0,
      bytes_to_client: 0,
      engine: engineBeforeMove[engine],
      end: "backend_reset",
    });
  });

  test("1 MB and a reset of the client: a backend that reads late gets every byte, then the reset", async () => {
    const message = payload(1, 1_000_000);
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
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
      engine: engineAfterMove[engine],
      end: "client_reset",
    });
  });

  test("1 MB and a reset of the backend: a client that reads late gets every byte, then the reset", async () => {
    const message = payload(2, 1_000_000);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port, { paused: true });
    const peer = await backend.accepted();
    await proxy.forwarding();
    await peer.send(message);
    const session = proxy.sessions[0]!;
    await until(() => session.forwarder !== undefined, "the dial to be done");
    await delivered({ localPort: backend.port });
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
      engine: engineAfterMove[engine],
      end: "backend_reset",
    });
  });

  test("a client that resets while it is stopped: all that had arrived is passed on, then the reset", async () => {
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    const session = proxy.sessions[0]!;
    const sentBytes = await fillUp(client, 3, () => session.forwarder?.toBackend, {
      localPort: client.localPort,
      remotePort: proxy.port,
    });
    client.reset();
    // Bun tells of the reset although reading is paused (1.4.5), and so does epoll; it waits for the reader.
    await until(() => session.phase === "closing", "the reset to be seen");
    expect(proxy.records).toEqual([]);
    peer.resumeReading();
    expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(peer.received).toBe(sentBytes);
    expect(peer.sha256()).toBe(payload(3, sentBytes).sha256());
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: sentBytes,
      bytes_to_client: 0,
      engine: engineAfterMove[engine],
      end: "client_reset",
    });
  });

  test("a backend that resets while it is stopped: all that had arrived is passed on, then the reset", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port, { paused: true });
    const peer = await backend.accepted();
    await proxy.forwarding();
    const session = proxy.sessions[0]!;
    const sentBytes = await fillUp(peer, 4, () => session.forwarder?.toClient, { localPort: backend.port });
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
      engine: engineAfterMove[engine],
      end: "backend_reset",
    });
  });

  test("a reset waits for a reader that stands still no longer than timeouts.half_closed", async () => {
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { engine, timeouts: { halfClosedMs: 150 } });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    void client.send(payload(5, tooMuchBytes));
    await settled(() => client.sent, "the client to be stopped", { quietMs: 60 });
    const session = proxy.sessions[0]!;
    client.reset();
    await until(() => session.phase === "closing", "the reset to be seen");
    const sinceMs = performance.now();
    const record = await proxy.recorded();
    // The time is looked at every 50 ms, by a wheel that turns every 50 ms.
    expect(performance.now() - sinceMs).toBeGreaterThanOrEqual(149);
    expect(record).toMatchObject({ engine: engineAfterMove[engine], end: "client_reset" });
    expect(record.bytes_to_backend).toBeGreaterThan(0);
    expect(await peer.wasReset()).toBe("ECONNRESET");
  });

  test("a backend that answers and resets into an upload: the write is refused, the answer arrives, then the reset", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    await client.send("part one");
    await peer.receivedBytes(8);
    const part = payload(14, 10_000);
    const refused = countRefusedWrites(proxy.sessions[0]!);
    // One turn of the event loop brings the proxy all three, the client's bytes first: they are written into the reset.
    // The Worker sees them as they come: it drops the client's bytes, or it has passed them on before the reset.
    void client.send(part);
    void peer.send("413 too large");
    peer.reset();
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(client.text()).toBe("413 too large");
    expect(refused.count).toBe(engine === "copy" ? 1 : 0);
    const record = await proxy.recorded();
    expect(record).toMatchObject({ bytes_to_client: 13, engine: engineAfterMove[engine], end: "backend_reset" });
    expect(engine === "copy" ? [8] : [8, 8 + part.length]).toContain(record.bytes_to_backend);
  });

  test("a client that sends and resets into a download: the write is refused, its bytes arrive, then the reset", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    await peer.send("part one");
    await client.receivedBytes(8);
    const part = payload(14, 10_000);
    const refused = countRefusedWrites(proxy.sessions[0]!);
    void peer.send(part);
    void client.send("stop");
    client.reset();
    expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(peer.text()).toBe("stop");
    expect(refused.count).toBe(engine === "copy" ? 1 : 0);
    const record = await proxy.recorded();
    expect(record).toMatchObject({ bytes_to_backend: 4, engine: engineAfterMove[engine], end: "client_reset" });
    expect(engine === "copy" ? [8] : [8, 8 + part.length]).toContain(record.bytes_to_client);
  });

  test("a refused write while its resetter is stopped leaves no descriptor open, and the whole answer arrives", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port, { paused: true });
    const peer = await backend.accepted();
    await proxy.forwarding();
    const session = proxy.sessions[0]!;
    const sentBytes = await fillUp(peer, 6, () => session.forwarder?.toClient, { localPort: backend.port });
    const part = payload(14, 10_000);
    const refused = countRefusedWrites(session);
    void client.send(part);
    peer.reset();
    await until(() => session.phase === "closing", "the reset to be seen");
    expect(refused.count).toBe(engine === "copy" ? 1 : 0);
    client.resumeReading();
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(client.received).toBe(sentBytes);
    expect(client.sha256()).toBe(payload(6, sentBytes).sha256());
    const record = await proxy.recorded();
    expect(record).toMatchObject({
      bytes_to_client: sentBytes,
      engine: engineAfterMove[engine],
      end: "backend_reset",
    });
    expect(engine === "copy" ? [0] : [0, part.length]).toContain(record.bytes_to_backend);
  });

  test("a backend that resets into an upload that is stuck ends the session, and its answer arrives", async () => {
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    void client.send(payload(7, tooMuchBytes));
    await settled(() => client.sent, "the client to be stopped");
    await stalled(() => proxy.sessions[0]!.forwarder?.toBackend);
    void peer.send("enough");
    peer.reset();
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(client.text()).toBe("enough");
    const record = await proxy.recorded();
    expect(record).toMatchObject({ bytes_to_client: 6, engine: engineAfterMove[engine], end: "backend_reset" });
    expect(record.bytes_to_backend).toBeLessThan(tooMuchBytes);
  });

  test("a client that finishes and then resets: the backend gets the FIN, then the reset", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    await client.send("request");
    await client.finish();
    await peer.finished();
    client.reset();
    await peer.wasReset();
    expect(peer.text()).toBe("request");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 7,
      bytes_to_client: 0,
      engine: engineAfterMove[engine],
      end: "client_reset",
    });
  });

  test("a backend that finishes and then resets: the client gets the FIN, then the reset", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    await peer.send("answer");
    await peer.finish();
    await client.finished();
    peer.reset();
    await client.wasReset();
    expect(client.text()).toBe("answer");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 0,
      bytes_to_client: 6,
      engine: engineAfterMove[engine],
      end: "backend_reset",
    });
  });

  test("the backend resets after the client has finished: the client gets the answer and the reset", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    await client.send("request");
    await client.finish();
    await peer.finished();
    await peer.send("half an ans");
    peer.reset();
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(client.text()).toBe("half an ans");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 7,
      bytes_to_client: 11,
      engine: engineAfterMove[engine],
      end: "backend_reset",
    });
  });

  test("the client resets after the backend has finished: the backend gets the bytes and the reset", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    await peer.send("answer");
    await peer.finish();
    await client.finished();
    await client.send("half a requ");
    client.reset();
    expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(peer.text()).toBe("half a requ");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 11,
      bytes_to_client: 6,
      engine: engineAfterMove[engine],
      end: "client_reset",
    });
  });

  test("a client that finishes with bytes stuck and then resets: the backend gets all of them, then the reset", async () => {
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
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
      engine: engineAfterMove[engine],
      end: "client_reset",
    });
  });

  test("both reset at once: the first that the proxy sees gives the word", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await settleOnEngine(proxy, client, peer);
    client.reset();
    peer.reset();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 8,
      bytes_to_client: 0,
      engine: engineAfterMove[engine],
      end: "client_reset",
    });

    await using other = await connect(proxy.port);
    const otherPeer = await backend.accepted();
    await settleOnEngine(proxy, other, otherPeer);
    otherPeer.reset();
    other.reset();
    expect(await proxy.recorded(2)).toMatchObject({
      bytes_to_backend: 8,
      bytes_to_client: 0,
      engine: engineAfterMove[engine],
      end: "backend_reset",
    });
  });

  test("the backend resets while a reset of the client waits for it to read: nothing is left to wait for", async () => {
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    void client.send(payload(9, tooMuchBytes));
    await settled(() => client.sent, "the client to be stopped");
    const session = proxy.sessions[0]!;
    client.reset();
    await until(() => session.phase === "closing", "the reset to be seen");
    peer.reset();
    const record = await proxy.recorded();
    expect(record).toMatchObject({ engine: engineAfterMove[engine], end: "client_reset" });
    expect(record.bytes_to_backend).toBeLessThan(tooMuchBytes);
  });

  test("what a survivor still sends after the other side has reset is dropped, and the reset reaches it", async () => {
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
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
      engine: engineAfterMove[engine],
      end: "client_reset",
    });
  });

  test("a survivor that finishes while bytes of the one that has reset wait for it gets them, then the reset", async () => {
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
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
      engine: engineAfterMove[engine],
      end: "client_reset",
    });
  });

  test("a client that closes without reading its answer resets, and so does the proxy towards the backend", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port, { paused: true });
    const peer = await backend.accepted();
    await proxy.forwarding();
    await peer.send(payload(11, 50_000));
    await until(() => proxy.sessions[0]?.bytesToClient === 50_000, "the answer to be with the client's kernel");
    client.close();
    expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 0,
      bytes_to_client: 50_000,
      engine: engineAfterMove[engine],
      end: "client_reset",
    });
  });

  test("a backend that closes without reading the request resets, and so does the proxy towards the client", async () => {
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    await client.send(payload(12, 50_000));
    await until(() => proxy.sessions[0]?.bytesToBackend === 50_000, "the request to be with the backend's kernel");
    peer.close();
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 50_000,
      bytes_to_client: 0,
      engine: engineAfterMove[engine],
      end: "backend_reset",
    });
  });
});
