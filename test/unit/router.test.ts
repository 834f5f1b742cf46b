/** The router: which of several routes decides, and when. */
import { describe, expect, test } from "bun:test";
import { clientHelloBytesMax } from "../../src/protocol/client-hello.ts";
import { httpRequestBytesMax } from "../../src/protocol/http-request.ts";
import { parseCondition, Route } from "../../src/routing/route.ts";
import { clientHello, httpRequest } from "../support/openings.ts";
import { routerOf, settings, wayOf } from "../support/routes.ts";

describe("a prefix", () => {
  test("of text fits from its last byte on, and does not from the first other byte on", () => {
    const router = routerOf([{ prefix: "SSH-2.0" }]);
    expect(wayOf(router, "")).toBe("more");
    expect(wayOf(router, "SSH-2.")).toBe("more");
    expect(wayOf(router, "SSH-2.0")).toBe(0);
    expect(wayOf(router, "SSH-2.0-OpenSSH\r\n")).toBe(0);
    expect(wayOf(router, "SSH-1")).toBe("none");
    expect(wayOf(router, "ssh-2.0")).toBe("none");
    expect(wayOf(router, "X")).toBe("none");
  });

  test("of bytes fits bytes, and text is UTF-8", () => {
    expect(wayOf(routerOf([{ prefix: "\\x16\\x03" }]), Uint8Array.of(0x16, 0x03, 0x01))).toBe(0);
    expect(wayOf(routerOf([{ prefix: "\\xff\\x00" }]), Uint8Array.of(0xff, 0x00))).toBe(0);
    expect(wayOf(routerOf([{ prefix: "é" }]), "é!")).toBe(0);
    expect(wayOf(routerOf([{ prefix: "é" }]), Uint8Array.of(0xe9))).toBe("none");
  });

  test("that does not read, or is too long, is refused", () => {
    expect(parseCondition("prefix", "\\x1").ok).toBe(false);
    expect(parseCondition("prefix", "x".repeat(1024)).ok).toBe(true);
    expect(parseCondition("prefix", "x".repeat(1025))).toEqual({
      ok: false,
      wanted: '1 to 1024 bytes, such as "SSH-2.0"',
    });
  });
});

describe("of several routes", () => {
  test("the first that fits decides", () => {
    const router = routerOf([
      { pathPrefix: "/api/v1" },
      { pathPrefix: "/api" },
      { pathPrefix: "/api/v2" },
      { pathPrefix: "/" },
    ]);
    expect(wayOf(router, httpRequest("/api/v1/x"))).toBe(0);
    expect(wayOf(router, httpRequest("/api/v2/x"))).toBe(1);
    expect(wayOf(router, httpRequest("/x"))).toBe(3);
  });

  test("a later one waits until no earlier one can fit", () => {
    const router = routerOf([{ prefix: "SSH-2.0" }, { prefix: "SS" }]);
    expect(wayOf(router, "SS")).toBe("more");
    expect(wayOf(router, "SSL")).toBe(1);
    expect(wayOf(router, "SSH-1")).toBe(1);
    expect(wayOf(router, "SSH-2.0")).toBe(0);
    // What could still fit later on does not matter once an earlier one fits.
    expect(wayOf(routerOf([{ prefix: "SS" }, { prefix: "SSH-2.0" }]), "SS")).toBe(0);
  });

  test("each protocol takes its own", () => {
    const router = routerOf([
      { sni: "a.example" },
      { pathPrefix: "/api" },
      { prefix: "SSH-" },
      { host: "h.example" },
      { prefix: "\\x16\\x03" },
    ]);
    expect(wayOf(router, clientHello({ serverName: "a.example" }))).toBe(0);
    expect(wayOf(router, clientHello({ serverName: "b.example" }))).toBe(4);
    expect(wayOf(router, httpRequest("/api", ["Host: h.example"]))).toBe(1);
    expect(wayOf(router, httpRequest("/", ["Host: h.example"]))).toBe(3);
    expect(wayOf(router, httpRequest("/", ["Host: i.example"]))).toBe("none");
    expect(wayOf(router, "SSH-2.0-x\r\n")).toBe(2);
    expect(wayOf(router, "\0")).toBe("none");
  });
});

describe("the conditions of one route are all needed", () => {
  test("path and host", () => {
    const router = routerOf([{ pathPrefix: "/api", host: "a.example" }]);
    expect(wayOf(router, httpRequest("/api", ["Host: a.example"]))).toBe(0);
    expect(wayOf(router, httpRequest("/api", ["Host: b.example"]))).toBe("none");
    expect(wayOf(router, httpRequest("/x", ["Host: a.example"]))).toBe("none");
    expect(wayOf(router, "GET /api HTTP/1.1\r\n")).toBe("more");
    expect(wayOf(router, "GET /x HTTP/1.1\r\n")).toBe("none");
  });

  test("server name and protocol", () => {
    const router = routerOf([{ sni: "*.example", alpn: "h2" }]);
    expect(wayOf(router, clientHello({ serverName: "a.example", alpn: ["h2"] }))).toBe(0);
    expect(wayOf(router, clientHello({ serverName: "a.example", alpn: ["http/1.1"] }))).toBe("none");
    expect(wayOf(router, clientHello({ alpn: ["h2"] }))).toBe("none");
  });

  test("a prefix and what the parsers say", () => {
    const router = routerOf([{ prefix: "POST ", pathPrefix: "/api" }]);
    expect(wayOf(router, "POS")).toBe("more");
    expect(wayOf(router, "GET ")).toBe("none");
    expect(wayOf(router, httpRequest("/api", [], "POST"))).toBe(0);
    expect(wayOf(router, httpRequest("/x", [], "POST"))).toBe("none");
  });

  test("none takes everything, at once", () => {
    expect(wayOf(routerOf([{}]), "")).toBe(0);
    expect(wayOf(routerOf([{ prefix: "a" }, {}]), "")).toBe("more");
    expect(wayOf(routerOf([{ prefix: "a" }, {}]), "b")).toBe(1);
    expect(wayOf(routerOf([]), "")).toBe("none");
  });
});

describe("when nothing more will come", () => {
  test("what is unknown does not fit, and a later route may", () => {
    const router = routerOf([{ prefix: "SSH-2.0" }, { pathPrefix: "/" }, { prefix: "SS" }]);
    expect(wayOf(router, "SS", { final: true })).toBe(2);
    expect(wayOf(router, "", { final: true })).toBe("none");
    expect(wayOf(router, "GET / HTTP/1.1", { final: true })).toBe("none");
    expect(wayOf(router, "GET / HTTP/1.1\r\n", { final: true })).toBe(1);
  });
});

describe("the bound", () => {
  test("is that of the parsers that are asked, or the longest prefix", () => {
    expect(routerOf([{ prefix: "abc" }, { prefix: "\\x00\\x01" }]).peekBytesMax).toBe(3);
    expect(routerOf([{ pathPrefix: "/" }, { prefix: "abc" }]).peekBytesMax).toBe(httpRequestBytesMax);
    expect(routerOf([{ host: "a" }]).peekBytesMax).toBe(httpRequestBytesMax);
    expect(routerOf([{ alpn: "h2" }]).peekBytesMax).toBe(clientHelloBytesMax);
    expect(routerOf([{}]).peekBytesMax).toBe(0);
  });

  test("ends waiting, and bytes behind it change nothing", () => {
    const router = routerOf([{ host: "a.example" }, { prefix: "GET" }]);
    const endless = httpRequest("/", [`X: ${"x".repeat(2 * httpRequestBytesMax)}`, "Host: a.example"]);
    expect(wayOf(router, endless.subarray(0, httpRequestBytesMax - 1))).toBe("more");
    expect(wayOf(router, endless.subarray(0, httpRequestBytesMax))).toBe(1);
    expect(wayOf(router, endless)).toBe(1);
  });
});

describe("the name of a route", () => {
  const name = (asked: Parameters<typeof settings>[0]) => new Route(0, settings(asked), 0).name;

  test("says what it asks for", () => {
    expect(name({ pathPrefix: "/api", host: "*.example.com" })).toBe("path_prefix=/api host=*.example.com");
    expect(name({ sni: "a.example", alpn: "h2" })).toBe("sni=a.example alpn=h2");
    expect(name({ prefix: "\\x16\\x03" })).toBe("prefix=\\x16\\x03");
    expect(name({})).toBe("any");
  });

  test("is one line without spaces in a value, and not endless", () => {
    expect(name({ prefix: "a b\n\u001b\u2028" })).toBe("prefix=a\\u0020b\\u000a\\u001b\\u2028");
    expect(name({ prefix: "x".repeat(100) })).toBe(`prefix=${"x".repeat(63)}…`);
  });
});

test("a route knows its place and its target", () => {
  const verdict = routerOf([{ prefix: "a" }, { prefix: "b" }]).decide({
    bytes: Buffer.from("b"),
    final: false,
    hello: undefined,
  });
  expect(verdict).toMatchObject({ kind: "route", route: { index: 1, target: 1, name: "prefix=b" }, sni: undefined });
});
