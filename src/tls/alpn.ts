/** Names of application protocols (ALPN, RFC 7301). */

/** The longest name, in bytes (RFC 7301, section 3.1). */
const protocolBytesMax = 255;

/**
 * A list of names as it is sent: each with its length in front. Bun wants it so: from a text it makes one name that nobody
 * has (Bun 1.4.5). What is wrong with a name, in words, instead.
 */
export function encodeProtocols(names: readonly string[]): { ok: true; value: Buffer } | { ok: false; found: string } {
  const parts: Buffer[] = [];
  for (const name of names) {
    const bytes = Buffer.from(name, "latin1");
    if (bytes.length === 0 || bytes.length > protocolBytesMax) {
      return { ok: false, found: `"${name}" in alpn, wanted 1 to ${protocolBytesMax} bytes` };
    }
    parts.push(Buffer.of(bytes.length), bytes);
  }
  return { ok: true, value: Buffer.concat(parts) };
}
