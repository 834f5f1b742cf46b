/** The word that was probably meant: which edits are forgiven, and when it is better to say nothing. */
import { describe, expect, test } from "bun:test";
import { didYouMean, nearestWord } from "../../src/core/did-you-mean.ts";

describe("a word that was meant", () => {
  const rows: [mistake: string, word: string, meant: string][] = [
    ["a letter left out", "conections", "connections"],
    ["a letter too many", "connnections", "connections"],
    ["another letter", "connectiins", "connections"],
    ["two letters swapped", "idel", "idle"],
    ["a swap at the beginning", "dile", "idle"],
    ["an underscore left out", "halfclosed", "half_closed"],
    ["a hyphen for an underscore", "half-closed", "half_closed"],
    ["the plural left out", "listeners", "listener"],
    ["another case", "IDLE", "idle"],
    ["three mistakes in a long word", "konektions", "connections"],
  ];
  const known = ["connections", "idle", "half_closed", "listener"];
  test.each(rows)("%s: %s is %s", (_mistake, word, meant) => {
    expect(nearestWord(word, known)).toBe(meant);
  });

  const short: [word: string, known: string, meant: string | undefined][] = [
    ["ap", "app", "app"],
    ["apps", "app", "app"],
    ["a", "A", "A"],
    ["a", "b", undefined],
    ["ab", "ac", undefined],
    ["ab", "abc", "abc"],
    ["abc", "xyz", undefined],
    ["", "a", undefined],
    ["", "", ""],
    ["abcde", "abxye", undefined],
    ["abcdef", "abxyef", "abxyef"],
    ["abcdefghijkl", "xxxxefghijkl", undefined],
  ];
  test.each(short)("one edit in three letters, at most three: %j for %j gives %j", (word, other, meant) => {
    expect(nearestWord(word, [other])).toBe(meant);
  });
});

test("the nearest wins, then the first", () => {
  expect(nearestWord("timeot", ["timed", "timeout"])).toBe("timeout");
  expect(nearestWord("webx", ["weba", "webb"])).toBe("weba");
  expect(nearestWord("webx", ["webb", "weba"])).toBe("webb");
});

test("the same word in another case beats everything", () => {
  expect(nearestWord("WEB", ["weba", "web"])).toBe("web");
});

test("words of more than 80 characters are not compared", () => {
  expect(nearestWord("a".repeat(80), ["a".repeat(79)])).toBe("a".repeat(79));
  expect(nearestWord("a".repeat(81), ["a".repeat(80)])).toBeUndefined();
  expect(nearestWord("a".repeat(80), ["a".repeat(81)])).toBeUndefined();
});

test("nothing known, nothing meant", () => {
  expect(nearestWord("word", [])).toBeUndefined();
});

test("the known words are read once, from anything that can be walked", () => {
  expect(nearestWord("lisener", new Map([["listener", 1]]).keys())).toBe("listener");
});

test("the hint for a message is a question in parentheses, or nothing at all", () => {
  expect(didYouMean("ap", ["app", "api"])).toBe(' (did you mean "app"?)');
  expect(didYouMean("zzz", ["app", "api"])).toBe("");
});
