/** A backend: a named set of endpoints, and the choice among them. */
import type { Endpoint } from "./endpoint.ts";
import { RoundRobin } from "./balance/round-robin.ts";

/** What a listener forwards to. */
export class Backend {
  readonly #balance: RoundRobin;

  constructor(
    readonly name: string,
    /** At least one. */
    readonly endpoints: readonly Endpoint[],
    /** Further endpoints a session may try when a connect fails. */
    readonly retries: number,
  ) {
    this.#balance = new RoundRobin(endpoints.length);
  }

  /** Where a session begins: its first attempt goes to this endpoint, the next to those after it. */
  startingPoint(): number {
    return this.#balance.next();
  }

  /**
   * The endpoint for attempt number `attempt` (0 for the first) of a session that began at `start`, or `undefined` when
   * the session has tried as many as it may. None is tried twice.
   */
  endpointFor(start: number, attempt: number): Endpoint | undefined {
    const count = this.endpoints.length;
    if (attempt > this.retries || attempt >= count) return undefined;
    return this.endpoints[(start + attempt) % count];
  }
}
