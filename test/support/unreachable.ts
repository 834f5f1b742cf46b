/** Places on loopback where a connect does not succeed: one that stays silent, and one that refuses. */
import { Backend, type ConnectionHandler } from "./backend.ts";
import { tcpSockets } from "./descriptors.ts";
import { acceptOn, bindLoopback, closeDescriptor, listenOn } from "./libc.ts";
import { connect, type Peer } from "./peer.ts";
import { until } from "./until.ts";

/** A host that never answers a SYN, as a dead machine or a firewall does. */
export interface SilentHost extends AsyncDisposable {
  readonly port: number;
  readonly address: string;
  /** Connects that wait for an answer at present (SYN-SENT), of any process. */
  attempts(): number;
  /**
   * Answers from now on: what waits gets through with its next SYN (Linux sends it again after 1 s, 3 s, 7 s).
   * The connection that had filled the queue is ended and not handed out.
   */
  open(handler?: ConnectionHandler): Promise<Backend>;
}

/**
 * A listener on 127.0.0.1 whose accept queue is full, so that the kernel drops every further SYN. It takes one
 * connection of its own to fill it: the queue's bound is zero, and Linux lets in one more than the bound.
 */
export async function silentHost(): Promise<SilentHost> {
  const { fd, port } = bindLoopback();
  listenOn(fd, 0);
  const filler = await connect(port);
  await until(
    () => queueLength(port) === 1,
    () => `the accept queue of port ${port} to be full: ${queueLength(port)} in it`,
  );
  let state: { kind: "silent"; filler: Peer } | { kind: "open"; backend: Backend } = { kind: "silent", filler };

  return {
    port,
    address: `127.0.0.1:${port}`,
    attempts: () =>
      tcpSockets(port).filter((socket) => socket.remotePort === port && socket.state === "SYN_SENT").length,
    async open(handler) {
      if (state.kind === "open") return state.backend;
      await state.filler[Symbol.asyncDispose]();
      closeDescriptor(acceptOn(fd));
      listenOn(fd, 512);
      state = { kind: "open", backend: new Backend(handler, { fd, port }) };
      return state.backend;
    },
    async [Symbol.asyncDispose]() {
      if (state.kind === "open") return state.backend[Symbol.asyncDispose]();
      await state.filler[Symbol.asyncDispose]();
      closeDescriptor(fd);
    },
  };
}

/** A port of 127.0.0.1 that refuses: held, so that nobody else gets it, and without a listener. */
export interface RefusedPort extends Disposable {
  readonly port: number;
  readonly address: string;
}

/** See `RefusedPort`. */
export function refusedPort(): RefusedPort {
  const { fd, port } = bindLoopback();
  return { port, address: `127.0.0.1:${port}`, [Symbol.dispose]: () => closeDescriptor(fd) };
}

/** The kernel shows the length of a listening socket's accept queue as its receive queue. */
function queueLength(port: number): number {
  return (
    tcpSockets(port).find((socket) => socket.localPort === port && socket.state === "LISTEN")?.receiveQueueBytes ?? 0
  );
}
