/** What a socket's events go to, and the one handler object that all sockets of the connection path share. */
import type { Socket, SocketHandler } from "bun";

/**
 * Whoever a socket's events belong to at this moment: a listener or a dial until it is open, then the reader of the
 * opening, then a half. `socket.data` points at it, so that no event ever asks for a phase.
 */
export interface Receiver {
  /** The socket is connected. For an accepted socket `socket.data` is still the listener. */
  opened(socket: ProxySocket): void;
  /** Bytes arrived. They may still come after `pause()`: a reset pushes what the kernel held (Bun 1.4.5). */
  received(chunk: Uint8Array): void;
  /** The peer sent FIN; nothing more will arrive. Not called when we had sent ours: then `closed` comes at once. */
  finished(): void;
  /** The socket takes bytes again. Also called for no reason: after `pause()`, `resume()` and a FIN (Bun 1.4.5). */
  writable(): void;
  /** The descriptor is gone. Called inside our own `end()` and `terminate()` too. An error means a reset or a dead peer. */
  closed(error: Error | undefined): void;
  /** A handler above threw: our own mistake, which must cost this session and no other. */
  failed(error: Error): void;
}

/**
 * A socket of the connection path: Bun's own TCP socket, or a connection under TLS (tls/secure-socket.ts) that behaves
 * like one. `fd` (-1 once closed) is missing in the types of Bun 1.4.5.
 */
export type ProxySocket = Pick<
  Socket<Receiver>,
  | "data"
  | "pause"
  | "resume"
  | "shutdown"
  | "close"
  | "terminate"
  | "setNoDelay"
  | "setKeepAlive"
  | "remoteAddress"
  | "remotePort"
  | "localAddress"
  | "localPort"
> & {
  readonly fd: number;
  /** Says that `fd` carries ciphertext: nobody may read from it, write to it or take it away. */
  readonly overTls?: true;
  /** Takes what there is room for and returns how much; below zero when the connection is broken. Wants no offset without a length. */
  write(bytes: Uint8Array, offset?: number, length?: number): number;
};

/** The handlers of every socket of the connection path, for `Bun.listen` and `Bun.connect`. */
export const socketHandlers: SocketHandler<Receiver> = {
  binaryType: "uint8array",
  open(socket) {
    // `fd` is there, though not in the types.
    socket.data.opened(socket as Socket<Receiver> & { readonly fd: number });
  },
  data(socket, chunk) {
    socket.data.received(chunk);
  },
  end(socket) {
    socket.data.finished();
  },
  drain(socket) {
    socket.data.writable();
  },
  close(socket, error) {
    socket.data.closed(error);
  },
  connectError(socket, error) {
    try {
      socket.data.closed(error);
    } catch (mistake) {
      // Bun 1.4.5 does not give it to `error`: it would be the rejection of `Bun.connect`, which nobody hears.
      socket.data.failed(mistake instanceof Error ? mistake : new Error(String(mistake)));
    }
  },
  error(socket, error) {
    socket.data.failed(error);
  },
};

/** For sockets that nobody waits for any more: what still happens to them is no news. */
export const nobody: Receiver = {
  opened() {},
  received() {},
  finished() {},
  writable() {},
  closed() {},
  failed() {},
};
