/** What the two sides of a handshake do differently. */
import type { Socket } from "bun";
import type { SecuredFacts } from "./handshake.ts";
import type { SecureContext } from "./secure-context.ts";

/** Bun's TLS socket, with what its types leave out (Bun 1.4.5). */
export type TlsSocket = Omit<Socket<unknown>, "getSession" | "setSession"> & {
  readonly fd: number;
  readonly alpnProtocol: string | false | null;
  setSession(ticket: Uint8Array): void;
};

/** One side's part in a handshake: what is offered, and whether what came of it is good enough. */
export interface Side {
  readonly isServer: boolean;
  readonly context: SecureContext;
  readonly tls: TlsOptions;
  /** Nothing has been sent yet. */
  opened(socket: TlsSocket): void;
  /** The handshake is complete. `refusal` is what Bun found to be wrong with the peer. Returns in words why it is no good. */
  judge(socket: TlsSocket, agreed: boolean, refusal: Error | null): SecuredFacts | string;
  /** The peer sent a session ticket, of a connection that was good enough. */
  ticketCame(ticket: Uint8Array): void;
}

/** The part of Bun's TLS options that belongs to a connection and not to its context. */
export interface TlsOptions {
  readonly serverName?: string;
  readonly requestCert?: boolean;
  readonly rejectUnauthorized?: boolean;
  readonly ALPNProtocols?: Buffer;
}
