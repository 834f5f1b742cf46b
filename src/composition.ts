/** From a configuration to what it asks for: backends with their names, checks and TLS, and the services in front of them. */
import { Backend } from "./backend/backend.ts";
import type { Dialer } from "./backend/dial.ts";
import { HealthChecks } from "./backend/health/health-checks.ts";
import { Places } from "./backend/health/places.ts";
import type { HealthSettings } from "./backend/health/settings.ts";
import { parseStatusRanges } from "./backend/health/status-ranges.ts";
import { Members } from "./backend/members.ts";
import { Resolver } from "./backend/names/resolver.ts";
import { readTextFile } from "./config/load.ts";
import type { Config } from "./config/schema.ts";
import { assert } from "./core/assert.ts";
import { CidrSet } from "./core/cidr.ts";
import type { Clock } from "./core/clock.ts";
import { SluiceError } from "./core/error.ts";
import { Service, type ServiceEnvironment, type ServiceSettings } from "./listener/service.ts";
import { writeProxyHeaderV1 } from "./protocol/proxy-header-v1.ts";
import { writeProxyHeaderV2 } from "./protocol/proxy-header-v2.ts";
import { Router } from "./routing/router.ts";
import type { Target } from "./session/target.ts";
import type { Log } from "./telemetry/log.ts";
import type { Loaded } from "./tls/credentials.ts";
import { readClientCredentials, readServerCredentials } from "./tls/files.ts";
import { Originator } from "./tls/originator.ts";
import { Terminator } from "./tls/terminator.ts";

type BackendConfig = Config["backends"][number];
type ListenerConfig = Config["listeners"][number];

/** What everything here shares. */
export interface CompositionEnvironment {
  readonly clock: Clock;
  readonly log: Log;
  readonly dialer: Dialer;
}

/** A backend with all that keeps it going. */
export interface RunningBackend {
  readonly backend: Backend;
  readonly target: Target;
  readonly health: HealthChecks | undefined;
  /** Settles when its names have been asked for and its endpoints been checked once, whatever came of it, or at `stop`. */
  start(): Promise<void>;
  stop(): void;
}

/** One that reads its certificates again; says what is wrong with the new ones, which are then not used. */
interface Credentialed {
  readonly of: string;
  reload(): readonly string[];
}

/** Made once from a configuration whose files have been checked. */
export class Composition {
  readonly backends: ReadonlyMap<string, RunningBackend>;

  readonly #config: Config;
  readonly #environment: CompositionEnvironment;
  readonly #resolver: Resolver;
  /** Bounds the checks under way of all backends. */
  readonly #places = new Places();
  readonly #credentialed: Credentialed[] = [];

  constructor(config: Config, environment: CompositionEnvironment) {
    this.#config = config;
    this.#environment = environment;
    this.#resolver = new Resolver({ servers: config.resolver.servers, clock: environment.clock });
    this.backends = new Map(config.backends.map((backend) => [backend.name, this.#backend(backend)]));
  }

  /** The services, in the order of the configuration; they listen when they are told to. */
  services(environment: ServiceEnvironment): Service[] {
    return this.#config.listeners.map((listener) => new Service(this.#serviceSettings(listener), environment));
  }

  /** Ends all checks and questions, the first ones too; connections that are open may go on. A second time changes nothing. */
  stop(): void {
    for (const running of this.backends.values()) running.stop();
    this.#resolver.close();
  }

  /** Uses the certificates that are in the files now; what can't be used is said and stays as it was. */
  reloadCertificates(): void {
    const { log } = this.#environment;
    for (const { of, reload } of this.#credentialed) {
      const problems = reload();
      if (problems.length === 0) log.info({ of }, "certificates read again");
      else log.error({ of, problems }, "the new certificates can't be used; the old ones stay");
    }
  }

  // Backends.

  #backend(config: BackendConfig): RunningBackend {
    const { clock, log } = this.#environment;
    const { name, balance, retries, eject, onDown } = config;
    const backend = new Backend({ name, balance, retries, eject, onDown }, clock);
    backend.observe({
      ejected: (endpoint, forMs) =>
        log.warn({ backend: name, endpoint: endpoint.name, for_ms: forMs }, "endpoint ejected: it failed too often"),
      returned: (endpoint) => log.info({ backend: name, endpoint: endpoint.name }, "endpoint back in rotation"),
    });
    const target = this.#target(backend, config);
    const members = new Members(
      backend,
      config.endpoints.map(({ connections, ...endpoint }) => ({ ...endpoint, connectionsMax: connections })),
      config.resolveMs,
      this.#resolver,
      clock,
      {
        resolved: (of, addresses) => log.info({ backend: name, name: of, addresses }, "name resolved"),
        unresolved: (of, why, kept) => log.warn({ backend: name, name: of, why, kept }, "cannot resolve a name"),
      },
    );
    const health = this.#health(backend, target, config);
    let stopped = false;
    return {
      backend,
      target,
      health,
      async start() {
        await members.start();
        // A stop meanwhile has settled the names.
        if (!stopped) await health?.start();
      },
      stop() {
        stopped = true;
        health?.stop();
        members.stop();
        backend.stop();
      },
    };
  }

  #target(backend: Backend, { tls, sendProxy }: BackendConfig): Target {
    if (tls === undefined) return { backend, sendProxy, headerInsideTls: false, tls: undefined };
    const of = `backend "${backend.name}"`;
    const read = () => readClientCredentials(tls, readTextFile, Date.now());
    const originator = new Originator(this.#usable(of, read()));
    this.#credentialed.push({ of, reload: () => replace(originator, read()) });
    return { backend, sendProxy, headerInsideTls: tls.proxyHeader === "inside", tls: originator };
  }

  #health(backend: Backend, target: Target, { health }: BackendConfig): HealthChecks | undefined {
    if (health === undefined) return undefined;
    const { clock, log, dialer } = this.#environment;
    const status = parseStatusRanges(health.status);
    assert(status.ok, "status codes got past the configuration");
    const { headerInsideTls } = target;
    const settings: HealthSettings = { ...health, status: status.value, header: ownHeader(target), headerInsideTls };
    const of = backend.name;
    return new HealthChecks(
      backend,
      settings,
      dialer,
      target.tls,
      clock,
      Math.random,
      {
        onChange: ({ name: endpoint }, from, to, why) => {
          if (to === "down") log.warn({ backend: of, endpoint, why }, "endpoint down");
          else if (from === "down") log.info({ backend: of, endpoint, why }, "endpoint up");
          else log.debug({ backend: of, endpoint, why }, "endpoint up");
        },
        onMistake: ({ name: endpoint }, error) =>
          log.error({ backend: of, endpoint, error }, "a check failed by itself"),
      },
      this.#places,
    );
  }

  // Services.

  #serviceSettings(config: ListenerConfig): ServiceSettings {
    const { name, listen, mode, connections, timeouts, backend, allow, deny, connectionsPerIp, ratePerIp } = config;
    const { noDelay, keepaliveMs } = this.#config.tcp;
    const routes = config.routes.map((route) => ({ settings: route, target: this.#targetOf(route.backend) }));
    const inspection = {
      header: config.acceptProxy === "required",
      tls: this.#terminator(config),
      router: routes.length === 0 ? undefined : new Router(routes),
    };
    const asks = inspection.header || inspection.tls !== undefined || inspection.router !== undefined;
    return {
      listener: { name, address: listen, mode, connectionsMax: connections },
      timeouts,
      keepaliveMs,
      noDelay,
      target: backend === "" ? undefined : this.#targetOf(backend),
      inspection: asks ? inspection : undefined,
      clients: { allow: new CidrSet(allow), deny: new CidrSet(deny), connectionsPerIp, ratePerIp },
      trusted: new CidrSet(config.trusted),
    };
  }

  #targetOf(backend: string): Target {
    const running = this.backends.get(backend);
    assert(running !== undefined, "the name of a backend got past the configuration");
    return running.target;
  }

  #terminator({ name, tls }: ListenerConfig): Terminator | undefined {
    if (tls === undefined) return undefined;
    const of = `listener "${name}"`;
    const read = () => readServerCredentials(tls, readTextFile, Date.now());
    const terminator = new Terminator(this.#usable(of, read()));
    this.#credentialed.push({ of, reload: () => replace(terminator, read()) });
    return terminator;
  }

  /** The files were checked with the configuration; they may have changed since. */
  #usable<T>(of: string, loaded: Loaded<T>): T {
    if (!loaded.ok) {
      throw new SluiceError("tls_failed", `cannot use the TLS files of ${of}: ${loaded.problems.join("; ")}`, {
        source: "config",
      });
    }
    return loaded.value;
  }
}

function replace<T>(user: { replace(credentials: T): void }, loaded: Loaded<T>): readonly string[] {
  if (!loaded.ok) return loaded.problems;
  user.replace(loaded.value);
  return [];
}

/** The PROXY header of a connection that is our own. */
function ownHeader({ sendProxy }: Target): Uint8Array | undefined {
  switch (sendProxy) {
    case "off":
      return undefined;
    case "v1":
      return writeProxyHeaderV1(undefined, undefined);
    case "v2":
      return writeProxyHeaderV2(undefined, undefined, {});
  }
}
