/** What `GET /connections` tells of an open connection. */
import type { Session } from "../session/session.ts";
import type { ConnectionStatus } from "./admin-port.ts";

/** The connection of a session at this moment. */
export function connectionStatus(session: Session): ConnectionStatus {
  const { id, listener, client, backend, endpoint, route, sni, ...figures } = session.record();
  return {
    id,
    listener,
    client,
    backend,
    endpoint,
    route,
    sni,
    phase: session.phase,
    age_ms: Math.round(figures.duration_ms),
    idle_ms: Math.round(session.idleMs),
    bytes_to_backend: figures.bytes_to_backend,
    bytes_to_client: figures.bytes_to_client,
    engine: figures.engine,
  };
}
