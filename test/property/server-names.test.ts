/** Names and the certificates that answer to them, against a slow and obvious rule (RFC 6125, section 6.4.3). */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ServerNames } from "../../src/tls/server-names.ts";

const label = fc.constantFrom("a", "b", "c");
const host = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
const pattern = fc.tuple(fc.boolean(), host).map(([wild, name]) => (wild ? `*.${name}` : name));

function answers(name: string, asked: string): boolean {
  return name.startsWith("*.")
    ? asked.slice(asked.indexOf(".")) === name.slice(1) && asked.includes(".")
    : name === asked;
}

test("the first exact name answers, else the first wildcard for one label, else nobody", () => {
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 12 }), host, (patterns, asked) => {
      const names = new ServerNames<number>();
      for (const [index, name] of patterns.entries()) names.add(name, index);
      const exact = patterns.indexOf(asked);
      const wild = patterns.findIndex((name) => name.startsWith("*.") && answers(name, asked));
      const expected = exact >= 0 ? exact : wild >= 0 ? wild : undefined;
      expect(names.find(asked)).toBe(expected);
    }),
  );
});
