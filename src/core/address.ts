/** Addresses to listen on or to connect to: "127.0.0.1:80", "[::1]:80", "name:80", ":80", "unix:/run/x.sock". */
import { isIP } from "node:net";
import { ipBytes, ipText, readIp } from "./ip.ts";
import type { Parsed } from "./result.ts";

/** Where to listen or connect. `host` is an IPv4 address, an IPv6 address without brackets, a name, or "" when only a port was given. */
export type Address = { kind: "tcp"; host: string; port: number } | { kind: "unix"; path: string };

/** Where an endpoint is: an address, or a service whose hosts and ports are in DNS (RFC 2782), "srv:_pg._tcp.example.com". */
export type EndpointAddress = Address | { kind: "srv"; name: string };

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

/** Reads an endpoint's address: as {@link parseAddress}, or a service. */
export function parseEndpointAddress(text: string): Parsed<EndpointAddress> {
  if (!text.startsWith("srv:")) return parseAddress(text);
  const name = text.slice("srv:".length);
  // The labels of service and protocol, and the domain they belong to.
  if (/^_[^.]+\._[^.]+\./.test(name) && isName(name)) return { ok: true, value: { kind: "srv", name } };
  return { ok: false, wanted: `a service after "srv:", such as "srv:_pg._tcp.example.com"` };
}

/** Writes an address the way {@link parseAddress} reads it; IPv6 gets its brackets. */
export function formatAddress(address: EndpointAddress): string {
  switch (address.kind) {
    case "srv":
      return `srv:${address.name}`;
    case "unix":
      return `unix:${address.path}`;
    case "tcp":
      return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
  }
}

/** Host and port of a text that {@link formatAddress} wrote; `undefined` for a Unix socket, and for what has no port. */
export function splitAddress(text: string): { readonly host: string; readonly port: number } | undefined {
  const colon = text.lastIndexOf(":");
  const port = Number(text.slice(colon + 1));
  if (colon < 1 || text.startsWith("unix:") || !Number.isInteger(port)) return undefined;
  const host = text[0] === "[" ? text.slice(1, colon - 1) : text.slice(0, colon);
  return { host, port };
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

/** One spelling for each host, for comparing: lower case, IPv6 as RFC 5952 has it, IPv4 inside IPv6 (::ffff:a.b.c.d) as IPv4. */
export function canonicalHost(host: string): string {
  const lower = host.toLowerCase();
  const family = readIp(lower, scratch);
  if (family === 0) return lower.endsWith(".") ? lower.slice(0, -1) : lower;
  const zone = lower.indexOf("%");
  return family === 6 && zone !== -1 ? ipText(scratch, 0) + lower.slice(zone) : ipText(scratch, 0);
}

const scratch = new Uint8Array(ipBytes);

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
  if (!isName(text)) {
    return { ok: false, wanted: `a host name or an IP address before the port, such as ${EXAMPLES}` };
  }
  return { ok: true, value: text };
}

/** The user's own text with a port, where that is an address; otherwise the usual examples. */
function exampleWithPort(text: string): string {
  const host = isIP(text) === 6 ? `[${text}]` : text;
  return host !== "" && parseHost(host).ok ? `"${host}:80"` : EXAMPLES;
}

/** Whether it is a DNS name in form (RFC 1035 section 2.3.1, underscores allowed). */
function isName(text: string): boolean {
  return (
    text.length <= NAME_CHARS_MAX &&
    /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?$/i.test(text)
  );
}
