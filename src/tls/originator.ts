/** Speaks TLS to a backend's endpoints. */
import type { X509Certificate } from "node:crypto";
import { isIp } from "../core/address.ts";
import type { ProxySocket } from "../forward/receiver.ts";
import type { ClientCredentials } from "./credentials.ts";
import type { Handshake, HandshakeOwner, SecuredFacts } from "./handshake.ts";
import { codeOf, reasonOf, wrongName } from "./reason.ts";
import type { SecureContext } from "./secure-context.ts";
import { SecureSocket } from "./secure-socket.ts";
import type { Side, TlsOptions, TlsSocket } from "./side.ts";

/** So many names have a session kept for them; beyond that all are forgotten, which costs full handshakes. */
const sessionNamesMax = 1024;

/** One for each backend with TLS, for as long as the backend lives. */
export class Originator {
  #credentials: ClientCredentials;
  /** By name. They belong to the credentials: a session that was verified with some may not be resumed with others. */
  #sides = new Map<string, ClientSide>();

  constructor(credentials: ClientCredentials) {
    this.#credentials = credentials;
  }

  /** Handshakes from now on are made with these. */
  replace(credentials: ClientCredentials): void {
    this.#credentials = credentials;
    this.#sides = new Map();
  }

  /** Begins a handshake with an endpoint. `host` is its name or IP address as configured. */
  begin(socket: ProxySocket, host: string, owner: HandshakeOwner): Handshake {
    return SecureSocket.begin(socket, undefined, this.#side(this.#credentials.serverName ?? host), owner);
  }

  #side(name: string): ClientSide {
    let side = this.#sides.get(name);
    if (side !== undefined) return side;
    if (this.#sides.size >= sessionNamesMax) this.#sides.clear();
    this.#sides.set(name, (side = new ClientSide(name, this.#credentials)));
    return side;
  }
}

/** The client's part; the same one for all handshakes for one name. */
class ClientSide implements Side {
  readonly isServer = false;
  readonly context: SecureContext;
  readonly tls: TlsOptions;
  readonly #verify: boolean;
  /** The endpoint's IP address, where that is what its certificate has to be for. */
  readonly #address: string | undefined;
  /** The ticket that came last, to resume its session. */
  #ticket: Uint8Array | undefined = undefined;

  constructor(name: string, { context, verify, alpn }: ClientCredentials) {
    this.context = context;
    this.#verify = verify;
    this.#address = isIp(name) ? name : undefined;
    this.tls = {
      // An IP address may not be sent as a name (RFC 6066, section 3). Without a name Bun looks for "localhost" in the
      // certificate (Bun 1.4.5), so that what is verified of an address is `judge`'s.
      serverName: this.#address === undefined ? name : "",
      // Said in so many words: the environment variable NODE_TLS_REJECT_UNAUTHORIZED changes what happens otherwise (Bun 1.4.5).
      rejectUnauthorized: verify && this.#address === undefined,
      ...(alpn.length === 0 ? {} : { ALPNProtocols: alpn }),
    };
  }

  opened(socket: TlsSocket): void {
    if (this.#ticket !== undefined) socket.setSession(this.#ticket);
  }

  judge(socket: TlsSocket, agreed: boolean, refusal: Error | null): SecuredFacts | string {
    // Bun looks at the chain and at the name even where nothing is to be verified, and goes on then; at the name last, so
    // that a chain that is not to be trusted is never told as a wrong name (Bun 1.4.5).
    const forAddress = this.#address !== undefined && codeOf(refusal) === wrongName;
    const verified = refusal === null ? agreed : forAddress;
    const failed = !agreed && (refusal === null || codeOf(refusal) === "EPROTO");
    const good = this.#verify ? verified : !failed;
    if (!good) return reasonOf(refusal);
    if (this.#verify && this.#address !== undefined) {
      const certificate = socket.getPeerX509Certificate() as X509Certificate | undefined;
      if (certificate?.checkIP(this.#address) === undefined) return `the certificate is not for ${this.#address}`;
    }
    return { clientName: undefined, alpn: socket.alpnProtocol || undefined };
  }

  ticketCame(ticket: Uint8Array): void {
    this.#ticket = ticket;
  }
}
