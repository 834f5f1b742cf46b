/** Active checks: whether the endpoints of a backend answer, asked again and again. */
import { assert } from "../../core/assert.ts";
import type { Clock, TimerHandle } from "../../core/clock.ts";
import type { Originator } from "../../tls/originator.ts";
import type { Backend } from "../backend.ts";
import type { Endpoint, Health } from "../endpoint.ts";
import type { CheckDialer, CheckSetup } from "./check.ts";
import type { CheckCounts, CheckResult } from "./check-counts.ts";
import { Places } from "./places.ts";
import { scriptFor } from "./script.ts";
import type { HealthSettings } from "./settings.ts";
import { Watch, type WatchOwner } from "./watch.ts";

/** Whom checks tell. The backend has been told by then. */
export interface HealthObserver {
  /** A check is over. */
  onResult?(endpoint: Endpoint, result: CheckResult): void;
  /** Checks have found an endpoint up or down that was not, or was unknown; `why` is what the last of them came to. */
  onChange?(endpoint: Endpoint, from: Health, to: "up" | "down", why: string): void;
  /** A mistake of our own. It has cost one check. */
  onMistake?(endpoint: Endpoint, error: Error): void;
}

/** Watches the endpoints of one backend, those included that come to it, from `start` to `stop`. */
export class HealthChecks implements WatchOwner {
  readonly clock: Clock;
  readonly random: () => number;
  readonly places: Places;
  readonly #backend: Backend;
  readonly #dialer: CheckDialer;
  readonly #observer: HealthObserver;
  readonly #watches = new Map<Endpoint, Watch>();
  #settings: HealthSettings;
  #tls: Originator | undefined;
  #state: "new" | "running" | "stopped" = "new";
  #first: FirstResults | undefined = undefined;
  #unobserve: (() => void) | undefined = undefined;

  constructor(
    backend: Backend,
    settings: HealthSettings,
    dialer: CheckDialer,
    /** How the endpoints are spoken to; `undefined` where in plain. */
    tls: Originator | undefined,
    clock: Clock,
    /** At least 0, less than 1. */
    random: () => number,
    observer: HealthObserver = {},
    /** Bounds the checks under way of all backends that share it. */
    places: Places = new Places(),
  ) {
    this.clock = clock;
    this.random = random;
    this.places = places;
    this.#backend = backend;
    this.#dialer = dialer;
    this.#observer = observer;
    this.#settings = valid(settings);
    this.#tls = tls;
  }

  /** How the endpoints are checked at present. */
  get settings(): HealthSettings {
    return this.#settings;
  }

  /**
   * Checks every endpoint at once. Settles when each has had its first check, which its timeout bounds; endpoints that
   * have had no turn by then, because so many don't answer, are not waited for and stay unknown until they have. The
   * backend may have been at work for long, without checks.
   */
  start(): Promise<void> {
    assert(this.#state === "new", "health checks were started twice");
    this.#state = "running";
    this.#unobserve = this.#backend.observe({
      added: (endpoint) => this.#added(endpoint),
      removed: (endpoint) => this.#removed(endpoint),
    });
    const { endpoints } = this.#backend;
    const first = (this.#first = new FirstResults(endpoints));
    for (const endpoint of endpoints) this.#added(endpoint);
    first.bound(this.clock, this.#settings.timeoutMs);
    return first.promise;
  }

  /**
   * Checks in another way from now on. What is known of each endpoint stays until the new checks say otherwise, by rise
   * and fall; the first of them comes at once, a check that is under way is taken back. Settings that are the same by
   * value, with the same `tls`, change nothing.
   */
  configure(settings: HealthSettings, tls: Originator | undefined): void {
    if (tls === this.#tls && Bun.deepEquals(settings, this.#settings, true)) return;
    this.#settings = valid(settings);
    this.#tls = tls;
    const watches = [...this.#watches.values()];
    // Those first that wait for a place: the check that they begin in one that another gives up goes by the new settings.
    for (const watch of watches.toSorted((one, other) => Number(other.isQueued) - Number(one.isQueued))) {
      watch.configured();
    }
  }

  /** Ends all checks: no timer and no connection is left. The endpoints stay what they are, until `Backend.forgetHealth`. Settles `start`. */
  stop(): void {
    this.#state = "stopped";
    this.#unobserve?.();
    this.#first?.settle();
    const watches = [...this.#watches.values()];
    // Those first that wait for a place, lest they be given one that another gives back.
    for (const watch of watches) if (watch.isQueued) watch.end();
    for (const watch of watches) watch.end();
    this.#watches.clear();
  }

  /** The checks of an endpoint since it is known; `undefined` for one that is not watched. */
  counts(endpoint: Endpoint): CheckCounts | undefined {
    return this.#watches.has(endpoint) ? endpoint.checks : undefined;
  }

  setup(endpoint: Endpoint): CheckSetup {
    const { header, headerInsideTls, timeoutMs } = this.#settings;
    return {
      request: { endpoint, header, headerInsideTls, tls: this.#tls },
      script: scriptFor(this.#settings, endpoint, this.#tls !== undefined),
      dialer: this.#dialer,
      clock: this.clock,
      timeoutMs,
    };
  }

  checked({ endpoint, standing }: Watch, result: CheckResult, changed: boolean): void {
    const { health: from } = endpoint;
    if (changed && standing.health === "down") this.#backend.setHealth(endpoint, "down");
    // Told for each good check of an endpoint that is up: it ends an ejection.
    if (result.result === "good" && standing.health === "up") this.#backend.setHealth(endpoint, "up");
    this.#first?.came(endpoint);
    this.#observer.onResult?.(endpoint, result);
    if (changed) this.#observer.onChange?.(endpoint, from, standing.health as "up" | "down", result.why);
  }

  mistaken({ endpoint }: Watch, error: Error): void {
    this.#observer.onMistake?.(endpoint, error);
  }

  #added(endpoint: Endpoint): void {
    if (this.#state !== "running" || this.#watches.has(endpoint)) return;
    const watch = new Watch(endpoint, this);
    this.#watches.set(endpoint, watch);
    watch.begin();
  }

  #removed(endpoint: Endpoint): void {
    this.#watches.get(endpoint)?.end();
    this.#watches.delete(endpoint);
    this.#first?.came(endpoint);
  }
}

/** The settings, which a configuration has been asked for. */
function valid(settings: HealthSettings): HealthSettings {
  const { intervalMs, timeoutMs, rise, fall } = settings;
  assert(intervalMs > 0 && timeoutMs > 0, "checks need an interval and a timeout");
  assert(rise >= 1 && fall >= 1, "checks need a rise and a fall");
  return settings;
}

/** Waits for the first result of each endpoint. */
class FirstResults {
  readonly promise: Promise<void>;
  readonly #missing: Set<Endpoint>;
  readonly #resolve: () => void;
  #clock: Clock | undefined = undefined;
  #timer: TimerHandle | undefined = undefined;

  constructor(endpoints: readonly Endpoint[]) {
    this.#missing = new Set(endpoints);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.promise = promise;
    this.#resolve = resolve;
  }

  /** Waits no longer than this, if at all. Timers that are set already for the same moment come first. */
  bound(clock: Clock, timeoutMs: number): void {
    if (this.#missing.size === 0) return this.settle();
    this.#clock = clock;
    this.#timer = clock.setTimer(() => this.settle(), timeoutMs);
  }

  came(endpoint: Endpoint): void {
    if (this.#missing.delete(endpoint) && this.#missing.size === 0) this.settle();
  }

  settle(): void {
    this.#missing.clear();
    if (this.#timer !== undefined) this.#clock!.clearTimer(this.#timer);
    this.#timer = undefined;
    this.#resolve();
  }
}
