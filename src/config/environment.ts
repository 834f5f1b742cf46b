/** The environment over the file: SLUICE_<TABLE>_<KEY>, entries of lists by their names, and …_FILE for values that stand in files. */
import { nearestWord } from "../core/did-you-mean.ts";
import { hasNames, type Key, type Members } from "./declaration.ts";
import { child, type Diagnostic, type Path, pathText, type Source } from "./diagnostic.ts";
import { isTable, type Tree } from "./tidy.ts";

/** The environment as the process got it. */
export type Environment = Record<string, string | undefined>;

/** Reads a small file, or says in a few words why not ("permission denied"). */
export type ReadValueFile = (path: string) => { ok: true; text: string } | { ok: false; found: string };

/** Variables that belong to the command line, not to the configuration. */
const OTHER_VARIABLES = ["SLUICE_CONFIG"];
const PREFIX = "SLUICE";

/** What the environment set, by path as JSON, what was wrong with it, and the keys that have no value because of that. */
export interface Overlay {
  sources: Map<string, Source>;
  problems: Diagnostic[];
  failed: Path[];
}

interface Target {
  path: Path;
  key: Key;
}

/** What there is to set, by variable. */
interface Targets {
  readonly keys: Map<string, Target>;
  /** Why nothing is set by this variable, nor by those that go on after it. */
  readonly none: Map<string, string>;
}

/** Sets the values of variables in `tree`. They come as text and leave as the file's form; judging them is the schema's work. */
export function overlay(members: Members, tree: Tree, env: Environment, readValueFile: ReadValueFile): Overlay {
  const result: Overlay = { sources: new Map(), problems: [], failed: [] };
  const variables = Object.keys(env)
    .filter((name) => name.startsWith(`${PREFIX}_`) && env[name] !== undefined)
    .toSorted();
  createEntries(members, tree, variables);
  const targets: Targets = { keys: new Map(), none: new Map() };
  collectTargets(members, tree, PREFIX, [], targets);
  for (const variable of variables) apply(variable, env, tree, targets, readValueFile, result);
  return result;
}

/** A name as a part of a variable: upper case, "-" as "_". */
export function variablePart(name: string): string {
  return name.toUpperCase().replaceAll("-", "_");
}

/**
 * Where the file has no entry of a kind at all, variables create the entries they name, so that a container can do without
 * a file. As soon as the file has one, a variable for another is a mistake: a mistyped name must not become a new entry.
 */
function createEntries(members: Members, tree: Tree, variables: string[]): void {
  for (const [listName, member] of Object.entries(members)) {
    if (member.sort !== "tables" || tree[listName] !== undefined) continue;
    const prefix = `${PREFIX}_${variablePart(listName)}_`;
    const suffixes = [...keySuffixes(member.members)].toSorted((a, b) => b.length - a.length);
    const names = new Set<string>();
    for (const variable of variables) {
      if (!variable.startsWith(prefix)) continue;
      const rest = variable.slice(prefix.length);
      const suffix = suffixes.find((candidate) => rest.endsWith(candidate) && rest.length > candidate.length);
      if (suffix !== undefined) names.add(rest.slice(0, -suffix.length).toLowerCase());
    }
    if (names.size > 0) tree[listName] = [...names].toSorted().map((name) => ({ name }));
  }
}

/** "_LISTEN", "_LISTEN_FILE", "_TIMEOUTS_IDLE", …: what may follow an entry's name. */
function* keySuffixes(members: Members): Generator<string> {
  for (const [name, member] of Object.entries(members)) {
    const part = `_${variablePart(name)}`;
    if (member.sort === "key") {
      if (name === "name") continue;
      yield part;
      yield `${part}_FILE`;
    } else if (member.sort !== "tables") {
      for (const suffix of keySuffixes(member.members)) yield part + suffix;
    }
  }
}

function collectTargets(members: Members, value: unknown, prefix: string, path: Path, targets: Targets): void {
  for (const [name, member] of Object.entries(members)) {
    const variable = `${prefix}_${variablePart(name)}`;
    const inside = child(value, name);
    if (member.sort === "key") {
      targets.keys.set(variable, { path: [...path, name], key: member });
    } else if (member.sort !== "tables") {
      collectTargets(member.members, inside, variable, [...path, name], targets);
    } else if (!hasNames(member)) {
      targets.none.set(variable, `a ${name} has no name to be addressed by, wanted it in the file`);
    } else if (Array.isArray(inside)) {
      for (const [index, entry] of inside.entries()) {
        collectEntry(member.members, entry, variable, [...path, name, index], targets);
      }
    }
  }
}

function collectEntry(members: Members, entry: unknown, prefix: string, path: Path, targets: Targets): void {
  const name = child(entry, "name");
  if (typeof name !== "string") return;
  const own: Targets = { keys: new Map(), none: new Map() };
  const variable = `${prefix}_${variablePart(name)}`;
  collectTargets(members, entry, variable, path, own);
  own.keys.delete(`${variable}_NAME`);
  own.none.set(`${variable}_NAME`, "an entry keeps the name that it is addressed by");
  // Of two entries with one name, the first has the variable.
  for (const [of, target] of own.keys) if (!targets.keys.has(of)) targets.keys.set(of, target);
  for (const [of, why] of own.none) targets.none.set(of, why);
}

function apply(
  variable: string,
  env: Environment,
  tree: Tree,
  targets: Targets,
  readValueFile: ReadValueFile,
  result: Overlay,
): void {
  if (OTHER_VARIABLES.includes(variable)) return;
  const direct = targets.keys.get(variable);
  const base = variable.endsWith("_FILE") ? variable.slice(0, -"_FILE".length) : undefined;
  const target = direct ?? (base === undefined ? undefined : targets.keys.get(base));
  const text = env[variable] ?? "";
  if (target === undefined) {
    if (!isKubernetesServiceLink(variable, text)) result.problems.push(unknownVariable(variable, targets));
    return;
  }
  const path = pathText(target.path, tree);
  const fail = (source: Source, message: string) => {
    result.problems.push({ source, path, message });
    result.failed.push(target.path);
  };
  if (direct !== undefined) {
    set(tree, target, text);
    result.sources.set(JSON.stringify(target.path), { kind: "variable", variable, file: undefined });
    return;
  }
  const source: Source = { kind: "variable", variable, file: text };
  result.sources.set(JSON.stringify(target.path), source);
  if (base !== undefined && env[base] !== undefined) {
    fail({ ...source, file: undefined }, `${base} is set as well, wanted only one of the two`);
    return;
  }
  const read = text === "" ? ({ ok: false, found: "the variable is empty" } as const) : readValueFile(text);
  if (!read.ok) {
    const wanted = read.found.includes("wanted") ? "" : ", wanted a readable file";
    fail(text === "" ? { ...source, file: undefined } : source, `cannot read the value: ${read.found}${wanted}`);
    return;
  }
  set(tree, target, read.text.replace(/\r?\n$/, ""));
}

function set(tree: Tree, target: Target, text: string): void {
  let table: Record<string | number, unknown> = tree;
  for (const step of target.path.slice(0, -1)) {
    const inside = child(table, step);
    const next = (Array.isArray(inside) || isTable(inside) ? inside : {}) as Record<string | number, unknown>;
    table[step] = next;
    table = next;
  }
  const last = target.path.at(-1);
  if (last !== undefined) table[last] = target.key.kind.fromText(text);
}

function unknownVariable(variable: string, targets: Targets): Diagnostic {
  const message = `unknown variable${noTarget(variable, targets) ?? nearestTarget(variable, targets)}`;
  return { source: { kind: "variable", variable, file: undefined }, path: "", message };
}

function noTarget(variable: string, { none }: Targets): string | undefined {
  const refused = [...none].find(([begin]) => variable === begin || variable.startsWith(`${begin}_`));
  return refused === undefined ? undefined : `, ${refused[1]}`;
}

function nearestTarget(variable: string, { keys }: Targets): string {
  const isFile = variable.endsWith("_FILE");
  const base = isFile ? variable.slice(0, -"_FILE".length) : variable;
  const nearest = nearestWord(base, [...OTHER_VARIABLES, ...keys.keys()]);
  if (nearest === undefined) return ", wanted SLUICE_<TABLE>_<KEY> of a key in the reference";
  // Only the configuration's variables have a _FILE form.
  return ` (did you mean "${isFile && keys.has(nearest) ? `${nearest}_FILE` : nearest}"?)`;
}

/**
 * Kubernetes sets variables for every Service of a namespace; a Service named "sluice" gives SLUICE_SERVICE_HOST,
 * SLUICE_PORT="tcp://10.0.0.1:80" and more. They are nobody's mistake and none of our keys ends like them.
 */
function isKubernetesServiceLink(variable: string, text: string): boolean {
  if (/_SERVICE_HOST$|_SERVICE_PORT(?:_[A-Z0-9_]+)?$/.test(variable)) return true;
  if (/_PORT_[0-9]+_(?:TCP|UDP|SCTP)_(?:PROTO|PORT|ADDR)$/.test(variable)) return true;
  return /_PORT(?:_[0-9]+_(?:TCP|UDP|SCTP))?$/.test(variable) && /^(?:tcp|udp|sctp):\/\//.test(text);
}
