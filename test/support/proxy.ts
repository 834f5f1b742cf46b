/**
 * A proxy inside the test's own process: one service with a listener on a free port, and every counter within reach.
 *
 * At the end of its scope it is closed, and everything it held must have been given back: sessions, active connections,
 * endpoints, dials, timers and descriptors.
 */
import { expect } from "bun:test";
import { Backend } from "../../src/backend/backend.ts";
import { Dialer } from "../../src/backend/dial.ts";
import { Endpoint } from "../../src/backend/endpoint.ts";
import { systemClock } from "../../src/core/clock.ts";
import { TimerWheel } from "../../src/core/timer-wheel.ts";
import { Admission, type Overflow } from "../../src/listener/admission.ts";
import { Service, type ServiceSettings } from "../../src/listener/service.ts";
import type { SessionTimeouts } from "../../src/session/deadlines.ts";
import type { AccessRecord } from "../../src/session/record.ts";
import { SessionRegistry } from "../../src/session/registry.ts";
import { Session, type Mover } from "../../src/session/session.ts";
import { ActiveConnections } from "../../src/stats/active-connections.ts";
import { countDescriptors } from "./descriptors.ts";
import { engineDescriptors, moverOf, spliceEngine, type EngineUnderTest } from "./engines.ts";
import { until } from "./until.ts";

/** How a proxy differs from the plain one: generous timeouts, no limits worth speaking of. */
export interface ProxyOptions {
  readonly timeouts?: Partial<SessionTimeouts>;
  readonly limit?: number;
  readonly overflow?: Overflow;
  readonly retries?: number;
  readonly settings?: Partial<Pick<ServiceSettings, "keepaliveMs" | "noDelay">>;
  /** Who moves the bytes; `copy` unless said otherwise. Others only inside of `onEveryEngine`. */
  readonly engine?: EngineUnderTest;
  /** Stands in for what takes over the sessions of `engine`. */
  readonly mover?: Mover;
  /** Stands in for the dialer. */
  readonly dialer?: Dialer;
  /** Where the endpoints are, and where it listens; 127.0.0.1. */
  readonly host?: "127.0.0.1" | "::1";
  /** Dials as where there is no C library that we know: with `Bun.connect` and an address. */
  readonly portable?: boolean;
}

const timeouts: SessionTimeouts = {
  connectMs: 5_000,
  responseMs: 0,
  idleMs: 3_600_000,
  halfClosedMs: 60_000,
  lifetimeMs: 0,
};

/** Listens on a free port of 127.0.0.1 (or `host`) and forwards to the ports named of the same host, in turn. */
export function startProxy(backendPorts: number | readonly number[], options: ProxyOptions = {}): TestProxy {
  return new TestProxy(typeof backendPorts === "number" ? [backendPorts] : backendPorts, options);
}

/** See `startProxy`. */
export class TestProxy {
  /** Access records in the order in which they were written. */
  readonly records: AccessRecord[] = [];
  /** What was reported as a mistake of our own. The end of the scope fails when a test has not taken them out. */
  readonly internalErrors: Error[] = [];
  readonly active = new ActiveConnections();
  readonly registry = new SessionRegistry();
  readonly dialer: Dialer;
  readonly wheel: TimerWheel;
  readonly backend: Backend;
  readonly service: Service;
  readonly #descriptorsBefore = countDescriptors() - engineDescriptors();

  constructor(backendPorts: readonly number[], options: ProxyOptions) {
    this.dialer = options.dialer ?? new Dialer();
    this.wheel = new TimerWheel(systemClock, (error, node) => (node as Session).handlerFailed(error as Error));
    const host = options.host ?? "127.0.0.1";
    const endpoints = backendPorts.map((port) => {
      const address = { kind: "tcp", host, port } as const;
      const endpoint = new Endpoint(address, address);
      return options.portable === true ? Object.assign(endpoint, { socketAddress: undefined }) : endpoint;
    });
    this.backend = new Backend("app", endpoints, options.retries ?? 2);
    const settings: ServiceSettings = {
      listener: { name: "web", host, port: 0 },
      timeouts: { ...timeouts, ...options.timeouts },
      keepaliveMs: options.settings?.keepaliveMs ?? 30_000,
      noDelay: options.settings?.noDelay ?? true,
    };
    this.service = new Service(settings, this.backend, {
      clock: systemClock,
      wheel: this.wheel,
      dialer: this.dialer,
      registry: this.registry,
      mover: options.mover ?? moverOf(options.engine ?? "copy"),
      admission: new Admission(this.active, options.limit ?? 10_000, options.overflow ?? "queue"),
      access: (record) => this.records.push(record),
      internalError: (error) => this.internalErrors.push(error),
    });
    this.service.listener.open();
  }

  /** Where it listens, on 127.0.0.1 (or `host`). */
  get port(): number {
    return Number(this.service.listener.address.split(":").at(-1));
  }

  /** The sessions open now, oldest first. */
  get sessions(): readonly Session[] {
    return [...this.registry.open];
  }

  /**
   * Resolves when so many sessions are open and forward. What a client sends from then on is not part of an opening, so
   * on `auto` it moves the session.
   */
  async forwarding(count = 1): Promise<void> {
    const phases = (): string[] => this.sessions.map(({ phase }) => phase);
    await until(
      () => phases().length === count && phases().every((phase) => phase === "forwarding"),
      () => `${count} sessions to forward: there are ${JSON.stringify(phases())}`,
    );
  }

  /** Resolves when this many access records have been written; with the last of them. */
  async recorded(count = 1): Promise<AccessRecord> {
    await until(
      () => this.records.length >= count,
      () => `${count} access records: there are ${this.records.length}, and ${this.active.count} connections are open`,
    );
    return this.records[count - 1]!;
  }

  /** Resolves when no session is open and all that belonged to sessions has been given back. */
  async idle(): Promise<void> {
    const state = (): Record<string, number> => ({
      active: this.active.count,
      open: this.registry.open.size,
      onListener: this.service.listener.active,
      onEndpoints: this.backend.endpoints.reduce((sum, endpoint) => sum + endpoint.active, 0),
      dials: this.dialer.pending,
      abandonedDials: this.dialer.abandoned,
      timers: this.wheel.size,
      lent: spliceEngine.sessions,
    });
    await until(
      () => Object.values(state()).every((count) => count === 0),
      () => `everything to be given back: ${JSON.stringify(state())}`,
    );
  }

  /**
   * Waits for the sessions to end, closes the listener, and checks that nothing is left. The test's own connections
   * must be over by then: declare peers after the proxy, so that they are disposed of first.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.idle();
    // Nobody connects any more, so there is no accept queue to wait for.
    await this.service.listener.close(AbortSignal.abort());
    await until(
      () => countDescriptors() - engineDescriptors() <= this.#descriptorsBefore,
      () =>
        `descriptors to be as before (${this.#descriptorsBefore}): there are ${countDescriptors() - engineDescriptors()}`,
    );
    expect(this.internalErrors).toEqual([]);
    expect(this.service.listener.total).toBe(this.records.length);
  }
}
