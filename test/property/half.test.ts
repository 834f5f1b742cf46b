/** A half under every sequence of chunks, partial writes, drains and resets of the source: no byte is lost or swapped. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Forwarder } from "../../src/forward/forwarder.ts";
import type { Half } from "../../src/forward/half.ts";
import { endTurn } from "../../src/forward/turn.ts";
import { FakeHalfOwner, FakeSocket } from "../support/fake-socket.ts";
import { payload } from "../support/payload.ts";

/** Of a chunk that is put off to the end of its turn. */
const chunkBytesMax = 512;
/** Of a chunk that is not. */
const largeBytesMax = 4_600;

type Command =
  /** The source has so many bytes; a socket that is paused keeps them to itself. */
  | { readonly kind: "chunk"; readonly bytes: number }
  /** The same, and the socket gives them although it is paused, as Bun does when the peer resets. */
  | { readonly kind: "pushed"; readonly bytes: number }
  /** All that was put off is done. */
  | { readonly kind: "turn" }
  /** The sink takes so many bytes more; with 0 it is a call for no reason. */
  | { readonly kind: "drain"; readonly room: number }
  /** The sink takes so many bytes more and has not said so yet. */
  | { readonly kind: "room"; readonly room: number };

const size = fc.integer({ min: 1, max: chunkBytesMax });
const large = fc.integer({ min: 4_097, max: largeBytesMax });
const room = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2 * chunkBytesMax }));
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("chunk" as const), bytes: size }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("chunk" as const), bytes: large }) },
  { weight: 5, arbitrary: fc.constant({ kind: "turn" as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("pushed" as const), bytes: size }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("drain" as const), room }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("room" as const), room }) },
);
const early = fc.record({ sizes: fc.array(size, { maxLength: 4 }), paused: fc.boolean() });

/** A half between two fake sockets, and what must hold after every step. */
class Harness {
  readonly client = new FakeSocket();
  readonly backend = new FakeSocket();
  readonly owner = new FakeHalfOwner();
  readonly half: Half = new Forwarder(this.client.socket, this.backend.socket, this.owner, { nowMs: 1 }).toBackend;
  /** Bytes that the half was given. */
  given = 0;
  /** Bytes given while more than two chunks may be queued: those before there was a sink, and those pushed. */
  #beyondOneChunk = 0;
  readonly #stream = payload(1, 1_000_000);

  begin(sizes: readonly number[], paused: boolean): void {
    this.backend.room = chunkBytesMax / 2;
    this.client.paused = paused;
    this.#beyondOneChunk = sizes.reduce((sum, bytes) => sum + bytes, 0);
    this.half.begin(
      sizes.map((bytes) => this.#next(bytes)),
      paused,
    );
    this.check();
  }

  run(step: Command): void {
    switch (step.kind) {
      case "chunk":
        if (!this.client.paused) this.client.data.received(this.#next(step.bytes));
        break;
      case "pushed":
        if (this.client.paused) this.#beyondOneChunk += step.bytes;
        this.client.data.received(this.#next(step.bytes));
        break;
      case "turn":
        endTurn();
        expect(this.half.postponedBytes).toBe(0);
        break;
      case "drain":
        this.backend.drain(step.room);
        break;
      case "room":
        this.backend.room = Number(this.backend.room) + step.room;
        break;
    }
    this.check();
  }

  check(): void {
    const { half, client, backend, given } = this;
    const taken = backend.bytes;
    expect(half.bytes).toBe(taken.length);
    expect(half.bytes + half.queuedBytes + half.postponedBytes).toBe(given);
    expect(half.postponedBytes === 0 || half.queuedBytes === 0).toBe(true);
    expect(Buffer.compare(taken, this.#stream.slice(0, taken.length))).toBe(0);
    expect(half.queuedBytes).toBeLessThanOrEqual(chunkBytesMax + largeBytesMax + this.#beyondOneChunk);
    // The source is paused as long as something is queued, and not longer; one that has finished stays as it is.
    if (half.state === "open") expect(half.paused).toBe(half.queuedBytes > 0);
    expect(client.paused).toBe(half.paused);
    expect(half.pauses - half.resumes).toBe(half.paused ? 1 : 0);
    if (half.queuedBytes === 0) this.#beyondOneChunk = 0;
  }

  #next(bytes: number): Uint8Array {
    const chunk = this.#stream.slice(this.given, bytes);
    this.given += bytes;
    return chunk;
  }
}

test("whatever arrives and however it is taken, the bytes come out whole and in order", () => {
  fc.assert(
    fc.property(early, fc.array(command, { maxLength: 60 }), ({ sizes, paused }, commands) => {
      const harness = new Harness();
      harness.begin(sizes, paused);
      for (const step of commands) harness.run(step);
      endTurn();
      harness.backend.drain(Infinity);
      harness.check();
      expect(harness.half.bytes).toBe(harness.given);
      expect(harness.half.pauses).toBe(harness.half.resumes);
      expect(harness.owner.told).toEqual(harness.given === 0 ? [] : ["firstBytesMoved"]);
    }),
    { numRuns: 1000 },
  );
});

test("whenever the FIN comes, the half ends once, after the last byte", () => {
  fc.assert(
    fc.property(
      fc.array(command, { maxLength: 30 }),
      fc.array(fc.integer({ min: 0, max: chunkBytesMax }), { maxLength: 10 }),
      (commands, rooms) => {
        const harness = new Harness();
        harness.begin([], false);
        for (const step of commands) harness.run(step);
        harness.client.data.finished();
        for (const room of rooms) {
          harness.backend.drain(room);
          harness.check();
          const isDone = harness.half.queuedBytes === 0;
          expect(harness.half.state).toBe(isDone ? "ended" : "ending");
          expect(harness.owner.told.filter((name) => name === "halfEnded").length).toBe(isDone ? 1 : 0);
        }
        harness.backend.drain(Infinity);
        harness.check();
        expect(harness.half).toMatchObject({ state: "ended", bytes: harness.given });
        expect(harness.owner.told.slice(-1)).toEqual(["halfEnded"]);
        expect(harness.owner.told.filter((name) => name === "halfEnded").length).toBe(1);
      },
    ),
    { numRuns: 1000 },
  );
});

test("a sink that breaks at any moment is told of once for each try, and takes nothing more", () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 30 }), size, (commands, bytes) => {
      const harness = new Harness();
      harness.begin([], false);
      for (const step of commands) harness.run(step);
      endTurn();
      const before = harness.half.bytes;
      harness.backend.room = "broken";
      const wasQueued = harness.half.queuedBytes > 0;
      if (wasQueued) harness.backend.drain(0);
      else harness.client.receive(payload(2, bytes).bytes());
      expect(harness.owner.told.slice(-1)).toEqual(["sinkBroken"]);
      expect(harness.half.bytes).toBe(before);
      harness.half.discard();
      harness.backend.drain(0);
      harness.client.receive(payload(2, bytes).bytes());
      expect(harness.owner.told.filter((name) => name === "sinkBroken").length).toBe(1);
      expect(harness.half).toMatchObject({ state: "ended", queuedBytes: 0, bytes: before });
    }),
    { numRuns: 500 },
  );
});
