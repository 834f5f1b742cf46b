/** A problem or a warning of the configuration: where it is, what was found, what was wanted. */

/** Where a value came from. */
export type Source =
  | { kind: "file"; file: string; line: number; column: number }
  /** The file as a whole: it cannot be read, or something is missing in it. */
  | { kind: "whole file"; file: string }
  /** An environment variable, and the file that it names when it ends in _FILE. */
  | { kind: "variable"; variable: string; file: string | undefined }
  /** A value that the program itself handed over: a command's arguments, a default, a test. */
  | { kind: "program" };

/** Where a value stands: names of tables and keys, indices of entries. [] is the whole configuration. */
export type Path = readonly (string | number)[];

/** A problem before its place is known. `at` says whether the key or its value is at fault. */
export interface Finding {
  path: Path;
  at: "key" | "value";
  message: string;
}

/** A problem or a warning with its place. `path` is for people: entries stand by their names. */
export interface Diagnostic {
  source: Source;
  path: string;
  message: string;
}

/** One line: `config.toml:14:9 listener.web.backend: unknown backend "ap" (did you mean "app"?)`. */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const where = [sourceText(diagnostic.source), diagnostic.path].filter((part) => part !== "").join(" ");
  return oneLine(where === "" ? diagnostic.message : `${where}: ${diagnostic.message}`);
}

/** Names of files and variables, and text in quotes, may hold anything; a line stays one line, and a terminal is not steered by it. */
export function oneLine(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** In the order of the file, then the variables by name; what belongs to no line comes first. */
export function inOrder(diagnostics: Diagnostic[]): Diagnostic[] {
  return diagnostics.toSorted((a, b) => {
    const [rankA, rankB] = [rank(a.source), rank(b.source)];
    if (rankA !== rankB) return rankA - rankB;
    if (a.source.kind === "file" && b.source.kind === "file") {
      return a.source.line - b.source.line || a.source.column - b.source.column;
    }
    if (a.source.kind === "variable" && b.source.kind === "variable") {
      return a.source.variable < b.source.variable ? -1 : a.source.variable > b.source.variable ? 1 : 0;
    }
    return 0;
  });
}

/** `listener.web.timeouts.idle`: an entry by its name when that is a name and no other entry has it, else by its index. */
export function pathText(path: Path, tree: unknown): string {
  let at: unknown = tree;
  const parts: string[] = [];
  for (const step of path) {
    const inside = child(at, step);
    parts.push(typeof step === "number" ? (entryName(at, step) ?? String(step)) : keyText(step));
    at = inside;
  }
  return parts.join(".");
}

/** What stands at a step below a value; undefined when there is nothing. Only own properties count. */
export function child(value: unknown, step: string | number): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
  return (value as Record<string | number, unknown>)[step];
}

/** What stands at a path. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(child, value);
}

function entryName(list: unknown, index: number): string | undefined {
  const name = child(child(list, index), "name");
  if (typeof name !== "string" || !/^[A-Za-z0-9_-]{1,64}$/.test(name) || !Array.isArray(list)) return undefined;
  return list.filter((entry) => child(entry, "name") === name).length === 1 ? name : undefined;
}

function keyText(name: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(name)) return name;
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name);
}

function sourceText(source: Source): string {
  switch (source.kind) {
    case "file":
      return `${source.file}:${source.line}:${source.column}`;
    case "whole file":
      return source.file;
    case "variable":
      return source.file === undefined ? source.variable : `${source.variable} (${source.file})`;
    case "program":
      return "";
  }
}

function rank(source: Source): number {
  return source.kind === "file" ? 1 : source.kind === "variable" ? 2 : 0;
}
