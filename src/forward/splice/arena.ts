/**
 * The memory that the main thread and the Worker of the splice engine share: the rings between them, the figures of
 * every session, and all that system calls read or write. One allocation, made by the main thread, which outlives the
 * Worker: so nothing is lost when that dies.
 *
 * A session has a slot. What belongs to a half or a socket is at `slot * 2 + direction`: a half has the number of the
 * socket it reads from, and its sink is the same number with the last bit flipped.
 */
import { Ring } from "./ring.ts";

/** The direction of the half that reads from the client; also the number of the client's socket in its slot. */
export const toBackend = 0;
/** The direction of the half that reads from the backend; also the number of the backend's socket in its slot. */
export const toClient = 1;

/** What the main thread tells the Worker; `a` is a slot. */
export const command = {
  /** Move the bytes of this session: its descriptors are in the slot. They are lent, until `released` is told. */
  take: 1,
  /** Give the descriptors back; what is in a pipe is dropped. */
  release: 2,
  /** End, and leave nothing behind. */
  stop: 3,
} as const;

/** What the Worker tells the main thread; `a` is a slot, `b` the direction of a half, `c` an errno where there is one. */
export const report = {
  /** The loop runs. */
  ready: 1,
  /** The half has passed on its first bytes. */
  firstBytes: 2,
  /** The half's source has sent FIN. */
  finished: 3,
  /** The half has passed on everything, and the FIN behind it. */
  ended: 4,
  /** The peer that the half reads from has reset or died; what it sent before is still being passed on. */
  reset: 5,
  /** A system call failed in a way that should not be possible; nothing more is moved. */
  failed: 6,
  /** The descriptors are the main thread's again. */
  released: 7,
} as const;

/** The most messages about one session that can be unread: two commands, or one of each report and the second half's. */
const commandsPerSession = 2;
const reportsPerSession = 12;

/** Bytes of the buffer that small reads pass through. */
export const smallBytes = 32 * 1024;

/** Events taken from the kernel at once. */
export const eventsMax = 256;
/** `struct epoll_event` in 32-bit words: packed on x86-64 alone (linux/eventpoll.h). */
export const eventWords = process.arch === "x64" ? 3 : 4;
/** Where in an event its data begins, in words; the events themselves are the first word. */
export const eventDataWord = eventWords - 2;

/** One view of the memory; each thread makes its own. */
export class Arena {
  /** The memory, to hand to the other thread. */
  readonly shared: SharedArrayBuffer;
  readonly sessionsMax: number;
  /** The most pipes there are: one for each half. */
  readonly pipesMax: number;
  readonly commands: Ring;
  readonly reports: Ring;
  /** Descriptor, by socket. */
  readonly fds: Int32Array<SharedArrayBuffer>;
  /** Whether the half had ended before its session was taken over: 0 or 1, by half. */
  readonly endedBefore: Int32Array<SharedArrayBuffer>;
  /** Bytes that the sink took, by half; those of the copy engine included. */
  readonly bytes: Float64Array<SharedArrayBuffer>;
  /** Bytes in the half's pipe, by half. */
  readonly queued: Float64Array<SharedArrayBuffer>;
  /** When the sink last took bytes, in ms of the monotonic clock, by half. */
  readonly activeAtMs: Float64Array<SharedArrayBuffer>;
  /** Descriptors of the pipes, reading and writing end; -1 where there is none. Kept here for who outlives the Worker. */
  readonly pipes: Int32Array<SharedArrayBuffer>;
  /** The epoll of the Worker in the first word; -1 while there is none. */
  readonly epoll: Int32Array<SharedArrayBuffer>;
  /** What epoll_wait writes, and what epoll_ctl reads: one event more. */
  readonly events: Int32Array<SharedArrayBuffer>;
  /** What a small read is read into, and written from at once. */
  readonly buffer: Uint8Array<SharedArrayBuffer>;
  /** What clock_gettime writes: seconds and nanoseconds, two words each. */
  readonly time: Uint32Array<SharedArrayBuffer>;

  /** @param shared memory of another instance for as many sessions; fresh memory when absent. */
  constructor(sessionsMax: number, shared?: SharedArrayBuffer) {
    this.sessionsMax = sessionsMax;
    this.pipesMax = sessionsMax * 2;
    const commandCapacity = powerOfTwo(sessionsMax * commandsPerSession + 1);
    const reportCapacity = powerOfTwo(sessionsMax * reportsPerSession + 1);
    const lengths = {
      floats: 3 * this.pipesMax + 2,
      words:
        Ring.words(commandCapacity) +
        Ring.words(reportCapacity) +
        2 * this.pipesMax +
        2 * this.pipesMax +
        1 +
        (eventsMax + 1) * eventWords,
    };
    const memory = shared ?? new SharedArrayBuffer(smallBytes + lengths.floats * 8 + lengths.words * 4);
    this.shared = memory;
    this.buffer = new Uint8Array(memory, 0, smallBytes);
    let offset = smallBytes;
    const floats = (length: number): Float64Array<SharedArrayBuffer> => {
      offset += length * 8;
      return new Float64Array(memory, offset - length * 8, length);
    };
    const words = (length: number): Int32Array<SharedArrayBuffer> => {
      offset += length * 4;
      return new Int32Array(memory, offset - length * 4, length);
    };
    this.bytes = floats(this.pipesMax);
    this.queued = floats(this.pipesMax);
    this.activeAtMs = floats(this.pipesMax);
    this.time = new Uint32Array(memory, floats(2).byteOffset, 4);
    this.commands = new Ring(words(Ring.words(commandCapacity)));
    this.reports = new Ring(words(Ring.words(reportCapacity)));
    this.fds = words(this.pipesMax);
    this.endedBefore = words(this.pipesMax);
    this.pipes = words(2 * this.pipesMax);
    this.epoll = words(1);
    this.events = words((eventsMax + 1) * eventWords);
    if (shared !== undefined) return;
    this.pipes.fill(-1);
    this.epoll.fill(-1);
  }
}

/** The smallest power of two that is not below `least`. */
function powerOfTwo(least: number): number {
  return 2 ** Math.ceil(Math.log2(least));
}
