/** The loop of the splice engine over a fake kernel, driven turn by turn; the test is the main thread. */
import { expect } from "bun:test";
import { constants } from "node:os";
import { Arena, command, report } from "../../src/forward/splice/arena.ts";
import { SpliceLoop } from "../../src/forward/splice/loop.ts";
import { errnoName } from "../../src/sys/libc.ts";
import type { FakeConnection } from "./fake-connection.ts";
import { FakeSpliceCalls } from "./fake-splice-calls.ts";

/** The errnos that a loop must have an answer for. */
export const errnos = {
  EINTR: constants.errno.EINTR,
  EAGAIN: constants.errno.EAGAIN,
  EPIPE: constants.errno.EPIPE,
  ECONNRESET: constants.errno.ECONNRESET,
  ETIMEDOUT: constants.errno.ETIMEDOUT,
  ENOMEM: constants.errno.ENOMEM,
  ENOBUFS: constants.errno.ENOBUFS,
  EMFILE: constants.errno.EMFILE,
  ENFILE: constants.errno.ENFILE,
  EBADF: constants.errno.EBADF,
  EINVAL: constants.errno.EINVAL,
  EPERM: constants.errno.EPERM,
} as const;

/** The name of one of them. */
export type Errno = keyof typeof errnos;

/** How long `turn` lets the loop wait: told from every wait that the loop decides on itself. */
export const idleWaitMs = 987;

/** The two connections of a session. */
export interface Pair {
  readonly client: FakeConnection;
  readonly backend: FakeConnection;
}

/** How a session is lent. */
export interface Lending {
  /** Bytes that each side takes before its peer has to read; no limit unless said otherwise. */
  readonly clientRoom?: number;
  readonly backendRoom?: number;
  /** Bytes that were passed on before, and halves that have ended before: toBackend, toClient. */
  readonly bytes?: readonly [number, number];
  readonly endedBefore?: readonly [boolean, boolean];
}

const kinds = new Map<number, string>(Object.entries(report).map(([name, kind]) => [kind, name]));

/** See the head of this file. */
export class SpliceHarness {
  readonly arena: Arena;
  readonly calls = new FakeSpliceCalls();
  readonly loop: SpliceLoop;

  constructor(sessionsMax = 4) {
    this.arena = new Arena(sessionsMax);
    this.loop = new SpliceLoop(this.arena, this.calls, this.calls.wakeFd);
  }

  /** Makes the connections of a session and tells the loop to take it: with its next turn. */
  lend(slot = 0, lending: Lending = {}): Pair {
    const client = this.calls.connection(lending.clientRoom);
    const backend = this.calls.connection(lending.backendRoom);
    for (const [direction, connection] of [client, backend].entries()) {
      const index = slot * 2 + direction;
      const before = lending.bytes?.[direction] ?? 0;
      this.arena.fds[index] = connection.fd;
      this.arena.bytes[index] = before;
      this.arena.queued[index] = 0;
      this.arena.activeAtMs[index] = this.calls.nowMs;
      this.arena.endedBefore[index] = lending.endedBefore?.[direction] === true ? 1 : 0;
    }
    this.tell("take", slot);
    return { client, backend };
  }

  /** A session that is lent already: the turn that takes it, and those until nothing is left to do, are over. */
  lent(slot = 0, lending: Lending = {}): Pair {
    const pair = this.lend(slot, lending);
    this.settle();
    return pair;
  }

  tell(name: keyof typeof command, slot = 0): void {
    this.tellRaw(command[name], slot);
  }

  tellRaw(kind: number, slot: number): void {
    this.arena.commands.push(kind, slot, 0, 0);
    this.calls.signalled = true;
  }

  /** One turn; what was reported in it. */
  turn(): string[] {
    this.loop.turn(idleWaitMs);
    return this.told();
  }

  /** Turns until the loop would wait for events for as long as it may; what was reported. Time passes in waits. */
  settle(): string[] {
    const told: string[] = [];
    for (let turns = 0; turns < 10_000; turns++) {
      told.push(...this.turn());
      if (this.calls.waits.at(-1) === idleWaitMs && this.calls.lastEvents === 0) return told;
    }
    throw new Error("the loop does not come to rest");
  }

  /** What was reported and not read yet: "released", "ended toBackend", "failed toClient EBADF"; of other slots "… of 1". */
  told(): string[] {
    const { reports } = this.arena;
    const told: string[] = [];
    while (reports.next()) {
      const words = [kinds.get(reports.kind)];
      if (reports.kind !== report.ready && reports.kind !== report.released) {
        words.push(reports.b === 0 ? "toBackend" : "toClient");
      }
      if (reports.c !== 0) words.push(errnoName(reports.c));
      if (reports.a !== 0) words.push(`of ${reports.a}`);
      told.push(words.join(" "));
    }
    return told;
  }

  /** The figures of a half: bytes passed on, bytes in its pipe. */
  figures(slot: number, direction: 0 | 1): { bytes: number; queued: number } {
    return { bytes: this.arena.bytes[slot * 2 + direction]!, queued: this.arena.queued[slot * 2 + direction]! };
  }

  /** Asks for the session of slot 0 back, which was told of no more than that; nothing of it may be left. */
  expectReleased(): void {
    this.tell("release");
    expect(this.settle()).toEqual(["released"]);
    expect(this.calls.filledPipes).toBe(0);
    expect(this.calls.watched).toEqual([this.calls.wakeFd]);
    expect(this.pipesInTable.toSorted()).toEqual(this.pipesOpen.toSorted());
  }

  /** Descriptors of pipes in the table that the main thread closes when the loop has died. */
  get pipesInTable(): number[] {
    return [...this.arena.pipes].filter((fd) => fd !== -1);
  }

  /** Those of the pipes that are really open. */
  get pipesOpen(): number[] {
    return [...this.calls.pipes].flatMap(({ reading, writing }) => [reading, writing]);
  }
}
