/**
 * Escapes of bytes in TOML's basic strings: "\x16". TOML 1.1 has them, @iarna/toml 3.0.0 does not; and there "\xff" is the
 * character U+00FF, where our keys want a byte. So they reach the value as they are written, like those of '\x16', and
 * whoever wants bytes reads them.
 */

/** Text for the parser, and the way back to the places of the file. */
export interface EscapedText {
  readonly text: string;
  /** The offset in the original for one in `text`. */
  originalOffset(offset: number): number;
}

/** Doubles the backslash of every `\xHH` in a basic string, of one line or several; not in literal strings, not in comments. */
export function keepByteEscapes(original: string): EscapedText {
  // Where a backslash was put in, in the new text; ascending.
  const added: number[] = [];
  let text = "";
  let copied = 0;
  for (const offset of byteEscapes(original)) {
    text += original.slice(copied, offset);
    copied = offset;
    added.push(text.length);
    text += "\\";
  }
  text += original.slice(copied);
  const originalOffset = (offset: number) => offset - added.filter((place) => place < offset).length;
  return { text, originalOffset };
}

/** Offsets of the escapes. Behind the first mistake in the text they may be wrong: nobody reads on there. */
function byteEscapes(text: string): number[] {
  const found: number[] = [];
  if (!/\\x[0-9A-Fa-f]{2}/.test(text)) return found;
  const opening = /#[^\n]*|'''|"""|'|"/g;
  for (let token = opening.exec(text); token !== null; token = opening.exec(text)) {
    const [quotes] = token;
    if (quotes.startsWith("'")) opening.lastIndex = endOfLiteral(text, quotes, opening.lastIndex);
    else if (quotes.startsWith('"')) opening.lastIndex = endOfBasic(text, quotes, opening.lastIndex, found);
  }
  return found;
}

/** Where the string ends whose content begins at `start`; its escapes are added to `found`. */
function endOfBasic(text: string, quotes: string, start: number, found: number[]): number {
  const special = /["\\\n]/g;
  special.lastIndex = start;
  for (let token = special.exec(text); token !== null; token = special.exec(text)) {
    const at = token.index;
    if (text.charAt(at) === "\\") {
      if (/^\\x[0-9A-Fa-f]{2}/.test(text.slice(at, at + 4))) found.push(at);
      special.lastIndex = at + 2;
    } else if (quotes === '"') {
      return at + 1;
    } else if (text.startsWith(quotes, at)) {
      return behindQuotes(text, quotes, at);
    }
  }
  return text.length;
}

function endOfLiteral(text: string, quotes: string, start: number): number {
  const end = text.indexOf(quotes, start);
  const lineEnd = text.indexOf("\n", start);
  if (end === -1) return text.length;
  if (quotes === "'") return lineEnd !== -1 && lineEnd < end ? lineEnd : end + 1;
  return behindQuotes(text, quotes, end);
}

/** Up to two quotes more before the closing ones belong to the string. */
function behindQuotes(text: string, quotes: string, at: number): number {
  const quote = quotes.charAt(0);
  let end = at + quotes.length;
  while (end < at + quotes.length + 2 && text.charAt(end) === quote) end++;
  return end;
}
