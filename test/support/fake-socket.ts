/** A socket without a kernel: takes as many bytes as it is told to, for tests of what writes to sockets. */
import { neverMove, type MoveRule, type MoveReason } from "../../src/forward/move-rule.ts";
import { CopyForwarder } from "../../src/forward/copy/copy-forwarder.ts";
import type { CopyHalf } from "../../src/forward/copy/copy-half.ts";
import type { ForwarderOwner, Half } from "../../src/forward/forwarder.ts";
import { nobody, type ProxySocket, type Receiver } from "../../src/forward/receiver.ts";

/** Behaves as Bun's TCP socket (1.4.5), as far as a half can tell. */
export class FakeSocket {
  data: Receiver = nobody;
  /** Bytes that the next writes will take; `"broken"`: they are refused, as after a reset. */
  room: number | "broken" = Infinity;
  paused = false;
  /** One that no process has: it counts as open, and the system knows nothing of it. */
  readonly fd = 2 ** 30;
  /** What was written, in pieces as large as they were taken. */
  readonly taken: Uint8Array[] = [];
  readonly calls: ("pause" | "resume" | "shutdown" | "terminate")[] = [];

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

  /** As of a socket whose receiver has been taken away before: what would be told within the call goes nowhere. */
  terminate(): void {
    this.calls.push("terminate");
    this.data.closed(undefined);
  }

  /** There is room for so many bytes more, and whoever writes is told. */
  drain(room: number): void {
    if (this.room !== "broken") this.room += room;
    this.data.writable();
  }
}

/** Remembers what it was told, in order: the names of the calls. */
export class FakeForwarderOwner implements ForwarderOwner {
  readonly told: string[] = [];
  /** The peers that have reset, as the halves that read from them. */
  readonly resetBy: Half[] = [];
  /** What `moveWanted` does besides. */
  onMoveWanted: () => void = () => {};

  firstBytesMoved(): void {
    this.told.push("firstBytesMoved");
  }

  sourceFinished(): void {
    this.told.push("sourceFinished");
  }

  halfEnded(): void {
    this.told.push("halfEnded");
  }

  sourceClosed(): void {
    this.told.push("sourceClosed");
  }

  sourceReset(half: Half): void {
    this.told.push("sourceReset");
    this.resetBy.push(half);
  }

  connectionsClosed(): void {
    this.told.push("connectionsClosed");
  }

  moveWanted(why: MoveReason): void {
    this.told.push(`moveWanted: ${why}`);
    this.onMoveWanted();
  }

  handlerFailed(error: Error): void {
    this.told.push(`handlerFailed: ${error.message}`);
  }

  engineFailed(): void {
    this.told.push("engineFailed");
  }
}

/** A forwarder of the copy engine between two fake sockets. */
export interface FakeSession {
  readonly client: FakeSocket;
  readonly backend: FakeSocket;
  readonly owner: FakeForwarderOwner;
  readonly clock: { nowMs: number };
  readonly forwarder: CopyForwarder;
  /** The half under test: the one to the backend. */
  readonly half: CopyHalf;
}

/** See `FakeSession`; its clock stands at 100. */
export function fakeSession(rule: MoveRule = neverMove): FakeSession {
  const client = new FakeSocket();
  const backend = new FakeSocket();
  const owner = new FakeForwarderOwner();
  const clock = { nowMs: 100 };
  const forwarder = new CopyForwarder(client.socket, backend.socket, owner, clock, rule);
  return { client, backend, owner, clock, forwarder, half: forwarder.toBackend };
}
