/**
 * A connection under TLS: the handshake, and then a socket like any other of the connection path. It is `shaking` until the
 * handshake is agreed on, `secured` until the descriptor is gone, and `over` from then on or when the handshake has come to
 * nothing.
 *
 * Bun's TLS sockets differ from its plain ones (all Bun 1.4.5), and what differs is made up for here:
 *
 * - `close()` alone sends FIN without close_notify, which a peer takes for a truncation. `shutdown()` sends both.
 * - After a write up to 130 KiB of ciphertext may wait in our own memory for the kernel to take them. `shutdown()` and
 *   `close()` then take effect behind them, and the descriptor stays open until then although `fd` says otherwise.
 *   `terminate()` of a socket closed in this way does nothing, but that of the raw socket beneath does.
 * - A handshake may be called a success together with the reason why the peer's certificate is not to be trusted.
 * - A record that can't be decrypted, or an alert, is told to the handler `error`; `close` comes without an error then.
 * - A FIN without close_notify is told as `end`, as a clean one is.
 */
import type { Socket, SocketHandler } from "bun";
import { nobody, type ProxySocket, type Receiver } from "../forward/receiver.ts";
import { libc } from "../sys/libc.ts";
import type { Handshake, HandshakeOwner, SecuredFacts } from "./handshake.ts";
import { codeOf } from "./reason.ts";
import type { Side, TlsSocket } from "./side.ts";

/** The plain socket that Bun leaves beneath: its object is another one than before. */
type RawSocket = Socket<Receiver> & { readonly fd: number };

/** See above. As a `Handshake` it can be cancelled at any time. */
export class SecureSocket implements ProxySocket, Handshake {
  data: Receiver = nobody;
  readonly overTls = true;

  readonly #side: Side;
  readonly #owner: HandshakeOwner;
  #state: "shaking" | "secured" | "over" = "shaking";
  /** Whether both sides have all they need of the handshake, good or not. */
  #complete = false;
  /** Why the handshake is no good. */
  #refusal: string | undefined = undefined;
  /** What broke the connection, for the `close` that follows without saying so. */
  #failure: Error | undefined = undefined;
  /** Set at the first event, within the upgrade; never for a connection that was gone before. */
  #tls: TlsSocket | undefined = undefined;
  /** The socket beneath, set when the upgrade has returned. */
  #raw: RawSocket | undefined = undefined;

  private constructor(side: Side, owner: HandshakeOwner) {
    this.#side = side;
    this.#owner = owner;
  }

  /**
   * Begins a handshake on a plain socket, whose object is dead from then on. `bytes` is what has been read of it already.
   * A handshake that fails at once is told of within the call.
   */
  static begin(plain: ProxySocket, bytes: Uint8Array | undefined, side: Side, owner: HandshakeOwner): SecureSocket {
    const socket = new SecureSocket(side, owner);
    // The raw socket inherits it. Its handlers are still there, and get every chunk of ciphertext.
    plain.data = nobody;
    if (plain.fd < 0) {
      socket.closed(undefined);
      return socket;
    }
    try {
      socket.#upgrade(plain as RawSocket, bytes);
    } catch (mistake) {
      plain.terminate();
      socket.failed(asError(mistake));
    }
    return socket;
  }

  #upgrade(plain: RawSocket, bytes: Uint8Array | undefined): void {
    const { isServer, context, tls } = this.#side;
    const options: object = {
      data: this,
      socket: secureHandlers,
      allowHalfOpen: true,
      isServer,
      secureContext: context,
      tls,
      initialData: bytes,
    };
    const [raw, secure] = plain.upgradeTLS(options as Parameters<RawSocket["upgradeTLS"]>[0]) as unknown as [
      RawSocket,
      TlsSocket,
    ];
    this.#tls = secure;
    this.#raw = raw;
    // A server's handlers are its listener's, and shared. A client's are its own and can be taken away, which saves a sixth
    // of the CPU time for what is received. One has to be left.
    if (!isServer) raw.reload({ socket: { drain() {} } });
  }

  // The handshake.

  cancel(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.data = nobody;
    this.terminate();
  }

  /** Called by the handlers below. */
  opened(socket: TlsSocket): void {
    this.#tls = socket;
    this.#side.opened(socket);
  }

  shaken(agreed: boolean, refusal: Error | null): void {
    // Told once more by a socket that is closed meanwhile.
    if (this.#state !== "shaking" || this.#refusal !== undefined) return;
    // The peer has finished or was reset; `close` follows.
    if (!agreed && codeOf(refusal) === "ECONNRESET") return;
    this.#complete = agreed;
    const verdict = this.#side.judge(this.#tls!, agreed, refusal);
    if (typeof verdict !== "string") {
      this.#state = "secured";
      return this.#handOver(verdict);
    }
    this.#refusal = verdict;
    // After a mistake in the handshake itself an alert is on its way, and Bun closes. It may not where we are the ones who refuse.
    if (agreed || codeOf(refusal) !== "EPROTO") this.terminate();
  }

  #handOver(facts: SecuredFacts): void {
    try {
      this.#owner.secured(this, facts);
    } catch (mistake) {
      // Whoever the events go to by now need not be somebody who cares.
      this.#owner.handlerFailed(asError(mistake));
    }
  }

  ticketCame(ticket: Uint8Array): void {
    if (this.#state === "secured") this.#side.ticketCame(ticket);
  }

  broken(error: Error): void {
    this.#failure ??= error;
  }

  /** A mistake of our own. */
  failed(error: Error): void {
    if (this.data !== nobody) return this.data.failed(error);
    // Nobody else could close it.
    if (this.#state === "shaking") this.cancel();
    this.#owner.handlerFailed(error);
  }

  closed(error: Error | undefined): void {
    const state = this.#state;
    this.#state = "over";
    if (state === "secured") return this.data.closed(this.#failure ?? error);
    if (state === "over") return;
    if (this.#refusal === undefined) this.#owner.handshakeClosed();
    else this.#owner.handshakeFailed(this.#refusal);
  }

  // The socket.

  /** That of the kernel's socket, for questions about it; -1 once it is closed. */
  get fd(): number {
    return (this.#raw ?? this.#tls)?.fd ?? -1;
  }

  write(bytes: Uint8Array, offset?: number, length?: number): number {
    return offset === undefined ? this.#tls!.write(bytes) : this.#tls!.write(bytes, offset, length);
  }

  pause(): void {
    this.#tls!.pause();
  }

  resume(): void {
    this.#tls!.resume();
  }

  /** Sends close_notify and FIN behind what was written; reading goes on. */
  shutdown(): void {
    this.#tls!.shutdown();
  }

  /** As `shutdown`, and closes; `closed` is told within the call or, where bytes wait for the kernel, when it has taken them. */
  close(): void {
    this.#tls!.shutdown();
    this.#tls!.close();
  }

  /** Resets the connection; `closed` is told within the call. */
  terminate(): void {
    // Before a handshake is complete Bun's own call sends FIN (Bun 1.4.5).
    if (!this.#complete) libc?.resetOnClose(this.fd, true);
    (this.#raw ?? this.#tls)?.terminate();
  }

  setNoDelay(noDelay?: boolean): boolean {
    return this.#tls!.setNoDelay(noDelay);
  }

  setKeepAlive(enable?: boolean, initialDelay?: number): boolean {
    return this.#tls!.setKeepAlive(enable, initialDelay);
  }

  get remoteAddress(): string {
    return this.#tls!.remoteAddress;
  }

  get remotePort(): number {
    return this.#tls!.remotePort;
  }

  get localAddress(): string {
    return this.#tls!.localAddress;
  }

  get localPort(): number {
    return this.#tls!.localPort;
  }
}

/**
 * The handlers of every TLS socket. What a receiver throws is caught here, because Bun gives it to the same handler as what
 * breaks a TLS connection.
 */
const secureHandlers: SocketHandler<SecureSocket, "uint8array"> & {
  session(socket: Socket<SecureSocket>, ticket: Uint8Array): void;
} = {
  binaryType: "uint8array",
  open(socket) {
    const { data: secure } = socket;
    guarded(secure, () => secure.opened(socket as unknown as TlsSocket));
  },
  handshake(socket, agreed, refusal) {
    const { data: secure } = socket;
    guarded(secure, () => secure.shaken(agreed, refusal ?? null));
  },
  session(socket, ticket) {
    socket.data.ticketCame(ticket);
  },
  data(socket, chunk) {
    const { data: secure } = socket;
    try {
      secure.data.received(chunk);
    } catch (mistake) {
      secure.failed(asError(mistake));
    }
  },
  end(socket) {
    const { data: secure } = socket;
    guarded(secure, () => secure.data.finished());
  },
  drain(socket) {
    const { data: secure } = socket;
    try {
      secure.data.writable();
    } catch (mistake) {
      secure.failed(asError(mistake));
    }
  },
  close(socket, error) {
    const { data: secure } = socket;
    guarded(secure, () => secure.closed(error));
  },
  error(socket, error) {
    socket.data.broken(error);
  },
};

function guarded(secure: SecureSocket, what: () => void): void {
  try {
    what();
  } catch (mistake) {
    secure.failed(asError(mistake));
  }
}

function asError(mistake: unknown): Error {
  return mistake instanceof Error ? mistake : new Error(String(mistake));
}
