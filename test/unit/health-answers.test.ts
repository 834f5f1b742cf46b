/** Judging answers: status lines and expected bytes, whole and in pieces. */
import { describe, expect, test } from "bun:test";
import { ExpectedBytes } from "../../src/backend/health/expected-bytes.ts";
import { StatusLine, statusLineBytesMax } from "../../src/backend/health/status-line.ts";
import type { AnswerReader, Verdict } from "../../src/backend/health/verdict.ts";

const healthy = [{ from: 200, to: 399 }];

function bytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function status(text: string): Verdict | undefined {
  return new StatusLine(healthy).take(bytes(text));
}

/** The verdict, and how many bytes it took when they come one by one. */
function byteByByte(reader: AnswerReader, text: string): { verdict: Verdict | undefined; after: number } {
  for (const [index, byte] of bytes(text).entries()) {
    const verdict = reader.take(Uint8Array.of(byte));
    if (verdict !== undefined) return { verdict, after: index + 1 };
  }
  return { verdict: undefined, after: text.length };
}

describe("a status line", () => {
  test.each([
    ["HTTP/1.1 200 OK\r\n", "status 200"],
    ["HTTP/1.0 204 No Content\r\nServer: x\r\n\r\n", "status 204"],
    ["HTTP/1.1 399 \r\n", "status 399"],
    ["HTTP/1.1 302\r\n", "status 302"],
    ["HTTP/1.1 200 OK\n", "status 200"],
    ["HTTP/1.1 200\n", "status 200"],
    ["HTTP/1.1 200 a\tphrase with \xfc\r\n", "status 200"],
  ])("%j is good", (text, why) => {
    expect(status(text)).toEqual({ good: true, why, leave: "read_out" });
  });

  test.each([
    ["HTTP/1.1 503 Service Unavailable\r\n", "status 503"],
    ["HTTP/1.1 400 Bad Request\r\n", "status 400"],
    ["HTTP/1.1 199 ?\r\n", "status 199"],
    ["HTTP/1.1 000 ?\r\n", "status 000"],
    ["HTTP/1.1 999 ?\r\n", "status 999"],
    ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", "status 100"],
  ])("%j is bad, by its status", (text, why) => {
    expect(status(text)).toEqual({ good: false, why, leave: "read_out" });
  });

  test.each([
    ["SSH-2.0-OpenSSH_9.2\r\n", 1],
    ["\r\nHTTP/1.1 200 OK\r\n", 1],
    ["http/1.1 200 OK\r\n", 1],
    ["HTTP/2 200\r\n", 6],
    ["HTTP/1,1 200 OK\r\n", 7],
    ["HTTP/1.x 200 OK\r\n", 8],
    ["HTTP/1.10 200 OK\r\n", 9],
    ["HTTP/1.1  200 OK\r\n", 10],
    ["HTTP/1.1 20 OK\r\n", 12],
    ["HTTP/1.1 2000 OK\r\n", 13],
    ["HTTP/1.1 200OK\r\n", 13],
    ["HTTP/1.1 200 O\rK\r\n", 16],
    ["HTTP/1.1 200 O\0K\r\n", 15],
    ["HTTP/1.1 200 O\x7f\r\n", 15],
    ["HTTP/1.1 200\r\r\n", 14],
    ["HTTP/1.1 20\n", 12],
    ["\x15\x03\x01\x00\x02\x02\x50", 1],
  ])("%j is not HTTP, and found out by its byte %i", (text, after) => {
    expect(byteByByte(new StatusLine(healthy), text)).toEqual({
      verdict: { good: false, why: "the answer is not HTTP/1", leave: "reset" },
      after,
    });
    expect(status(text)?.why).toBe("the answer is not HTTP/1");
  });

  test("is judged by its last byte, not before", () => {
    expect(byteByByte(new StatusLine(healthy), "HTTP/1.1 200 OK\r\n")).toMatchObject({
      verdict: { good: true },
      after: 17,
    });
    const reader = new StatusLine(healthy);
    expect(reader.take(bytes("HTTP/1.1 200 OK\r"))).toBeUndefined();
    expect(reader.bytes).toBe(16);
    expect(reader.take(bytes("\nServer: x\r\n"))).toMatchObject({ good: true });
  });

  test("of the greatest length is good, and of one byte more is none", () => {
    const line = (length: number): string => `HTTP/1.1 200 ${"x".repeat(length - 15)}\r\n`;
    expect(byteByByte(new StatusLine(healthy), line(statusLineBytesMax))).toMatchObject({
      verdict: { good: true },
      after: statusLineBytesMax,
    });
    expect(byteByByte(new StatusLine(healthy), line(statusLineBytesMax + 1))).toMatchObject({
      verdict: { good: false, why: "the answer is not HTTP/1" },
      after: statusLineBytesMax + 1,
    });
  });

  test("is judged by the statuses that were configured", () => {
    const only = [{ from: 503, to: 503 }];
    expect(new StatusLine(only).take(bytes("HTTP/1.1 503 x\r\n"))?.good).toBe(true);
    expect(new StatusLine(only).take(bytes("HTTP/1.1 200 x\r\n"))?.good).toBe(false);
  });
});

describe("expected bytes", () => {
  test("are good with the last of them, whatever follows", () => {
    expect(new ExpectedBytes(bytes("+PONG"))).toMatchObject({ bytes: 0 });
    expect(new ExpectedBytes(bytes("+PONG")).take(bytes("+PONG\r\n"))).toEqual({
      good: true,
      why: "the expected answer",
      leave: "reset",
    });
    expect(byteByByte(new ExpectedBytes(bytes("+PONG")), "+PONG\r\n")).toMatchObject({
      verdict: { good: true },
      after: 5,
    });
  });

  test("are awaited while what has come is their beginning", () => {
    const reader = new ExpectedBytes(bytes("220 "));
    expect(reader.take(bytes("22"))).toBeUndefined();
    expect(reader.bytes).toBe(2);
    expect(reader.take(bytes("0 mail"))).toMatchObject({ good: true });
  });

  test("differ: bad with the first byte that does, which is shown with what is around it", () => {
    expect(byteByByte(new ExpectedBytes(bytes("+PONG")), "+POLO")).toEqual({
      verdict: { good: false, why: 'unexpected answer "+POL"', leave: "reset" },
      after: 4,
    });
    expect(new ExpectedBytes(bytes("+PONG")).take(bytes("-LOADING\r\n"))?.why).toBe(
      'unexpected answer "-LOADING\\r\\n"',
    );
  });

  test("of a stranger are shown without their power over a terminal, and never many of them", () => {
    expect(new ExpectedBytes(bytes("x")).take(bytes('\x1b[2J"\\\xff'))?.why).toBe(
      'unexpected answer "\\x1b[2J"\\\\\\xff"',
    );
    const shown = `unexpected answer "${"y".repeat(32)}…"`;
    expect(new ExpectedBytes(bytes("x")).take(bytes("y".repeat(100_000)))?.why).toBe(shown);
    expect(new ExpectedBytes(bytes("y".repeat(50))).take(bytes(`${"y".repeat(40)}z`))?.why).toBe(shown);
    expect(new ExpectedBytes(bytes("x")).take(bytes("y".repeat(32)))?.why).toBe(
      `unexpected answer "${"y".repeat(32)}"`,
    );
  });
});
