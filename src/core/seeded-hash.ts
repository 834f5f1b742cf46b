/**
 * HalfSipHash-1-3 of four 32-bit words: a hash for tables whose keys come from outside. Who does not know the seed can't
 * choose keys that collide. (J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF", 2012; the half-width
 * variant is that of the authors' reference code, with one round a word and three at the end, as Linux uses it.)
 */

/** What makes a hash unforeseeable: 64 random bits, drawn once. */
export interface HashSeed {
  readonly low: number;
  readonly high: number;
}

/** 32 bits, as a signed number, of the words at `at` … `at + 3`. */
export function hashOfFour(words: Uint32Array, at: number, seed: HashSeed): number {
  let a = seed.low | 0;
  let b = seed.high | 0;
  let c = 0x6c796765 ^ a;
  let d = 0x74656462 ^ b;
  // The four words; the length in bytes, in the highest byte; then 0xff and three rounds without input.
  for (let round = 0; round < 8; round++) {
    const word = round < 4 ? words[at + round]! : round === 4 ? 16 << 24 : 0;
    d ^= word;
    if (round === 5) c ^= 0xff;
    a = (a + b) | 0;
    b = ((b << 5) | (b >>> 27)) ^ a;
    a = (a << 16) | (a >>> 16);
    c = (c + d) | 0;
    d = ((d << 8) | (d >>> 24)) ^ c;
    a = (a + d) | 0;
    d = ((d << 7) | (d >>> 25)) ^ a;
    c = (c + b) | 0;
    b = ((b << 13) | (b >>> 19)) ^ c;
    c = (c << 16) | (c >>> 16);
    a ^= word;
  }
  return b ^ d;
}
