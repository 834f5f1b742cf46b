/** Unix sockets: bytes, and how their connections end, which is not quite as with TCP. */
import { describe, expect, test } from "bun:test";
import type { Half } from "../../src/forward/forwarder.ts";
import { echo } from "../support/backend.ts";
import { engineAfterMove, onEveryEngine, settleOnEngine } from "../support/engines.ts";
import { HeldDialer } from "../support/held-dialer.ts";
import { payload } from "../support/payload.ts";
import { connect } from "../support/peer.ts";
import { expectFlowing, expectStalled, stalled } from "../support/stalled.ts";
import { allSides, Scene, type Sides } from "../support/unix-scene.ts";
import { settled, until } from "../support/until.ts";

/** More than all buffers between two peers hold. */
const tooMuchBytes = 40_000_000;

/** How a record names a client. */
function clientName({ client }: Sides): unknown {
  return client === "unix" ? "unix:" : expect.stringMatching(/^127\.0\.0\.1:\d+$/);
}

onEveryEngine((engine) => {
  const moved = engineAfterMove[engine];

  describe.each([...allSides])("$client client, $backend endpoint:", (sides) => {
    test("what the client sends comes back, and the record names both ends", async () => {
      await using scene = new Scene(sides, { engine }, echo);
      const { proxy, backend, target } = scene;
      await using client = await connect(target);
      await client.send("hello");
      await client.finish();
      await client.finished();
      expect(client.text()).toBe("hello");
      expect(await proxy.recorded()).toMatchObject({
        client: clientName(sides),
        backend: "app",
        endpoint: backend.address,
        bytes_to_backend: 5,
        bytes_to_client: 5,
        attempts: 1,
        engine: moved,
        end: "client_finished",
      });
    });

    test("6 MB each way at once arrive whole, and either side may go on when the other has finished", async () => {
      const upload = payload(1, 6_000_000);
      const download = payload(2, 6_000_000);
      for (const first of ["client", "backend"] as const) {
        await using scene = new Scene(sides, { engine });
        const { proxy, backend, target } = scene;
        await using client = await connect(target);
        const peer = await backend.accepted();
        await settleOnEngine(proxy, client, peer);
        const uploaded = peer.receivedPayload(upload, { from: 8 });
        const downloaded = client.receivedPayload(download);
        const [one, other] = first === "client" ? [client, peer] : [peer, client];
        const [ofOne, ofOther] = first === "client" ? [upload, download] : [download, upload];
        void one.send(ofOne);
        void one.finish();
        await other.send(ofOther.slice(0, 4_000_000));
        await other.finished();
        await other.send(ofOther.slice(4_000_000, 2_000_000));
        await uploaded;
        await downloaded;
        await other.finish();
        await one.finished();
        expect(await proxy.recorded()).toMatchObject({
          bytes_to_backend: 6_000_008,
          bytes_to_client: 6_000_000,
          engine: moved,
          end: `${first}_finished`,
        });
      }
    });

    test("a side that does not read stops the other, within bounds, and gets everything once it does", async () => {
      for (const reader of ["client", "backend"] as const) {
        const flood = payload(3, tooMuchBytes);
        await using scene = new Scene(sides, { engine });
        const { proxy, backend, target } = scene;
        await using client = await connect(target);
        const peer = await backend.accepted();
        await settleOnEngine(proxy, client, peer);
        const [from, to] = reader === "client" ? [peer, client] : [client, peer];
        const half = (): Half => proxy.sessions[0]!.forwarder![reader === "client" ? "toClient" : "toBackend"];
        to.pauseReading();
        const sent = from.send(flood);
        await stalled(half);
        await settled(() => from.sent, "the sender to be stopped", { quietMs: 50 });
        expectStalled(half());
        expect(from.sent).toBeLessThan(flood.length);
        const arrived = to.receivedPayload(flood, { from: reader === "client" ? 0 : 8 });
        to.resumeReading();
        await sent;
        await arrived;
        await expectFlowing(half);
        await from.finish();
        await to.finished();
        await to.finish();
        await from.finished();
        expect((await proxy.recorded()).engine).toBe(moved);
      }
    });
  });

  describe.each(allSides.filter(({ backend }) => backend === "unix"))(
    "a $backend endpoint that closes, $client client:",
    (sides) => {
      test("its answer of 200 kB arrives whole, and the FIN behind it", async () => {
        const answer = payload(4, 200_000);
        await using scene = new Scene(sides, { engine }, async (peer) => {
          await peer.read(4);
          await peer.send(answer);
          peer.close();
        });
        await using client = await connect(scene.target);
        await client.send("GET\n");
        await client.receivedPayload(answer);
        await client.finished();
        // There is no hurry: the connection is half-closed, not gone.
        expect(scene.proxy.active.count).toBe(1);
        await client.finish();
        expect(await scene.proxy.recorded()).toMatchObject({
          bytes_to_backend: 4,
          bytes_to_client: 200_000,
          engine: moved,
          end: "backend_finished",
        });
      });

      test("its answer arrives whole at a client that has finished before", async () => {
        await using scene = new Scene(sides, { engine }, async (peer) => {
          await peer.finished();
          await peer.send("answer");
          peer.close();
        });
        await using client = await connect(scene.target);
        await client.send("GET\n");
        await client.finish();
        await client.finished();
        expect(client.text()).toBe("answer");
        const end = "client_finished";
        expect(await scene.proxy.recorded()).toMatchObject({
          bytes_to_backend: 4,
          bytes_to_client: 6,
          engine: moved,
          end,
        });
      });

      test("its answer of 8 MB arrives whole at a client that reads late", async () => {
        const answer = payload(5, 8_000_000);
        await using scene = new Scene(sides, { engine }, async (peer) => {
          await peer.send(answer, Infinity);
          peer.close();
        });
        await using client = await connect(scene.target, { paused: true });
        await settled(() => scene.proxy.sessions[0]?.bytesToClient, "the answer to be stuck", { quietMs: 50 });
        client.resumeReading();
        await client.receivedPayload(answer);
        await client.finished();
        await client.finish();
        const end = "backend_finished";
        expect(await scene.proxy.recorded()).toMatchObject({ bytes_to_client: 8_000_000, engine: moved, end });
      });

      test("what the client sends afterwards has nowhere to go: it is a reset of the backend", async () => {
        await using scene = new Scene(sides, { engine });
        await using client = await connect(scene.target);
        const peer = await scene.backend.accepted();
        await settleOnEngine(scene.proxy, client, peer);
        await peer.send("bye");
        peer.close();
        await client.finished();
        expect(client.text()).toBe("bye");
        await client.send("are you still there?");
        expect(await scene.proxy.recorded()).toMatchObject({
          bytes_to_backend: 8,
          bytes_to_client: 3,
          engine: moved,
          end: "backend_reset",
        });
        // A client of TCP sees the reset; one of a Unix socket has seen all there is to see.
        if (sides.client === "tcp") expect(await client.wasReset()).toBeOneOf(["ECONNRESET", "EPIPE"]);
        else await client.gone();
      });
    },
  );

  describe.each(allSides.filter(({ client }) => client === "unix"))(
    "a $client client that sends and closes, $backend endpoint:",
    (sides) => {
      test("all of it arrives, and the FIN behind it", async () => {
        const upload = payload(6, 200_000);
        await using scene = new Scene(sides, { engine });
        await using client = await connect(scene.target);
        const peer = await scene.backend.accepted();
        await settleOnEngine(scene.proxy, client, peer);
        await client.send(upload);
        client.close();
        await peer.receivedPayload(upload, { from: 8 });
        await peer.finished();
        await peer.finish();
        expect(await scene.proxy.recorded()).toMatchObject({
          client: "unix:",
          bytes_to_backend: 200_008,
          bytes_to_client: 0,
          engine: moved,
          end: "client_finished",
        });
      });

      test("all of it arrives at a backend that reads late", async () => {
        const upload = payload(7, 16_000_000);
        await using scene = new Scene(sides, { engine });
        await using client = await connect(scene.target);
        const peer = await scene.backend.accepted();
        await settleOnEngine(scene.proxy, client, peer);
        peer.pauseReading();
        const sent = client.send(upload).then(() => client.close());
        await stalled(() => scene.proxy.sessions[0]!.forwarder!.toBackend);
        const arrived = peer.receivedPayload(upload, { from: 8 });
        peer.resumeReading();
        await sent;
        await arrived;
        await peer.finished();
        await peer.finish();
        const end = "client_finished";
        expect(await scene.proxy.recorded()).toMatchObject({ bytes_to_backend: 16_000_008, engine: moved, end });
      });

      test("all that the kernel took of it arrives though it closes while nobody reads", async () => {
        await using scene = new Scene(sides, { engine });
        await using client = await connect(scene.target);
        const peer = await scene.backend.accepted();
        await settleOnEngine(scene.proxy, client, peer);
        peer.pauseReading();
        void client.send(payload(10, tooMuchBytes));
        await stalled(() => scene.proxy.sessions[0]!.forwarder!.toBackend);
        const sentBytes = await settled(() => client.sent, "the client to be stopped", { quietMs: 50 });
        client.close();
        const arrived = peer.receivedPayload(payload(10, sentBytes - 8), { from: 8 });
        peer.resumeReading();
        await arrived;
        await peer.finished();
        await peer.finish();
        const end = "client_finished";
        expect(await scene.proxy.recorded()).toMatchObject({ bytes_to_backend: sentBytes, engine: moved, end });
      });

      test("what the backend answers has nowhere to go: it is a reset of the client", async () => {
        await using scene = new Scene(sides, { engine });
        await using client = await connect(scene.target);
        const peer = await scene.backend.accepted();
        await settleOnEngine(scene.proxy, client, peer);
        client.close();
        await peer.finished();
        expect(scene.proxy.active.count).toBe(1);
        await peer.send("are you still there?");
        expect(await scene.proxy.recorded()).toMatchObject({
          bytes_to_backend: 8,
          bytes_to_client: 0,
          engine: moved,
          end: "client_reset",
        });
        if (sides.backend === "tcp") expect(await peer.wasReset()).toBeOneOf(["ECONNRESET", "EPIPE"]);
        else await peer.gone();
      });

      test("all of it arrives though it was gone before the backend was dialled", async () => {
        const dialer = new HeldDialer();
        await using scene = new Scene(sides, { engine, dialer });
        await using client = await connect(scene.target);
        await dialer.holds(1);
        await client.send("last will");
        client.close();
        const { opening } = scene.proxy.sessions[0]!;
        await until(() => opening!.clientFinished, "the client to be gone");
        // And the event that tells so, which comes in the same turn.
        await settled(() => scene.proxy.records.length, "nothing to happen", { quietMs: 30 });
        expect(scene.proxy.sessions[0]!.phase).toBe("dialing");
        dialer.release();
        const peer = await scene.backend.accepted();
        await peer.finished();
        expect(peer.text()).toBe("last will");
        await peer.finish();
        expect(await scene.proxy.recorded()).toMatchObject({
          client: "unix:",
          bytes_to_backend: 9,
          bytes_to_client: 0,
          attempts: 1,
          // There is nobody to move.
          engine: "copy",
          end: "client_finished",
        });
      });

      test("more than the opening's bound arrives though the client was gone before the backend was dialled", async () => {
        const upload = payload(8, 150_000);
        const dialer = new HeldDialer();
        await using scene = new Scene(sides, { engine, dialer });
        await using client = await connect(scene.target);
        await dialer.holds(1);
        await client.send(upload);
        client.close();
        await until(() => scene.proxy.sessions[0]!.opening?.paused === true, "the client to be paused");
        dialer.release();
        const peer = await scene.backend.accepted();
        await peer.receivedPayload(upload);
        await peer.finished();
        await peer.finish();
        expect(await scene.proxy.recorded()).toMatchObject({ bytes_to_backend: 150_000, end: "client_finished" });
      });

      test("a client that is gone before the backend was dialled cannot be answered", async () => {
        const dialer = new HeldDialer();
        await using scene = new Scene(sides, { engine, dialer });
        await using client = await connect(scene.target);
        await dialer.holds(1);
        await client.send("question");
        client.close();
        await until(() => scene.proxy.sessions[0]!.opening!.clientFinished, "the client to be gone");
        dialer.release();
        const peer = await scene.backend.accepted();
        await peer.finished();
        await peer.send("answer");
        expect(await scene.proxy.recorded()).toMatchObject({
          bytes_to_backend: 8,
          bytes_to_client: 0,
          end: "client_reset",
        });
      });
    },
  );

  test("a client of a Unix socket that leaves bytes unread is a reset client, and a TCP backend is reset", async () => {
    await using scene = new Scene({ client: "unix", backend: "tcp" }, { engine });
    await using client = await connect(scene.target, { paused: true });
    const peer = await scene.backend.accepted();
    await settleOnEngine(scene.proxy, client, peer);
    await peer.send("unread");
    await until(() => scene.proxy.sessions[0]!.bytesToClient === 6, "the bytes to be passed on");
    await client.send("last words");
    await peer.receivedBytes(18);
    client.reset();
    expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(peer.text()).toBe("pingpinglast words");
    expect(await scene.proxy.recorded()).toMatchObject({
      bytes_to_backend: 18,
      bytes_to_client: 6,
      engine: moved,
      end: "client_reset",
    });
  });

  test("an endpoint on a Unix socket that leaves bytes unread is a reset backend, and a TCP client is reset behind its last words", async () => {
    await using scene = new Scene({ client: "tcp", backend: "unix" }, { engine });
    await using client = await connect(scene.target);
    const peer = await scene.backend.accepted();
    await settleOnEngine(scene.proxy, client, peer);
    peer.pauseReading();
    await client.send("unread");
    await until(() => scene.proxy.sessions[0]!.bytesToBackend === 14, "the bytes to be passed on");
    await peer.send("last words");
    peer.reset();
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(client.text()).toBe("last words");
    expect(await scene.proxy.recorded()).toMatchObject({
      bytes_to_backend: 14,
      bytes_to_client: 10,
      engine: moved,
      end: "backend_reset",
    });
  });

  test("a reset of a TCP client is the end of the bytes for an endpoint on a Unix socket, which can't be reset", async () => {
    await using scene = new Scene({ client: "tcp", backend: "unix" }, { engine });
    await using client = await connect(scene.target);
    const peer = await scene.backend.accepted();
    await settleOnEngine(scene.proxy, client, peer);
    await client.send("last words");
    client.reset();
    await peer.gone();
    expect(peer.text()).toBe("pingpinglast words");
    expect(peer.ending).toEqual({ how: "finished" });
    const end = "client_reset";
    expect(await scene.proxy.recorded()).toMatchObject({ bytes_to_backend: 18, engine: moved, end });
  });

  test("a reset of a TCP backend is the end of the bytes for a client of a Unix socket, after all that came before", async () => {
    const answer = payload(9, 2_000_000);
    await using scene = new Scene({ client: "unix", backend: "tcp" }, { engine });
    await using client = await connect(scene.target);
    const peer = await scene.backend.accepted();
    await settleOnEngine(scene.proxy, client, peer);
    client.pauseReading();
    void peer.send(answer);
    await stalled(() => scene.proxy.sessions[0]!.forwarder!.toClient);
    client.resumeReading();
    await client.receivedPayload(answer);
    peer.reset();
    await client.gone();
    expect(client.ending).toEqual({ how: "finished" });
    const end = "backend_reset";
    expect(await scene.proxy.recorded()).toMatchObject({ bytes_to_client: 2_000_000, engine: moved, end });
  });

  test("what a TCP client sent before it reset is kept for an endpoint on a Unix socket until it reads", async () => {
    await using scene = new Scene({ client: "tcp", backend: "unix" }, { engine });
    await using client = await connect(scene.target);
    const peer = await scene.backend.accepted();
    await settleOnEngine(scene.proxy, client, peer);
    peer.pauseReading();
    await client.send("last words");
    await until(() => scene.proxy.sessions[0]!.bytesToBackend === 18, "the bytes to be passed on");
    client.reset();
    await until(() => scene.proxy.sessions[0]?.phase === "closing", "the reset to be seen");
    peer.resumeReading();
    await peer.gone();
    expect(peer.text()).toBe("pingpinglast words");
    expect(await scene.proxy.recorded()).toMatchObject({ bytes_to_backend: 18, engine: moved, end: "client_reset" });
  });

  test("what is kept for an endpoint on a Unix socket that never reads is given up after timeouts.half_closed", async () => {
    await using scene = new Scene({ client: "tcp", backend: "unix" }, { engine, timeouts: { halfClosedMs: 200 } });
    await using client = await connect(scene.target);
    const peer = await scene.backend.accepted();
    await settleOnEngine(scene.proxy, client, peer);
    peer.pauseReading();
    await client.send("last words");
    await until(() => scene.proxy.sessions[0]!.bytesToBackend === 18, "the bytes to be passed on");
    client.reset();
    const record = await scene.proxy.recorded();
    expect(record).toMatchObject({ bytes_to_backend: 18, engine: moved, end: "client_reset" });
    expect(record.duration_ms).toBeGreaterThanOrEqual(200);
    // Closing throws nothing away there.
    peer.resumeReading();
    await peer.gone();
    expect(peer.text()).toBe("pingpinglast words");
  });

  test.each([...allSides])("a timeout closes both: $client client, $backend endpoint", async (sides) => {
    await using scene = new Scene(sides, { engine, timeouts: { idleMs: 400 } });
    await using client = await connect(scene.target);
    const peer = await scene.backend.accepted();
    await settleOnEngine(scene.proxy, client, peer);
    const seen = { unix: { how: "finished" }, tcp: { how: "reset", code: "ECONNRESET" } } as const;
    expect(await client.closed()).toEqual(seen[sides.client]);
    expect(await peer.closed()).toEqual(seen[sides.backend]);
    const end = "idle_timeout";
    expect(await scene.proxy.recorded()).toMatchObject({ bytes_to_backend: 8, engine: moved, end });
  });

  test("a client that is gone and a backend that says nothing more end with half_closed_timeout", async () => {
    await using scene = new Scene({ client: "unix", backend: "unix" }, { engine, timeouts: { halfClosedMs: 200 } });
    await using client = await connect(scene.target);
    const peer = await scene.backend.accepted();
    await settleOnEngine(scene.proxy, client, peer);
    client.close();
    await peer.finished();
    const record = await scene.proxy.recorded();
    expect(record).toMatchObject({ bytes_to_backend: 8, engine: moved, end: "half_closed_timeout" });
    expect(record.duration_ms).toBeGreaterThanOrEqual(200);
    await peer.gone();
  });
});
