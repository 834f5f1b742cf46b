/** A backend: a named set of endpoints, which of them get clients, and the choice among these. */
import { assert } from "../core/assert.ts";
import type { Clock, TimerHandle } from "../core/clock.ts";
import type { Balance } from "./balance/balancer.ts";
import type { EjectSettings } from "./eject.ts";
import type { Endpoint } from "./endpoint.ts";
import { Tier } from "./tier.ts";
import { warmUpMs, warmUpStepMs } from "./warm-up.ts";

/** What the configuration says of a backend. */
export interface BackendSettings {
  readonly name: string;
  readonly balance: Balance;
  /** Further endpoints a session may try when a connect fails. */
  readonly retries: number;
  /** `undefined`: none is ever ejected. */
  readonly eject: EjectSettings | undefined;
  /** What becomes of open sessions of an endpoint that active checks find down; carried out by an observer. */
  readonly onDown: "keep" | "close";
}

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
  /** It came to the set. */
  added?(endpoint: Endpoint): void;
  /** It left the set, and with that an ejection is over; sessions may hold it still. */
  removed?(endpoint: Endpoint): void;
}

/**
 * What listeners forward to.
 *
 * In rotation are the endpoints that may get clients: with a weight, not down, not ejected. Backups get some only when
 * no other endpoint is in rotation, or for a session that has tried all that are; not when the others are merely full.
 *
 * An endpoint that returns, being up again or after an ejection, warms up: it begins with a tenth of its share. So does
 * one that comes to a set of which the larger part has stayed, but not while names are first resolved: when most of the
 * set is new, there is nobody to spare it.
 *
 * Ejection never leaves nobody: the last endpoint in rotation, backups counted, is not ejected, and when it goes down
 * or leaves the set, those that are ejected return.
 */
export class Backend {
  readonly name: string;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #observers: BackendObserver[] = [];
  #endpoints: readonly Endpoint[] = [];
  #primaries: Tier;
  #backups: Tier;
  /** For the end of an ejection or the next step of a warm-up, whichever comes first. */
  #timer: TimerHandle | undefined = undefined;
  #stopped = false;
  /** When the first endpoint came. */
  #startedMs: number | undefined = undefined;

  constructor(
    readonly settings: BackendSettings,
    clock: Clock,
    /** From 0 to below 1. */
    random: () => number = Math.random,
  ) {
    this.name = settings.name;
    this.#clock = clock;
    this.#random = random;
    this.#primaries = new Tier([], settings.balance, random);
    this.#backups = new Tier([], settings.balance, random);
  }

  /** The set, in the order in which it was given. */
  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  /** Whether `take` has to be told the client; elsewhere its address need not be found out. */
  get goesByClient(): boolean {
    return this.settings.balance === "source_hash";
  }

  /** Whether an endpoint could be picked if none were full. */
  get available(): boolean {
    return this.#inRotation > 0;
  }

  /** Tells somebody from now on. */
  observe(observer: BackendObserver): void {
    this.#observers.push(observer);
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
    for (const endpoint of added) endpoint.warmingSinceMs = established ? nowMs : undefined;
    for (const endpoint of removed) if (endpoint.ejected) endpoint.ejection.end(nowMs);
    this.#endpoints = [...endpoints];
    this.#primaries = this.#tier(false, this.#primaries);
    this.#backups = this.#tier(true, this.#backups);
    this.#refresh();
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
    const taken = this.#primaries.take(clientHost, tried);
    return taken === "no_endpoint" ? this.#backups.take(clientHost, tried) : taken;
  }

  /** A session that took this endpoint needs it no longer. */
  giveBack(endpoint: Endpoint): void {
    assert(endpoint.active > 0, "an endpoint was given back that nobody had taken");
    endpoint.active--;
    const tier = endpoint.settings.backup ? this.#backups : this.#primaries;
    tier.activeChanged(endpoint);
  }

  /** An attempt has brought a connection. */
  succeeded(endpoint: Endpoint): void {
    endpoint.connected++;
    endpoint.ejection.failuresInRow = 0;
  }

  /** An attempt has failed, and not for lack of something of our own. */
  failed(endpoint: Endpoint): void {
    endpoint.failures++;
    const { eject } = this.settings;
    // One that is out already had attempts under way.
    if (eject === undefined || this.#tierOf(endpoint) === undefined || !endpoint.inRotation) return;
    endpoint.ejection.failuresInRow++;
    if (endpoint.ejection.failuresInRow < eject.failures || this.#inRotation === 1) return;
    const forMs = endpoint.ejection.begin(eject, this.#clock.nowMs());
    this.#refresh();
    for (const observer of this.#observers) observer.ejected?.(endpoint, forMs);
  }

  /**
   * Active checks have found this. To be called for every good check of an endpoint that is up: it ends an ejection.
   */
  setHealth(endpoint: Endpoint, health: "up" | "down"): void {
    const before = endpoint.health;
    endpoint.health = health;
    if (this.#tierOf(endpoint) === undefined) return;
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

  /** Sets no timers any more: ejections don't end by themselves. Sessions may go on. */
  stop(): void {
    this.#stopped = true;
    this.#arm();
  }

  get #inRotation(): number {
    return this.#primaries.inRotation + this.#backups.inRotation;
  }

  #tier(backup: boolean, before: Tier): Tier {
    const members = this.#endpoints.filter(({ settings }) => settings.backup === backup);
    return new Tier(members, this.settings.balance, this.#random, before);
  }

  /** `undefined` for an endpoint that has left the set. */
  #tierOf(endpoint: Endpoint): Tier | undefined {
    const tier = endpoint.settings.backup ? this.#backups : this.#primaries;
    return tier.holds(endpoint) ? tier : undefined;
  }

  /** Brings everything up to date with the endpoints and the time. */
  #refresh(): void {
    const nowMs = this.#clock.nowMs();
    const nobody = !this.#endpoints.some((endpoint) => endpoint.inRotation);
    const returned: Endpoint[] = [];
    for (const endpoint of this.#endpoints) {
      const { untilMs } = endpoint.ejection;
      if (untilMs === undefined || (nowMs < untilMs && !(nobody && endpoint.fit))) continue;
      endpoint.ejection.end(nowMs);
      endpoint.warmingSinceMs = nowMs;
      returned.push(endpoint);
    }
    this.#primaries.refresh(nowMs);
    this.#backups.refresh(nowMs);
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
    let dueMs = this.#primaries.warmingUp || this.#backups.warmingUp ? nowMs + warmUpStepMs : Infinity;
    for (const { ejection } of this.#endpoints) dueMs = Math.min(dueMs, ejection.untilMs ?? Infinity);
    if (dueMs < Infinity) this.#timer = this.#clock.setTimer(() => this.#refresh(), dueMs - nowMs);
  }
}

/** Whether at least half of the weight of the set is of endpoints in rotation that were there before. */
function stillHalf(endpoints: readonly Endpoint[], before: ReadonlySet<Endpoint>): boolean {
  let known = 0;
  let all = 0;
  for (const endpoint of endpoints) {
    all += endpoint.settings.weight;
    if (before.has(endpoint) && endpoint.inRotation) known += endpoint.settings.weight;
  }
  return known * 2 >= all && known > 0;
}
