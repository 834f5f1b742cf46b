/**
 * The PROXY header: what a proxy in front of us says about the connection it forwards, before the first byte of it
 * (HAProxy, "The PROXY protocol, versions 1 & 2", https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt).
 */
import type { Peek } from "./peek.ts";
import { peekProxyHeaderV1, proxyHeaderV1BytesMax } from "./proxy-header-v1.ts";
import { peekProxyHeaderV2, proxyHeaderV2BytesMax } from "./proxy-header-v2.ts";

/** One end of a TCP connection. */
export interface HostPort {
  /** An IP address in its canonical form, IPv4-mapped IPv6 as IPv4. */
  readonly host: string;
  /** 0 to 65,535. */
  readonly port: number;
}

/** Why the sender connected. */
export type ProxyCommand =
  /** On behalf of somebody else. */
  | "proxy"
  /** For itself, such as a health check; version 2 only. The connection is what it seems. */
  | "local";

/** Of what kind the forwarded connection is. */
export type ProxyFamily =
  /** TCP over IPv4. */
  | "tcp4"
  /** TCP over IPv6. */
  | "tcp6"
  /** A Unix socket; version 2 only. Its paths are not read. */
  | "unix"
  /** The sender does not say. */
  | "unknown";

/** What a header says. */
export interface ProxyHeader {
  readonly version: 1 | 2;
  readonly command: ProxyCommand;
  readonly family: ProxyFamily;
  /** Who connected to the sender; `undefined` when it is no TCP connection, or not said. */
  readonly source: HostPort | undefined;
  /** Where to; there whenever `source` is. */
  readonly destination: HostPort | undefined;
  /** The host that the client wants, most often the server name of its ClientHello, as the sender has it; version 2 only. */
  readonly authority: string | undefined;
  /** The protocol above TLS, each byte of its name a character (U+0000 to U+00FF); version 2 only. */
  readonly alpn: string | undefined;
}

/** The longest header in bytes: at so many it is decided. */
export const proxyHeaderBytesMax = Math.max(proxyHeaderV1BytesMax, proxyHeaderV2BytesMax);

/** Looks for a header of either version at the beginning of `bytes`; the first byte tells them apart. */
export function peekProxyHeader(bytes: Uint8Array): Peek<ProxyHeader> {
  return bytes[0] === firstOfV1 ? peekProxyHeaderV1(bytes) : peekProxyHeaderV2(bytes);
}

/** Of "PROXY". */
const firstOfV1 = 0x50;
