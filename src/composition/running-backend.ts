/** A backend with all that keeps it going: the names of its endpoints, its active checks, and its side of TLS. */
import { Backend, type BackendSettings } from "../backend/backend.ts";
import type { Endpoint } from "../backend/endpoint.ts";
import type { Dialer } from "../backend/dial.ts";
import { HealthChecks } from "../backend/health/health-checks.ts";
import type { Places } from "../backend/health/places.ts";
import type { HealthSettings } from "../backend/health/settings.ts";
import { parseStatusRanges } from "../backend/health/status-ranges.ts";
import { Members, type MemberSettings } from "../backend/members.ts";
import type { Resolver } from "../backend/names/resolver.ts";
import type { Config } from "../config/schema.ts";
import { assert } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import { writeProxyHeaderV1 } from "../protocol/proxy-header-v1.ts";
import { writeProxyHeaderV2 } from "../protocol/proxy-header-v2.ts";
import type { SessionRegistry } from "../session/registry.ts";
import type { Target } from "../session/target.ts";
import type { Log } from "../telemetry/log.ts";
import type { ClientCredentials } from "../tls/credentials.ts";
import { readClientCredentials } from "../tls/files.ts";
import { Originator } from "../tls/originator.ts";
import { readFiles, type FilesRead } from "./files-read.ts";

/** A backend as configured. */
export type BackendConfig = Config["backends"][number];

/** What all backends share. */
export interface BackendEnvironment {
  readonly clock: Clock;
  readonly log: Log;
  readonly dialer: Dialer;
  readonly registry: SessionRegistry;
  readonly resolver: Resolver;
  /** Bounds the checks under way of all backends. */
  readonly places: Places;
}

/** What its endpoints are shown; `undefined` where they are spoken to in plain. */
export type BackendFiles = FilesRead<ClientCredentials> | undefined;

/** Reads the TLS files of a backend. Throws a `SluiceError` (`tls_failed`). */
export function readBackendFiles({ name, tls }: BackendConfig): BackendFiles {
  if (tls === undefined) return undefined;
  return readFiles(`backend "${name}"`, tls, (read, nowMs) => readClientCredentials(tls, read, nowMs));
}

/** Lives as long as it is in the configuration; open connections may outlive it. */
export class RunningBackend {
  readonly backend: Backend;

  readonly #environment: BackendEnvironment;
  readonly #members: Members;
  #config: BackendConfig;
  #files: BackendFiles;
  #originator: Originator | undefined;
  #target: Target;
  #health: HealthChecks | undefined;
  #stopped = false;

  constructor(config: BackendConfig, files: BackendFiles, environment: BackendEnvironment) {
    const { clock, log, resolver } = environment;
    const { name } = config;
    this.#config = config;
    this.#environment = environment;
    this.backend = new Backend(backendSettings(config), clock);
    const down = (endpoint: Endpoint): void => this.#down(endpoint);
    this.backend.observe({ down, stateChanged: down });
    this.backend.observe({
      ejected: (endpoint, forMs) =>
        log.warn({ backend: name, endpoint: endpoint.name, for_ms: forMs }, "endpoint ejected: it failed too often"),
      returned: (endpoint) => log.info({ backend: name, endpoint: endpoint.name }, "endpoint back in rotation"),
      stateChanged: ({ name: endpoint }, from, to) =>
        log.info({ backend: name, endpoint, from, to }, "an operator has set the state of an endpoint"),
      weightChanged: ({ name: endpoint }, from, to) =>
        log.info({ backend: name, endpoint, from, to }, "an operator has set the weight of an endpoint"),
    });
    this.#files = files;
    this.#originator = files === undefined ? undefined : new Originator(files.value);
    this.#target = targetOf(this.backend, config, this.#originator);
    this.#members = new Members(this.backend, membersOf(config), config.resolveMs, resolver, clock, {
      resolved: (of, addresses) => log.info({ backend: name, name: of, addresses }, "name resolved"),
      unresolved: (of, why, kept) => log.warn({ backend: name, name: of, why, kept }, "cannot resolve a name"),
    });
    this.#health = this.#checks();
  }

  /** Where sessions go from now on. */
  get target(): Target {
    return this.#target;
  }

  /** Its active checks; `undefined` without any. */
  get health(): HealthChecks | undefined {
    return this.#health;
  }

  /** Settles when its names have been asked for and its endpoints been checked once, whatever came of it, or at `stop`. */
  async start(): Promise<void> {
    await this.#members.start();
    // A stop meanwhile has settled the names.
    if (!this.#stopped) await this.#health?.start();
  }

  /** Asks for the names of a coming configuration that are not known yet. Settles when each has been asked for, or at `stop`. */
  learn(config: BackendConfig): Promise<void> {
    return this.#members.learn(membersOf(config));
  }

  /**
   * Holds from now on; open sessions go on. What is known of endpoints that stay is kept. Returns whether the TLS files
   * are other ones, their settings aside.
   */
  configure(config: BackendConfig, files: BackendFiles): boolean {
    const before = this.#config;
    const filesChanged = files?.digest !== this.#files?.digest;
    this.#config = config;
    this.backend.configure(backendSettings(config));
    this.#useFiles(files);
    this.#target = targetOf(this.backend, config, this.#originator);
    // Before the members: those that come are checked in the new way.
    this.#configureHealth();
    this.#members.configure(membersOf(config), config.resolveMs);
    return filesChanged && JSON.stringify(before.tls) === JSON.stringify(config.tls);
  }

  /** Ends its checks and questions; open connections may go on. A second time changes nothing. */
  stop(): void {
    this.#stopped = true;
    this.#health?.stop();
    this.#members.stop();
    this.backend.stop();
  }

  /** Carries out `on_down`: ends the connections that the endpoint has. Those that are being opened find another one. */
  #down(endpoint: Endpoint): void {
    if (this.backend.settings.onDown !== "close" || !endpoint.isDown) return;
    this.#environment.registry.endAll(
      "endpoint_down",
      undefined,
      (session) => session.endpoint === endpoint && session.phase === "forwarding",
    );
  }

  /** Sessions of TLS are kept for later ones as long as the files are the same. */
  #useFiles(files: BackendFiles): void {
    if (files === undefined) this.#originator = undefined;
    else if (this.#originator === undefined) this.#originator = new Originator(files.value);
    else if (files.digest !== this.#files?.digest) this.#originator.replace(files.value);
    this.#files = files;
  }

  #configureHealth(): void {
    if (this.#health === undefined) {
      this.#health = this.#checks();
      void this.#health?.start();
      return;
    }
    const settings = healthSettings(this.#config, this.#target);
    if (settings === undefined) {
      this.#health.stop();
      this.#health = undefined;
      this.backend.forgetHealth();
    } else this.#health.configure(settings, this.#target.tls);
  }

  #checks(): HealthChecks | undefined {
    const settings = healthSettings(this.#config, this.#target);
    if (settings === undefined) return undefined;
    const { clock, log, dialer, places } = this.#environment;
    const { backend } = this;
    const of = backend.name;
    return new HealthChecks(
      backend,
      settings,
      dialer,
      this.#target.tls,
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
      places,
    );
  }
}

function backendSettings({ name, balance, retries, eject, onDown }: BackendConfig): BackendSettings {
  return { name, balance, retries, eject, onDown };
}

function membersOf({ endpoints }: BackendConfig): MemberSettings[] {
  return endpoints.map(({ connections, ...endpoint }) => ({ ...endpoint, connectionsMax: connections }));
}

function targetOf(backend: Backend, { tls, sendProxy }: BackendConfig, originator: Originator | undefined): Target {
  return { backend, sendProxy, headerInsideTls: tls?.proxyHeader === "inside", tls: originator };
}

function healthSettings({ health }: BackendConfig, target: Target): HealthSettings | undefined {
  if (health === undefined) return undefined;
  const status = parseStatusRanges(health.status);
  assert(status.ok, "status codes got past the configuration");
  const { headerInsideTls } = target;
  return { ...health, status: status.value, header: ownHeader(target), headerInsideTls };
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
