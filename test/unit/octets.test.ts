/** Octets as text, and the comparison of what has arrived with what is wanted. */
import { expect, test } from "bun:test";
import { agrees, octets, octetText } from "../../src/protocol/octets.ts";

test("every octet is a character and comes back", () => {
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  const text = octetText(all, 0, 256);
  expect(text).toBe(Buffer.from(all).toString("latin1"));
  expect(octets(text)).toEqual(all);
  expect(octetText(all, 65, 68)).toBe("ABC");
  expect(octetText(all, 65, 65)).toBe("");
});

test("what is there agrees as long as no octet differs", () => {
  const wanted = octets("PROXY ");
  for (const [text, agreement] of [
    ["", true],
    ["P", true],
    ["PROXY", true],
    ["PROXY ", true],
    ["PROXY TCP4", true],
    ["p", false],
    ["PROXZ", false],
    ["PROXY\t", false],
  ] as const) {
    expect({ text, agreement: agrees(octets(text), 0, wanted) }).toEqual({ text, agreement });
    expect(agrees(octets(`xx${text}`), 2, wanted)).toBe(agreement);
  }
  expect(agrees(octets("abc"), 7, wanted)).toBe(true);
});
