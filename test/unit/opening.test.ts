/** The opening: what a client has said before it has a backend, in one piece and less what was taken. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Opening } from "../../src/session/opening.ts";
import { FakeSocket } from "../support/fake-socket.ts";

test("is what came, in one piece, less what was taken, however it came; pieces that were looked at stay as they were", () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 3000 }) },
    { weight: 2, arbitrary: fc.constant("look" as const) },
    { weight: 1, arbitrary: fc.nat(4000) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const opening = new Opening(new FakeSocket().socket, owner);
      let expected = Buffer.alloc(0);
      const looked: { seen: Uint8Array; as: Buffer }[] = [];
      for (const next of steps) {
        if (typeof next === "object") {
          opening.received(next.slice());
          expected = Buffer.concat([expected, next]);
        } else if (next === "look") {
          looked.push({ seen: opening.peek(), as: Buffer.from(expected) });
        } else {
          const bytes = Math.min(next, expected.byteLength);
          opening.consume(bytes);
          expected = expected.subarray(bytes);
        }
        expect(opening.bytes).toBe(expected.byteLength);
      }
      expect(Buffer.compare(Buffer.concat([...opening.chunks]), expected)).toBe(0);
      expect(Buffer.compare(opening.peek(), expected)).toBe(0);
      for (const { seen, as } of looked) expect(Buffer.compare(seen, as)).toBe(0);
    }),
    { numRuns: 300 },
  );
});

test("a client that sends byte by byte has what it sent copied about once for each doubling, not once a byte", () => {
  const opening = new Opening(new FakeSocket().socket, owner);
  const pieces = new Set<ArrayBufferLike>();
  for (let count = 0; count < 16_384; count++) {
    opening.received(Uint8Array.of(count & 255));
    pieces.add(opening.peek().buffer);
  }
  // The first byte alone, then 4 KiB, 8 KiB …: each twice what was needed.
  expect(pieces.size).toBeLessThan(6);
  expect(opening.peek().every((byte, index) => byte === (index & 255))).toBe(true);
});

const owner = {
  openingChanged() {},
  clientClosed() {},
  handlerFailed(error: Error) {
    throw error;
  },
};
