/** When a session is moved from the copy engine to the splice engine. */

/** Why a session is moved. */
export type MoveReason =
  /** Many bytes came in large reads. */
  | "bulk"
  /** Many reads came in a short time. */
  | "busy";

/** What one direction of a session must show. */
export interface MoveRule {
  /** Bulk: bytes in a row that came in large reads; 0 = a session is moved at its first moment, `Infinity` = never. */
  readonly bytes: number;
  /** Bulk: what a read must bring to count; a smaller one starts the count anew. */
  readonly readBytes: number;
  /** Busy: so many reads, of any size; `Infinity` = never. */
  readonly reads: number;
  /** Busy: within this time, in ms. */
  readonly readsWithinMs: number;
}

/** No session is moved. */
export const neverMove: MoveRule = { bytes: Infinity, readBytes: 0, reads: Infinity, readsWithinMs: 0 };

/** Every session is, at once. */
export const moveAtOnce: MoveRule = { bytes: 0, readBytes: 0, reads: Infinity, readsWithinMs: 0 };

/**
 * The rule of `engine = "auto"`. A move costs about as much as fifteen round trips of small messages save, so a session
 * has to live longer than most do. ARCHITECTURE.md has what was measured.
 */
export const autoMove: MoveRule = { bytes: 1024 * 1024, readBytes: 32 * 1024, reads: 64, readsWithinMs: 1_000 };
