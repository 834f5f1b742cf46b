/** The metrics of the program as a whole. Names, types and labels are part of the interface. */
import type { ProgramFigures } from "../figures.ts";
import type { ProgramState } from "../status.ts";
import { counter, gauge, type Metric } from "./metric.ts";

const states: readonly ProgramState[] = ["starting", "ready", "draining"];

/** In the order of the exposition. */
export const programMetrics: readonly Metric[] = [
  gauge("sluice_ready", [], "1: new connections should be sent here, as `/readyz` says", ({ figures }) => [
    [Number(figures.ready)],
  ]),
  gauge(
    "sluice_state",
    ["state"],
    "1 for the state that it is in, 0 for the others: `starting`, `ready`, `draining`",
    ({ figures }) => states.map((state) => [Number(state === figures.state), state]),
  ),
  gauge(
    "sluice_drain_remaining",
    [],
    "Seconds until open connections are cut; 0 when not draining, `+Inf` without a deadline",
    ({ figures }) => [[(figures.drainRemainingMs ?? 0) / 1000]],
  ),
  counter(
    "sluice_reloads_total",
    ["result"],
    "Reloads of the configuration: `applied`, `invalid` (nothing was changed), `refused` (not now)",
    ({ figures: { reloads } }) => [
      [reloads.applied, "applied"],
      [reloads.invalid, "invalid"],
      [reloads.refused, "refused"],
    ],
  ),
  counter(
    "sluice_trace_spans_total",
    ["result"],
    "Spans: `exported`, `dropped` (too many waited), `failed` (the collector did not take them); only with `[tracing]`",
    ({ figures: { traces } }) =>
      traces === undefined
        ? []
        : [
            [traces.exported, "exported"],
            [traces.dropped, "dropped"],
            [traces.failed, "failed"],
          ],
  ),
  gauge("sluice_connections_max", [], "Connections at once that are let in (`limits.connections`)", ({ figures }) => [
    [figures.connectionsMax],
  ]),
  gauge("sluice_open_fds", [], "Open file descriptors; on Linux alone", ({ figures }) => openDescriptors(figures)),
  gauge("sluice_max_fds", [], "File descriptors that the process may have open", ({ figures }) => [
    [figures.descriptors.max],
  ]),
  gauge("sluice_build_info", ["version", "bun"], "Always 1; the labels tell what runs", ({ figures }) => [
    [1, figures.version, Bun.version],
  ]),
];

/** The one series of open descriptors; none where the system does not tell. */
export function openDescriptors({ descriptors: { open } }: ProgramFigures): readonly (readonly [number])[] {
  return Number.isNaN(open) ? [] : [[open]];
}
