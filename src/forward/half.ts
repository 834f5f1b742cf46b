/**
 * One direction of a forwarder: takes what arrives at one socket and writes it to the other. The hot path.
 *
 * A half is `open` until its source has finished; `ending` while bytes that arrived before are still queued; `ended`
 * when nothing is left to do. A small chunk is written at the end of the turn it came in, a larger one at once; only what
 * `write` did not take is kept, and then the source is paused until all of it is gone. So a half holds at most the chunk
 * that did not fit (512 KiB: what Bun reads at once) and a small one before it, but for one case: a reset of a paused
 * source pushes what its receive buffer held (Bun 1.4.5).
 */
import { assert } from "../core/assert.ts";
import { libc } from "../sys/libc.ts";
import type { ProxySocket, Receiver } from "./receiver.ts";
import { postpone, type Postponed } from "./turn.ts";

/** A larger chunk is written where it arrives: its bytes are in the cache, and what its write costs is not the wake-up. */
const postponedBytesMax = 4096;

/** How far a half is; see above. */
export type HalfState = "open" | "ending" | "ended";

/** Whom a half tells about the rare events; the session. Never called for a chunk. */
export interface HalfOwner {
  /** The first bytes of this direction were taken by the sink. */
  firstBytesMoved(half: Half): void;
  /** The source sent FIN. */
  sourceFinished(half: Half): void;
  /** The half is `ended`: its source is at its end and its queue is empty. The sink has not been told. */
  halfEnded(half: Half): void;
  /** The source's descriptor is gone; an error means that its peer reset or died. */
  sourceClosed(half: Half, error: Error | undefined): void;
  /** The sink refused bytes: its peer reset or died. What that peer sent before may still arrive. */
  sinkBroken(half: Half): void;
  /** A handler threw. */
  handlerFailed(error: Error): void;
}

/** Tells the time of a coarse clock, in ms, as a plain field: reading it costs nothing. */
export interface CoarseClock {
  readonly nowMs: number;
}

/** Reads from `source`, writes to `sink`. */
export class Half implements Receiver, Postponed {
  state: HalfState = "open";
  /** Bytes that the sink's kernel has taken. */
  bytes = 0;
  /** When the sink last took bytes, on the coarse clock. Bytes that are merely queued are no activity. */
  activeAtMs: number;
  /** Bytes that arrived and that the sink has not taken yet. */
  queuedBytes = 0;
  /** Whether the source is paused because of us. */
  paused = false;
  /** How often the source was paused; equals the resumes once everything has moved. */
  pauses = 0;
  resumes = 0;
  /** The other direction, which reads from our sink. Set once both halves exist. */
  opposite!: Half;

  readonly #owner: HalfOwner;
  readonly #clock: CoarseClock;
  /** Chunks not yet taken, oldest first; made at the first one, empty when `queuedBytes` is 0. */
  #queue: Uint8Array[] | null = null;
  /** A small chunk to be written at the end of the turn. Never there while bytes are queued, nor when the half has ended. */
  #postponed: Uint8Array | null = null;
  /** Bytes of `queue[0]` that the sink has taken. */
  #taken = 0;

  constructor(
    readonly source: ProxySocket,
    readonly sink: ProxySocket,
    owner: HalfOwner,
    clock: CoarseClock,
  ) {
    this.#owner = owner;
    this.#clock = clock;
    this.activeAtMs = clock.nowMs;
  }

  /** Takes over what arrived before there was a sink; `paused` says whether the source had to be stopped for it. */
  begin(chunks: readonly Uint8Array[], paused: boolean): void {
    this.paused = paused;
    if (paused) this.pauses++;
    for (const chunk of chunks) this.received(chunk);
    if (this.queuedBytes === 0 && this.state === "open") this.#resume();
  }

  received(chunk: Uint8Array): void {
    if (this.state !== "open") return; // The sink is gone: there is nobody left to give this to.
    if (this.queuedBytes !== 0) {
      this.#queue!.push(chunk);
      this.queuedBytes += chunk.byteLength;
      return;
    }
    if (this.#postponed !== null) {
      this.#writePostponed(false);
      return this.received(chunk);
    }
    if (chunk.byteLength > postponedBytesMax) return this.#write(chunk, 0);
    this.#postponed = chunk;
    postpone(this);
  }

  /** Bytes that wait for the end of the turn. */
  get postponedBytes(): number {
    return this.#postponed === null ? 0 : this.#postponed.byteLength;
  }

  /**
   * Only what comes first from the backend is looked at: a whole answer and the end is what short sessions consist of, and
   * for the others a look costs more than it finds.
   */
  get finFd(): number {
    return this.bytes === 0 && this.#postponed !== null && this.opposite.bytes !== 0 ? this.source.fd : -1;
  }

  endOfTurn(finFollows: boolean): void {
    this.#writePostponed(finFollows);
  }

  #writePostponed(finFollows: boolean): void {
    const chunk = this.#postponed;
    if (chunk === null) return;
    this.#postponed = null;
    // What went wrong, or did not fit, is met again by Bun's own write, which then tells when there is room.
    const taken = finFollows ? Math.max(0, libc!.sendMore(this.sink.fd, chunk)) : 0;
    if (taken === chunk.byteLength) this.#moved(taken);
    else this.#write(chunk, taken);
  }

  /** Writes a chunk, of which the sink has taken the first `before` bytes already, and keeps what is left. */
  #write(chunk: Uint8Array, before: number): void {
    const written = before === 0 ? this.sink.write(chunk) : this.sink.write(chunk, before, chunk.byteLength - before);
    const taken = written < 0 ? written : before + written;
    if (taken === chunk.byteLength) this.#moved(taken);
    else this.#keep(chunk, taken);
  }

  finished(): void {
    this.#writePostponed(false);
    if (this.state !== "open") return;
    this.#owner.sourceFinished(this);
    this.endWhenEmpty();
  }

  /** Our source takes bytes again: news for the opposite half, which writes to it. */
  writable(): void {
    this.opposite.#flush();
  }

  closed(error: Error | undefined): void {
    this.#writePostponed(false);
    this.#owner.sourceClosed(this, error);
  }

  failed(error: Error): void {
    this.#owner.handlerFailed(error);
  }

  opened(): void {
    assert(false, "a half got a socket that was not open yet");
  }

  /** No more bytes will come from the source: end now, or as soon as the queue is empty. */
  endWhenEmpty(): void {
    if (this.state !== "open") return;
    if (this.queuedBytes !== 0) {
      this.state = "ending";
      return;
    }
    this.state = "ended";
    this.#owner.halfEnded(this);
  }

  /** Gives up this direction: what is queued, and what may still arrive, is dropped. */
  discard(): void {
    this.state = "ended";
    this.#postponed = null;
    this.#queue = null;
    this.queuedBytes = 0;
    this.#taken = 0;
  }

  /** The sink takes bytes again, or only seems to. */
  #flush(): void {
    if (this.queuedBytes === 0) return;
    const queue = this.#queue!;
    while (queue.length > 0) {
      const chunk = queue[0]!;
      // `write(bytes, offset)` without a length throws (Bun 1.4.5).
      const left = chunk.byteLength - this.#taken;
      const taken = this.sink.write(chunk, this.#taken, left);
      if (taken < 0) return this.#owner.sinkBroken(this);
      if (taken > 0) {
        this.queuedBytes -= taken;
        this.#moved(taken);
      }
      if (taken < left) {
        this.#taken += taken;
        return;
      }
      this.#taken = 0;
      queue.shift();
    }
    if (this.state === "ending") {
      this.state = "ended";
      this.#owner.halfEnded(this);
    } else {
      this.#resume();
    }
  }

  #resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.resumes++;
    this.source.resume();
  }

  /** Keeps what `write` did not take of a chunk, and stops the source. */
  #keep(chunk: Uint8Array, taken: number): void {
    if (taken < 0) return this.#owner.sinkBroken(this);
    if (taken > 0) this.#moved(taken);
    this.#queue ??= [];
    this.#queue.push(chunk);
    this.#taken = taken;
    this.queuedBytes = chunk.byteLength - taken;
    if (this.paused) return;
    this.paused = true;
    this.pauses++;
    this.source.pause();
  }

  #moved(bytes: number): void {
    this.activeAtMs = this.#clock.nowMs;
    const first = this.bytes === 0;
    this.bytes += bytes;
    if (first) this.#owner.firstBytesMoved(this);
  }
}
