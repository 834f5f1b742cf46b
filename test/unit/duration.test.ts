/** Durations as text: what is read, what is refused and with which hint, and that both directions agree. */
import { describe, expect, test } from "bun:test";
import { DURATION_MS_MAX, DURATION_PATTERN, formatDurationMs, parseDurationMs } from "../../src/core/duration.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

describe("a duration that is read", () => {
  const rows: [text: string, durationMs: number, shortest: string][] = [
    ["0s", 0, "0s"],
    ["0ms", 0, "0s"],
    ["0h0m0s0ms", 0, "0s"],
    ["1ms", 1, "1ms"],
    ["250ms", 250, "250ms"],
    ["999ms", 999, "999ms"],
    ["1000ms", SECOND_MS, "1s"],
    ["1001ms", SECOND_MS + 1, "1s1ms"],
    ["5s", 5 * SECOND_MS, "5s"],
    ["005s", 5 * SECOND_MS, "5s"],
    ["60s", MINUTE_MS, "1m"],
    ["90s", MINUTE_MS + 30 * SECOND_MS, "1m30s"],
    ["1m30s", MINUTE_MS + 30 * SECOND_MS, "1m30s"],
    ["1m90s", 2 * MINUTE_MS + 30 * SECOND_MS, "2m30s"],
    ["1h", HOUR_MS, "1h"],
    ["1h1ms", HOUR_MS + 1, "1h1ms"],
    ["1h2m3s4ms", HOUR_MS + 2 * MINUTE_MS + 3 * SECOND_MS + 4, "1h2m3s4ms"],
    ["24h", 24 * HOUR_MS, "24h"],
    ["8760h", DURATION_MS_MAX, "8760h"],
    ["8759h59m59s1000ms", DURATION_MS_MAX, "8760h"],
  ];
  test.each(rows)("%s is %d ms, and is written as %s", (text, durationMs, shortest) => {
    expect(parseDurationMs(text)).toEqual({ ok: true, value: durationMs });
    expect(formatDurationMs(durationMs)).toBe(shortest);
    expect(DURATION_PATTERN.test(text)).toBe(true);
  });
});

describe("a duration that is refused", () => {
  const ANY = 'a duration such as "250ms", "5s", "1m30s" or "1h"';
  const NOT_NEGATIVE = 'a duration that is not negative, such as "5s" ("0s" is off)';
  const WHOLE = 'a duration in whole numbers, such as "1s500ms" instead of "1.5s"';
  const rows: [text: string, wanted: string][] = [
    ["", ANY],
    [" ", ANY],
    ["s", ANY],
    ["ms", ANY],
    ["5 s", ANY],
    [" 5s", ANY],
    ["5s ", ANY],
    ["5s\n", ANY],
    ["\n", ANY],
    ["5S", ANY],
    ["5sec", ANY],
    ["5 minutes", ANY],
    ["1d", ANY],
    ["1us", ANY],
    ["+5s", ANY],
    ["1e3s", ANY],
    ["1_000ms", ANY],
    ["٣s", ANY],
    ["forever", ANY],
    ["1m1h", ANY],
    ["1ms1s", ANY],
    ["5s5s", ANY],
    ["5", 'a duration with its unit, such as "5s" or "5ms"'],
    ["0", 'a duration with its unit, such as "0s" or "0ms"'],
    ["60000", 'a duration with its unit, such as "60000s" or "60000ms"'],
    ["9".repeat(12), `a duration with its unit, such as "${"9".repeat(12)}s" or "${"9".repeat(12)}ms"`],
    ["9".repeat(13), ANY],
    ["-1", NOT_NEGATIVE],
    ["-5s", NOT_NEGATIVE],
    [" -5s", NOT_NEGATIVE],
    ["1.5s", WHOLE],
    ["0.5", WHOLE],
    ["1h0.5s", WHOLE],
    [".5s", ANY],
  ];
  test.each(rows)("%j", (text, wanted) => {
    expect(parseDurationMs(text)).toEqual({ ok: false, wanted });
  });

  const tooLong = ["8760h1ms", "8761h", "31536000001ms", "1000000h", `${"9".repeat(400)}s`];
  test.each(tooLong)("%s is longer than 365 days", (text) => {
    expect(parseDurationMs(text)).toEqual({ ok: false, wanted: "a duration of at most 8760h (365 days)" });
  });
});

test("the longest duration is 365 days, and any time and duration of ours add up exactly", () => {
  expect(DURATION_MS_MAX).toBe(365 * 24 * HOUR_MS);
  expect(Number.isSafeInteger(Date.UTC(9999, 0) + DURATION_MS_MAX)).toBe(true);
});

test("a fraction of a millisecond is rounded when it is written", () => {
  expect(formatDurationMs(0.4)).toBe("0s");
  expect(formatDurationMs(999.6)).toBe("1s");
  expect(formatDurationMs(1500.2)).toBe("1s500ms");
});
