/** Kinds of values for sending traces: the URL of a collector, the name of the service, the headers of a request. */
import * as v from "valibot";
import { describe, found, sortOf } from "./found.ts";
import { kind } from "./kind.ts";
import { isTable } from "./tidy.ts";

/** The longest URL of a collector; a longer one is refused. */
const URL_CHARS_MAX = 2048;
/** The path that OTLP/HTTP has for traces (OpenTelemetry protocol specification, OTLP/HTTP request). */
const TRACES_PATH = "/v1/traces";

/** The base URL of an OTLP/HTTP collector, without a slash at its end: `/v1/traces` goes behind it. */
export function collectorUrl() {
  const schema = v.pipe(
    v.string(found(URL_WANTED)),
    v.metadata({ pattern: "^https?://", examples: ["http://127.0.0.1:4318", "https://otlp.example.com/base"] }),
    v.rawTransform<string, string>(({ dataset, addIssue, NEVER }) => {
      const message = mistakeInUrl(dataset.value);
      if (message === undefined) return dataset.value.replace(/\/+$/, "");
      addIssue({ message });
      return NEVER;
    }),
  );
  return kind(schema, "", "URL", {});
}

const URL_WANTED = `the URL of a collector such as "http://127.0.0.1:4318"`;

/** What is wrong with it, in words. What might hold a password or a key is not repeated. */
function mistakeInUrl(text: string): string | undefined {
  if (text.length > URL_CHARS_MAX) return `found a URL of more than ${URL_CHARS_MAX} characters, wanted ${URL_WANTED}`;
  const headers = "what a collector asks for belongs into tracing.headers";
  if (/[?#]/.test(text)) return `found a URL with a query or a fragment, wanted it without: ${headers}`;
  if (text.includes("@")) return `found a URL with a user or a password, wanted it without: ${headers}`;
  const wanted = (words: string) => found(words)({ input: text });
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return wanted(`a URL with its scheme, such as "http://127.0.0.1:4318"`);
  if (!/^https?:\/\//i.test(text))
    return wanted(`http:// or https:// (OTLP over HTTP), such as "http://127.0.0.1:4318"`);
  const url = URL.parse(text);
  // A URL is read with more patience than is good for a configuration: without slashes, with spaces and tabs.
  if (url === null || !/^https?:\/\/[^/]/i.test(text) || /[^\x21-\x7e]|\\/.test(text)) return wanted(URL_WANTED);
  if (url.port === "0") return wanted("a port from 1 to 65535");
  if (url.pathname.replace(/\/+$/, "").endsWith(TRACES_PATH)) {
    return wanted(`the URL without ${TRACES_PATH}, which is appended to it`);
  }
  return undefined;
}

/** A name for people and queries, one line. */
export function serviceName() {
  const wanted = found("a name of 1 to 255 characters, without control characters");
  // No regex of valibot's: the pattern would reach the JSON Schema, whose readers know no \p.
  const isName = (text: string) => /^[^\p{Cc}\u2028\u2029]{1,255}$/u.test(text);
  return kind(v.pipe(v.string(wanted), v.check(isName, wanted)), "", "text", {});
}

/** More headers than any collector asks for; a mistake. */
const HEADERS_MAX = 32;
/** What the exporter or HTTP itself says, in small letters. */
const headersOfOurs: ReadonlySet<string> = new Set([
  "content-type",
  "content-length",
  "content-encoding",
  "host",
  "connection",
  "transfer-encoding",
]);

/** Headers of a request, by name. Their values are secrets. */
export function headers() {
  const wanted = `wanted a table such as { x-api-key = "…" }, or x-api-key=… in a variable`;
  const schema = v.pipe(
    v.custom<Record<string, unknown>>(isTable, (issue) => `found ${sortOf(issue.input)}, ${wanted}`),
    v.metadata({ type: "object", additionalProperties: { type: "string" } }),
    v.rawTransform<Record<string, unknown>, Readonly<Record<string, string>>>(({ dataset, addIssue, NEVER }) => {
      const message = mistakeInHeaders(Object.entries(dataset.value));
      if (message === undefined) return { ...(dataset.value as Record<string, string>) };
      addIssue({ message });
      return NEVER;
    }),
  );
  return {
    ...kind(schema, "", "table of headers (secret)", { fromText: headersFromText, toToml: (value) => value }),
    secret: true,
  } as const;
}

/** A token of HTTP (RFC 9110 section 5.6.2). */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;
/** Printable ASCII, with spaces inside. */
const HEADER_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?$/;

/** A name is shown only when it is one: a table the wrong way round has the secret there. */
function mistakeInHeaders(entries: readonly [string, unknown][]): string | undefined {
  if (entries.length > HEADERS_MAX) return `found ${entries.length} headers, wanted at most ${HEADERS_MAX}`;
  const names = entries.map(([name]) => name.toLowerCase());
  for (const [index, [name, value]] of entries.entries()) {
    if (!HEADER_NAME.test(name) || name === "__proto__") {
      return 'found a name that no header has, wanted letters, digits and "-", at most 64';
    }
    if (headersOfOurs.has(names[index]!))
      return `found ${describe(name)}, which is not for you to set, wanted it left out`;
    if (names.indexOf(names[index]!) !== index) return `found ${describe(name)} twice, wanted each header once`;
    if (typeof value !== "string" || !HEADER_VALUE.test(value)) {
      const what = typeof value === "string" ? "text with other characters" : sortOf(value);
      return `${describe(name)}: found ${what}, wanted printable ASCII characters, 1 to 4_096`;
    }
  }
  return undefined;
}

/** `x-api-key=secret,x-tenant=a%20b`: percent-encoded, as OTEL_EXPORTER_OTLP_HEADERS is (OpenTelemetry, OTLP exporter configuration). */
function headersFromText(text: string): unknown {
  const headers: Record<string, string> = {};
  for (const part of text.trim() === "" ? [] : text.split(",")) {
    const [, name, value] = /^\s*([^=]*?)\s*=\s*(.*?)\s*$/s.exec(part) ?? [];
    if (name === undefined || value === undefined || Object.hasOwn(headers, name)) return text;
    try {
      headers[name] = decodeURIComponent(value);
    } catch {
      return text;
    }
  }
  return headers;
}
