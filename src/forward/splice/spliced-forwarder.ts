/** A session's view of its bytes while the Worker of the splice engine moves them. Lives on the main thread. */
import { errnoName, libc } from "../../sys/libc.ts";
import type { Forwarder, ForwarderOwner, Half, HalfState } from "../forwarder.ts";
import { keepAlive } from "../keepalive.ts";
import { report, toBackend, toClient, type Arena } from "./arena.ts";

/** What a spliced forwarder asks of the engine. */
export interface Lender {
  /** Asks the Worker to give the descriptors of a slot back. */
  askBack(slot: number): void;
  /** From the Worker's clock to the session's, to be added, in ms. */
  readonly clockOffsetMs: number;
}

/** One direction. Its figures are in the arena as long as the slot is the session's, and are kept from then on. */
class SplicedHalf implements Half {
  readonly sinkBuffers = false;
  opposite!: SplicedHalf;
  finished: boolean;
  ended: boolean;
  #arena: Arena | undefined;
  readonly #index: number;
  readonly #clockOffsetMs: number;
  #bytes = 0;
  #activeAtMs = 0;

  constructor(
    arena: Arena,
    index: number,
    readonly sinkFd: number,
    clockOffsetMs: number,
  ) {
    this.#arena = arena;
    this.#index = index;
    this.#clockOffsetMs = clockOffsetMs;
    this.finished = this.ended = arena.endedBefore[index] === 1;
  }

  get state(): HalfState {
    return this.ended ? "ended" : this.finished ? "ending" : "open";
  }

  get bytes(): number {
    return this.#arena?.bytes[this.#index] ?? this.#bytes;
  }

  get queuedBytes(): number {
    return this.#arena?.queued[this.#index] ?? 0;
  }

  get activeAtMs(): number {
    if (this.#arena === undefined) return this.#activeAtMs;
    return this.#arena.activeAtMs[this.#index]! + this.#clockOffsetMs;
  }

  /** The slot becomes somebody else's. */
  freeze(): void {
    this.#bytes = this.bytes;
    this.#activeAtMs = this.activeAtMs;
    this.#arena = undefined;
    this.ended = true;
  }
}

/** See `Forwarder`. Owns the two descriptors, which are lent to the Worker until `returned`. */
export class SplicedForwarder implements Forwarder {
  readonly engine = "splice";
  readonly toBackend: SplicedHalf;
  readonly toClient: SplicedHalf;
  closed = false;

  readonly #slot: number;
  readonly #lender: Lender;
  readonly #owner: ForwarderOwner;
  readonly #clientFd: number;
  readonly #backendFd: number;
  /** How both connections are to be closed; the first word wins. */
  #closing: "finish" | "reset" | undefined = undefined;
  /** Whether the descriptors are back. */
  #returned = false;

  /** The slot is filled in already. */
  constructor(slot: number, arena: Arena, lender: Lender, owner: ForwarderOwner) {
    this.#slot = slot;
    this.#lender = lender;
    this.#owner = owner;
    this.#clientFd = arena.fds[slot * 2 + toBackend]!;
    this.#backendFd = arena.fds[slot * 2 + toClient]!;
    this.toBackend = new SplicedHalf(arena, slot * 2 + toBackend, this.#backendFd, lender.clockOffsetMs);
    this.toClient = new SplicedHalf(arena, slot * 2 + toClient, this.#clientFd, lender.clockOffsetMs);
    this.toBackend.opposite = this.toClient;
    this.toClient.opposite = this.toBackend;
  }

  get activeAtMs(): number {
    return Math.max(this.toBackend.activeAtMs, this.toClient.activeAtMs);
  }

  /** The Worker has done it, before it told that the half has ended. */
  finishSink(): void {}

  /** The Worker does it, from the moment it told of the reset. */
  handOver(): void {}

  close(how: "finish" | "reset"): void {
    if (this.#closing !== undefined) return;
    this.#closing = how;
    if (how === "reset") {
      // At once, so that the peers see a reset even if the process ends before the Worker has let go.
      libc!.resetOnClose(this.#clientFd, true);
      libc!.resetOnClose(this.#backendFd, true);
    }
    if (this.#returned) this.#closeDescriptors();
    else this.#lender.askBack(this.#slot);
  }

  keepAlive(idleMs: number): void {
    keepAlive(this.#clientFd, idleMs);
    keepAlive(this.#backendFd, idleMs);
  }

  /** What the Worker has told about one half. */
  heard(kind: number, direction: number, errno: number): void {
    const half = direction === toBackend ? this.toBackend : this.toClient;
    switch (kind) {
      case report.firstBytes:
        return this.#owner.firstBytesMoved(half);
      case report.finished:
        half.finished = true;
        return this.#owner.sourceFinished(half);
      case report.ended:
        half.ended = true;
        return this.#closing === undefined ? this.#owner.halfEnded(half) : undefined;
      case report.reset:
        half.opposite.ended = true;
        return this.#closing === undefined ? this.#owner.sourceReset(half) : undefined;
      case report.failed:
        return this.failed(`splicing failed: ${errnoName(errno)}`);
    }
  }

  /**
   * The descriptors are back: nobody else uses them any more, and the slot is given away. Without having been asked for,
   * they come back when the Worker has died or ends.
   */
  returned(): void {
    this.#returned = true;
    this.toBackend.freeze();
    this.toClient.freeze();
    if (this.#closing === undefined) return this.#owner.engineFailed();
    this.#closeDescriptors();
    this.#owner.connectionsClosed();
  }

  /** Something of ours threw while it was told of a report. */
  failed(mistake: unknown): void {
    this.#owner.handlerFailed(mistake instanceof Error ? mistake : new Error(String(mistake)));
  }

  #closeDescriptors(): void {
    if (this.closed) return;
    this.closed = true;
    libc!.close(this.#clientFd);
    libc!.close(this.#backendFd);
  }
}
