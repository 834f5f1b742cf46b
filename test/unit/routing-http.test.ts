/** Routing by the first HTTP/1 request: its path and its host. */
import { describe, expect, test } from "bun:test";
import { parseCondition } from "../../src/routing/route.ts";
import { httpRequest } from "../support/openings.ts";
import { routerOf, wayOf } from "../support/routes.ts";

/** Whether a route that asks for `pathPrefix` takes a request for `target`. */
function takesPath(pathPrefix: string, target: string, method = "GET"): boolean {
  return wayOf(routerOf([{ pathPrefix }]), httpRequest(target, ["Host: a"], method)) === 0;
}

/** Whether a route that asks for `host` takes a request for `target` with these fields. */
function takesHost(host: string, fields: readonly string[], target = "/"): boolean {
  return wayOf(routerOf([{ host }]), httpRequest(target, fields)) === 0;
}

describe("a path prefix takes whole segments", () => {
  const rows: [prefix: string, taken: string[], refused: string[]][] = [
    [
      "/api",
      ["/api", "/api/", "/api/x", "/api/x/y", "/api?q", "/api?/x", "/api/?q", "/api//"],
      ["/apiary", "/ap", "/", "/x/api", "/API", "//api", "/api;v=1", "/?/api"],
    ],
    ["/api/", ["/api", "/api/", "/api/x", "/api?q"], ["/apiary", "/"]],
    ["/api/v1", ["/api/v1", "/api/v1/x"], ["/api", "/api/v10", "/api/v1.1", "/api//v1"]],
    ["/api//", ["/api/", "/api//", "/api//x"], ["/api", "/api/x"]],
    ["/", ["/", "/x", "//", "/?q", "http://a.example", "http://a.example?q"], ["*"]],
    [
      "/a",
      ["http://b.example/a", "HTTP://b.example:80/a/x?q", "http://[::1]/a"],
      ["http://b.example/b", "http://b.example/ab", "http://a", "/http://b.example/a"],
    ],
  ];
  for (const [prefix, taken, refused] of rows) {
    test(`${prefix} takes ${taken.join(" ")} and not ${refused.join(" ")}`, () => {
      expect(taken.filter((target) => !takesPath(prefix, target))).toEqual([]);
      expect(refused.filter((target) => takesPath(prefix, target))).toEqual([]);
    });
  }

  test("whatever the method is, but for a request without a path", () => {
    for (const method of ["GET", "POST", "BREW", "M-SEARCH"]) expect(takesPath("/api", "/api/x", method)).toBe(true);
    expect(takesPath("/", "*", "OPTIONS")).toBe(false);
    expect(takesPath("/", "a.example:443", "CONNECT")).toBe(false);
  });
});

describe("paths that mean the same are the same", () => {
  const rows: [what: string, prefix: string, taken: string[], refused: string[]][] = [
    ["escapes of unreserved characters", "/api", ["/%61pi", "/a%70%69/x", "/%61%70%69"], ["/%61piary", "/%41pi"]],
    ["escapes of unreserved characters in the prefix", "/%61pi~", ["/api~", "/api%7E", "/api%7e/x"], ["/%61pi"]],
    [
      "escapes in either letter case",
      "/caf%c3%a9",
      ["/caf%C3%A9", "/caf%c3%a9/x", "/c%61f%C3%a9"],
      ["/caf%C3", "/cafe"],
    ],
    [
      "what is not ASCII, escaped or not",
      "/café",
      ["/café/x", "/caf%C3%A9", "/caf%c3%a9"],
      ["/cafe", "/caf%E9", "/caféx"],
    ],
    ["what is not ASCII in a prefix with escapes", "/caf%C3%A9", ["/café", "/caf%c3%a9/"], ["/caf\ufffd"]],
    [
      "an escaped slash separates no segments",
      "/api",
      ["/api/%2Fx", "/api/..%2fx"],
      ["/api%2Fx", "/api%2f", "%2Fapi", "/%2Fapi"],
    ],
    ["what is escaped twice is decoded once", "/api", ["/api/%2561"], ["/%2561pi", "/x/%252e%252e/api"]],
    [
      "a percent sign without digits is itself",
      "/api",
      ["/api/%", "/api/%zz", "/api/%4"],
      ["/ap%", "/%zzapi", "/ap%6"],
    ],
    [
      "dot segments",
      "/api",
      [
        "/./api",
        "/x/../api",
        "/x/y/../../api/z",
        "/../api",
        "/api/.",
        "/api/x/..",
        "/x/%2e%2E/api",
        "/api/%2e",
        "/api/...",
        "/api/.x",
        "/api/x..",
      ],
      ["/api/..", "/api/../x", "/api/./../x", "/api/%2E%2e/x", "/api/%2e./x", "/api..", "/.api", "/...", "/x/..api"],
    ],
    ["empty segments", "/api", ["/api//x", "/x//../../api"], ["//api", "/./" + "/api", "/x/..//api"]],
    ["dot segments in the prefix", "/x/../api/.", ["/api", "/api/x"], ["/x", "/apiary"]],
  ];
  for (const [what, prefix, taken, refused] of rows) {
    test(what, () => {
      expect(taken.filter((target) => !takesPath(prefix, target))).toEqual([]);
      expect(refused.filter((target) => takesPath(prefix, target))).toEqual([]);
    });
  }
});

describe("a host", () => {
  const rows: [host: string, taken: string[], refused: string[]][] = [
    [
      "example.com",
      [
        "example.com",
        "example.com:8080",
        "EXAMPLE.com",
        "Example.Com:80",
        "example.com.",
        "example.com.:80",
        " example.com ",
      ],
      ["www.example.com", "example.com.evil", "xexample.com", "example.co", "example.comm", ""],
    ],
    ["EXAMPLE.Com.", ["example.com", "Example.com:1"], ["www.example.com"]],
    [
      "*.example.com",
      ["www.example.com", "a.b.example.com", "WWW.example.COM:443", "x.example.com."],
      ["*.example.com", "example.com", ".example.com", "www.example.com.evil", "wwwexample.com", "www.example.org"],
    ],
    ["xn--bcher-kva.example", ["xn--bcher-kva.example", "XN--BCHER-KVA.example"], ["bcher.example"]],
    ["127.0.0.1", ["127.0.0.1", "127.0.0.1:8080"], ["127.0.0.11", "127.0.0.10:80"]],
    [
      "[2001:db8::1]",
      ["[2001:db8::1]", "[2001:DB8:0::1]:8080", "[2001:db8:0:0:0:0:0:1]"],
      ["[2001:db8::2]", "2001:db8::1x"],
    ],
    ["2001:db8:0:0::1", ["[2001:db8::1]", "[2001:db8::1]:80"], ["[2001:db8::]"]],
  ];
  for (const [host, taken, refused] of rows) {
    test(`${host} takes ${taken.join(", ")} and not ${refused.join(", ")}`, () => {
      expect(taken.filter((sent) => !takesHost(host, [`Host: ${sent}`]))).toEqual([]);
      expect(refused.filter((sent) => takesHost(host, [`Host: ${sent}`]))).toEqual([]);
    });
  }

  test("is found among other fields, in any letter case of the field's name", () => {
    expect(takesHost("a.example", ["Accept: */*", "hOsT: a.example", "Cookie: x"])).toBe(true);
    expect(takesHost("a.example", ["X-Host: a.example", "Hosts: a.example"])).toBe(false);
    expect(takesHost("a.example", [])).toBe(false);
  });

  test("of an absolute target beats the field", () => {
    expect(takesHost("a.example", ["Host: b.example"], "http://A.example:80/x")).toBe(true);
    expect(takesHost("b.example", ["Host: b.example"], "http://a.example/x")).toBe(false);
    expect(takesHost("*.example", [], "http://a.example")).toBe(true);
  });

  test("of an absolute target is known at the end of the request line", () => {
    expect(wayOf(routerOf([{ host: "a.example" }]), "GET http://a.example/ HTTP/1.1\r\n")).toBe(0);
  });
});

test("a path is known at the end of the request line, a host at the end of the head", () => {
  const router = routerOf([{ pathPrefix: "/api" }, { host: "a.example" }]);
  expect(wayOf(router, "GET /api HTTP/1.1")).toBe("more");
  expect(wayOf(router, "GET /api HTTP/1.1\r\n")).toBe(0);
  expect(wayOf(router, "GET /x HTTP/1.1\r\nHost: a.example\r\n")).toBe("more");
  expect(wayOf(router, "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n")).toBe(1);
  expect(wayOf(router, "GET /x HTTP/1.1\r\nHost: b.example\r\n\r\n")).toBe("none");
});

test("what is no HTTP/1 request fits no path and no host, as soon as that shows", () => {
  const router = routerOf([{ pathPrefix: "/" }, { host: "*.example" }]);
  for (const bytes of [
    "\x16\x03\x01",
    "\0",
    "GET /\0",
    "GET / FTP/1.1\r\n",
    "PRI * HTTP/2.0\r\n\r\n",
    "SSH-2.0-x\r\n",
  ]) {
    expect([bytes, wayOf(router, bytes)]).toEqual([bytes, "none"]);
  }
});

describe("a value that no request could fit is refused with what was wanted", () => {
  const PATH = 'a path without "?", "#" and spaces, such as "/api"';
  const NAME = 'such as "example.com" or "*.example.com"';
  const rows: [key: "path_prefix" | "host", text: string, wanted: string][] = [
    ["path_prefix", "api", 'a path that begins with "/", such as "/api"'],
    ["path_prefix", "*", 'a path that begins with "/", such as "/api"'],
    ["path_prefix", "/api?q", PATH],
    ["path_prefix", "/api#x", PATH],
    ["path_prefix", "/a b", PATH],
    ["path_prefix", "/a\u2028b", PATH],
    ["path_prefix", "/a\n", PATH],
    ["path_prefix", `/${"x".repeat(1024)}`, "a path of at most 1024 characters"],
    ["host", "example.com:80", `a name without a port, ${NAME}`],
    ["host", "*.example.com:80", `a name without a port, ${NAME}`],
    ["host", "127.0.0.1:80", `a name without a port, ${NAME}`],
    ["host", "[::1]:80", `a name without a port, ${NAME}`],
    ["host", "http://example.com", `a name, ${NAME}`],
    ["host", "example.com/x", `a name, ${NAME}`],
    ["host", "a..b", `a name, ${NAME}`],
    ["host", "unix:x", `a name, ${NAME}`],
    ["host", " ", `a name, ${NAME}`],
    ["host", "*.", `a name, ${NAME}`],
    ["host", "*", `a name, or "*." and a name for all its subdomains, ${NAME}`],
    ["host", "*example.com", `a name, or "*." and a name for all its subdomains, ${NAME}`],
    ["host", "*.*.example.com", `a name, or "*." and a name for all its subdomains, ${NAME}`],
    ["host", "www.*", `a name, or "*." and a name for all its subdomains, ${NAME}`],
    ["host", "*.127.0.0.1", `a name, not an address, ${NAME}`],
    ["host", "bücher.example", `a name in ASCII (others as "xn--…"), ${NAME}`],
  ];
  test.each(rows)("%s = %j", (key, text, wanted) => {
    expect(parseCondition(key, text)).toEqual({ ok: false, wanted });
  });
});
