/** The program: its components in their order of start, and what the admin server may ask of it. */
import { answer, type AdminPort } from "./admin/admin-server.ts";
import { serveHttp, type HttpServer } from "./admin/http-server.ts";
import { backendStatus, listenerStatus, type ProgramState, type Status } from "./admin/status.ts";
import { Dialer } from "./backend/dial.ts";
import type { Endpoint } from "./backend/endpoint.ts";
import { Composition } from "./composition.ts";
import type { Config } from "./config/schema.ts";
import type { Address } from "./core/address.ts";
import { assert } from "./core/assert.ts";
import type { Clock, TimerHandle } from "./core/clock.ts";
import { SluiceError } from "./core/error.ts";
import { TimerWheel } from "./core/timer-wheel.ts";
import { moveAtOnce, autoMove } from "./forward/move-rule.ts";
import { spliceSessionsMax } from "./forward/splice/capacity.ts";
import { SpliceEngine } from "./forward/splice/engine.ts";
import { spliceMissing } from "./forward/splice/probe.ts";
import type { Component, StopReason } from "./lifecycle/component.ts";
import { Controller } from "./lifecycle/controller.ts";
import type { LifecycleEvent } from "./lifecycle/event.ts";
import type { Outcome } from "./lifecycle/outcome.ts";
import { Admission, type Overflow } from "./listener/admission.ts";
import { closedWithin, drain } from "./listener/drain.ts";
import type { Listener } from "./listener/listener.ts";
import type { Service, ServiceEnvironment } from "./listener/service.ts";
import type { End } from "./session/end.ts";
import { SessionRegistry } from "./session/registry.ts";
import { Session } from "./session/session.ts";
import { ActiveConnections } from "./stats/active-connections.ts";
import { libc, libcMissing } from "./sys/libc.ts";
import { logLifecycle } from "./telemetry/lifecycle-log.ts";
import type { Log } from "./telemetry/log.ts";

/** What the program is given from outside. */
export interface Surroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** The most descriptors this process may have. */
  readonly fdLimit: number;
  /** Called once, when everything listens and is ready. */
  started(app: App): void;
}

/** How the program's life went. */
export interface AppOutcome {
  readonly outcome: Outcome;
  /** Connections that were cut when the drain deadline passed. */
  readonly cut: number;
}

/** How often what is remembered of clients, and needed no longer, is dropped. */
const forgetEveryMs = 10_000;
/** How long the admin server may take to stop; it has nothing to lose. */
const adminStopTimeoutMs = 1_000;
/** How long the splice engine may take to stop; it has no connection any more. */
const spliceStopTimeoutMs = 1_000;
/** How long a second signal waits for the connections to be closed, so that each has its record. */
const forcedWithinMs = 250;

/** The program: runs once, from its configuration to its end. */
export class App implements AdminPort {
  readonly active = new ActiveConnections();
  readonly registry = new SessionRegistry();
  readonly dialer = new Dialer();
  readonly wheel: TimerWheel;

  readonly #config: Config;
  readonly #surroundings: Surroundings;
  readonly #controller: Controller;
  readonly #beganMs: number;
  readonly #overflow: Overflow;
  readonly #splice: SpliceEngine | undefined;
  /** There once its component is being started. */
  #composition: Composition | undefined = undefined;
  #state: ProgramState = "starting";
  #services: readonly Service[] = [];
  #admin: HttpServer | undefined = undefined;
  #cut = 0;

  constructor(config: Config, surroundings: Surroundings) {
    this.#config = config;
    this.#surroundings = surroundings;
    this.#beganMs = surroundings.clock.nowMs();
    this.wheel = new TimerWheel(surroundings.clock, (error, node) => {
      assert(node instanceof Session, "a timer that is no session's failed");
      node.handlerFailed(error instanceof Error ? error : new Error(String(error)));
    });
    // Without the C library the accept queue can't be held while we are full.
    this.#overflow = libc === undefined ? "reject" : config.limits.overflow;
    this.#splice = this.#spliceEngine();
    this.#controller = new Controller(this.#components(), {
      clock: surroundings.clock,
      observe: (event) => this.#observed(event),
    });
  }

  /** The components in their order of start; they are stopped in the opposite one. */
  #components(): Component[] {
    const { admin } = this.#config;
    const components: Component[] = [];
    if (admin !== undefined) components.push(this.#adminServer(admin));
    components.push(this.#backends());
    if (this.#config.forwarding.engine !== "copy") components.push(this.#engine());
    components.push(this.#listeners(), this.#readiness());
    return components;
  }

  /** `undefined` where it is not wanted or can't work. */
  #spliceEngine(): SpliceEngine | undefined {
    const { clock, log, fdLimit } = this.#surroundings;
    const { engine } = this.#config.forwarding;
    if (engine === "copy" || spliceMissing() !== undefined) return undefined;
    return new SpliceEngine({
      rule: engine === "auto" ? autoMove : moveAtOnce,
      sessionsMax: spliceSessionsMax(fdLimit),
      clock,
      workerDied: (error, connections) =>
        log.error(
          { error, connections },
          "the splice engine has died: its connections are reset, a new one is started",
        ),
    });
  }

  /** Starts, works until asked to stop or a component dies, drains, stops. Never rejects. */
  async run(): Promise<AppOutcome> {
    const { log } = this.#surroundings;
    if (libcMissing !== undefined) log.warn({ why: libcMissing }, "without the C library: less can be done");
    void this.#controller.start();
    const outcome = await this.#controller.wait();
    return { outcome, cut: this.#cut };
  }

  /** Asks for a graceful shutdown; the first reason is kept. Only after `run` was called. */
  requestStop(reason: StopReason): void {
    this.#controller.requestStop(reason);
  }

  /** Resets every connection, at once. What is left to do is to exit. */
  async force(): Promise<void> {
    this.registry.endAll("forced");
    await closedWithin(this.active, this.#surroundings.clock, forcedWithinMs);
  }

  // What the admin server asks.

  get ready(): boolean {
    return this.#state === "ready" && this.#controller.state !== "stopping" && this.#backendsReady;
  }

  /** Whether each backend that a listener needs has something up, where readiness is to depend on it. */
  get #backendsReady(): boolean {
    if (this.#config.admin?.readyNeedsBackends !== true) return true;
    return this.#neededBackends().every((name) => this.#composition!.backends.get(name)!.backend.available);
  }

  /** The backends that listeners and routes name, each once. */
  #neededBackends(): string[] {
    const names = this.#config.listeners.flatMap(({ backend, routes }) => [
      backend,
      ...routes.map((route) => route.backend),
    ]);
    return [...new Set(names)].filter((name) => name !== "");
  }

  /** Reads all certificates again: handshakes from now on use them. */
  reloadCertificates(): void {
    this.#composition?.reloadCertificates();
  }

  requestShutdown(): void {
    this.requestStop({ kind: "request", by: "admin server" });
  }

  status(): Status {
    const { clock, version, fdLimit } = this.#surroundings;
    const ended: Partial<Record<End, number>> = {};
    for (const service of this.#services) {
      for (const [end, count] of service.ended) ended[end] = (ended[end] ?? 0) + count;
    }
    return {
      version,
      bun: Bun.version,
      pid: process.pid,
      uptime_ms: Math.round(clock.nowMs() - this.#beganMs),
      state: this.#controller.state === "stopping" ? "draining" : this.#state,
      connections_active: this.active.count,
      limits: { connections: this.#config.limits.connections, overflow: this.#overflow, fds: fdLimit },
      listeners: this.#services.map(listenerStatus),
      backends: [...(this.#composition?.backends.values() ?? [])].map(backendStatus),
      ended,
    };
  }

  get listeners(): readonly Listener[] {
    return this.#services.map((service) => service.listener);
  }

  /** Where the admin server listens; `undefined` when there is none. */
  get adminAddress(): string | undefined {
    return this.#admin?.address;
  }

  // The components.

  #adminServer(admin: NonNullable<Config["admin"]>): Component {
    return {
      name: "admin",
      start: () => {
        this.#admin = serveHttp("admin server", tcp(admin.listen), (request) => answer(request, this, admin.token));
        this.#surroundings.log.info({ listener: "admin", address: this.#admin.address }, "listening");
      },
      stop: () => this.#admin!.stop(),
      stopTimeoutMs: adminStopTimeoutMs,
    };
  }

  /** Knows where the endpoints are and whether they answer, before anything listens. */
  #backends(): Component {
    const { clock, log } = this.#surroundings;
    return {
      name: "backends",
      start: async ({ signal }) => {
        const composition = new Composition(this.#config, { clock, log, dialer: this.dialer });
        this.#composition = composition;
        // A shutdown waits for no name and no check.
        signal.addEventListener("abort", () => composition.stop(), { once: true });
        const backends = [...composition.backends.values()];
        for (const { backend } of backends) {
          if (backend.settings.onDown === "close")
            backend.observe({ down: (endpoint) => this.#endpointDown(endpoint) });
        }
        this.#services = composition.services(this.#serviceEnvironment());
        await Promise.all(backends.map((running) => running.start()));
      },
      stop: () => this.#composition?.stop(),
    };
  }

  /** Ends the connections that an endpoint has; those that are still being opened find another one. */
  #endpointDown(endpoint: Endpoint): void {
    this.registry.endAll(
      "endpoint_down",
      undefined,
      (session) => session.endpoint === endpoint && session.phase === "forwarding",
    );
  }

  /** Moves bulk connections; one that is chosen by hand must work, and one that can't be is done without. */
  #engine(): Component {
    const { log } = this.#surroundings;
    const { engine } = this.#config.forwarding;
    return {
      name: "splice engine",
      start: async () => {
        const why = spliceMissing();
        if (engine === "splice") {
          if (why === undefined) return this.#splice!.start();
          const message = `cannot use forwarding.engine = "splice": ${why}; "auto" does without where it must`;
          throw new SluiceError("splice_failed", message, { source: "system" });
        }
        // The Worker of `auto` is started when a session asks for it: many programs never see a bulk flow.
        if (why !== undefined) log.warn({ why }, "without splicing: every connection is copied");
      },
      stop: () => this.#splice?.stop(),
      stopTimeoutMs: spliceStopTimeoutMs,
    };
  }

  #serviceEnvironment(): ServiceEnvironment {
    const { clock, log } = this.#surroundings;
    return {
      clock,
      wheel: this.wheel,
      dialer: this.dialer,
      registry: this.registry,
      mover: this.#splice,
      admission: new Admission(this.active, this.#config.limits.connections, this.#overflow),
      access: log.recordsAccess ? log.access : undefined,
      internalError: (error, session) =>
        log.error({ id: session?.id ?? null, error }, "internal error: a connection was reset"),
    };
  }

  /** Accepts connections; its stop is the drain. */
  #listeners(): Component {
    const { clock, log } = this.#surroundings;
    let forgetting: TimerHandle | undefined;
    return {
      name: "listeners",
      start: async () => {
        forgetting = clock.setTicker(() => this.#forgetClients(), forgetEveryMs);
        try {
          for (const { listener } of this.#services) {
            listener.open();
            log.info({ listener: listener.name, address: listener.address }, "listening");
          }
        } catch (error) {
          await this.force();
          await Promise.all(this.listeners.map((listener) => listener.close(AbortSignal.abort())));
          throw error;
        }
      },
      stop: async () => {
        clock.clearTimer(forgetting!);
        const { drainMs, idleMs } = this.#config.shutdown;
        const settings = { deadlineMs: drainMs, idleMs };
        const { cut } = await drain(settings, this.listeners, this.registry, this.active, clock, {
          left: (connections, remainingMs) =>
            log.info(
              { connections, remaining_ms: remainingMs === undefined ? null : Math.round(remainingMs) },
              "draining",
            ),
          cut: ({ id, client, context, target, endpoint }) =>
            log.warn(
              {
                id,
                listener: context.listener,
                client,
                backend: target?.backend.name ?? null,
                endpoint: endpoint?.name ?? null,
              },
              "cut: the drain deadline has passed",
            ),
        });
        this.#cut = cut;
      },
    };
  }

  #forgetClients(): void {
    for (const service of this.#services) service.forgetClients();
  }

  /** The last to start and the first to stop: who asks is told to send nothing more, and has `shutdown.delay` to act. */
  #readiness(): Component {
    const { clock, log } = this.#surroundings;
    return {
      name: "readiness",
      start: () => {
        this.#state = "ready";
      },
      stop: () => {
        this.#state = "draining";
        const { delayMs } = this.#config.shutdown;
        if (delayMs === 0) return;
        log.info({ delay_ms: delayMs }, "not ready any more; still accepting");
        return new Promise((settle) => void clock.setTimer(() => settle(), delayMs, "holds_process"));
      },
    };
  }

  #observed(event: LifecycleEvent): void {
    logLifecycle(this.#surroundings.log, event, this.active.count);
    if (event.kind === "running") this.#surroundings.started(this);
  }
}

/** Unix sockets are refused when the configuration is read. */
function tcp(address: Address): Address & { kind: "tcp" } {
  assert(address.kind === "tcp", "a unix address got past the configuration");
  return address;
}
