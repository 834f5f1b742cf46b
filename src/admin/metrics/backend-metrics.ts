/** The metrics of backends and their endpoints. Names, types and labels are part of the interface. */
import type { EndpointFigures, ProgramFigures } from "../figures.ts";
import { counter, gauge, histogram, type Metric } from "./metric.ts";

/** In the order of the exposition. */
export const backendMetrics: readonly Metric[] = [
  histogram(
    "sluice_connect_seconds",
    ["backend"],
    "How long the attempts took that brought a connection to an endpoint",
    ({ figures }) => figures.backends.map(({ name, connects }) => [connects, name]),
  ),
  histogram("sluice_first_byte_seconds", ["backend"], "From accept to the first byte to the client", ({ figures }) =>
    figures.backends.map(({ name, firstBytes }) => [firstBytes, name]),
  ),
  counter(
    "sluice_retries_total",
    ["backend"],
    "Attempts to reach an endpoint beyond the first one of a connection",
    ({ figures }) => figures.backends.map(({ name, retries }) => [retries, name]),
  ),
  gauge(
    "sluice_endpoint_up",
    ["backend", "endpoint"],
    "1: it gets clients; 0: it is down, ejected or taken out by an operator",
    ({ figures }) => byEndpoint(figures, ({ up }) => Number(up)),
  ),
  gauge(
    "sluice_endpoint_connections_active",
    ["backend", "endpoint"],
    "Connections that it has now, those being opened included",
    ({ figures }) => byEndpoint(figures, ({ active }) => active),
  ),
  counter(
    "sluice_endpoint_ejections_total",
    ["backend", "endpoint"],
    "How often it was taken out of rotation for failing",
    ({ figures }) => byEndpoint(figures, ({ ejections }) => ejections),
  ),
  counter(
    "sluice_connect_failures_total",
    ["backend", "endpoint", "reason"],
    "Attempts to reach it that failed: `refused`, `timeout`, `unreachable`, `tls`, or `local`, for our own lack of something",
    function* ({ figures }) {
      for (const { name, endpoints } of figures.backends) {
        for (const endpoint of endpoints) {
          for (const [reason, count] of endpoint.failures) yield [count, name, endpoint.name, reason];
        }
      }
    },
  ),
  counter(
    "sluice_health_checks_total",
    ["backend", "endpoint", "result"],
    "Active checks of it, `good`, `bad` or `inconclusive`; only with `[backend.health]`",
    function* ({ figures }) {
      for (const { name, endpoints } of figures.backends) {
        for (const { name: endpoint, checks } of endpoints) {
          if (checks === undefined) continue;
          yield [checks.good, name, endpoint, "good"];
          yield [checks.bad, name, endpoint, "bad"];
          yield [checks.inconclusive, name, endpoint, "inconclusive"];
        }
      }
    },
  ),
];

function* byEndpoint(
  { backends }: ProgramFigures,
  value: (endpoint: EndpointFigures) => number,
): Iterable<readonly [number, string, string]> {
  for (const { name, endpoints } of backends) {
    for (const endpoint of endpoints) yield [value(endpoint), name, endpoint.name];
  }
}
