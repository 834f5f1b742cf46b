/** The first open endpoint in the order of the configuration. */
import type { Balancer } from "./balancer.ts";
import type { Candidates } from "./candidates.ts";

/**
 * One that warms up is passed over until it has, as long as another can be had: who chooses this policy wants one
 * endpoint at a time, and not a tenth of the clients here and the rest there.
 */
export class First implements Balancer {
  readonly #candidates: Candidates;

  constructor(candidates: Candidates) {
    this.#candidates = candidates;
  }

  pick(): number {
    const { count, open, shares } = this.#candidates;
    let warmingUp = -1;
    for (let slot = 0; slot < count; slot++) {
      if (open[slot] === 0) continue;
      if (shares[slot] === 1) return slot;
      if (warmingUp === -1) warmingUp = slot;
    }
    return warmingUp;
  }
}
