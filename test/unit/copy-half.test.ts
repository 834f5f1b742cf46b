/** One direction of the copy engine, step by step, on sockets that take as much as they are told to. */
import { describe, expect, test } from "bun:test";
import { fakeSession } from "../support/fake-socket.ts";
import { payload } from "../support/payload.ts";

const bytes = payload(1, 1_000_000).bytes();

test("the events of each socket go to the half that reads from it", () => {
  const { client, backend, forwarder } = fakeSession();
  expect(client.data).toBe(forwarder.toBackend);
  expect(backend.data).toBe(forwarder.toClient);
  expect(forwarder.toBackend.opposite).toBe(forwarder.toClient);
  expect(forwarder.toClient.opposite).toBe(forwarder.toBackend);
});

test("a chunk that the sink takes whole is written through: nothing is queued and nobody is paused", () => {
  const { client, backend, half } = fakeSession();
  client.data.received(bytes);
  expect(backend.bytes).toEqual(Buffer.from(bytes));
  expect(half).toMatchObject({ bytes: 1_000_000, queuedBytes: 0, paused: false, pauses: 0, resumes: 0 });
  expect(client.calls).toEqual([]);
});

test("a chunk that the sink takes in part is kept from there on, and the source is paused once", () => {
  const { client, backend, half } = fakeSession();
  backend.room = 300_000;
  client.data.received(bytes);
  expect(half).toMatchObject({ bytes: 300_000, queuedBytes: 700_000, paused: true, pauses: 1, resumes: 0 });
  expect(client.calls).toEqual(["pause"]);
  backend.drain(200_000);
  expect(half).toMatchObject({ bytes: 500_000, queuedBytes: 500_000, paused: true });
  backend.drain(500_000);
  expect(half).toMatchObject({ bytes: 1_000_000, queuedBytes: 0, paused: false, pauses: 1, resumes: 1 });
  expect(client.calls).toEqual(["pause", "resume"]);
  expect(backend.bytes).toEqual(Buffer.from(bytes));
});

test("a chunk of which the sink takes nothing is kept whole", () => {
  const { client, backend, half, owner } = fakeSession();
  backend.room = 0;
  client.data.received(bytes);
  expect(half).toMatchObject({ bytes: 0, queuedBytes: 1_000_000, paused: true });
  expect(owner.told).toEqual([]);
  backend.drain(Infinity);
  expect(backend.bytes).toEqual(Buffer.from(bytes));
  expect(owner.told).toEqual(["firstBytesMoved"]);
});

test("what arrives although the source is paused waits behind what is queued", () => {
  const { client, backend, half } = fakeSession();
  backend.room = 1_000;
  client.data.received(bytes.subarray(0, 400_000));
  client.data.received(bytes.subarray(400_000, 900_000));
  client.data.received(bytes.subarray(900_000));
  expect(half).toMatchObject({ queuedBytes: 999_000, pauses: 1 });
  // Ends in the middle of the second chunk.
  backend.drain(599_000);
  expect(half).toMatchObject({ bytes: 600_000, queuedBytes: 400_000, paused: true });
  backend.drain(Infinity);
  expect(half).toMatchObject({ bytes: 1_000_000, queuedBytes: 0, pauses: 1, resumes: 1 });
  expect(backend.bytes).toEqual(Buffer.from(bytes));
});

test("a drain without anything queued does nothing", () => {
  const { client, backend, half, owner } = fakeSession();
  backend.drain(0);
  client.drain(0);
  expect(half).toMatchObject({ bytes: 0, pauses: 0, resumes: 0 });
  expect(client.calls).toEqual([]);
  expect(backend.calls).toEqual([]);
  expect(owner.told).toEqual([]);
});

test("a drain without room, though bytes are queued, changes nothing", () => {
  const { client, backend, half } = fakeSession();
  backend.room = 100_000;
  client.data.received(bytes);
  backend.drain(0);
  expect(half).toMatchObject({ bytes: 100_000, queuedBytes: 900_000, paused: true, resumes: 0 });
});

test("the first bytes are told once, and activity is dated by bytes that moved alone", () => {
  const { client, backend, half, clock, owner } = fakeSession();
  backend.room = 0;
  clock.nowMs = 200;
  client.data.received(bytes);
  expect(half.activeAtMs).toBe(100);
  clock.nowMs = 300;
  backend.drain(1_000);
  expect(half.activeAtMs).toBe(300);
  clock.nowMs = 400;
  backend.drain(0);
  expect(half.activeAtMs).toBe(300);
  backend.drain(Infinity);
  expect(half.activeAtMs).toBe(400);
  expect(owner.told).toEqual(["firstBytesMoved"]);
});

test("the forwarder was active when its livelier half was", () => {
  const { client, backend, clock, forwarder } = fakeSession();
  clock.nowMs = 200;
  backend.data.received(bytes);
  expect(forwarder.activeAtMs).toBe(200);
  clock.nowMs = 300;
  client.data.received(bytes);
  expect(forwarder.activeAtMs).toBe(300);
});

describe("the end of a half", () => {
  test("with nothing queued it ends with the FIN", () => {
    const { client, half, owner, forwarder } = fakeSession();
    client.data.finished();
    expect(half.state).toBe("ended");
    expect(owner.told).toEqual(["sourceFinished", "halfEnded"]);
    expect([forwarder.toBackend.state, forwarder.toClient.state]).toEqual(["ended", "open"]);
  });

  test("with bytes queued it ends when they are gone, and the source stays paused", () => {
    const { client, backend, half, owner } = fakeSession();
    backend.room = 10_000;
    client.data.received(bytes);
    client.data.finished();
    expect(half.state).toBe("ending");
    expect(owner.told).toEqual(["firstBytesMoved", "sourceFinished"]);
    backend.drain(500_000);
    expect(half.state).toBe("ending");
    backend.drain(490_000);
    expect(half).toMatchObject({ state: "ended", bytes: 1_000_000, queuedBytes: 0 });
    expect(owner.told).toEqual(["firstBytesMoved", "sourceFinished", "halfEnded"]);
    expect(client.calls).toEqual(["pause"]);
  });

  test("a second FIN, and bytes after the first, are ignored", () => {
    const { client, backend, half, owner } = fakeSession();
    client.data.finished();
    client.data.finished();
    client.data.received(bytes);
    expect(half.bytes).toBe(0);
    expect(backend.taken).toEqual([]);
    expect(owner.told).toEqual(["sourceFinished", "halfEnded"]);
  });

  test("the other half ends on its own, and both are told", () => {
    const { client, backend, owner, forwarder } = fakeSession();
    client.data.finished();
    backend.data.finished();
    expect([forwarder.toBackend.state, forwarder.toClient.state]).toEqual(["ended", "ended"]);
    expect(owner.told).toEqual(["sourceFinished", "halfEnded", "sourceFinished", "halfEnded"]);
  });

  test("what was discarded is not written, whatever comes", () => {
    const { client, backend, half, owner } = fakeSession();
    backend.room = 10_000;
    client.data.received(bytes);
    half.discard();
    expect(half).toMatchObject({ state: "ended", queuedBytes: 0 });
    backend.drain(Infinity);
    client.data.received(bytes);
    client.data.finished();
    expect(backend.bytes).toEqual(Buffer.from(bytes.subarray(0, 10_000)));
    expect(owner.told).toEqual(["firstBytesMoved"]);
  });
});

describe("a sink that refuses bytes", () => {
  test("at the first write it is told, and nothing is queued", () => {
    const { client, backend, half, owner } = fakeSession();
    backend.room = "broken";
    client.data.received(bytes);
    expect(owner.told).toEqual(["sourceReset"]);
    // The peer that has reset is the one that the opposite half reads from.
    expect(owner.resetBy).toEqual([half.opposite]);
    expect(half).toMatchObject({ bytes: 0, queuedBytes: 0, paused: false, pauses: 0 });
  });

  test("when queued bytes are written it is told, once", () => {
    const { client, backend, half, owner } = fakeSession();
    backend.room = 10_000;
    client.data.received(bytes);
    backend.room = "broken";
    backend.drain(0);
    expect(owner.told).toEqual(["firstBytesMoved", "sourceReset"]);
    expect(half.bytes).toBe(10_000);
  });

  test("when bytes are queued, further ones wait and are not tried", () => {
    const { client, backend, half, owner } = fakeSession();
    backend.room = 10_000;
    client.data.received(bytes.subarray(0, 500_000));
    backend.room = "broken";
    client.data.received(bytes.subarray(500_000));
    expect(owner.told).toEqual(["firstBytesMoved"]);
    expect(half.queuedBytes).toBe(990_000);
  });
});

describe("a beginning with what arrived before", () => {
  test("several chunks go out in order", () => {
    const { client, backend, half } = fakeSession();
    half.begin([bytes.subarray(0, 10_000), bytes.subarray(10_000, 20_000), bytes.subarray(20_000)], false);
    expect(backend.bytes).toEqual(Buffer.from(bytes));
    expect(half).toMatchObject({ bytes: 1_000_000, pauses: 0, resumes: 0 });
    expect(client.calls).toEqual([]);
  });

  test("a source that was paused for it is resumed when all of it is taken", () => {
    const { client, half } = fakeSession();
    half.begin([bytes], true);
    expect(half).toMatchObject({ paused: false, pauses: 1, resumes: 1 });
    expect(client.calls).toEqual(["resume"]);
  });

  test("a source that was paused for it stays so, without a second pause, until the rest is taken", () => {
    const { client, backend, half } = fakeSession();
    backend.room = 300_000;
    half.begin([bytes.subarray(0, 500_000), bytes.subarray(500_000)], true);
    expect(half).toMatchObject({ queuedBytes: 700_000, paused: true, pauses: 1, resumes: 0 });
    expect(client.calls).toEqual([]);
    backend.drain(Infinity);
    expect(half).toMatchObject({ queuedBytes: 0, paused: false, pauses: 1, resumes: 1 });
    expect(client.calls).toEqual(["resume"]);
    expect(backend.bytes).toEqual(Buffer.from(bytes));
  });

  test("a source that was not paused is paused when not all of it is taken", () => {
    const { client, backend, half } = fakeSession();
    backend.room = 300_000;
    half.begin([bytes], false);
    expect(half).toMatchObject({ queuedBytes: 700_000, paused: true, pauses: 1 });
    expect(client.calls).toEqual(["pause"]);
  });
});

test("a half that is told of a new socket has found a mistake", () => {
  const { client } = fakeSession();
  expect(() => client.data.opened(client.socket)).toThrow("a half got a socket that was not open yet");
});

test("a closed socket and a handler that threw are told to the owner", () => {
  const { client, owner } = fakeSession();
  client.data.closed(undefined);
  client.data.closed(new Error("ECONNRESET"));
  client.data.failed(new Error("ours"));
  expect(owner.told).toEqual(["sourceClosed", "sourceClosed", "handlerFailed: ours"]);
});
