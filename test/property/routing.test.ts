/** The router over random routes and openings: how the bytes arrive makes no difference, and what the shadow check says is true. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { peekClientHello, type ClientHello } from "../../src/protocol/client-hello.ts";
import type { RouteSettings } from "../../src/routing/route.ts";
import type { Router } from "../../src/routing/router.ts";
import { impossibleRoutes, shadowedRoutes } from "../../src/routing/shadow.ts";
import { clientHello, httpRequest } from "../support/openings.ts";
import { routerOf, settings, type Way, wayOf } from "../support/routes.ts";

// Few words, so that routes and openings meet.
const name = fc.constantFrom("a.example", "b.example", "x.a.example", "example", "A.Example");
const pattern = fc.oneof(name, fc.constantFrom("*.example", "*.a.example", "x.A.EXAMPLE."));
const path = fc.constantFrom("/", "/a", "/a/", "/a/b", "/ab", "/%61", "/a/../b", "/b/./a", "/a//b", "/a%2Fb", "/a//");
const protocol = fc.constantFrom("h2", "http/1.1", "x");
const prefix = fc.constantFrom(
  "\\x16",
  "\\x16\\x03",
  "\\x16\\x03\\x01",
  "G",
  "GET /a",
  "GET / HTTP/1.1\\r\\n",
  "POST",
  "SSH-",
  "S",
  "\\x00",
);

const asked = fc.record(
  { pathPrefix: path, host: pattern, sni: pattern, alpn: protocol, prefix },
  { requiredKeys: [] },
);
const routes: fc.Arbitrary<RouteSettings[]> = fc
  .array(
    asked.chain((all) => fc.subarray(Object.keys(all)).map((keys) => keep(all, keys.slice(0, 2)))),
    { minLength: 1, maxLength: 6 },
  )
  .map((list) => list.map(settings));

const request = fc
  .record({
    method: fc.constantFrom("GET", "POST", "OPTIONS"),
    target: fc.oneof(
      path,
      fc.tuple(name, path).map(([host, at]) => `http://${host}${at}`),
      fc.constantFrom("*", "/a?/b", "/c"),
    ),
    fields: fc.array(
      fc.oneof(
        name.map((host) => `Host: ${host}`),
        fc.constant("Accept: */*"),
        fc.constant("broken"),
      ),
      { maxLength: 3 },
    ),
  })
  .map(({ method, target, fields }) => httpRequest(target, fields, method));
const hello = fc
  .record({
    serverName: fc.option(name, { nil: undefined }),
    alpn: fc.uniqueArray(protocol, { maxLength: 3 }),
    recordBytes: fc.constantFrom(0, 1, 7, 100),
  })
  .map(clientHello);
const opening: fc.Arbitrary<Uint8Array> = fc.oneof(
  { arbitrary: fc.oneof(request, hello), weight: 4 },
  fc.tuple(fc.oneof(request, hello), fc.uint8Array({ maxLength: 20 })).map((parts) => Buffer.concat(parts)),
  fc.constantFrom("SSH-2.0-x\r\n", "S", "GE", "\0").map((text) => Buffer.from(text)),
  // One byte changed.
  fc.tuple(fc.oneof(request, hello), fc.nat(), fc.nat(255)).map(([bytes, place, value]) => {
    const changed = Uint8Array.from(bytes);
    changed[place % changed.length] = value;
    return changed;
  }),
  fc.uint8Array({ maxLength: 40 }),
);
/** A ClientHello of a TLS session that ends at the listener, or none. */
const ended: fc.Arbitrary<ClientHello | undefined> = fc.option(
  fc.record({
    serverName: fc.option(fc.constantFrom("a.example", "b.example"), { nil: undefined }),
    alpn: fc.subarray(["h2", "x"]),
  }),
  { nil: undefined },
);

function keep(all: Partial<RouteSettings>, keys: readonly string[]): Partial<RouteSettings> {
  return Object.fromEntries(Object.entries(all).filter(([key]) => keys.includes(key)));
}

/** The ways of every beginning of the opening, and of its end. */
function waysOf(router: Router<number>, bytes: Uint8Array, hello: ClientHello | undefined): Way[] {
  const ways: Way[] = [];
  for (let length = 0; length <= bytes.byteLength; length++)
    ways.push(wayOf(router, bytes.subarray(0, length), hello && { hello }));
  ways.push(wayOf(router, bytes, { final: true, ...(hello && { hello }) }));
  return ways;
}

test("whatever the bytes arrive in, the way is the same; once decided it stays", () => {
  const seen = new Map<Way, number>();
  fc.assert(
    fc.property(routes, opening, ended, (list, bytes, hello) => {
      const router = routerOf(list);
      const ways = waysOf(router, bytes, hello);
      const decided = ways.filter((way) => way !== "more");
      expect(new Set(decided).size).toBe(1);
      // No decision is taken back: all that is undecided comes first.
      expect(ways.slice(-decided.length)).toEqual(decided);
      seen.set(decided[0]!, (seen.get(decided[0]!) ?? 0) + 1);
    }),
    { numRuns: 500 },
  );
  for (const way of [0, 1, 2, "none"] as const) expect(seen.get(way) ?? 0).toBeGreaterThan(5);
});

test("with as many bytes as the router looks at there is a decision, and it is that of more bytes", () => {
  fc.assert(
    fc.property(routes, opening, ended, fc.constantFrom(0, 0x41, 0x16, 0xff), (list, bytes, hello, filling) => {
      const router = routerOf(list);
      const long = new Uint8Array(router.peekBytesMax + 100).fill(filling);
      long.set(bytes.subarray(0, long.byteLength));
      const clues = hello && { hello };
      const way = wayOf(router, long.subarray(0, router.peekBytesMax), clues);
      expect(way).not.toBe("more");
      expect(wayOf(router, long, clues)).toBe(way);
    }),
    { numRuns: 200 },
  );
});

test("the way is that of the first route that takes the opening on its own", () => {
  fc.assert(
    fc.property(routes, opening, ended, (list, bytes, hello) => {
      const clues = { final: true, ...(hello && { hello }) };
      const first = list.findIndex((one) => wayOf(routerOf([one]), bytes, clues) === 0);
      expect(wayOf(routerOf(list), bytes, clues)).toBe(first === -1 ? "none" : first);
    }),
    { numRuns: 500 },
  );
});

test("a route takes what each of its conditions takes on its own", () => {
  fc.assert(
    fc.property(asked, opening, (all, bytes) => {
      const takes = (one: Partial<RouteSettings>) => wayOf(routerOf([one]), bytes, { final: true }) === 0;
      const each = Object.entries(all).every(([key, value]) => takes({ [key]: value }));
      expect(takes(all)).toBe(each);
    }),
    { numRuns: 500 },
  );
});

test("random bytes and random values never throw", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom([], [0x16, 3, 1], [...Buffer.from("GET /")]),
      fc.boolean(),
      (tail, head, final) => {
        const router = routerOf([{ sni: "a.example" }, { host: "*.example", pathPrefix: "/a" }, { prefix: "\\xff" }]);
        expect(["none", "more", 0, 1, 2]).toContain(wayOf(router, Uint8Array.from([...head, ...tail]), { final }));
      },
    ),
    { numRuns: 2000 },
  );
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 8 }),
    fc.string({ maxLength: 8 }).map((end) => `/${end}`),
    pattern,
    path,
  );
  fc.assert(
    fc.property(
      fc.record({ pathPrefix: text, host: text, sni: text, alpn: text, prefix: text }),
      fc.boolean(),
      (one, terminatesTls) => {
        shadowedRoutes([one, one], { terminatesTls });
        impossibleRoutes([one], { terminatesTls });
      },
    ),
    { numRuns: 2000 },
  );
});

test("a shadowed route and an impossible one never win", () => {
  let [shadowed, impossible] = [0, 0];
  fc.assert(
    fc.property(
      routes,
      fc.array(opening, { minLength: 5, maxLength: 10 }),
      ended,
      fc.boolean(),
      (list, openings, hello, final) => {
        const surroundings = { terminatesTls: hello !== undefined };
        const losers = new Set([
          ...shadowedRoutes(list, surroundings).map(({ index, by }) => {
            expect(by).toBeLessThan(index);
            shadowed++;
            return index;
          }),
          ...impossibleRoutes(list, surroundings).map(({ index }) => {
            impossible++;
            return index;
          }),
        ]);
        const router = routerOf(list);
        for (const bytes of openings) {
          const way = wayOf(router, bytes, { final, ...(hello && { hello }) });
          if (typeof way === "number") expect([...losers]).not.toContain(way);
        }
      },
    ),
    { numRuns: 1000 },
  );
  expect(shadowed).toBeGreaterThan(100);
  expect(impossible).toBeGreaterThan(20);
});

test("of two routes with one condition each, one shadows the other if and only if it takes all that the other does", () => {
  const paths = ["/", "/a", "/a/", "/a/b", "/ab", "/a//", "/a//b", "/b/../a", "/a%2Fb"];
  const hosts = ["example", "a.example", "*.example", "b.a.example", "*.a.example", "127.0.0.1"];
  const all: Partial<RouteSettings>[] = [
    ...paths.map((pathPrefix) => ({ pathPrefix })),
    ...hosts.map((host) => ({ host })),
  ];
  const requests = [...paths, "/c", "/a/b/c", "/a//b/c", "*"].flatMap((target) =>
    [...hosts, "c.b.a.example", "other"].map((host) =>
      httpRequest(target, [`Host: ${host}`], target === "*" ? "OPTIONS" : "GET"),
    ),
  );
  const taken = new Map(
    all.map((one) => [one, new Set(requests.filter((bytes) => wayOf(routerOf([one]), bytes) === 0))]),
  );
  for (const wide of all) {
    for (const narrow of all) {
      const shadows = shadowedRoutes([wide, narrow].map(settings), { terminatesTls: false }).length > 0;
      expect({ wide, narrow, shadows }).toEqual({
        wide,
        narrow,
        shadows: taken.get(narrow)!.isSubsetOf(taken.get(wide)!),
      });
    }
  }
});

test("the server name in a verdict is that of the ClientHello", () => {
  fc.assert(
    fc.property(hello, (bytes) => {
      const verdict = routerOf([{ sni: "a.example" }]).decide({ bytes, final: false, hello: undefined });
      const peeked = peekClientHello(bytes);
      expect(verdict.kind !== "more" && verdict.sni).toBe(peeked.kind === "done" && peeked.value.serverName);
    }),
  );
});
