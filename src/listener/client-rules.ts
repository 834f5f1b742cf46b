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
  #settings: ClientRuleSettings;
  /** Made when there first is a limit, and kept from then on: connections that it has counted are given back to it. */
  #connections: ConnectionsPerIp | undefined;
  #rate: RatePerIp | undefined;

  constructor(settings: ClientRuleSettings) {
    this.#settings = settings;
    this.#connections = settings.connectionsPerIp === 0 ? undefined : new ConnectionsPerIp(settings.connectionsPerIp);
    this.#rate = settings.ratePerIp === 0 ? undefined : new RatePerIp(settings.ratePerIp);
  }

  /**
   * Holds for clients from now on. What is known of them is kept where the limit stays; of connections that were open
   * before there was a limit nothing is known. Another rate begins with full buckets.
   */
  configure(settings: ClientRuleSettings): void {
    const { connectionsPerIp, ratePerIp } = settings;
    if (this.#connections !== undefined)
      this.#connections.configure(connectionsPerIp === 0 ? Infinity : connectionsPerIp);
    else if (connectionsPerIp > 0) this.#connections = new ConnectionsPerIp(connectionsPerIp);
    if (ratePerIp !== this.#settings.ratePerIp) this.#rate = ratePerIp === 0 ? undefined : new RatePerIp(ratePerIp);
    this.#settings = settings;
  }

  /** Whether clients that are admitted now have to be given back. */
  get countsConnections(): boolean {
    return this.#connections !== undefined;
  }

  /** Whether there is any rule: without, nobody need ask for a client's address. */
  get any(): boolean {
    const { allow, deny } = this.#settings;
    return !allow.empty || !deny.empty || this.#connections !== undefined || this.#rate !== undefined;
  }

  /** Takes a client, or says why not; it is given back when its connection is closed, if connections are counted. Denied ones use up no rate. */
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
