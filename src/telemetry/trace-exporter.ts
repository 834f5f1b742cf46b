/**
 * Sends spans to a collector with the OTLP/HTTP exporter of OpenTelemetry, in JSON. Loaded at first use, with all that it
 * needs: it costs 20 MB of memory.
 *
 * The exporter tries again by itself, after refused and broken connections and after 429, 502, 503 and 504, for as long
 * as it may take in all; what it does not bound itself (an answer that trickles in, retries after a stop) is bounded here.
 */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { diag, DiagLogLevel } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import type { Clock, TimerHandle } from "../core/clock.ts";
import { ConnectionSpans } from "./connection-spans.ts";
import { traceResource, type Environment } from "./trace-resource.ts";
import type { TracedConnection } from "./traced-connection.ts";

/** What became of spans that were sent. */
export type SendOutcome =
  /** The collector has them, but for those that it would not take, and why. */
  { readonly ok: true; readonly rejected: number; readonly why: string } | { readonly ok: false; readonly why: string };

/** Sends one batch after the other. */
export interface TraceSender {
  /** Never rejects, and settles within the time that was given. */
  send(connections: readonly TracedConnection[]): Promise<SendOutcome>;
  /** Ends what is under way, and every further attempt, at once. */
  close(): void;
}

/** What a sender is made with. */
export interface TraceSenderSettings {
  /** The collector, without `/v1/traces`. */
  readonly otlp: string;
  readonly service: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly version: string;
  readonly env: Environment;
  readonly clock: Clock;
  /** The time on the wall, in ms since 1970. */
  readonly wallMs: () => number;
  /** How long a batch may take, all attempts together. */
  readonly sendMs: number;
  /** Takes a sentence about what is wrong with the environment. */
  readonly problem: (why: string) => void;
}

/** How much longer than it should the exporter may take, before what it does is ended. */
const graceMs = 1_000;

/** Opens no connection before there is something to send. */
export function openTraceSender(settings: TraceSenderSettings): TraceSender {
  const { clock, wallMs, sendMs } = settings;
  const { resource, problem } = traceResource(settings.service, settings.version, settings.env);
  if (problem !== undefined) settings.problem(`OTEL_RESOURCE_ATTRIBUTES is not used: ${problem}`);
  const spans = new ConnectionSpans(resource, settings.version);
  const url = new URL(`${settings.otlp.replace(/\/+$/, "")}/v1/traces`);
  const agent = new (url.protocol === "https:" ? HttpsAgent : HttpAgent)({ keepAlive: true });
  let closed = false;
  hearPartialSuccess();
  const exporter = new OTLPTraceExporter({
    url: url.href,
    timeoutMillis: sendMs,
    httpAgentOptions: () => agent,
    // Asked for before each attempt, so that there is none after the end.
    headers: async () => {
      if (closed) throw new Error("closed");
      return { ...settings.headers };
    },
  });
  return {
    send: (connections) =>
      new Promise((settle) => {
        const timer: TimerHandle = clock.setTimer(() => {
          agent.destroy();
          settle({ ok: false, why: `no whole answer within ${sendMs} ms` });
        }, sendMs + graceMs);
        const offsetMs = wallMs() - clock.nowMs();
        exporter.export(spans.of(connections, offsetMs), ({ code, error }) => {
          clock.clearTimer(timer);
          if (code !== exported) return settle({ ok: false, why: reasonOf(error) });
          settle({ ok: true, ...partial });
          partial = complete;
        });
      }),
    close() {
      closed = true;
      agent.destroy();
    },
  };
}

/** `ExportResultCode.SUCCESS` of @opentelemetry/core. */
const exported = 0;

/** Status and text of an answer, or what kept one from coming. */
function reasonOf(error: (Error & { readonly code?: unknown }) | undefined): string {
  if (error === undefined) return "unknown";
  return typeof error.code === "number" ? `status ${error.code} ${error.message}`.trim() : error.message;
}

const complete = { rejected: 0, why: "" };
/** Of the answer that is being read: the exporter tells of it in this very turn, before it calls back. */
let partial = complete;

/** A collector may take some spans only; the exporter says so nowhere but in its diagnostics, which are one for the process. */
function hearPartialSuccess(): void {
  const nothing = (): void => {};
  const warn = (message: string, ...more: readonly unknown[]): void => {
    const text = more.find((each) => typeof each === "string" && each.startsWith("{"));
    if (message.includes("Partial Success") && typeof text === "string") partial = partialSuccess(text);
  };
  diag.setLogger(
    { error: nothing, warn, info: nothing, debug: nothing, verbose: nothing },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

/** Reads `ExportTracePartialSuccess` in JSON, where a 64-bit number is text (OTLP specification, JSON encoding). */
function partialSuccess(text: string): typeof partial {
  const { rejectedSpans, errorMessage } = JSON.parse(text) as Record<string, unknown>;
  const rejected = Number(rejectedSpans ?? 0);
  const why = typeof errorMessage === "string" ? errorMessage.slice(0, whyCharsMax) : "";
  return { rejected: Number.isSafeInteger(rejected) && rejected > 0 ? rejected : 0, why };
}

/** What a collector says may be of any length; the log gets this much of it. */
const whyCharsMax = 200;
