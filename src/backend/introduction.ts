/** What is said on a new connection before it is its owner's: the PROXY header and the TLS handshake. */
import { nobody, type ProxySocket } from "../forward/receiver.ts";
import type { Handshake, HandshakeOwner } from "../tls/handshake.ts";
import type { Dial, DialOwner, DialRequest } from "./dial.ts";
import { failureOf, type DialFailure } from "./dial-failure.ts";

/** See above. Told of by the dial beneath, tells its owner. */
export class Introduction implements Dial, DialOwner, HandshakeOwner {
  /** The attempt to connect; set as soon as it has begun. */
  connecting!: Dial;

  readonly #request: DialRequest;
  readonly #owner: DialOwner;
  #handshake: Handshake | undefined = undefined;

  constructor(request: DialRequest, owner: DialOwner) {
    this.#request = request;
    this.#owner = owner;
  }

  cancel(): void {
    if (this.#handshake === undefined) this.connecting.cancel();
    else this.#handshake.cancel();
  }

  dialed(socket: ProxySocket): void {
    const { endpoint, headerInsideTls, tls } = this.#request;
    if (headerInsideTls !== true && !this.#introduced(socket)) return;
    if (tls === undefined) return this.#owner.dialed(socket);
    this.#handshake = tls.begin(socket, endpoint.host, this);
  }

  dialFailed(failed: DialFailure): void {
    this.#owner.dialFailed(failed);
  }

  secured(socket: ProxySocket): void {
    if (this.#request.headerInsideTls !== true || this.#introduced(socket)) this.#owner.dialed(socket);
  }

  /** Writes the header. The buffer of a new connection takes it whole; where it does not, the attempt has failed. */
  #introduced(socket: ProxySocket): boolean {
    const { header } = this.#request;
    if (header === undefined || socket.write(header) === header.byteLength) return true;
    socket.data = nobody;
    socket.terminate();
    this.#owner.dialFailed(failureOf("EPIPE"));
    return false;
  }

  handshakeFailed(reason: string): void {
    this.#owner.dialFailed({ kind: "tls", code: reason });
  }

  handshakeClosed(): void {
    this.#owner.dialFailed(failureOf("ECONNRESET"));
  }

  handlerFailed(error: Error): void {
    this.#owner.handlerFailed(error);
  }
}
