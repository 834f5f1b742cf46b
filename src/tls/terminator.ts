/** Ends the TLS of a listener's clients. */
import { X509Certificate } from "node:crypto";
import type { ProxySocket } from "../forward/receiver.ts";
import type { ClientHello } from "../protocol/client-hello.ts";
import { subjectOf } from "./certificate.ts";
import type { ServerCredentials } from "./credentials.ts";
import type { Handshake, HandshakeOwner, SecuredFacts } from "./handshake.ts";
import { reasonOf } from "./reason.ts";
import type { SecureContext } from "./secure-context.ts";
import { SecureSocket } from "./secure-socket.ts";
import type { Side, TlsOptions, TlsSocket } from "./side.ts";

/** One for each listener with TLS, for as long as the listener lives. */
export class Terminator {
  #credentials: ServerCredentials;
  #sides = new Map<SecureContext, ServerSide>();

  constructor(credentials: ServerCredentials) {
    this.#credentials = credentials;
  }

  /** Handshakes from now on are made with these; tickets that were given out before lead to full handshakes. */
  replace(credentials: ServerCredentials): void {
    this.#credentials = credentials;
    this.#sides = new Map();
  }

  /**
   * Begins the handshake of a client. `bytes` is all that was received so far: the ClientHello, whose content is `hello`,
   * and what came behind it.
   */
  begin(socket: ProxySocket, bytes: Uint8Array, hello: ClientHello, owner: HandshakeOwner): Handshake {
    const { first, byName } = this.#credentials;
    const named = hello.serverName === undefined ? undefined : byName.find(hello.serverName);
    return SecureSocket.begin(socket, bytes, this.#side(named ?? first), owner);
  }

  #side(context: SecureContext): ServerSide {
    let side = this.#sides.get(context);
    if (side === undefined) this.#sides.set(context, (side = new ServerSide(context, this.#credentials)));
    return side;
  }
}

/** The server's part; the same one for all handshakes with one certificate. */
class ServerSide implements Side {
  readonly isServer = true;
  readonly context: SecureContext;
  readonly tls: TlsOptions;
  readonly #clientCert: ServerCredentials["clientCert"];

  constructor(context: SecureContext, { alpn, clientCert }: ServerCredentials) {
    this.context = context;
    this.tls = {
      // Said here as well as in the context: where anything is said here, what is left out is off (Bun 1.4.5).
      requestCert: clientCert !== "none",
      rejectUnauthorized: clientCert === "required",
      // A client that offers nothing is served; one that offers only others gets an alert (RFC 7301, section 3.2).
      ...(alpn.length === 0 ? {} : { ALPNProtocols: alpn }),
    };
    this.#clientCert = clientCert;
  }

  opened(): void {}

  judge(socket: TlsSocket, agreed: boolean, refusal: Error | null): SecuredFacts | string {
    if (!agreed) return reasonOf(refusal);
    const alpn = socket.alpnProtocol || undefined;
    // Where no certificate was asked for, Bun says that it could not verify one (Bun 1.4.5).
    if (this.#clientCert === "none") return { clientName: undefined, alpn };
    const certificate = socket.getPeerX509Certificate() as X509Certificate | undefined;
    if (certificate === undefined) {
      return this.#clientCert === "required" ? "the client has no certificate" : { clientName: undefined, alpn };
    }
    // One that was shown has to be good, even where none is required.
    if (refusal !== null) return `the client's certificate: ${reasonOf(refusal)}`;
    return { clientName: subjectOf(certificate), alpn };
  }

  ticketCame(): void {}
}
