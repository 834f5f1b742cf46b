/** The HTTP request of a check (RFC 9112 section 3), and what may be configured of it. */
import { formatAddress } from "../../core/address.ts";
import { assert } from "../../core/assert.ts";
import type { Parsed } from "../../core/result.ts";

/** Visible ASCII: a blank, a line end or a control byte would end the request line or its field early. */
const visible = /^[\x21-\x7e]+$/;

/** Accepts the path of a check, with its query, as it is sent. */
export function parsePath(text: string): Parsed<string> {
  if (text.startsWith("/") && visible.test(text) && !text.includes("#")) return { ok: true, value: text };
  return { ok: false, wanted: `a path such as "/healthz", in visible ASCII ("%20" for a blank) and without "#"` };
}

/** Accepts the host of a check, with or without a port, as it is sent; "" leaves it to `defaultHost`. */
export function parseHost(text: string): Parsed<string> {
  if (text === "" || (visible.test(text) && !/[/?#@\\]/.test(text))) return { ok: true, value: text };
  return { ok: false, wanted: `a host such as "app.example.com" or "app.example.com:8080"` };
}

/** The field `Host` that belongs to an address: without the port that the scheme implies. Of a Unix socket "localhost". */
export function defaultHost(host: string, port: number | undefined, secure: boolean): string {
  if (port === undefined) return "localhost";
  const text = formatAddress({ kind: "tcp", host, port });
  return port === (secure ? 443 : 80) ? text.slice(0, text.lastIndexOf(":")) : text;
}

/** The bytes of `GET path`, asking for the connection to be closed after the answer. */
export function httpRequest(path: string, host: string): Uint8Array {
  assert(parsePath(path).ok && host !== "" && parseHost(host).ok, `a check of ${host}${path} was not refused`);
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    "User-Agent: sluice-health",
    "Accept: */*",
    "Connection: close",
    "",
    "",
  ];
  return new TextEncoder().encode(lines.join("\r\n"));
}
