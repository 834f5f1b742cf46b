/** What may be configured of an HTTP check: statuses, path, host; and the request that is made of it. */
import { describe, expect, test } from "bun:test";
import { defaultHost, httpRequest, parseHost, parsePath } from "../../src/backend/health/http-request.ts";
import { includesStatus, parseStatusRanges } from "../../src/backend/health/status-ranges.ts";

describe("statuses", () => {
  test.each([
    ["200", [[200, 200]]],
    ["200-399", [[200, 399]]],
    ["100-599", [[100, 599]]],
    [
      "200,301-302",
      [
        [200, 200],
        [301, 302],
      ],
    ],
    [
      " 204 , 400 - 404 ",
      [
        [204, 204],
        [400, 404],
      ],
    ],
  ])("%p is read", (text, pairs) => {
    expect(parseStatusRanges(text)).toEqual({ ok: true, value: pairs.map(([from, to]) => ({ from, to }) as never) });
  });

  test.each([
    "",
    "ok",
    "20",
    "2000",
    "2xx",
    "99",
    "099",
    "600",
    "200-",
    "-200",
    "200-600",
    "200,",
    "200;301",
    "200--300",
  ])("%p is refused with what is wanted", (text) => {
    expect(parseStatusRanges(text)).toEqual({
      ok: false,
      wanted: 'HTTP statuses from 100 to 599, such as "200", "200-399" or "200,301-302"',
    });
  });

  test("a range that runs backwards is refused with the one that was meant", () => {
    expect(parseStatusRanges("200,399-300")).toEqual({
      ok: false,
      wanted: 'a range that begins with the lower status, such as "300-399"',
    });
  });

  test("both ends of a range belong to it", () => {
    const ranges = [
      { from: 200, to: 299 },
      { from: 304, to: 304 },
    ];
    const within = [199, 200, 250, 299, 300, 303, 304, 305].filter((status) => includesStatus(ranges, status));
    expect(within).toEqual([200, 250, 299, 304]);
  });
});

describe("the path", () => {
  test.each(["/", "/healthz", "/a/b?c=d&e=%20f", "//x"])("%p is accepted as it is", (text) => {
    expect(parsePath(text)).toEqual({ ok: true, value: text });
  });

  test.each(["", "healthz", "http://a/", "*", "/a b", "/a\r\nX: y", "/a\n", "/a\t", "/ä", "/a#b", "/\u007f", "/\0"])(
    "%p is refused: it would not be sent as it is, or be another request",
    (text) => {
      expect(parsePath(text).ok).toBe(false);
    },
  );
});

describe("the host", () => {
  test.each(["", "app", "app.example.com:8080", "[::1]:80", "10.0.0.1"])("%p is accepted as it is", (text) => {
    expect(parseHost(text)).toEqual({ ok: true, value: text });
  });

  test.each(["a b", "a\r\nX: y", "a/b", "user@host", "ä.example", "a\n", "a?b", "a#b"])("%p is refused", (text) => {
    expect(parseHost(text).ok).toBe(false);
  });

  test.each([
    ["127.0.0.1", 8080, false, "127.0.0.1:8080"],
    ["app.internal", 80, false, "app.internal"],
    ["app.internal", 443, false, "app.internal:443"],
    ["app.internal", 443, true, "app.internal"],
    ["app.internal", 80, true, "app.internal:80"],
    ["::1", 80, false, "[::1]"],
    ["::1", 9000, true, "[::1]:9000"],
    ["", undefined, false, "localhost"],
  ])("of %p, port %p, TLS %p is %p", (host, port, secure, expected) => {
    expect(defaultHost(host, port, secure)).toBe(expected);
  });
});

test("the request asks for the path, names the host and us, and for the connection to be closed", () => {
  expect(new TextDecoder().decode(httpRequest("/healthz?full=1", "app:8080"))).toBe(
    "GET /healthz?full=1 HTTP/1.1\r\nHost: app:8080\r\nUser-Agent: sluice-health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
  );
});

test("a request that was never accepted is a mistake of ours", () => {
  expect(() => httpRequest("/a b", "app")).toThrow("assertion failed");
  expect(() => httpRequest("/", "a\r\nb")).toThrow("assertion failed");
  expect(() => httpRequest("/", "")).toThrow("assertion failed");
});
