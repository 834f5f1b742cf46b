/** Reads the figures of the program: in one pass over the open connections, and nothing is kept. */
import type { Backend } from "../backend/backend.ts";
import type { Endpoint } from "../backend/endpoint.ts";
import type { HealthChecks } from "../backend/health/health-checks.ts";
import type { Service } from "../listener/service.ts";
import type { Session } from "../session/session.ts";
import type { Traffic } from "../stats/traffic.ts";
import type { BackendFigures, EndpointFigures, ListenerFigures, ProgramFigures, TimeoutKind } from "./figures.ts";

/** What figures are read from. */
export interface FiguresSource extends Pick<
  ProgramFigures,
  "ready" | "state" | "drainRemainingMs" | "version" | "reloads" | "traces" | "descriptors" | "connectionsMax"
> {
  readonly traffic: Traffic;
  /** Those that a reload has removed, and that still have connections, included. */
  readonly services: Iterable<Service>;
  readonly backends: ReadonlyMap<string, { readonly backend: Backend; readonly health: HealthChecks | undefined }>;
  readonly sessions: Iterable<Session>;
}

/** What the open connections of a listener have moved. */
export interface OpenBytes {
  bytesToBackend: number;
  bytesToClient: number;
}

/** The figures at this moment. */
export function programFigures(source: FiguresSource): ProgramFigures {
  const engines = { copy: 0, splice: 0 };
  const open = openBytes(source.sessions, engines);
  const { ready, state, drainRemainingMs, version, reloads, traces, descriptors, connectionsMax } = source;
  return {
    ready,
    state,
    drainRemainingMs,
    version,
    reloads,
    traces,
    descriptors,
    connectionsMax,
    engines,
    listeners: listenerFigures(source, open),
    backends: backendFigures(source),
    timeouts: timeoutFigures(source.traffic),
  };
}

/** By the name of the listener; adds to `engines`, where given, who moves the bytes of each. */
export function openBytes(
  sessions: Iterable<Session>,
  engines: Record<"copy" | "splice", number> = { copy: 0, splice: 0 },
): ReadonlyMap<string, OpenBytes> {
  const open = new Map<string, OpenBytes>();
  for (const session of sessions) {
    const { listener } = session.context;
    let bytes = open.get(listener);
    if (bytes === undefined) open.set(listener, (bytes = { bytesToBackend: 0, bytesToClient: 0 }));
    const { forwarder } = session;
    if (forwarder === undefined) continue;
    bytes.bytesToBackend += forwarder.toBackend.bytes;
    bytes.bytesToClient += forwarder.toClient.bytes;
    engines[forwarder.engine]++;
  }
  return open;
}

/** Of a listener without open connections. */
export const noBytes: Readonly<OpenBytes> = { bytesToBackend: 0, bytesToClient: 0 };

function listenerFigures(
  { traffic, services }: FiguresSource,
  open: ReadonlyMap<string, OpenBytes>,
): readonly ListenerFigures[] {
  const active = new Map<string, number>();
  for (const { name, listener } of services) active.set(name, (active.get(name) ?? 0) + listener.active);
  return [...traffic.listeners].map(([name, { ended, durations, endedBytesToBackend, endedBytesToClient }]) => {
    const { bytesToBackend, bytesToClient } = open.get(name) ?? noBytes;
    return {
      name,
      active: active.get(name) ?? 0,
      ended,
      durations,
      bytesToBackend: endedBytesToBackend + bytesToBackend,
      bytesToClient: endedBytesToClient + bytesToClient,
    };
  });
}

function backendFigures({ traffic, backends }: FiguresSource): readonly BackendFigures[] {
  // One that has had no connection yet has series too.
  for (const name of backends.keys()) traffic.backend(name);
  return [...traffic.backends].map(([name, { connects, firstBytes, retries }]) => {
    const running = backends.get(name);
    const endpoints = running?.backend.endpoints ?? [];
    return {
      name,
      connects,
      firstBytes,
      retries,
      endpoints: endpoints.map((endpoint) => endpointFigures(endpoint, running?.health)),
    };
  });
}

function endpointFigures(endpoint: Endpoint, health: HealthChecks | undefined): EndpointFigures {
  const { name, active, ejections, failuresByReason } = endpoint;
  return {
    name,
    up: !endpoint.isDown && !endpoint.ejected && endpoint.state === "ready",
    active,
    ejections,
    failures: failuresByReason,
    checks: health?.counts(endpoint),
  };
}

/** Those that end a connection are its end as well; the others are counted where they happen. */
function timeoutFigures({ listeners, backends }: Traffic): ReadonlyMap<TimeoutKind, number> {
  const timeouts = new Map<TimeoutKind, number>();
  const add = (kind: TimeoutKind, count: number): void => void timeouts.set(kind, (timeouts.get(kind) ?? 0) + count);
  for (const { connectTimeouts } of backends.values()) add("connect", connectTimeouts);
  for (const { ended, inspectTimeouts } of listeners.values()) {
    add("inspect", inspectTimeouts);
    for (const ends of ended.values()) {
      for (const [end, kind] of timeoutEnds) add(kind, ends.get(end) ?? 0);
    }
  }
  return timeouts;
}

const timeoutEnds: readonly (readonly [end: string, kind: TimeoutKind])[] = [
  ["response_timeout", "response"],
  ["idle_timeout", "idle"],
  ["half_closed_timeout", "half_closed"],
  ["lifetime", "lifetime"],
  ["drain_idle", "drain_idle"],
];
