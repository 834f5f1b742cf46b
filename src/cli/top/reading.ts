/**
 * What `sluice top` takes from the answers of the admin server. They come from outside: what is missing or of another type
 * is empty or zero, text is made harmless, and what is no status at all is said to be none.
 */
import { harmless } from "./text.ts";

/** One look at the program; totals count since its start. */
export interface Reading {
  readonly version: string;
  readonly pid: number;
  readonly uptimeMs: number;
  readonly state: string;
  /** While draining: milliseconds until connections are cut; `undefined` when not draining or without a deadline. */
  readonly drainRemainingMs: number | undefined;
  readonly active: number;
  /** 0 = unknown. */
  readonly connectionsMax: number;
  readonly listeners: readonly ListenerReading[];
  readonly endpoints: readonly EndpointReading[];
  readonly ended: ReadonlyMap<string, number>;
  /** `undefined` when they were not asked for, or could not be had. */
  readonly connections: ConnectionsReading | undefined;
}

/** Of a listener. */
export interface ListenerReading {
  readonly name: string;
  readonly address: string;
  readonly backend: string;
  readonly paused: boolean;
  readonly active: number;
  readonly total: number;
  readonly toBackend: number;
  readonly toClient: number;
}

/** Of an endpoint in its backend. */
export interface EndpointReading {
  readonly backend: string;
  readonly address: string;
  readonly health: string;
  /** What an operator wants of it: `ready`, `drain` or `down`. */
  readonly state: string;
  readonly ejected: boolean;
  readonly backup: boolean;
  readonly weight: number;
  readonly active: number;
  readonly total: number;
  readonly failures: number;
  readonly ejections: number;
}

/** Connections that are open, as far as they were listed. */
export interface ConnectionsReading {
  /** All that are open. */
  readonly total: number;
  readonly listed: readonly ConnectionReading[];
}

/** An open connection. */
export interface ConnectionReading {
  readonly id: number;
  readonly listener: string;
  readonly client: string;
  readonly backend: string;
  readonly endpoint: string;
  /** The server name that the client asked for, else its route. */
  readonly name: string;
  readonly phase: string;
  readonly ageMs: number;
  readonly idleMs: number;
  readonly toBackend: number;
  readonly toClient: number;
}

/** Reads the answers to `/status` and, where they were asked for, `/connections`; `undefined` for no status of sluice. */
export function reading(status: string, connections: string | undefined): Reading | undefined {
  const value = parsed(status);
  // What every version has had, and hardly anything else has.
  if (
    !Array.isArray(value["listeners"]) ||
    !Array.isArray(value["backends"]) ||
    typeof value["uptime_ms"] !== "number"
  ) {
    return undefined;
  }
  return {
    version: text(value["version"]),
    pid: figure(value["pid"]),
    uptimeMs: figure(value["uptime_ms"]),
    state: text(value["state"]),
    drainRemainingMs: figureOrNone(table(value["shutdown"])["remaining_ms"]),
    active: figure(value["connections_active"]),
    connectionsMax: figure(table(value["limits"])["connections"]),
    listeners: listenerReadings(list(value["listeners"])),
    endpoints: list(value["backends"]).flatMap((backend) =>
      list(backend["endpoints"]).map((endpoint) => endpointReading(text(backend["name"]), endpoint)),
    ),
    ended: new Map(Object.entries(table(value["ended"])).map(([end, count]) => [harmless(end), figure(count)])),
    connections: connections === undefined ? undefined : connectionsReading(connections),
  };
}

type Table = Readonly<Record<string, unknown>>;

/** One that a reload has removed is left out where another one has its name: the sums are those of the name. */
function listenerReadings(values: readonly Table[]): readonly ListenerReading[] {
  const present = new Set(values.filter(({ removed }) => removed !== true).map(({ name }) => name));
  return values.filter(({ removed, name }) => removed !== true || !present.has(name)).map(listenerReading);
}

function listenerReading(value: Table): ListenerReading {
  return {
    name: text(value["name"]),
    address: text(value["address"]),
    backend: text(value["backend"]),
    paused: value["paused"] === true,
    active: figure(value["connections_active"]),
    total: figure(value["connections_total"]),
    toBackend: figure(value["bytes_to_backend"]),
    toClient: figure(value["bytes_to_client"]),
  };
}

function endpointReading(backend: string, value: Table): EndpointReading {
  return {
    backend,
    address: text(value["address"]),
    health: text(value["health"]),
    state: text(value["state"]),
    ejected: value["ejected"] === true,
    backup: value["backup"] === true,
    weight: figure(value["weight"]),
    active: figure(value["connections_active"]),
    total: figure(value["connections_total"]),
    failures: figure(value["connect_failures_total"]),
    ejections: figure(value["ejections_total"]),
  };
}

function connectionsReading(body: string): ConnectionsReading | undefined {
  const value = parsed(body);
  if (!Array.isArray(value["connections"])) return undefined;
  const listed = list(value["connections"]).map((connection) => ({
    id: figure(connection["id"]),
    listener: text(connection["listener"]),
    client: text(connection["client"]),
    backend: text(connection["backend"]),
    endpoint: text(connection["endpoint"]),
    name: text(connection["sni"]) || text(connection["route"]),
    phase: text(connection["phase"]),
    ageMs: figure(connection["age_ms"]),
    idleMs: figure(connection["idle_ms"]),
    toBackend: figure(connection["bytes_to_backend"]),
    toClient: figure(connection["bytes_to_client"]),
  }));
  return { total: Math.max(figure(value["total"]), listed.length), listed };
}

function parsed(body: string): Table {
  try {
    return table(JSON.parse(body));
  } catch {
    return {};
  }
}

function table(value: unknown): Table {
  return typeof value === "object" && value !== null ? (value as Table) : {};
}

function list(value: unknown): Table[] {
  return Array.isArray(value) ? value.map(table) : [];
}

/** The longest text that is kept; nothing shows more of one. */
const textCharsMax = 512;

function text(value: unknown): string {
  return typeof value === "string" ? harmless(value.slice(0, textCharsMax)) : "";
}

function figure(value: unknown): number {
  return figureOrNone(value) ?? 0;
}

function figureOrNone(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;
}
