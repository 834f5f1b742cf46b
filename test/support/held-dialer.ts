/** A dialer whose attempts wait until the test lets them go on: a dial that takes as long as it takes. */
import { Dialer, type Dial, type DialOwner, type DialRequest } from "../../src/backend/dial.ts";
import type { DialFailure } from "../../src/backend/dial-failure.ts";
import { until } from "./until.ts";

/** An attempt that waits; afterwards the real one behind it. */
interface Held {
  readonly request: DialRequest;
  readonly owner: DialOwner;
  begun: Dial | undefined;
}

/** See above. */
export class HeldDialer extends Dialer {
  readonly #held: Held[] = [];
  /** Attempts that were taken back while they waited. */
  cancelled = 0;

  /** Resolves when `count` attempts wait. */
  async holds(count: number): Promise<void> {
    await until(
      () => this.#held.length === count,
      () => `${count} dials to wait: ${this.#held.length} do`,
    );
  }

  /** Begins all attempts that wait. */
  release(): void {
    for (const held of this.#held.splice(0)) {
      this.pending--;
      const begun = super.begin(held.request, held.owner);
      if ("cancel" in begun) held.begun = begun;
      else held.owner.dialFailed(begun);
    }
  }

  override begin(request: DialRequest, owner: DialOwner): Dial | DialFailure {
    const held: Held = { request, owner, begun: undefined };
    this.#held.push(held);
    this.pending++;
    return { cancel: () => this.#cancel(held) };
  }

  #cancel(held: Held): void {
    if (held.begun !== undefined) return held.begun.cancel();
    this.#held.splice(this.#held.indexOf(held), 1);
    this.pending--;
    this.cancelled++;
  }
}
