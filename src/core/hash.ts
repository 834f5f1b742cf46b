/** Hashes of short texts, for spreading; not against anybody who looks for collisions. */

/** FNV-1a's start and factor for 32 bits (RFC 9923). */
const fnvBasis = 0x811c9dc5;
const fnvPrime = 0x01000193;

/**
 * A 32-bit hash of the UTF-16 units of `text` from `from` on: FNV-1a, and {@link mix32}, without which similar
 * addresses stay close.
 */
export function hashText(text: string, from = 0): number {
  let hash = fnvBasis;
  for (let index = from; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), fnvPrime);
  return mix32(hash);
}

/**
 * Another 32-bit number, from 0 on, in which every bit depends on every bit of `value`: the finalizer of MurmurHash3.
 * One to one.
 */
export function mix32(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
