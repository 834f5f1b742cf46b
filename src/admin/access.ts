/** Who may ask the admin server for what: the bearer token, and what keeps web pages from using a browser's way to it. */
import { isIp, isLoopback } from "../core/address.ts";

/** Why a request is refused; `undefined`: it is not. */
export type Refusal = { readonly status: 401 | 403; readonly error: string } | undefined;

/**
 * Without a token, everything that can reach the address may ask, and so may a web page in a browser that can: its owner
 * lets the page's name lead here (DNS rebinding). The browser then sends that name as Host, which is how it is found out.
 * Who has set a token may use any name.
 */
export function hostRefusal(request: Request, token: string): Refusal {
  const host = request.headers.get("host");
  // Only HTTP/1.0 goes without one, and no browser speaks it.
  if (token !== "" || host === null || isLocalName(host)) return undefined;
  const found = JSON.stringify(shortened(host));
  return {
    status: 403,
    error: `the Host ${found} is refused: without admin.token this server answers to IP addresses and localhost only`,
  };
}

/**
 * What changes something is not done for a page of another site. Browsers say where a request comes from in
 * `Sec-Fetch-Site`, which no page can forge, or at least in `Origin`; programs send neither.
 */
export function siteRefusal(request: Request): Refusal {
  const site = request.headers.get("sec-fetch-site");
  const origin = request.headers.get("origin");
  // "none": the user did it, no page. A proxy in front may have changed the Host, so that an Origin would not fit it.
  if (site === "same-origin" || site === "none") return undefined;
  if (site === null && (origin === null || isOwnOrigin(origin, request.headers.get("host")))) return undefined;
  const from = site === null ? `Origin ${shortened(origin!)}` : `Sec-Fetch-Site ${shortened(site)}`;
  return { status: 403, error: `another site may change nothing here (${from})` };
}

/** What needs the token is asked for with it: as a header, never in a URL, which ends up in logs and histories. */
export function tokenRefusal(request: Request, token: string): Refusal {
  if (token === "" || isSame(request.headers.get("authorization") ?? "", `Bearer ${token}`)) return undefined;
  return { status: 401, error: "a bearer token is needed: Authorization: Bearer TOKEN" };
}

/** As `Host` has it, with or without a port: an IP address, `localhost`, or a name below that (RFC 6761, section 6.3). */
function isLocalName(host: string): boolean {
  const name = URL.parse(`http://${host}`)?.hostname.replace(/^\[(.*)\]$|\.$/, "$1");
  if (name === undefined) return false;
  return isIp(name) || isLoopback({ kind: "tcp", host: name, port: 0 }) || name.endsWith(".localhost");
}

/** Whether it is the host that was asked, by whatever scheme: TLS may end in front of this server. */
function isOwnOrigin(origin: string, host: string | null): boolean {
  const from = URL.parse(origin);
  if (from === null || host === null) return false;
  return from.host !== "" && from.host === URL.parse(`${from.protocol}//${host}`)?.host;
}

/**
 * Compares digests to the last byte, so that neither the time taken nor a difference in length tells anything of the
 * token. By hand: `timingSafeEqual` would load node:crypto at start.
 */
function isSame(given: string, wanted: string): boolean {
  const one = digest(given);
  const other = digest(wanted);
  let difference = one.length ^ other.length;
  for (let index = 0; index < other.length; index++) difference |= one[index]! ^ other[index]!;
  return difference === 0;
}

function digest(text: string): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(text).digest();
}

/** A text of a stranger's, short enough to be shown. */
export function shortened(text: string): string {
  const charsMax = 100;
  return text.length <= charsMax ? text : `${text.slice(0, charsMax)}…`;
}
