/** The open sessions of the process: who may be listed, or cut. */
import type { End } from "./end.ts";
import type { Session } from "./session.ts";

/** One for the program; sessions enter and leave it by themselves. */
export class SessionRegistry {
  readonly #open = new Set<Session>();
  #lastId = 0;

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

  /** Ends all that are open and `concerned`, oldest first. */
  endAll(end: End, beforeEach?: (session: Session) => void, concerned?: (session: Session) => boolean): void {
    for (const session of this.#open) {
      if (concerned?.(session) === false) continue;
      beforeEach?.(session);
      session.requestEnd(end);
    }
  }
}
