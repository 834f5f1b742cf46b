/** The tables of `sluice top`: what their columns are, and which rows come first. */
import { bytesText, countText, rateText, timeText } from "./figures.ts";
import type { ConnectionSnapshot, EndpointSnapshot, ListenerSnapshot, Snapshot } from "./snapshot.ts";
import type { Cell, Column } from "./table.ts";
import type { Tone } from "./text.ts";

/** A table before it is fitted. */
export interface SectionTable {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
  /** Rows that are known of and not among these. */
  readonly missing: number;
}

/** Names may be cut to this many columns; addresses to what the longest one of IPv4 takes, since their end is the port. */
const nameColumnsMin = 8;
const addressColumnsMin = 21;

const name = (title: string, rank: number): Column => ({ title, align: "left", columnsMin: nameColumnsMin, rank });
const address = (title: string, rank: number): Column => ({
  title,
  align: "left",
  columnsMin: addressColumnsMin,
  rank,
});
const word = (title: string, rank: number): Column => ({ title, align: "left", columnsMin: "whole", rank });
const figure = (title: string, rank: number): Column => ({ title, align: "right", columnsMin: "whole", rank });

const listenerColumns: readonly Column[] = [
  name("LISTENER", 9),
  address("ADDRESS", 4),
  name("BACKEND", 2),
  word("LIMIT", 3),
  figure("ACTIVE", 8),
  figure("NEW/S", 7),
  figure("TO BACKENDS/S", 5),
  figure("TO CLIENTS/S", 6),
  figure("TOTAL", 1),
];

/** Listeners in their order. */
export function listenerTable({ listeners }: Snapshot): SectionTable {
  const row = (one: ListenerSnapshot): Cell[] => [
    { text: one.name, tone: "title" },
    { text: one.address },
    { text: one.backend },
    { text: one.paused ? "reached" : "", tone: "warning" },
    { text: countText(one.active) },
    { text: rateText(one.newRate) },
    { text: bytesText(one.toBackendRate) },
    { text: bytesText(one.toClientRate) },
    { text: countText(one.total) },
  ];
  return { columns: listenerColumns, rows: listeners.map(row), missing: 0 };
}

const endpointColumns: readonly Column[] = [
  name("BACKEND", 6),
  address("ENDPOINT", 9),
  word("STATE", 8),
  figure("ACTIVE", 7),
  figure("NEW/S", 5),
  figure("FAILED", 4),
  figure("EJECTED", 3),
  figure("WEIGHT", 1),
  figure("TOTAL", 2),
];

/** Endpoints in their order, those that get no clients first: they must be seen where there is no room for all. */
export function endpointTable({ endpoints }: Snapshot): SectionTable {
  const row = (one: EndpointSnapshot): Cell[] => [
    { text: one.backend, tone: "title" },
    { text: one.backup ? `${one.address} (backup)` : one.address },
    endpointState(one),
    { text: countText(one.active) },
    { text: rateText(one.newRate) },
    { text: countText(one.failures), ...(one.failureRate !== undefined && one.failureRate > 0 ? { tone: "bad" } : {}) },
    { text: countText(one.ejections) },
    { text: countText(one.weight) },
    { text: countText(one.total) },
  ];
  const inOrder = endpoints.toSorted((a, b) => Number(servesClients(a)) - Number(servesClients(b)));
  return { columns: endpointColumns, rows: inOrder.map(row), missing: 0 };
}

function servesClients({ state, ejected, health }: EndpointSnapshot): boolean {
  return !ejected && health !== "down" && state !== "down" && state !== "drain";
}

/** What keeps clients away comes before what does not; an operator's word before what was found. */
function endpointState({ state, ejected, health }: EndpointSnapshot): Cell {
  if (state === "drain" || state === "down")
    return { text: state === "down" ? "taken down" : "drain", tone: "warning" };
  if (health === "down") return { text: "down", tone: "bad" };
  if (ejected) return { text: "ejected", tone: "bad" };
  const tone: Tone = health === "up" ? "good" : "plain";
  return { text: health === "unknown" ? "unchecked" : health, tone };
}

const connectionColumns: readonly Column[] = [
  figure("CONNECTION", 3),
  address("CLIENT", 9),
  name("LISTENER", 4),
  address("ENDPOINT", 8),
  name("NAME", 2),
  word("PHASE", 1),
  figure("AGE", 7),
  figure("IDLE", 5),
  figure("TO BACKENDS/S", 6),
  figure("TO CLIENTS/S", 6),
];

/** Connections: those that move most, or those that are open longest, first. */
export function connectionTable({ connections, reading }: Snapshot, order: "busiest" | "oldest"): SectionTable {
  const moved = (one: ConnectionSnapshot): number => (one.toBackendRate ?? 0) + (one.toClientRate ?? 0);
  const inOrder = connections.toSorted((a, b) =>
    order === "busiest" ? moved(b) - moved(a) || b.ageMs - a.ageMs : b.ageMs - a.ageMs,
  );
  const row = (one: ConnectionSnapshot): Cell[] => [
    { text: String(one.id), tone: "faint" },
    { text: one.client },
    { text: one.listener },
    { text: one.endpoint === "" ? "-" : one.endpoint },
    { text: one.name },
    { text: one.phase },
    { text: timeText(one.ageMs) },
    { text: timeText(one.idleMs) },
    { text: bytesText(one.toBackendRate) },
    { text: bytesText(one.toClientRate) },
  ];
  // Only those at the top can be seen.
  const rows = inOrder.slice(0, connectionRowsMax).map(row);
  return {
    columns: connectionColumns,
    rows,
    missing: Math.max(reading.connections?.total ?? 0, rows.length) - rows.length,
  };
}

/** No terminal is higher. */
const connectionRowsMax = 500;
