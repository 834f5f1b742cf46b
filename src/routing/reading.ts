/** One reading of an opening: what the parsers make of it. Each is asked at most once, and only when a condition wants to know. */
import { type ClientHello, peekClientHello } from "../protocol/client-hello.ts";
import { type HttpRequest, peekHttpRequest, peekRequestTarget } from "../protocol/http-request.ts";
import type { Peek } from "../protocol/peek.ts";
import { canonicalPath } from "./path-prefix.ts";

/** Lives for one decision; with further bytes there is a new one. */
export class Reading {
  readonly bytes: Uint8Array;
  #hello: Peek<ClientHello> | undefined;
  #target: Peek<HttpRequest> | undefined;
  #path: Peek<string> | undefined;
  #host: Peek<string> | undefined;

  /** `hello` is that of the TLS session the bytes came through, if it ends here; then the bytes are not looked at for one. */
  constructor(bytes: Uint8Array, hello: ClientHello | undefined) {
    this.bytes = bytes;
    this.#hello = hello === undefined ? undefined : { kind: "done", value: hello, bytes: 0 };
  }

  /** The ClientHello. */
  hello(): Peek<ClientHello> {
    return (this.#hello ??= peekClientHello(this.bytes));
  }

  /** The path of the first HTTP request in its canonical form, known from the end of the request line on. */
  path(): Peek<string> {
    return (this.#path ??= this.#findPath());
  }

  /** The host of the first HTTP request: that of the target, if it has one, beats the field (RFC 9112 section 3.2.2). */
  host(): Peek<string> {
    return (this.#host ??= this.#findHost());
  }

  #peekTarget(): Peek<HttpRequest> {
    return (this.#target ??= peekRequestTarget(this.bytes));
  }

  #findPath(): Peek<string> {
    const target = this.#peekTarget();
    if (target.kind !== "done") return target;
    const { path } = target.value;
    if (!path.startsWith("/")) return noPath;
    return { kind: "done", value: canonicalPath(path), bytes: target.bytes };
  }

  #findHost(): Peek<string> {
    const target = this.#peekTarget();
    if (target.kind !== "done") return target;
    const whole = target.value.host === undefined ? peekHttpRequest(this.bytes) : target;
    if (whole.kind !== "done") return whole;
    const { host } = whole.value;
    return host === undefined ? noHost : { kind: "done", value: host, bytes: whole.bytes };
  }
}

/** `OPTIONS *` and CONNECT have none. */
const noPath: Peek<never> = { kind: "invalid", why: "a request without a path" };
const noHost: Peek<never> = { kind: "invalid", why: "a request without a host" };
