/** The half of a fake kernel that fake-splice-calls.ts builds upon: connections, an edge-triggered epoll, a clock, memory. */
import { constants } from "node:os";
import { eventDataWord, eventWords } from "../../src/forward/splice/arena.ts";
import { FakeConnection } from "./fake-connection.ts";

/** sys/epoll.h. */
const EPOLLIN = 0x1;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;

/** The system calls of the loop that can be made to fail; `splice` by its direction. */
export const fakeCalls = [
  "receive",
  "send",
  "write",
  "splice in",
  "splice out",
  "pipe",
  "F_SETPIPE_SZ",
  "epoll_create",
  "epoll_ctl",
  "epoll_wait",
] as const;

/** One of them. */
export type FakeCall = (typeof fakeCalls)[number];

/** See the head of this file. Descriptors are numbered from 100 on, and never used twice. */
export class FakeEpoll {
  /** What the clock shows, in ms; a wait with nothing to tell lets its time pass. */
  nowMs = 5_000;
  /** The time that each epoll_wait was given. */
  readonly waits: number[] = [];
  /** Events of the last one. */
  lastEvents = 0;
  /** How often each call was made. */
  readonly made = Object.fromEntries(fakeCalls.map((call) => [call, 0])) as Record<FakeCall, number>;
  /** Whether the eventfd is signalled. */
  signalled = false;
  readonly wakeFd: number;
  readonly connections = new Map<number, FakeConnection>();

  #nextFd = 100;
  #epoll = -1;
  readonly #watched = new Map<number, { readonly events: number; readonly data: number }>();
  readonly #failures = new Map<FakeCall, number[]>();
  readonly #memory: Int32Array<ArrayBufferLike>[] = [];

  constructor() {
    this.wakeFd = this.newFd();
  }

  /** The next calls of this name fail with these errnos, one after the other; 0 = that one works. */
  fail(call: FakeCall, ...errnos: readonly number[]): void {
    this.#failures.set(call, [...(this.#failures.get(call) ?? []), ...errnos]);
  }

  /** A connection that takes so many bytes before its peer has to read. */
  connection(room = Infinity): FakeConnection {
    const connection = new FakeConnection(this.newFd(), room);
    this.connections.set(connection.fd, connection);
    return connection;
  }

  /** Whether epoll has something to tell. */
  get hasNews(): boolean {
    return this.signalled || this.watched.some((fd) => this.connections.get(fd)?.changed);
  }

  /** Whether there is an epoll. */
  get hasEpoll(): boolean {
    return this.#epoll >= 0;
  }

  /** Descriptors that epoll watches, the eventfd included. */
  get watched(): readonly number[] {
    return [...this.#watched.keys()];
  }

  addressOf(memory: ArrayBufferView): number {
    return this.#memory.push(new Int32Array(memory.buffer, memory.byteOffset, memory.byteLength / 4)) * 2 ** 32;
  }

  epollCreate(): number {
    return this.fails("epoll_create") ?? (this.#epoll = this.newFd());
  }

  epollAdd(epoll: number, fd: number, address: number): number {
    this.#checkEpoll(epoll);
    const failed = this.fails("epoll_ctl");
    if (failed !== undefined) return failed;
    if (this.#watched.has(fd)) throw new Error(`${fd} is watched already`);
    this.#watch(fd, address);
    return 0;
  }

  epollModify(epoll: number, fd: number, address: number): number {
    this.#checkEpoll(epoll);
    if (!this.#watched.has(fd)) throw new Error(`${fd} is not watched`);
    this.#watch(fd, address);
    return 0;
  }

  /** What is so already is news to who has begun to watch it. */
  #watch(fd: number, address: number): void {
    const [memory, word] = this.#at(address);
    const events = memory[word]! | EPOLLERR | EPOLLHUP;
    this.#watched.set(fd, { events, data: memory[word + eventDataWord]! });
    if (fd === this.wakeFd) return;
    const connection = this.connectionAt(fd);
    connection.interest = events;
    if ((connection.poll() & events) !== 0) connection.changed = true;
  }

  epollRemove(epoll: number, fd: number): number {
    this.#checkEpoll(epoll);
    return this.#watched.delete(fd) ? 0 : -constants.errno.ENOENT;
  }

  epollWait(epoll: number, address: number, count: number, timeoutMs: number): number {
    this.#checkEpoll(epoll);
    this.waits.push(timeoutMs);
    const failed = this.fails("epoll_wait");
    this.lastEvents = failed ?? 0;
    if (failed !== undefined) return failed;
    const [memory, word] = this.#at(address);
    let told = 0;
    for (const [fd, { events, data }] of this.#watched) {
      if (told === count) break;
      const mask = this.#due(fd) & events;
      if (mask === 0) continue;
      memory[word + told * eventWords] = mask;
      memory[word + told * eventWords + eventDataWord] = data;
      told++;
    }
    if (told === 0) this.nowMs += Math.max(0, timeoutMs);
    return (this.lastEvents = told);
  }

  /** What epoll has to tell of a descriptor, which it then has told. */
  #due(fd: number): number {
    if (fd === this.wakeFd) return this.signalled ? EPOLLIN : 0;
    const connection = this.connectionAt(fd);
    if (!connection.changed) return 0;
    connection.changed = false;
    return connection.poll();
  }

  unsignal(fd: number): number {
    if (fd !== this.wakeFd) throw new Error(`${fd} is not the eventfd`);
    this.signalled = false;
    return 8;
  }

  monotonicTime(address: number): number {
    const seconds = Math.floor(this.nowMs / 1000);
    this.writeWords(address, [seconds, 0, Math.round((this.nowMs - seconds * 1000) * 1_000_000), 0]);
    return 0;
  }

  /** The next number for a descriptor. */
  protected newFd(): number {
    return this.#nextFd++;
  }

  protected fails(call: FakeCall): number | undefined {
    this.made[call]++;
    const errno = this.#failures.get(call)?.shift() ?? 0;
    return errno === 0 ? undefined : -errno;
  }

  protected connectionAt(fd: number): FakeConnection {
    const connection = this.connections.get(fd);
    if (connection === undefined) throw new Error(`${fd} is no open connection`);
    return connection;
  }

  /** Closes the epoll, if that is what the descriptor is. */
  protected closeEpoll(fd: number): boolean {
    if (fd !== this.#epoll) return false;
    this.#epoll = -1;
    this.#watched.clear();
    return true;
  }

  #checkEpoll(epoll: number): void {
    if (epoll !== this.#epoll || epoll < 0) throw new Error(`${epoll} is not the epoll`);
  }

  protected writeWords(address: number, words: readonly number[]): void {
    const [memory, word] = this.#at(address);
    memory.set(words, word);
  }

  #at(address: number): [memory: Int32Array<ArrayBufferLike>, word: number] {
    const memory = this.#memory[Math.floor(address / 2 ** 32) - 1];
    if (memory === undefined) throw new Error(`${address} is no address`);
    return [memory, (address % 2 ** 32) / 4];
  }
}
