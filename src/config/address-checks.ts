/** What no address can be checked for alone: those that collide, those that clients can't have. */
import { normalize } from "node:path";
import { type Address, canonicalHost, type EndpointAddress, formatAddress, isLoopback } from "../core/address.ts";
import type { Draft, Findings } from "./check.ts";
import type { Path } from "./diagnostic.ts";
import type { Config } from "./schema.ts";

type Report = (path: Path, message: string) => void;

/** The default of a listener's `mode`: it may stand anywhere, as every default may. */
const MODE_DEFAULT = 0o660;

/** Adds what is wrong with the addresses that are there. */
export function checkAddresses(draft: Draft<Config>, findings: Findings): void {
  const problem: Report = (path, message) => findings.problems.push({ path, at: "value", message });
  const warning: Report = (path, message) => findings.warnings.push({ path, at: "value", message });
  checkEndpoints(draft, problem);
  checkListenAddresses(draft, problem);
  checkAdmin(draft, problem);
  checkClients(draft, problem, warning);
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

/** The same for all spellings of an address. */
export function addressKey(address: EndpointAddress): string {
  switch (address.kind) {
    case "tcp":
      return `${canonicalHost(address.host)}|${address.port}`;
    case "unix":
      return `unix:${normalize(address.path)}`;
    case "srv":
      return `srv:${canonicalHost(address.name)}`;
  }
}

/** Whether not both can be bound, as Linux sees it: 0.0.0.0 covers every IPv4 address, and :: (which Bun 1.4.5 opens for both families) covers everything. */
export function overlap(a: Address, b: Address): boolean {
  if (a.kind === "unix" || b.kind === "unix") return addressKey(a) === addressKey(b);
  if (a.port !== b.port || a.port === 0) return false;
  const [hostA, hostB] = [boundHost(a.host), boundHost(b.host)];
  if (hostA === hostB || hostA === "::" || hostB === "::") return true;
  const anyIpv4 = hostA === "0.0.0.0" ? hostB : hostB === "0.0.0.0" ? hostA : undefined;
  return anyIpv4 !== undefined && !anyIpv4.includes(":");
}

/** The host that a listener is bound to, in one spelling. */
export function boundHost(host: string): string {
  const canonical = canonicalHost(host);
  return canonical === "localhost" ? "127.0.0.1" : canonical;
}

/** As messages call it. */
export function listenerName(draft: Draft<Config>, index: number): string {
  return `listener "${draft.listeners?.[index]?.name ?? index}"`;
}
