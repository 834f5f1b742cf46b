/**
 * The pipes of the splice engine. A half has one only while bytes are in it, so there are about as many as there are
 * readers that don't keep up, and the one used last is the next to be used.
 */
import { assert } from "../../core/assert.ts";
import type { Libc } from "../../sys/libc.ts";
import type { Arena } from "./arena.ts";

/** What of the C library a pool needs. */
export type PipeCalls = Pick<Libc, "addressOf" | "pipe" | "setPipeBytes" | "pipeBytes" | "close">;

/**
 * Capacities asked for, in bytes, the best first. Beyond a user's quota (/proc/sys/fs/pipe-user-pages-soft: 64 pipes of
 * a mebibyte) the kernel refuses (EPERM) all that is above what a pipe has from the start.
 */
export const pipeSizes: readonly number[] = [1024 * 1024, 512 * 1024, 256 * 1024, 128 * 1024];

/** Empty pipes kept for later; more are closed. */
const idleMax = 64;

/** Owned by the loop of the splice engine. Pipes are named by their place in the arena's table. */
export class PipePool {
  /** Pipes open now, those in use included. */
  open = 0;

  readonly #calls: PipeCalls;
  readonly #table: Int32Array<SharedArrayBuffer>;
  readonly #tableAddress: number;
  /** Capacity in bytes, by place. */
  readonly #bytes: Int32Array;
  /** Places of empty pipes, the one used last on top. */
  readonly #idle = new Int32Array(new ArrayBuffer(idleMax * 4));
  #idleCount = 0;
  /** Places without a pipe. */
  readonly #vacant: Int32Array;
  #vacantCount: number;

  constructor(arena: Arena, calls: PipeCalls) {
    this.#calls = calls;
    this.#table = arena.pipes;
    this.#tableAddress = calls.addressOf(arena.pipes);
    this.#bytes = new Int32Array(arena.pipesMax);
    this.#vacantCount = arena.pipesMax;
    this.#vacant = Int32Array.from({ length: arena.pipesMax }, (_, index) => arena.pipesMax - 1 - index);
  }

  /** An empty pipe; `-errno` when none can be had now (EMFILE, ENFILE, ENOMEM). */
  take(): number {
    if (this.#idleCount > 0) return this.#idle[--this.#idleCount]!;
    assert(this.#vacantCount > 0, "more pipes were taken than there are halves");
    const place = this.#vacant[this.#vacantCount - 1]!;
    const failed = this.#calls.pipe(this.#tableAddress + place * 8);
    if (failed < 0) {
      this.#table[place * 2] = this.#table[place * 2 + 1] = -1;
      return failed;
    }
    this.#vacantCount--;
    this.open++;
    this.#bytes[place] = this.#enlarge(this.writingEnd(place));
    return place;
  }

  /** Bytes that a pipe surely takes while it is empty. */
  capacity(place: number): number {
    return this.#bytes[place]!;
  }

  #enlarge(fd: number): number {
    for (const size of pipeSizes) {
      const became = this.#calls.setPipeBytes(fd, size);
      if (became >= 0) return became;
    }
    return this.#calls.pipeBytes(fd);
  }

  /** Takes back a pipe that is empty. */
  giveBack(place: number): void {
    if (this.#idleCount === idleMax) return this.destroy(place);
    this.#idle[this.#idleCount++] = place;
  }

  /** Closes a pipe, with what is in it. */
  destroy(place: number): void {
    this.#calls.close(this.readingEnd(place));
    this.#calls.close(this.writingEnd(place));
    this.#table[place * 2] = this.#table[place * 2 + 1] = -1;
    this.#vacant[this.#vacantCount++] = place;
    this.open--;
  }

  readingEnd(place: number): number {
    return this.#table[place * 2]!;
  }

  writingEnd(place: number): number {
    return this.#table[place * 2 + 1]!;
  }

  /** Closes the empty pipes. */
  close(): void {
    while (this.#idleCount > 0) this.destroy(this.#idle[--this.#idleCount]!);
  }
}
