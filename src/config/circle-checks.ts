/** Connections that would come back to us: listeners that would proxy to themselves, traces that would make traces. */
import { type Address, type EndpointAddress, canonicalHost, formatAddress, isIp, isLoopback } from "../core/address.ts";
import { addressKey, boundHost, listenerName } from "./address-checks.ts";
import type { Draft, Findings } from "./check.ts";
import { child, type Path, valueAt } from "./diagnostic.ts";
import type { Config } from "./schema.ts";

/** Adds the circles that addresses show; names are not resolved. `hosts` are this machine's addresses, without those of loopback. */
export function checkCircles(draft: Draft<Config>, tree: unknown, hosts: readonly string[], findings: Findings): void {
  const localHosts = new Set(hosts.map(withoutZone));
  checkLoops(draft, tree, localHosts, findings);
  checkCollector(draft, localHosts, findings);
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
function checkLoops(
  draft: Draft<Config>,
  tree: unknown,
  localHosts: ReadonlySet<string>,
  { problems }: Findings,
): void {
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
        if (from !== -1)
          problems.push({ path: edge.path, at: "value", message: circle(draft, chain.slice(from), edge) });
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

/** A collector behind a listener of ours is no mistake; that each sending is a connection that is traced in turn should be known. */
function checkCollector(draft: Draft<Config>, localHosts: ReadonlySet<string>, { warnings }: Findings): void {
  const url = URL.parse(draft.tracing?.otlp ?? "");
  if (url === null) return;
  const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
  const collector: Address = { kind: "tcp", host: url.hostname.replace(/^\[|\]$/g, ""), port };
  const index = (draft.listeners ?? []).findIndex((listener) => {
    const address = listener?.listen;
    return address?.kind === "tcp" && address.port === port && reaches(collector, address, localHosts);
  });
  if (index === -1) return;
  const message = `is the address of ${listenerName(draft, index)}: sending traces makes connections that are traced in turn`;
  warnings.push({ path: ["tracing", "otlp"], at: "value", message });
}

function withoutZone(host: string): string {
  return canonicalHost(host).split("%", 1)[0]!;
}
