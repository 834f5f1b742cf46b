/**
 * A tier: the endpoints of a backend that are no backups, or those that are. Clients get one of the second when none of
 * the first can serve.
 */
import { balancerFor, type Balance, type Balancer } from "./balance/balancer.ts";
import { Candidates } from "./balance/candidates.ts";
import type { Endpoint } from "./endpoint.ts";
import { warmUpShare } from "./warm-up.ts";

/** Made anew when the set of endpoints or a weight changes; an endpoint is in one tier of one backend at most. */
export class Tier {
  /** How many are in rotation: may be picked if they are not full. */
  inRotation = 0;
  /** Whether the shares change with time. */
  warmingUp = false;
  readonly #candidates: Candidates;
  readonly #balancer: Balancer;

  constructor(
    readonly endpoints: readonly Endpoint[],
    balance: Balance,
    random: () => number,
    /** The tier that this one follows: turns go on. */
    before?: Tier,
  ) {
    const weights = endpoints.map(({ weight }) => weight);
    this.#candidates = new Candidates(
      endpoints.map(({ name }) => name),
      weights,
    );
    this.#balancer = balancerFor(balance, this.#candidates, random);
    if (before !== undefined) {
      const slotsBefore = endpoints.map((endpoint) => (before.holds(endpoint) ? endpoint.slot : -1));
      this.#candidates.continueFrom(before.#candidates, slotsBefore);
    }
    for (const [slot, endpoint] of endpoints.entries()) endpoint.slot = slot;
  }

  /** Whether the endpoint is one of these. */
  holds(endpoint: Endpoint): boolean {
    return this.endpoints[endpoint.slot] === endpoint;
  }

  /** Whether these endpoints, in this order and with the weights that they have now, would make the same tier. */
  isOf(endpoints: readonly Endpoint[]): boolean {
    if (endpoints.length !== this.endpoints.length) return false;
    return endpoints.every(
      (endpoint, slot) => this.endpoints[slot] === endpoint && this.weightOf(endpoint) === endpoint.weight,
    );
  }

  /** The weight of one of these endpoints, as the tier was made with. */
  weightOf({ slot }: Endpoint): number {
    return this.#candidates.fullWeights[slot]!;
  }

  /** Brings rotation and shares up to date; the shares are relative, so that one warms up only beside others. */
  refresh(nowMs: number): void {
    let largest = 0;
    this.inRotation = 0;
    this.warmingUp = false;
    for (const endpoint of this.endpoints) {
      const share = shareOf(endpoint, nowMs);
      if (share > largest) largest = share;
      if (share > 0) this.inRotation++;
      if (share > 0 && share < 1) this.warmingUp = true;
    }
    for (const [slot, endpoint] of this.endpoints.entries()) {
      const share = shareOf(endpoint, nowMs);
      this.#candidates.setShare(slot, share === 0 ? 0 : share / largest);
      this.#update(slot);
    }
  }

  /**
   * Chooses one that is not in `tried` and counts a session as active there. `limit_endpoint`: all that are left are
   * full; `no_endpoint`: none is left.
   */
  take(clientHost: string, tried: readonly Endpoint[]): Endpoint | "no_endpoint" | "limit_endpoint" {
    let left = this.inRotation;
    for (let index = 0; index < tried.length; index++) {
      const { slot } = tried[index]!;
      if (!this.holds(tried[index]!)) continue;
      if (this.#candidates.shares[slot]! > 0) left--;
      this.#candidates.close(slot);
      this.#balancer.changed?.(slot);
    }
    const slot = left > 0 ? this.#balancer.pick(clientHost) : -1;
    for (let index = 0; index < tried.length; index++) this.activeChanged(tried[index]!);
    if (slot === -1) return left > 0 ? "limit_endpoint" : "no_endpoint";
    const endpoint = this.endpoints[slot]!;
    endpoint.active++;
    this.#update(slot);
    return endpoint;
  }

  /** The number of sessions of an endpoint has changed, which need not be one of these. */
  activeChanged(endpoint: Endpoint): void {
    if (this.holds(endpoint)) this.#update(endpoint.slot);
  }

  #update(slot: number): void {
    const { active, settings } = this.endpoints[slot]!;
    const full = settings.connectionsMax > 0 && active >= settings.connectionsMax;
    if (full || this.#candidates.shares[slot] === 0) this.#candidates.close(slot);
    else this.#candidates.setOpen(slot, active);
    this.#balancer.changed?.(slot);
  }
}

/** How much of its weight counts, in itself: 0 when it is not in rotation. */
function shareOf(endpoint: Endpoint, nowMs: number): number {
  if (!endpoint.inRotation) return 0;
  return endpoint.warmingSinceMs === undefined ? 1 : warmUpShare(nowMs - endpoint.warmingSinceMs);
}
