/** From the text of a file to the tree of its values, and every way in which the text is not TOML. */
import TOML from "@iarna/toml";
import { type AST, ParseError, parseTOML, traverseNodes } from "toml-eslint-parser";
import { keepByteEscapes } from "./byte-escapes.ts";
import { inOurWords, lowerFirst } from "./syntax-words.ts";

/** The values of a file, or the place and the words of the one mistake that ended reading. Lines and columns count from 1. */
export type ParsedToml =
  { ok: true; value: unknown } | { ok: false; line: number; column: number; name: string; message: string };

/** What ended reading, by its offset in the text that the parsers saw. */
interface Mistake {
  ok: false;
  offset: number;
  name: string;
  message: string;
}

/** Reads TOML 1.0. Line ends may be CRLF, and `\xHH` in a basic string stays in the value as it is written. */
export function parseToml(original: string): ParsedToml {
  const text = withoutCarriageReturns(original);
  const carriageReturn = text.indexOf("\r");
  if (carriageReturn !== -1) {
    const message = "found a carriage return without a line feed, wanted LF or CRLF line ends";
    return placed(text, mistake(carriageReturn, "", message));
  }
  const escaped = keepByteEscapes(text);
  const outcome = read(escaped.text);
  return outcome.ok ? outcome : placed(text, { ...outcome, offset: escaped.originalOffset(outcome.offset) });
}

function read(text: string): { ok: true; value: unknown } | Mistake {
  const screened = screen(text);
  if (screened !== undefined) return screened;
  try {
    return { ok: true, value: TOML.parse(text) };
  } catch (error) {
    return explain(text, error);
  }
}

/** @iarna/toml 3.0.0 refuses a comment that ends in CRLF (its issue 33); positions stay what they were. */
export function withoutCarriageReturns(text: string): string {
  return text.replaceAll("\r\n", "\n");
}

/** The syntax tree with positions, or undefined where that parser gives up although the other did not. */
export function syntaxTree(text: string): AST.TOMLProgram | undefined {
  // Valid TOML 1.0 means the same in 1.1, which has \xHH.
  return treeOf(withoutCarriageReturns(text), "1.1");
}

function treeOf(text: string, tomlVersion: "1.0" | "1.1"): AST.TOMLProgram | undefined {
  try {
    return parseTOML(text, { tomlVersion });
  } catch {
    return undefined;
  }
}

/** The name of a key in the syntax tree, unquoted. */
export function keyName(key: AST.TOMLBare | AST.TOMLQuoted): string {
  return key.type === "TOMLBare" ? key.name : key.value;
}

/** Names that every object has. @iarna/toml 3.0.0 follows `constructor.x = 1` into the runtime's own Object and writes there. */
const INHERITED = new Set(Object.getOwnPropertyNames(Object.prototype));
/** Text that may hold such a name as a key: the names themselves, and escapes that could spell one. */
const MAY_BE_INHERITED = new RegExp(`\\\\[uU]|${[...INHERITED].join("|")}`);

/** Refuses keys named like an object's own members before the other parser sees them. No key of ours has such a name. */
function screen(text: string): Mistake | undefined {
  if (!MAY_BE_INHERITED.test(text)) return undefined;
  try {
    let refused: Mistake | undefined;
    traverseNodes(parseTOML(text, { tomlVersion: "1.0" }), {
      enterNode(node) {
        if (refused !== undefined || (node.type !== "TOMLBare" && node.type !== "TOMLQuoted")) return;
        const name = keyName(node);
        if (INHERITED.has(name)) refused = mistake(node.range[0], name, `unknown key "${name}"`);
      },
      leaveNode() {},
    });
    return refused;
  } catch (error) {
    return explain(text, error);
  }
}

/** The words for an exception of either parser. */
function explain(text: string, error: unknown): Mistake {
  if (error instanceof RangeError) return mistake(0, "", "not valid configuration: values are nested too deeply");
  if (error instanceof ParseError) return mistake(error.index, "", `not valid TOML: ${lowerFirst(error.message)}`);
  if (!(error instanceof Error)) return mistake(0, "", "not valid TOML");
  const sentence = (error.message.split("\n")[0] ?? "").replace(/ at row [0-9]+, col [0-9]+, pos [0-9]+:?$/, "");
  // `pos` is one past the character at fault; `line` and `col` count from 0 and disagree about the first line.
  const offset = "pos" in error && typeof error.pos === "number" ? Math.max(0, error.pos - 1) : undefined;
  if (offset === undefined) return impossibleDate(text);
  if (sentence.startsWith("Can't redefine") || sentence.startsWith("Can't extend")) return redefined(text, offset);
  return misreadDate(text, offset) ?? mistake(offset, "", `not valid TOML: ${inOurWords(sentence, text, offset)}`);
}

/** A month 13 has no position in the one parser; the other points behind it. */
function impossibleDate(text: string): Mistake {
  const message = "not valid TOML: found a date or time that does not exist";
  try {
    parseTOML(text, { tomlVersion: "1.0" });
  } catch (error) {
    if (error instanceof ParseError) {
      const date = /[-+:.0-9TtZz]*$/.exec(text.slice(0, error.index));
      return mistake(date?.index ?? error.index, "", message);
    }
  }
  return mistake(0, "", message);
}

/**
 * @iarna/toml 3.0.0 takes the character behind some dates for a part of them: the line end after "07:32:00", the bracket of
 * [1979-05-27]. Where the text is TOML to the other parser, the last date before the place is the one. No key of ours is a date.
 */
function misreadDate(text: string, offset: number): Mistake | undefined {
  const tree = treeOf(text, "1.0");
  if (tree === undefined) return undefined;
  let start: number | undefined;
  traverseNodes(tree, {
    enterNode(node) {
      if (node.type !== "TOMLValue" || node.range[0] > offset) return;
      if (DATES.has(node.kind)) start = node.range[0];
    },
    leaveNode() {},
  });
  if (start === undefined) return undefined;
  return mistake(start, "", "found a date or time, which no key takes (text needs quotes)");
}

const DATES = new Set<string>(["offset-date-time", "local-date-time", "local-date", "local-time"]);

/** The other parser points at the second definition itself. */
function redefined(text: string, offset: number): Mistake {
  const message = "not valid TOML: this key or table is defined a second time, wanted it once";
  try {
    parseTOML(text, { tomlVersion: "1.0" });
  } catch (error) {
    if (error instanceof ParseError) return mistake(error.index, "", message);
  }
  return mistake(offset, "", message);
}

function mistake(offset: number, name: string, message: string): Mistake {
  return { ok: false, offset, name, message };
}

function placed(text: string, { offset, name, message }: Mistake): ParsedToml {
  const before = text.slice(0, offset);
  const line = before.split("\n").length;
  return { ok: false, line, column: before.length - (before.lastIndexOf("\n") + 1) + 1, name, message };
}
