/** Openings of connections: ClientHellos and HTTP requests. */
import { alpn, grease, helloMessage, inRecords, keyShare, serverName } from "./client-hello.ts";

/** What a ClientHello says. */
export interface HelloSettings {
  serverName?: string | undefined;
  alpn?: readonly string[];
  /** The content of each TLS record but the last; 0 means one record. */
  recordBytes?: number;
  /** A key share of this size, such as the 1216 of X25519MLKEM768. */
  keyShareBytes?: number;
}

/** A ClientHello in its records (RFC 8446 sections 4.1.2 and 5.1). */
export function clientHello(settings: HelloSettings): Uint8Array {
  // GREASE (RFC 8701) comes first, as browsers send it.
  const extensions = [grease(0x0a0a)];
  if (settings.serverName !== undefined) extensions.push(serverName(settings.serverName));
  extensions.push(keyShare(settings.keyShareBytes ?? 32));
  if (settings.alpn !== undefined && settings.alpn.length > 0) extensions.push(alpn(...settings.alpn));
  const message = helloMessage({ extensions });
  const size = settings.recordBytes || message.length;
  return inRecords(message, ...Array<number>(Math.floor(message.length / size)).fill(size));
}

/** The beginning of an HTTP/1.1 request; `target` in any form, fields as lines without their ends. */
export function httpRequest(target: string, fields: readonly string[] = [], method = "GET"): Uint8Array {
  return Buffer.from([`${method} ${target} HTTP/1.1`, ...fields, "", ""].join("\r\n"));
}
