/** The checksum of a PROXY header of version 2 (HAProxy's specification, section 2.2.3). */
import { crc32c } from "../../src/protocol/crc32c.ts";
import { tlv } from "./proxy-headers.ts";

/** A CRC32c that is still to be filled in. */
export const emptyChecksum = tlv(0x03, new Uint8Array(4));

/** The header with its checksum filled in: that of the value which begins at `at`, or ends the header. */
export function withChecksum(header: Uint8Array, at = header.length - emptyChecksum.length): Uint8Array {
  const bytes = header.slice();
  bytes.set(emptyChecksum, at);
  new DataView(bytes.buffer).setUint32(at + 3, crc32c(bytes));
  return bytes;
}
