/** Why a session ended: a closed list, the same word in metric, log and trace. Set once; the first wins. */

/** Every reason, with the sentence that documents it. */
export const ENDS = {
  client_finished: "both sides finished, the client first",
  backend_finished: "both sides finished, the backend first",
  client_reset: "the client reset the connection or died",
  backend_reset: "the backend reset the connection or died",
  connect_refused: "every endpoint tried refused the connection",
  connect_timeout: "no endpoint answered within timeouts.connect",
  connect_failed: "no endpoint could be reached, for another reason",
  response_timeout: "the client had sent bytes and the backend not one within timeouts.response",
  idle_timeout: "no byte moved in either direction for timeouts.idle",
  half_closed_timeout: "one side had finished, and no byte moved in the other direction for timeouts.half_closed",
  lifetime: "the connection was older than timeouts.lifetime",
  no_endpoint:
    "no endpoint of the backend could be tried: all are down, ejected or without weight, or the name has no address",
  inspect_timeout: "the PROXY header or the TLS handshake was not complete within timeouts.inspect",
  inspect_failed: "the client finished before its PROXY header or its TLS handshake was complete",
  no_route: "no route matched, and the listener has no backend for the rest",
  proxy_header_invalid: "the client's first bytes were no valid PROXY header",
  tls_failed: "the TLS handshake failed, with the client or with every endpoint tried; the record has the reason",
  denied: "the client's address is not allowed, or is not trusted to send a PROXY header",
  limit_connections: 'limits.connections was reached and limits.overflow is "reject"',
  limit_listener: 'the connections of the listener were reached and limits.overflow is "reject"',
  limit_per_ip: "the listener's connections_per_ip were reached by the client's address",
  limit_rate: "the listener's rate_per_ip was exceeded by the client's address",
  limit_endpoint: "every endpoint of the backend that could be tried has as many connections as it may",
  endpoint_down: 'the endpoint went down and the backend\'s on_down is "close"',
  closed_by_admin: "an operator closed it through the admin server",
  drain_idle: "silent for shutdown.idle while draining",
  drain_deadline: "cut when shutdown.drain was over",
  forced: "cut by a second signal",
  internal_error: "a mistake in sluice itself; an error line with the stack precedes the record",
} as const;

/** The words themselves. */
export type End = keyof typeof ENDS;

/** The timeouts that end a session, each with a word of its own. */
export type TimeoutEnd = Extract<
  End,
  | "inspect_timeout"
  | "connect_timeout"
  | "response_timeout"
  | "idle_timeout"
  | "half_closed_timeout"
  | "lifetime"
  | "drain_idle"
>;
