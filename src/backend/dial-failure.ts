/** Why an attempt to reach an endpoint failed, and whose fault that was. */

/** The kinds of failures; as `reason` in metrics. */
export type DialFailureKind =
  /** Nobody listens there. */
  | "refused"
  /** The kernel, or we, gave up waiting for an answer. */
  | "timeout"
  /** No route, reset while connecting, and all else that the network answered. */
  | "unreachable"
  /** The TLS handshake failed, or the certificate did not pass. */
  | "tls"
  /** Our own fault: no descriptor, port or memory left. Says nothing about the endpoint. */
  | "local";

/** Why an attempt failed. `code` is the system's word for it (`"ECONNREFUSED"`), or of TLS a few words, for logs. */
export interface DialFailure {
  readonly kind: DialFailureKind;
  readonly code: string;
}

/** Of a Unix socket EAGAIN means that as many wait there as may (connect(2)): its own lack, not ours. */
export const backlogFull: DialFailure = { kind: "unreachable", code: "EAGAIN" };

/** The failure that the system has this word for. */
export function failureOf(code: string): DialFailure {
  return { kind: kinds[code] ?? "unreachable", code };
}

const kinds: Readonly<Record<string, DialFailureKind>> = {
  ECONNREFUSED: "refused",
  // A Unix socket whose file is not there.
  ENOENT: "refused",
  ETIMEDOUT: "timeout",
  EMFILE: "local",
  ENFILE: "local",
  ENOMEM: "local",
  ENOBUFS: "local",
  // No local port left for this destination (connect(2)).
  EADDRNOTAVAIL: "local",
  EAGAIN: "local",
};
