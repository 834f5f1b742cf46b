/** The two ends of a connection, as both versions of the PROXY header write them. */
import { ipBytes } from "./ip-text.ts";
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
  const from = ipBytes(source.host);
  const to = ipBytes(destination.host);
  if (from === undefined || to === undefined) return undefined;
  const isMixed = from.length !== to.length;
  return {
    source: isMixed ? mapped(from) : from,
    destination: isMixed ? mapped(to) : to,
    sourcePort: source.port,
    destinationPort: destination.port,
  };
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 0 && port <= portMax;
}

/** An IPv4 address within IPv6, ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2); 16 bytes stay as they are. */
function mapped(ip: Uint8Array): Uint8Array {
  if (ip.length === 16) return ip;
  const bytes = new Uint8Array(16);
  bytes.fill(0xff, 10, 12);
  bytes.set(ip, 12);
  return bytes;
}
