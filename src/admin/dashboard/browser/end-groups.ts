/** The reasons for which connections end, in groups: thirty curves would say nothing. */

/** The groups, in the order of their curves. */
export const endGroups = [
  /** Both sides finished. */
  "finished",
  /** One side reset the connection or died. */
  "reset",
  /** No endpoint could be reached or tried. */
  "not connected",
  /** A timeout of ours. */
  "timed out",
  /** Not let in: limits, rules, or an opening that could not be served. */
  "refused",
  /** Ended by an operator, a drain or a check. */
  "cut",
  /** A mistake in sluice. */
  "internal error",
] as const;

/** One of them. */
export type EndGroup = (typeof endGroups)[number];

const groups: Readonly<Record<string, EndGroup>> = {
  client_finished: "finished",
  backend_finished: "finished",
  client_reset: "reset",
  backend_reset: "reset",
  connect_refused: "not connected",
  connect_timeout: "not connected",
  connect_failed: "not connected",
  no_endpoint: "not connected",
  limit_endpoint: "not connected",
  response_timeout: "timed out",
  idle_timeout: "timed out",
  half_closed_timeout: "timed out",
  lifetime: "timed out",
  inspect_timeout: "timed out",
  inspect_failed: "refused",
  no_route: "refused",
  proxy_header_invalid: "refused",
  tls_failed: "refused",
  denied: "refused",
  limit_connections: "refused",
  limit_listener: "refused",
  limit_per_ip: "refused",
  limit_rate: "refused",
  endpoint_down: "cut",
  closed_by_admin: "cut",
  drain_idle: "cut",
  drain_deadline: "cut",
  forced: "cut",
  internal_error: "internal error",
};

/** The group of a reason; `undefined` of one that is not on the list. */
export function endGroupOf(end: string): EndGroup | undefined {
  return Object.hasOwn(groups, end) ? groups[end] : undefined;
}
