/** The program: its components in their order of start, and what the admin server may ask of it. */
import { answer } from "./admin/admin-server.ts";
import { History } from "./admin/dashboard/history.ts";
import { serveHttp, type HttpServer } from "./admin/http-server.ts";
import type { ProgramState } from "./admin/status.ts";
import { Dialer } from "./backend/dial.ts";
import { Composition } from "./composition/composition.ts";
import type { RunningBackend } from "./composition/running-backend.ts";
import type { ConfigDiff } from "./config/diff.ts";
import type { Config } from "./config/schema.ts";
import { Control, type ControlledProgram } from "./control.ts";
import type { Address } from "./core/address.ts";
import { assert } from "./core/assert.ts";
import type { Clock, TimerHandle } from "./core/clock.ts";
import { TimerWheel } from "./core/timer-wheel.ts";
import { Drains } from "./drains.ts";
import type { SpliceEngine } from "./forward/splice/engine.ts";
import type { Component, StopReason } from "./lifecycle/component.ts";
import { Controller } from "./lifecycle/controller.ts";
import type { LifecycleEvent } from "./lifecycle/event.ts";
import type { Outcome } from "./lifecycle/outcome.ts";
import type { ServiceManager } from "./lifecycle/service-manager.ts";
import { Admission, type Overflow } from "./listener/admission.ts";
import { assignSockets, type InheritedSocket } from "./listener/inherited-sockets.ts";
import type { Listener } from "./listener/listener.ts";
import type { Service } from "./listener/service.ts";
import { Records } from "./records.ts";
import { Reloader, type ReloadHost, type Reread, type ServiceChanges } from "./reload.ts";
import { SessionRegistry } from "./session/registry.ts";
import { Session } from "./session/session.ts";
import { spliceComponent, spliceEngine } from "./splicing.ts";
import { ActiveConnections } from "./stats/active-connections.ts";
import { Traffic } from "./stats/traffic.ts";
import { libc, libcMissing } from "./sys/libc.ts";
import { logLifecycle } from "./telemetry/lifecycle-log.ts";
import type { Log } from "./telemetry/log.ts";
import type { TraceFigures } from "./telemetry/tracing.ts";

/** What the program is given from outside. */
export interface Surroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** The most descriptors this process may have. */
  readonly fdLimit: number;
  /** Reads the configuration again, for a reload; `undefined` where it comes from no file. */
  readonly reread?: Reread | undefined;
  /** The environment variables, for tracing. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Hears how we are. */
  readonly manager: ServiceManager;
  /** Sockets to listen on that were opened for us, by the names of listeners. */
  readonly inherited: ReadonlyMap<string, InheritedSocket>;
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
/** How long the spans that wait may take to be sent. */
const tracingStopMs = 3_000;
/** The program: runs once, from its configuration to its end. */
export class App implements ControlledProgram, ReloadHost {
  readonly active = new ActiveConnections();
  readonly registry = new SessionRegistry();
  readonly traffic = new Traffic();
  readonly dialer = new Dialer();
  readonly wheel: TimerWheel;
  readonly reloader: Reloader;
  readonly control = new Control(this);

  readonly #surroundings: Surroundings;
  readonly #controller: Controller;
  readonly #beganMs: number;
  readonly #admission: Admission;
  readonly #splice: SpliceEngine | undefined;
  readonly #started = Promise.withResolvers<void>();
  readonly #stopping = new AbortController();
  readonly #history: History;
  readonly #records: Records;
  readonly #drains: Drains;
  /** The one in force. */
  #config: Config;
  /** There once its component is being started. */
  #composition: Composition | undefined = undefined;
  #state: ProgramState = "starting";
  /** When the shutdown began. */
  #drainingSinceMs: number | undefined = undefined;
  #admin: HttpServer | undefined = undefined;
  #cut = 0;

  constructor(config: Config, surroundings: Surroundings) {
    const { clock, log, manager } = surroundings;
    this.#config = config;
    this.#surroundings = surroundings;
    this.#beganMs = clock.nowMs();
    this.wheel = new TimerWheel(clock, (error, node) => {
      assert(node instanceof Session, "a timer that is no session's failed");
      node.handlerFailed(error instanceof Error ? error : new Error(String(error)));
    });
    this.#admission = new Admission(this.active, config.limits.connections, overflowOf(config));
    this.#splice = spliceEngine(config.forwarding, surroundings);
    this.#history = new History(() => this.control.figures(), clock);
    this.#records = new Records(surroundings);
    this.#drains = new Drains({
      clock,
      log,
      active: this.active,
      registry: this.registry,
      left: (connections) => manager.status(`draining: ${connections} connections are left`),
    });
    this.reloader = new Reloader(this, surroundings.reread, log, {
      began: () => manager.reloading(),
      ended: () => manager.reloaded(),
    });
    this.#controller = new Controller(this.#components(), {
      clock,
      observe: (event) => this.#observed(event),
    });
  }

  /** The components in their order of start; they are stopped in the opposite one. */
  #components(): Component[] {
    const { admin, forwarding } = this.#config;
    const components: Component[] = [this.#traces()];
    if (admin !== undefined) components.push(this.#adminServer(admin));
    components.push(this.#backends());
    if (forwarding.engine !== "copy") {
      components.push(spliceComponent(forwarding, this.#splice, this.#surroundings.log));
    }
    components.push(this.#listeners(), this.#readiness());
    return components;
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
  force(): Promise<void> {
    return this.#drains.force();
  }

  // What there is to see.

  get config(): Config {
    return this.#config;
  }

  get version(): string {
    return this.#surroundings.version;
  }

  get fdLimit(): number {
    return this.#surroundings.fdLimit;
  }

  get uptimeMs(): number {
    return this.#surroundings.clock.nowMs() - this.#beganMs;
  }

  get state(): ProgramState {
    return this.#controller.state === "stopping" ? "draining" : this.#state;
  }

  get drainRemainingMs(): number | undefined {
    if (this.#drainingSinceMs === undefined) return undefined;
    const { delayMs, drainMs } = this.#config.shutdown;
    if (drainMs === 0) return Infinity;
    return Math.max(0, this.#drainingSinceMs + delayMs + drainMs - this.#surroundings.clock.nowMs());
  }

  get overflow(): Overflow {
    return this.#admission.overflow;
  }

  get composition(): Composition | undefined {
    return this.#composition;
  }

  get services(): readonly Service[] {
    return this.#composition?.services ?? [];
  }

  get backends(): ReadonlyMap<string, RunningBackend> {
    return this.#composition?.backends ?? new Map();
  }

  get listeners(): readonly Listener[] {
    return this.services.map((service) => service.listener);
  }

  get leaving(): Iterable<Service> {
    return this.#drains.removed;
  }

  get traces(): TraceFigures | undefined {
    return this.#records.figures;
  }

  /** Where the admin server listens; `undefined` when there is none. */
  get adminAddress(): string | undefined {
    return this.#admin?.address;
  }

  requestShutdown(): void {
    this.requestStop({ kind: "request", by: "admin server" });
  }

  // A reload.

  get refusal(): string | undefined {
    return this.state === "ready" ? undefined : "the program is about to end";
  }

  get started(): Promise<void> {
    return this.#started.promise;
  }

  get abort(): AbortSignal {
    return this.#stopping.signal;
  }

  adopt(config: Config, { tables }: ConfigDiff, { opened, leaving }: ServiceChanges): void {
    const { log } = this.#surroundings;
    this.#config = config;
    if (tables.has("limits")) this.#admission.configure(config.limits.connections, overflowOf(config));
    if (tables.has("log")) log.configure(config.log);
    if (tables.has("tracing")) void this.#records.configureTraces(config.tracing);
    for (const { listener } of opened) this.#listening(listener);
    for (const service of leaving) this.#drains.remove(service, config.shutdown);
  }

  #listening({ name, address }: Listener): void {
    this.#surroundings.log.info({ listener: name, address }, "listening");
  }

  // The components.

  /** Stopped last: by then every connection has had its end. */
  #traces(): Component {
    return {
      name: "tracing",
      start: () => this.#records.configureTraces(this.#config.tracing),
      stop: () => this.#records.stop(tracingStopMs),
    };
  }

  #adminServer(admin: NonNullable<Config["admin"]>): Component {
    const { log } = this.#surroundings;
    return {
      name: "admin",
      start: () => {
        this.#history.start();
        this.#admin = serveHttp("admin server", tcp(admin.listen), (request) =>
          answer(request, this.control, {
            token: this.#config.admin?.token ?? "",
            history: this.#history,
            onMistake: (error) => log.error({ error }, "the admin server failed by itself"),
          }),
        );
        log.info({ listener: "admin", address: this.#admin.address }, "listening");
      },
      stop: async () => {
        this.#history.stop();
        await this.#admin!.stop();
      },
      stopTimeoutMs: adminStopTimeoutMs,
    };
  }

  /** Knows where the endpoints are and whether they answer, before anything listens. */
  #backends(): Component {
    const { clock, log } = this.#surroundings;
    return {
      name: "backends",
      start: async ({ signal }) => {
        const composition = new Composition(this.#config, {
          clock,
          log,
          wheel: this.wheel,
          dialer: this.dialer,
          registry: this.registry,
          mover: this.#splice,
          admission: this.#admission,
          traffic: this.traffic,
          records: this.#records,
          internalError: (error, session) =>
            log.error({ id: session?.id ?? null, error }, "internal error: a connection was reset"),
        });
        this.#composition = composition;
        // A shutdown waits for no name and no check.
        signal.addEventListener("abort", () => composition.stop(), { once: true });
        await composition.start();
      },
      stop: () => this.#composition?.stop(),
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
          const { held, elsewhere } = assignSockets(this.#surroundings.inherited, this.#config.listeners);
          for (const place of elsewhere) log.warn(place, "listening where the service manager has opened the socket");
          for (const listener of this.listeners) {
            listener.open(held.get(listener.name));
            this.#listening(listener);
          }
        } catch (error) {
          await this.force();
          await Promise.all(this.listeners.map((listener) => listener.close(AbortSignal.abort())));
          throw error;
        }
      },
      stop: async () => {
        clock.clearTimer(forgetting!);
        this.#cut = await this.#drains.all(this.services, this.#config.shutdown);
      },
    };
  }

  #forgetClients(): void {
    for (const service of this.services) service.forgetClients();
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
        this.#drainingSinceMs = clock.nowMs();
        this.#stopping.abort();
        const { delayMs } = this.#config.shutdown;
        if (delayMs === 0) return;
        log.info({ delay_ms: delayMs }, "not ready any more; still accepting");
        return new Promise((settle) => void clock.setTimer(() => settle(), delayMs, "holds_process"));
      },
    };
  }

  #observed(event: LifecycleEvent): void {
    logLifecycle(this.#surroundings.log, event, this.active.count);
    const { manager } = this.#surroundings;
    if (event.kind === "running") {
      manager.ready();
      this.#surroundings.started(this);
    }
    if (event.kind === "stop_requested") manager.stopping();
    if (settled.has(event.kind)) this.#started.resolve();
  }
}

/** From these events on the program has started, or will not any more. */
const settled: ReadonlySet<LifecycleEvent["kind"]> = new Set(["running", "stop_requested", "finished"]);

/** Without the C library the accept queue can't be held while we are full. */
function overflowOf({ limits }: Config): Overflow {
  return libc === undefined ? "reject" : limits.overflow;
}

/** Unix sockets are refused when the configuration is read. */
function tcp(address: Address): Address & { kind: "tcp" } {
  assert(address.kind === "tcp", "a unix address got past the configuration");
  return address;
}
