/** The loads as a table. A new load is a new row. */
import { driven } from "./driven.ts";
import type { Drive, DriveReport } from "./generator.ts";
import { idle } from "./idle.ts";
import type { Column, Figure, Figures, Kind, Load } from "./load.ts";
import { haproxyName, spliceName } from "./peer.ts";
import { soak } from "./soak.ts";

const toHaproxy: readonly string[] = [haproxyName];
const toBoth: readonly string[] = [haproxyName, spliceName];

const busy = plain("busy", "core busy %", 0);
const resident = plain("residentMb", "resident MB", 1);
const p50 = plain("p50Us", "p50 µs", 0);
const p99 = plain("p99Us", "p99 µs", 0);
const p999 = plain("p999Us", "p99.9 µs", 0);
const bulkColumns: readonly Column[] = [
  { figure: "rate", title: "Gb/s", digits: 1, ratiosTo: toBoth },
  { figure: "cpu", title: "CPU-s/GiB", digits: 3, ratiosTo: toBoth },
  busy,
  resident,
];
const pingPongColumns: readonly Column[] = [
  { figure: "rate", title: "k round trips/s", digits: 1, ratiosTo: toHaproxy },
  { figure: "cpu", title: "CPU µs/round trip", digits: 2, ratiosTo: toHaproxy },
  p50,
  p99,
  p999,
  busy,
  resident,
];
const connectColumns: readonly Column[] = [
  { figure: "rate", title: "k connections/s", digits: 2, ratiosTo: toHaproxy },
  { figure: "cpu", title: "CPU µs/connection", digits: 1, ratiosTo: toHaproxy },
  p50,
  p99,
  p999,
  busy,
  resident,
];
const mixedColumns: readonly Column[] = [
  { figure: "rate", title: "k round trips/s", digits: 1, ratiosTo: toBoth },
  p50,
  { ...p99, ratiosTo: toBoth },
  p999,
  { figure: "bulkRate", title: "Gb/s", digits: 1, ratiosTo: toBoth },
  { figure: "cpu", title: "CPU-s/GiB", digits: 3, ratiosTo: toBoth },
  busy,
  resident,
];

/** Every load, in the order of the report. */
export const loads: readonly Load[] = [
  bulk("bulk down, 1 flow", "bulk-down", 1),
  bulk("bulk down, 8 flows", "bulk-down", 8),
  bulk("bulk up, 1 flow", "bulk-up", 1),
  bulk("bulk up, 8 flows", "bulk-up", 8),
  pingPong("ping-pong 64 B, 1 connection", 1, 64),
  pingPong("ping-pong 64 B, 64 connections", 64, 64),
  pingPong("ping-pong 64 B, 512 connections", 512, 64),
  pingPong("ping-pong 16 KiB, 64 connections", 64, 16 * 1024),
  connect("connect, 32 at once", 32),
  mixed("mixed, 4 bulk flows and 16 ping-pong connections"),
  idle("idle"),
  soak("soak"),
];

/** The kinds there are, in the order of the report. */
export const kinds: readonly Kind[] = [...new Set(loads.map((load) => load.kind))];

function plain(figure: Figure, title: string, digits: number): Column {
  return { figure, title, digits, ratiosTo: [] };
}

function bulk(name: string, drive: Drive, flows: number): Load {
  const about = { kind: "bulk", name, columns: bulkColumns, fillsCore: true } as const;
  return driven(about, [{ drive, connections: flows }], ([report]) => ({
    figures: { rate: gigabits(report!) },
    unitsForCpu: report!.bytes / 2 ** 30,
  }));
}

function pingPong(name: string, connections: number, bytes: number): Load {
  const about = { kind: "ping-pong", name, columns: pingPongColumns, fillsCore: connections > 1 } as const;
  return driven(about, [{ drive: "ping-pong", connections, bytes }], ([report]) => operations(report!));
}

function connect(name: string, connections: number): Load {
  const about = { kind: "connect", name, columns: connectColumns, fillsCore: true } as const;
  return driven(about, [{ drive: "connect", connections }], ([report]) => operations(report!));
}

function mixed(name: string): Load {
  // Without a proxy round trips are served first and take what bulk would have got, so neither rate can be compared.
  const about = { kind: "mixed", name, columns: mixedColumns, fillsCore: true, limitedBy: undefined } as const;
  const parts = [
    { drive: "bulk-down", connections: 4 },
    { drive: "ping-pong", connections: 16, bytes: 64 },
  ] as const;
  return driven(about, parts, ([flows, chats]) => ({
    figures: { ...operations(chats!).figures, bulkRate: gigabits(flows!) },
    unitsForCpu: (flows!.bytes + chats!.bytes) / 2 ** 30,
  }));
}

function gigabits(report: DriveReport): number {
  return (report.measuredBytes * 8) / report.seconds / 1e9;
}

function operations(report: DriveReport): { figures: Figures; unitsForCpu: number } {
  const { p50Us, p99Us, p999Us } = report;
  // Without one round trip there is no latency.
  const latency = p50Us === 0 ? {} : { p50Us, p99Us, p999Us };
  return {
    figures: { rate: report.measuredOperations / report.seconds / 1000, ...latency },
    unitsForCpu: report.operations / 1e6,
  };
}
