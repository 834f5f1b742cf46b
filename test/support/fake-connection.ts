/** Our end of a connection of the fake kernel in fake-splice-calls.ts, and what its peer does. */
import { constants } from "node:os";

const { ECONNRESET, EPIPE } = constants.errno;
/** sys/epoll.h. */
const EPOLLIN = 0x1;
const EPOLLOUT = 0x4;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;
const EPOLLRDHUP = 0x2000;

/** Bytes `from` (inclusive) to `to` (exclusive) of what the peer at a connection sent. */
export interface Range {
  readonly sender: FakeConnection;
  readonly from: number;
  readonly to: number;
}

/** Our end of a connection, and what its peer has done. */
export class FakeConnection {
  /** Bytes that the peer has sent, and those of them that were read. */
  arrived = 0;
  read = 0;
  /** Bytes that were written to it. */
  taken = 0;
  /** Bytes that it takes before it is full. */
  room: number;
  /** Whether the peer has sent FIN; whether it was sent one. */
  finished = false;
  finSent = false;
  /** Whether the peer has reset, and the error of it that nobody was given yet. */
  broken = false;
  error = 0;
  /** Urgent data is next: splice(2) takes it for the end of what there is, until something was read (Linux 6.18). */
  urgent = false;
  /** What an epoll watches it for, and whether something has changed since it told. */
  interest = 0;
  changed = false;
  /** Somebody was told that there is no room, and is to be told when there is. */
  awaitsRoom = false;
  /** From whom its bytes are. */
  sender: FakeConnection | undefined;

  constructor(
    readonly fd: number,
    room: number,
  ) {
    this.room = room;
  }

  /** The peer sends. */
  arrive(bytes: number): void {
    this.arrived += bytes;
    if ((this.interest & EPOLLIN) !== 0) this.changed = true;
  }

  /** The peer sends FIN. */
  finish(): void {
    this.finished = true;
    this.changed = true;
  }

  /** The peer resets: what it had sent before can still be read (net/ipv4/tcp_input.c, tcp_reset). */
  reset(): void {
    if (this.broken) return;
    this.broken = true;
    this.error = this.finished ? EPIPE : ECONNRESET;
    this.changed = true;
  }

  /** The peer reads. */
  makeRoom(bytes: number): void {
    this.room += bytes;
    if (!this.awaitsRoom || bytes === 0) return;
    this.awaitsRoom = false;
    if ((this.interest & EPOLLOUT) !== 0) this.changed = true;
  }

  /** What poll(2) tells (net/ipv4/tcp.c, tcp_poll). */
  poll(): number {
    const isReadable = this.read < this.arrived || this.finished || this.broken;
    const isWritable = this.room > 0 || this.finSent || this.broken;
    if (!isWritable) this.awaitsRoom = true;
    return (
      (isReadable ? EPOLLIN : 0) |
      (isWritable ? EPOLLOUT : 0) |
      (this.error !== 0 ? EPOLLERR : 0) |
      (this.broken || (this.finished && this.finSent) ? EPOLLHUP : 0) |
      (this.broken || this.finished ? EPOLLRDHUP : 0)
    );
  }

  /** Takes a range; throws when it is not the one that follows. */
  put({ sender, from, to }: Range): void {
    this.sender ??= sender;
    if (this.sender !== sender)
      throw new Error(`${this.fd} got bytes of ${sender.fd} after those of ${this.sender.fd}`);
    if (from !== this.taken) throw new Error(`${this.fd} got bytes from ${from} on, but the next are ${this.taken}`);
    this.taken = to;
    this.room -= to - from;
  }
}
