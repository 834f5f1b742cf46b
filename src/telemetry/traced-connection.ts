/** What a trace is made of: a connection that is over, in plain data. */

/** A connection and its attempts. Times are those of the program's clock, in ms. */
export interface TracedConnection {
  readonly record: TracedRecord;
  readonly acceptedAtMs: number;
  readonly closedAtMs: number;
  /** In their order. */
  readonly attempts: readonly TracedAttempt[];
}

/** An attempt to reach an endpoint. */
export interface TracedAttempt {
  /** Address and port, or `unix:` and a path. */
  readonly endpoint: string;
  readonly sinceMs: number;
  readonly untilMs: number;
  /** What kind of failure it was, one of few words; `undefined` when it succeeded, or was given up because the client left. */
  readonly failure: string | undefined;
  /** The failure in the system's or TLS's words. */
  readonly reason: string | undefined;
}

/** Of the access record, with its names. */
export interface TracedRecord {
  readonly id: number;
  readonly listener: string;
  /** Address and port of the client, or `unix:` and a path; anything else is left out. */
  readonly client: string;
  readonly backend: string | null;
  readonly endpoint: string | null;
  readonly route: string | null;
  readonly sni: string | null;
  readonly bytes_to_backend: number;
  readonly bytes_to_client: number;
  readonly first_byte_ms: number | null;
  readonly attempts: number;
  readonly engine: string | null;
  readonly end: string;
  readonly reason?: string | undefined;
  readonly client_cert?: string | undefined;
}

/** How many spans a connection makes. */
export function spansOf(connection: TracedConnection): number {
  return 1 + connection.attempts.length;
}
