/** What no address can be checked for alone: those that collide, those that clients can't have, listeners that would proxy to themselves. */
import { normalize } from "node:path";
import { type Address, canonicalHost, type EndpointAddress, formatAddress, isIp, isLoopback } from "../core/address.ts";
import type { Draft, Findings } from "./check.ts";
import { child, type Path, valueAt } from "./diagnostic.ts";
import type { Config } from "./schema.ts";

type Report = (path: Path, message: string) => void;

/** The default of a listener's `mode`: it may stand anywhere, as every default may. */
const MODE_DEFAULT = 0o660;

/** Adds what is wrong with the addresses that are there. `localHosts` are this machine's, without those of loopback. */
export function checkAddresses(
  draft: Draft<Config>,
  tree: unknown,
  localHosts: readonly string[],
  findings: Findings,
): void {
  const problem: Report = (path, message) => findings.problems.push({ path, at: "value", message });
  const warning: Report = (path, message) => findings.warnings.push({ path, at: "value", message });
  checkEndpoints(draft, problem);
  checkListenAddresses(draft, problem);
  checkAdmin(draft, problem);
  checkClients(draft, problem, warning);
  checkLoops(draft, tree, new Set(localHosts.map(withoutZone)), problem);
}

/** Endpoints are told apart by their addresses: in metrics, in the access record, in the admin server. */
function checkEndpoints(draft: Draft<Config>, problem: Report): void {
  for (const [index, backend] of (draft.backends ?? []).entries()) {
    const seen = new Set<string>();
    for (const [position, endpoint] of (backend?.endpoints ?? []).entries()) {
      if (endpoint?.address === undefined) continue;
      const key = addressKey(endpoint.address);
      if (seen.has(key)) {
        problem(
          ["backend", index, "endpoints", position],
          `the endpoint ${formatAddress(endpoint.address)} is listed twice, wanted each once`,
        );
      }
      seen.add(key);
    }
  }
}

/** What the kernel would refuse: the same address twice, or a wildcard beside one of the addresses it covers. */
function checkListenAddresses(draft: Draft<Config>, problem: Report): void {
  const taken: { address: Address; owner: string }[] = [];
  const take = (address: Address | undefined, owner: string, path: Path) => {
    if (address === undefined) return;
    const other = taken.find((candidate) => overlap(candidate.address, address));
    if (other !== undefined) {
      const [mine, theirs] = [formatAddress(address), formatAddress(other.address)];
      const same = addressKey(address) === addressKey(other.address);
      const another = address.kind === "unix" ? "another path" : "another port or address";
      problem(
        path,
        same
          ? `${mine} is the address of ${other.owner} already, wanted ${another}`
          : `${mine} overlaps ${theirs} of ${other.owner}, wanted another port`,
      );
    }
    taken.push({ address, owner });
  };
  for (const [index, listener] of (draft.listeners ?? []).entries()) {
    take(listener?.listen, listenerName(draft, index), ["listener", index, "listen"]);
  }
  take(draft.admin?.listen, "the admin server", ["admin", "listen"]);
}

/** An admin server that others can reach must not be open to everybody. */
function checkAdmin(draft: Draft<Config>, problem: Report): void {
  const { listen, token } = draft.admin ?? {};
  if (listen === undefined) return;
  const path = ["admin", "listen"];
  if (listen.kind === "unix") {
    return problem(path, `found ${formatAddress(listen)}, wanted an address with a port, such as "127.0.0.1:9900"`);
  }
  if (token !== "" || isLoopback(listen)) return;
  problem(
    path,
    `${formatAddress(listen)} can be reached from other machines, wanted a token (SLUICE_ADMIN_TOKEN_FILE or admin.token) or a loopback address such as "127.0.0.1:${listen.port}"`,
  );
}

/** Rules about clients' addresses where clients have none, and PROXY headers that anybody could forge. */
function checkClients(draft: Draft<Config>, problem: Report, warning: Report): void {
  for (const [index, listener] of (draft.listeners ?? []).entries()) {
    const { listen, acceptProxy, trusted = [] } = listener ?? {};
    if (listen === undefined) continue;
    const path = ["listener", index];
    if (listen.kind === "unix") {
      const clients = `the clients of ${formatAddress(listen)} have no address`;
      if (acceptProxy === "off") {
        for (const name of addressRules(listener)) {
          problem([...path, name], `${clients}, wanted ${name} left out, or accept_proxy = "required"`);
        }
      }
      if (trusted.length > 0) problem([...path, "trusted"], `${clients}, so that nobody would be trusted; wanted mode`);
    } else {
      if (listener?.mode !== undefined && listener.mode !== MODE_DEFAULT) {
        problem([...path, "mode"], `${formatAddress(listen)} is no Unix socket, wanted mode left out`);
      }
      if (acceptProxy === "required" && trusted.length === 0 && !isLoopback(listen)) {
        const forged = "any client may send a PROXY header and name any address as its own";
        warning([...path, "accept_proxy"], `${forged}, wanted trusted = [the addresses of the proxies in front]`);
      }
    }
    if (acceptProxy === "off" && trusted.length > 0) {
      warning([...path, "trusted"], 'does nothing without accept_proxy = "required"');
    }
  }
}

/** The keys of a listener that ask for clients' addresses. */
function addressRules(listener: Draft<Config["listeners"][number]> | undefined): string[] {
  const asked = {
    allow: (listener?.allow?.length ?? 0) > 0,
    deny: (listener?.deny?.length ?? 0) > 0,
    connections_per_ip: (listener?.connectionsPerIp ?? 0) > 0,
    rate_per_ip: (listener?.ratePerIp ?? 0) > 0,
  };
  return Object.entries(asked).flatMap(([name, isAsked]) => (isAsked ? [name] : []));
}

/** A way from a backend to a listener of ours: the endpoint at `path` is its address. */
interface Edge {
  readonly backend: string;
  readonly path: Path;
  readonly address: EndpointAddress;
  /** The listener's index. */
  readonly to: number;
}

/** Of a longer circle the message has the beginning and the end. */
const STEPS_SHOWN_MAX = 8;

/**
 * A listener whose connections come back to it would fill the proxy with one connection. Each circle is reported at the
 * endpoint that closes it. Names are not resolved here: an endpoint is found by its address, or "localhost".
 */
function checkLoops(draft: Draft<Config>, tree: unknown, localHosts: ReadonlySet<string>, problem: Report): void {
  const edges = edgesByBackend(draft, localHosts);
  if (edges.size === 0) return;
  const done = new Set<number>();
  /** The way that led here: each listener with the backend that leaves it. */
  const chain: { listener: number; backend: string }[] = [];
  const visit = (listener: number): void => {
    for (const backend of backendsOf(tree, listener)) {
      chain.push({ listener, backend });
      for (const edge of edges.get(backend) ?? []) {
        const from = chain.findIndex((step) => step.listener === edge.to);
        if (from !== -1) problem(edge.path, circle(draft, chain.slice(from), edge));
        else if (!done.has(edge.to)) visit(edge.to);
      }
      chain.pop();
    }
    done.add(listener);
  };
  for (const listener of (draft.listeners ?? []).keys()) if (!done.has(listener)) visit(listener);
}

function circle(draft: Draft<Config>, chain: readonly { listener: number; backend: string }[], edge: Edge): string {
  const owner = listenerName(draft, edge.to);
  const way = chain.map((step) => `${listenerName(draft, step.listener)} → backend "${step.backend}"`);
  const left = way.length - STEPS_SHOWN_MAX;
  if (left > 0) way.splice(STEPS_SHOWN_MAX / 2, left, `… ${left} more …`);
  const steps = [...way, owner].join(" → ");
  return `${formatAddress(edge.address)} is the address of ${owner}, which would proxy to itself (${steps}), wanted the address of another program`;
}

/** The ways back into listeners, by the name of the backend; most have none. */
function edgesByBackend(draft: Draft<Config>, localHosts: ReadonlySet<string>): Map<string, Edge[]> {
  const listeners = new Map<string, { index: number; address: Address }[]>();
  for (const [index, listener] of (draft.listeners ?? []).entries()) {
    const address = listener?.listen;
    // A free port is not known yet, so nobody can have written it.
    if (address === undefined || (address.kind === "tcp" && address.port === 0)) continue;
    const place = placeOf(address);
    listeners.set(place, [...(listeners.get(place) ?? []), { index, address }]);
  }
  const edges = new Map<string, Edge[]>();
  for (const [index, backend] of (draft.backends ?? []).entries()) {
    const { name, endpoints = [] } = backend ?? {};
    for (const [position, endpoint] of name === undefined ? [] : endpoints.entries()) {
      const address = endpoint?.address;
      if (address === undefined) continue;
      for (const listener of listeners.get(placeOf(address)) ?? []) {
        if (!reaches(address, listener.address, localHosts)) continue;
        const path = ["backend", index, "endpoints", position];
        edges.set(name!, [...(edges.get(name!) ?? []), { backend: name!, path, address, to: listener.index }]);
      }
    }
  }
  return edges;
}

/** The backends that connections of a listener may go to, as they were written. */
function backendsOf(tree: unknown, listener: number): ReadonlySet<string> {
  const routes = valueAt(tree, ["listener", listener, "route"]);
  const written = [valueAt(tree, ["listener", listener, "backend"])];
  if (Array.isArray(routes)) written.push(...routes.map((route) => child(route, "backend")));
  return new Set(written.filter((name) => typeof name === "string"));
}

/** Whether a connection to this endpoint arrives at this listener, of the same port or path. */
function reaches(endpoint: EndpointAddress, listener: Address, localHosts: ReadonlySet<string>): boolean {
  if (endpoint.kind !== "tcp" || listener.kind !== "tcp") return endpoint.kind === listener.kind;
  const bound = boundHost(listener.host);
  const hosts = dialledHosts(endpoint.host);
  if (hosts.includes(bound)) return true;
  // A wildcard is bound to every address of this machine: "::" to those of both families (Bun 1.4.5).
  const covered = bound === "::" ? hosts : bound === "0.0.0.0" ? hosts.filter((host) => !host.includes(":")) : [];
  return covered.some((host) => isIp(host) && (isLoopback({ ...endpoint, host }) || localHosts.has(host)));
}

/** Where a connection to a host goes. To the wildcards the kernel connects on loopback (Linux). */
function dialledHosts(host: string): string[] {
  const canonical = withoutZone(host);
  switch (canonical) {
    case "localhost":
      return ["127.0.0.1", "::1"];
    case "0.0.0.0":
      return ["127.0.0.1"];
    case "::":
      return ["::1"];
    default:
      return [canonical];
  }
}

/** What two addresses that are the same have in common for certain: the port, or the path. */
function placeOf(address: EndpointAddress): string {
  return address.kind === "tcp" ? String(address.port) : addressKey(address);
}

/** The same for all spellings of an address. */
function addressKey(address: EndpointAddress): string {
  switch (address.kind) {
    case "tcp":
      return `${canonicalHost(address.host)}|${address.port}`;
    case "unix":
      return `unix:${normalize(address.path)}`;
    case "srv":
      return `srv:${canonicalHost(address.name)}`;
  }
}

/** As Linux sees it: 0.0.0.0 covers every IPv4 address, and :: (which Bun 1.4.5 opens for both families) covers everything. */
function overlap(a: Address, b: Address): boolean {
  if (a.kind === "unix" || b.kind === "unix") return addressKey(a) === addressKey(b);
  if (a.port !== b.port || a.port === 0) return false;
  const [hostA, hostB] = [boundHost(a.host), boundHost(b.host)];
  if (hostA === hostB || hostA === "::" || hostB === "::") return true;
  const anyIpv4 = hostA === "0.0.0.0" ? hostB : hostB === "0.0.0.0" ? hostA : undefined;
  return anyIpv4 !== undefined && !anyIpv4.includes(":");
}

function boundHost(host: string): string {
  const canonical = canonicalHost(host);
  return canonical === "localhost" ? "127.0.0.1" : canonical;
}

function withoutZone(host: string): string {
  return canonicalHost(host).split("%", 1)[0]!;
}

function listenerName(draft: Draft<Config>, index: number): string {
  return `listener "${draft.listeners?.[index]?.name ?? index}"`;
}
