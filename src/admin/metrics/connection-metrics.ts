/** The metrics of connections. Names, types and labels are part of the interface. */
import type { End } from "../../session/end.ts";
import { timeoutKinds } from "../figures.ts";
import { counter, gauge, histogram, type Metric } from "./metric.ts";

/** The ends of connections that a rule or a limit refused, before anything was done for them. */
const rejections: ReadonlySet<string> = new Set<End>([
  "denied",
  "limit_connections",
  "limit_listener",
  "limit_per_ip",
  "limit_rate",
]);

/** In the order of the exposition. */
export const connectionMetrics: readonly Metric[] = [
  gauge("sluice_connections_active", ["listener"], "Connections open now", ({ figures }) =>
    figures.listeners.map(({ name, active }) => [active, name]),
  ),
  counter(
    "sluice_connections_total",
    ["listener", "backend", "end"],
    'Connections that have ended, by the `end` of their access record; `backend=""`: none was chosen',
    function* ({ figures }) {
      for (const { name, ended } of figures.listeners) {
        for (const [backend, ends] of ended) for (const [end, count] of ends) yield [count, name, backend, end];
      }
    },
  ),
  counter(
    "sluice_connections_rejected_total",
    ["listener", "reason"],
    "Those of them that a rule or a limit refused; `reason` is their `end`",
    function* ({ figures }) {
      for (const { name, ended } of figures.listeners) {
        for (const [end, count] of rejected(ended)) yield [count, name, end];
      }
    },
  ),
  histogram(
    "sluice_connection_seconds",
    ["listener"],
    "How long connections lasted, from accept to the end",
    ({ figures }) => figures.listeners.map(({ name, durations }) => [durations, name]),
  ),
  counter(
    "sluice_bytes_total",
    ["listener", "direction"],
    "Bytes passed on, `to_backend` and `to_client`, those of open connections included",
    function* ({ figures }) {
      for (const { name, bytesToBackend, bytesToClient } of figures.listeners) {
        yield [bytesToBackend, name, "to_backend"];
        yield [bytesToClient, name, "to_client"];
      }
    },
  ),
  counter(
    "sluice_timeouts_total",
    ["kind"],
    "Timeouts that ended a connection or an attempt, by their key of `[timeouts]`; `drain_idle`: `shutdown.idle`",
    ({ figures }) => timeoutKinds.map((kind) => [figures.timeouts.get(kind) ?? 0, kind]),
  ),
  gauge(
    "sluice_forwarding_engine_connections",
    ["engine"],
    "Connections whose bytes are moved now, by who moves them: `copy`, `splice`",
    ({ figures: { engines } }) => [
      [engines.copy, "copy"],
      [engines.splice, "splice"],
    ],
  ),
];

function rejected(ended: ReadonlyMap<string, ReadonlyMap<string, number>>): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const ends of ended.values()) {
    for (const [end, count] of ends) if (rejections.has(end)) sums.set(end, (sums.get(end) ?? 0) + count);
  }
  return sums;
}
