/** A half of the copy engine under every sequence of chunks, turns, partial writes, drains and resets of the source: no byte is lost or swapped. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { neverMove, type MoveRule } from "../../src/forward/move-rule.ts";
import { CopyForwarder } from "../../src/forward/copy/copy-forwarder.ts";
import type { CopyHalf } from "../../src/forward/copy/copy-half.ts";
import { endTurn } from "../../src/forward/copy/turn.ts";
import { FakeForwarderOwner, FakeSocket } from "../support/fake-socket.ts";
import { payload } from "../support/payload.ts";

const chunkBytesMax = 16_384;
/** A chunk of this size or smaller is written at the end of its turn. */
const smallBytesMax = 4_096;

type Command =
  /** The source has so many bytes; a socket that is paused keeps them to itself. */
  | { readonly kind: "chunk"; readonly bytes: number }
  /** The same, and the socket gives them although it is paused, as Bun does when the peer resets. */
  | { readonly kind: "pushed"; readonly bytes: number }
  /** The sink takes so many bytes more; with 0 it is a call for no reason. */
  | { readonly kind: "drain"; readonly room: number }
  /** The sink takes so many bytes more and has not said so yet. */
  | { readonly kind: "room"; readonly room: number }
  /** The turn of the event loop ends. */
  | { readonly kind: "turn" };

const largeSize = fc.integer({ min: smallBytesMax + 1, max: chunkBytesMax });
const size = fc.oneof(fc.integer({ min: 1, max: smallBytesMax }), largeSize);
const room = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2 * chunkBytesMax }));

function commands(size: fc.Arbitrary<number>, maxLength: number): fc.Arbitrary<Command[]> {
  const command: fc.Arbitrary<Command> = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant("chunk" as const), bytes: size }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("pushed" as const), bytes: size }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("drain" as const), room }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("room" as const), room }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("turn" as const) }) },
  );
  return fc.array(command, { maxLength });
}

const early = fc.record({ sizes: fc.array(size, { maxLength: 4 }), paused: fc.boolean() });

/** A half between two fake sockets, and what must hold after every step. */
class Harness {
  readonly client = new FakeSocket();
  readonly backend = new FakeSocket();
  readonly owner = new FakeForwarderOwner();
  readonly half: CopyHalf;
  /** Bytes that the half was given. */
  given = 0;
  /** Bytes given while more than one chunk may be queued: those before there was a sink, and those pushed. */
  #beyondOneChunk = 0;
  /** Bytes given in reads that are large enough for the rule, since the last one that was not. */
  #bulkBytes = 0;
  readonly #rule: MoveRule;
  readonly #stream = payload(1, 4_000_000);

  constructor(rule: MoveRule = neverMove) {
    this.#rule = rule;
    const clock = { nowMs: 1 };
    this.half = new CopyForwarder(this.client.socket, this.backend.socket, this.owner, clock, rule).toBackend;
  }

  /** Whether the half has been given enough to be taken over. */
  get isBulk(): boolean {
    return this.#bulkBytes >= this.#rule.bytes;
  }

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
        if (!this.client.paused) this.#receive(step.bytes);
        break;
      case "pushed":
        if (this.client.paused) this.#beyondOneChunk += step.bytes;
        this.#receive(step.bytes);
        break;
      case "drain":
        this.backend.drain(step.room);
        break;
      case "room":
        this.backend.room = Number(this.backend.room) + step.room;
        break;
      case "turn":
        endTurn();
        // What was put off has been written, or is queued.
        if (this.half.state === "open") expect(this.half.paused).toBe(this.half.queuedBytes > 0);
        break;
    }
    this.check();
  }

  check(): void {
    const { half, client, backend, given } = this;
    const taken = backend.bytes;
    expect(half.bytes).toBe(taken.length);
    expect(half.bytes + half.queuedBytes).toBe(given);
    expect(Buffer.compare(taken, this.#stream.slice(0, taken.length))).toBe(0);
    expect(half.queuedBytes).toBeLessThanOrEqual(smallBytesMax + chunkBytesMax + this.#beyondOneChunk);
    // The source is paused as long as something is queued, and not longer; one that has finished stays as it is. What only
    // waits for the end of the turn is no reason to.
    if (half.state === "open" && half.queuedBytes === 0) expect(half.paused).toBe(false);
    if (half.state === "open" && half.queuedBytes > smallBytesMax) expect(half.paused).toBe(true);
    expect(client.paused).toBe(half.paused);
    expect(half.pauses - half.resumes).toBe(half.paused ? 1 : 0);
    if (half.queuedBytes === 0) this.#beyondOneChunk = 0;
  }

  #receive(bytes: number): void {
    this.#bulkBytes = bytes < this.#rule.readBytes ? 0 : this.#bulkBytes + bytes;
    this.client.data.received(this.#next(bytes));
  }

  #next(bytes: number): Uint8Array {
    const chunk = this.#stream.slice(this.given, bytes);
    this.given += bytes;
    return chunk;
  }
}

test("whatever arrives and however it is taken, the bytes come out whole and in order", () => {
  fc.assert(
    fc.property(early, commands(size, 60), ({ sizes, paused }, steps) => {
      const harness = new Harness();
      harness.begin(sizes, paused);
      for (const step of steps) harness.run(step);
      harness.backend.drain(Infinity);
      harness.run({ kind: "turn" });
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
      commands(size, 30),
      fc.array(fc.integer({ min: 0, max: chunkBytesMax }), { maxLength: 10 }),
      (steps, rooms) => {
        const harness = new Harness();
        harness.begin([], false);
        for (const step of steps) harness.run(step);
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
    fc.property(commands(size, 30), size, (steps, bytes) => {
      const harness = new Harness();
      harness.begin([], false);
      for (const step of steps) harness.run(step);
      harness.run({ kind: "turn" });
      const before = harness.half.bytes;
      harness.backend.room = "broken";
      const wasQueued = harness.half.queuedBytes > 0;
      if (wasQueued) harness.backend.drain(0);
      else harness.client.data.received(payload(2, bytes).bytes());
      endTurn();
      expect(harness.owner.told.slice(-1)).toEqual(["sourceReset"]);
      expect(harness.half.bytes).toBe(before);
      harness.half.discard();
      harness.backend.drain(0);
      harness.client.data.received(payload(2, bytes).bytes());
      endTurn();
      expect(harness.owner.told.filter((name) => name === "sourceReset").length).toBe(1);
      expect(harness.half).toMatchObject({ state: "ended", queuedBytes: 0, bytes: before });
    }),
    { numRuns: 500 },
  );
});

/** Small ones are put off, and are weighed only when they were alone in their turn. */
const earlyLarge = fc.record({ sizes: fc.array(largeSize, { maxLength: 4 }), paused: fc.boolean() });

test("bulk is told after each read, and each flush, that leaves nothing queued while the last reads are bulk, and only then", () => {
  const rule = { bytes: 30_000, readBytes: 8_000, reads: Infinity, readsWithinMs: 0 };
  fc.assert(
    fc.property(earlyLarge, commands(largeSize, 60), ({ sizes, paused }, steps) => {
      const harness = new Harness(rule);
      let told = 0;
      harness.owner.onMoveWanted = () => {
        told++;
        expect([harness.half.queuedBytes, harness.isBulk]).toEqual([0, true]);
        // All that came has been passed on: whoever takes over begins with the next byte.
        expect(harness.half.bytes).toBe(harness.given);
      };
      // What came before the half began is no read of its own.
      harness.begin(sizes, paused);
      expect(told).toBe(0);
      for (const step of steps) {
        const before = { told, given: harness.given, queuedBytes: harness.half.queuedBytes };
        harness.run(step);
        const emptied = harness.half.queuedBytes === 0 && (harness.given > before.given || before.queuedBytes > 0);
        expect(told - before.told).toBe(emptied && harness.isBulk ? 1 : 0);
      }
    }),
    { numRuns: 1000 },
  );
});
