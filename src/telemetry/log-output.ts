/**
 * Where log lines go: a descriptor, written to in blocks and never waited for.
 *
 * The forwarding thread only appends to a list. Blocks are written one at a time by Bun's file threads, so a reader that
 * stalls (a blocked pipe) holds up nothing; beyond a bound its lines are dropped and counted, and it is told how many.
 *
 * Access records become lines when their block is made, many in a row: one by one, between the work for two connections,
 * a line costs several times as much.
 */
import { write } from "node:fs";
import { accessLine, accessLineChars } from "./access-line.ts";

/** Lines are held back for this long, so that many go out in one system call. */
const holdBackMs = 100;
/** Unless this much has come together. */
const blockBytes = 64 * 1024;
/** Room for a block of that size in any language; one that has grown while its predecessor was written gets its own. */
const blockRoom = 4 * blockBytes;
/** A pipe that is full and refuses (EAGAIN) is tried again after this, then twice as long each time up to `holdBackMs`. */
const fullPauseMs = 1;
/** What may wait for a stalled reader, in characters (of a record: about); then lines are dropped until it reads on. */
const waitingMax = 8 * 1024 * 1024;

/** What waits: a line with its end, or an access record and when it was made. */
type Entry = string | { readonly record: object; readonly timeMs: number };

/** One for each descriptor that is written to. */
export class LogOutput {
  /** Lines that were dropped since start because nobody read. */
  dropped = 0;

  readonly #fd: number;
  readonly #render: (line: string) => string;
  /** The block being written. Kept, because fresh memory of this size costs its page faults in every block. */
  readonly #block = Buffer.allocUnsafeSlow(blockRoom);
  #waiting: Entry[] = [];
  #waitingChars = 0;
  #droppedUnreported = 0;
  #timer: Timer | undefined = undefined;
  #writing: Promise<void> | undefined = undefined;
  #broken = false;

  /** `render` makes what is written of a line of JSON; it is called when a block is written. */
  constructor(fd: number, render: (line: string) => string) {
    this.#fd = fd;
    this.#render = render;
  }

  /** Takes one line, its line end included. Never blocks and never throws: the form that pino wants. */
  write(line: string): void {
    if (this.#hasRoom()) this.#put(line);
  }

  /** Takes an access record, which must not change any more. Never blocks and never throws. */
  record(record: object): void {
    if (this.#hasRoom()) this.#put({ record, timeMs: Date.now() });
  }

  /** Counts what there is no room for. */
  #hasRoom(): boolean {
    if (this.#broken) return false;
    if (this.#waitingChars < waitingMax) return true;
    this.dropped++;
    this.#droppedUnreported++;
    return false;
  }

  #put(entry: Entry): void {
    this.#waiting.push(entry);
    this.#waitingChars += charsOf(entry);
    this.#schedule();
  }

  /** Resolves when everything taken so far is with the kernel, or can't be written any more. */
  async flush(): Promise<void> {
    while (this.#waiting.length > 0 || this.#writing !== undefined) {
      this.#writeBlock();
      await this.#writing;
    }
  }

  /** What waits is written soon, or at once when there is enough of it. */
  #schedule(): void {
    if (this.#waitingChars >= blockBytes) this.#writeBlock();
    else if (this.#waiting.length > 0) this.#timer ??= setTimeout(() => this.#writeBlock(), holdBackMs).unref();
  }

  #writeBlock(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#writing !== undefined || this.#waiting.length === 0) return;
    let block = "";
    for (const entry of this.#take()) {
      block += this.#render(typeof entry === "string" ? entry : accessLine(entry.record, entry.timeMs));
    }
    this.#writing = this.#writeAll(this.#encode(block)).finally(() => {
      this.#writing = undefined;
      this.#schedule();
    });
  }

  /** Takes what makes a block: all that waits, or the first of it when a stalled reader has made it much. */
  #take(): Entry[] {
    const waiting = this.#waiting;
    // From here on there is room for more: this is the place of what was dropped.
    if (this.#droppedUnreported > 0) {
      const line = droppedLine(this.#droppedUnreported);
      waiting.push(line);
      this.#waitingChars += line.length;
      this.#droppedUnreported = 0;
    }
    let count = 0;
    let chars = 0;
    while (count < waiting.length && chars < blockBytes) chars += charsOf(waiting[count++]!);
    this.#waitingChars -= chars;
    if (count < waiting.length) return waiting.splice(0, count);
    this.#waiting = [];
    return waiting;
  }

  /** The bytes of a block, good until the next one: blocks are written one at a time. */
  #encode(block: string): Buffer {
    // No character takes more than three bytes for each of its units.
    if (block.length * 3 > blockRoom) return Buffer.from(block);
    return this.#block.subarray(0, this.#block.write(block));
  }

  async #writeAll(block: Buffer): Promise<void> {
    let pauseMs = fullPauseMs;
    for (let offset = 0; offset < block.length && !this.#broken;) {
      const written = await this.#writeSome(block, offset, pauseMs);
      pauseMs = written > 0 ? fullPauseMs : Math.min(pauseMs * 2, holdBackMs);
      offset += written;
    }
  }

  /**
   * Resolves with how many bytes were taken; 0 after `pauseMs` when there was no room, in the pipe or on the disk. Nobody
   * is left to tell about an output that is gone: the proxy goes on without a log.
   */
  #writeSome(block: Buffer, offset: number, pauseMs: number): Promise<number> {
    return new Promise((settle) => {
      write(this.#fd, block, offset, block.length - offset, null, (error, written) => {
        const code = (error as NodeJS.ErrnoException | null)?.code;
        if (code === "EPIPE" || code === "EBADF") this.#broken = true;
        if (error === null) settle(written);
        else setTimeout(() => settle(0), pauseMs);
      });
    });
  }
}

function charsOf(entry: Entry): number {
  return typeof entry === "string" ? entry.length : accessLineChars;
}

function droppedLine(count: number): string {
  const time = new Date().toISOString();
  return `${JSON.stringify({ level: "warn", time, lines: count, msg: "log lines dropped: nobody reads the log" })}\n`;
}
