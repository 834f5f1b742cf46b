/** `\xHH` in TOML's basic strings: it reaches the value as it is written, and every place in the file stays right. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { positionsIn } from "../../src/config/positions.ts";
import { parseToml } from "../../src/config/toml.ts";
import { tomlText } from "../../src/config/toml-text.ts";

function valueOf(text: string): unknown {
  const parsed = parseToml(text);
  if (!parsed.ok) throw new Error(`${parsed.line}:${parsed.column} ${parsed.message}`);
  return parsed.value;
}

function mistakeIn(text: string): string {
  const parsed = parseToml(text);
  return parsed.ok
    ? `no mistake: ${JSON.stringify(parsed.value)}`
    : `${parsed.line}:${parsed.column} ${parsed.message}`;
}

const QUOTES = "'''";

describe("an escape of a byte reaches the value as its four characters", () => {
  const rows: [what: string, text: string, value: string][] = [
    ["in a basic string", '"\\x16\\x03"', "\\x16\\x03"],
    ["in a literal string, which has no escapes", "'\\x16\\x03'", "\\x16\\x03"],
    ["in a basic string of several lines", '"""\n\\x16\n\\x03"""', "\\x16\n\\x03"],
    ["in a literal string of several lines", `${QUOTES}\n\\x16\n\\x03${QUOTES}`, "\\x16\n\\x03"],
    ["in either letter case", '"\\xfF"', "\\xfF"],
    ["with text around it, and a third digit", '"SSH\\x2d2.0\\x0123"', "SSH\\x2d2.0\\x0123"],
    ["beside other escapes, which are decoded", '"\\u0016\\x16\\n\\"\\x03"', '\u0016\\x16\n"\\x03'],
    ["not behind an escaped backslash, where it is text to begin with", '"\\\\x16"', "\\x16"],
    ["behind an escaped backslash that stands for one", '"\\\\\\x16"', "\\\\x16"],
    ["behind an escaped quote", '"\\"\\x16"', '"\\x16'],
    ["behind the line end that a backslash takes away", '"""\\\n  \\x16"""', "\\x16"],
    ["between quotes in a string of several lines", '""""\\x16""\\x03"""""', '"\\x16""\\x03""'],
    ["beside an apostrophe", '"it\'s \\x16"', "it's \\x16"],
    ["beside what begins a comment elsewhere", '"#\\x16"', "#\\x16"],
  ];
  test.each(rows)("%s", (_what, text, value) => {
    expect(valueOf(`x = ${text} # "\\x16\ny = ["a", ${text}]\n`)).toEqual({ x: value, y: ["a", value] });
  });

  test("behind strings and comments of every sort", () => {
    const text = [
      "# it's \"not a string",
      "empty = ''",
      'none = ""',
      "literal = 'a\"\\'",
      `lines = ${QUOTES}a"""'b${QUOTES}${"'"}`,
      '"quoted#" = "\\\\" # "',
      'x = "\\x16"',
    ];
    expect(valueOf(text.join("\r\n"))).toEqual({
      empty: "",
      none: "",
      literal: 'a"\\',
      lines: 'a"""\'b\'',
      "quoted#": "\\",
      x: "\\x16",
    });
  });
});

describe("a mistake keeps its place", () => {
  const ESCAPE = 'wanted one of b, t, n, f, r, ", \\, u, U, or x and two hexadecimal digits, after a "\\"';
  const END = "wanted the end of the line (text needs quotes)";
  const rows: [what: string, text: string, mistake: string][] = [
    ["behind escapes on the same line", 'x = "\\x16\\x03" y', `1:16 not valid TOML: found "y", ${END}`],
    ["between escapes", 'x = "\\x16" y = "\\x03"', `1:12 not valid TOML: found "y", ${END}`],
    ["on a line of its own", 'x = "\\x16\\x03"\ny = 5s', `2:6 not valid TOML: found "s", ${END}`],
    ["in the string itself", 'x = "\\x16\\q"', `1:11 not valid TOML: found "q", ${ESCAPE}`],
    [
      "where a string ends too early",
      'x = "\\x16\n',
      "1:10 not valid TOML: found the end of the line, wanted the closing quote on the same line",
    ],
    ["with one digit", 'x = "\\x1"', `1:7 not valid TOML: found "x", ${ESCAPE}`],
    ["without a digit", 'x = "\\xg0"', `1:7 not valid TOML: found "x", ${ESCAPE}`],
    [
      "of a second definition",
      'x = "\\x16"\ny = ["\\x03"]\nx = 1',
      "3:1 not valid TOML: this key or table is defined a second time, wanted it once",
    ],
    [
      "of a date, on the same line",
      'x = ["\\x16", 1979-05-27]',
      "1:14 found a date or time, which no key takes (text needs quotes)",
    ],
    [
      "of a name that objects have, on the same line",
      'x = { a = "\\x16", constructor = 1 }',
      '1:19 unknown key "constructor"',
    ],
  ];
  test.each(rows)("%s", (_what, text, mistake) => {
    expect(mistakeIn(text)).toBe(mistake);
  });
});

test("keys and values behind escapes keep their places", () => {
  const at = positionsIn(
    "config.toml",
    '[[route]]\nprefix = "\\x16\\x03"\nboth = ["\\x16", 5, { a = "\\x03", b = 6 }]\n',
  );
  const file = { kind: "file", file: "config.toml" } as const;
  expect(at(["route", 0, "prefix"], "value")).toEqual({ ...file, line: 2, column: 10 });
  expect(at(["route", 0, "both", 1], "value")).toEqual({ ...file, line: 3, column: 17 });
  expect(at(["route", 0, "both", 2, "b"], "key")).toEqual({ ...file, line: 3, column: 34 });
  expect(at(["route", 0, "both", 2, "b"], "value")).toEqual({ ...file, line: 3, column: 38 });
});

const piece = fc.oneof(
  fc.constantFrom("\\x16", "\\xfF", "\\\\", '\\"', "\\n", "\\u00e9", "'", "''", "#", "x16", " ", "é", "🦥"),
  fc.string({ unit: "grapheme-ascii", maxLength: 3 }).filter((text) => !/["\\]/.test(text)),
);
const content = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(""));

test("a string with escapes means the same as the literal string of the same bytes, and is printed so that it reads back", () => {
  fc.assert(
    fc.property(fc.array(content, { minLength: 1, maxLength: 4 }), (contents) => {
      const text = contents.map((inside, index) => `k${index} = "${inside}" # "\\x00 '\n`).join("");
      // What a parser with these escapes alone would make of it.
      const wanted = contents.map((inside, index) => [
        `k${index}`,
        JSON.parse(`"${inside.replace(/\\(?:(x)|([^]))/g, (_, byte, other) => (byte ? "\\\\x" : `\\${other}`))}"`),
      ]);
      expect(valueOf(text)).toEqual(Object.fromEntries(wanted));
      for (const [, value] of wanted) expect(valueOf(`x = ${tomlText(value)}`)).toEqual({ x: value });
    }),
  );
});

const token = fc.constantFrom(
  '"',
  '"""',
  "'",
  "'''",
  "\\",
  "\\x16",
  "\\x",
  "\\xff",
  "#",
  "\n",
  "x",
  " = ",
  "5",
  "[",
  "]",
  "🦥",
);

test("random text is taken or refused as it would be with an escape that the parser knows, at the same place", () => {
  // As long as ours: what it means differs; whether it is valid, and where it is not, does not.
  const known = (text: string) => text.replaceAll(/\\x(?=[0-9A-Fa-f]{2})/g, "\\t");
  let valid = 0;
  fc.assert(
    fc.property(fc.array(token, { maxLength: 16 }), (tokens) => {
      const text = `x = ${tokens.join("")}`;
      const [ours, theirs] = [parseToml(text), parseToml(known(text))];
      if (ours.ok && theirs.ok) valid++;
      else expect(ours).toEqual(theirs);
    }),
    { numRuns: 3000 },
  );
  expect(valid).toBeGreaterThan(20);
});
