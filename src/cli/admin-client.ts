/** Asks the admin server of a running sluice, each time within a deadline, and says in words what came of it. */
import { formatAddress, parseAddress } from "../core/address.ts";
import type { Parsed } from "../core/result.ts";

/** What came of a question. */
export type AdminAnswer =
  /** The head of an answer, and its body where that was asked for. */
  | { readonly kind: "answered"; readonly status: number; readonly body: string }
  /** No answer that can be used; `why` completes "cannot ask URL: …". */
  | { readonly kind: "failed"; readonly why: string };

/** How to ask. */
export interface Question {
  /** How long all of the answer may take. */
  readonly timeoutMs: number;
  /** Whether the body is read; without it the answer is there with its head, whatever the body does. */
  readonly body: boolean;
}

/** The largest body that is read; a larger one is no answer. 100,000 connections stay below it. */
const bodyBytesMax = 64 * 1024 * 1024;

/** What a header can carry (RFC 9110, section 5.5), without blanks: a token has none (RFC 6750, section 2.1). */
const headerText = /^[\x21-\x7e]+$/;

/** Whether a text can be sent as a bearer token. */
export function isSendable(token: string): boolean {
  return headerText.test(token);
}

/** Of one server; keeps its connection open between questions. */
export class AdminClient {
  /** `http://127.0.0.1:9900`, perhaps with a path; no slash at the end. */
  readonly url: string;
  readonly #headers: Readonly<Record<string, string>>;

  /** `token` is sent as bearer token unless it is empty; it is sendable. */
  constructor(url: string, token = "") {
    this.url = url;
    this.#headers = { accept: "application/json", ...(token === "" ? {} : { authorization: `Bearer ${token}` }) };
  }

  /**
   * GETs a path, `"/readyz"`. Never rejects, and never takes longer than its deadline: also not while a name is being
   * resolved, which Bun can't take back. Redirects are not followed, so the token goes nowhere else; proxies of the
   * environment (HTTP_PROXY) are not used, since they would be asked for addresses of this machine.
   */
  async get(path: string, { timeoutMs, body }: Question): Promise<AdminAnswer> {
    const abort = new AbortController();
    let timer: Timer | undefined;
    const late = new Promise<AdminAnswer>((settle) => {
      timer = setTimeout(() => {
        settle({ kind: "failed", why: `no answer within ${timeoutMs} ms` });
        abort.abort();
      }, timeoutMs);
    });
    const answered = this.#ask(path, body, abort.signal);
    try {
      return await Promise.race([answered, late]);
    } finally {
      clearTimeout(timer);
      if (!body) abort.abort();
    }
  }

  async #ask(path: string, wantsBody: boolean, signal: AbortSignal): Promise<AdminAnswer> {
    try {
      // `proxy: false` is what turns HTTP_PROXY off; "", null and undefined do not, and the types lack it (Bun 1.4.5).
      const options: object = { headers: this.#headers, redirect: "manual", proxy: false, signal };
      const response = await fetch(this.url + path, options as RequestInit);
      const { status } = response;
      if (!wantsBody) return { kind: "answered", status, body: "" };
      const body = await wholeBody(response);
      if (body === undefined)
        return { kind: "failed", why: `the answer is larger than ${bodyBytesMax / 1024 ** 2} MiB` };
      return { kind: "answered", status, body };
    } catch (error) {
      return { kind: "failed", why: inWords(error) };
    }
  }
}

/** `undefined` for one that is too large, of which no more is read. */
async function wholeBody(response: Response): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > bodyBytesMax) return undefined;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function inWords(error: unknown): string {
  const code = String((error as { code?: unknown } | null)?.code ?? "");
  switch (code) {
    // What Bun 1.4.5 calls a connection that could not be made, for whatever reason.
    case "ConnectionRefused":
    case "ECONNREFUSED":
      return "connection refused; nothing listens there";
    case "ConnectionClosed":
    case "ECONNRESET":
    case "EPIPE":
      return "the connection was closed without an answer";
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "DNSException":
      return "the host name can't be resolved";
    default: {
      const message = error instanceof Error ? error.message : String(error);
      return code === "" || message.includes(code) ? message : `${code}: ${message}`;
    }
  }
}

/**
 * Reads where an admin server is: `"127.0.0.1:9900"`, `":9900"` (this machine), `"[::1]:9900"`, or a URL with http or
 * https and perhaps a path. Gives the URL without a slash at its end.
 */
export function parseAdminUrl(text: string): Parsed<string> {
  const wanted = `an address such as "127.0.0.1:9900" or "http://127.0.0.1:9900"`;
  if (!text.includes("://")) {
    const address = parseAddress(text);
    if (!address.ok) return address;
    return address.value.kind === "tcp" ? { ok: true, value: urlOf(address.value) } : { ok: false, wanted };
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol) || url.hostname === "") {
    return { ok: false, wanted };
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    return { ok: false, wanted: "a URL without a user, a query or a fragment" };
  }
  return { ok: true, value: url.origin + url.pathname.replace(/\/+$/, "") };
}

/** The URL of a server that listens at an address; from this machine, where it listens at all of its addresses. */
export function urlOf({ host, port }: { readonly host: string; readonly port: number }): string {
  const reached = host === "" || host === "0.0.0.0" ? "127.0.0.1" : /^[0:]+$/.test(host) ? "::1" : host;
  return `http://${formatAddress({ kind: "tcp", host: reached, port })}`;
}
