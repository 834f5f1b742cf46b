/** docs/configuration.md, generated from the declaration. */
import { hasNames, isRequired, type Key, type Members, type Table } from "./declaration.ts";
import { variablePart } from "./environment.ts";
import { AFTER, BEFORE } from "./reference-text.ts";
import { declaration } from "./schema.ts";
import { tomlText } from "./toml-text.ts";

/** The whole page, Markdown. `bun src/config/write-reference.ts` writes it; a test compares. */
export function configurationReference(): string {
  return `${[BEFORE, ...sections(declaration, "", "SLUICE", "##"), AFTER].map((part) => part.trim()).join("\n\n")}\n`;
}

/** `variable` is how the variables of the tables begin; undefined where none reaches them. */
function sections(members: Members, parent: string, variable: string | undefined, level: string): string[] {
  const parts: string[] = [];
  for (const [name, member] of Object.entries(members)) {
    if (member.sort === "key") {
      if (member.element !== undefined) parts.push(...elementSection(parent, name, member.element, level));
      continue;
    }
    const path = parent === "" ? name : `${parent}.${name}`;
    const inner = variableOf(variable, name, member);
    parts.push(`${level} ${member.sort === "tables" ? `\`[[${path}]]\`` : `\`[${path}]\``}`);
    parts.push(member.doc);
    // A listener's timeouts are the keys of [timeouts], without defaults of their own.
    if (member.sort === "overrides") {
      parts.push(`The keys of \`[${name}]\`; variables begin with \`${inner}_\`.`);
      continue;
    }
    parts.push(keyTable(member.members, inner));
    parts.push(...sections(member.members, path, inner, "###"));
  }
  return parts;
}

function variableOf(parent: string | undefined, name: string, table: Table): string | undefined {
  if (parent === undefined) return undefined;
  const begin = `${parent}_${variablePart(name)}`;
  if (table.sort !== "tables") return begin;
  return hasNames(table) ? `${begin}_<NAME>` : undefined;
}

function elementSection(parent: string, name: string, members: Members, level: string): string[] {
  const title = `${level} An element of \`${parent}.${name}\``;
  return [title, "An address in quotes, or a table with these keys.", keyTable(members, undefined)];
}

function keyTable(members: Members, variable: string | undefined): string {
  const rows = Object.entries(members).flatMap(([name, member]) => {
    if (member.sort !== "key") return [];
    const inVariables = variable === undefined || name === "name" ? [] : [`\`${variable}_${variablePart(name)}\``];
    const row = [`\`${name}\``, member.kind.says, defaultText(member), meaning(member)];
    return [variable === undefined ? row : [...row, inVariables[0] ?? ""]];
  });
  return markdownTable([
    ["key", "value", "default", "meaning", ...(variable === undefined ? [] : ["variable"])],
    ...rows,
  ]);
}

function meaning({ doc, planned, startOnly }: Key): string {
  return `${doc}${startOnly ? " **Read at start only.**" : ""}${planned ? " **Not supported yet.**" : ""}`;
}

function defaultText(member: Key): string {
  return isRequired(member) ? "required" : `\`${tomlText(member.fallback ?? "")}\``;
}

/** Columns are padded as `bun fmt` pads them, so that the page stays as it was generated. */
function markdownTable(rows: string[][]): string {
  const cells = rows.map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = (cells[0] ?? []).map((_, column) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row: string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const [head = [], ...body] = cells;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n");
}
