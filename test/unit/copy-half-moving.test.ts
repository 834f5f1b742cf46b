/** When a half of the copy engine says that another one may move its bytes better, and what is then taken over. */
import { describe, expect, test } from "bun:test";
import { moveAtOnce, type MoveRule } from "../../src/forward/move-rule.ts";
import { endTurn } from "../../src/forward/copy/turn.ts";
import { nobody } from "../../src/forward/receiver.ts";
import { fakeSession } from "../support/fake-socket.ts";
import { payload } from "../support/payload.ts";

const bytes = payload(1, 1_000_000).bytes();

describe("bulk", () => {
  /** Three reads of 400 kB. */
  const rule: MoveRule = { bytes: 1_200_000, readBytes: 400_000, reads: Infinity, readsWithinMs: 0 };
  const large = payload(2, 400_000).bytes();
  const small = payload(3, 399_000).bytes();

  test("is told when so many bytes have come in large reads, and again with each further one", () => {
    const { client, owner } = fakeSession(rule);
    client.data.received(large);
    client.data.received(large);
    expect(owner.told).toEqual(["firstBytesMoved"]);
    client.data.received(large);
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: bulk"]);
    client.data.received(large);
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: bulk", "moveWanted: bulk"]);
  });

  test("is told at once when one read brings all of it", () => {
    const { client, owner } = fakeSession(rule);
    client.data.received(payload(4, 1_200_000).bytes());
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: bulk"]);
  });

  test("is not told of small reads, however many come", () => {
    const { client, owner } = fakeSession(rule);
    for (let read = 0; read < 100; read++) client.data.received(small);
    expect(owner.told).toEqual(["firstBytesMoved"]);
  });

  test("a small read starts the count anew, also after it was told", () => {
    const { client, owner } = fakeSession(rule);
    client.data.received(large);
    client.data.received(large);
    client.data.received(small);
    client.data.received(large);
    client.data.received(large);
    expect(owner.told).toEqual(["firstBytesMoved"]);
    client.data.received(large);
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: bulk"]);
    client.data.received(small);
    client.data.received(large);
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: bulk"]);
  });

  test("each half counts for itself", () => {
    const { client, backend, owner } = fakeSession(rule);
    for (let read = 0; read < 2; read++) {
      client.data.received(large);
      backend.data.received(large);
    }
    // The small reads of the other direction take nothing from this one.
    backend.data.received(small);
    expect(owner.told).toEqual(["firstBytesMoved", "firstBytesMoved"]);
    client.data.received(large);
    expect(owner.told).toEqual(["firstBytesMoved", "firstBytesMoved", "moveWanted: bulk"]);
  });

  test("is not told while bytes are queued, but when the last of them is taken, before the source is resumed", () => {
    const { client, backend, owner } = fakeSession(rule);
    backend.room = 1_000_000;
    for (let read = 0; read < 3; read++) client.data.received(large);
    // As a reset pushes it: the source is paused.
    client.data.received(large);
    backend.drain(599_000);
    expect(owner.told).toEqual(["firstBytesMoved"]);
    owner.onMoveWanted = () => expect(client.calls).toEqual(["pause"]);
    backend.drain(1_000);
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: bulk"]);
    expect(client.calls).toEqual(["pause", "resume"]);
  });

  test("is not told when the queue is flushed, if the read that was queued was small", () => {
    const { client, backend, owner } = fakeSession(rule);
    for (let read = 0; read < 2; read++) client.data.received(large);
    backend.room = 0;
    client.data.received(small);
    backend.drain(Infinity);
    expect(owner.told).toEqual(["firstBytesMoved"]);
    expect(client.calls).toEqual(["pause", "resume"]);
  });

  test("a source that is taken over while it is paused is not resumed", () => {
    const { client, backend, owner, half, forwarder } = fakeSession(rule);
    backend.room = 0;
    client.data.received(payload(5, 1_200_000).bytes());
    owner.onMoveWanted = () => {
      // As whoever takes over does.
      expect(forwarder.movable).toBe(true);
      forwarder.toBackend.discard();
      forwarder.toClient.discard();
    };
    backend.drain(Infinity);
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: bulk"]);
    expect(client.calls).toEqual(["pause"]);
    expect(half.bytes).toBe(1_200_000);
  });

  test("is not told of a source that has finished: it has nothing more to move", () => {
    const { client, backend, owner } = fakeSession(rule);
    backend.room = 0;
    client.data.received(payload(6, 1_200_000).bytes());
    client.data.finished();
    backend.drain(Infinity);
    expect(owner.told).toEqual(["sourceFinished", "firstBytesMoved", "halfEnded"]);
  });

  test("what came before there was a backend does not count", () => {
    const { client, owner, half } = fakeSession(rule);
    half.begin([large, large, large], false);
    client.data.received(large);
    client.data.received(large);
    expect(owner.told).toEqual(["firstBytesMoved"]);
    client.data.received(large);
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: bulk"]);
  });

  test("is never told by the beginning itself, even where a rule takes everything: its session does that", () => {
    const { backend, owner, half } = fakeSession(moveAtOnce);
    half.begin([bytes.subarray(0, 10_000), bytes.subarray(10_000, 20_000), bytes.subarray(20_000)], true);
    expect(backend.bytes).toEqual(Buffer.from(bytes));
    expect(owner.told).toEqual(["firstBytesMoved"]);
  });

  test("a rule that takes everything is told with the first read, however small", () => {
    const { client, owner, half } = fakeSession(moveAtOnce);
    half.begin([], false);
    expect(owner.told).toEqual([]);
    client.data.received(bytes.subarray(0, 1));
    // It is written at the end of the turn.
    expect(owner.told).toEqual([]);
    endTurn();
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: bulk"]);
  });

  test("a rule that takes everything is told when what came before, and was queued, is written", () => {
    const { backend, owner, half } = fakeSession(moveAtOnce);
    backend.room = 300_000;
    half.begin([bytes.subarray(0, 500_000), bytes.subarray(500_000)], false);
    backend.drain(699_000);
    expect(owner.told).toEqual(["firstBytesMoved"]);
    backend.drain(1_000);
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: bulk"]);
  });
});

describe("busy", () => {
  /** Four reads within 100 ms. */
  const rule: MoveRule = { bytes: Infinity, readBytes: 0, reads: 4, readsWithinMs: 100 };
  const small = bytes.subarray(0, 10_000);

  test("is told when so many reads have come within the time, of whatever size", () => {
    const { client, owner, clock } = fakeSession(rule);
    client.data.received(small);
    client.data.received(bytes);
    client.data.received(small.subarray(0, 1));
    endTurn();
    clock.nowMs += 100;
    expect(owner.told).toEqual(["firstBytesMoved"]);
    client.data.received(small);
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: busy"]);
  });

  test("is not told when they took longer, and the count begins anew with the last of them", () => {
    const { client, owner, clock } = fakeSession(rule);
    for (let read = 0; read < 3; read++) client.data.received(small);
    clock.nowMs += 101;
    client.data.received(small);
    expect(owner.told).toEqual(["firstBytesMoved"]);
    for (let read = 0; read < 3; read++) client.data.received(small);
    expect(owner.told).toEqual(["firstBytesMoved"]);
    clock.nowMs += 100;
    client.data.received(small);
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: busy"]);
  });

  test("is told again after as many further reads, where nobody has taken over", () => {
    const { client, owner } = fakeSession(rule);
    for (let read = 0; read < 7; read++) client.data.received(small);
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: busy"]);
    client.data.received(small);
    expect(owner.told).toEqual(["firstBytesMoved", "moveWanted: busy", "moveWanted: busy"]);
  });

  test("is not told while bytes are queued", () => {
    const { client, backend, owner } = fakeSession(rule);
    for (let read = 0; read < 3; read++) client.data.received(small);
    backend.room = 0;
    client.data.received(small);
    backend.drain(Infinity);
    expect(owner.told).toEqual(["firstBytesMoved"]);
  });

  test("each half counts for itself, and what came before there was a backend does not count", () => {
    const { client, backend, owner, half } = fakeSession(rule);
    half.begin([small, small], false);
    for (let read = 0; read < 3; read++) {
      client.data.received(small);
      backend.data.received(small);
    }
    expect(owner.told).toEqual(["firstBytesMoved", "firstBytesMoved"]);
    backend.data.received(small);
    expect(owner.told).toEqual(["firstBytesMoved", "firstBytesMoved", "moveWanted: busy"]);
  });
});

describe("a forwarder that is to be taken over", () => {
  test("is movable while both sockets are there and neither half has anything queued", () => {
    const { client, backend, forwarder } = fakeSession();
    expect(forwarder.movable).toBe(true);
    client.room = 0;
    backend.data.received(bytes);
    expect(forwarder.movable).toBe(false);
    client.drain(Infinity);
    expect(forwarder.movable).toBe(true);
    // What is put off to the end of the turn has not been passed on yet.
    backend.data.received(bytes.subarray(0, 1));
    expect(forwarder.movable).toBe(false);
    endTurn();
    expect(forwarder.movable).toBe(true);
    // One side that has finished is no hindrance.
    client.data.finished();
    expect(forwarder.movable).toBe(true);
    backend.data.closed(new Error("ECONNRESET"));
    expect(forwarder.movable).toBe(false);
  });

  test("lets both sockets go, and nobody hears of them any more", () => {
    const { client, backend, forwarder, owner } = fakeSession();
    forwarder.letGo();
    expect([client.calls, backend.calls]).toEqual([["terminate"], ["terminate"]]);
    expect([client.data, backend.data]).toEqual([nobody, nobody]);
    expect([forwarder.toBackend.state, forwarder.toClient.state]).toEqual(["ended", "ended"]);
    expect(owner.told).toEqual([]);
  });
});
