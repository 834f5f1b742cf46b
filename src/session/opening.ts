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

/** Whom the opening tells what happened to the client; the session. */
export interface OpeningOwner {
  /** The client's descriptor is gone before forwarding began. */
  clientClosed(): void;
  handlerFailed(error: Error): void;
}

/** Receives for the client's socket until forwarding begins. */
export class Opening implements Receiver {
  /** Oldest first. Empty for a client that waits for the backend to speak. */
  readonly chunks: Uint8Array[] = [];
  bytes = 0;
  /** Whether the client has sent FIN. */
  clientFinished = false;
  /** Whether the bound was reached and the client paused. */
  paused = false;

  readonly #client: ProxySocket;
  readonly #owner: OpeningOwner;

  constructor(client: ProxySocket, owner: OpeningOwner) {
    this.#client = client;
    this.#owner = owner;
  }

  received(chunk: Uint8Array): void {
    this.chunks.push(chunk);
    this.bytes += chunk.byteLength;
    if (this.bytes < openingBytesMax || this.paused) return;
    this.paused = true;
    this.#client.pause();
  }

  finished(): void {
    this.clientFinished = true;
  }

  writable(): void {
    // Nothing is ever queued for a client that has no backend yet: one of Bun's spurious calls.
  }

  closed(): void {
    this.#owner.clientClosed();
  }

  failed(error: Error): void {
    this.#owner.handlerFailed(error);
  }

  opened(): void {
    assert(false, "an opening got a client that was not open yet");
  }
}
