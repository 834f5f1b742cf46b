/** A TLS handshake under way, as whoever began it sees it. */
import type { ProxySocket } from "../forward/receiver.ts";

/** What a handshake has established. */
export interface SecuredFacts {
  /** The subject of the client's certificate, where one was asked for, shown and verified. */
  readonly clientName: string | undefined;
  /** The application protocol agreed on. */
  readonly alpn: string | undefined;
}

/** Whom a handshake tells. Exactly one of the first three is called, once, and none after `cancel`. */
export interface HandshakeOwner {
  /** From here on the connection is this socket; the owner sets its `data` before any byte of the peer is told. */
  secured(socket: ProxySocket, facts: SecuredFacts): void;
  /** It failed and the connection is being closed; `reason` in a few words, for a log. */
  handshakeFailed(reason: string): void;
  /** The connection was closed or reset meanwhile. */
  handshakeClosed(): void;
  /** A mistake of our own. */
  handlerFailed(error: Error): void;
}

/** A handshake under way. */
export interface Handshake {
  /** Resets the connection; nothing is heard of it afterwards. */
  cancel(): void;
}
