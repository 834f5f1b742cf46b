/** Finishing: each direction ends by itself, after all its bytes, and the other goes on. */
import { expect, test } from "bun:test";
import { CopyHalf } from "../../src/forward/copy/copy-half.ts";
import type { HalfState } from "../../src/forward/forwarder.ts";
import type { Session } from "../../src/session/session.ts";
import { listen } from "../support/backend.ts";
import { engineAfterMove, onEveryEngine, settleOnEngine } from "../support/engines.ts";
import { payload } from "../support/payload.ts";
import { connect } from "../support/peer.ts";
import { startProxy } from "../support/proxy.ts";
import { stalled, stallWatch } from "../support/stalled.ts";
import { settled, until } from "../support/until.ts";

/** More than all buffers between two peers hold. */
const tooMuchBytes = 50_000_000;

onEveryEngine((engine) => {
  test("an answer of 200 kB and then a close: all of it arrives, then the FIN", async () => {
    const answer = payload(1, 200_000);
    await using backend = await listen(async (peer) => {
      await peer.read(4);
      await peer.send(answer);
      peer.close();
    });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    await client.send("GET\n");
    await client.receivedPayload(answer);
    await client.finished();
    await client.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 4,
      bytes_to_client: 200_000,
      attempts: 1,
      engine: engineAfterMove[engine],
      end: "backend_finished",
    });
  });

  test("an answer of 200 kB and then a close arrives whole at a client that reads late", async () => {
    const answer = payload(2, 200_000);
    await using backend = await listen(async (peer) => {
      await peer.send(answer);
      peer.close();
    });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port, { paused: true });
    await settled(() => proxy.sessions[0]?.bytesToClient, "the answer to be stuck", { quietMs: 50 });
    client.resumeReading();
    await client.receivedPayload(answer);
    await client.finished();
    await client.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_client: 200_000,
      engine: engineAfterMove[engine],
      end: "backend_finished",
    });
  });

  test("a client that finishes first still gets its answer", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await client.send("question");
    await client.finish();
    await peer.finished();
    expect(peer.text()).toBe("question");
    const session = proxy.sessions[0]!;
    await halves(session, ["ended", "open"]);
    expect(session.phase).toBe("forwarding");
    expect(session.halfClosedSinceMs).toBeNumber();
    expect(client.ending).toBeUndefined();

    await peer.send("answer");
    await client.receivedBytes(6);
    expect(client.text()).toBe("answer");
    expect(client.ending).toBeUndefined();
    await peer.finish();
    await client.finished();
    await peer.gone();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 8,
      bytes_to_client: 6,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("timeouts shorter than the whole answer do not cut one that keeps coming after the client's FIN", async () => {
    const timeouts = { halfClosedMs: 250, idleMs: 250 };
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine, timeouts });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await client.send("?");
    await client.finish();
    await peer.finished();
    const beganMs = performance.now();
    for (let part = 1; part <= 5; part++) {
      await until(() => performance.now() - beganMs >= part * 100, "a tenth of a second");
      await peer.send("part\n");
    }
    await peer.finish();
    await client.finished();
    expect(client.text()).toBe("part\n".repeat(5));
    const record = await proxy.recorded();
    expect(record).toMatchObject({
      bytes_to_backend: 1,
      bytes_to_client: 25,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
    expect(record.duration_ms).toBeGreaterThan(500);
  });

  test("a backend that finishes first still gets the whole upload of the client", async () => {
    const upload = payload(3, 20_000_000);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    const uploaded = peer.receivedPayload(upload);
    const sent = client.send(upload);
    await peer.receivedBytes(1);
    await peer.send("enough");
    await peer.finish();
    await client.finished();
    expect(client.text()).toBe("enough");
    expect(peer.ending).toBeUndefined();
    await sent;
    await client.finish();
    await uploaded;
    await peer.finished();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 20_000_000,
      bytes_to_client: 6,
      engine: engineAfterMove[engine],
      end: "backend_finished",
    });
  });

  test("a backend that finishes before the client has sent a byte gets what the client sends later", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await peer.finish();
    await client.finished();
    await client.send("late");
    await peer.receivedBytes(4);
    await halves(proxy.sessions[0]!, ["open", "ended"]);
    await client.finish();
    await peer.finished();
    expect(peer.text()).toBe("late");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 4,
      bytes_to_client: 0,
      engine: engineAfterMove[engine],
      end: "backend_finished",
    });
  });

  test("both finish at once: the client's FIN came first, so its word it is", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await settleOnEngine(proxy, client, peer);
    // One turn of the event loop brings the proxy both, or the Worker sees them as they come.
    void client.finish();
    void peer.finish();
    await client.finished();
    await peer.finished();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 8,
      bytes_to_client: 0,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("both finish at once: the backend's FIN came first, so its word it is", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await settleOnEngine(proxy, client, peer);
    void peer.finish();
    void client.finish();
    await client.finished();
    await peer.finished();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 8,
      bytes_to_client: 0,
      engine: engineAfterMove[engine],
      end: "backend_finished",
    });
  });

  test("both finish with their last words in flight: the words of both arrive", async () => {
    const [upload, download] = [payload(4, 300_000), payload(5, 300_000)];
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    const arrived = [peer.receivedPayload(upload), client.receivedPayload(download)];
    void client.send(upload);
    void client.finish();
    void peer.send(download);
    void peer.finish();
    await Promise.all(arrived);
    await client.finished();
    await peer.finished();
    const record = await proxy.recorded();
    expect(record).toMatchObject({
      bytes_to_backend: 300_000,
      bytes_to_client: 300_000,
      engine: engineAfterMove[engine],
    });
    expect(["client_finished", "backend_finished"]).toContain(record.end);
  });

  test("a FIN behind bytes that the backend does not read yet waits for them", async () => {
    const upload = payload(6, 20_000_000);
    await using backend = await listen(undefined, { paused: true, receiveBufferBytes: 65_536 });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    void client.send(upload);
    void client.finish();
    await settled(() => client.sent, "the client to be stopped");
    const session = proxy.sessions[0]!;
    await stalled(() => session.forwarder?.toBackend);
    // The FIN waits in the kernel of the proxy, or is known already; it is not passed on.
    expect(session.forwarder!.toBackend.state).not.toBe("ended");
    peer.resumeReading();
    await peer.receivedPayload(upload);
    await peer.finished();
    await peer.finish();
    await client.finished();
    const { toBackend } = session.forwarder!;
    if (toBackend instanceof CopyHalf) expect(toBackend.resumes).toBe(toBackend.pauses);
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 20_000_000,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("a FIN that comes while its sender is stopped is passed on after all its bytes, and answered", async () => {
    await using backend = await listen(undefined, { paused: true, receiveBufferBytes: 65_536 });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    // Fills the proxy until it stops the client, and no further: the kernels can still pass on all the rest and the FIN.
    let sentBytes = 0;
    const session = proxy.sessions[0]!;
    const endless = payload(7, 2 ** 31);
    const isStalled = stallWatch(() => session.forwarder?.toBackend);
    while (!isStalled()) {
      await client.send(endless.slice(sentBytes, 65_536));
      sentBytes += 65_536;
      await until(() => isStalled() || session.bytesToBackend === sentBytes, "the bytes to be read");
    }
    await client.finish();
    await settled(() => session.bytesToBackend, "the session to stand still", { quietMs: 50 });
    expect(session.phase).toBe("forwarding");
    // Bun does not tell of it before the source is resumed (1.4.5); epoll tells of it at once.
    expect(session.forwarder!.toBackend.state).toBe(session.forwarder!.engine === "copy" ? "open" : "ending");
    peer.resumeReading();
    await peer.receivedPayload(payload(7, sentBytes));
    await peer.finished();
    await peer.send("done");
    await peer.finish();
    await client.finished();
    expect(client.text()).toBe("done");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: sentBytes,
      bytes_to_client: 4,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("a backend that answers and finishes while the client's bytes are stuck gets them all the same", async () => {
    const upload = payload(8, tooMuchBytes);
    await using backend = await listen(undefined, { paused: true, receiveBufferBytes: 65_536 });
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    void client.send(upload);
    void client.finish();
    // Its FIN is not sent before the backend's.
    expect(await settled(() => client.sent, "the client to be stopped")).toBeLessThan(tooMuchBytes);
    await peer.send("413");
    await peer.finish();
    await client.finished();
    expect(client.text()).toBe("413");
    peer.resumeReading();
    await peer.receivedPayload(upload);
    await peer.finished();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: tooMuchBytes,
      bytes_to_client: 3,
      engine: engineAfterMove[engine],
      end: "backend_finished",
    });
  });
});

/** Resolves when the halves `toBackend` and `toClient` are in these states. */
async function halves(session: Session, states: readonly [toBackend: HalfState, toClient: HalfState]): Promise<void> {
  const seen = (): string => `${session.forwarder!.toBackend.state}, ${session.forwarder!.toClient.state}`;
  // What the Worker of the splice engine has done, the main thread hears of a moment later than the peers.
  await until(
    () => seen() === states.join(", "),
    () => `the halves to be ${states.join(", ")}: they are ${seen()}`,
  );
}
