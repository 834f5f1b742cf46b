/** Routes that never decide: shadowed by an earlier one, or impossible by themselves. */
import { describe, expect, test } from "bun:test";
import { formatByteText } from "../../src/protocol/byte-text.ts";
import type { RouteSettings } from "../../src/routing/route.ts";
import { impossibleRoutes, shadowedRoutes } from "../../src/routing/shadow.ts";
import { clientHello } from "../support/openings.ts";
import { settings } from "../support/routes.ts";

const PLAIN = { terminatesTls: false };
const SECURED = { terminatesTls: true };

/** Whether a route that asks `narrow` is shadowed by one before it that asks `wide`. */
function shadows(wide: Partial<RouteSettings>, narrow: Partial<RouteSettings>, surroundings = PLAIN): boolean {
  return shadowedRoutes([settings(wide), settings(narrow)], surroundings).length > 0;
}

describe("a route is shadowed", () => {
  const rows: [what: string, wide: Partial<RouteSettings>, narrow: Partial<RouteSettings>][] = [
    ["by the same one", { pathPrefix: "/api" }, { pathPrefix: "/api" }],
    ["by the same path with a slash at its end", { pathPrefix: "/api/" }, { pathPrefix: "/api" }],
    ["by the same path in another spelling", { pathPrefix: "/%61pi" }, { pathPrefix: "/x/../api" }],
    ["by a shorter path", { pathPrefix: "/api" }, { pathPrefix: "/api/v1" }],
    ["by every path", { pathPrefix: "/" }, { pathPrefix: "/api" }],
    ["by every path, itself", { pathPrefix: "/" }, { pathPrefix: "/." }],
    ["by one with a condition less", { pathPrefix: "/api" }, { pathPrefix: "/api", host: "a.example" }],
    ["by the same host in another spelling", { host: "A.example." }, { host: "a.example" }],
    ["by the same address in another spelling", { host: "[2001:db8:0::1]" }, { host: "2001:db8::1" }],
    ["by a wildcard", { host: "*.example" }, { host: "a.example" }],
    ["by a wildcard above its own", { sni: "*.example" }, { sni: "*.a.example" }],
    ["by the same wildcard", { sni: "*.example" }, { sni: "*.example", alpn: "h2" }],
    ["by the same protocol", { alpn: "h2" }, { alpn: "h2", sni: "a.example" }],
    ["by a shorter prefix", { prefix: "SSH-" }, { prefix: "SSH-2.0" }],
    ["by the same prefix in another spelling", { prefix: "\\x53SH" }, { prefix: "SSH" }],
    ["by one without conditions", {}, { prefix: "a" }],
    [
      "when it is narrower in every condition",
      { pathPrefix: "/a", host: "*.example" },
      { pathPrefix: "/a/b", host: "a.example" },
    ],
    ["by the bytes that every ClientHello begins with", { prefix: "\\x16\\x03" }, { sni: "a.example" }],
    ["by the first of them", { prefix: "\\x16" }, { alpn: "h2", prefix: "\\x16\\x03\\x01" }],
    ["by a path that is in its prefix", { pathPrefix: "/a" }, { prefix: "GET /a/b HTTP/1.1\\r\\n" }],
  ];
  test.each(rows)("%s", (_what, wide, narrow) => {
    expect(shadows(wide, narrow)).toBe(true);
  });
});

describe("a route is not shadowed", () => {
  const rows: [what: string, wide: Partial<RouteSettings>, narrow: Partial<RouteSettings>][] = [
    ["by a longer path", { pathPrefix: "/api/v1" }, { pathPrefix: "/api" }],
    ["by a path that is another segment", { pathPrefix: "/api" }, { pathPrefix: "/apiary" }],
    ["by a path that ends in an empty segment", { pathPrefix: "/api//" }, { pathPrefix: "/api" }],
    ["by every path, if it asks for a host only", { pathPrefix: "/" }, { host: "a.example" }],
    ["by one with a condition more", { pathPrefix: "/api", host: "a.example" }, { pathPrefix: "/api" }],
    ["by a wildcard that does not take the name itself", { host: "*.example" }, { host: "example" }],
    ["by a name below its wildcard", { host: "a.example" }, { host: "*.example" }],
    ["by a narrower wildcard", { sni: "*.a.example" }, { sni: "*.example" }],
    ["by the same name in another place", { host: "a.example" }, { sni: "a.example" }],
    ["by another protocol", { alpn: "h2" }, { alpn: "h2c" }],
    ["by a longer prefix", { prefix: "SSH-2.0" }, { prefix: "SSH-" }],
    ["by bytes that a ClientHello may begin with", { prefix: "\\x16\\x03\\x01" }, { sni: "a.example" }],
    [
      "when it is wider in one condition",
      { pathPrefix: "/a", host: "a.example" },
      { pathPrefix: "/a/b", host: "*.example" },
    ],
  ];
  test.each(rows)("%s", (_what, wide, narrow) => {
    expect(shadows(wide, narrow)).toBe(false);
  });

  test("by the first bytes of TLS where it ends here: they come before what routes see", () => {
    expect(shadows({ prefix: "\\x16\\x03" }, { sni: "a.example" }, SECURED)).toBe(false);
    expect(shadows({ prefix: "\\x16" }, { sni: "a.example", prefix: "\\x16\\x03" }, SECURED)).toBe(true);
  });
});

test("a prefix may be a whole ClientHello, which says more where TLS does not end here", () => {
  const prefix = formatByteText(clientHello({ serverName: "a.example" }));
  expect(shadows({ sni: "*.example" }, { prefix })).toBe(true);
  expect(shadows({ sni: "*.b.example" }, { prefix })).toBe(false);
  expect(shadows({ sni: "*.example" }, { prefix }, SECURED)).toBe(false);
});

test("the first route that shadows one is told", () => {
  const routes = [
    { prefix: "x" },
    { pathPrefix: "/a" },
    { pathPrefix: "/" },
    { pathPrefix: "/a/b" },
    { pathPrefix: "/c" },
    { host: "h" },
  ];
  expect(shadowedRoutes(routes.map(settings), PLAIN)).toEqual([
    { index: 3, by: 1 },
    { index: 4, by: 2 },
  ]);
});

test("settings that do not read are passed over", () => {
  const routes = [
    settings({ pathPrefix: "api" }),
    settings({ pathPrefix: "/api", prefix: "\\x" }),
    settings({ pathPrefix: "/api" }),
  ];
  expect(shadowedRoutes(routes, PLAIN)).toEqual([]);
  expect(impossibleRoutes(routes, PLAIN)).toEqual([]);
});

describe("a route is impossible", () => {
  const HINT = ": what is inside TLS is seen only where TLS ends";
  const rows: [asked: Partial<RouteSettings>, why: string][] = [
    [{ pathPrefix: "/", sni: "a.example" }, `no opening fits "sni" and "path_prefix"${HINT}`],
    [{ host: "a.example", alpn: "h2" }, `no opening fits "alpn" and "host"${HINT}`],
    [{ prefix: "SSH-", sni: "a.example" }, 'no opening fits "prefix" and "sni"'],
    [{ prefix: "S", sni: "a.example" }, 'no opening fits "sni" and "prefix"'],
    [{ prefix: "\\x16\\x03", pathPrefix: "/" }, 'no opening fits "prefix" and "path_prefix"'],
    [{ prefix: "\\x00", host: "a.example" }, 'no opening fits "prefix" and "host"'],
    [{ prefix: "GET /a HTTP/1.1\\r\\n", pathPrefix: "/b" }, 'no opening fits "prefix" and "path_prefix"'],
    [{ prefix: "GET http://a.example/ HTTP/1.1\\r\\n", host: "b.example" }, 'no opening fits "prefix" and "host"'],
  ];
  test.each(rows)("%j", (asked, why) => {
    expect(impossibleRoutes([settings({}), settings(asked)], PLAIN)).toEqual([{ index: 1, why }]);
  });

  test("not if an opening can fit", () => {
    const possible = [
      {},
      { pathPrefix: "/" },
      { sni: "a.example", alpn: "h2" },
      { prefix: "\\x16", sni: "a.example" },
      { prefix: "GET /a", pathPrefix: "/apiary", host: "a.example" },
    ];
    expect(impossibleRoutes(possible.map(settings), PLAIN)).toEqual([]);
  });

  test("not for asking for what is inside TLS where TLS ends here", () => {
    expect(impossibleRoutes([settings({ pathPrefix: "/", sni: "a.example" })], SECURED)).toEqual([]);
    expect(impossibleRoutes([settings({ prefix: "SSH-", alpn: "x" })], SECURED)).toEqual([]);
    expect(impossibleRoutes([settings({ prefix: "SSH-2", host: "a.example" })], SECURED)).toHaveLength(1);
  });
});
