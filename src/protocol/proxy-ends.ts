/** The two ends of a connection, as both versions of the PROXY header write them. */
import { ipBytes, readIp } from "../core/ip.ts";
import type { HostPort } from "./proxy-header.ts";

/** The highest port. */
export const portMax = 65_535;

/** Both addresses have 4 bytes, or both have 16. */
export interface Ends {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** `undefined` when an end is not known, or is no IP address and port. Of IPv4 and IPv6 together, the IPv4 address is mapped. */
export function endsOf(source: HostPort | undefined, destination: HostPort | undefined): Ends | undefined {
  if (source === undefined || destination === undefined || !isPort(source.port) || !isPort(destination.port)) {
    return undefined;
  }
  const from = new Uint8Array(ipBytes);
  const to = new Uint8Array(ipBytes);
  const fromFamily = readIp(source.host, from);
  const toFamily = readIp(destination.host, to);
  if (fromFamily === 0 || toFamily === 0) return undefined;
  // IPv4 is read as mapped; of two that are IPv4 the last four bytes say all.
  const start = fromFamily === 4 && toFamily === 4 ? ipBytes - 4 : 0;
  return {
    source: from.subarray(start),
    destination: to.subarray(start),
    sourcePort: source.port,
    destinationPort: destination.port,
  };
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 0 && port <= portMax;
}
