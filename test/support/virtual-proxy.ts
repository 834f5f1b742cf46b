/**
 * A service in time that the test moves: what it does once a second, or for ten, need not be waited for. Its connections
 * are real.
 */
import { expect } from "bun:test";
import { Backend, type BackendSettings } from "../../src/backend/backend.ts";
import { Dialer } from "../../src/backend/dial.ts";
import { Endpoint, type EndpointSettings } from "../../src/backend/endpoint.ts";
import { TimerWheel } from "../../src/core/timer-wheel.ts";
import { Admission } from "../../src/listener/admission.ts";
import { Service, type ServiceSettings } from "../../src/listener/service.ts";
import type { End } from "../../src/session/end.ts";
import type { AccessRecord } from "../../src/session/record.ts";
import { SessionRegistry } from "../../src/session/registry.ts";
import { ActiveConnections } from "../../src/stats/active-connections.ts";
import { Traffic } from "../../src/stats/traffic.ts";
import { plainTarget, serviceSettings } from "./service-settings.ts";
import { endsOf, recordsInto } from "./records.ts";
import { until } from "./until.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** How it differs from the plain one: in turn, without retries and ejection, and no rules. */
export interface VirtualProxyOptions {
  readonly backend?: Partial<Omit<BackendSettings, "name">>;
  readonly endpoint?: Partial<EndpointSettings>;
  readonly service?: Partial<Omit<ServiceSettings, "target" | "listener">>;
  readonly dialer?: Dialer;
}

/** Listens on a free port of 127.0.0.1 and forwards to those ports of it. What is open at the end of its scope is reset. */
export class VirtualProxy {
  readonly clock = new VirtualClock();
  readonly records: AccessRecord[] = [];
  readonly traffic = new Traffic();
  readonly active = new ActiveConnections();
  readonly backend: Backend;
  readonly service: Service;
  readonly #registry = new SessionRegistry();
  readonly #wheel: TimerWheel;

  constructor(
    ports: readonly number[],
    { backend, endpoint, service, dialer = new Dialer() }: VirtualProxyOptions = {},
  ) {
    const fail = (error: unknown): never => {
      throw error;
    };
    const settings = { balance: "round_robin", retries: 0, eject: undefined, onDown: "keep" } as const;
    this.backend = new Backend({ ...settings, ...backend, name: "app" }, this.clock);
    const own = { weight: 1, backup: false, connectionsMax: 0, ...endpoint };
    const addresses = ports.map((port) => ({ kind: "tcp", host: "127.0.0.1", port }) as const);
    this.backend.setEndpoints(addresses.map((address) => new Endpoint(address, address, own)));
    this.#wheel = new TimerWheel(this.clock, fail);
    this.service = new Service(serviceSettings("web", plainTarget(this.backend), service), {
      clock: this.clock,
      wheel: this.#wheel,
      dialer,
      registry: this.#registry,
      admission: new Admission(this.active, 10_000, "queue"),
      traffic: this.traffic,
      records: recordsInto(this.records),
      internalError: fail,
    });
    this.service.listener.open();
  }

  get port(): number {
    return Number(this.service.listener.address.split(":").at(-1));
  }

  /** How connections ended. */
  get ended(): Map<End, number> {
    return endsOf(this.traffic);
  }

  /** Resolves when this many access records have been written; with the last of them. */
  async recorded(count: number): Promise<AccessRecord> {
    await until(
      () => this.records.length >= count,
      () => `${count} access records: there are ${this.records.length}`,
    );
    return this.records[count - 1]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#registry.endAll("forced");
    await until(
      () => this.active.count === 0,
      () => `the sessions to be closed: ${this.active.count} are open`,
    );
    this.backend.stop();
    await this.service.listener.close(AbortSignal.abort());
    expect(this.#wheel.size).toBe(0);
    expect(this.clock.pendingTimers).toBe(0);
    expect(this.backend.endpoints.map(({ active }) => active)).toEqual(this.backend.endpoints.map(() => 0));
    expect(this.service.listener.total).toBe(this.records.length);
  }
}
