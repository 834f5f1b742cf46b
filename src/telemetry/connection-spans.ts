/**
 * From connections to spans, as the exporter of OpenTelemetry takes them. Loaded with the exporter only.
 *
 * The spans are made here rather than by a tracer of the SDK: they are over when they are made, so there is nothing to
 * start, to sample or to look up, and a connection costs half as much (bench/micro/tracing.bench.ts).
 */
import { SpanKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import type { Attributes, HrTime, SpanContext, SpanStatus } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import { RandomIdGenerator } from "@opentelemetry/sdk-trace";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import {
  ATTR_CLIENT_ADDRESS,
  ATTR_CLIENT_PORT,
  ATTR_ERROR_TYPE,
  ATTR_NETWORK_PEER_ADDRESS,
  ATTR_NETWORK_PEER_PORT,
  ATTR_NETWORK_TRANSPORT,
  ATTR_NETWORK_TYPE,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
} from "@opentelemetry/semantic-conventions";
import { splitAddress } from "../core/address.ts";
import { isErrorEnd } from "./span-status.ts";
import type { TracedAttempt, TracedConnection, TracedRecord } from "./traced-connection.ts";

/** The subject of the client's certificate. Not stable yet, so named here (semantic conventions 1.45.0). */
const ATTR_TLS_CLIENT_SUBJECT = "tls.client.subject";

/** Makes the spans of a process. */
export class ConnectionSpans {
  readonly #ids = new RandomIdGenerator();
  readonly #resource: Resource;
  readonly #scope: ReadableSpan["instrumentationScope"];

  constructor(resource: Resource, version: string) {
    this.#resource = resource;
    this.#scope = { name: "sluice", version };
  }

  /**
   * The span of each connection, followed by one for each of its attempts. `offsetMs` leads from the program's clock to
   * that on the wall; one for all, so that what was within another thing is so in the trace.
   */
  of(connections: readonly TracedConnection[], offsetMs: number): ReadableSpan[] {
    const spans: ReadableSpan[] = [];
    for (const connection of connections) this.#add(connection, offsetMs, spans);
    return spans;
  }

  #add(
    { record, acceptedAtMs, closedAtMs, attempts }: TracedConnection,
    offsetMs: number,
    spans: ReadableSpan[],
  ): void {
    const traceId = this.#ids.generateTraceId();
    const root = this.#span({
      name: `connection ${record.listener}`,
      kind: SpanKind.SERVER,
      context: this.#context(traceId),
      sinceMs: acceptedAtMs + offsetMs,
      untilMs: closedAtMs + offsetMs,
      attributes: connectionAttributes(record),
      status: isErrorEnd(record.end) ? { code: SpanStatusCode.ERROR, message: record.end } : unset,
    });
    if (record.first_byte_ms !== null) {
      root.events.push({
        name: "first_byte",
        time: hrTime(acceptedAtMs + record.first_byte_ms + offsetMs),
        attributes: {},
      });
    }
    spans.push(root);
    attempts.forEach((attempt, index) => {
      spans.push(
        this.#span({
          name: `connect ${attempt.endpoint}`,
          kind: SpanKind.CLIENT,
          context: this.#context(traceId),
          parent: root.spanContext(),
          sinceMs: attempt.sinceMs + offsetMs,
          untilMs: attempt.untilMs + offsetMs,
          attributes: attemptAttributes(attempt, index + 1, record.backend),
          status: attemptStatus(attempt),
        }),
      );
    });
  }

  #context(traceId: string): SpanContext {
    return { traceId, spanId: this.#ids.generateSpanId(), traceFlags: TraceFlags.SAMPLED };
  }

  #span(span: SpanParts): ReadableSpan {
    return new EndedSpan(span, this.#resource, this.#scope);
  }
}

interface SpanParts {
  readonly name: string;
  readonly kind: SpanKind;
  readonly context: SpanContext;
  readonly parent?: SpanContext;
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly attributes: Attributes;
  readonly status: SpanStatus;
}

class EndedSpan implements ReadableSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly parentSpanContext?: SpanContext;
  readonly startTime: HrTime;
  readonly endTime: HrTime;
  readonly status: SpanStatus;
  readonly attributes: Attributes;
  readonly links: ReadableSpan["links"] = [];
  readonly events: ReadableSpan["events"] = [];
  readonly ended = true;
  readonly droppedAttributesCount = 0;
  readonly droppedEventsCount = 0;
  readonly droppedLinksCount = 0;
  readonly resource: Resource;
  readonly instrumentationScope: ReadableSpan["instrumentationScope"];
  readonly #context: SpanContext;

  constructor(parts: SpanParts, resource: Resource, scope: ReadableSpan["instrumentationScope"]) {
    this.name = parts.name;
    this.kind = parts.kind;
    this.#context = parts.context;
    if (parts.parent !== undefined) this.parentSpanContext = parts.parent;
    this.startTime = hrTime(parts.sinceMs);
    this.endTime = hrTime(parts.untilMs);
    this.status = parts.status;
    this.attributes = parts.attributes;
    this.resource = resource;
    this.instrumentationScope = scope;
  }

  get duration(): HrTime {
    const [seconds, nanos] = [this.endTime[0] - this.startTime[0], this.endTime[1] - this.startTime[1]];
    return nanos < 0 ? [seconds - 1, nanos + 1e9] : [seconds, nanos];
  }

  spanContext(): SpanContext {
    return this.#context;
  }
}

const unset: SpanStatus = { code: SpanStatusCode.UNSET };

/** Numbers are whole: the exporter writes one that happens to be whole as another type than one that is not. */
function connectionAttributes(record: TracedRecord): Attributes {
  const attributes: Attributes = network(record.client);
  const client = splitAddress(record.client);
  if (client !== undefined) {
    attributes[ATTR_CLIENT_ADDRESS] = client.host;
    attributes[ATTR_CLIENT_PORT] = client.port;
  }
  if (record.sni !== null) attributes[ATTR_SERVER_ADDRESS] = record.sni;
  if (record.client_cert !== undefined) attributes[ATTR_TLS_CLIENT_SUBJECT] = record.client_cert;
  if (isErrorEnd(record.end)) attributes[ATTR_ERROR_TYPE] = record.end;
  attributes["sluice.id"] = record.id;
  attributes["sluice.listener"] = record.listener;
  if (record.backend !== null) attributes["sluice.backend"] = record.backend;
  if (record.endpoint !== null) attributes["sluice.endpoint"] = record.endpoint;
  if (record.route !== null) attributes["sluice.route"] = record.route;
  attributes["sluice.bytes_to_backend"] = record.bytes_to_backend;
  attributes["sluice.bytes_to_client"] = record.bytes_to_client;
  attributes["sluice.attempts"] = record.attempts;
  if (record.engine !== null) attributes["sluice.engine"] = record.engine;
  attributes["sluice.end"] = record.end;
  if (record.reason !== undefined) attributes["sluice.reason"] = record.reason;
  return attributes;
}

function attemptAttributes({ endpoint, failure }: TracedAttempt, count: number, backend: string | null): Attributes {
  const attributes: Attributes = network(endpoint);
  const address = splitAddress(endpoint);
  if (address !== undefined) {
    attributes[ATTR_SERVER_ADDRESS] = attributes[ATTR_NETWORK_PEER_ADDRESS] = address.host;
    attributes[ATTR_SERVER_PORT] = attributes[ATTR_NETWORK_PEER_PORT] = address.port;
  } else {
    const path = endpoint.replace(/^unix:/, "");
    attributes[ATTR_SERVER_ADDRESS] = attributes[ATTR_NETWORK_PEER_ADDRESS] = path;
  }
  if (failure !== undefined) attributes[ATTR_ERROR_TYPE] = failure;
  if (backend !== null) attributes["sluice.backend"] = backend;
  attributes["sluice.endpoint"] = endpoint;
  attributes["sluice.attempt"] = count;
  return attributes;
}

function attemptStatus({ failure, reason }: TracedAttempt): SpanStatus {
  return failure === undefined ? unset : { code: SpanStatusCode.ERROR, message: reason ?? failure };
}

/** What kind of connection leads to an address. */
function network(address: string): Attributes {
  if (address.startsWith("unix:")) return { [ATTR_NETWORK_TRANSPORT]: "unix" };
  return { [ATTR_NETWORK_TRANSPORT]: "tcp", [ATTR_NETWORK_TYPE]: address.startsWith("[") ? "ipv6" : "ipv4" };
}

/** Seconds and nanoseconds of a time of the wall clock in ms. */
function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  // Below a second, whatever rounding does.
  return [seconds, Math.min(999_999_999, Math.round((ms - seconds * 1000) * 1e6))];
}
