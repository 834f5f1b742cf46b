/** What the page reads of the answers of the admin server. A test holds that the server's own types have all of it. */

/** Of `GET /status` and `event: status`. */
export interface StatusShown {
  readonly version: string;
  readonly bun: string;
  readonly uptime_ms: number;
  readonly state: "starting" | "ready" | "draining";
  readonly ready: boolean;
  readonly shutdown: { readonly remaining_ms: number | null } | null;
  readonly connections_active: number;
  readonly limits: { readonly connections: number };
  readonly listeners: readonly ListenerShown[];
  readonly backends: readonly BackendShown[];
}

/** A listener. */
export interface ListenerShown {
  readonly name: string;
  readonly address: string;
  readonly backend: string | null;
  readonly routes: readonly { readonly route: string; readonly backend: string }[];
  readonly paused: boolean;
  readonly removed: boolean;
  readonly connections_active: number;
  readonly connections_total: number;
  readonly bytes_to_backend: number;
  readonly bytes_to_client: number;
}

/** A backend. */
export interface BackendShown {
  readonly name: string;
  readonly available: boolean;
  readonly endpoints: readonly EndpointShown[];
}

/** An endpoint. */
export interface EndpointShown {
  readonly address: string;
  readonly configured: string;
  readonly health: string;
  readonly ejected: boolean;
  readonly state: "ready" | "drain" | "down";
  readonly weight: number;
  readonly backup: boolean;
  readonly connections_active: number;
  readonly connections_total: number;
  readonly connect_failures_total: number;
  readonly ejections_total: number;
}

/** An open connection, of `GET /connections`. */
export interface ConnectionShown {
  readonly id: number;
  readonly listener: string;
  readonly client: string;
  readonly backend: string | null;
  readonly endpoint: string | null;
  readonly route: string | null;
  readonly sni: string | null;
  readonly phase: string;
  readonly age_ms: number;
  readonly idle_ms: number;
  readonly bytes_to_backend: number;
  readonly bytes_to_client: number;
  readonly engine: string | null;
}

/** `GET /connections`. */
export interface ConnectionsShown {
  readonly total: number;
  readonly matching: number;
  readonly connections: readonly ConnectionShown[];
}
