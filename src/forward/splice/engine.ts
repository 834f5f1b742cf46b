/**
 * The splice engine as the main thread sees it: lends sessions to a Worker, hears what becomes of them, and starts a new
 * Worker where one has died. LIFECYCLE.md tells who owns what at each moment.
 */
import { assert } from "../../core/assert.ts";
import type { Clock, TimerHandle } from "../../core/clock.ts";
import { SluiceError } from "../../core/error.ts";
import { errnoName, libc } from "../../sys/libc.ts";
import type { MoveRule, MoveReason } from "../move-rule.ts";
import type { CopyForwarder } from "../copy/copy-forwarder.ts";
import type { ForwarderOwner, Half } from "../forwarder.ts";
import { Arena, command, report, toBackend, toClient } from "./arena.ts";
import { SplicedForwarder, type Lender } from "./spliced-forwarder.ts";
import type { SpliceWorkerStart } from "./worker.ts";

/** How the engine is set up. */
export interface SpliceEngineSettings {
  /** When a session is taken over. */
  readonly rule: MoveRule;
  /** Sessions it takes at most; further ones stay with the copy engine. */
  readonly sessionsMax: number;
  readonly clock: Clock;
  /** The Worker has died with so many sessions; a new one takes its place. */
  workerDied(cause: Error, sessions: number): void;
}

/** How long a Worker may take until it runs. */
const startTimeoutMs = 5_000;
/** How long after a death the next Worker is started; doubled with each death in a row, up to the second figure. */
const restartAfterMs = { first: 100, most: 30_000 } as const;

/**
 * The Worker's file. Inside of a compiled executable it is an entry point of its own and found from the first one's
 * folder (Bun 1.4.5).
 */
const workerUrl = import.meta.dir.startsWith("/$bunfs/")
  ? "./forward/splice/worker.ts"
  : new URL("./worker.ts", import.meta.url).href;

/** What exists while a Worker does. */
interface Running {
  readonly arena: Arena;
  readonly worker: Worker;
  readonly wakeFd: number;
  /** By slot: who has it. */
  readonly held: (SplicedForwarder | undefined)[];
  /** Slots that nobody has, the one used last on top. */
  readonly vacant: number[];
  /** Whether the loop runs. */
  ready: boolean;
  /** What the Worker said before it died. */
  cause: Error | undefined;
}

/** One for the program. A Worker is started with `start`, or when the first session asks for it. */
export class SpliceEngine implements Lender {
  readonly rule: MoveRule;
  readonly clockOffsetMs: number;
  readonly #settings: SpliceEngineSettings;
  #running: Running | undefined = undefined;
  #state: "active" | "stopping" = "active";
  #restart: TimerHandle | undefined = undefined;
  #deathsInARow = 0;
  /** Who waits for the Worker to run. */
  #starting: PromiseWithResolvers<void> | undefined = undefined;
  /** Who waits for the Worker to be gone. */
  #stopping: PromiseWithResolvers<void> | undefined = undefined;

  constructor(settings: SpliceEngineSettings) {
    this.#settings = settings;
    this.rule = settings.rule;
    this.clockOffsetMs = settings.clock.nowMs() - monotonicMs();
  }

  /** Sessions lent to the Worker. */
  get sessions(): number {
    return this.#running === undefined ? 0 : this.#settings.sessionsMax - this.#running.vacant.length;
  }

  /** The shared memory of the present Worker; for those who look into it. */
  get arena(): Arena | undefined {
    return this.#running?.arena;
  }

  /** Starts a Worker, unless there is one. Throws a `SluiceError` (`splice_failed`) when it does not come to run. */
  async start(): Promise<void> {
    assert(this.#state === "active", "the splice engine was started after its stop");
    if (this.#running?.ready === true) return;
    this.#starting ??= Promise.withResolvers<void>();
    const starting = this.#starting.promise;
    if (this.#running === undefined) this.#startWorker();
    const { clock } = this.#settings;
    const timer = clock.setTimer(() => this.#startTimedOut(), startTimeoutMs, "holds_process");
    try {
      await starting;
    } finally {
      clock.clearTimer(timer);
    }
  }

  #startTimedOut(): void {
    if (this.#running === undefined) return;
    this.#running.cause ??= new Error(`its Worker did not run within ${startTimeoutMs / 1000} s`);
    this.#running.worker.terminate();
  }

  /** See `Mover` of the session: takes over a forwarder that is `movable`, or says that it can't now. */
  take(forwarder: CopyForwarder, owner: ForwarderOwner, why: MoveReason): SplicedForwarder | undefined {
    const running = this.#running;
    if (running === undefined || !running.ready) {
      // The first session that shows to be bulk; it is asked again with its next bytes.
      if (running === undefined && this.#restart === undefined && this.#state === "active") this.#startWorker();
      return undefined;
    }
    const { arena, vacant, held } = running;
    // Half of the places are kept for bulk, which has more to gain.
    const kept = why === "busy" ? this.#settings.sessionsMax >> 1 : 0;
    if (vacant.length <= kept || this.#state !== "active") return undefined;
    const clientFd = libc!.dup(forwarder.toBackend.source.fd);
    if (clientFd < 0) return undefined;
    const backendFd = libc!.dup(forwarder.toClient.source.fd);
    if (backendFd < 0) {
      libc!.close(clientFd);
      return undefined;
    }
    const slot = vacant.pop()!;
    this.#fill(arena, slot * 2 + toBackend, clientFd, forwarder.toBackend);
    this.#fill(arena, slot * 2 + toClient, backendFd, forwarder.toClient);
    const spliced = new SplicedForwarder(slot, arena, this, owner);
    held[slot] = spliced;
    forwarder.letGo();
    // Bun's way of letting go has marked both for a reset, which is the connection's, not the descriptor's.
    libc!.resetOnClose(clientFd, false);
    libc!.resetOnClose(backendFd, false);
    this.#tell(running, command.take, slot);
    return spliced;
  }

  #fill(arena: Arena, index: number, sourceFd: number, half: Half): void {
    arena.fds[index] = sourceFd;
    arena.bytes[index] = half.bytes;
    arena.queued[index] = 0;
    arena.activeAtMs[index] = half.activeAtMs - this.clockOffsetMs;
    arena.endedBefore[index] = half.state === "ended" ? 1 : 0;
  }

  askBack(slot: number): void {
    // Without a Worker everything is back already.
    if (this.#running !== undefined) this.#tell(this.#running, command.release, slot);
  }

  /** Ends the Worker. What is still lent to it is lost, as when it dies. */
  async stop(): Promise<void> {
    this.#state = "stopping";
    if (this.#restart !== undefined) this.#settings.clock.clearTimer(this.#restart);
    this.#restart = undefined;
    if (this.#running === undefined) return;
    this.#stopping ??= Promise.withResolvers<void>();
    this.#tell(this.#running, command.stop, 0);
    await this.#stopping.promise;
  }

  #tell({ arena, wakeFd }: Running, kind: number, slot: number): void {
    arena.commands.push(kind, slot, 0, 0);
    libc!.signal(wakeFd);
  }

  // The Worker's life.

  #startWorker(): void {
    assert(libc !== undefined, "the splice engine was started without the C library");
    if (this.#restart !== undefined) this.#settings.clock.clearTimer(this.#restart);
    this.#restart = undefined;
    const wakeFd = libc.eventfd();
    const { sessionsMax } = this.#settings;
    const arena = new Arena(sessionsMax);
    const worker = new Worker(workerUrl, { name: "splice", ref: false });
    const running: Running = {
      arena,
      worker,
      wakeFd,
      held: Array.from({ length: sessionsMax }, () => undefined),
      vacant: Array.from({ length: sessionsMax }, (_, index) => sessionsMax - 1 - index),
      ready: false,
      cause: wakeFd < 0 ? new Error(`no eventfd: ${errnoName(-wakeFd)}`) : undefined,
    };
    this.#running = running;
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      // For an error that the Worker could not tell itself. The event has no `error`, and a message of several lines
      // with the source around the mistake (Bun 1.4.5).
      running.cause ??= new Error(event.message);
    });
    worker.addEventListener("message", ({ data }: MessageEvent<Error>) => {
      running.cause ??= data;
    });
    worker.addEventListener("close", () => this.#workerGone(running));
    if (wakeFd < 0) return worker.terminate();
    worker.postMessage({ shared: arena.shared, sessionsMax, wakeFd } satisfies SpliceWorkerStart);
    void this.#hear(running);
  }

  /** The Worker's thread has ended: what it had is ours alone again. */
  #workerGone(running: Running): void {
    const { arena, wakeFd, held } = running;
    this.#readReports(running);
    this.#running = undefined;
    for (const fd of [wakeFd, arena.epoll[0]!, ...arena.pipes]) if (fd >= 0) libc!.close(fd);
    // Whoever still waits for a report.
    arena.reports.wake();
    const lost = held.filter((forwarder) => forwarder !== undefined);
    const cause = running.cause ?? new Error("the Worker has ended by itself");
    // Of a start that fails its caller is told; nobody had the Worker yet.
    if (this.#stopping === undefined && this.#starting === undefined) {
      this.#settings.workerDied(cause, lost.length);
      this.#startAgain();
    }
    for (const forwarder of lost) {
      // One whose owner fails must not keep the others.
      try {
        forwarder.returned();
      } catch (mistake) {
        forwarder.failed(mistake);
      }
    }
    this.#starting?.reject(
      new SluiceError("splice_failed", `cannot start the splice engine: ${cause.message}`, {
        source: "internal",
        cause,
      }),
    );
    this.#starting = undefined;
    this.#stopping?.resolve();
  }

  #startAgain(): void {
    const delayMs = Math.min(restartAfterMs.first * 2 ** this.#deathsInARow++, restartAfterMs.most);
    this.#restart = this.#settings.clock.setTimer(() => this.#startWorker(), delayMs);
  }

  // What the Worker tells.

  async #hear(running: Running): Promise<void> {
    while (this.#running === running) {
      this.#readReports(running);
      await running.arena.reports.whenWritten();
    }
  }

  #readReports(running: Running): void {
    const { reports } = running.arena;
    while (reports.next()) {
      const { kind, a: slot, b: direction, c: errno } = reports;
      if (kind === report.ready) {
        running.ready = true;
        this.#starting?.resolve();
        this.#starting = undefined;
        continue;
      }
      const forwarder = running.held[slot];
      assert(forwarder !== undefined, "the splice engine reported on a session that it does not have");
      try {
        if (kind !== report.released) {
          forwarder.heard(kind, direction, errno);
          continue;
        }
        running.held[slot] = undefined;
        running.vacant.push(slot);
        this.#deathsInARow = 0;
        forwarder.returned();
      } catch (mistake) {
        forwarder.failed(mistake);
      }
    }
  }
}

/** The time of the clock that the Worker reads, in ms. */
function monotonicMs(): number {
  const time = new Uint32Array(new ArrayBuffer(16));
  libc!.monotonicTime(libc!.addressOf(time));
  return time[0]! * 1000 + time[2]! / 1_000_000;
}
