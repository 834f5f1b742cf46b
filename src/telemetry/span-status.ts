/**
 * Which ends of connections are errors in a trace. As with HTTP servers (OpenTelemetry semantic conventions), what a
 * client does, or is refused for its own doing, is none: an error is what somebody who runs the proxy or a backend may
 * have to look at. The word itself is always there, as `sluice.end`.
 */

/** Status and its reason by end. A test holds that every end is here. */
export const spanStatuses: Readonly<Record<string, { readonly status: "unset" | "error"; readonly why: string }>> = {
  client_finished: { status: "unset", why: "both sides finished" },
  backend_finished: { status: "unset", why: "both sides finished" },
  client_reset: { status: "unset", why: "the client gave up, which is its right" },
  backend_reset: { status: "error", why: "the backend broke a connection off" },
  connect_refused: { status: "error", why: "the client got no backend" },
  connect_timeout: { status: "error", why: "the client got no backend" },
  connect_failed: { status: "error", why: "the client got no backend" },
  response_timeout: { status: "error", why: "the backend left the client without an answer" },
  idle_timeout: { status: "unset", why: "nobody had anything to say: the usual end of what is forgotten" },
  half_closed_timeout: { status: "error", why: "one side never finished, and what it still had to say is lost" },
  lifetime: { status: "unset", why: "the configured age was reached" },
  no_endpoint: { status: "error", why: "the client got no backend" },
  inspect_timeout: { status: "unset", why: "the client did not say in time what it wants" },
  inspect_failed: { status: "unset", why: "the client left before it said what it wants" },
  no_route: { status: "unset", why: "the client asked for what nobody offers" },
  proxy_header_invalid: { status: "unset", why: "the client sent rubbish" },
  tls_failed: { status: "error", why: "a certificate may be wrong, on any of the sides" },
  denied: { status: "unset", why: "the client may not come in" },
  limit_connections: { status: "error", why: "the proxy was full" },
  limit_listener: { status: "error", why: "the listener was full" },
  limit_per_ip: { status: "unset", why: "the client had as many connections as it may" },
  limit_rate: { status: "unset", why: "the client came more often than it may" },
  limit_endpoint: { status: "error", why: "the backend was full" },
  endpoint_down: { status: "error", why: "its endpoint went down, and it was cut" },
  closed_by_admin: { status: "unset", why: "an operator wanted it" },
  drain_idle: { status: "unset", why: "it was silent when the proxy had to end" },
  drain_deadline: { status: "error", why: "it was cut in the middle" },
  forced: { status: "error", why: "it was cut in the middle" },
  internal_error: { status: "error", why: "a mistake in sluice" },
};

/** Whether connections with this end are errors; an end that is not known is one. */
export function isErrorEnd(end: string): boolean {
  return spanStatuses[end]?.status !== "unset";
}
