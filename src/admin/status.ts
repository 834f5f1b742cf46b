/** What `GET /status` answers: the state of the program in figures. Field names are part of the interface. */
import type { Backend } from "../backend/backend.ts";
import type { Listener } from "../listener/listener.ts";
import type { End } from "../session/end.ts";

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
  /** Connections open now. */
  readonly connections_active: number;
  readonly limits: { readonly connections: number; readonly overflow: string; readonly fds: number };
  readonly listeners: readonly ListenerStatus[];
  readonly backends: readonly BackendStatus[];
  /** Connections that ended since start, by reason; reasons that did not occur are left out. */
  readonly ended: Readonly<Partial<Record<End, number>>>;
}

interface ListenerStatus {
  readonly name: string;
  readonly address: string;
  readonly backend: string;
  /** Whether connections wait in the accept queue because `limits.connections` is reached. */
  readonly paused: boolean;
  readonly connections_active: number;
  /** Connections since start. */
  readonly connections_total: number;
  /** Bytes moved since start, those of open connections included. */
  readonly bytes_to_backend: number;
  readonly bytes_to_client: number;
}

interface BackendStatus {
  readonly name: string;
  readonly endpoints: readonly {
    readonly address: string;
    /** Where it is dialled: the address of its name. */
    readonly dialed: string;
    readonly connections_active: number;
    /** Connections made, and attempts that failed, since start. */
    readonly connections_total: number;
    readonly connect_failures_total: number;
  }[];
}

/** The state of a listener; `bytes` are those of its sessions, ended and open. */
export function listenerStatus(
  listener: Listener,
  backend: string,
  bytes: { readonly toBackend: number; readonly toClient: number },
): ListenerStatus {
  return {
    name: listener.name,
    address: listener.address,
    backend,
    paused: listener.paused,
    connections_active: listener.active,
    connections_total: listener.total,
    bytes_to_backend: bytes.toBackend,
    bytes_to_client: bytes.toClient,
  };
}

/** The state of a backend and its endpoints. */
export function backendStatus(backend: Backend): BackendStatus {
  return {
    name: backend.name,
    endpoints: backend.endpoints.map((endpoint) => ({
      address: endpoint.name,
      dialed: `${endpoint.dialAddress.host}:${endpoint.dialAddress.port}`,
      connections_active: endpoint.active,
      connections_total: endpoint.connected,
      connect_failures_total: endpoint.failures,
    })),
  };
}
