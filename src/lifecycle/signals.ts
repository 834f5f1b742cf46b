/** What the process is told from outside by signals, and the mistakes that nobody caught. */

/** The signals that ask for an end. */
export type StopSignal = "SIGTERM" | "SIGINT";

/**
 * The same signal again within this time is the first one come twice: a terminal sends Ctrl+C to all its processes, and
 * some of those (npm, a shell) pass it on. No person presses it that fast.
 */
const sameSignalMs = 50;

/** A signal that is reserved for what is not built yet; without a handler it would kill the process. */
export type ReservedSignal = "SIGUSR2";

/** Whom the signals are for. */
export interface SignalReceiver {
  /** An end is asked for: the first time gracefully, then at once. */
  stop(signal: StopSignal): void;
  /** SIGHUP: what can be read again without a new start is to be. */
  reload(): void;
  reserved(signal: ReservedSignal): void;
  /** An exception or rejection that nothing caught. */
  uncaught(error: Error): void;
}

/**
 * Takes the signals over, for good. To be called first thing: as PID 1 a process without handlers ignores SIGTERM. What
 * comes before there is a receiver is kept for it.
 */
export class Signals {
  #receiver: SignalReceiver | undefined = undefined;
  readonly #early: ((receiver: SignalReceiver) => void)[] = [];

  constructor() {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      let lastMs = -Infinity;
      process.on(signal, () => {
        const nowMs = performance.now();
        if (nowMs - lastMs >= sameSignalMs) this.#tell((receiver) => receiver.stop(signal));
        lastMs = nowMs;
      });
    }
    process.on("SIGHUP", () => this.#tell((receiver) => receiver.reload()));
    process.on("SIGUSR2", () => this.#tell((receiver) => receiver.reserved("SIGUSR2")));
    for (const kind of ["uncaughtException", "unhandledRejection"] as const) {
      process.on(kind, (thrown: unknown) => {
        const error = thrown instanceof Error ? thrown : new Error(String(thrown));
        this.#tell((receiver) => receiver.uncaught(error));
      });
    }
  }

  /** Tells `receiver` of everything from now on, and what came before. */
  receive(receiver: SignalReceiver): void {
    this.#receiver = receiver;
    for (const tell of this.#early.splice(0)) tell(receiver);
  }

  #tell(tell: (receiver: SignalReceiver) => void): void {
    if (this.#receiver === undefined) this.#early.push(tell);
    else tell(this.#receiver);
  }
}

/** The exit code of a process that a signal ended: 128 and its number, as shells have it. */
export function signalExitCode(signal: StopSignal): number {
  return signal === "SIGINT" ? 130 : 143;
}
