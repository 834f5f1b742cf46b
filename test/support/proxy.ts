/**
 * A proxy inside the test's own process: one service with a listener on a free port, and every counter within reach.
 *
 * At the end of its scope it is closed, and everything it held must have been given back: sessions, active connections,
 * endpoints, dials, timers and descriptors.
 */
import { expect } from "bun:test";
import { Backend, type BackendSettings } from "../../src/backend/backend.ts";
import { Dialer } from "../../src/backend/dial.ts";
import { Endpoint, type EndpointSettings } from "../../src/backend/endpoint.ts";
import { parseAddress, type Address } from "../../src/core/address.ts";
import { CidrSet, parseCidr } from "../../src/core/cidr.ts";
import { systemClock } from "../../src/core/clock.ts";
import { TimerWheel } from "../../src/core/timer-wheel.ts";
import { Admission, type Overflow } from "../../src/listener/admission.ts";
import { Service, type ServiceSettings } from "../../src/listener/service.ts";
import type { RouteSettings } from "../../src/routing/route.ts";
import { Router } from "../../src/routing/router.ts";
import type { SessionTimeouts } from "../../src/session/deadlines.ts";
import type { End } from "../../src/session/end.ts";
import type { AccessRecord } from "../../src/session/record.ts";
import { SessionRegistry } from "../../src/session/registry.ts";
import type { Mover } from "../../src/session/context.ts";
import { Session } from "../../src/session/session.ts";
import type { SendProxy, Target } from "../../src/session/target.ts";
import { ActiveConnections } from "../../src/stats/active-connections.ts";
import { Traffic } from "../../src/stats/traffic.ts";
import type { Originator } from "../../src/tls/originator.ts";
import type { Terminator } from "../../src/tls/terminator.ts";
import { countDescriptors } from "./descriptors.ts";
import { engineDescriptors, moverOf, spliceEngine, type EngineUnderTest } from "./engines.ts";
import { endsOf, recordsInto } from "./records.ts";
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
  /** What the backend is like: in turn, without ejection, unless said otherwise. */
  readonly backend?: Partial<Omit<BackendSettings, "name">>;
  /** What every endpoint is like: weight 1, no limit, unless said otherwise. */
  readonly endpoint?: Partial<EndpointSettings>;
  /** Where it listens, "unix:/run/x.sock" for example; a free port of `host` unless said otherwise. */
  readonly listen?: string;
  /** The permissions of its Unix socket; 0660. */
  readonly mode?: number;
  /** Connections at once on the listener; no limit. */
  readonly connections?: number;
  readonly connectionsPerIp?: number;
  readonly ratePerIp?: number;
  /** CIDRs. */
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly trusted?: readonly string[];
  /** Whether clients begin with a PROXY header. */
  readonly acceptProxy?: boolean;
  readonly sendProxy?: SendProxy;
  readonly headerInsideTls?: boolean;
  /** Ends the clients' TLS. */
  readonly terminator?: Terminator;
  /** Speaks TLS to the endpoints. */
  readonly originator?: Originator;
  /** Routes, each to a backend of its own with the name and the endpoints of these ports. */
  readonly routes?: readonly (Partial<RouteSettings> & { readonly to: string; readonly port: number })[];
  /** Whether connections that no route takes are ended. */
  readonly noDefault?: boolean;
}

const timeouts: SessionTimeouts = {
  connectMs: 5_000,
  responseMs: 0,
  idleMs: 3_600_000,
  halfClosedMs: 60_000,
  lifetimeMs: 0,
  inspectMs: 5_000,
};

/**
 * Listens on a free port of 127.0.0.1 (or `host`) and forwards to the ports named of the same host, in turn, or to whole
 * addresses such as "unix:/run/x.sock".
 */
export function startProxy(
  backends: number | string | readonly (number | string)[],
  options: ProxyOptions = {},
): TestProxy {
  return new TestProxy(typeof backends === "object" ? backends : [backends], options);
}

/** See `startProxy`. */
export class TestProxy {
  /** Access records in the order in which they were written. */
  readonly records: AccessRecord[] = [];
  readonly traffic = new Traffic();
  /** What was reported as a mistake of our own. The end of the scope fails when a test has not taken them out. */
  readonly internalErrors: Error[] = [];
  readonly active = new ActiveConnections();
  readonly registry = new SessionRegistry();
  readonly dialer: Dialer;
  readonly wheel: TimerWheel;
  readonly backend: Backend;
  readonly service: Service;
  /** The backends of the routes. */
  readonly routed = new Map<string, Backend>();
  readonly #options: ProxyOptions;
  readonly #descriptorsBefore = countDescriptors() - engineDescriptors();

  constructor(backends: readonly (number | string)[], options: ProxyOptions) {
    this.#options = options;
    this.dialer = options.dialer ?? new Dialer();
    this.wheel = new TimerWheel(systemClock, (error, node) => (node as Session).handlerFailed(error as Error));
    this.backend = this.#backend("app", backends);
    const { terminator, acceptProxy = false, routes } = options;
    const router = routes === undefined ? undefined : new Router(routes.map((route) => this.#route(route)));
    const asks = acceptProxy || terminator !== undefined || router !== undefined;
    const settings: ServiceSettings = {
      listener: {
        name: "web",
        address: addressOf(options.listen ?? 0, options),
        mode: options.mode ?? 0o660,
        connectionsMax: options.connections ?? 0,
      },
      timeouts: { ...timeouts, ...options.timeouts },
      keepaliveMs: options.settings?.keepaliveMs ?? 30_000,
      noDelay: options.settings?.noDelay ?? true,
      target: options.noDefault === true ? undefined : this.#target(this.backend),
      inspection: asks ? { header: acceptProxy, tls: terminator, router } : undefined,
      clients: {
        allow: cidrs(options.allow),
        deny: cidrs(options.deny),
        connectionsPerIp: options.connectionsPerIp ?? 0,
        ratePerIp: options.ratePerIp ?? 0,
      },
      trusted: cidrs(options.trusted),
    };
    this.service = new Service(settings, {
      clock: systemClock,
      wheel: this.wheel,
      dialer: this.dialer,
      registry: this.registry,
      mover: options.mover ?? moverOf(options.engine ?? "copy"),
      admission: new Admission(this.active, options.limit ?? 10_000, options.overflow ?? "queue"),
      traffic: this.traffic,
      records: recordsInto(this.records),
      internalError: (error) => this.internalErrors.push(error),
    });
    this.service.listener.open();
  }

  #backend(name: string, endpoints: readonly (number | string)[]): Backend {
    const options = this.#options;
    const settings = {
      retries: options.retries ?? 2,
      balance: "round_robin",
      eject: undefined,
      onDown: "keep",
    } as const;
    const backend = new Backend({ ...settings, ...options.backend, name }, systemClock);
    const own = { weight: 1, backup: false, connectionsMax: 0, ...options.endpoint };
    backend.setEndpoints(
      endpoints.map((where) => {
        const address = addressOf(where, options);
        const endpoint = new Endpoint(address, address, own);
        return options.portable === true ? Object.assign(endpoint, { socketAddress: undefined }) : endpoint;
      }),
    );
    return backend;
  }

  #target(backend: Backend): Target {
    const { sendProxy = "off", headerInsideTls = false, originator } = this.#options;
    return { backend, sendProxy, headerInsideTls, tls: originator };
  }

  #route({ to, port, ...conditions }: NonNullable<ProxyOptions["routes"]>[number]): {
    settings: RouteSettings;
    target: Target;
  } {
    const backend = this.routed.get(to) ?? this.#backend(to, [port]);
    this.routed.set(to, backend);
    const settings = { pathPrefix: "", host: "", sni: "", alpn: "", prefix: "", ...conditions };
    return { settings, target: this.#target(backend) };
  }

  /** Where it listens, on 127.0.0.1 (or `host`). */
  get port(): number {
    return Number(this.service.listener.address.split(":").at(-1));
  }

  /** How connections ended. */
  get ended(): Map<End, number> {
    return endsOf(this.traffic);
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
      onEndpoints: [this.backend, ...this.routed.values()]
        .flatMap(({ endpoints }) => endpoints)
        .reduce((sum, endpoint) => sum + endpoint.active, 0),
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
    for (const backend of [this.backend, ...this.routed.values()]) backend.stop();
    await until(
      () => countDescriptors() - engineDescriptors() <= this.#descriptorsBefore,
      () =>
        `descriptors to be as before (${this.#descriptorsBefore}): there are ${countDescriptors() - engineDescriptors()}`,
    );
    expect(this.internalErrors).toEqual([]);
    expect(this.service.listener.total).toBe(this.records.length);
  }
}

function addressOf(where: number | string, { host = "127.0.0.1" }: ProxyOptions): Address {
  if (typeof where === "number") return { kind: "tcp", host, port: where };
  const parsed = parseAddress(where);
  if (!parsed.ok) throw new Error(`${where}: wanted ${parsed.wanted}`);
  return parsed.value;
}

function cidrs(texts: readonly string[] = []): CidrSet {
  return new CidrSet(
    texts.map((text) => {
      const parsed = parseCidr(text);
      if (!parsed.ok) throw new Error(`${text}: wanted ${parsed.wanted}`);
      return parsed.value;
    }),
  );
}
