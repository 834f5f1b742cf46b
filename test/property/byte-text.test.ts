import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatByteText, parseByteText } from "../../src/protocol/byte-text.ts";

test("all bytes come through text and back, and the text is printable ASCII", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const text = formatByteText(bytes);
      expect(text).toMatch(/^[ -~]*$/);
      expect(parseByteText(text)).toEqual({ ok: true, value: bytes });
    }),
    { numRuns: 1000 },
  );
});

test("text without a backslash is its UTF-8, and any text is either read or refused with a hint", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const parsed = parseByteText(text);
      if (!text.includes("\\")) expect(parsed).toEqual({ ok: true, value: new TextEncoder().encode(text) });
      else if (parsed.ok) expect(parseByteText(formatByteText(parsed.value))).toEqual(parsed);
      else expect(parsed.wanted).toContain("\\");
    }),
    { numRuns: 2000 },
  );
});

test("texts one behind the other mean their bytes one behind the other", () => {
  const piece = fc.oneof(
    fc.constantFrom("\\r", "\\n", "\\t", "\\0", "\\\\", "\\x00", "\\xff", "x4", "0", "é"),
    fc.string({ unit: fc.constantFrom("a", "F", "1", " ", "€", "😀") }),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const bytes = pieces.map((text) => {
        const parsed = parseByteText(text);
        if (!parsed.ok) throw new Error(`${text} is refused`);
        return parsed.value;
      });
      expect(parseByteText(pieces.join(""))).toEqual({ ok: true, value: new Uint8Array(Buffer.concat(bytes)) });
    }),
    { numRuns: 1000 },
  );
});
