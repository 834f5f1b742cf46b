/**
 * The TLS ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2): which host a client wants, and which protocols it
 * speaks above TLS. Of SSL 3.0 to TLS 1.3, before any key is agreed on; with Encrypted Client Hello it is the outer one.
 *
 * What a strict server refuses is invalid here, because a client that we and the backend read in two ways could get
 * around a route. What OpenSSL and BoringSSL serve is taken: versions and extensions of the future, GREASE (RFC 8701).
 *
 * - The list of server names holds one name, of the type host_name, as OpenSSL and BoringSSL want it. An empty list, an
 *   empty name, a second name, another type, a second extension are invalid.
 * - A name is ASCII, of letters, digits, "-", "_" and dots; another one is invalid. One final dot is let pass.
 * - An IP address is not to be sent as a name (RFC 6066 section 3), but there are clients that do: as if there were none.
 * - Nothing may follow in the record of the ClientHello, and no other record may stand within it.
 */
import { HandshakeReader } from "./handshake-reader.ts";
import { readHostName } from "./host-name.ts";
import type { Peek } from "./peek.ts";

/**
 * The longest ClientHello in bytes, heads of records included; a longer one is invalid. One with a post-quantum key share
 * has about 1,800, one with a session ticket that holds a client certificate a few thousand.
 */
export const clientHelloBytesMax = 16 * 1024;

/** What a client says of itself before the handshake. */
export interface ClientHello {
  /** The host it wants: in lower case, without a final dot; `undefined` when it names none. */
  readonly serverName: string | undefined;
  /** The protocols it offers, the one it likes best first; each byte of a name is a character (U+0000 to U+00FF). */
  readonly alpn: readonly string[];
}

/** Looks for a ClientHello at the beginning of `bytes`, spread over records or not. It is decided at {@link clientHelloBytesMax} bytes at the latest. */
export function peekClientHello(bytes: Uint8Array): Peek<ClientHello> {
  const reader = new HandshakeReader(bytes, clientHelloBytesMax);
  const end = reader.begin(clientHelloMessage, "a TLS handshake message other than ClientHello");
  readFixedPart(reader, end);
  let serverName: string | undefined;
  let serverNames = 0;
  let alpn: string[] | undefined;
  // Extensions came with TLS 1.2; before that there may be none (RFC 5246 section 7.4.1.2).
  const extensionsEnd = reader.isBefore(end) ? reader.vector(2, end) : end;
  if (extensionsEnd !== end) reader.fail(malformed);
  while (reader.isBefore(end)) {
    const type = reader.number(2, end);
    const extensionEnd = reader.vector(2, end);
    switch (type) {
      case serverNameExtension:
        if (serverNames++ > 0) reader.fail("a ClientHello with two lists of server names");
        serverName = readServerName(reader, extensionEnd);
        break;
      case alpnExtension:
        if (alpn !== undefined) reader.fail("a ClientHello with two lists of protocols");
        alpn = readProtocols(reader, extensionEnd);
        break;
      default:
        reader.skipTo(extensionEnd);
    }
  }
  if (reader.stopped !== undefined) return reader.stopped;
  return { kind: "done", value: { serverName, alpn: alpn ?? noProtocols }, bytes: reader.offset };
}

const clientHelloMessage = 1;
/** RFC 6066 section 3. */
const serverNameExtension = 0;
const hostNameType = 0;
/** The longest name that OpenSSL and BoringSSL take, in bytes; a longer one is invalid. */
const serverNameBytesMax = 255;
/** RFC 7301 section 3.1. */
const alpnExtension = 16;
const noProtocols: readonly string[] = [];
const malformed = "a malformed ClientHello";

/** Version, random, session, cipher suites, compression methods. */
function readFixedPart(reader: HandshakeReader, end: number): void {
  if (reader.number(1, end) !== 3) reader.fail(malformed);
  reader.skipTo(reader.at + 1 + 32);
  const session = reader.vector(1, end);
  if (session - reader.at > 32) reader.fail(malformed);
  reader.skipTo(session);
  const cipherSuites = reader.vector(2, end);
  if (cipherSuites === reader.at || (cipherSuites - reader.at) % 2 !== 0) reader.fail(malformed);
  reader.skipTo(cipherSuites);
  const compressionMethods = reader.vector(1, end);
  if (compressionMethods === reader.at) reader.fail(malformed);
  reader.skipTo(compressionMethods);
}

function readServerName(reader: HandshakeReader, end: number): string | undefined {
  if (reader.vector(2, end) !== end) reader.fail(malformed);
  if (reader.number(1, end) !== hostNameType) reader.fail("a server name of an unknown type");
  const nameEnd = reader.vector(2, end);
  if (nameEnd !== end) reader.fail("more than one server name");
  if (nameEnd - reader.at > serverNameBytesMax) reader.fail(notAName);
  const text = reader.text(nameEnd);
  if (reader.stopped !== undefined) return undefined;
  const host = readHostName(text);
  if (host.kind === "neither") reader.fail(notAName);
  return host.kind === "name" ? host.name : undefined;
}

const notAName = "a server name that is no host name";

function readProtocols(reader: HandshakeReader, end: number): string[] {
  const protocols: string[] = [];
  if (reader.vector(2, end) !== end || reader.at === end) reader.fail(malformed);
  while (reader.isBefore(end)) {
    const protocolEnd = reader.vector(1, end);
    if (protocolEnd === reader.at) reader.fail(malformed);
    protocols.push(reader.text(protocolEnd));
  }
  return protocols;
}
