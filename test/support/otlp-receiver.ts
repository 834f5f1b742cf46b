/**
 * A collector for OTLP/HTTP in JSON: decodes what arrives, and holds it against the OTLP specification. Speaks HTTP by
 * hand, so that it can also be one that hangs, breaks off or answers rubbish.
 */
import type { Socket, TCPSocketListener } from "bun";
import { until } from "./until.ts";

/** What it does with a request. */
export type ReceiverMode =
  /** 200, and the spans are kept. */
  | { readonly kind: "ok" }
  /** As `ok`, with a text that says that so many spans were not taken. */
  | { readonly kind: "partial"; readonly rejected: number; readonly message: string }
  /** Reads and does not answer, unless `answerHeld` says so. */
  | { readonly kind: "hang" }
  /** Another status, with headers such as `retry-after: 1`. */
  | { readonly kind: "status"; readonly status: string; readonly headers?: readonly string[] }
  /** Ends the connection without an answer, with FIN or with a reset. */
  | { readonly kind: "close" }
  | { readonly kind: "reset" }
  /** Begins an answer and ends the connection in the middle of it. */
  | { readonly kind: "break"; readonly status: string }
  /** Begins an answer and sends a byte of it now and then, for ever. */
  | { readonly kind: "trickle" }
  /** Not HTTP. */
  | { readonly kind: "rubbish" };

/** A span as it arrived. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  /** 2 = server, 3 = client. */
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly events: readonly { readonly name: string; readonly timeNs: bigint }[];
  /** 0 = unset, 1 = ok, 2 = error. */
  readonly status: { readonly code: number; readonly message: string | undefined };
  readonly resource: Readonly<Record<string, string | number | boolean>>;
  readonly scope: { readonly name: string; readonly version: string | undefined };
}

/** Listens on a free port of 127.0.0.1. */
export class OtlpReceiver {
  mode: ReceiverMode = { kind: "ok" };
  /** Spans of requests that were answered with 200, in their order. */
  readonly spans: ReceivedSpan[] = [];
  /** What was wrong with requests; empty when all is well. */
  readonly mistakes: string[] = [];
  /** Requests that arrived whole, and the headers of the last one. */
  requests = 0;
  headers: Readonly<Record<string, string>> = {};
  /** Connections accepted, and those open now. */
  connections = 0;
  open = 0;

  #held: (() => void)[] = [];
  readonly #listener: TCPSocketListener<{ text: string; timer: Timer | undefined }>;

  constructor() {
    this.#listener = Bun.listen<{ text: string; timer: Timer | undefined }>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => {
          socket.data = { text: "", timer: undefined };
          this.connections++;
          this.open++;
        },
        data: (socket, bytes) => this.#arrived(socket, bytes),
        close: (socket) => {
          clearInterval(socket.data.timer);
          this.open--;
        },
      },
    });
  }

  /** What goes into `tracing.otlp`. */
  get url(): string {
    return `http://127.0.0.1:${this.#listener.port}`;
  }

  /** Resolves when there are so many spans. */
  async received(count: number): Promise<readonly ReceivedSpan[]> {
    const seen = (): string =>
      `${count} spans: ${this.spans.length} came in ${this.requests} requests ${this.mistakes.join("; ")}`;
    await until(() => this.spans.length >= count, seen);
    return this.spans;
  }

  /** Answers, as `ok`, the requests that it hangs on. */
  answerHeld(): void {
    for (const answerIt of this.#held) answerIt();
    this.#held = [];
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
  }

  #arrived(socket: Socket<{ text: string; timer: Timer | undefined }>, bytes: Uint8Array): void {
    // One unit for each byte: lengths in HTTP count bytes.
    socket.data.text += Buffer.from(bytes).toString("latin1");
    for (;;) {
      const request = takeRequest(socket.data.text);
      if (request === undefined) return;
      socket.data.text = request.rest;
      this.requests++;
      this.headers = request.headers;
      this.#answer(socket, request);
    }
  }

  #answer(socket: Socket<{ text: string; timer: Timer | undefined }>, request: HttpRequest): void {
    const { mode } = this;
    switch (mode.kind) {
      case "ok":
        this.#keep(request);
        return void socket.write(answer("200 OK", "{}"));
      case "partial": {
        this.#keep(request);
        // A 64-bit number is text (OTLP specification, JSON protobuf encoding).
        const partialSuccess = { rejectedSpans: String(mode.rejected), errorMessage: mode.message };
        return void socket.write(answer("200 OK", JSON.stringify({ partialSuccess })));
      }
      case "hang":
        this.#held.push(() => {
          this.#keep(request);
          socket.write(answer("200 OK", "{}"));
        });
        return;
      case "status":
        return void socket.write(answer(mode.status, "{}", mode.headers));
      case "close":
        return void socket.end();
      case "reset":
        return void socket.terminate();
      case "break":
        socket.write(`HTTP/1.1 ${mode.status}\r\ncontent-length: 100\r\n\r\n{`);
        return void socket.end();
      case "trickle":
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{");
        socket.data.timer = setInterval(() => void socket.write(" "), 20);
        return;
      case "rubbish":
        return void socket.write("this is not HTTP\r\n\r\n");
    }
  }

  #keep({ line, headers, body }: HttpRequest): void {
    if (line !== "POST /v1/traces HTTP/1.1") this.mistakes.push(`the request line ${line}`);
    if (headers["content-type"] !== "application/json") this.mistakes.push(`type ${headers["content-type"]}`);
    try {
      this.spans.push(...decodeTraces(JSON.parse(Buffer.from(body, "latin1").toString("utf8"))));
    } catch (error) {
      this.mistakes.push(String(error));
    }
  }
}

interface HttpRequest {
  readonly line: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly rest: string;
}

/** The first request of a text, with its body by length or in chunks; `undefined` before it is whole. */
function takeRequest(text: string): HttpRequest | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const [line = "", ...fields] = text.slice(0, end).split("\r\n");
  const headers = Object.fromEntries(
    fields.map((field) => {
      const colon = field.indexOf(":");
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
    }),
  );
  let at = end + 4;
  if (headers["transfer-encoding"] !== "chunked") {
    const length = Number(headers["content-length"] ?? 0);
    if (text.length < at + length) return undefined;
    return { line, headers, body: text.slice(at, at + length), rest: text.slice(at + length) };
  }
  let body = "";
  for (;;) {
    const sizeEnd = text.indexOf("\r\n", at);
    if (sizeEnd === -1) return undefined;
    const size = Number.parseInt(text.slice(at, sizeEnd), 16);
    at = sizeEnd + 2;
    if (text.length < at + size + 2) return undefined;
    body += text.slice(at, at + size);
    at += size + 2;
    if (size === 0) return { line, headers, body, rest: text.slice(at) };
  }
}

function answer(status: string, body: string, headers: readonly string[] = []): string {
  const fields = ["content-type: application/json", `content-length: ${body.length}`, ...headers];
  return `HTTP/1.1 ${status}\r\n${fields.join("\r\n")}\r\n\r\n${body}`;
}

/** Reads ExportTraceServiceRequest in JSON; anything that the specification does not have is an error. */
export function decodeTraces(request: unknown): ReceivedSpan[] {
  return list(request, "resourceSpans").flatMap((ofResource) => {
    const resource = attributesOf((ofResource["resource"] as Json | undefined) ?? {});
    return list(ofResource, "scopeSpans").flatMap((ofScope) => {
      const { name, version } = ofScope["scope"] as { name: string; version: string | undefined };
      return list(ofScope, "spans").map((span) => decodeSpan(span, resource, { name, version }));
    });
  });
}

type Json = Record<string, unknown>;

function decodeSpan(span: Json, resource: ReceivedSpan["resource"], scope: ReceivedSpan["scope"]): ReceivedSpan {
  const status = span["status"] as { code: number; message: string | undefined };
  if (![0, 1, 2].includes(status.code)) throw new Error(`status ${JSON.stringify(status)}`);
  if (typeof span["kind"] !== "number" || span["kind"] < 1 || span["kind"] > 5) throw new Error(`kind ${span["kind"]}`);
  if (typeof span["name"] !== "string" || span["name"] === "") throw new Error("a span without a name");
  const parent = span["parentSpanId"];
  return {
    traceId: id(span["traceId"], 32),
    spanId: id(span["spanId"], 16),
    parentSpanId: parent === undefined || parent === "" ? undefined : id(parent, 16),
    name: span["name"],
    kind: span["kind"],
    startNs: nanoseconds(span["startTimeUnixNano"]),
    endNs: nanoseconds(span["endTimeUnixNano"]),
    attributes: attributesOf(span),
    events: list(span, "events").map((event) => ({
      name: String(event["name"]),
      timeNs: nanoseconds(event["timeUnixNano"]),
    })),
    status: { code: status.code, message: status.message },
    resource,
    scope,
  };
}

/** In JSON, ids are lower-case hex, not base64; all zeros is no id. */
function id(value: unknown, digits: number): string {
  if (typeof value !== "string" || !new RegExp(`^[0-9a-f]{${digits}}$`).test(value) || /^0+$/.test(value)) {
    throw new Error(`the id ${JSON.stringify(value)}`);
  }
  return value;
}

/** fixed64: text of decimal digits. */
function nanoseconds(value: unknown): bigint {
  if (typeof value !== "string" || !/^[1-9][0-9]{18}$/.test(value))
    throw new Error(`the time ${JSON.stringify(value)}`);
  return BigInt(value);
}

function attributesOf(holder: Json): Record<string, string | number | boolean> {
  const attributes: Record<string, string | number | boolean> = {};
  for (const attribute of list(holder, "attributes")) {
    const key = attribute["key"];
    if (typeof key !== "string" || key === "" || key in attributes) throw new Error(`the key ${JSON.stringify(key)}`);
    attributes[key] = valueOf(key, attribute["value"] as Json);
  }
  return attributes;
}

/** AnyValue: exactly one of its fields. */
function valueOf(key: string, value: Json): string | number | boolean {
  const [[kind, content] = [], ...more] = Object.entries(value);
  const fits =
    more.length === 0 &&
    ((kind === "stringValue" && typeof content === "string") ||
      (kind === "boolValue" && typeof content === "boolean") ||
      (kind === "doubleValue" && typeof content === "number") ||
      (kind === "intValue" && Number.isSafeInteger(Number(content))));
  if (!fits) throw new Error(`the value of ${key}: ${JSON.stringify(value)}`);
  return kind === "intValue" ? Number(content) : (content as string | number | boolean);
}

function list(holder: unknown, key: string): Json[] {
  const value = (holder as Json)[key] ?? [];
  if (!Array.isArray(value)) throw new Error(`${key} is no list`);
  return value as Json[];
}
