/** What no key can check alone: names that must exist or be unique, addresses that collide, timeouts that cannot work. */
import { type Address, canonicalHost, formatAddress, isLoopback } from "../core/address.ts";
import { didYouMean } from "../core/did-you-mean.ts";
import { child, type Finding, type Path, valueAt } from "./diagnostic.ts";
import { variablePart } from "./environment.ts";
import type { Config } from "./schema.ts";
import { overshadowedShutdown, overshadowedTimeouts } from "./timeout-order.ts";

/** A configuration in which invalid values are missing. */
export type Draft<T> = T extends { kind: string }
  ? T | undefined
  : T extends (infer Item)[]
    ? Draft<Item>[]
    : T extends object
      ? { [Name in keyof T]: Draft<T[Name]> | undefined }
      : T | undefined;

interface Findings {
  problems: Finding[];
  warnings: Finding[];
}

/** Checks what is there. `tree` holds what was written by the user, in the file's form: a default is nobody's mistake. */
export function check(draft: Draft<Config>, tree: unknown): Findings {
  const findings: Findings = { problems: [], warnings: [] };
  const problem = (path: Path, message: string, at: Finding["at"] = "value") =>
    findings.problems.push({ path, at, message });
  checkNames("listener", tree, problem);
  checkNames("backend", tree, problem);
  checkReferences(tree, findings);
  checkEndpoints(draft, problem);
  checkListenAddresses(draft, problem);
  checkAdmin(draft, problem);
  checkTimeouts(draft, tree, problem);
  return findings;
}

type Report = (path: Path, message: string, at?: Finding["at"]) => void;

/** Names are unique, and stay so as parts of variables. */
function checkNames(list: string, tree: unknown, problem: Report): void {
  const seen = new Map<string, string>();
  for (const [index, name] of names(list, tree).entries()) {
    if (name === undefined) continue;
    const other = seen.get(variablePart(name));
    if (other === name) {
      problem([list, index, "name"], `"${name}" is the name of another ${list} already, wanted a name of its own`);
    } else if (other !== undefined) {
      const variable = `SLUICE_${variablePart(list)}_${variablePart(name)}_…`;
      problem(
        [list, index, "name"],
        `"${name}" and "${other}" would be the same in variables (${variable}), wanted names that differ in more than case, "-" and "_"`,
      );
    }
    seen.set(variablePart(name), name);
  }
}

/** At least one listener, and a known backend for each; a backend that nobody uses is probably a mistake. */
function checkReferences(tree: unknown, findings: Findings): void {
  const listeners = names("listener", tree);
  const backends = names("backend", tree).filter((name) => name !== undefined);
  if (listeners.length === 0 && (child(tree, "listener") === undefined || Array.isArray(child(tree, "listener")))) {
    const example = `[[listener]] with name = "web", listen = "127.0.0.1:8080", backend = "app", and [[backend]] with name = "app", endpoints = ["127.0.0.1:9000"]`;
    findings.problems.push({
      path: ["listener"],
      at: "key",
      message: `no listener is configured, wanted at least one: ${example}`,
    });
  }
  const used = new Set<unknown>();
  for (const index of listeners.keys()) {
    const path = ["listener", index, "backend"];
    const backend = valueAt(tree, path);
    used.add(backend);
    if (typeof backend !== "string" || backends.includes(backend)) continue;
    const hint =
      didYouMean(backend, backends) ||
      (backends.length === 0 ? ", no [[backend]] is configured" : `, wanted one of ${quoted(backends)}`);
    findings.problems.push({
      path,
      at: "value",
      message: `unknown backend ${JSON.stringify(backend.slice(0, 64))}${hint}`,
    });
  }
  for (const [index, backend] of names("backend", tree).entries()) {
    if (backend === undefined || used.has(backend)) continue;
    findings.warnings.push({
      path: ["backend", index],
      at: "key",
      message: `no listener uses the backend "${backend}"`,
    });
  }
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
      problem(
        path,
        same
          ? `${mine} is the address of ${other.owner} already, wanted another port or address`
          : `${mine} overlaps ${theirs} of ${other.owner}, wanted another port`,
      );
    }
    taken.push({ address, owner });
  };
  for (const [index, listener] of (draft.listeners ?? []).entries()) {
    take(listener?.listen, `listener "${listener?.name ?? index}"`, ["listener", index, "listen"]);
  }
  take(draft.admin?.listen, "the admin server", ["admin", "listen"]);
}

/** An admin server that others can reach must not be open to everybody. */
function checkAdmin(draft: Draft<Config>, problem: Report): void {
  const admin = draft.admin;
  if (admin?.listen === undefined || admin.token !== "" || isLoopback(admin.listen)) return;
  problem(
    ["admin", "listen"],
    `${formatAddress(admin.listen)} can be reached from other machines, wanted a token (SLUICE_ADMIN_TOKEN_FILE or admin.token) or a loopback address such as "127.0.0.1:${admin.listen.kind === "tcp" ? admin.listen.port : 9900}"`,
  );
}

/**
 * A timeout that somebody wrote down and that can never fire is a mistake, reported where it was written. A default, or a
 * global value under a listener's shorter one, may be overshadowed: that is what a shorter value is for.
 */
function checkTimeouts(draft: Draft<Config>, tree: unknown, problem: Report): void {
  const written = (path: Path) => valueAt(tree, path) !== undefined;
  for (const { never, message } of overshadowedTimeouts(draft.timeouts)) {
    if (written(["timeouts", never])) problem(["timeouts", never], message);
  }
  for (const [index, listener] of (draft.listeners ?? []).entries()) {
    for (const { never, message } of overshadowedTimeouts(listener?.timeouts)) {
      const path = ["listener", index, "timeouts", never];
      if (written(path)) problem(path, message);
    }
  }
  for (const { never, message } of overshadowedShutdown(draft.shutdown)) {
    if (written(["shutdown", never])) problem(["shutdown", never], message);
  }
}

/** The names of a list's entries as they were written; undefined where there is none. */
function names(list: string, tree: unknown): (string | undefined)[] {
  const entries = child(tree, list);
  if (!Array.isArray(entries)) return [];
  return entries.map((entry) => {
    const name = child(entry, "name");
    return typeof name === "string" ? name : undefined;
  });
}

function quoted(words: string[]): string {
  return words.map((word) => JSON.stringify(word)).join(", ");
}

function addressKey(address: Address): string {
  return address.kind === "unix" ? formatAddress(address) : `${canonicalHost(address.host)}|${address.port}`;
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
