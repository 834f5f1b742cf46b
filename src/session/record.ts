/** The access record: one for each connection, made at its end. Field names are those of the log. */
import type { Engine } from "../forward/forwarder.ts";
import type { ProxySocket } from "../forward/receiver.ts";
import { canonicalHost, formatAddress } from "../core/address.ts";
import { libc } from "../sys/libc.ts";
import type { End } from "./end.ts";

/** What is known of a connection when it is over. */
export interface AccessRecord {
  /** Counts up from 1 in this process. */
  readonly id: number;
  readonly listener: string;
  /** Address and port of the client, `"127.0.0.1:50412"`. */
  readonly client: string;
  /** `null` when the session ended before a backend was chosen. */
  readonly backend: string | null;
  /** The endpoint of the last attempt; `null` when there was none. */
  readonly endpoint: string | null;
  /** The route that sent it there, by its conditions; `null` when the listener has none or none matched. */
  readonly route: string | null;
  /** The server name the client asked for by TLS, where it was looked at or its PROXY header tells; else `null`. */
  readonly sni: string | null;
  /** Bytes of the client that the backend's kernel connection took. */
  readonly bytes_to_backend: number;
  /** Bytes of the backend that the client's kernel connection took. */
  readonly bytes_to_client: number;
  /** How long the successful attempt took, in ms; `null` when none succeeded. */
  readonly connect_ms: number | null;
  /** From accept to the first byte to the client, in ms; `null` when there was none. */
  readonly first_byte_ms: number | null;
  /** From accept to the moment both sockets were closed, in ms. */
  readonly duration_ms: number;
  /** Endpoints tried. */
  readonly attempts: number;
  /** Who moved the bytes; `null` when forwarding never began. */
  readonly engine: Engine | null;
  readonly end: End;
  /** What exactly was wrong, in a few words: of TLS, of a PROXY header, of the last attempt to connect. Left out otherwise. */
  readonly reason?: string | undefined;
  /** The subject of the client's certificate, where one was asked for and verified. Left out otherwise. */
  readonly client_cert?: string | undefined;
}

/** The record of a connection that was reset when it was accepted. */
export function rejectedRecord(id: number, listener: string, client: string, end: End): AccessRecord {
  return {
    id,
    listener,
    client,
    backend: null,
    endpoint: null,
    route: null,
    sni: null,
    bytes_to_backend: 0,
    bytes_to_client: 0,
    connect_ms: null,
    first_byte_ms: null,
    duration_ms: 0,
    attempts: 0,
    engine: null,
    end,
  };
}

/** Milliseconds with three decimals: what the clock is good for. */
export function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** Address and port of a client; IPv6 in brackets. One that had reset before it was accepted has none any more. */
export function clientAddress(socket: ProxySocket): string {
  if (socket.fd < 0) return "unknown";
  // Bun asks the kernel once for each of the two below, and makes a string of its answer each time (Bun 1.4.5).
  const peer = libc?.peerOf(socket.fd);
  if (peer !== undefined) return peer;
  // The types have no `undefined` here (Bun 1.4.5).
  const { remoteAddress, remotePort }: { remoteAddress: string | undefined; remotePort: number } = socket;
  if (remoteAddress === undefined) return "unknown";
  return formatAddress({ kind: "tcp", host: canonicalHost(remoteAddress), port: remotePort });
}
