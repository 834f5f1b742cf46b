/** What `GET /events` sends besides the Status, one JSON object an event: the page reads it, `history.ts` makes it. */

/** `event: sample`: what happened since the sample before. */
export interface Sample {
  /** How long that was, in ms: a second, or more when the event loop was held up. Counts divided by it are rates. */
  readonly elapsed_ms: number;
  /** Connections open at the end of it. */
  readonly open: number;
  /** Connections that came and that ended; those that were refused did both. */
  readonly opened: number;
  readonly ended: number;
  /** Bytes that were moved. */
  readonly bytes_to_backend: number;
  readonly bytes_to_client: number;
  /** How long successful attempts to connect took, over all backends; `null` when there were none. */
  readonly connect_p50_ms: number | null;
  readonly connect_p99_ms: number | null;
  /** How many connections ended for which reason; reasons that did not occur are left out. */
  readonly ends: Readonly<Record<string, number>>;
}

/** `event: history`: the samples that are kept, as columns, oldest first. */
export interface Samples {
  /** How long ago the last sample was taken, in ms. */
  readonly age_ms: number;
  readonly elapsed_ms: readonly number[];
  readonly open: readonly number[];
  readonly opened: readonly number[];
  readonly ended: readonly number[];
  readonly bytes_to_backend: readonly number[];
  readonly bytes_to_client: readonly number[];
  readonly connect_p50_ms: readonly (number | null)[];
  readonly connect_p99_ms: readonly (number | null)[];
  /** By reason; most seconds have none of most reasons, so it is position, count, position, count, … */
  readonly ends: Readonly<Record<string, readonly number[]>>;
}
