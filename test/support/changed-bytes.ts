/** Bytes with mistakes in them, for property tests. */
import fc from "fast-check";
import { joined } from "./joined.ts";

type Change = readonly [place: number, kind: "set" | "remove" | "insert" | "cut" | "repeat", byte: number];

/** Inputs of `source` after some small changes, or none; and random bytes. */
export function changed(source: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const kind = fc.constantFrom<Change[1]>("set", "set", "set", "remove", "insert", "cut", "repeat");
  const change: fc.Arbitrary<Change> = fc.tuple(fc.nat(), kind, fc.oneof(fc.nat(255), fc.constantFrom(...telling)));
  const edited = fc
    .tuple(source, fc.array(change, { maxLength: 4 }))
    .map(([bytes, changes]) => changes.reduce(apply, bytes));
  return fc.oneof({ weight: 9, arbitrary: edited }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) });
}

/** Bytes that mean something to one parser or another. */
const telling = [...Buffer.from("\0\x01\x02\x03\t\n\r\x16 #%*./0:;@[]?_aAfx\x7f\x80\xff", "latin1")];

function apply(bytes: Uint8Array, [anywhere, kind, byte]: Change): Uint8Array {
  const place = anywhere % (bytes.length + 1);
  const before = bytes.subarray(0, place);
  switch (kind) {
    case "set":
      return joined(before, Uint8Array.of(byte), bytes.subarray(place + 1));
    case "remove":
      return joined(before, bytes.subarray(place + 1));
    case "insert":
      return joined(before, Uint8Array.of(byte), bytes.subarray(place));
    case "cut":
      return joined(before);
    case "repeat":
      return joined(bytes.subarray(0, Math.min(bytes.length, place + (byte % 16))), bytes.subarray(place));
  }
}
