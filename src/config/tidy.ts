/** The first look at a tree of values: unknown keys and values where a table belongs are reported, what remains is a copy of the declared keys. */
import { nearestWord } from "../core/did-you-mean.ts";
import type { Member, Members } from "./declaration.ts";
import type { Finding, Path } from "./diagnostic.ts";
import { describe, sortOf } from "./found.ts";

/** A table of the file's form that holds declared keys only. */
export type Tree = Record<string, unknown>;

/** Copies the declared tables of `value` (keys' values are shared, not copied) and adds what does not belong there to `findings`. */
export function tidy(members: Members, value: unknown, findings: Finding[], path: Path = []): Tree {
  const tree: Tree = {};
  if (!isTable(value)) {
    // Whoever writes `admin = "…"` may well have written the token.
    const holdsSecret = Object.values(members).some((member) => member.sort === "key" && member.kind.secret);
    const message = `found ${holdsSecret ? sortOf(value) : describe(value)}, wanted a table`;
    findings.push({ path, at: "value", message });
    return tree;
  }
  for (const [name, inside] of Object.entries(value)) {
    const member = Object.hasOwn(members, name) ? members[name] : undefined;
    if (member === undefined) findings.push(unknownKey(members, name, path));
    else if (inside !== undefined) keep(tree, name, member, inside, findings, [...path, name]);
  }
  return tree;
}

/** True for an object that stands for a TOML table. */
export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function keep(tree: Tree, name: string, member: Member, value: unknown, findings: Finding[], path: Path): void {
  switch (member.sort) {
    case "key":
      tree[name] = value;
      if (member.element !== undefined) tree[name] = tidyElements(member.element, value, findings, path);
      return;
    case "tables":
      if (Array.isArray(value))
        tree[name] = value.map((entry, index) => tidy(member.members, entry, findings, [...path, index]));
      else
        findings.push({
          path,
          at: "key",
          message: `found ${describe(value)}, wanted tables, each beginning with [[${headerOf(path)}]]`,
        });
      return;
    case "table":
    case "optional table":
    case "overrides":
      tree[name] = tidy(member.members, value, findings, path);
      return;
  }
}

/** `listener.route`: as a header has it, without the numbers of entries. */
function headerOf(path: Path): string {
  return path.filter((step) => typeof step === "string").join(".");
}

/** Text, numbers and the like are the schema's to judge; lists and dates it would take for tables (valibot 1.5.0). */
function tidyElements(members: Members, value: unknown, findings: Finding[], path: Path): unknown {
  if (!Array.isArray(value)) return value;
  return value.map((element, index) => {
    const at = [...path, index];
    if (isTable(element)) return tidy(members, element, findings, at);
    if (typeof element === "object" && element !== null) {
      findings.push({ path: at, at: "value", message: `found ${describe(element)}, wanted text in quotes or a table` });
    }
    return element;
  });
}

function unknownKey(members: Members, name: string, path: Path): Finding {
  const nearest = nearestWord(name, Object.keys(members));
  const hint =
    nearest === undefined ? `, wanted one of ${Object.keys(members).join(", ")}` : ` (did you mean "${nearest}"?)`;
  return { path: [...path, name], at: "key", message: `unknown key ${describe(name)}${hint}` };
}
