/**
 * The opening: the first client bytes, kept until there is a backend to hand them to, whole and in order.
 *
 * Reading goes on while a session is inspecting or dialing, because pausing costs six system calls; only beyond a bound
 * is the client stopped.
 */
import { assert } from "../core/assert.ts";
import type { ProxySocket, Receiver } from "../forward/receiver.ts";

/** From here on the client is paused. What one read brought beyond it (up to 512 KiB) is kept as well. */
export const openingBytesMax = 64 * 1024;

/** A first piece of memory to join chunks in: most heads and ClientHellos fit. */
const joinedBytesMin = 4096;

/** Whom the opening tells what happened to the client; the session. */
export interface OpeningOwner {
  /** The client has sent more, or has finished. */
  openingChanged(): void;
  /** The client's descriptor is gone before forwarding began. */
  clientClosed(): void;
  handlerFailed(error: Error): void;
}

/** Receives for the client's socket until forwarding begins. */
export class Opening implements Receiver {
  /** Oldest first. Empty for a client that waits for the backend to speak. */
  chunks: readonly Uint8Array[] = none;
  bytes = 0;
  /** Whether the client has sent FIN. */
  clientFinished = false;
  /** Whether the bound was reached and the client paused. */
  paused = false;

  readonly #client: ProxySocket;
  readonly #owner: OpeningOwner;
  /** What `peek` has joined, with room for more. */
  #joined: ArrayBuffer = nothing;

  constructor(client: ProxySocket, owner: OpeningOwner) {
    this.#client = client;
    this.#owner = owner;
  }

  received(chunk: Uint8Array): void {
    if (this.chunks.length === 0) this.chunks = [chunk];
    else (this.chunks as Uint8Array[]).push(chunk);
    this.bytes += chunk.byteLength;
    if (this.bytes >= openingBytesMax && !this.paused) {
      this.paused = true;
      this.#client.pause();
    }
    this.#owner.openingChanged();
  }

  finished(): void {
    this.clientFinished = true;
    this.#owner.openingChanged();
  }

  /** All of it in one piece. What was returned before keeps its bytes. */
  peek(): Uint8Array {
    if (this.chunks.length > 1) this.chunks = [this.#join()];
    return this.chunks[0] ?? empty;
  }

  /** Takes the first `bytes` bytes away, which are for nobody else. */
  consume(bytes: number): void {
    const left = this.peek().subarray(bytes);
    this.bytes = left.byteLength;
    this.chunks = left.byteLength === 0 ? none : [left];
  }

  /** Appends to what was joined before, so that of a client that sends byte by byte each byte is copied a few times and no more. */
  #join(): Uint8Array {
    const [first, ...others] = this.chunks as [Uint8Array, ...Uint8Array[]];
    let start = first.byteOffset;
    if (first.buffer !== this.#joined || start + this.bytes > this.#joined.byteLength) {
      const larger = new Uint8Array(Math.max(2 * this.bytes, joinedBytesMin));
      larger.set(first);
      this.#joined = larger.buffer;
      start = 0;
    }
    const all = new Uint8Array(this.#joined, start, this.bytes);
    let end = first.byteLength;
    for (const chunk of others) {
      all.set(chunk, end);
      end += chunk.byteLength;
    }
    return all;
  }

  /** Lets the client go on, whatever it has sent. */
  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.#client.resume();
  }

  writable(): void {
    // Nothing is ever queued for a client that has no backend yet: one of Bun's spurious calls.
  }

  closed(error: Error | undefined): void {
    // The client of a Unix socket has finished and closed it: what it sent is still to be handed on (Bun 1.4.5).
    if (error === undefined && this.clientFinished) return;
    this.#owner.clientClosed();
  }

  failed(error: Error): void {
    this.#owner.handlerFailed(error);
  }

  opened(): void {
    assert(false, "an opening got a client that was not open yet");
  }
}

const none: readonly Uint8Array[] = [];
const nothing = new ArrayBuffer(0);
const empty = new Uint8Array(nothing);
