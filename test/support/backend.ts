/** A TCP test server with explicit control: the connections in their order, or a handler for each. */
import type { SocketHandler } from "bun";
import { setReceiveBuffer } from "./libc.ts";
import { ConnectionOver, Peer, peerHandler, type PeerOptions } from "./peer.ts";
import { Waiting } from "./until.ts";

/** What a backend does with a connection. It may end early; what it has not ended is reset with the backend. */
export type ConnectionHandler = (peer: Peer) => void | Promise<void>;

/** Where a backend listens: a free port of 127.0.0.1 by default. `fd` is a listening socket of `port`, taken over. */
export type ListenOptions = PeerOptions & { host?: string; port?: number; unix?: string; fd?: number };

/** Sends back whatever comes, not faster than it is taken, and finishes after the client. */
export async function echo(peer: Peer): Promise<void> {
  for await (const chunk of peer.chunks()) await peer.send(chunk, Infinity);
  await peer.finish(Infinity);
}

/** Listens at once. An error of the handler fails the disposal; that its connection ended under it is none. */
export async function listen(handler?: ConnectionHandler, options: ListenOptions = {}): Promise<Backend> {
  return new Backend(handler, options);
}

/** See `listen`. */
export class Backend {
  /** Every connection so far, in the order of acceptance. */
  readonly connections: Peer[] = [];
  /** 0 for a Unix socket. */
  readonly port: number;
  /** As an endpoint is written: `127.0.0.1:4000`, `[::1]:4000`, `unix:/run/x.sock`. */
  readonly address: string;
  readonly #listener: { stop(): void };
  readonly #handler: ConnectionHandler | undefined;
  readonly #failures: unknown[] = [];
  readonly #waiting = new Waiting();
  #handedOut = 0;

  constructor(
    handler: ConnectionHandler | undefined,
    { host = "127.0.0.1", port = 0, unix, fd, ...options }: ListenOptions,
  ) {
    this.#handler = handler;
    const socket: SocketHandler<Peer, "uint8array"> = {
      ...peerHandler,
      open: (accepted) => {
        const peer = new Peer(`connection ${this.connections.length + 1} of backend ${this.address}`, options);
        accepted.data = peer;
        peer.opened(accepted);
        this.#took(peer);
      },
    };
    const listen = Bun.listen as unknown as (options: object) => { stop(): void; port?: number; fd: number };
    const where = unix !== undefined ? { unix } : fd !== undefined ? { fd } : { hostname: host, port };
    // Bun's types have neither `fd` nor the listener's own `fd`; the runtime does (1.4.5).
    const listener = listen({ ...where, allowHalfOpen: true, socket });
    this.#listener = listener;
    this.port = unix !== undefined ? 0 : (listener.port ?? port);
    this.address = unix !== undefined ? `unix:${unix}` : `${host.includes(":") ? `[${host}]` : host}:${this.port}`;
    if (options.receiveBufferBytes !== undefined && unix === undefined) {
      // Accepted sockets inherit it, so that it holds for the very first window already.
      setReceiveBuffer(listener.fd, options.receiveBufferBytes);
    }
  }

  /** The next connection that has not been handed out yet. */
  accepted(withinMs?: number): Promise<Peer> {
    const index = this.#handedOut++;
    const what = (): string => `connection ${index + 1} of backend ${this.address}: ${this.connections.length} came`;
    return this.#waiting.wait(() => this.connections[index], what, withinMs);
  }

  /** Stops listening; connections stay. Further connects are refused. */
  stopListening(): void {
    this.#listener.stop();
  }

  /** Stops listening and resets what is open; fails with what a handler failed with. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stopListening();
    for (const peer of this.connections) await peer[Symbol.asyncDispose]();
    if (this.#failures.length > 0) {
      throw new AggregateError(this.#failures, `the handler of backend ${this.address} failed: ${this.#failures[0]}`);
    }
  }

  #took(peer: Peer): void {
    this.connections.push(peer);
    this.#waiting.changed();
    void this.#handle(peer);
  }

  async #handle(peer: Peer): Promise<void> {
    try {
      await this.#handler?.(peer);
    } catch (error) {
      if (!(error instanceof ConnectionOver)) this.#failures.push(error);
    }
  }
}
