/** A socket without a kernel: takes as many bytes as it is told to, for tests of what writes to sockets. */
import type { HalfOwner } from "../../src/forward/half.ts";
import { endTurn } from "../../src/forward/turn.ts";
import { nobody, type ProxySocket, type Receiver } from "../../src/forward/receiver.ts";

/** Behaves as Bun's TCP socket (1.4.5), as far as a half can tell. */
export class FakeSocket {
  data: Receiver = nobody;
  /** It has none, so nobody looks for a FIN in it. */
  readonly fd = -1;
  /** Bytes that the next writes will take; `"broken"`: they are refused, as after a reset. */
  room: number | "broken" = Infinity;
  paused = false;
  /** What was written, in pieces as large as they were taken. */
  readonly taken: Uint8Array[] = [];
  readonly calls: ("pause" | "resume" | "shutdown")[] = [];

  /** The socket as its users know it. */
  get socket(): ProxySocket {
    return this as unknown as ProxySocket;
  }

  /** All that was taken. */
  get bytes(): Uint8Array {
    return Buffer.concat(this.taken);
  }

  write(bytes: Uint8Array, offset?: number, length?: number): number {
    if (offset !== undefined && length === undefined) throw new RangeError("an offset needs a length (Bun 1.4.5)");
    if (this.room === "broken") return -1;
    const wanted = bytes.subarray(offset ?? 0, (offset ?? 0) + (length ?? bytes.byteLength));
    const count = Math.min(this.room, wanted.byteLength);
    this.room -= count;
    if (count > 0) this.taken.push(wanted.slice(0, count));
    return count;
  }

  pause(): void {
    this.paused = true;
    this.calls.push("pause");
  }

  resume(): void {
    this.paused = false;
    this.calls.push("resume");
  }

  shutdown(): void {
    this.calls.push("shutdown");
  }

  /** Bytes arrive, alone in their turn of the event loop. */
  receive(bytes: Uint8Array): void {
    this.data.received(bytes);
    endTurn();
  }

  /** There is room for so many bytes more, and whoever writes is told. */
  drain(room: number): void {
    if (this.room !== "broken") this.room += room;
    this.data.writable();
  }
}

/** Remembers what it was told, in order; the names of the calls. */
export class FakeHalfOwner implements HalfOwner {
  readonly told: string[] = [];

  firstBytesMoved(): void {
    this.told.push("firstBytesMoved");
  }

  sourceFinished(): void {
    this.told.push("sourceFinished");
  }

  halfEnded(): void {
    this.told.push("halfEnded");
  }

  sourceClosed(_half: unknown, error: Error | undefined): void {
    this.told.push(error === undefined ? "sourceClosed" : `sourceClosed: ${error.message}`);
  }

  sinkBroken(): void {
    this.told.push("sinkBroken");
  }

  handlerFailed(error: Error): void {
    this.told.push(`handlerFailed: ${error.message}`);
  }
}
