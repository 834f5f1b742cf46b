/** Who is told what becomes of the endpoints of a backend. */
import type { Endpoint, EndpointState } from "./endpoint.ts";

/** Whom a backend tells of its endpoints, after the fact. */
export interface BackendObserver {
  /** Active checks found it down. */
  down?(endpoint: Endpoint): void;
  /** Active checks found it up, after it had been down. */
  up?(endpoint: Endpoint): void;
  /** It left the rotation, for so long, after failures in a row. */
  ejected?(endpoint: Endpoint, forMs: number): void;
  /** Its ejection is over. */
  returned?(endpoint: Endpoint): void;
  /** The operator wants something else of it. */
  stateChanged?(endpoint: Endpoint, from: EndpointState, to: EndpointState): void;
  /** The operator has given it another weight, or taken that back. */
  weightChanged?(endpoint: Endpoint, from: number, to: number): void;
  /** It came to the set. */
  added?(endpoint: Endpoint): void;
  /** It left the set, and with that an ejection is over; sessions may hold it still. */
  removed?(endpoint: Endpoint): void;
}

/** Those who want to be told. One that comes or goes while others are being told is told from the next time on, or still this once. */
export class BackendObservers {
  #all: readonly BackendObserver[] = [];

  /** Tells somebody from now on, until the returned function is called. */
  add(observer: BackendObserver): () => void {
    this.#all = [...this.#all, observer];
    return () => {
      this.#all = this.#all.filter((other) => other !== observer);
    };
  }

  [Symbol.iterator](): Iterator<BackendObserver> {
    return this.#all[Symbol.iterator]();
  }
}
