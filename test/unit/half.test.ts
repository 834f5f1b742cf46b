/** One direction of a forwarder, step by step, on sockets that take as much as they are told to. */
import { describe, expect, test } from "bun:test";
import { Forwarder } from "../../src/forward/forwarder.ts";
import { endTurn } from "../../src/forward/turn.ts";
import { FakeHalfOwner, FakeSocket } from "../support/fake-socket.ts";
import { payload } from "../support/payload.ts";

const bytes = payload(1, 1000).bytes();

/** A forwarder between two fake sockets; the half under test is the one to the backend. */
function setUp() {
  const client = new FakeSocket();
  const backend = new FakeSocket();
  const owner = new FakeHalfOwner();
  const clock = { nowMs: 100 };
  const forwarder = new Forwarder(client.socket, backend.socket, owner, clock);
  return { client, backend, owner, clock, forwarder, half: forwarder.toBackend };
}

test("the events of each socket go to the half that reads from it", () => {
  const { client, backend, forwarder } = setUp();
  expect(client.data).toBe(forwarder.toBackend);
  expect(backend.data).toBe(forwarder.toClient);
  expect(forwarder.toBackend.opposite).toBe(forwarder.toClient);
  expect(forwarder.toClient.opposite).toBe(forwarder.toBackend);
});

test("a small chunk is written at the end of the turn, a larger one at once", () => {
  const { client, backend, half } = setUp();
  client.data.received(bytes);
  expect(half).toMatchObject({ bytes: 0, queuedBytes: 0, paused: false });
  expect(backend.taken).toEqual([]);
  endTurn();
  expect(backend.bytes).toEqual(Buffer.from(bytes));
  expect(half.bytes).toBe(1000);
  const large = payload(2, 4097).bytes();
  client.data.received(large);
  expect(backend.bytes).toEqual(Buffer.concat([bytes, large]));
  endTurn();
  expect(half).toMatchObject({ bytes: 5097, queuedBytes: 0 });
  expect(client.calls).toEqual([]);
});

test("small chunks of several sources are written in the order in which they came", () => {
  const first = setUp();
  const second = setUp();
  const order: string[] = [];
  first.owner.firstBytesMoved = () => order.push("first");
  second.owner.firstBytesMoved = () => order.push("second");
  first.client.data.received(bytes);
  second.client.data.received(bytes);
  expect(order).toEqual([]);
  endTurn();
  expect(order).toEqual(["first", "second"]);
});

test("whatever comes behind a small chunk in its turn comes out behind it", () => {
  const { client, backend, half } = setUp();
  client.data.received(bytes.subarray(0, 10));
  client.data.received(bytes.subarray(10, 20));
  expect(backend.bytes).toEqual(Buffer.from(bytes.subarray(0, 10)));
  const large = payload(2, 5000).bytes();
  client.data.received(large);
  expect(backend.bytes).toEqual(Buffer.concat([bytes.subarray(0, 20), large]));
  endTurn();
  expect(half).toMatchObject({ bytes: 5020, queuedBytes: 0 });
});

test("a small chunk before a large one that does not fit: both are kept, in order", () => {
  const { client, backend, half } = setUp();
  backend.room = 4;
  const large = payload(2, 5000).bytes();
  client.data.received(bytes.subarray(0, 10));
  client.data.received(large);
  expect(half).toMatchObject({ bytes: 4, queuedBytes: 5006, pauses: 1 });
  endTurn();
  backend.drain(Infinity);
  expect(backend.bytes).toEqual(Buffer.concat([bytes.subarray(0, 10), large]));
  expect(half).toMatchObject({ bytes: 5010, queuedBytes: 0, pauses: 1, resumes: 1 });
});

test("a mistake while something put off is written is told, and costs nobody else", () => {
  const first = setUp();
  const second = setUp();
  first.owner.firstBytesMoved = () => {
    throw new Error("ours");
  };
  first.client.data.received(bytes);
  second.client.data.received(bytes);
  endTurn();
  expect(first.owner.told).toEqual(["handlerFailed: ours"]);
  expect(second.backend.bytes).toEqual(Buffer.from(bytes));
});

test("a chunk that the sink takes whole is written through: nothing is queued and nobody is paused", () => {
  const { client, backend, half } = setUp();
  client.receive(bytes);
  expect(backend.bytes).toEqual(Buffer.from(bytes));
  expect(half).toMatchObject({ bytes: 1000, queuedBytes: 0, paused: false, pauses: 0, resumes: 0 });
  expect(client.calls).toEqual([]);
});

test("a chunk that the sink takes in part is kept from there on, and the source is paused once", () => {
  const { client, backend, half } = setUp();
  backend.room = 300;
  client.receive(bytes);
  expect(half).toMatchObject({ bytes: 300, queuedBytes: 700, paused: true, pauses: 1, resumes: 0 });
  expect(client.calls).toEqual(["pause"]);
  backend.drain(200);
  expect(half).toMatchObject({ bytes: 500, queuedBytes: 500, paused: true });
  backend.drain(500);
  expect(half).toMatchObject({ bytes: 1000, queuedBytes: 0, paused: false, pauses: 1, resumes: 1 });
  expect(client.calls).toEqual(["pause", "resume"]);
  expect(backend.bytes).toEqual(Buffer.from(bytes));
});

test("a chunk of which the sink takes nothing is kept whole", () => {
  const { client, backend, half, owner } = setUp();
  backend.room = 0;
  client.receive(bytes);
  expect(half).toMatchObject({ bytes: 0, queuedBytes: 1000, paused: true });
  expect(owner.told).toEqual([]);
  backend.drain(Infinity);
  expect(backend.bytes).toEqual(Buffer.from(bytes));
  expect(owner.told).toEqual(["firstBytesMoved"]);
});

test("what arrives although the source is paused waits behind what is queued", () => {
  const { client, backend, half } = setUp();
  backend.room = 1;
  client.receive(bytes.subarray(0, 400));
  client.receive(bytes.subarray(400, 900));
  client.receive(bytes.subarray(900));
  expect(half).toMatchObject({ queuedBytes: 999, pauses: 1 });
  // Ends in the middle of the second chunk.
  backend.drain(599);
  expect(half).toMatchObject({ bytes: 600, queuedBytes: 400, paused: true });
  backend.drain(Infinity);
  expect(half).toMatchObject({ bytes: 1000, queuedBytes: 0, pauses: 1, resumes: 1 });
  expect(backend.bytes).toEqual(Buffer.from(bytes));
});

test("a drain without anything queued does nothing", () => {
  const { client, backend, half, owner } = setUp();
  backend.drain(0);
  client.drain(0);
  expect(half).toMatchObject({ bytes: 0, pauses: 0, resumes: 0 });
  expect(client.calls).toEqual([]);
  expect(backend.calls).toEqual([]);
  expect(owner.told).toEqual([]);
});

test("a drain without room, though bytes are queued, changes nothing", () => {
  const { client, backend, half } = setUp();
  backend.room = 100;
  client.receive(bytes);
  backend.drain(0);
  expect(half).toMatchObject({ bytes: 100, queuedBytes: 900, paused: true, resumes: 0 });
});

test("the first bytes are told once, and activity is dated by bytes that moved alone", () => {
  const { client, backend, half, clock, owner } = setUp();
  backend.room = 0;
  clock.nowMs = 200;
  client.receive(bytes);
  expect(half.activeAtMs).toBe(100);
  clock.nowMs = 300;
  backend.drain(1);
  expect(half.activeAtMs).toBe(300);
  clock.nowMs = 400;
  backend.drain(0);
  expect(half.activeAtMs).toBe(300);
  backend.drain(Infinity);
  expect(half.activeAtMs).toBe(400);
  expect(owner.told).toEqual(["firstBytesMoved"]);
});

test("the forwarder was active when its livelier half was", () => {
  const { client, backend, clock, forwarder } = setUp();
  clock.nowMs = 200;
  backend.receive(bytes);
  expect(forwarder.activeAtMs).toBe(200);
  clock.nowMs = 300;
  client.receive(bytes);
  expect(forwarder.activeAtMs).toBe(300);
});

describe("the end of a half", () => {
  test("with nothing queued it ends with the FIN", () => {
    const { client, half, owner, forwarder } = setUp();
    client.data.finished();
    expect(half.state).toBe("ended");
    expect(owner.told).toEqual(["sourceFinished", "halfEnded"]);
    expect([forwarder.toBackend.state, forwarder.toClient.state]).toEqual(["ended", "open"]);
  });

  test("with bytes queued it ends when they are gone, and the source stays paused", () => {
    const { client, backend, half, owner } = setUp();
    backend.room = 10;
    client.receive(bytes);
    client.data.finished();
    expect(half.state).toBe("ending");
    expect(owner.told).toEqual(["firstBytesMoved", "sourceFinished"]);
    backend.drain(500);
    expect(half.state).toBe("ending");
    backend.drain(490);
    expect(half).toMatchObject({ state: "ended", bytes: 1000, queuedBytes: 0 });
    expect(owner.told).toEqual(["firstBytesMoved", "sourceFinished", "halfEnded"]);
    expect(client.calls).toEqual(["pause"]);
  });

  test("a small chunk of its turn is written before the end is told", () => {
    const { client, backend, half, owner } = setUp();
    client.data.received(bytes);
    client.data.finished();
    expect(backend.bytes).toEqual(Buffer.from(bytes));
    expect(half.state).toBe("ended");
    endTurn();
    expect(backend.bytes).toEqual(Buffer.from(bytes));
    expect(owner.told).toEqual(["firstBytesMoved", "sourceFinished", "halfEnded"]);
  });

  test("a small chunk of its turn is written before a reset is told", () => {
    const { client, backend, owner } = setUp();
    client.data.received(bytes);
    client.data.closed(new Error("ECONNRESET"));
    expect(backend.bytes).toEqual(Buffer.from(bytes));
    expect(owner.told).toEqual(["firstBytesMoved", "sourceClosed: ECONNRESET"]);
  });

  test("a small chunk that was discarded in its turn is not written", () => {
    const { client, backend, half } = setUp();
    client.data.received(bytes);
    half.discard();
    endTurn();
    expect(backend.taken).toEqual([]);
    expect(half.bytes).toBe(0);
  });

  test("a second FIN, and bytes after the first, are ignored", () => {
    const { client, backend, half, owner } = setUp();
    client.data.finished();
    client.data.finished();
    client.receive(bytes);
    expect(half.bytes).toBe(0);
    expect(backend.taken).toEqual([]);
    expect(owner.told).toEqual(["sourceFinished", "halfEnded"]);
  });

  test("the other half ends on its own, and both are told", () => {
    const { client, backend, owner, forwarder } = setUp();
    client.data.finished();
    backend.data.finished();
    expect([forwarder.toBackend.state, forwarder.toClient.state]).toEqual(["ended", "ended"]);
    expect(owner.told).toEqual(["sourceFinished", "halfEnded", "sourceFinished", "halfEnded"]);
  });

  test("what was discarded is not written, whatever comes", () => {
    const { client, backend, half, owner } = setUp();
    backend.room = 10;
    client.receive(bytes);
    half.discard();
    expect(half).toMatchObject({ state: "ended", queuedBytes: 0 });
    backend.drain(Infinity);
    client.receive(bytes);
    client.data.finished();
    expect(backend.bytes).toEqual(Buffer.from(bytes.subarray(0, 10)));
    expect(owner.told).toEqual(["firstBytesMoved"]);
  });
});

describe("a sink that refuses bytes", () => {
  test("at the first write it is told, and nothing is queued", () => {
    const { client, backend, half, owner } = setUp();
    backend.room = "broken";
    client.receive(bytes);
    expect(owner.told).toEqual(["sinkBroken"]);
    expect(half).toMatchObject({ bytes: 0, queuedBytes: 0, paused: false, pauses: 0 });
  });

  test("when queued bytes are written it is told, once", () => {
    const { client, backend, half, owner } = setUp();
    backend.room = 10;
    client.receive(bytes);
    backend.room = "broken";
    backend.drain(0);
    expect(owner.told).toEqual(["firstBytesMoved", "sinkBroken"]);
    expect(half.bytes).toBe(10);
  });

  test("when bytes are queued, further ones wait and are not tried", () => {
    const { client, backend, half, owner } = setUp();
    backend.room = 10;
    client.receive(bytes.subarray(0, 500));
    backend.room = "broken";
    client.receive(bytes.subarray(500));
    expect(owner.told).toEqual(["firstBytesMoved"]);
    expect(half.queuedBytes).toBe(990);
  });
});

describe("a beginning with what arrived before", () => {
  test("several chunks go out in order", () => {
    const { client, backend, half } = setUp();
    half.begin([bytes.subarray(0, 10), bytes.subarray(10, 20), bytes.subarray(20)], false);
    endTurn();
    expect(backend.bytes).toEqual(Buffer.from(bytes));
    expect(half).toMatchObject({ bytes: 1000, pauses: 0, resumes: 0 });
    expect(client.calls).toEqual([]);
  });

  test("a source that was paused for it is resumed when all of it is taken", () => {
    const { client, half } = setUp();
    half.begin([bytes], true);
    endTurn();
    expect(half).toMatchObject({ paused: false, pauses: 1, resumes: 1 });
    expect(client.calls).toEqual(["resume"]);
  });

  test("a source that was paused for it stays so, without a second pause, until the rest is taken", () => {
    const { client, backend, half } = setUp();
    backend.room = 300;
    half.begin([bytes.subarray(0, 500), bytes.subarray(500)], true);
    endTurn();
    expect(half).toMatchObject({ queuedBytes: 700, paused: true, pauses: 1, resumes: 0 });
    expect(client.calls).toEqual([]);
    backend.drain(Infinity);
    expect(half).toMatchObject({ queuedBytes: 0, paused: false, pauses: 1, resumes: 1 });
    expect(client.calls).toEqual(["resume"]);
    expect(backend.bytes).toEqual(Buffer.from(bytes));
  });

  test("a source that was not paused is paused when not all of it is taken", () => {
    const { client, backend, half } = setUp();
    backend.room = 300;
    half.begin([bytes], false);
    endTurn();
    expect(half).toMatchObject({ queuedBytes: 700, paused: true, pauses: 1 });
    expect(client.calls).toEqual(["pause"]);
  });
});

test("a half that is told of a new socket has found a mistake", () => {
  const { client } = setUp();
  expect(() => client.data.opened(client.socket)).toThrow("a half got a socket that was not open yet");
});

test("a closed socket and a handler that threw are told to the owner", () => {
  const { client, owner } = setUp();
  client.data.closed(undefined);
  client.data.closed(new Error("ECONNRESET"));
  client.data.failed(new Error("ours"));
  expect(owner.told).toEqual(["sourceClosed", "sourceClosed: ECONNRESET", "handlerFailed: ours"]);
});
