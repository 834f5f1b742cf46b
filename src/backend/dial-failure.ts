/** Why an attempt to reach an endpoint failed, and whose fault that was. */

/** Why an attempt failed. `code` is the system's word for it (`"ECONNREFUSED"`), or of TLS a few words, for logs. */
export interface DialFailure {
  readonly kind:
    /** Nobody listens there. */
    | "refused"
    /** The kernel gave up waiting for an answer. */
    | "timeout"
    /** No route, reset while connecting, and all else that the network answered. */
    | "unreachable"
    /** The TLS handshake failed, or the certificate did not pass. */
    | "tls"
    /** Our own fault: no descriptor, port or memory left. Says nothing about the endpoint. */
    | "local";
  readonly code: string;
}

/** Of a Unix socket EAGAIN means that as many wait there as may (connect(2)): its own lack, not ours. */
export const backlogFull: DialFailure = { kind: "unreachable", code: "EAGAIN" };

/** The failure that the system has this word for. */
export function failureOf(code: string): DialFailure {
  return { kind: kinds[code] ?? "unreachable", code };
}

const kinds: Readonly<Record<string, DialFailure["kind"]>> = {
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
