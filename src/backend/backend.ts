/** A backend: a named set of endpoints, which of them get clients, and the choice among these. */
import { assert } from "../core/assert.ts";
import type { Clock, TimerHandle } from "../core/clock.ts";
import { BackendObservers, type BackendObserver } from "./backend-observer.ts";
import type { Balance } from "./balance/balancer.ts";
import type { DialFailureKind } from "./dial-failure.ts";
import type { EjectSettings } from "./eject.ts";
import { weightMax, type Endpoint, type EndpointState } from "./endpoint.ts";
import { Tiers } from "./tiers.ts";
import { warmUpMs, warmUpStepMs } from "./warm-up.ts";

/** What the configuration says of a backend. */
export interface BackendSettings {
  readonly name: string;
  readonly balance: Balance;
  /** Further endpoints a session may try when a connect fails. */
  readonly retries: number;
  /** `undefined`: none is ever ejected. */
  readonly eject: EjectSettings | undefined;
  /** What becomes of open sessions of an endpoint that active checks or the operator say is down; carried out by an observer. */
  readonly onDown: "keep" | "close";
}

/**
 * What listeners forward to.
 *
 * In rotation are the endpoints that may get clients: with a weight, not down, not taken out by the operator, not
 * ejected. Backups get some only when no other endpoint is in rotation, or for a session that has tried all that are;
 * not when the others are merely full.
 *
 * An endpoint that returns, whatever had taken it out, warms up: it begins with a tenth of its share. So does one that
 * comes to a set of which the larger part has stayed, but not while names are first resolved: when most of the set is
 * new, there is nobody to spare it.
 *
 * Ejection never leaves nobody: the last endpoint in rotation, backups counted, is not ejected, and when it goes down,
 * is taken out or leaves the set, those that are ejected return.
 *
 * Everything may change under open sessions. What goes on: their endpoints, the counts of these, their health and
 * ejections, what the operator wants of them, and whose turn it is, unless the policy is another one.
 */
export class Backend {
  readonly name: string;
  readonly #clock: Clock;
  readonly #observers = new BackendObservers();
  #settings: BackendSettings;
  #endpoints: readonly Endpoint[] = [];
  readonly #tiers: Tiers;
  /** For the end of an ejection or the next step of a warm-up, whichever comes first. */
  #timer: TimerHandle | undefined = undefined;
  #stopped = false;
  /** When the first endpoint came. */
  #startedMs: number | undefined = undefined;

  constructor(
    settings: BackendSettings,
    clock: Clock,
    /** From 0 to below 1. */
    random: () => number = Math.random,
  ) {
    this.name = settings.name;
    this.#settings = settings;
    this.#clock = clock;
    this.#tiers = new Tiers(settings.balance, random);
  }

  /** As they are at present: sessions ask each time. */
  get settings(): BackendSettings {
    return this.#settings;
  }

  /** The set, in the order in which it was given. */
  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  /** Whether `take` has to be told the client; elsewhere its address need not be found out. */
  get goesByClient(): boolean {
    return this.#settings.balance === "source_hash";
  }

  /** Whether an endpoint could be picked if none were full. */
  get available(): boolean {
    return this.#tiers.inRotation > 0;
  }

  /** Tells somebody from now on, until the returned function is called. */
  observe(observer: BackendObserver): () => void {
    return this.#observers.add(observer);
  }

  /**
   * Other settings from now on, under the same name. Without `eject` all ejections are over; with another one those
   * that have begun last as long as was said.
   */
  configure(settings: BackendSettings): void {
    assert(settings.name === this.name, "a backend was given another name");
    this.#settings = settings;
    if (settings.eject === undefined) for (const { ejection } of this.#endpoints) ejection.failuresInRow = 0;
    this.#arrange();
  }

  /**
   * The set becomes this one. An endpoint stays if the same object is in it; its settings may have changed. Sessions of
   * those that leave go on.
   */
  setEndpoints(endpoints: readonly Endpoint[]): void {
    const before = new Set(this.#endpoints);
    const after = new Set(endpoints);
    assert(after.size === endpoints.length, "an endpoint is twice in the set");
    const added = endpoints.filter((endpoint) => !before.has(endpoint));
    const removed = this.#endpoints.filter((endpoint) => !after.has(endpoint));
    const nowMs = this.#clock.nowMs();
    if (endpoints.length > 0) this.#startedMs ??= nowMs;
    const established = nowMs - (this.#startedMs ?? nowMs) >= warmUpMs && stillHalf(endpoints, before);
    for (const endpoint of added) {
      endpoint.warmingSinceMs = established ? nowMs : undefined;
      // One that has been here before was not checked meanwhile.
      endpoint.health = "unknown";
    }
    for (const endpoint of removed) if (endpoint.ejected) endpoint.ejection.end(nowMs);
    for (const endpoint of endpoints) {
      if (this.#tiers.of(endpoint)?.weightOf(endpoint) === 0 && endpoint.weight > 0) endpoint.warmingSinceMs = nowMs;
    }
    this.#endpoints = [...endpoints];
    this.#arrange();
    for (const observer of this.#observers) {
      for (const endpoint of removed) observer.removed?.(endpoint);
      for (const endpoint of added) observer.added?.(endpoint);
    }
  }

  /**
   * Chooses an endpoint that is not in `tried` and counts a session as active there. `limit_endpoint`: all that are
   * left are full; `no_endpoint`: none is left.
   */
  take(clientHost: string, tried: readonly Endpoint[]): Endpoint | "no_endpoint" | "limit_endpoint" {
    return this.#tiers.take(clientHost, tried);
  }

  /** A session that took this endpoint needs it no longer. */
  giveBack(endpoint: Endpoint): void {
    assert(endpoint.active > 0, "an endpoint was given back that nobody had taken");
    endpoint.active--;
    this.#tiers.of(endpoint)?.activeChanged(endpoint);
  }

  /** An attempt has brought a connection. */
  succeeded(endpoint: Endpoint): void {
    endpoint.connected++;
    endpoint.ejection.failuresInRow = 0;
  }

  /** An attempt has failed. One that failed for lack of something of our own is counted by its reason alone. */
  failed(endpoint: Endpoint, kind: DialFailureKind): void {
    const { failuresByReason } = endpoint;
    failuresByReason.set(kind, (failuresByReason.get(kind) ?? 0) + 1);
    if (kind === "local") return;
    endpoint.failures++;
    const { eject } = this.#settings;
    // One that is out already had attempts under way.
    if (eject === undefined || this.#tiers.of(endpoint) === undefined || !endpoint.inRotation) return;
    endpoint.ejection.failuresInRow++;
    if (endpoint.ejection.failuresInRow < eject.failures || this.#tiers.inRotation === 1) return;
    const forMs = endpoint.ejection.begin(eject, this.#clock.nowMs());
    endpoint.ejections++;
    this.#refresh();
    for (const observer of this.#observers) observer.ejected?.(endpoint, forMs);
  }

  /**
   * Active checks have found this. To be called for every good check of an endpoint that is up: it ends an ejection.
   */
  setHealth(endpoint: Endpoint, health: "up" | "down"): void {
    const before = endpoint.health;
    endpoint.health = health;
    if (this.#tiers.of(endpoint) === undefined) return;
    const returned = health === "up" && endpoint.ejected;
    if (returned) endpoint.ejection.end(this.#clock.nowMs());
    const turnedUp = health === "up" && before === "down";
    const turnedDown = health === "down" && before !== "down";
    if (turnedUp || returned) endpoint.warmingSinceMs = this.#clock.nowMs();
    if (turnedUp || turnedDown || returned) this.#refresh();
    for (const observer of this.#observers) {
      if (turnedUp) observer.up?.(endpoint);
      if (turnedDown) observer.down?.(endpoint);
      if (returned) observer.returned?.(endpoint);
    }
  }

  /** There are no active checks any more: what they have found counts no longer, and those that were down return. */
  forgetHealth(): void {
    const nowMs = this.#clock.nowMs();
    for (const endpoint of this.#endpoints) {
      if (endpoint.health === "down") endpoint.warmingSinceMs = nowMs;
      endpoint.health = "unknown";
    }
    this.#refresh();
  }

  /**
   * What the operator wants of an endpoint, whatever its health is, until something else is said. An ejection goes on.
   * Of one that has left the set it is noted, in case that it comes back.
   */
  setState(endpoint: Endpoint, state: EndpointState): void {
    const from = endpoint.state;
    endpoint.state = state;
    if (from === state || this.#tiers.of(endpoint) === undefined) return;
    if (state === "ready") {
      endpoint.warmingSinceMs = this.#clock.nowMs();
      endpoint.ejection.failuresInRow = 0;
    }
    this.#refresh();
    for (const observer of this.#observers) observer.stateChanged?.(endpoint, from, state);
  }

  /** The weight that the operator wants for an endpoint, 0 to 1,000; `undefined`: the configured one. */
  setWeight(endpoint: Endpoint, weight: number | undefined): void {
    assert(weight === undefined || (weight >= 0 && weight <= weightMax), "a weight is out of range");
    const from = endpoint.weight;
    endpoint.weightOverride = weight;
    const to = endpoint.weight;
    if (from === to || this.#tiers.of(endpoint) === undefined) return;
    if (from === 0) endpoint.warmingSinceMs = this.#clock.nowMs();
    this.#arrange();
    for (const observer of this.#observers) observer.weightChanged?.(endpoint, from, to);
  }

  /** Sets no timers any more: ejections don't end by themselves. Sessions may go on. */
  stop(): void {
    this.#stopped = true;
    this.#arm();
  }

  /** The set, a weight or the policy is another one. */
  #arrange(): void {
    this.#tiers.arrange(this.#endpoints, this.#settings.balance);
    this.#refresh();
  }

  /** Brings everything up to date with the endpoints and the time. */
  #refresh(): void {
    const nowMs = this.#clock.nowMs();
    const nobody = !this.#endpoints.some((endpoint) => endpoint.inRotation);
    const returned: Endpoint[] = [];
    for (const endpoint of this.#endpoints) {
      const { untilMs } = endpoint.ejection;
      if (untilMs === undefined) continue;
      const over = nowMs >= untilMs || this.#settings.eject === undefined;
      if (!over && !(nobody && endpoint.fit)) continue;
      endpoint.ejection.end(nowMs);
      endpoint.warmingSinceMs = nowMs;
      returned.push(endpoint);
    }
    this.#tiers.refresh(nowMs);
    this.#arm();
    for (const observer of this.#observers) {
      for (const endpoint of returned) observer.returned?.(endpoint);
    }
  }

  #arm(): void {
    if (this.#timer !== undefined) this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
    if (this.#stopped) return;
    const nowMs = this.#clock.nowMs();
    let dueMs = this.#tiers.warmingUp ? nowMs + warmUpStepMs : Infinity;
    for (const { ejection } of this.#endpoints) dueMs = Math.min(dueMs, ejection.untilMs ?? Infinity);
    if (dueMs < Infinity) this.#timer = this.#clock.setTimer(() => this.#refresh(), dueMs - nowMs);
  }
}

/** Whether at least half of the weight of the set is of endpoints in rotation that were there before. */
function stillHalf(endpoints: readonly Endpoint[], before: ReadonlySet<Endpoint>): boolean {
  let known = 0;
  let all = 0;
  for (const endpoint of endpoints) {
    all += endpoint.weight;
    if (before.has(endpoint) && endpoint.inRotation) known += endpoint.weight;
  }
  return known * 2 >= all && known > 0;
}
