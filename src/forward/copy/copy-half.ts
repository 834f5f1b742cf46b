/**
 * One direction of the copy engine: takes what arrives at one socket and writes it to the other. The hot path.
 *
 * A half is `open` until its source has finished; `ending` while bytes that arrived before are still queued; `ended`
 * when nothing is left to do. A small chunk is written at the end of the turn it came in, a larger one at once; only what
 * `write` did not take is kept, and then the source is paused until all of it is gone. So a half holds at most the chunk
 * that did not fit (512 KiB: what Bun reads at once) and a small one before it, but for one case: a reset of a paused
 * source pushes what its receive buffer held (Bun 1.4.5).
 */
import { assert } from "../../core/assert.ts";
import { libc } from "../../sys/libc.ts";
import type { MoveRule } from "../move-rule.ts";
import type { CoarseClock, ForwarderOwner, Half, HalfState } from "../forwarder.ts";
import type { ProxySocket, Receiver } from "../receiver.ts";
import { postpone, type Postponed } from "./turn.ts";

/** A larger chunk is written where it arrives: its bytes are in the cache, and what its write costs is not the wake-up. */
const postponedBytesMax = 4096;

/** Reads from `source`, writes to `sink`. */
export class CopyHalf implements Half, Receiver, Postponed {
  state: HalfState = "open";
  bytes = 0;
  /** Bytes that are merely queued are no activity. */
  activeAtMs: number;
  /** Whether the source's descriptor is gone. */
  sourceGone = false;
  /** Whether the source is paused because of us. */
  paused = false;
  /** How often the source was paused; equals the resumes once everything has moved. */
  pauses = 0;
  resumes = 0;
  /** The other direction, which reads from our sink. Set once both halves exist. */
  opposite!: CopyHalf;

  /** Whether both descriptors carry the very bytes that are forwarded: else they are none of the C library's business. */
  readonly #plain: boolean;
  readonly #owner: ForwarderOwner;
  readonly #clock: CoarseClock;
  readonly #rule: MoveRule;
  /** Bytes of the large reads since the last small one. */
  #bulkBytes = 0;
  /** Reads since the count began, and when that was. */
  #reads = 0;
  #readsSinceMs: number;
  /** Chunks not yet taken, oldest first; made at the first one, empty when `#keptBytes` is 0. */
  #queue: Uint8Array[] | null = null;
  /** Bytes of the queue that the sink has not taken. */
  #keptBytes = 0;
  /** A small chunk to be written at the end of the turn. Never there while bytes are queued, nor when the half has ended. */
  #postponed: Uint8Array | null = null;
  /** Bytes of `queue[0]` that the sink has taken. */
  #taken = 0;

  constructor(
    readonly source: ProxySocket,
    readonly sink: ProxySocket,
    owner: ForwarderOwner,
    clock: CoarseClock,
    rule: MoveRule,
  ) {
    this.#plain = source.overTls !== true && sink.overTls !== true;
    this.#owner = owner;
    this.#clock = clock;
    this.#rule = rule;
    this.activeAtMs = this.#readsSinceMs = clock.nowMs;
  }

  /** Takes over what arrived before there was a sink; `paused` says whether the source had to be stopped for it. */
  begin(chunks: readonly Uint8Array[], paused: boolean): void {
    this.paused = paused;
    if (paused) this.pauses++;
    for (const chunk of chunks) this.#take(chunk);
    if (this.#keptBytes === 0 && this.state === "open") this.#resume();
  }

  /** The queue and what waits for the end of the turn. */
  get queuedBytes(): number {
    return this.#postponed === null ? this.#keptBytes : this.#postponed.byteLength;
  }

  get sinkBuffers(): boolean {
    return this.sink.overTls === true;
  }

  /** The descriptor of the sink; -1 once it is closed. */
  get sinkFd(): number {
    return this.sink.fd;
  }

  received(chunk: Uint8Array): void {
    if (this.state !== "open") return; // The sink is gone: there is nobody left to give this to.
    this.#take(chunk);
    // While it waits for the end of the turn nothing can be moved.
    if (this.#postponed === null) this.#weigh(chunk.byteLength);
  }

  /**
   * Only what comes first from the backend is looked at: a whole answer and the end is what short sessions consist of, and
   * for the others a look costs more than it finds.
   */
  get finFd(): number {
    const looks = this.#plain && this.bytes === 0 && this.#postponed !== null && this.opposite.bytes !== 0;
    return looks ? this.source.fd : -1;
  }

  endOfTurn(finFollows: boolean): void {
    const chunk = this.#postponed;
    if (chunk === null) return;
    this.#writePostponed(finFollows);
    this.#weigh(chunk.byteLength);
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
    this.sourceGone = true;
    this.#writePostponed(false);
    // A FIN that answers ours is told in this way alone (Bun 1.4.5).
    if (error === undefined && this.opposite.state === "ended" && this.state !== "ended") return this.finished();
    // The peer of a Unix socket that closes it is told of by its FIN and this, though it may be written to as far as we are
    // concerned (Bun 1.4.5). As with TCP it has reset when something is written, or waits to be.
    if (
      error === undefined &&
      this.state !== "open" &&
      this.opposite.state === "open" &&
      this.opposite.queuedBytes === 0
    )
      return;
    this.#owner.sourceClosed(this);
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
    if (this.#keptBytes !== 0) {
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
    this.#keptBytes = 0;
    this.#taken = 0;
  }

  /** Closes the source's socket; `closed` is told within the call. */
  closeSource(how: "finish" | "reset"): void {
    if (this.sourceGone) return;
    // `end()` would do the same as `close()` with one system call more (Bun 1.4.5).
    if (how === "finish") this.source.close();
    else this.source.terminate();
    // Where a mistake of ours kept `closed` from being told, the descriptor (-1 once closed) still tells.
    if (this.source.fd < 0) this.sourceGone = true;
  }

  /** Writes a chunk, or postpones or queues it. */
  #take(chunk: Uint8Array): void {
    // It was not alone in its turn, so there is nothing to wait for.
    this.#writePostponed(false);
    if (this.state !== "open") return;
    if (this.#keptBytes !== 0) {
      this.#queue!.push(chunk);
      this.#keptBytes += chunk.byteLength;
    } else if (chunk.byteLength > postponedBytesMax) {
      this.#write(chunk, 0);
    } else {
      this.#postponed = chunk;
      postpone(this);
    }
  }

  #writePostponed(finFollows: boolean): void {
    const chunk = this.#postponed;
    if (chunk === null) return;
    this.#postponed = null;
    // What went wrong, or did not fit, is met again by Bun's own write, which then tells when there is room.
    const taken = finFollows && this.#plain ? Math.max(0, libc!.sendMore(this.sink.fd, chunk)) : 0;
    if (taken === chunk.byteLength) this.#moved(taken);
    else this.#write(chunk, taken);
  }

  /** Writes a chunk, of which the sink has taken the first `before` bytes already, and keeps what is left. */
  #write(chunk: Uint8Array, before: number): void {
    // `write(bytes, offset)` without a length throws (Bun 1.4.5).
    const written = before === 0 ? this.sink.write(chunk) : this.sink.write(chunk, before, chunk.byteLength - before);
    const taken = written < 0 ? written : before + written;
    if (taken === chunk.byteLength) this.#moved(taken);
    else this.#keep(chunk, taken);
  }

  /** The sink takes bytes again, or only seems to. */
  #flush(): void {
    if (this.#keptBytes === 0) return;
    const queue = this.#queue!;
    while (queue.length > 0) {
      const chunk = queue[0]!;
      // `write(bytes, offset)` without a length throws (Bun 1.4.5).
      const left = chunk.byteLength - this.#taken;
      const taken = this.sink.write(chunk, this.#taken, left);
      if (taken < 0) return this.#owner.sourceReset(this.opposite);
      if (taken > 0) {
        this.#keptBytes -= taken;
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
      // A source that is taken over need not be resumed before.
      if (this.#bulkBytes >= this.#rule.bytes) this.#owner.moveWanted("bulk");
      if (this.state === "open") this.#resume();
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
    if (taken < 0) return this.#owner.sourceReset(this.opposite);
    if (taken > 0) this.#moved(taken);
    this.#queue ??= [];
    this.#queue.push(chunk);
    this.#taken = taken;
    this.#keptBytes = chunk.byteLength - taken;
    if (this.paused) return;
    this.paused = true;
    this.pauses++;
    this.source.pause();
  }

  /** Counts a read that was passed on, and says so when the session would better be moved. */
  #weigh(readBytes: number): void {
    const rule = this.#rule;
    if (readBytes < rule.readBytes) this.#bulkBytes = 0;
    else this.#bulkBytes += readBytes;
    this.#reads++;
    if (this.#keptBytes !== 0 || this.state !== "open") return;
    if (this.#bulkBytes >= rule.bytes) this.#owner.moveWanted("bulk");
    else if (this.#reads >= rule.reads) this.#weighReads();
  }

  /** As many reads have come as make a busy session, if they came soon enough. */
  #weighReads(): void {
    const nowMs = this.#clock.nowMs;
    const isBusy = nowMs - this.#readsSinceMs <= this.#rule.readsWithinMs;
    this.#reads = 0;
    this.#readsSinceMs = nowMs;
    if (isBusy) this.#owner.moveWanted("busy");
  }

  #moved(bytes: number): void {
    this.activeAtMs = this.#clock.nowMs;
    const first = this.bytes === 0;
    this.bytes += bytes;
    if (first) this.#owner.firstBytesMoved(this);
  }
}
