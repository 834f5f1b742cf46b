/** Line and column of keys and values in a file, for diagnostics only: nothing is parsed until the first question. */
import type { AST } from "toml-eslint-parser";
import type { Finding, Path, Source } from "./diagnostic.ts";
import { keyName, syntaxTree, withoutCarriageReturns } from "./toml.ts";

/** Where a finding stands. What is missing stands at its table's header. */
export type Locate = (path: Path, at: Finding["at"]) => Source;

/** Deeper than any key of ours; what lies below stands at this depth's position. */
const DEPTH_MAX = 16;

interface Position {
  line: number;
  column: number;
}
/** Positions by path, as JSON. */
type Index = Map<string, Partial<Record<Finding["at"], Position>>>;

/** Positions in `text`, which is valid TOML. */
export function positionsIn(file: string, text: string): Locate {
  let index: Index | undefined;
  return (path, at) => {
    index ??= indexOf(text);
    for (let length = path.length; length > 0; length--) {
      const found = index.get(JSON.stringify(path.slice(0, length)));
      // A missing key is looked for by its value and found as its table: the header is where to add it.
      const position = (length === path.length ? found?.[at] : found?.key) ?? found?.value ?? found?.key;
      if (position !== undefined) return { kind: "file", file, ...position };
    }
    const position = firstMention(text, path[0]);
    return position === undefined ? { kind: "whole file", file } : { kind: "file", file, ...position };
  };
}

function indexOf(text: string): Index {
  const index: Index = new Map();
  const tree = syntaxTree(text);
  if (tree === undefined) return index;
  for (const node of tree.body[0].body) {
    if (node.type === "TOMLKeyValue") {
      addKeyValue(index, [], node);
      continue;
    }
    addParents(index, node.resolvedKey, node.loc.start);
    add(index, node.resolvedKey, "key", node.loc.start);
    for (const inside of node.body) addKeyValue(index, node.resolvedKey, inside);
  }
  return index;
}

function addKeyValue(index: Index, table: Path, node: AST.TOMLKeyValue): void {
  const path = [...table, ...node.key.keys.map(keyName)];
  addParents(index, path, node.key.loc.start);
  add(index, path, "key", node.key.loc.start);
  addValue(index, path, node.value);
}

function addValue(index: Index, path: Path, node: AST.TOMLContentNode): void {
  if (path.length > DEPTH_MAX) return;
  add(index, path, "value", node.loc.start);
  if (node.type === "TOMLArray") {
    for (const [element, inside] of node.elements.entries()) addValue(index, [...path, element], inside);
  } else if (node.type === "TOMLInlineTable") {
    for (const inside of node.body) addKeyValue(index, path, inside);
  }
}

/** Tables that are only mentioned on the way (`[a.b]`, `a.b = 1`) stand where they are mentioned first. */
function addParents(index: Index, path: Path, start: AST.Position): void {
  for (let length = 1; length < Math.min(path.length, DEPTH_MAX); length++) {
    const parent = path.slice(0, length);
    if (!index.has(JSON.stringify(parent))) add(index, parent, "key", start);
  }
}

/** The first position stays: that is where a table begins. */
function add(index: Index, path: Path, at: Finding["at"], start: AST.Position): void {
  if (path.length > DEPTH_MAX) return;
  const key = JSON.stringify(path);
  const entry = index.get(key) ?? {};
  entry[at] ??= { line: start.line, column: start.column + 1 };
  index.set(key, entry);
}

/** For a file too deep for the syntax tree: the first line that begins with the name. */
function firstMention(text: string, name: string | number | undefined): Position | undefined {
  if (typeof name !== "string" || !/^[A-Za-z0-9_-]+$/.test(name)) return undefined;
  const lines = withoutCarriageReturns(text).split("\n");
  const line = lines.findIndex((candidate) => new RegExp(`^\\s*\\[{0,2}\\s*${name}\\b`).test(candidate));
  return line === -1 ? undefined : { line: line + 1, column: 1 };
}
