/** Connections to trace, and a log that keeps what it is told. */
import type { Log } from "../../src/telemetry/log.ts";
import type { TracedConnection, TracedRecord } from "../../src/telemetry/traced-connection.ts";
import type { Tracing } from "../../src/telemetry/tracing.ts";

/** A connection that ended well, unless `record` says otherwise: accepted at 20,000 ms, closed 50 ms later. */
export function traced(record: Partial<TracedRecord> = {}, attempts?: TracedConnection["attempts"]): TracedConnection {
  return {
    record: {
      id: 7,
      listener: "web",
      client: "127.0.0.1:50412",
      backend: "app",
      endpoint: "10.0.0.1:80",
      route: null,
      sni: null,
      bytes_to_backend: 95,
      bytes_to_client: 1180,
      first_byte_ms: 10.25,
      attempts: attempts?.length ?? 1,
      engine: "copy",
      end: "client_finished",
      ...record,
    },
    acceptedAtMs: 20_000,
    closedAtMs: 20_050,
    attempts: attempts ?? [
      { endpoint: "10.0.0.1:80", sinceMs: 20_001.5, untilMs: 20_002.75, failure: undefined, reason: undefined },
    ],
  };
}

/** Has a connection traced, if the dice say so. */
export function offer(tracing: Tracing, connection: TracedConnection): void {
  if (tracing.sample()) tracing.connection(connection);
}

/** A line of the log. */
export interface KeptLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A log that keeps its lines. */
export class KeptLog implements Log {
  readonly lines: KeptLine[] = [];
  readonly recordsAccess = false;
  readonly debug = this.#keep("debug");
  readonly info = this.#keep("info");
  readonly warn = this.#keep("warn");
  readonly error = this.#keep("error");

  access(): void {}
  configure(): void {}
  flush(): Promise<void> {
    return Promise.resolve();
  }

  #keep(level: string): Log["info"] {
    return (fields, message) => void this.lines.push({ level, message, fields: { ...fields } });
  }
}
