/** What is written of connections: access records to the log, traces to a collector. Both may change with a reload. */
import type { Config } from "./config/schema.ts";
import type { Clock } from "./core/clock.ts";
import type { RecordTaker } from "./listener/service.ts";
import type { Attempts } from "./session/attempts.ts";
import type { AccessRecord } from "./session/record.ts";
import type { Session } from "./session/session.ts";
import type { Log } from "./telemetry/log.ts";
import type { TracedAttempt } from "./telemetry/traced-connection.ts";
import type { TraceFigures, Tracing } from "./telemetry/tracing.ts";

/** What it is given. */
export interface RecordsEnvironment {
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** The environment variables, some of which OpenTelemetry has names for. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** One for the program. */
export class Records implements RecordTaker {
  readonly #environment: RecordsEnvironment;
  /** There once traces were asked for. */
  #tracing: Tracing | undefined = undefined;
  #opening: Promise<void> | undefined = undefined;
  #settings: Config["tracing"] = undefined;

  constructor(environment: RecordsEnvironment) {
    this.#environment = environment;
  }

  /** Traces in this way from now on. Without settings nothing is loaded for it, and nothing more is traced. Never rejects. */
  async configureTraces(settings: Config["tracing"]): Promise<void> {
    this.#settings = settings;
    if (settings === undefined) return this.#tracing?.off();
    // Loading takes a while, in which another reload may want something else: who comes last is right.
    this.#opening ??= this.#open(settings);
    await this.#opening;
    if (this.#settings === undefined) return this.#tracing!.off();
    return this.#tracing!.configure(this.#settings);
  }

  async #open(settings: NonNullable<Config["tracing"]>): Promise<void> {
    const { openTracing } = await import("./telemetry/tracing.ts");
    this.#tracing = await openTracing(settings, { ...this.#environment, wallMs: Date.now, random: Math.random });
  }

  /** Sends the traces that wait, as far as that can be done within this. */
  async stop(withinMs: number): Promise<void> {
    await this.#tracing?.stop(withinMs);
  }

  /** Spans since start; `undefined` while none were ever asked for. */
  get figures(): TraceFigures | undefined {
    return this.#tracing?.figures;
  }

  get recordsAccess(): boolean {
    return this.#environment.log.recordsAccess;
  }

  access(record: AccessRecord): void {
    this.#environment.log.access(record);
  }

  samplesTrace(): boolean {
    return this.#settings !== undefined && this.#tracing?.sample() === true;
  }

  trace(record: AccessRecord, session: Session | undefined): void {
    // Switched off since it was accepted.
    if (this.#settings === undefined) return;
    const acceptedAtMs = session?.acceptedAtMs ?? this.#environment.clock.nowMs();
    const closedAtMs = acceptedAtMs + record.duration_ms;
    this.#tracing!.connection({ record, acceptedAtMs, closedAtMs, attempts: tracedAttempts(session?.attempts) });
  }
}

function tracedAttempts(attempts: Attempts | undefined): readonly TracedAttempt[] {
  return (attempts?.finished ?? []).map(({ endpoint, sinceMs, untilMs, outcome, reason }) => {
    const failure = outcome === "connected" || outcome === "given_up" ? undefined : outcome;
    return { endpoint: endpoint.name, sinceMs, untilMs, failure, reason };
  });
}
