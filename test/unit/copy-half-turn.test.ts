/** What a half of the copy engine puts off to the end of a turn: small chunks. */
import { describe, expect, test } from "bun:test";
import { endTurn } from "../../src/forward/copy/turn.ts";
import { FakeSocket, fakeSession } from "../support/fake-socket.ts";
import { payload } from "../support/payload.ts";

const bytes = payload(1, 1_000_000).bytes();

describe("a small chunk", () => {
  const small = bytes.subarray(0, 4_096);

  test("is written at the end of the turn, and nobody is paused meanwhile", () => {
    const { client, backend, half, owner } = fakeSession();
    client.data.received(small);
    expect(backend.taken).toEqual([]);
    expect(half).toMatchObject({ bytes: 0, queuedBytes: 4_096, paused: false });
    endTurn();
    expect(backend.bytes).toEqual(Buffer.from(small));
    expect(half).toMatchObject({ bytes: 4_096, queuedBytes: 0, pauses: 0 });
    expect(owner.told).toEqual(["firstBytesMoved"]);
  });

  test("one byte more is written at once", () => {
    const { client, backend } = fakeSession();
    client.data.received(bytes.subarray(0, 4_097));
    expect(backend.bytes.length).toBe(4_097);
  });

  test("is written before what comes in the same turn, in its order", () => {
    const { client, backend, half } = fakeSession();
    client.data.received(bytes.subarray(0, 10));
    client.data.received(bytes.subarray(10, 20));
    expect(half).toMatchObject({ bytes: 10, queuedBytes: 10 });
    client.data.received(bytes.subarray(20));
    expect(backend.bytes).toEqual(Buffer.from(bytes));
    endTurn();
    expect(half).toMatchObject({ bytes: 1_000_000, queuedBytes: 0 });
  });

  test("is written before its source's FIN is passed on", () => {
    const { client, backend, half, owner } = fakeSession();
    client.data.received(small);
    client.data.finished();
    expect(backend.bytes).toEqual(Buffer.from(small));
    expect(half.state).toBe("ended");
    expect(owner.told).toEqual(["firstBytesMoved", "sourceFinished", "halfEnded"]);
  });

  test("is written before it is told that its source is gone", () => {
    const { client, backend, owner } = fakeSession();
    client.data.received(small);
    client.data.closed(new Error("ECONNRESET"));
    expect(backend.bytes).toEqual(Buffer.from(small));
    expect(owner.told).toEqual(["firstBytesMoved", "sourceClosed"]);
  });

  test("that does not fit is queued at the end of the turn, and the source is paused then", () => {
    const { client, backend, half } = fakeSession();
    backend.room = 96;
    client.data.received(small);
    expect(client.calls).toEqual([]);
    endTurn();
    expect(half).toMatchObject({ bytes: 96, queuedBytes: 4_000, paused: true });
    client.data.received(bytes.subarray(4_096, 4_196));
    expect(half.queuedBytes).toBe(4_100);
    backend.drain(Infinity);
    expect(backend.bytes).toEqual(Buffer.from(bytes.subarray(0, 4_196)));
    expect(client.calls).toEqual(["pause", "resume"]);
  });

  test("that was discarded is not written", () => {
    const { client, backend, half, owner } = fakeSession();
    client.data.received(small);
    half.discard();
    endTurn();
    expect(backend.taken).toEqual([]);
    expect(half).toMatchObject({ bytes: 0, queuedBytes: 0 });
    expect(owner.told).toEqual([]);
  });

  test("whose sink refuses it is told of at the end of the turn", () => {
    const { client, backend, half, owner } = fakeSession();
    backend.room = "broken";
    client.data.received(small);
    expect(owner.told).toEqual([]);
    endTurn();
    expect(owner.told).toEqual(["sourceReset"]);
    expect(owner.resetBy).toEqual([half.opposite]);
  });

  test("of each half and each session is written in the order in which they came", () => {
    const [one, two] = [fakeSession(), fakeSession()];
    const written: string[] = [];
    for (const [name, { backend, client }] of [["one", one] as const, ["two", two] as const]) {
      for (const [side, socket] of [["backend", backend] as const, ["client", client] as const]) {
        const { write } = FakeSocket.prototype;
        socket.write = (...chunk) => {
          written.push(`${name} to the ${side}`);
          return write.apply(socket, chunk);
        };
      }
    }
    two.client.data.received(small);
    one.backend.data.received(small);
    one.client.data.received(small);
    endTurn();
    expect(written).toEqual(["two to the backend", "one to the client", "one to the backend"]);
  });

  test("whose write throws is that session's failure, and the next one is written all the same", () => {
    const [one, two] = [fakeSession(), fakeSession()];
    one.backend.write = () => {
      throw new Error("ours");
    };
    one.client.data.received(small);
    two.client.data.received(small);
    endTurn();
    expect(one.owner.told).toEqual(["handlerFailed: ours"]);
    expect(two.backend.bytes).toEqual(Buffer.from(small));
  });
});
