/** Counts the tests that a test file declares, by reading it: what the runner must report at least. */

/**
 * How many calls of `test` and `it` stand in a TypeScript source, `test.skip`, `test.each` and the like included.
 * A table (`test.each`) and a loop count once: they run more, never fewer. What stands in comments, strings, templates
 * and regular expressions does not count.
 */
export function countDeclaredTests(source: string): number {
  // Of a literal its first character stays, so that a template after a tag is seen.
  const code = source.replace(COMMENT_OR_LITERAL, (text) => (text.startsWith("/") ? " " : text[0]!));
  return [...code.matchAll(DECLARATION)].length;
}

/**
 * Of a template within a template the text counts as code: it comes out even, and at worst declares too many, which is
 * seen. A slash begins a regular expression where no value stands before it.
 */
const COMMENT_OR_LITERAL = new RegExp(
  [
    String.raw`\/\/.*|\/\*[^]*?\*\/`,
    String.raw`"(?:\\[^]|[^"\\\n])*"`,
    String.raw`'(?:\\[^]|[^'\\\n])*'`,
    "`(?:\\\\[^]|[^`\\\\])*`",
    String.raw`(?<=(?:[=(,:;[!&|?{}>]|\breturn|^)\s*)\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^[/\\\n])+\/`,
  ].join("|"),
  "gm",
);

/** `test(`, `it.skip(`, `test.each<Row>(`, and test.each with a template; not `x.test(`, nor `function test(`. */
const DECLARATION = /(?<![\w$.]|function\s)(?:test|it)(?:\s*\.\s*\w+)*\s*(?:<[^;{}()]*>)?\s*[(`]/g;
