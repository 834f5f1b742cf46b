/** What `GET /status` answers: the state of the program in figures. Field names are part of the interface. */
import type { Backend } from "../backend/backend.ts";
import type { EndpointState } from "../backend/endpoint.ts";
import type { HealthChecks } from "../backend/health/health-checks.ts";
import type { Service } from "../listener/service.ts";
import type { End } from "../session/end.ts";
import type { ReloadOutcome } from "./admin-port.ts";

/** Where the program is in its life; also what readiness follows from. */
export type ProgramState =
  /** Components are being started. */
  | "starting"
  /** New connections are welcome. */
  | "ready"
  /** A shutdown has begun. */
  | "draining";

/** The whole answer. */
export interface Status {
  readonly version: string;
  readonly bun: string;
  readonly pid: number;
  /** Milliseconds since the program began. */
  readonly uptime_ms: number;
  readonly state: ProgramState;
  /** The drain of a shutdown; `null` when there is none. */
  readonly shutdown: ShutdownStatus | null;
  /** Whether new connections should be sent here: what `/readyz` answers. */
  readonly ready: boolean;
  /** Connections open now. */
  readonly connections_active: number;
  readonly limits: { readonly connections: number; readonly overflow: string; readonly fds: number };
  readonly listeners: readonly ListenerStatus[];
  readonly backends: readonly BackendStatus[];
  /** Connections that ended since start, by reason; reasons that did not occur are left out. */
  readonly ended: Readonly<Partial<Record<End, number>>>;
  /** Reloads of the configuration, by what came of them. */
  readonly reloads: Readonly<Record<ReloadOutcome["kind"], number>>;
}

/** How a drain goes. */
export interface ShutdownStatus {
  /** Milliseconds until what is left is cut, `shutdown.delay` included; `null` without a deadline. */
  readonly remaining_ms: number | null;
}

/** A listener. */
export interface ListenerStatus {
  readonly name: string;
  readonly address: string;
  /** Where connections go that no route sends elsewhere; `null` where those are ended. */
  readonly backend: string | null;
  readonly routes: readonly { readonly route: string; readonly backend: string }[];
  /** Whether connections wait in the accept queue because a limit is reached. */
  readonly paused: boolean;
  /** Whether a reload has taken it out: it accepts no more, and its connections go on under `shutdown.drain`. */
  readonly removed: boolean;
  readonly connections_active: number;
  /** Connections since start. */
  readonly connections_total: number;
  /** Clients whose first bytes did not come, or decided nothing, within `timeouts.inspect`. */
  readonly inspect_timeouts_total: number;
  /** Bytes moved since start, those of open connections included. */
  readonly bytes_to_backend: number;
  readonly bytes_to_client: number;
}

/** A backend. */
export interface BackendStatus {
  readonly name: string;
  /** Whether a new connection would find an endpoint, their limits aside. */
  readonly available: boolean;
  readonly endpoints: readonly EndpointStatus[];
}

/** An endpoint. */
export interface EndpointStatus {
  /** Where it is dialled. */
  readonly address: string;
  /** As configured, perhaps by a name. */
  readonly configured: string;
  /** What active checks say; `"unknown"` without any. */
  readonly health: string;
  /** Whether it is out of rotation for having failed too often. */
  readonly ejected: boolean;
  /** What an operator wants of it: `"ready"`, `"drain"` or `"down"`. */
  readonly state: EndpointState;
  /** Its share now: as an operator set it, or else as configured. */
  readonly weight: number;
  readonly backup: boolean;
  readonly connections_active: number;
  /** Connections made, and attempts that failed, since start. */
  readonly connections_total: number;
  readonly connect_failures_total: number;
  readonly ejections_total: number;
  /** Checks since the endpoint is known; absent without active checks. */
  readonly checks?: { readonly good: number; readonly bad: number };
}

/** The state of a listener. Its sums are since start, also of a listener of the same name that a reload replaced. */
export function listenerStatus(
  service: Service,
  open: { readonly bytesToBackend: number; readonly bytesToClient: number },
  removed: boolean,
): ListenerStatus {
  const { listener, settings, traffic } = service;
  const routes = settings.inspection?.router?.routes ?? [];
  return {
    name: listener.name,
    address: listener.address,
    backend: settings.target?.backend.name ?? null,
    routes: routes.map(({ name, target }) => ({ route: name, backend: target.backend.name })),
    paused: listener.paused && !removed,
    removed,
    connections_active: listener.active,
    connections_total: traffic.accepted,
    inspect_timeouts_total: traffic.inspectTimeouts,
    bytes_to_backend: traffic.endedBytesToBackend + open.bytesToBackend,
    bytes_to_client: traffic.endedBytesToClient + open.bytesToClient,
  };
}

/** The state of a backend and its endpoints; `health` are its active checks. */
export function backendStatus({
  backend,
  health,
}: {
  backend: Backend;
  health: HealthChecks | undefined;
}): BackendStatus {
  return {
    name: backend.name,
    available: backend.available,
    endpoints: backend.endpoints.map((endpoint) => {
      const checks = health?.counts(endpoint);
      return {
        address: endpoint.name,
        configured: endpoint.configured,
        health: endpoint.health,
        ejected: endpoint.ejected,
        state: endpoint.state,
        weight: endpoint.weight,
        backup: endpoint.settings.backup,
        connections_active: endpoint.active,
        connections_total: endpoint.connected,
        connect_failures_total: endpoint.failures,
        ejections_total: endpoint.ejections,
        ...(checks === undefined ? {} : { checks: { good: checks.good, bad: checks.bad } }),
      };
    }),
  };
}
