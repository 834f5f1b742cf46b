/** What @iarna/toml 3.0.0 says about broken TOML, in our words: what was found, what was wanted. */

const CLOSING = 'a comma or the closing "]" or "}"';
const NUMBER = "a digit, as in 10_000, 0.5 or 1e6 (text needs quotes)";
const DATE = "a date or time, or text in quotes";

/** [how a sentence begins, what was wanted]; the first that fits. */
const WANTED: readonly (readonly [string, string])[] = [
  ["Unknown character", "a key or a [table]"],
  ["Unexpected character, expected only whitespace", "the end of the line (text needs quotes)"],
  ['Invalid character, expected "="', '"=" after the key'],
  ["Unexpected character, expected whitespace, . or ]", '"]" after the name of the table'],
  ["Key ", '"=" and a value after the key'],
  ["Empty bare keys", "a key"],
  [
    "Unexpected character, expecting string",
    'a value: "text" in quotes, a number, true, false, a [list] or a { table }',
  ],
  ["Invalid boolean", "true or false (text needs quotes)"],
  ['Unexpected character, expected "', "inf or nan (text needs quotes)"],
  ["Unterminated string", "the closing quote on the same line"],
  ["Unterminated multi-line string", "the three closing quotes"],
  ["Control characters", "an escape for it, such as \\t or \\u0000"],
  ["Can't escape whitespace", 'one of b, t, n, f, r, ", \\, u, U, or x and two hexadecimal digits, after a "\\"'],
  ["Unknown escape character", 'one of b, t, n, f, r, ", \\, u, U, or x and two hexadecimal digits, after a "\\"'],
  ["Invalid character in unicode", "a hexadecimal digit"],
  ["Invalid unicode", "the code of a character"],
  ["Unterminated inline array", CLOSING],
  ["Invalid character, expected whitespace, comma", CLOSING],
  ["Empty elements in inline tables", "a key"],
  ["Trailing commas in inline tables", "a further key after the comma"],
  ["Expected digit while parsing year", "a date, or a number without a zero in front"],
  ["Expected hyphen", DATE],
  ["Unexpected character in datetime", DATE],
  ["Expected digit in milliseconds", DATE],
  ["Incomplete datetime", DATE],
  ["Incomplete time", DATE],
  ["Years less than", DATE],
  ["Months less than", DATE],
  ["Days less than", DATE],
  ["Hours less than", DATE],
  ["Invalid number", NUMBER],
  ["Incomplete number", NUMBER],
  ["Unexpected character, expected", NUMBER],
];

/** `found "q", wanted …` for the parser's sentence, with what stands at the place of the mistake. */
export function inOurWords(sentence: string, text: string, offset: number): string {
  const found = characterAt(text, offset);
  const wanted = WANTED.find(([beginning]) => sentence.startsWith(beginning))?.[1];
  if (wanted !== undefined) return `found ${found}, wanted ${wanted}`;
  return sentence === "" ? `found ${found}, which does not belong there` : `found ${found}: ${lowerFirst(sentence)}`;
}

/** A sentence to go on with after a colon. */
export function lowerFirst(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}

/** One character and no more: what follows may be a secret. */
function characterAt(text: string, offset: number): string {
  const codePoint = text.codePointAt(offset);
  if (codePoint === undefined) return "the end of the file";
  return codePoint === 10 ? "the end of the line" : JSON.stringify(String.fromCodePoint(codePoint));
}
