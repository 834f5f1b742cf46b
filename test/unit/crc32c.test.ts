/** CRC32c against the vectors of RFC 3720 appendix B.4. */
import { expect, test } from "bun:test";
import { crc32c } from "../../src/protocol/crc32c.ts";

/** An iSCSI SCSI Read (10) command. */
const scsiRead = Buffer.from(
  "01c00000" +
    "00000000" +
    "00000000" +
    "00000000" +
    "14000000" +
    "00000400" +
    "00000014" +
    "00000018" +
    "28000000" +
    "00000000" +
    "02000000" +
    "00000000",
  "hex",
);

// The RFC writes the bytes as they go over the wire, the lowest first.
const vectors: [what: string, bytes: Uint8Array, onTheWire: string][] = [
  ["32 bytes of zeros", new Uint8Array(32), "aa36918a"],
  ["32 bytes of ones", new Uint8Array(32).fill(0xff), "43aba862"],
  ["32 bytes counting up", Uint8Array.from({ length: 32 }, (_, index) => index), "4e79dd46"],
  ["32 bytes counting down", Uint8Array.from({ length: 32 }, (_, index) => 31 - index), "5cdb3f11"],
  ["a SCSI Read command", scsiRead, "563a96d9"],
];

test.each(vectors)("%s", (_, bytes, onTheWire) => {
  const wire = Buffer.alloc(4);
  wire.writeUInt32LE(crc32c(bytes));
  expect(wire.toString("hex")).toBe(onTheWire);
});

test("the check value of the catalogue, and nothing of nothing", () => {
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array())).toBe(0);
});

test("a checksum can be taken of a part, and in parts", () => {
  for (let cut = 0; cut <= scsiRead.length; cut++) {
    expect(crc32c(scsiRead, 0, cut)).toBe(crc32c(scsiRead.subarray(0, cut)));
    expect(crc32c(scsiRead, cut, scsiRead.length, crc32c(scsiRead, 0, cut))).toBe(crc32c(scsiRead));
  }
});
