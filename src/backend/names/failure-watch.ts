/**
 * Failures that c-ares does not hear of, or does not understand. Either would have the event loop turn without a pause, with
 * all of a core, until the question is over:
 *
 * - Where nobody listens at a server's port, or a firewall refuses, the kernel leaves an error at the socket that the
 *   question was sent from. Bun 1.4.5 tells c-ares nothing of it, and nobody takes it (bun#32164). Hence it is taken here.
 * - A server that answers over TCP, and ends the connection in the middle of its answer, is read from again and again
 *   (the c-ares of Bun 1.4.5, bun#42944). Hence the connection is looked at here.
 *
 * Without a C library that we know nothing is watched, and such servers are as good as silent ones.
 */
import type { Clock, TimerHandle } from "../../core/clock.ts";
import {
  connectionNear,
  connectionState,
  datagramSocketNear,
  isOpen,
  keyOf,
  nextDescriptor,
  takeError,
  type QuestionSocket,
} from "./question-socket.ts";

/** What has failed. */
export type SendingFailure =
  /** The server's host, or a router or firewall before it, does not take the question. */
  | "refused"
  /** The connection has ended, and the answer is not complete. */
  | "cut_short";

/** When a socket is looked at for the second time, the first being at once: a server nearby has refused by then. */
const secondLookMs = 1;
/** Each further wait is twice as long, up to this: how long a failure may take the core at worst. */
const lookMaxMs = 100;

/** The keys of all sockets that are watched, by which those of other questions are known. */
const watched = new Set<string>();

/** Watches the sockets of one question from `send` until `stop` or a failure. */
export class FailureWatch {
  readonly #clock: Clock;
  readonly #failed: (failure: SendingFailure) => void;
  #state: State = { kind: "over" };
  #timer: TimerHandle | undefined;
  #waitMs = secondLookMs;

  /** `failed` is called at most once, not before `send` has returned, and not after `stop`. */
  constructor(clock: Clock, failed: (failure: SendingFailure) => void) {
    this.#clock = clock;
    this.#failed = failed;
  }

  /** Calls `question`, which sends one datagram from a socket that it opens, both before it returns. Once. */
  send<T>(question: () => T): T {
    const expected = nextDescriptor();
    const sent = question();
    const socket = expected === undefined ? undefined : datagramSocketNear(expected, watched);
    if (socket === undefined) return sent;
    this.#become({ kind: "asked", socket });
    // Before the event loop turns again.
    queueMicrotask(() => this.#look());
    return sent;
  }

  /** Whether the answer is on its way over TCP. */
  get overTcp(): boolean {
    return this.#state.kind === "connected";
  }

  stop(): void {
    this.#become({ kind: "over" });
    if (this.#timer !== undefined) this.#clock.clearTimer(this.#timer);
  }

  #look(): void {
    const failure = this.#found();
    if (failure !== undefined) {
      this.stop();
      this.#failed(failure);
    } else if (this.#state.kind !== "over") {
      this.#timer = this.#clock.setTimer(() => this.#look(), this.#waitMs);
      this.#waitMs = Math.min(2 * this.#waitMs, lookMaxMs);
    }
  }

  #found(): SendingFailure | undefined {
    const state = this.#state;
    switch (state.kind) {
      case "over":
        return undefined;
      case "asked":
        if (isOpen(state.socket)) return takeError(state.socket) === 0 ? undefined : "refused";
        this.#become({ kind: "answered", socket: state.socket });
        return undefined;
      case "answered": {
        const connection = connectionNear(state.socket, watched);
        if (connection !== undefined) this.#become({ ...state, kind: "connected", connection, ended: false });
        return undefined;
      }
      case "connected": {
        const { socket, connection, ended } = state;
        const now = connectionState(connection);
        // What came before the end is read when the event loop turns, which it has since the look before.
        if (ended && now !== "open") return "cut_short";
        if (now === "gone") this.#become({ kind: "answered", socket });
        if (now === "ended") this.#become({ ...state, ended: true });
        return undefined;
      }
    }
  }

  #become(state: State): void {
    const [before, now] = [socketOf(this.#state), socketOf(state)];
    if (before !== undefined) watched.delete(keyOf(before));
    if (now !== undefined) watched.add(keyOf(now));
    this.#state = state;
    this.#waitMs = secondLookMs;
  }
}

/** What is watched. `socket` is the one that the question was sent from. */
type State =
  | { readonly kind: "over" }
  | { readonly kind: "asked"; readonly socket: QuestionSocket }
  /** Its socket is closed, and yet the question is not over: it goes on over TCP. */
  | { readonly kind: "answered"; readonly socket: QuestionSocket }
  /** `ended`: when it was last looked at. */
  | {
      readonly kind: "connected";
      readonly socket: QuestionSocket;
      readonly connection: QuestionSocket;
      readonly ended: boolean;
    };

/** The socket that is there to be watched. */
function socketOf(state: State): QuestionSocket | undefined {
  switch (state.kind) {
    case "over":
    case "answered":
      return undefined;
    case "asked":
      return state.socket;
    case "connected":
      return state.connection;
  }
}
