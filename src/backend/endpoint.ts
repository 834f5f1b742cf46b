/** An endpoint: one address of a backend, with what is known of it. */
import { formatAddress, type EndpointAddress } from "../core/address.ts";
import { unreachable } from "../core/assert.ts";
import { libc } from "../sys/libc.ts";
import type { DialFailureKind } from "./dial-failure.ts";
import { Ejection } from "./eject.ts";
import type { CheckCounts } from "./health/check-counts.ts";

/** What can be dialled: a TCP address whose host is an IP address, or a Unix socket. */
export type DialAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** What the configuration says of an endpoint. */
export interface EndpointSettings {
  /** Its part of the clients, relative to the others: 0 to 1,000. With 0 it gets none. */
  readonly weight: number;
  /** Whether it gets clients only when no other endpoint can. */
  readonly backup: boolean;
  /** Sessions at once; with so many it is passed over. 0 = no limit. */
  readonly connectionsMax: number;
}

/** What active checks say of an endpoint. */
export type Health =
  /** Not checked yet, or never: counts as up. */
  | "unknown"
  /** Answers. */
  | "up"
  /** Does not: gets no clients. */
  | "down";

/** What an operator wants of an endpoint, whatever its health is. */
export type EndpointState =
  /** It may get clients. */
  | "ready"
  /** It gets no new ones; those it has go on. */
  | "drain"
  /** As if checks had found it down: no new ones, and those it has are subject to `on_down`. */
  | "down";

/** The highest weight of an endpoint. */
export const weightMax = 1_000;

/** Shared by all sessions; outlives its removal from the backend as long as sessions hold it. */
export class Endpoint {
  /** What is dialled, `"10.0.0.5:5432"` or `"unix:/run/x.sock"`: the word in records and metrics. */
  readonly name: string;
  /** As configured, `"db.internal:5432"` or `"srv:_pg._tcp.example.com"`. */
  configured: string;
  /**
   * The configured host, for the names of TLS: of a service in DNS its domain, which DNS can't forge; `""` for a Unix
   * socket.
   */
  host: string;
  /** `sockaddr` of the C library, made once; `undefined` where there is no C library that we know. */
  readonly socketAddress: Uint8Array | undefined;
  /** Sessions that have, or are opening, a connection to this endpoint. */
  active = 0;
  /** Connections made since start. */
  connected = 0;
  /** Attempts that failed since start; for lack of something of our own does not count. */
  failures = 0;
  /** All attempts that failed since start, by their reason. */
  readonly failuresByReason = new Map<DialFailureKind, number>();
  /** Its checks since it is known; `undefined` while it has had none. */
  checks: CheckCounts | undefined = undefined;
  /** How often it was ejected. */
  ejections = 0;
  /** What follows is kept by its backend. */
  health: Health = "unknown";
  /** What the operator wants of it. */
  state: EndpointState = "ready";
  /** The weight that the operator wants in place of the configured one. */
  weightOverride: number | undefined = undefined;
  readonly ejection = new Ejection();
  /** When it returned to the rotation, while it warms up or did last. `undefined` when it never had to. */
  warmingSinceMs: number | undefined = undefined;
  /** Its place in its tier. */
  slot = -1;

  constructor(
    configured: EndpointAddress,
    /** Where it is dialled: the configured address, its name resolved. */
    readonly dialAddress: DialAddress,
    /** When they have changed, the set is given to the backend again. */
    public settings: EndpointSettings,
  ) {
    this.name = formatAddress(dialAddress);
    this.configured = formatAddress(configured);
    this.host = hostOf(configured);
    this.socketAddress =
      dialAddress.kind === "tcp"
        ? libc?.socketAddress(dialAddress.host, dialAddress.port)
        : libc?.unixAddress(dialAddress.path);
  }

  /** It is configured in another way now, under the same address. Then the set is given to the backend again. */
  configure(configured: EndpointAddress, settings: EndpointSettings): void {
    this.configured = formatAddress(configured);
    this.host = hostOf(configured);
    this.settings = settings;
  }

  /** Its part of the clients, relative to the others: as the operator wants it, or else as configured. */
  get weight(): number {
    return this.weightOverride ?? this.settings.weight;
  }

  /** Whether active checks or the operator say that it is down, to which `on_down` refers. */
  get isDown(): boolean {
    return this.health === "down" || this.state === "down";
  }

  /** Whether it is out of rotation after failures in a row. */
  get ejected(): boolean {
    return this.ejection.untilMs !== undefined;
  }

  /** Whether it may get clients as far as weight, health and the operator go. */
  get fit(): boolean {
    return this.weight > 0 && this.health !== "down" && this.state === "ready";
  }

  /** Whether it may get clients, unless it is full. */
  get inRotation(): boolean {
    return this.fit && !this.ejected;
  }
}

function hostOf(configured: EndpointAddress): string {
  switch (configured.kind) {
    case "tcp":
      return configured.host;
    case "srv":
      // Without the labels of service and protocol.
      return configured.name.replace(/^[^.]*\.[^.]*\./, "");
    case "unix":
      return "";
    default:
      return unreachable(configured);
  }
}
