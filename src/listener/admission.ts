/** Admission: how many connections may be open at once, over all listeners. */
import type { ActiveConnections } from "../stats/active-connections.ts";

/** What happens to connections beyond the limit. */
export type Overflow =
  /** They wait in the kernel's accept queue until a session ends. */
  | "queue"
  /** They are reset at once. */
  | "reject";

/** Something that accepts connections and can be told to wait; a listener. */
export interface Gate {
  /** No more may be accepted for now. Takes effect at once: the next connection stays in the accept queue. */
  pause(): void;
  /** Connections may be accepted again. */
  resume(): void;
}

/** Counts permits against the limit, and stops and starts the listeners by it. */
export class Admission {
  readonly #active: ActiveConnections;
  readonly #gates = new Set<Gate>();
  #limit: number;
  #overflow: Overflow;

  constructor(active: ActiveConnections, limit: number, overflow: Overflow) {
    this.#active = active;
    this.#limit = limit;
    this.#overflow = overflow;
  }

  get limit(): number {
    return this.#limit;
  }

  get overflow(): Overflow {
    return this.#overflow;
  }

  /** Holds from now on. Connections that are open beyond a lower limit go on; nobody is let in until enough of them have ended. */
  configure(limit: number, overflow: Overflow): void {
    this.#limit = limit;
    this.#overflow = overflow;
    for (const gate of this.#gates) {
      if (this.full) gate.pause();
      else gate.resume();
    }
  }

  /** A listener that is to wait while the limit is reached. */
  add(gate: Gate): void {
    this.#gates.add(gate);
  }

  /** One that accepts no more. */
  remove(gate: Gate): void {
    this.#gates.delete(gate);
  }

  /** Whether a listener has to wait before it accepts. */
  get full(): boolean {
    return this.#overflow === "queue" && this.#active.count >= this.#limit;
  }

  /** Takes the permit of a new connection; `false` when there is none and the connection is to be reset. */
  admit(): boolean {
    const count = this.#active.take();
    if (this.#overflow === "reject") {
      if (count <= this.#limit) return true;
      this.#active.giveBack();
      return false;
    }
    if (count >= this.#limit) for (const gate of this.#gates) gate.pause();
    return true;
  }

  /** Gives a permit back, once for each that was admitted; whoever waited may go on at once. */
  giveBack(): void {
    const left = this.#active.giveBack();
    if (this.#overflow === "queue" && left === this.#limit - 1) for (const gate of this.#gates) gate.resume();
  }
}
