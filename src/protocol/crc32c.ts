/** CRC32c, the Castagnoli polynomial (RFC 3720 section 12.1 and appendix B.4, RFC 4960 appendix B): the checksum of a PROXY header. */

/**
 * The checksum of the bytes from `start` to `end`, as an unsigned number of 32 bits. `before` is the checksum of what
 * comes before them, when that lies elsewhere.
 */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length, before = 0): number {
  let remainder = ~before;
  for (let at = start; at < end; at++) {
    remainder = (remainder >>> 8) ^ remainders[(remainder ^ bytes[at]!) & 0xff]!;
  }
  return ~remainder >>> 0;
}

/** 0x1EDC6F41 with its bits in reverse, as the bytes of a message are taken lowest bit first. */
const polynomial = 0x82f63b78;

/** What each byte leaves when it is divided by the polynomial. */
const remainders = Int32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? polynomial : 0);
  return remainder;
});
