/** An endpoint: one address of a backend, with what is known of it. */
import { formatAddress, type Address } from "../core/address.ts";
import { libc } from "../sys/libc.ts";

/** A TCP address whose host is an IP address: what can be dialled. */
export interface DialAddress {
  readonly host: string;
  readonly port: number;
}

/** Shared by all sessions; lives as long as its backend. */
export class Endpoint {
  /** As configured, `"db.internal:5432"`: the word in records. */
  readonly name: string;
  /** `sockaddr` of the C library, made once; `undefined` where there is no C library that we know. */
  readonly socketAddress: Uint8Array | undefined;
  /** Sessions that have, or are opening, a connection to this endpoint. */
  active = 0;
  /** Connections made since start. */
  connected = 0;
  /** Attempts that failed since start. */
  failures = 0;

  constructor(
    configured: Address,
    /** Where it is dialled: the configured address, its name resolved. */
    readonly dialAddress: DialAddress,
  ) {
    this.name = formatAddress(configured);
    this.socketAddress = libc?.socketAddress(dialAddress.host, dialAddress.port);
  }
}
