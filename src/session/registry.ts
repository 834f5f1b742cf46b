/** The open sessions of the process: who may be listed, told that a drain has begun, or cut. */
import type { End } from "./end.ts";
import type { Session } from "./session.ts";

/** One for the program; sessions enter and leave it by themselves. */
export class SessionRegistry {
  readonly #open = new Set<Session>();
  #lastId = 0;
  /** Silence that ends a session while draining, in ms; 0 = none, or no drain. */
  drainIdleMs = 0;

  /** The id of a new session; counts up from 1. */
  nextId(): number {
    return ++this.#lastId;
  }

  add(session: Session): void {
    this.#open.add(session);
  }

  remove(session: Session): void {
    this.#open.delete(session);
  }

  /** The sessions open now, oldest first. */
  get open(): ReadonlySet<Session> {
    return this.#open;
  }

  /** From now on sessions that are silent for `idleMs` end with `drain_idle`; 0 changes nothing. */
  beginDrain(idleMs: number): void {
    if (idleMs === 0) return;
    this.drainIdleMs = idleMs;
    for (const session of this.#open) session.deadlinesChanged();
  }

  /** Ends all that are open and `concerned`, oldest first. */
  endAll(end: End, beforeEach?: (session: Session) => void, concerned?: (session: Session) => boolean): void {
    for (const session of this.#open) {
      if (concerned?.(session) === false) continue;
      beforeEach?.(session);
      session.requestEnd(end);
    }
  }
}
