/** Bytes through the proxy: whole, in order, both ways, however they come. */
import { expect, test } from "bun:test";
import { CopyHalf } from "../../src/forward/copy/copy-half.ts";
import { openingBytesMax } from "../../src/session/opening.ts";
import { echo, listen } from "../support/backend.ts";
import { engineAfterMove, engineBeforeMove, onEveryEngine } from "../support/engines.ts";
import { HeldDialer } from "../support/held-dialer.ts";
import { payload } from "../support/payload.ts";
import { connect } from "../support/peer.ts";
import { startProxy } from "../support/proxy.ts";
import { chunkBytesMax, heldBytesMax, stalled } from "../support/stalled.ts";
import { settled, until } from "../support/until.ts";

onEveryEngine((engine) => {
  test("what the client sends comes back from an echoing backend, and the record tells all of it", async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const address = `127.0.0.1:${client.localPort}`;
    await client.send("hello");
    await client.finish();
    await client.finished();
    expect(client.text()).toBe("hello");
    const record = await proxy.recorded();
    expect(record).toEqual({
      id: 1,
      listener: "web",
      client: address,
      backend: "app",
      endpoint: backend.address,
      route: null,
      sni: null,
      bytes_to_backend: 5,
      bytes_to_client: 5,
      connect_ms: expect.any(Number),
      first_byte_ms: expect.any(Number),
      duration_ms: expect.any(Number),
      attempts: 1,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
    expect(record.connect_ms!).toBeLessThanOrEqual(record.first_byte_ms!);
    expect(record.first_byte_ms!).toBeLessThanOrEqual(record.duration_ms);
  });

  test("a message in two parts, the second after the first was answered, arrives in two parts", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await client.send("first part, ");
    await peer.receivedBytes(12);
    expect(peer.text()).toBe("first part, ");
    await peer.send("go on");
    await client.receivedBytes(5);
    await client.send("second part");
    await peer.receivedBytes(23);
    expect(peer.text()).toBe("first part, second part");
    expect(client.text()).toBe("go on");
    await client.finish();
    await peer.finished();
    await peer.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 23,
      bytes_to_client: 5,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("10,000 writes of one byte arrive as the same 10,000 bytes, and so do their echoes", async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const message = payload(1, 10_000);
    const bytes = message.bytes();
    for (let offset = 0; offset < bytes.length; offset++) void client.send(bytes.subarray(offset, offset + 1));
    await client.finish();
    await client.receivedPayload(message);
    await client.finished();
    expect(backend.connections[0]!.sha256()).toBe(message.sha256());
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 10_000,
      bytes_to_client: 10_000,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("50 MB each way at once arrive whole, every byte at its place", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    const upload = payload(2, 50_000_000);
    const download = payload(3, 50_000_000);
    const uploaded = peer.receivedPayload(upload);
    const downloaded = client.receivedPayload(download);
    void client.send(upload);
    void peer.send(download);
    void client.finish();
    await uploaded;
    await peer.finished();
    void peer.finish();
    await downloaded;
    await client.finished();
    expect(peer.sha256()).toBe(upload.sha256());
    expect(client.sha256()).toBe(download.sha256());
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 50_000_000,
      bytes_to_client: 50_000_000,
      attempts: 1,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("a backend that speaks first is heard by a client that waits for it", async () => {
    await using backend = await listen((peer) => peer.send("220 ready\r\n"));
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    await client.receivedBytes(11);
    expect(client.text()).toBe("220 ready\r\n");
    const peer = await backend.accepted();
    await client.send("QUIT\r\n");
    await client.finish();
    await peer.finished();
    expect(peer.text()).toBe("QUIT\r\n");
    await peer.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 6,
      bytes_to_client: 11,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("a client that connects and finishes without a word is forwarded as just that", async () => {
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine });
    await using client = await connect(proxy.port);
    await client.finish();
    const peer = await backend.accepted();
    await peer.finished();
    expect(peer.received).toBe(0);
    await peer.finish();
    await client.finished();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 0,
      bytes_to_client: 0,
      first_byte_ms: null,
      // Nothing came that `auto` could have moved for.
      engine: engineBeforeMove[engine],
      end: "client_finished",
    });
  });

  test("what the client sends before the dial is done arrives in order, before what it sends after", async () => {
    const dialer = new HeldDialer();
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine, dialer });
    await using client = await connect(proxy.port);
    await dialer.holds(1);
    // Three reads of the proxy, for sure: each is waited for.
    for (const [part, heldBytes] of [
      ["one ", 4],
      ["two ", 8],
      ["three ", 14],
    ] as const) {
      await client.send(part);
      await until(() => proxy.sessions[0]!.heldBytes === heldBytes, "the early bytes to be read");
    }
    dialer.release();
    await client.receivedBytes(14);
    await client.send("four");
    await client.finish();
    await client.finished();
    expect(backend.connections[0]!.text()).toBe("one two three four");
    expect(client.text()).toBe("one two three four");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 18,
      bytes_to_client: 18,
      attempts: 1,
      engine: engineAfterMove[engine],
    });
  });

  test("a client that sends and finishes before the dial is done gets its answer", async () => {
    const dialer = new HeldDialer();
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine, dialer });
    await using client = await connect(proxy.port);
    await dialer.holds(1);
    await client.send("request");
    await client.finish();
    expect(await settled(() => proxy.sessions[0]!.heldBytes, "the early bytes to be read", { quietMs: 30 })).toBe(7);
    expect(backend.connections.length).toBe(0);
    dialer.release();
    await client.finished();
    expect(client.text()).toBe("request");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 7,
      bytes_to_client: 7,
      attempts: 1,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("a client that finishes without a byte before the dial is done is told to the backend", async () => {
    const dialer = new HeldDialer();
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine, dialer });
    await using client = await connect(proxy.port);
    await client.finish();
    await dialer.holds(1);
    dialer.release();
    const peer = await backend.accepted();
    await peer.finished();
    await peer.send("bye");
    await client.receivedBytes(3);
    await peer.finish();
    await client.finished();
    expect(client.text()).toBe("bye");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 0,
      bytes_to_client: 3,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("early data beyond its bound stops the client instead of growing, and all of it arrives once dialled", async () => {
    const dialer = new HeldDialer();
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { engine, dialer });
    await using client = await connect(proxy.port);
    // More than the buffers of both kernels take.
    const early = payload(4, 20_000_000);
    const sent = client.send(early);
    void client.finish();
    const stalledAt = await settled(() => client.sent, "the client to be stopped");
    expect(stalledAt).toBeLessThan(20_000_000);
    const session = proxy.sessions[0]!;
    expect(session.phase).toBe("dialing");
    expect(session.heldBytes).toBeGreaterThanOrEqual(openingBytesMax);
    expect(session.heldBytes).toBeLessThan(openingBytesMax + chunkBytesMax);

    dialer.release();
    const peer = await backend.accepted();
    await peer.receivedPayload(early);
    await sent;
    await peer.finished();
    const { toBackend } = session.forwarder!;
    if (toBackend instanceof CopyHalf) {
      expect(toBackend.pauses).toBeGreaterThanOrEqual(1);
      expect(toBackend.resumes).toBe(toBackend.pauses);
    }
    await peer.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 20_000_000,
      bytes_to_client: 0,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("early data that the backend takes only in part is kept, the rest follows in order", async () => {
    const dialer = new HeldDialer();
    await using backend = await listen(undefined, { paused: true, receiveBufferBytes: 65_536 });
    await using proxy = startProxy(backend.port, { engine, dialer });
    await using client = await connect(proxy.port);
    await dialer.holds(1);
    const early = payload(5, 20_000_000);
    void client.send(early);
    void client.finish();
    await settled(() => client.sent, "the client to be stopped");
    dialer.release();
    const peer = await backend.accepted();
    await settled(() => client.sent, "the client to be stopped again");
    const session = proxy.sessions[0]!;
    await stalled(() => session.forwarder?.toBackend);
    expect(session.heldBytes).toBeLessThanOrEqual(heldBytesMax[session.forwarder!.engine]);
    peer.resumeReading();
    await peer.receivedPayload(early);
    await peer.finished();
    await peer.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 20_000_000,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test.each([
    ["small", 1_000],
    ["large", 3_000_000],
  ])(
    "urgent data in %s messages is left out, as a read leaves it out; all around it arrives, and the FIN",
    async (_, bytes) => {
      const [before, behind] = [payload(6, bytes), payload(7, bytes)];
      await using backend = await listen();
      await using proxy = startProxy(backend.port, { engine });
      await using client = await connect(proxy.port);
      const peer = await backend.accepted();
      await proxy.forwarding();
      await client.send(before);
      client.sendUrgent();
      await client.send(behind);
      await peer.receivedBytes(2 * bytes);
      // Once more, with the FIN behind it.
      await client.send(before);
      client.sendUrgent();
      void client.send(behind);
      void client.finish();
      await peer.finished();
      expect(peer.received).toBe(4 * bytes);
      const expected = new Bun.CryptoHasher("sha256");
      for (const part of [before, behind, before, behind]) expected.update(part.bytes());
      expect(peer.sha256()).toBe(expected.digest("hex"));
      await peer.finish();
      expect(await proxy.recorded()).toMatchObject({
        bytes_to_backend: 4 * bytes,
        engine: engineAfterMove[engine],
        end: "client_finished",
      });
    },
  );

  test("IPv6 endpoints are dialled, and an IPv6 client is named with brackets", async () => {
    await using backend = await listen(echo, { host: "::1" });
    await using proxy = startProxy(backend.port, { engine, host: "::1" });
    await using client = await connect({ host: "::1", port: proxy.port });
    const address = `[::1]:${client.localPort}`;
    await client.send("over IPv6");
    await client.finish();
    await client.finished();
    expect(client.text()).toBe("over IPv6");
    expect(await proxy.recorded()).toMatchObject({
      client: address,
      endpoint: `[::1]:${backend.port}`,
      bytes_to_backend: 9,
      bytes_to_client: 9,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });

  test("without TCP_NODELAY the same bytes arrive", async () => {
    await using backend = await listen(echo);
    await using proxy = startProxy(backend.port, { engine, settings: { noDelay: false } });
    await using client = await connect(proxy.port);
    await client.send("unhurried");
    await client.finish();
    await client.finished();
    expect(client.text()).toBe("unhurried");
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 9,
      bytes_to_client: 9,
      engine: engineAfterMove[engine],
      end: "client_finished",
    });
  });
});
