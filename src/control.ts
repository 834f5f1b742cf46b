/** What the admin server shows and does: the program as its operator sees it. */
import type { AdminPort, ConnectionStatus, EndpointChange, ReloadOutcome } from "./admin/admin-port.ts";
import { connectionStatus } from "./admin/connection-status.ts";
import type { ProgramFigures } from "./admin/figures.ts";
import { noBytes, openBytes, programFigures } from "./admin/program-figures.ts";
import { backendStatus, listenerStatus, type ProgramState, type Status } from "./admin/status.ts";
import type { RunningBackend } from "./composition/running-backend.ts";
import type { Config } from "./config/schema.ts";
import type { Service } from "./listener/service.ts";
import type { Overflow } from "./listener/admission.ts";
import type { Reloader } from "./reload.ts";
import type { SessionRegistry } from "./session/registry.ts";
import type { Traffic } from "./stats/traffic.ts";
import { openDescriptors } from "./sys/descriptor-count.ts";

/** The program, as far as it is looked at. */
export interface ControlledProgram {
  readonly version: string;
  readonly fdLimit: number;
  /** Milliseconds since it began. */
  readonly uptimeMs: number;
  readonly state: ProgramState;
  /** Milliseconds until the drain deadline; `undefined` when not draining, `Infinity` without a deadline. */
  readonly drainRemainingMs: number | undefined;
  readonly config: Config;
  readonly overflow: Overflow;
  /** Connections open now. */
  readonly active: { readonly count: number };
  readonly registry: SessionRegistry;
  readonly traffic: Traffic;
  readonly reloader: Reloader;
  readonly services: readonly Service[];
  /** Services that a reload has removed, and that still have connections. */
  readonly leaving: Iterable<Service>;
  readonly backends: ReadonlyMap<string, RunningBackend>;
  readonly traces: ProgramFigures["traces"];
  requestShutdown(): void;
}

/** One for the program. */
export class Control implements AdminPort {
  readonly #program: ControlledProgram;

  constructor(program: ControlledProgram) {
    this.#program = program;
  }

  get ready(): boolean {
    const { state, config, backends } = this.#program;
    if (state !== "ready") return false;
    if (config.admin?.readyNeedsBackends !== true) return true;
    return neededBackends(config).every((name) => backends.get(name)!.backend.available);
  }

  status(): Status {
    const program = this.#program;
    const { traffic, services, leaving, registry } = program;
    const open = openBytes(registry.open);
    const removed = [...leaving].filter((service) => service.active > 0);
    return {
      version: program.version,
      bun: Bun.version,
      pid: process.pid,
      uptime_ms: Math.round(program.uptimeMs),
      state: program.state,
      ready: this.ready,
      shutdown: shutdownStatus(program.drainRemainingMs),
      connections_active: program.active.count,
      limits: { connections: program.config.limits.connections, overflow: program.overflow, fds: program.fdLimit },
      listeners: [
        ...services.map((service) => listenerStatus(service, open.get(service.name) ?? noBytes, false)),
        ...removed.map((service) => listenerStatus(service, open.get(service.name) ?? noBytes, true)),
      ],
      backends: [...program.backends.values()].map(backendStatus),
      ended: endedStatus(traffic),
      reloads: { ...program.reloader.counts },
    };
  }

  figures(): ProgramFigures {
    const program = this.#program;
    const { traffic, services, leaving, registry, backends, version, state, drainRemainingMs, traces } = program;
    return programFigures({
      ready: this.ready,
      state,
      drainRemainingMs,
      version,
      traffic,
      services: [...services, ...leaving],
      backends,
      sessions: registry.open,
      reloads: program.reloader.counts,
      traces,
      descriptors: { open: openDescriptors() ?? NaN, max: program.fdLimit },
      connectionsMax: program.config.limits.connections,
    });
  }

  *connections(): Iterable<ConnectionStatus> {
    for (const session of this.#program.registry.open) yield connectionStatus(session);
  }

  closeConnection(id: number): boolean {
    for (const session of this.#program.registry.open) {
      if (session.id !== id) continue;
      session.requestEnd("closed_by_admin");
      return true;
    }
    return false;
  }

  changeEndpoint(backend: string, endpoint: string, change: EndpointChange): "changed" | "no_backend" | "no_endpoint" {
    const running = this.#program.backends.get(backend);
    if (running === undefined) return "no_backend";
    const found = running.backend.endpoints.find(({ name }) => name === endpoint);
    if (found === undefined) return "no_endpoint";
    if (change.weight !== undefined) running.backend.setWeight(found, change.weight);
    if (change.state !== undefined) running.backend.setState(found, change.state);
    return "changed";
  }

  reload(): Promise<ReloadOutcome> {
    return this.#program.reloader.reload("admin server");
  }

  requestShutdown(): void {
    this.#program.requestShutdown();
  }
}

/** The backends that listeners and routes name, each once. */
function neededBackends({ listeners }: Config): readonly string[] {
  const names = listeners.flatMap(({ backend, routes }) => [backend, ...routes.map((route) => route.backend)]);
  return [...new Set(names)].filter((name) => name !== "");
}

function shutdownStatus(remainingMs: number | undefined): Status["shutdown"] {
  if (remainingMs === undefined) return null;
  return { remaining_ms: remainingMs === Infinity ? null : Math.round(remainingMs) };
}

function endedStatus({ listeners }: Traffic): Status["ended"] {
  const ended: Record<string, number> = {};
  for (const listener of listeners.values()) {
    for (const ends of listener.ended.values()) {
      for (const [end, count] of ends) ended[end] = (ended[end] ?? 0) + count;
    }
  }
  return ended;
}
