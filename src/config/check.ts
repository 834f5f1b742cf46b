/** What no key can check alone: names that must exist or be unique, timeouts that cannot work; addresses have a file of their own. */
import { didYouMean } from "../core/did-you-mean.ts";
import type { ReadText } from "../tls/files.ts";
import { checkAddresses } from "./address-checks.ts";
import { checkBackends } from "./backend-checks.ts";
import { checkCircles } from "./circle-checks.ts";
import type { SystemFacts } from "./descriptors.ts";
import { child, type Finding, type Path, valueAt } from "./diagnostic.ts";
import { variablePart } from "./environment.ts";
import { checkRoutes } from "./route-checks.ts";
import type { Config } from "./schema.ts";
import { overshadowedShutdown, overshadowedTimeouts } from "./timeout-order.ts";
import { checkTls } from "./tls-checks.ts";

/** A configuration in which invalid values are missing. */
export type Draft<T> = T extends { kind: string } | Uint8Array
  ? T | undefined
  : T extends (infer Item)[]
    ? Draft<Item>[]
    : T extends object
      ? { [Name in keyof T]: Draft<T[Name]> | undefined }
      : T | undefined;

/** What was found: what makes the configuration unusable, and what is merely odd. */
export interface Findings {
  problems: Finding[];
  warnings: Finding[];
}

/** Checks what is there, the files included that it names. `tree` holds what was written by the user, in the file's form: a default is nobody's mistake. */
export function check(
  draft: Draft<Config>,
  tree: unknown,
  { localHosts = [] }: SystemFacts,
  readFile: ReadText,
): Findings {
  const findings: Findings = { problems: [], warnings: [] };
  const problem = (path: Path, message: string, at: Finding["at"] = "value") =>
    findings.problems.push({ path, at, message });
  checkNames("listener", tree, problem);
  checkNames("backend", tree, problem);
  checkReferences(tree, findings);
  checkAddresses(draft, findings);
  checkCircles(draft, tree, localHosts, findings);
  checkTimeouts(draft, tree, problem);
  checkRoutes(draft, findings);
  checkBackends(draft, findings);
  checkTls(draft, readFile, findings);
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

/** At least one listener, and known backends for each; a backend that nobody uses is probably a mistake. */
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
  const use = (path: Path): void => {
    const backend = valueAt(tree, path);
    used.add(backend);
    if (typeof backend !== "string" || backends.includes(backend)) return;
    const hint =
      didYouMean(backend, backends) ||
      (backends.length === 0 ? ", no [[backend]] is configured" : `, wanted one of ${quoted(backends)}`);
    const message = `unknown backend ${JSON.stringify(backend.slice(0, 64))}${hint}`;
    findings.problems.push({ path, at: "value", message });
  };
  for (const index of listeners.keys()) {
    const listener = ["listener", index];
    const backend = valueAt(tree, [...listener, "backend"]);
    const routes = valueAt(tree, [...listener, "route"]);
    const hasRoutes = Array.isArray(routes) && routes.length > 0;
    for (const position of hasRoutes ? routes.keys() : []) use([...listener, "route", position, "backend"]);
    if (backend !== undefined && backend !== "") use([...listener, "backend"]);
    else if (!hasRoutes) {
      const message = 'is missing, wanted for example backend = "app"';
      findings.problems.push({ path: [...listener, "backend"], at: "value", message });
    }
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
