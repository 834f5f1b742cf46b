/** What a configuration asks for: backends, and the services in front of them; and how it becomes another one while it runs. */
import { Places } from "../backend/health/places.ts";
import { Resolver } from "../backend/names/resolver.ts";
import type { Config } from "../config/schema.ts";
import { formatAddress } from "../core/address.ts";
import { assert } from "../core/assert.ts";
import { SluiceError } from "../core/error.ts";
import { Service, type ServiceEnvironment, type ServiceSettings } from "../listener/service.ts";
import type { Target } from "../session/target.ts";
import { Terminator } from "../tls/terminator.ts";
import {
  readBackendFiles,
  RunningBackend,
  type BackendConfig,
  type BackendEnvironment,
  type BackendFiles,
} from "./running-backend.ts";
import { readListenerFiles, serviceSettings, type ListenerConfig, type ListenerFiles } from "./service-settings.ts";

/** What everything here shares. */
export type CompositionEnvironment = Omit<BackendEnvironment, "resolver" | "places"> & ServiceEnvironment;

/** A configuration that can be applied at once: all that takes time, or can fail for its files, is done. */
export interface Prepared {
  readonly config: Config;
  readonly listenerFiles: ReadonlyMap<string, ListenerFiles>;
  readonly backendFiles: ReadonlyMap<string, BackendFiles>;
  /** Backends that are new, started. */
  readonly added: ReadonlyMap<string, RunningBackend>;
}

/** What came of applying a configuration; when it could not be, nothing has changed. */
export type Applied =
  | {
      readonly ok: true;
      /** What the configuration does not show: `listener.web.tls: the certificates in its files`. */
      readonly changes: readonly string[];
      /** What could not be done as it was asked for. */
      readonly warnings: readonly string[];
      /** Services that have begun to listen. */
      readonly opened: readonly Service[];
      /** Services that accept no more. Their sessions go on; to be drained by the caller. */
      readonly leaving: readonly Service[];
    }
  | { readonly ok: false; readonly problems: readonly string[] };

/** How a listener of a new configuration comes to its socket. */
type Place =
  /** It has it already. */
  | { readonly kind: "stays"; readonly service: Service }
  /** It is bound anew. */
  | { readonly kind: "bound" }
  /** It takes over that of a service which leaves it. */
  | { readonly kind: "taken"; readonly from: Service };

/** Made once from a configuration whose files have been checked; lives as long as the program. */
export class Composition {
  readonly #environment: CompositionEnvironment;
  readonly #resolver: Resolver;
  readonly #places = new Places();
  #config: Config;
  #backends: ReadonlyMap<string, RunningBackend>;
  #services: readonly Service[];
  /** Those that have left the configuration, some of which may still be closing their sockets. */
  #left: readonly Service[] = [];
  readonly #terminators = new Map<string, { readonly terminator: Terminator; digest: bigint }>();

  /** Throws a `SluiceError` (`tls_failed`) when a file can't be used any more. */
  constructor(config: Config, environment: CompositionEnvironment) {
    this.#config = config;
    this.#environment = environment;
    this.#resolver = new Resolver({ servers: config.resolver.servers, clock: environment.clock });
    this.#backends = new Map(
      config.backends.map((backend) => [backend.name, this.#newBackend(backend, readBackendFiles(backend))]),
    );
    this.#services = config.listeners.map((listener) => {
      const terminator = this.#terminator(listener.name, readListenerFiles(listener));
      return new Service(this.#settings(config, listener, terminator), environment);
    });
  }

  get backends(): ReadonlyMap<string, RunningBackend> {
    return this.#backends;
  }

  /** In the order of the configuration; they listen when they are told to. */
  get services(): readonly Service[] {
    return this.#services;
  }

  /** Settles when names are resolved and endpoints checked once, whatever came of it, or at `stop`. */
  async start(): Promise<void> {
    await Promise.all([...this.#backends.values()].map((backend) => backend.start()));
  }

  /** Ends all checks and questions, the first ones too; connections that are open may go on. A second time changes nothing. */
  stop(): void {
    for (const backend of this.#backends.values()) backend.stop();
    this.#resolver.close();
  }

  // Another configuration.

  /**
   * Reads the files, starts the backends that are new and resolves the names that are, each within its own deadlines.
   * What runs is not touched. Settles early when `abort` is; throws a `SluiceError` for a file that can't be used.
   */
  async prepare(config: Config, abort: AbortSignal): Promise<Prepared> {
    const listenerFiles = new Map(config.listeners.map((one) => [one.name, readListenerFiles(one)] as const));
    const backendFiles = new Map(config.backends.map((one) => [one.name, readBackendFiles(one)] as const));
    this.#resolver.useServers(config.resolver.servers);
    const added = new Map<string, RunningBackend>();
    const waiting: Promise<void>[] = [];
    for (const backend of config.backends) {
      const known = this.#backends.get(backend.name);
      if (known !== undefined) {
        waiting.push(known.learn(backend));
        continue;
      }
      const running = this.#newBackend(backend, backendFiles.get(backend.name));
      added.set(backend.name, running);
      waiting.push(running.start());
    }
    await unlessAborted(Promise.all(waiting), abort);
    return { config, listenerFiles, backendFiles, added };
  }

  /** Takes back what `prepare` has begun. */
  abandon({ added }: Prepared): void {
    this.#resolver.useServers(this.#config.resolver.servers);
    for (const backend of added.values()) backend.stop();
  }

  /**
   * The configuration in force becomes this one, between two turns of the event loop: no connection sees a part of it. First
   * comes what can fail, the addresses; when one does, everything is as it was, and what was prepared is to be abandoned.
   */
  apply(prepared: Prepared): Applied {
    const before = this.#services;
    this.#left = this.#left.filter(({ listener }) => listener.hasSocket);
    const places = placesOf(prepared.config, before, this.#left);
    const bound = this.#bind(prepared, places);
    if (!bound.ok) return bound;
    const changes = [...this.#applyBackends(prepared)];
    const warnings: string[] = [];
    this.#services = prepared.config.listeners.map((listener) => {
      const files = prepared.listenerFiles.get(listener.name);
      const known = this.#terminators.get(listener.name);
      const sameSettings = JSON.stringify(this.#listenerConfig(listener.name)?.tls) === JSON.stringify(listener.tls);
      if (sameSettings && known !== undefined && known.digest !== files?.digest) {
        changes.push(`listener.${listener.name}.tls: other certificates in its files`);
      }
      const settings = this.#settings(prepared.config, listener, this.#terminator(listener.name, files));
      const service = bound.services.get(listener.name) ?? new Service(settings, this.#environment);
      const place = places.get(listener.name)!;
      if (place.kind === "taken") {
        service.listener.open(place.from.listener.release());
        warnings.push(...given(service.listener.setMode()));
      } else warnings.push(...given(service.configure(settings)));
      return service;
    });
    this.#config = prepared.config;
    const leaving = before.filter((service) => !this.#services.includes(service));
    this.#left = [...this.#left, ...leaving];
    for (const name of this.#terminators.keys()) {
      if (this.#listenerConfig(name) === undefined) this.#terminators.delete(name);
    }
    return {
      ok: true,
      changes,
      warnings,
      opened: this.#services.filter((service) => !before.includes(service)),
      leaving,
    };
  }

  /** Makes sure of the addresses: binds those that are new, and holds those that change hands. */
  #bind(
    { config, listenerFiles, added }: Prepared,
    places: ReadonlyMap<string, Place>,
  ): { readonly ok: true; readonly services: ReadonlyMap<string, Service> } | { ok: false; problems: string[] } {
    const services = new Map<string, Service>();
    const held: Service[] = [];
    const problems: string[] = [];
    const known = new Set(this.#environment.traffic.listeners.keys());
    const targetOf = (name: string): Target => (added.get(name) ?? this.#backends.get(name)!).target;
    for (const listener of config.listeners) {
      const place = places.get(listener.name)!;
      if (place.kind === "stays") services.set(listener.name, place.service);
      if (place.kind === "taken") {
        if (place.from.listener.hold()) held.push(place.from);
        else problems.push(`cannot hand over the socket of listener "${place.from.name}": no descriptor is left`);
      }
      if (place.kind !== "bound") continue;
      // Its targets are those of now; it gets its final settings before anybody is accepted.
      const files = listenerFiles.get(listener.name);
      const terminator = files === undefined ? undefined : new Terminator(files.value);
      const service = new Service(serviceSettings(listener, config.tcp, terminator, targetOf), this.#environment);
      try {
        service.listener.open();
        services.set(listener.name, service);
      } catch (error) {
        if (!(error instanceof SluiceError)) throw error;
        problems.push(error.message);
        if (!known.has(listener.name)) this.#environment.traffic.forgetListener(listener.name);
      }
    }
    if (problems.length === 0) return { ok: true, services };
    for (const [name, service] of services) {
      if (places.get(name)!.kind !== "bound") continue;
      void service.listener.close(AbortSignal.abort());
      if (!known.has(name)) this.#environment.traffic.forgetListener(name);
    }
    for (const service of held) service.listener.unhold();
    return { ok: false, problems };
  }

  /** Says what the configuration does not show. */
  *#applyBackends({ config, backendFiles, added }: Prepared): Iterable<string> {
    const backends = new Map<string, RunningBackend>();
    for (const backend of config.backends) {
      const { name } = backend;
      const running = added.get(name) ?? this.#backends.get(name)!;
      backends.set(name, running);
      if (added.has(name)) continue;
      const otherFiles = running.configure(backend, backendFiles.get(name));
      if (otherFiles) yield `backend.${name}.tls: other certificates in its files`;
    }
    for (const [name, running] of this.#backends) if (!backends.has(name)) running.stop();
    this.#backends = backends;
  }

  // Making.

  #newBackend(config: BackendConfig, files: BackendFiles): RunningBackend {
    return new RunningBackend(config, files, {
      ...this.#environment,
      resolver: this.#resolver,
      places: this.#places,
    });
  }

  #settings(config: Config, listener: ListenerConfig, terminator: Terminator | undefined): ServiceSettings {
    return serviceSettings(listener, config.tcp, terminator, (name) => {
      const running = this.#backends.get(name);
      assert(running !== undefined, "the name of a backend got past the configuration");
      return running.target;
    });
  }

  /** Tickets that were given out are good as long as the files are the same. */
  #terminator(name: string, files: ListenerFiles): Terminator | undefined {
    const known = this.#terminators.get(name);
    if (files === undefined) {
      this.#terminators.delete(name);
      return undefined;
    }
    const { value, digest } = files;
    if (known === undefined) {
      const terminator = new Terminator(value);
      this.#terminators.set(name, { terminator, digest });
      return terminator;
    }
    if (known.digest !== digest) known.terminator.replace(value);
    known.digest = digest;
    return known.terminator;
  }

  #listenerConfig(name: string): ListenerConfig | undefined {
    return this.#config.listeners.find((listener) => listener.name === name);
  }
}

/** Same name and address: it stays. An address that another listener leaves, or has left and not closed yet, is taken over from it. */
function placesOf(config: Config, services: readonly Service[], left: readonly Service[]): ReadonlyMap<string, Place> {
  const leaving = new Set([...services, ...left]);
  const places = new Map<string, Place>();
  for (const { name, listen } of config.listeners) {
    const service = services.find((one) => one.name === name && configuredAddress(one) === formatAddress(listen));
    if (service === undefined) continue;
    leaving.delete(service);
    places.set(name, { kind: "stays", service });
  }
  for (const { name, listen } of config.listeners) {
    if (places.has(name)) continue;
    const from = [...leaving].find((one) => configuredAddress(one) === formatAddress(listen));
    if (from !== undefined) leaving.delete(from);
    places.set(name, from === undefined ? { kind: "bound" } : { kind: "taken", from });
  }
  return places;
}

function configuredAddress({ settings }: Service): string {
  return formatAddress(settings.listener.address);
}

/** Settles with the work, or when `abort` is aborted, and leaves nothing at a signal that lives longer. */
async function unlessAborted(work: Promise<unknown>, abort: AbortSignal): Promise<void> {
  if (abort.aborted) return;
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const settle = (): void => resolve();
  abort.addEventListener("abort", settle);
  try {
    await Promise.race([work, aborted]);
  } finally {
    abort.removeEventListener("abort", settle);
  }
}

function given<T>(value: T | undefined): T[] {
  return value === undefined ? [] : [value];
}
