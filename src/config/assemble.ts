/** From a tree of values and the environment to a configuration, or to every problem there is. Nothing here reads a file or the process. */
import * as v from "valibot";
import { checksAtOnceMax } from "../backend/health/places.ts";
import { check, type Draft } from "./check.ts";
import { type Member, type Members, notSupported } from "./declaration.ts";
import { type Fit, fitConnections, type SystemFacts } from "./descriptors.ts";
import {
  child,
  type Diagnostic,
  type Finding,
  inOrder,
  type Path,
  pathText,
  type Source,
  valueAt,
} from "./diagnostic.ts";
import { type Environment, overlay, type ReadValueFile } from "./environment.ts";
import type { Locate } from "./positions.ts";
import { programForm } from "./program-form.ts";
import type { ReadText } from "../tls/files.ts";
import { type Config, declaration, fileSchema } from "./schema.ts";
import { tidy } from "./tidy.ts";
import { tomlText } from "./toml-text.ts";

/** A valid configuration with what is odd about it, or all that is wrong. */
export type Assembled = { ok: true; config: Config; warnings: Diagnostic[] } | { ok: false; problems: Diagnostic[] };

/** `value` is the file's form; the environment is laid over it, `locate` knows where the file's values stand. */
export function assemble(
  value: unknown,
  env: Environment,
  system: SystemFacts,
  locate: Locate,
  readValueFile: ReadValueFile,
  readFile: ReadText,
): Assembled {
  const findings: Finding[] = [];
  const tree = tidy(declaration, value, findings);
  const environment = overlay(declaration, tree, env, readValueFile);
  const reported = asSet([...environment.failed, ...findings.map((finding) => finding.path)]);
  const validated = v.safeParse(fileSchema, tree);
  for (const issue of validated.issues ?? []) findings.push(...findingsOf(issue, tree, reported));
  const failed = [
    ...environment.failed,
    ...(validated.issues ?? []).map(pathOf),
    ...findings.map((finding) => finding.path),
  ];
  const draft = programForm(declaration, without(validated.output, failed));
  const checked = check(draft as Draft<Config>, tree, system, readFile);
  // Nothing is missing in a table that is none, nor where a variable has given no value.
  const isNews = ({ path, message }: Finding) =>
    !message.startsWith("is missing") || ![path, path.slice(0, -1)].some((at) => reported.has(JSON.stringify(at)));
  findings.push(...checked.problems.filter(isNews));
  const fit = fitLimits(draft, tree, system);
  if (fit.kind === "too many") findings.push({ path: CONNECTIONS, at: "value", message: fit.message });

  const place = ({ path, at, message }: Finding): Diagnostic => {
    return { source: sourceOf(path, at, value, environment.sources, locate), path: pathText(path, tree), message };
  };
  const problems = [...environment.problems, ...onePerPath(findings).map(place)];
  if (problems.length > 0) return { ok: false, problems: inOrder(problems) };
  const warnings = checked.warnings.map(place);
  if (fit.kind === "lowered") {
    // A default stands nowhere: not in the file, not in a variable.
    warnings.push({ source: { kind: "program" }, path: pathText(CONNECTIONS, tree), message: fit.message });
    draft.limits.connections = fit.connections;
  }
  return { ok: true, config: draft, warnings: inOrder(warnings) };
}

const CONNECTIONS: Path = ["limits", "connections"];

/** An invalid number of connections is missing in `draft`, and has been reported. */
function fitLimits(draft: Draft<Config>, tree: unknown, system: SystemFacts): Fit {
  const connections = draft.limits?.connections;
  if (connections === undefined) return { kind: "fits" };
  const { spliceFds = 0, splices = false } = system;
  const engineFds = draft.forwarding?.engine === "copy" && !splices ? 0 : spliceFds;
  const checks = draft.backends?.some((backend) => backend?.health !== undefined) === true ? checksAtOnceMax : 0;
  const facts = { ...system, fdReserve: system.fdReserve + engineFds + checks };
  return fitConnections(connections, valueAt(tree, CONNECTIONS) !== undefined, facts);
}

/** One mistake, one line: a check that stumbles over a value already reported says nothing new. */
function onePerPath(findings: Finding[]): Finding[] {
  const byPath = new Map<string, Finding>();
  for (const finding of findings) {
    const key = JSON.stringify(finding.path);
    if (!byPath.has(key)) byPath.set(key, finding);
  }
  return [...byPath.values()];
}

/** What is wrong with the variables, as far as that can be told without the file: nothing is missing, no name is unknown. */
export function variableProblems(env: Environment, readValueFile: ReadValueFile): Diagnostic[] {
  const tree = {};
  const environment = overlay(declaration, tree, env, readValueFile);
  const issues = (v.safeParse(fileSchema, tree).issues ?? []).filter((issue) => issue.message !== "is missing");
  const findings = onePerPath(issues.flatMap((issue) => findingsOf(issue, tree, asSet(environment.failed))));
  const placed = findings.map(({ path, at, message }) => {
    const source = sourceOf(path, at, {}, environment.sources, () => ({ kind: "program" }));
    return { source, path: pathText(path, tree), message };
  });
  return inOrder([...environment.problems, ...placed]);
}

/**
 * A value of a variable stands at the variable, and so does what is inside a list that a variable gave, and what is missing
 * beside a variable in a table that the file does not have. All else stands in the file.
 */
function sourceOf(path: Path, at: Finding["at"], file: unknown, sources: Map<string, Source>, locate: Locate): Source {
  for (let length = path.length; length > 0; length--) {
    const prefix = path.slice(0, length);
    const source = sources.get(JSON.stringify(prefix));
    if (source !== undefined) return source;
    if (valueAt(file, prefix) !== undefined) break;
    // The paths are JSON: a longer one begins with the shorter one, less its bracket.
    const below = [...sources].find(([other]) => other.startsWith(`${JSON.stringify(prefix).slice(0, -1)},`));
    if (below !== undefined) return below[1];
  }
  return locate(path, at);
}

function asSet(paths: Path[]): Set<string> {
  return new Set(paths.map((path) => JSON.stringify(path)));
}

/**
 * The findings of one issue. Of a value that may take several forms, only the form that was meant counts. Nothing is missing
 * where something unusable stands, nor in a table that is none: `reported` has those.
 */
function findingsOf(issue: v.BaseIssue<unknown>, tree: unknown, reported: Set<string>, parents: Path = []): Finding[] {
  const path = [...parents, ...pathOf(issue)];
  const refused = plannedFinding(path, issue, tree);
  if (refused !== undefined) return [refused];
  if (issue.type === "union") {
    const meant = (issue.issues ?? []).filter((inner) => inner.path !== undefined || inner.kind !== "schema");
    if (meant.length > 0) return meant.flatMap((inner) => findingsOf(inner, tree, reported, path));
  }
  if (issue.message !== "is missing") return [{ path, at: "value", message: issue.message }];
  if (reported.has(JSON.stringify(path)) || reported.has(JSON.stringify(path.slice(0, -1)))) return [];
  const member = memberAt(declaration, path);
  const example =
    member?.sort === "key" && member.example !== undefined
      ? `, wanted for example ${path.at(-1)} = ${tomlText(member.example)}`
      : "";
  return [{ path, at: "value", message: `is missing${example}` }];
}

function pathOf(issue: v.BaseIssue<unknown>): Path {
  return (issue.path ?? []).map((item) => item.key as string | number);
}

/** A key that is not built yet shows what was written, not what it was read as. */
function plannedFinding(path: Path, issue: v.BaseIssue<unknown>, tree: unknown): Finding | undefined {
  const member = memberAt(declaration, path);
  if (member?.sort !== "key" || member.planned === undefined || issue.type !== "check") return undefined;
  return { path, at: "value", message: notSupported(member, valueAt(tree, path)) };
}

function memberAt(members: Members, path: Path): Member | undefined {
  let at: Members | undefined = members;
  let member: Member | undefined;
  for (const step of path) {
    if (typeof step === "number") continue;
    member = at?.[step];
    at = member?.sort === "key" ? member.element : member?.members;
  }
  return member;
}

/** The validated values without those that failed. valibot's output is a copy wherever it descended, so the user's tree stays as it is. */
function without(output: unknown, failed: Path[]): Record<string, unknown> {
  const root: Record<string, unknown> = { output };
  for (const path of failed) {
    let at: unknown = root;
    for (const step of ["output", ...path].slice(0, -1)) at = child(at, step);
    const last = ["output", ...path].at(-1);
    if (last !== undefined && child(at, last) !== undefined) (at as Record<string | number, unknown>)[last] = undefined;
  }
  return (root["output"] ?? {}) as Record<string, unknown>;
}
