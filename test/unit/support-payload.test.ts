/** The bytes that know their place: whatever is wrong with a stream is seen, and where. */
import { describe, expect, test } from "bun:test";
import { payload, PayloadCheck } from "../support/payload.ts";

describe("a payload", () => {
  test("has the same bytes however it is cut, others for another seed, and never repeats itself", () => {
    const block = payload(7, 100_003);
    const whole = block.bytes();
    expect(whole.length).toBe(100_003);
    for (const [offset, length] of [
      [0, 1],
      [1, 10],
      [2, 4],
      [3, 1000],
      [99_999, 10],
      [100_003, 5],
    ] as const) {
      expect(block.slice(offset, length)).toEqual(whole.slice(offset, offset + length));
    }
    expect(block.sha256()).toBe(new Bun.CryptoHasher("sha256").update(whole).digest("hex"));
    expect(payload(8, 100_003).sha256()).not.toBe(block.sha256());
    const windows = new Set(
      Array.from({ length: 50_000 }, (_, at) => Buffer.from(whole.buffer, at, 8).toString("hex")),
    );
    expect(windows.size).toBe(50_000);
  });

  const block = payload(9, 10_000);
  const right = block.bytes();
  test.each<[string, Uint8Array, number, RegExp]>([
    [
      "altered",
      right.with(5_000, right[5_000]! ^ 1),
      5_000,
      /^byte 5000 of the payload \(seed 9, 10000 bytes\): expected 0x.., found 0x..$/,
    ],
    ["missing", without(right, 4_321), 4_321, /^byte 4321 of .*; what was found belongs at byte 4322$/],
    [
      "doubled",
      Buffer.concat([right.subarray(0, 2_000), right.subarray(1_999)]),
      2_000,
      /; what was found belongs at byte 1999$/,
    ],
    ["swapped", swapped(right, 6_000), 6_000, /^byte 6000 of /],
    ["too many", Buffer.concat([right, new Uint8Array(3)]), 10_000, /^3 bytes more than the payload/],
  ])("of which a byte is %s is not taken for right, in one piece or in many", (_, wrong, at, message) => {
    for (const pieceBytes of [wrong.length, 1_000]) {
      const check = new PayloadCheck(block);
      for (let offset = 0; offset < wrong.length; offset += pieceBytes) {
        check.take(wrong.subarray(offset, offset + pieceBytes));
      }
      expect(check.mismatch).toMatch(message);
      expect([check.complete, check.offset]).toEqual([false, at]);
    }
  });

  test("is complete with its last byte and not before", () => {
    const check = new PayloadCheck(block);
    check.take(right.subarray(0, -1));
    expect([check.complete, check.mismatch, check.offset]).toEqual([false, undefined, 9_999]);
    check.take(right.subarray(-1));
    expect([check.complete, check.mismatch]).toEqual([true, undefined]);
  });
});

function without(bytes: Uint8Array, at: number): Uint8Array {
  return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
}

/** With the byte at `at` and the one after it changed over. */
function swapped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.with(at, bytes[at + 1]!).with(at + 1, bytes[at]!);
}
