/** Addresses to listen on or to connect to: "127.0.0.1:80", "[::1]:80", "name:80", ":80", "unix:/run/x.sock". */
import { isIP } from "node:net";
import type { Parsed } from "./result.ts";

/** Where to listen or connect. `host` is an IPv4 address, an IPv6 address without brackets, a name, or "" when only a port was given. */
export type Address = { kind: "tcp"; host: string; port: number } | { kind: "unix"; path: string };

/** The longest path of a Unix socket in bytes (sockaddr_un on Linux, less its closing zero); a longer one is refused. */
const UNIX_PATH_BYTES_MAX = 107;
/** The longest DNS name (RFC 1035 section 2.3.4); a longer one is refused. */
const NAME_CHARS_MAX = 253;

const EXAMPLES = `"127.0.0.1:80", "[::1]:80" or "name:80"`;

/** Reads an address. ":80" gives host "": what that means is up to the caller (every IPv4 address for a listener, a mistake for an endpoint). */
export function parseAddress(text: string): Parsed<Address> {
  if (text.startsWith("unix:")) return parseUnixPath(text.slice("unix:".length));
  if (text.includes("://")) return { ok: false, wanted: `an address without a scheme, such as ${EXAMPLES}` };
  if (text.includes("/")) return { ok: false, wanted: `an address without a path, such as ${EXAMPLES}` };
  const colon = text.lastIndexOf(":");
  if (colon === -1 || text.endsWith("]")) {
    return { ok: false, wanted: `an address with a port, such as ${exampleWithPort(text)}` };
  }
  const host = parseHost(text.slice(0, colon));
  if (!host.ok) return host;
  const portText = text.slice(colon + 1);
  const port = /^(?:0|[1-9][0-9]{0,4})$/.test(portText) ? Number(portText) : Number.NaN;
  if (!(port <= 65_535)) return { ok: false, wanted: `an address with a port from 0 to 65535, such as ${EXAMPLES}` };
  return { ok: true, value: { kind: "tcp", host: host.value, port } };
}

/** Writes an address the way {@link parseAddress} reads it; IPv6 gets its brackets. */
export function formatAddress(address: Address): string {
  switch (address.kind) {
    case "unix":
      return `unix:${address.path}`;
    case "tcp":
      return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
  }
}

/** True when only this machine can reach the address: 127.0.0.0/8, ::1, "localhost", a Unix socket. A name that resolves elsewhere is not known here. */
export function isLoopback(address: Address): boolean {
  if (address.kind === "unix") return true;
  const host = canonicalHost(address.host);
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** True for an IPv4 or IPv6 address (without brackets), false for a name and "". */
export function isIp(host: string): boolean {
  return isIP(host) !== 0;
}

/** One spelling for each host, for comparing: lower case, IPv6 with its first run of zeros as "::", IPv4 inside IPv6 (::ffff:a.b.c.d) as IPv4. */
export function canonicalHost(host: string): string {
  const lower = host.toLowerCase();
  if (isIP(lower) !== 6) return lower.endsWith(".") ? lower.slice(0, -1) : lower;
  const [ip = "", zone] = lower.split("%", 2);
  const groups = ipv6Groups(ip);
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return groups
      .slice(6)
      .flatMap((group) => [group >> 8, group & 255])
      .join(".");
  }
  const hex = groups
    .map((group) => group.toString(16))
    .join(":")
    .replace(/(?:^|:)0(?::0)+(?::|$)/, "::");
  return zone === undefined ? hex : `${hex}%${zone}`;
}

/** The eight groups of a valid IPv6 address. (URL in Bun 1.4.5 refuses some spellings that isIP accepts, such as 0::0:0:0:0.0.0.0.) */
function ipv6Groups(ip: string): number[] {
  const hexOnly = ip.replace(
    /([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)$/,
    (_, a: string, b: string, c: string, d: string) => {
      return `${(Number(a) * 256 + Number(b)).toString(16)}:${(Number(c) * 256 + Number(d)).toString(16)}`;
    },
  );
  const [head = [], tail = []] = hexOnly.split("::").map((part) => part.split(":").filter((group) => group !== ""));
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => "0");
  return [...head, ...zeros, ...tail].map((group) => Number.parseInt(group, 16));
}

function parseUnixPath(path: string): Parsed<Address> {
  if (path === "" || path.includes("\0"))
    return { ok: false, wanted: `a path after "unix:", such as "unix:/run/x.sock"` };
  if (Buffer.byteLength(path) > UNIX_PATH_BYTES_MAX) {
    return { ok: false, wanted: `a socket path of at most ${UNIX_PATH_BYTES_MAX} bytes` };
  }
  return { ok: true, value: { kind: "unix", path } };
}

function parseHost(text: string): Parsed<string> {
  if (text === "" || isIP(text) === 4) return { ok: true, value: text };
  if (text.startsWith("[") && text.endsWith("]")) {
    const inside = text.slice(1, -1);
    if (isIP(inside) === 6) return { ok: true, value: inside };
    return { ok: false, wanted: `an IPv6 address inside the brackets, such as "[::1]:80"` };
  }
  if (text.includes(":")) return { ok: false, wanted: `an IPv6 address in brackets and a port, such as "[::1]:80"` };
  // A name made of numbers ("127.1", "10.0.0.256") is a mistyped address; resolvers read some of them in surprising ways.
  if (/(?:^|\.)[0-9]+\.?$/.test(text))
    return { ok: false, wanted: `an IPv4 address of four numbers from 0 to 255, or a name` };
  if (
    text.length > NAME_CHARS_MAX ||
    !/^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?$/i.test(text)
  ) {
    return { ok: false, wanted: `a host name or an IP address before the port, such as ${EXAMPLES}` };
  }
  return { ok: true, value: text };
}

/** The user's own text with a port, where that is an address; otherwise the usual examples. */
function exampleWithPort(text: string): string {
  const host = isIP(text) === 6 ? `[${text}]` : text;
  return host !== "" && parseHost(host).ok ? `"${host}:80"` : EXAMPLES;
}
