/** How the endpoints of a backend are checked. */
import type { StatusRanges } from "./status-ranges.ts";

/** What a check does. */
export type CheckType =
  /** Connects (and, where the backend speaks TLS, shakes hands): that is all. */
  | "tcp"
  /** Sends an HTTP/1.1 request and judges the status. */
  | "http"
  /** Sends bytes and judges how the answer begins. */
  | "exchange";

/** What was configured as `[backend.health]`, with what else the checks of a backend depend on. */
export interface HealthSettings {
  readonly type: CheckType;
  /** http: the request target, with its query. `parsePath` has accepted it. */
  readonly path: string;
  /** http: the field `Host`; "" is the endpoint's own host and port. `parseHost` has accepted it. */
  readonly host: string;
  /** http: the statuses that are good. */
  readonly status: StatusRanges;
  /** exchange: what is sent; empty where the endpoint speaks first. */
  readonly send: Uint8Array;
  /** exchange: how the answer must begin; empty where none is asked for. */
  readonly expect: Uint8Array;
  /** From the beginning of a check to that of the next, in ms, above 0. */
  readonly intervalMs: number;
  /** How long a check may take, all in all, in ms, above 0. */
  readonly timeoutMs: number;
  /** Good checks in a row that make an endpoint up which was down; at least 1. */
  readonly rise: number;
  /** Bad checks in a row that make an endpoint down which was up; at least 1. */
  readonly fall: number;
  /** The PROXY header that each check begins with: one that says that the connection is our own. The dialer sends it. */
  readonly header: Uint8Array | undefined;
  /** Whether the header is the first thing inside of TLS instead of in front of it; says nothing where there is no TLS. */
  readonly headerInsideTls: boolean;
}
