/** Which clients a listener takes, by their addresses: CIDRs, new connections a second, connections at once. */
import type { CidrSet } from "../core/cidr.ts";
import { ConnectionsPerIp } from "./connections-per-ip.ts";
import { RatePerIp } from "./rate-per-ip.ts";

/** What a listener is configured with. */
export interface ClientRuleSettings {
  /** Who may connect; empty = all. */
  readonly allow: CidrSet;
  /** Who may not, even if allowed. */
  readonly deny: CidrSet;
  /** Connections at once from one address; 0 = no limit. */
  readonly connectionsPerIp: number;
  /** New connections a second from one address; 0 = no limit. */
  readonly ratePerIp: number;
}

/** Why a client is not taken: the word for its end. */
export type Refusal = "denied" | "limit_rate" | "limit_per_ip";

/** One for each listener. A client without an address, that of a Unix socket, is subject to none of it. */
export class ClientRules {
  readonly #settings: ClientRuleSettings;
  readonly #connections: ConnectionsPerIp | undefined;
  readonly #rate: RatePerIp | undefined;

  constructor(settings: ClientRuleSettings) {
    this.#settings = settings;
    this.#connections = settings.connectionsPerIp === 0 ? undefined : new ConnectionsPerIp(settings.connectionsPerIp);
    this.#rate = settings.ratePerIp === 0 ? undefined : new RatePerIp(settings.ratePerIp);
  }

  /** Whether there is any rule: without, nobody need ask for a client's address. */
  get any(): boolean {
    const { allow, deny } = this.#settings;
    return !allow.empty || !deny.empty || this.#connections !== undefined || this.#rate !== undefined;
  }

  /** Takes a client, who gives back when its connection is closed, or says why not. Denied ones use up no rate. */
  admit(host: string, nowMs: number): Refusal | undefined {
    if (host === "") return undefined;
    const { allow, deny } = this.#settings;
    if (deny.has(host) || (!allow.empty && !allow.has(host))) return "denied";
    if (this.#rate?.take(host, nowMs) === false) return "limit_rate";
    if (this.#connections?.take(host) === false) return "limit_per_ip";
    return undefined;
  }

  /** Drops what is remembered of clients that may do everything again; without it that waits for the next client. */
  forget(nowMs: number): void {
    this.#rate?.forget(nowMs);
  }

  /** The connection of a client that was admitted is closed. */
  giveBack(host: string): void {
    if (host !== "") this.#connections?.giveBack(host);
  }
}
