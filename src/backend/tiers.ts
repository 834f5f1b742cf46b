/** The two tiers of a backend: its endpoints that are no backups, and those that are. */
import type { Balance } from "./balance/balancer.ts";
import type { Endpoint } from "./endpoint.ts";
import { Tier } from "./tier.ts";

/** Which endpoint is in which tier, and the choice among them. Empty at first. */
export class Tiers {
  readonly #random: () => number;
  #balance: Balance;
  #primaries: Tier;
  #backups: Tier;

  constructor(
    balance: Balance,
    /** From 0 to below 1. */
    random: () => number,
  ) {
    this.#balance = balance;
    this.#random = random;
    this.#primaries = new Tier([], balance, random);
    this.#backups = new Tier([], balance, random);
  }

  /** How many endpoints may be picked if they are not full. */
  get inRotation(): number {
    return this.#primaries.inRotation + this.#backups.inRotation;
  }

  /** Whether shares change with time. */
  get warmingUp(): boolean {
    return this.#primaries.warmingUp || this.#backups.warmingUp;
  }

  /** Chooses an endpoint that is not in `tried` and counts a session as active there; see `Tier.take`. */
  take(clientHost: string, tried: readonly Endpoint[]): Endpoint | "no_endpoint" | "limit_endpoint" {
    const taken = this.#primaries.take(clientHost, tried);
    return taken === "no_endpoint" ? this.#backups.take(clientHost, tried) : taken;
  }

  /** The tier that an endpoint is in, whatever is configured by now; `undefined` for one that is in none. */
  of(endpoint: Endpoint): Tier | undefined {
    if (this.#primaries.holds(endpoint)) return this.#primaries;
    return this.#backups.holds(endpoint) ? this.#backups : undefined;
  }

  /**
   * These are the endpoints now, as they are configured and weighted, and this is the policy. Turns go on where they
   * were, unless the policy is another one. A tier that would be the same is kept; it is to be refreshed all the same.
   */
  arrange(endpoints: readonly Endpoint[], balance: Balance): void {
    const goesOn = balance === this.#balance;
    this.#balance = balance;
    const primaries = endpoints.filter(({ settings }) => !settings.backup);
    const backups = endpoints.filter(({ settings }) => settings.backup);
    this.#primaries = this.#arranged(primaries, this.#primaries, goesOn);
    this.#backups = this.#arranged(backups, this.#backups, goesOn);
  }

  /** Brings rotation and shares up to date. */
  refresh(nowMs: number): void {
    this.#primaries.refresh(nowMs);
    this.#backups.refresh(nowMs);
  }

  #arranged(endpoints: readonly Endpoint[], before: Tier, goesOn: boolean): Tier {
    if (goesOn && before.isOf(endpoints)) return before;
    return new Tier(endpoints, this.#balance, this.#random, goesOn ? before : undefined);
  }
}
