/** Finishing: each direction ends by itself, after all its bytes, and the other goes on. */
import { expect, test } from "bun:test";
import { listen } from "../support/backend.ts";
import { payload } from "../support/payload.ts";
import { connect } from "../support/peer.ts";
import { startProxy } from "../support/proxy.ts";
import { settled, until } from "../support/until.ts";

test("an answer of 200 kB and then a close: all of it arrives, then the FIN", async () => {
  const answer = payload(1, 200_000);
  await using backend = await listen(async (peer) => {
    await peer.read(4);
    await peer.send(answer);
    peer.close();
  });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  await client.send("GET\n");
  await client.receivedPayload(answer);
  await client.finished();
  await client.finish();
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 4,
    bytes_to_client: 200_000,
    attempts: 1,
    engine: "copy",
    end: "backend_finished",
  });
});

test("an answer of 200 kB and then a close arrives whole at a client that reads late", async () => {
  const answer = payload(2, 200_000);
  await using backend = await listen(async (peer) => {
    await peer.send(answer);
    peer.close();
  });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port, { paused: true });
  await settled(() => proxy.sessions[0]?.bytesToClient, "the answer to be stuck", { quietMs: 50 });
  client.resumeReading();
  await client.receivedPayload(answer);
  await client.finished();
  await client.finish();
  expect(await proxy.recorded()).toMatchObject({ bytes_to_client: 200_000, end: "backend_finished" });
});

test("a client that finishes first still gets its answer", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("question");
  await client.finish();
  await peer.finished();
  expect(peer.text()).toBe("question");
  const session = proxy.sessions[0]!;
  expect(session.phase).toBe("forwarding");
  const { toBackend, toClient } = session.forwarder!;
  expect([toBackend.state, toClient.state]).toEqual(["ended", "open"]);
  expect(session.halfClosedSinceMs).toBeNumber();
  expect(client.ending).toBeUndefined();

  await peer.send("answer");
  await client.receivedBytes(6);
  expect(client.text()).toBe("answer");
  expect(client.ending).toBeUndefined();
  await peer.finish();
  await client.finished();
  await peer.gone();
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 8, bytes_to_client: 6, end: "client_finished" });
});

test("timeouts shorter than the whole answer do not cut one that keeps coming after the client's FIN", async () => {
  const timeouts = { halfClosedMs: 250, idleMs: 250 };
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { timeouts });
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
  expect(record).toMatchObject({ bytes_to_backend: 1, bytes_to_client: 25, end: "client_finished" });
  expect(record.duration_ms).toBeGreaterThan(500);
});

test("a backend that finishes first still gets the whole upload of the client", async () => {
  const upload = payload(3, 20_000_000);
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
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
    end: "backend_finished",
  });
});

test("a backend that finishes before the client has sent a byte gets what the client sends later", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await peer.finish();
  await client.finished();
  await client.send("late");
  await peer.receivedBytes(4);
  const { toBackend, toClient } = proxy.sessions[0]!.forwarder!;
  expect([toBackend.state, toClient.state]).toEqual(["open", "ended"]);
  await client.finish();
  await peer.finished();
  expect(peer.text()).toBe("late");
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 4, bytes_to_client: 0, end: "backend_finished" });
});

test("both finish at once: the client's FIN came first, so its word it is", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("ping");
  await peer.receivedBytes(4);
  // One turn of the event loop brings the proxy both.
  void client.finish();
  void peer.finish();
  await client.finished();
  await peer.finished();
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 4, bytes_to_client: 0, end: "client_finished" });
});

test("both finish at once: the backend's FIN came first, so its word it is", async () => {
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await client.send("ping");
  await peer.receivedBytes(4);
  void peer.finish();
  void client.finish();
  await client.finished();
  await peer.finished();
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 4, bytes_to_client: 0, end: "backend_finished" });
});

test("both finish with their last words in flight: the words of both arrive", async () => {
  const [upload, download] = [payload(4, 300_000), payload(5, 300_000)];
  await using backend = await listen();
  await using proxy = startProxy(backend.port);
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
  expect(record).toMatchObject({ bytes_to_backend: 300_000, bytes_to_client: 300_000 });
  expect(["client_finished", "backend_finished"]).toContain(record.end);
});

test("a FIN behind bytes that the backend does not read yet waits for them", async () => {
  const upload = payload(6, 20_000_000);
  await using backend = await listen(undefined, { paused: true, receiveBufferBytes: 65_536 });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  void client.send(upload);
  void client.finish();
  await settled(() => client.sent, "the client to be stopped");
  const { toBackend } = proxy.sessions[0]!.forwarder!;
  expect(toBackend.paused).toBe(true);
  peer.resumeReading();
  await peer.receivedPayload(upload);
  await peer.finished();
  await peer.finish();
  await client.finished();
  expect(toBackend.resumes).toBe(toBackend.pauses);
  expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: 20_000_000, end: "client_finished" });
});

test("a FIN that comes while its sender is paused is passed on after all its bytes, and answered", async () => {
  await using backend = await listen(undefined, { paused: true, receiveBufferBytes: 65_536 });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  // Fills the proxy until it stops the client, and no further: the kernels can still pass on all the rest and the FIN.
  let sentBytes = 0;
  const session = proxy.sessions[0]!;
  const endless = payload(7, 2 ** 31);
  while (session.forwarder?.toBackend.paused !== true) {
    await client.send(endless.slice(sentBytes, 65_536));
    sentBytes += 65_536;
    await until(() => session.heldBytes > 0 || session.bytesToBackend === sentBytes, "the bytes to be read");
  }
  await client.finish();
  await settled(() => session.bytesToBackend, "the session to stand still", { quietMs: 50 });
  expect(session.phase).toBe("forwarding");
  expect(session.forwarder!.toBackend.state).toBe("open");
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
    end: "client_finished",
  });
});

test("a backend that answers and finishes while the client's bytes are stuck gets them all the same", async () => {
  const upload = payload(8, 20_000_000);
  await using backend = await listen(undefined, { paused: true, receiveBufferBytes: 65_536 });
  await using proxy = startProxy(backend.port);
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  void client.send(upload);
  void client.finish();
  await settled(() => client.sent, "the client to be stopped");
  await peer.send("413");
  await peer.finish();
  await client.finished();
  expect(client.text()).toBe("413");
  peer.resumeReading();
  await peer.receivedPayload(upload);
  await peer.finished();
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 20_000_000,
    bytes_to_client: 3,
    end: "backend_finished",
  });
});
