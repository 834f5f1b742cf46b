/** What the admin server shows of the program, and what it may ask of it. */
import type { EndpointState } from "../backend/endpoint.ts";
import type { ProgramFigures } from "./figures.ts";
import type { Status } from "./status.ts";

/** Implemented by the program. */
export interface AdminPort {
  /** Whether new connections should be sent here. */
  readonly ready: boolean;
  status(): Status;
  /** The figures behind metrics and dashboard. */
  figures(): ProgramFigures;
  /** The connections open now, oldest first; each is made when it is reached. */
  connections(): Iterable<ConnectionStatus>;
  /** Resets a connection, which ends with `closed_by_admin`; `false`: there is none with this id. */
  closeConnection(id: number): boolean;
  /** Changes an endpoint, called by its name (where it is dialled). */
  changeEndpoint(backend: string, endpoint: string, change: EndpointChange): "changed" | "no_backend" | "no_endpoint";
  /** Reads the configuration again and applies what has changed. Never rejects. */
  reload(): Promise<ReloadOutcome>;
  /** Begins a graceful shutdown; a second time changes nothing. */
  requestShutdown(): void;
}

/** An open connection. Field names are part of the interface. */
export interface ConnectionStatus {
  readonly id: number;
  readonly listener: string;
  /** Address and port of the client. */
  readonly client: string;
  /** `null` before it is chosen. */
  readonly backend: string | null;
  /** The endpoint of the last attempt; `null` when there was none. */
  readonly endpoint: string | null;
  readonly route: string | null;
  readonly sni: string | null;
  /** Where it is in its life: `inspecting`, `dialing`, `forwarding` or `closing`. */
  readonly phase: string;
  readonly age_ms: number;
  /** Since bytes last moved. */
  readonly idle_ms: number;
  readonly bytes_to_backend: number;
  readonly bytes_to_client: number;
  /** Who moves the bytes; `null` before they are moved. */
  readonly engine: string | null;
}

/** At least one of both. Lasts until the process ends, or for the weight until a reload brings another one. */
export interface EndpointChange {
  readonly state?: EndpointState;
  /** 0 to 1,000. */
  readonly weight?: number;
}

/** What came of a reload. */
export type ReloadOutcome =
  /** Done; `changes` and `needRestart` may be empty. */
  | {
      readonly kind: "applied";
      /** What changed, one line each: `listener.web.timeouts.idle: "1h" → "5m"`. */
      readonly changes: readonly string[];
      /** What differs, but holds only from the next start on. */
      readonly needRestart: readonly string[];
      readonly warnings: readonly string[];
    }
  /** Nothing was changed: the configuration is not valid, or can't be applied. Every problem that was found. */
  | { readonly kind: "invalid"; readonly problems: readonly string[] }
  /** Not now, or not at all: another one is under way, the program is about to end, there is no file. */
  | { readonly kind: "refused"; readonly why: string };
