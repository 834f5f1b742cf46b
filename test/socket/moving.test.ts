/** Sessions that move from the copy engine to the splice engine with bytes, a FIN or a reset under way. */
import { beforeAll, describe, expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { autoMove, neverMove, type MoveRule } from "../../src/forward/move-rule.ts";
import { SpliceEngine } from "../../src/forward/splice/engine.ts";
import { listen } from "../support/backend.ts";
import { countDescriptors } from "../support/descriptors.ts";
import { spliceEngine } from "../support/engines.ts";
import { payload } from "../support/payload.ts";
import { connect, type Peer } from "../support/peer.ts";
import { startProxy } from "../support/proxy.ts";
import { expectStalled, stalled } from "../support/stalled.ts";
import { settled, until } from "../support/until.ts";
import { WatchedMover } from "../support/watched-mover.ts";

/** Moves a session with the first bytes that come after its opening. */
const firstBytes: MoveRule = { ...neverMove, bytes: 1 };

/** Rules that take a session over early, in the middle and late in a stream of 20 MB. */
const rules: readonly [name: string, rule: MoveRule][] = [
  ["its first bytes", firstBytes],
  ["100 kB", { ...neverMove, bytes: 100_000 }],
  ["a mebibyte in large reads", autoMove],
  ["10 MB", { ...neverMove, bytes: 10_000_000 }],
];

beforeAll(() => spliceEngine.start());

test.each(rules)(
  "a session that moves after %s: 20 MB of each side arrive whole, and are counted once",
  async (_, rule) => {
    const mover = new WatchedMover(spliceEngine, rule);
    const [upload, download] = [payload(1, 20_000_000), payload(2, 20_000_000)];
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    const arrived = [peer.receivedPayload(upload), client.receivedPayload(download)];
    void client.send(upload);
    void peer.send(download);
    void client.finish();
    void peer.finish();
    await Promise.all(arrived);
    await client.finished();
    await peer.finished();
    expect(peer.sha256()).toBe(upload.sha256());
    expect(client.sha256()).toBe(download.sha256());
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 20_000_000,
      bytes_to_client: 20_000_000,
      engine: "splice",
    });
    expect(mover.moves.length).toBe(1);
    const { bytesToBackend, bytesToClient, queuedBytes } = mover.moves[0]!;
    expect(queuedBytes).toBe(0);
    // In the middle: one direction has had what the rule asks for, and neither has had everything.
    expect(Math.max(bytesToBackend, bytesToClient)).toBeGreaterThanOrEqual(rule.bytes);
    expect(Math.max(bytesToBackend, bytesToClient)).toBeLessThan(20_000_000);
  },
);

test("a download moves after the client has finished: it arrives whole, and the FINs as they were sent", async () => {
  const mover = new WatchedMover(spliceEngine, { ...neverMove, bytes: 1_000_000 });
  const download = payload(3, 20_000_000);
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { mover });
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await proxy.forwarding();
  await client.send("GET\n");
  await client.finish();
  await peer.finished();
  const arrived = client.receivedPayload(download);
  await peer.send(download);
  await arrived;
  expect(client.ending).toBeUndefined();
  const { toBackend, toClient } = proxy.sessions[0]!.forwarder!;
  expect([toBackend.state, toClient.state]).toEqual(["ended", "open"]);
  await peer.finish();
  await client.finished();
  await peer.gone();
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 4,
    bytes_to_client: 20_000_000,
    engine: "splice",
    end: "client_finished",
  });
  expect(mover.moves).toMatchObject([{ bytesToBackend: 4, states: ["ended", "open"], queuedBytes: 0 }]);
});

test("an upload moves after the backend has finished: it arrives whole, and the FINs as they were sent", async () => {
  const mover = new WatchedMover(spliceEngine, { ...neverMove, bytes: 1_000_000 });
  const upload = payload(4, 20_000_000);
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { mover });
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await proxy.forwarding();
  await peer.send("220\n");
  await peer.finish();
  await client.finished();
  const arrived = peer.receivedPayload(upload);
  await client.send(upload);
  await arrived;
  expect(peer.ending).toBeUndefined();
  await client.finish();
  await peer.finished();
  await client.gone();
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 20_000_000,
    bytes_to_client: 4,
    engine: "splice",
    end: "backend_finished",
  });
  expect(mover.moves).toMatchObject([{ bytesToClient: 4, states: ["open", "ended"], queuedBytes: 0 }]);
});

test("a download moves after the client has finished, and then the backend resets: the client is reset", async () => {
  const mover = new WatchedMover(spliceEngine, firstBytes);
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { mover });
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await proxy.forwarding();
  await client.finish();
  await peer.finished();
  expect(mover.moves).toEqual([]);
  await peer.send("half an ");
  await client.receivedBytes(8);
  await peer.send("ans");
  peer.reset();
  expect(await client.wasReset()).toBe("ECONNRESET");
  expect(client.text()).toBe("half an ans");
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 0,
    bytes_to_client: 11,
    engine: "splice",
    end: "backend_reset",
  });
  expect(mover.moves.length).toBe(1);
});

describe.each(["client", "backend"] as const)("the %s", (side) => {
  /** How often a race is run. */
  const rounds = 40;
  /** More than waits for the end of a turn: it is passed on, and the session moved, before anybody looks at what follows. */
  const words = payload(15, 10_000);

  test("sends the bytes that move the session and finishes right behind them: bytes and FIN arrive", async () => {
    const mover = new WatchedMover(spliceEngine, firstBytes);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover });
    for (let round = 1; round <= rounds; round++) {
      await using client = await connect(proxy.port);
      const peer = await backend.accepted();
      await proxy.forwarding();
      const [from, to] = side === "client" ? [client, peer] : [peer, client];
      void from.send(words);
      void from.finish();
      await to.finished();
      expect(to.sha256()).toBe(words.sha256());
      await to.send("heard");
      await to.finish();
      await from.finished();
      expect(from.text()).toBe("heard");
      expect(await proxy.recorded(round)).toMatchObject({
        bytes_to_backend: side === "client" ? words.length : 5,
        bytes_to_client: side === "client" ? 5 : words.length,
        engine: "splice",
        end: `${side}_finished`,
      });
    }
    expect(mover.moves.length).toBe(rounds);
  });

  test("sends the bytes that move the session and resets right behind them: bytes and reset arrive", async () => {
    const mover = new WatchedMover(spliceEngine, firstBytes);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover });
    for (let round = 1; round <= rounds; round++) {
      await using client = await connect(proxy.port);
      const peer = await backend.accepted();
      await proxy.forwarding();
      const [from, to] = side === "client" ? [client, peer] : [peer, client];
      void from.send(words);
      from.reset();
      expect(await to.wasReset()).toBe("ECONNRESET");
      expect(to.sha256()).toBe(words.sha256());
      expect(await proxy.recorded(round)).toMatchObject({
        bytes_to_backend: side === "client" ? words.length : 0,
        bytes_to_client: side === "client" ? 0 : words.length,
        engine: "splice",
        end: `${side}_reset`,
      });
    }
    expect(mover.moves.length).toBe(rounds);
  });

  test("sends the bytes that move the session, finishes and resets behind them: bytes and reset arrive", async () => {
    const mover = new WatchedMover(spliceEngine, firstBytes);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover });
    for (let round = 1; round <= rounds; round++) {
      await using client = await connect(proxy.port);
      const peer = await backend.accepted();
      await proxy.forwarding();
      const [from, to] = side === "client" ? [client, peer] : [peer, client];
      void from.send(words);
      void from.finish();
      from.reset();
      await to.wasReset();
      expect(to.sha256()).toBe(words.sha256());
      expect(await proxy.recorded(round)).toMatchObject({
        bytes_to_backend: side === "client" ? words.length : 0,
        bytes_to_client: side === "client" ? 0 : words.length,
        engine: "splice",
        end: `${side}_reset`,
      });
    }
    expect(mover.moves.length).toBe(rounds);
  });
});

test("a peer that resets in the middle of a stream as it moves: what arrived of it is a whole beginning", async () => {
  const stream = payload(5, 4_000_000);
  const mover = new WatchedMover(spliceEngine, { ...neverMove, bytes: 100_000 });
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { mover });
  for (let round = 1; round <= 10; round++) {
    await using client = await connect(proxy.port, { receiveBufferBytes: 65_536 });
    const peer = await backend.accepted();
    await proxy.forwarding();
    void peer.send(stream);
    await until(() => mover.moves.length === round, "the session to move");
    peer.reset();
    await client.wasReset();
    expect(client.received).toBeGreaterThanOrEqual(100_000);
    expect(client.sha256()).toBe(payload(5, client.received).sha256());
    expect(await proxy.recorded(round)).toMatchObject({
      bytes_to_backend: 0,
      bytes_to_client: client.received,
      engine: "splice",
      end: "backend_reset",
    });
  }
});

test("a bulk flow whose reader stands still stays until nothing is queued, then it moves with its source stopped", async () => {
  const download = payload(6, 50_000_000);
  // The half looks at the rule with each read, so it can be changed on the way: the flow counts as bulk once it is stuck.
  const rule = { ...neverMove };
  const mover = new WatchedMover(spliceEngine, rule);
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { mover });
  await using client = await connect(proxy.port, { paused: true, receiveBufferBytes: 65_536 });
  const peer = await backend.accepted();
  await proxy.forwarding();
  const sent = peer.send(download);
  const session = proxy.sessions[0]!;
  await stalled(() => session.forwarder?.toClient);
  rule.bytes = 1;
  // The other direction asks for a move, and is refused: bytes of this one are queued in our own memory.
  await client.send("still here");
  await peer.receivedBytes(10);
  expectStalled(session.forwarder!.toClient);
  expect(session.forwarder!.engine).toBe("copy");
  expect([mover.moves, mover.refusals]).toEqual([[], 0]);

  const stuckBytes = session.bytesToClient + session.heldBytes;
  const arrived = client.receivedPayload(download);
  client.resumeReading();
  await until(() => mover.moves.length === 1, "the session to move");
  // With the first moment when the queue was empty, before anything else was read.
  expect(mover.moves).toEqual([
    {
      why: "bulk",
      bytesToBackend: 10,
      bytesToClient: stuckBytes,
      states: ["open", "open"],
      queuedBytes: 0,
      paused: true,
    },
  ]);
  await arrived;
  await sent;
  await peer.finish();
  await client.finished();
  await client.finish();
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 10,
    bytes_to_client: 50_000_000,
    engine: "splice",
    end: "backend_finished",
  });
});

test("first_byte_ms is the time of the first byte to the client, if that came after the move", async () => {
  const mover = new WatchedMover(spliceEngine, firstBytes);
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { mover });
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await proxy.forwarding();
  const session = proxy.sessions[0]!;
  await client.send("request");
  await peer.receivedBytes(7);
  await until(() => performance.now() - session.acceptedAtMs >= 50, "the backend to take its time");
  expect(session.record().first_byte_ms).toBeNull();
  const sentMs = performance.now() - session.acceptedAtMs;
  await peer.send("answer");
  await client.receivedBytes(6);
  await until(() => session.record().first_byte_ms !== null, "the first byte to be noted");
  const seenMs = performance.now() - session.acceptedAtMs;
  const firstByteMs = session.record().first_byte_ms!;
  expect(firstByteMs).toBeGreaterThanOrEqual(Math.floor(sentMs));
  expect(firstByteMs).toBeLessThanOrEqual(Math.ceil(seenMs));
  // Later ones change nothing.
  await peer.send("more");
  await client.receivedBytes(10);
  await peer.finish();
  await client.finish();
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 7,
    bytes_to_client: 10,
    first_byte_ms: firstByteMs,
    engine: "splice",
  });
  expect(mover.moves).toMatchObject([{ bytesToBackend: 7, bytesToClient: 0 }]);
});

test("first_byte_ms stays as it was, if the first byte to the client came before the move", async () => {
  const mover = new WatchedMover(spliceEngine, { ...neverMove, bytes: 1_000_000 });
  const upload = payload(7, 5_000_000);
  await using backend = await listen();
  await using proxy = startProxy(backend.port, { mover });
  await using client = await connect(proxy.port);
  const peer = await backend.accepted();
  await proxy.forwarding();
  const session = proxy.sessions[0]!;
  await peer.send("220\n");
  await client.receivedBytes(4);
  const firstByteMs = session.record().first_byte_ms;
  expect(firstByteMs).toBeNumber();
  const arrived = peer.receivedPayload(upload);
  void client.send(upload);
  await arrived;
  await peer.send("250\n");
  await client.receivedBytes(8);
  await client.finish();
  await peer.finish();
  expect(await proxy.recorded()).toMatchObject({
    bytes_to_backend: 5_000_000,
    bytes_to_client: 8,
    first_byte_ms: firstByteMs,
    engine: "splice",
  });
  expect(mover.moves).toMatchObject([{ bytesToClient: 4 }]);
});

describe('the rule of engine = "auto"', () => {
  /** So many trips of a message of 1 kB, there and back; `before` went before. */
  async function pingPong(client: Peer, peer: Peer, trips: number, before = 0): Promise<void> {
    const message = payload(8, 1000).bytes();
    for (let trip = before + 1; trip <= before + trips; trip++) {
      await client.send(message);
      await peer.receivedBytes(trip * 1000);
      await peer.send(message);
      await client.receivedBytes(trip * 1000);
    }
  }

  test("a ping-pong of small messages does not move while it is short", async () => {
    const mover = new WatchedMover(spliceEngine, autoMove);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    await pingPong(client, peer, autoMove.reads - 1);
    await client.finish();
    await peer.finish();
    const bytes = (autoMove.reads - 1) * 1000;
    expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: bytes, bytes_to_client: bytes, engine: "copy" });
    expect([mover.moves, mover.refusals]).toEqual([[], 0]);
  });

  test("a ping-pong of small messages that takes its time does not move either", async () => {
    const mover = new WatchedMover(spliceEngine, autoMove);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    const beganMs = performance.now();
    await pingPong(client, peer, autoMove.reads - 1);
    // The time is that of the wheel, which turns every 50 ms.
    const pauseMs = autoMove.readsWithinMs + 100;
    await until(() => performance.now() - beganMs >= pauseMs, "the time to be over in which they would count");
    await pingPong(client, peer, autoMove.reads - 1, autoMove.reads - 1);
    await client.finish();
    await peer.finish();
    const bytes = 2 * (autoMove.reads - 1) * 1000;
    expect(await proxy.recorded()).toMatchObject({ bytes_to_backend: bytes, bytes_to_client: bytes, engine: "copy" });
    expect([mover.moves, mover.refusals]).toEqual([[], 0]);
  });

  test("a busy ping-pong of small messages moves with the read that makes it busy, and goes on", async () => {
    const mover = new WatchedMover(spliceEngine, autoMove);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    await pingPong(client, peer, 2000);
    await client.finish();
    await peer.finished();
    await peer.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 2_000_000,
      bytes_to_client: 2_000_000,
      engine: "splice",
      end: "client_finished",
    });
    const moment = { bytesToBackend: autoMove.reads * 1000, bytesToClient: (autoMove.reads - 1) * 1000 };
    expect(mover.moves).toMatchObject([{ why: "busy", ...moment, states: ["open", "open"], queuedBytes: 0 }]);
  });

  test("bulk that is interrupted by small messages before it counts does not move", async () => {
    const mover = new WatchedMover(spliceEngine, autoMove);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    const block = payload(9, 256 * 1024).bytes();
    for (let part = 1; part <= 6; part++) {
      await peer.send(block);
      await client.receivedBytes(part * (block.length + 6) - 6);
      await peer.send("\r\n250\n");
      await client.receivedBytes(part * (block.length + 6));
    }
    await client.finish();
    await peer.finish();
    expect(await proxy.recorded()).toMatchObject({ bytes_to_client: 6 * (block.length + 6), engine: "copy" });
    expect([mover.moves, mover.refusals]).toEqual([[], 0]);
  });

  test("a bulk of 4 MB behind a small request moves; what came before and after is counted once", async () => {
    const mover = new WatchedMover(spliceEngine, autoMove);
    const download = payload(10, 4_000_004);
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    await client.send("GET\n");
    await peer.receivedBytes(4);
    const arrived = client.receivedPayload(download);
    await peer.send(download.slice(0, 4_000_000));
    await client.receivedBytes(4_000_000);
    // Small messages do not bring it back.
    await client.send("GET\n");
    await peer.receivedBytes(8);
    await peer.send(download.slice(4_000_000, 4));
    await arrived;
    await client.finish();
    await peer.finished();
    await peer.finish();
    expect(await proxy.recorded()).toMatchObject({
      bytes_to_backend: 8,
      bytes_to_client: 4_000_004,
      engine: "splice",
      end: "client_finished",
    });
    expect(mover.moves).toMatchObject([{ why: "bulk", bytesToBackend: 4, states: ["open", "open"], queuedBytes: 0 }]);
    expect(mover.moves[0]!.bytesToClient).toBeGreaterThanOrEqual(autoMove.bytes);
    expect(mover.moves[0]!.bytesToClient).toBeLessThan(4_000_000);
  });
});

describe("an engine of its own", () => {
  /** Stopped at the end of the scope, if the test has not done so; that it leaves no descriptor is checked there. */
  async function ownEngine(sessionsMax: number): Promise<{ engine: SpliceEngine } & AsyncDisposable> {
    const descriptorsBefore = countDescriptors();
    const deaths: Error[] = [];
    const engine = new SpliceEngine({
      rule: firstBytes,
      sessionsMax,
      clock: systemClock,
      workerDied: (cause) => deaths.push(cause),
    });
    await engine.start();
    return {
      engine,
      async [Symbol.asyncDispose]() {
        await engine.stop();
        expect(deaths).toEqual([]);
        await until(
          () => countDescriptors() <= descriptorsBefore,
          () => `the descriptors of an engine to be gone: ${countDescriptors() - descriptorsBefore} are left`,
        );
      },
    };
  }

  test("with one place: the second bulk session stays on the copy engine and is whole, the third finds the place free", async () => {
    await using own = await ownEngine(1);
    const mover = new WatchedMover(own.engine, firstBytes);
    const uploads = [payload(11, 5_000_000), payload(12, 5_000_000), payload(13, 5_000_000)] as const;
    await using backend = await listen();
    await using proxy = startProxy(backend.port, { mover });
    await using first = await connect(proxy.port);
    const firstPeer = await backend.accepted();
    await proxy.forwarding();
    void first.send(uploads[0]);
    await firstPeer.receivedPayload(uploads[0]);
    expect(own.engine.sessions).toBe(1);

    await using second = await connect(proxy.port);
    const secondPeer = await backend.accepted();
    await proxy.forwarding(2);
    void second.send(uploads[1]);
    await secondPeer.receivedPayload(uploads[1]);
    expect(mover.moves.length).toBe(1);
    expect(mover.refusals).toBeGreaterThanOrEqual(1);
    await second.finish();
    await secondPeer.finished();
    await secondPeer.finish();
    expect(await proxy.recorded(1)).toMatchObject({
      id: 2,
      bytes_to_backend: 5_000_000,
      engine: "copy",
      end: "client_finished",
    });

    await first.finish();
    await firstPeer.finished();
    await firstPeer.finish();
    expect(await proxy.recorded(2)).toMatchObject({
      id: 1,
      bytes_to_backend: 5_000_000,
      engine: "splice",
      end: "client_finished",
    });
    expect(own.engine.sessions).toBe(0);

    await using third = await connect(proxy.port);
    const thirdPeer = await backend.accepted();
    await proxy.forwarding();
    void third.send(uploads[2]);
    await thirdPeer.receivedPayload(uploads[2]);
    await third.finish();
    await thirdPeer.finished();
    await thirdPeer.finish();
    expect(await proxy.recorded(3)).toMatchObject({ id: 3, bytes_to_backend: 5_000_000, engine: "splice" });
    expect(mover.moves.length).toBe(2);
    await proxy.idle();
    await own.engine.stop();
  });

  test("stopped with a session whose pipe is full: the session ends with internal_error, both peers are reset", async () => {
    const descriptorsBefore = countDescriptors();
    await using own = await ownEngine(4);
    // The Worker, its eventfd and its epoll; the thread may keep others of its own.
    expect(countDescriptors()).toBeGreaterThanOrEqual(descriptorsBefore + 2);
    const mover = new WatchedMover(own.engine, firstBytes);
    await using backend = await listen(undefined, { paused: true });
    await using proxy = startProxy(backend.port, { mover });
    await using client = await connect(proxy.port);
    const peer = await backend.accepted();
    await proxy.forwarding();
    void client.send(payload(14, 50_000_000));
    await settled(() => client.sent, "the client to be stopped");
    await stalled(() => proxy.sessions[0]!.forwarder?.toBackend);
    await own.engine.stop();
    expect(await client.wasReset()).toBe("ECONNRESET");
    peer.resumeReading();
    expect(await peer.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded()).toMatchObject({ bytes_to_client: 0, engine: "splice", end: "internal_error" });
    expect(own.engine.sessions).toBe(0);
    // Nobody is taken over any more.
    await using other = await connect(proxy.port);
    const otherPeer = await backend.accepted();
    otherPeer.resumeReading();
    await proxy.forwarding();
    await other.send("on the copy engine");
    await otherPeer.receivedBytes(18);
    await other.finish();
    await otherPeer.finish();
    expect(await proxy.recorded(2)).toMatchObject({ bytes_to_backend: 18, engine: "copy" });
    expect(mover.refusals).toBe(1);
  });

  test("stopped twice at once, and again later, it is stopped", async () => {
    await using own = await ownEngine(2);
    await Promise.all([own.engine.stop(), own.engine.stop()]);
    await own.engine.stop();
    expect([own.engine.arena, own.engine.sessions]).toEqual([undefined, 0]);
  });
});
