/** What a session knows of whoever moves its bytes: a forwarder of two halves, whichever engine is behind it. */
import type { MoveReason } from "./move-rule.ts";

/** Who moves the bytes of a session; the word in records and `/status`. */
export type Engine =
  /** Bun's sockets: each chunk passes through our own memory. */
  | "copy"
  /** A thread that uses the kernel's calls itself: large reads go from socket to socket by splice(2), unseen. */
  | "splice";

/** How far a half is. `ending`: its source has finished, and bytes that arrived before are still to be passed on. */
export type HalfState = "open" | "ending" | "ended";

/** One direction of a forwarder, as its session sees it. */
export interface Half {
  readonly state: HalfState;
  /** Bytes that the sink's kernel connection has taken. */
  readonly bytes: number;
  /** Bytes that were read and that the sink has not taken yet. */
  readonly queuedBytes: number;
  /** When the sink last took bytes, in ms of the session's clock, which may stand a tick behind. */
  readonly activeAtMs: number;
  /** Whether bytes that the sink has taken may still be in our own memory, where the kernel does not see them. */
  readonly sinkBuffers: boolean;
  /** The descriptor of the sink; below zero once it is gone. */
  readonly sinkFd: number;
  /** The other direction. */
  readonly opposite: Half;
}

/** Moves the bytes of one session, from the moment both sockets are there. */
export interface Forwarder {
  readonly engine: Engine;
  /** Reads from the client, writes to the backend. */
  readonly toBackend: Half;
  /** Reads from the backend, writes to the client. */
  readonly toClient: Half;
  /** When bytes last moved in either direction, in ms of the session's clock. */
  readonly activeAtMs: number;
  /** Whether nothing is left of both connections. */
  readonly closed: boolean;
  /** Sends FIN behind what `half` has passed on. */
  finishSink(half: Half): void;
  /** The source of `half` has reset: what it sent before is still passed on, and the other direction is given up. */
  handOver(half: Half): void;
  /**
   * Closes both connections, `finish`: with FIN after all bytes, or `reset`: with RST. Where that can't be done at once,
   * the owner is told by `connectionsClosed`.
   */
  close(how: "finish" | "reset"): void;
  /** Begins to probe both peers once they are silent for `idleMs`. */
  keepAlive(idleMs: number): void;
}

/** Whom a forwarder tells about the rare events; the session. Never called for a chunk. */
export interface ForwarderOwner {
  /** The first bytes of this direction were taken by the sink. */
  firstBytesMoved(half: Half): void;
  /** The source sent FIN. */
  sourceFinished(half: Half): void;
  /** The half is `ended`: its source is at its end and nothing is queued. The sink has not been told. */
  halfEnded(half: Half): void;
  /** The source's connection is gone, and not because both sides had finished. */
  sourceClosed(half: Half): void;
  /** The peer that `half` reads from has reset or died; what it sent before may still arrive. */
  sourceReset(half: Half): void;
  /** What was left of both connections is gone, some time after `close`. */
  connectionsClosed(): void;
  /** Another engine may move the bytes better. Told again as long as it holds. */
  moveWanted(why: MoveReason): void;
  /** A mistake of our own. */
  handlerFailed(error: Error): void;
  /** The engine has died, which it has said itself. Both connections are to be closed. */
  engineFailed(): void;
}

/** Tells the time of a coarse clock, in ms, as a plain field: reading it costs nothing. */
export interface CoarseClock {
  readonly nowMs: number;
}
