/**
 * The loop of the splice engine: moves the bytes of the sessions lent to it from socket to pipe to socket, inside the
 * kernel. It runs in a Worker of its own and blocks in epoll_wait. The hot path: nothing here is allocated per event.
 *
 * Sockets are watched edge-triggered: what the kernel has said of one (it can be read, it can be written) is noted and
 * holds until a call says EAGAIN. So a connection that is dead but must wait does not wake the loop again and again. Only
 * arriving bytes do so, each time; when they come while their reader stands still, reading is no longer watched until a
 * call has said EAGAIN again. LIFECYCLE.md tells what each errno does.
 */
import { constants } from "node:os";
import { errnoName, type Libc } from "../../sys/libc.ts";
import { command, eventDataWord, eventsMax, eventWords, report, smallBytes, type Arena } from "./arena.ts";
import { PipePool, type PipeCalls } from "./pipe-pool.ts";
import { SlotQueue } from "./slot-queue.ts";

/** What of the C library the loop needs. */
export type LoopCalls = PipeCalls &
  Pick<
    Libc,
    | "splice"
    | "receive"
    | "send"
    | "write"
    | "finish"
    | "unsignal"
    | "epollCreate"
    | "epollAdd"
    | "epollModify"
    | "epollRemove"
    | "epollWait"
    | "monotonicTime"
  >;

/** Bytes moved by one pair of calls: what a pipe is good for, and after which the next session has its turn. */
export const stepBytes = 1024 * 1024;

/** Sessions with large reads move about so much until all others are looked after again. */
export const turnBytesMax = 256 * 1024;

/** Where a pipe or memory was lacking, it is tried again after this long. */
export const scarcityRetryMs = 20;

const { EINTR, EAGAIN, ENOMEM, ENOBUFS, EBADF, EFAULT, EINVAL, ENOSYS, EPERM, ESPIPE, ENOTSOCK } = constants.errno;
/** Errors that no peer can cause: mistakes of ours, or a system that does not do what the probe has seen it do. */
const internalErrnos: ReadonlySet<number> = new Set([EBADF, EFAULT, EINVAL, ENOSYS, EPERM, ESPIPE, ENOTSOCK]);

// Events (sys/epoll.h).
const EPOLLIN = 0x1;
const EPOLLPRI = 0x2;
const EPOLLOUT = 0x4;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;
const EPOLLRDHUP = 0x2000;
const EPOLLET = 1 << 31;

/** What a socket is watched for; a reset is told in any case. */
const deafEvents = EPOLLOUT | EPOLLRDHUP | EPOLLET;
const listeningEvents = EPOLLIN | EPOLLPRI | deafEvents;

/** The data of the event that tells of commands; sockets have their numbers. */
const wakeData = -1;

/** One for each Worker. Halves and sockets are numbered as in the arena. */
export class SpliceLoop {
  readonly #arena: Arena;
  readonly #calls: LoopCalls;
  readonly #wakeFd: number;
  readonly #epoll: number;
  readonly #pipes: PipePool;
  readonly #eventsAddress: number;
  readonly #ownEventAddress: number;
  readonly #timeAddress: number;
  readonly #bufferAddress: number;
  #nowMs = 0;
  /** Bytes moved in this turn by sessions with large reads. */
  #turnBytes = 0;
  #running = true;
  /** Whether reports were written that nobody was woken for. */
  #reported = false;

  /** Slots: whether its descriptors are lent to us. */
  readonly #held: Uint8Array;
  #heldCount = 0;
  /** Slots: whether one of its peers has reset: no FIN is passed on any more. */
  readonly #isReset: Uint8Array;
  /** Sockets: what the kernel said last. */
  readonly #readable: Uint8Array;
  readonly #writable: Uint8Array;
  /** Sockets: whether arriving bytes are told. */
  readonly #listening: Uint8Array;
  /** Halves: whether nothing is left to do. */
  readonly #ended: Uint8Array;
  /** Halves: what has been reported. */
  readonly #firstBytesTold: Uint8Array;
  readonly #finishedTold: Uint8Array;
  readonly #resetTold: Uint8Array;
  /** Halves: the pipe that holds its bytes; -1 = none. */
  readonly #pipeOf: Int32Array;
  /** Halves: whether its reads are large, so that splicing pays. */
  readonly #large: Uint8Array;
  /** Halves: whether the source has sent urgent data, where splicing stops for good (Linux 6.18): from then on it is read. */
  readonly #urgent: Uint8Array;
  /** Slots that can go on, those with small reads and those with large ones; a slot is in one of them, once. */
  readonly #quick: SlotQueue;
  readonly #bulk: SlotQueue;
  readonly #isReady: Uint8Array;
  /** Halves that lack a pipe or memory: taken up again at the next turn. A half is in the list once. */
  readonly #starved: Int32Array;
  readonly #isStarved: Uint8Array;
  #starvedCount = 0;

  /** @param wakeFd the eventfd that is signalled after a command; the main thread's. */
  constructor(arena: Arena, calls: LoopCalls, wakeFd: number) {
    const { sessionsMax } = arena;
    const halves = sessionsMax * 2;
    this.#arena = arena;
    this.#calls = calls;
    this.#wakeFd = wakeFd;
    this.#pipes = new PipePool(arena, calls);
    this.#held = new Uint8Array(sessionsMax);
    this.#isReset = new Uint8Array(sessionsMax);
    this.#readable = new Uint8Array(halves);
    this.#writable = new Uint8Array(halves);
    this.#listening = new Uint8Array(halves);
    this.#ended = new Uint8Array(halves);
    this.#firstBytesTold = new Uint8Array(halves);
    this.#finishedTold = new Uint8Array(halves);
    this.#resetTold = new Uint8Array(halves);
    this.#pipeOf = new Int32Array(halves).fill(-1);
    this.#large = new Uint8Array(halves);
    this.#urgent = new Uint8Array(halves);
    this.#quick = new SlotQueue(sessionsMax);
    this.#bulk = new SlotQueue(sessionsMax);
    this.#isReady = new Uint8Array(sessionsMax);
    this.#starved = new Int32Array(halves);
    this.#isStarved = new Uint8Array(halves);
    this.#eventsAddress = calls.addressOf(arena.events);
    this.#ownEventAddress = this.#eventsAddress + eventsMax * eventWords * 4;
    this.#timeAddress = calls.addressOf(arena.time);
    this.#bufferAddress = calls.addressOf(arena.buffer);
    this.#epoll = must(calls.epollCreate(), "make an epoll");
    arena.epoll[0] = this.#epoll;
    this.#describeEvent(EPOLLIN, wakeData);
    must(calls.epollAdd(this.#epoll, wakeFd, this.#ownEventAddress), "watch the eventfd");
    this.#report(report.ready, 0, 0);
    arena.reports.wake();
  }

  /** Runs until it is told to stop. */
  run(): void {
    while (this.#running) this.turn(-1);
  }

  /** One turn: waits for events (`waitMs` at most, -1 = for ever, when nothing else is to do) and gives each session its step. */
  turn(waitMs: number): void {
    const { events } = this.#arena;
    const ready = this.#quick.length + this.#bulk.length;
    const timeoutMs = ready > 0 ? 0 : this.#starvedCount > 0 ? scarcityRetryMs : waitMs;
    const count = this.#calls.epollWait(this.#epoll, this.#eventsAddress, eventsMax, timeoutMs);
    if (count < 0 && count !== -EINTR) must(count, "wait for events");
    this.#readClock();
    while (this.#starvedCount > 0) this.#feed(this.#starved[--this.#starvedCount]!);
    let isWoken = false;
    for (let index = 0; index < count; index++) {
      const word = index * eventWords;
      const socket = events[word + eventDataWord]!;
      if (socket === wakeData) isWoken = true;
      else this.#noted(socket, events[word]!);
    }
    // Last: a slot that is let go of may be lent again at once, and these events are not the next session's.
    if (isWoken) this.#obey();
    for (let left = this.#quick.length; left > 0; left--) this.#work(this.#quick.shift());
    // Whoever has large reads waits for all others: one step of it may take as long as a hundred of theirs.
    this.#turnBytes = 0;
    for (let left = this.#bulk.length; left > 0 && this.#turnBytes < turnBytesMax; left--)
      this.#work(this.#bulk.shift());
    if (!this.#reported) return;
    this.#reported = false;
    this.#arena.reports.wake();
  }

  // What the main thread says.

  #obey(): void {
    const { commands } = this.#arena;
    this.#calls.unsignal(this.#wakeFd);
    while (commands.next()) {
      switch (commands.kind) {
        case command.take:
          this.#take(commands.a);
          break;
        case command.release:
          this.#release(commands.a);
          break;
        case command.stop:
          this.#stop();
          break;
        default:
          throw new Error("the splice engine got a command that does not exist: " + commands.kind);
      }
    }
  }

  #take(slot: number): void {
    this.#held[slot] = 1;
    this.#heldCount++;
    this.#isReset[slot] = 0;
    for (let half = slot * 2; half < slot * 2 + 2; half++) {
      this.#large[half] = this.#urgent[half] = this.#readable[half] = this.#writable[half] = this.#resetTold[half] = 0;
      this.#ended[half] = this.#finishedTold[half] = this.#arena.endedBefore[half]!;
      this.#firstBytesTold[half] = this.#arena.bytes[half]! > 0 ? 1 : 0;
      // The kernel tells the present state of a socket as its first event.
      this.#describeEvent(listeningEvents, half);
      this.#listening[half] = 1;
      const failed = this.#calls.epollAdd(this.#epoll, this.#arena.fds[half]!, this.#ownEventAddress);
      if (failed < 0) return this.#failed(half, -failed);
    }
  }

  /** Lets go of a session. A command for one that is not held is late: a session is given back once. */
  #release(slot: number): void {
    if (this.#held[slot] === 0) return;
    this.#held[slot] = 0;
    this.#heldCount--;
    for (let half = slot * 2; half < slot * 2 + 2; half++) {
      this.#calls.epollRemove(this.#epoll, this.#arena.fds[half]!);
      this.#giveUp(half);
    }
    // Who has nothing to do keeps nothing.
    if (this.#heldCount === 0) this.#pipes.close();
    this.#report(report.released, slot * 2, 0);
  }

  #stop(): void {
    this.#running = false;
    for (let slot = 0; slot < this.#arena.sessionsMax; slot++) this.#release(slot);
    this.#calls.close(this.#epoll);
    this.#arena.epoll[0] = -1;
  }

  // What the kernel says.

  /** Fills in the event that epoll_ctl reads. */
  #describeEvent(events: number, data: number): void {
    const word = eventsMax * eventWords;
    this.#arena.events[word] = events;
    this.#arena.events[word + eventDataWord] = data;
  }

  /** Whether bytes that arrive at a socket are told; what is there already is told at once. */
  #listen(socket: number, listening: 0 | 1): void {
    if (this.#listening[socket] === listening) return;
    this.#listening[socket] = listening;
    this.#describeEvent(listening === 1 ? listeningEvents : deafEvents, socket);
    this.#calls.epollModify(this.#epoll, this.#arena.fds[socket]!, this.#ownEventAddress);
  }

  #noted(socket: number, events: number): void {
    const slot = socket >> 1;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) {
      // It was known before: its reader stands still.
      if (this.#readable[socket] === 1 && (events & EPOLLIN) !== 0) this.#listen(socket, 0);
      this.#readable[socket] = 1;
    }
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) !== 0) this.#writable[socket] = 1;
    if ((events & EPOLLPRI) !== 0) {
      this.#urgent[socket] = this.#readable[socket] = 1;
      this.#large[socket] = 0;
    }
    if ((events & EPOLLERR) !== 0) this.#broken(socket);
    else if ((events & EPOLLRDHUP) !== 0) this.#tellFinished(socket);
    this.#makeReady(slot);
  }

  #readClock(): void {
    this.#calls.monotonicTime(this.#timeAddress);
    const { time } = this.#arena;
    // The second 32 bits of each are zero for the next century.
    this.#nowMs = time[0]! * 1000 + time[2]! / 1_000_000;
  }

  // The sessions' turns.

  #makeReady(slot: number): void {
    if (this.#isReady[slot] === 1) return;
    this.#isReady[slot] = 1;
    (this.#large[slot * 2] === 1 || this.#large[slot * 2 + 1] === 1 ? this.#bulk : this.#quick).push(slot);
  }

  /** One step of both halves of the session whose turn it is; it is queued anew when it could go on. */
  #work(slot: number): void {
    this.#isReady[slot] = 0;
    if (this.#held[slot] === 0) return;
    const toBackendGoesOn = this.#step(slot * 2);
    if (this.#step(slot * 2 + 1) || toBackendGoesOn) this.#makeReady(slot);
  }

  /** Fills the half's pipe, if it is empty, and empties it, as far as both can be done now; whether it could go on. */
  #step(half: number): boolean {
    if (this.#ended[half] === 1) return false;
    if (this.#writable[half ^ 1] === 0) return false;
    if (this.#pipeOf[half] !== -1) this.#empty(half);
    else if (this.#readable[half] === 1) this.#move(half);
    if (this.#ended[half] === 1 || this.#isStarved[half] === 1) return false;
    return this.#pipeOf[half] === -1 ? this.#readable[half] === 1 : this.#writable[half ^ 1] === 1;
  }

  #move(half: number): void {
    const pipe = this.#pipes.take();
    if (pipe < 0) return this.#starve(half);
    if (this.#large[half] === 0) this.#copy(half, pipe);
    else if (this.#fill(half, pipe)) this.#empty(half);
  }

  /** Socket → buffer → socket, for small reads; what the sink does not take goes to the pipe. */
  #copy(half: number, pipe: number): void {
    // Whatever of it the sink does not take must find room in the pipe.
    const most = Math.min(smallBytes, this.#pipes.capacity(pipe));
    const read = this.#calls.receive(this.#arena.fds[half]!, this.#bufferAddress, most);
    if (read <= 0) {
      this.#pipes.giveBack(pipe);
      return this.#nothingRead(half, read);
    }
    // A read stops short of urgent data, and more may be there behind it.
    if (this.#urgent[half] === 1) this.#readable[half] = 1;
    else if (read === most) this.#large[half] = 1;
    else if (this.#finishedTold[half] === 0 && this.#resetTold[half] === 0) {
      // The socket is empty: what comes from here on is told anew. After a FIN nothing comes.
      this.#readable[half] = 0;
      this.#listen(half, 1);
    }
    const sent = this.#calls.send(this.#arena.fds[half ^ 1]!, this.#bufferAddress, read);
    if (sent === read) {
      this.#pipes.giveBack(pipe);
      return this.#passed(half, sent);
    }
    const rest = this.#calls.write(
      this.#pipes.writingEnd(pipe),
      this.#bufferAddress + Math.max(0, sent),
      read - Math.max(0, sent),
    );
    this.#pipeOf[half] = pipe;
    this.#arena.queued[half] = rest;
    if (rest !== read - Math.max(0, sent)) return this.#failed(half, Math.max(0, -rest));
    if (sent > 0) this.#passed(half, sent);
    else this.#notTaken(half, sent);
  }

  /** Socket → pipe, for large reads. Whether bytes are in the pipe now. */
  #fill(half: number, pipe: number): boolean {
    const moved = this.#calls.splice(this.#arena.fds[half]!, this.#pipes.writingEnd(pipe), stepBytes);
    if (moved > 0) {
      this.#pipeOf[half] = pipe;
      this.#arena.queued[half] = moved;
      if (moved < smallBytes / 2) this.#large[half] = 0;
      return true;
    }
    this.#pipes.giveBack(pipe);
    // In front of urgent data, splice takes a FIN behind it for the end of the stream. A read knows better.
    if (moved === 0) this.#large[half] = 0;
    else this.#nothingRead(half, moved);
    return false;
  }

  #nothingRead(half: number, moved: number): void {
    if (moved === 0) this.#sourceEnded(half);
    else if (moved === -EAGAIN) {
      this.#readable[half] = 0;
      this.#listen(half, 1);
    } else if (moved === -ENOMEM || moved === -ENOBUFS) this.#starve(half);
    else if (internalErrnos.has(-moved)) this.#failed(half, -moved);
    else if (moved !== -EINTR) {
      this.#broken(half);
      this.#sourceEnded(half);
    }
  }

  /** Pipe → socket. */
  #empty(half: number): void {
    const arena = this.#arena;
    const pipe = this.#pipeOf[half]!;
    const queued = arena.queued[half]!;
    const moved = this.#calls.splice(this.#pipes.readingEnd(pipe), arena.fds[half ^ 1]!, queued);
    if (moved > 0) {
      arena.queued[half] = queued - moved;
      this.#passed(half, moved);
      if (moved < queued) return;
      this.#pipeOf[half] = -1;
      this.#pipes.giveBack(pipe);
    } else this.#notTaken(half, moved);
  }

  #passed(half: number, bytes: number): void {
    this.#turnBytes += bytes;
    this.#arena.bytes[half]! += bytes;
    this.#arena.activeAtMs[half] = this.#nowMs;
    if (this.#firstBytesTold[half] === 1) return;
    this.#firstBytesTold[half] = 1;
    this.#report(report.firstBytes, half, 0);
  }

  #notTaken(half: number, moved: number): void {
    if (moved === -EAGAIN) this.#writable[half ^ 1] = 0;
    else if (moved === -ENOMEM || moved === -ENOBUFS) this.#starve(half);
    else if (internalErrnos.has(-moved)) this.#failed(half, -moved);
    else if (moved !== -EINTR) this.#broken(half ^ 1);
  }

  // What becomes of a half.

  /** Everything that the source had sent has been passed on. After a reset no FIN follows: the main thread resets. */
  #sourceEnded(half: number): void {
    if (this.#isReset[half >> 1] === 0) {
      this.#tellFinished(half);
      // A sink that has reset meanwhile is told of by its own events.
      this.#calls.finish(this.#arena.fds[half ^ 1]!);
    }
    this.#ended[half] = 1;
    this.#report(report.ended, half, 0);
  }

  /**
   * The peer at this socket has reset or died. What it sent before is passed on by the half that reads from it, and the
   * other half is given up. If that peer was the last one, there is nothing left to do either way.
   */
  #broken(socket: number): void {
    if (this.#resetTold[socket] === 1) return;
    this.#resetTold[socket] = 1;
    this.#isReset[socket >> 1] = 1;
    this.#giveUp(socket ^ 1);
    this.#report(report.reset, socket, 0);
  }

  #failed(half: number, errno: number): void {
    this.#giveUp(half);
    this.#giveUp(half ^ 1);
    this.#report(report.failed, half, errno);
  }

  /** Nothing more is moved by this half; what is in its pipe is dropped. */
  #giveUp(half: number): void {
    this.#ended[half] = 1;
    this.#arena.queued[half] = 0;
    if (this.#pipeOf[half] === -1) return;
    this.#pipes.destroy(this.#pipeOf[half]!);
    this.#pipeOf[half] = -1;
  }

  #starve(half: number): void {
    if (this.#isStarved[half] === 1) return;
    this.#isStarved[half] = 1;
    this.#starved[this.#starvedCount++] = half;
  }

  #feed(half: number): void {
    this.#isStarved[half] = 0;
    this.#makeReady(half >> 1);
  }

  #tellFinished(half: number): void {
    if (this.#finishedTold[half] === 1) return;
    this.#finishedTold[half] = 1;
    this.#report(report.finished, half, 0);
  }

  #report(kind: number, half: number, errno: number): void {
    this.#arena.reports.push(kind, half >> 1, half & 1, errno);
    this.#reported = true;
  }
}

function must(returned: number, action: string): number {
  if (returned < 0) throw new Error("the splice engine cannot " + action + ": " + errnoName(-returned));
  return returned;
}
