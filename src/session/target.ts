/** A target: where a session goes, and how its endpoints are spoken to. */
import type { Backend } from "../backend/backend.ts";
import type { Originator } from "../tls/originator.ts";

/** Which PROXY header an endpoint is sent. */
export type SendProxy = "off" | "v1" | "v2";

/** Shared by all sessions that go there; lives as long as its backend. */
export interface Target {
  readonly backend: Backend;
  /** The PROXY header that begins each connection, so that the endpoint learns who the client is. */
  readonly sendProxy: SendProxy;
  /** Whether the header goes through the TLS connection, as its first bytes, instead of in front of it. */
  readonly headerInsideTls: boolean;
  /** Speaks TLS to the endpoints; `undefined` where they are spoken to in plain. */
  readonly tls: Originator | undefined;
}
