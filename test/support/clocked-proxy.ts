/** A proxy whose time is the test's to move. Its connections are real. */
import { expect } from "bun:test";
import { Dialer } from "../../src/backend/dial.ts";
import type { Clock } from "../../src/core/clock.ts";
import { TimerWheel } from "../../src/core/timer-wheel.ts";
import { Admission } from "../../src/listener/admission.ts";
import { Service } from "../../src/listener/service.ts";
import type { SessionTimeouts } from "../../src/session/deadlines.ts";
import type { AccessRecord } from "../../src/session/record.ts";
import { SessionRegistry } from "../../src/session/registry.ts";
import type { Session } from "../../src/session/session.ts";
import { ActiveConnections } from "../../src/stats/active-connections.ts";
import { Traffic } from "../../src/stats/traffic.ts";
import { moverOf, type EngineUnderTest } from "./engines.ts";
import { oneEndpoint, plainTarget, serviceSettings } from "./service-settings.ts";
import { recordsInto } from "./records.ts";
import { until } from "./until.ts";

/** How it differs from the plain one: no keepalive, generous timeouts, the copy engine. */
export interface ClockedProxyOptions {
  readonly keepaliveMs?: number;
  readonly timeouts?: Partial<SessionTimeouts>;
  /** Others than `copy` only inside of `onEveryEngine`. The splice engine dates activity by the machine's clock. */
  readonly engine?: EngineUnderTest;
}

/** Listens on a free port of 127.0.0.1. What is open at the end of its scope is reset. */
export class ClockedProxy {
  readonly records: AccessRecord[] = [];
  readonly #registry = new SessionRegistry();
  readonly #wheel: TimerWheel;
  readonly #service: Service;

  constructor(clock: Clock, backendPort: number, options: ClockedProxyOptions = {}) {
    const fail = (error: unknown): never => {
      throw error;
    };
    this.#wheel = new TimerWheel(clock, fail);
    const { timeouts = {}, keepaliveMs = 0 } = options;
    const settings = serviceSettings("web", plainTarget(oneEndpoint(backendPort)), { timeouts, keepaliveMs });
    this.#service = new Service(settings, {
      clock,
      wheel: this.#wheel,
      dialer: new Dialer(),
      registry: this.#registry,
      mover: moverOf(options.engine ?? "copy"),
      admission: new Admission(new ActiveConnections(), 10_000, "queue"),
      traffic: new Traffic(),
      records: recordsInto(this.records),
      internalError: fail,
    });
    this.#service.listener.open();
  }

  get port(): number {
    return Number(this.#service.listener.address.split(":").at(-1));
  }

  /** The only session. */
  get session(): Session {
    const [session] = this.#registry.open;
    if (session === undefined) throw new Error("no session is open");
    return session;
  }

  /** Resolves when the only session forwards. */
  async forwarding(): Promise<void> {
    await until(() => [...this.#registry.open].some(({ phase }) => phase === "forwarding"), "the session to forward");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#registry.endAll("forced");
    await until(() => this.#registry.open.size === 0, "the sessions to be closed");
    expect(this.#wheel.size).toBe(0);
    await this.#service.listener.close(AbortSignal.abort());
  }
}
