/** Routing by the ClientHello: its server name and the protocols it offers. */
import { describe, expect, test } from "bun:test";
import { clientHelloBytesMax } from "../../src/protocol/client-hello.ts";
import { parseCondition } from "../../src/routing/route.ts";
import { clientHello, httpRequest } from "../support/openings.ts";
import { routerOf, wayOf } from "../support/routes.ts";

describe("a server name", () => {
  const rows: [sni: string, taken: string[], refused: string[]][] = [
    [
      "db.example.com",
      ["db.example.com", "DB.Example.com", "db.example.com."],
      ["example.com", "a.db.example.com", "db.example.com.evil"],
    ],
    ["DB.Example.COM.", ["db.example.com"], ["example.com"]],
    [
      "*.example.com",
      ["db.example.com", "a.b.example.com", "A.EXAMPLE.COM"],
      ["example.com", "xexample.com", "db.example.org"],
    ],
  ];
  for (const [sni, taken, refused] of rows) {
    test(`${sni} takes ${taken.join(", ")} and not ${refused.join(", ")}`, () => {
      const way = (serverName: string) => wayOf(routerOf([{ sni }]), clientHello({ serverName }));
      expect(taken.filter((serverName) => way(serverName) !== 0)).toEqual([]);
      expect(refused.filter((serverName) => way(serverName) !== "none")).toEqual([]);
    });
  }

  test("that is not asked for fits none", () => {
    expect(wayOf(routerOf([{ sni: "a.example" }]), clientHello({}))).toBe("none");
  });
});

test("a protocol fits wherever it stands in the client's list, and as a whole", () => {
  const way = (alpn: readonly string[]) =>
    wayOf(routerOf([{ alpn: "h2" }, { alpn: "http/1.1" }]), clientHello({ alpn }));
  expect(way(["h2"])).toBe(0);
  expect(way(["http/1.1", "h2"])).toBe(0);
  expect(way(["http/1.1", "h2c", "H2"])).toBe(1);
  expect(way(["h2c", "xh2"])).toBe("none");
  expect(way([])).toBe("none");
});

describe("a ClientHello is found", () => {
  const router = routerOf([{ sni: "a.example" }, { sni: "b.example" }]);

  test("however its bytes arrive", () => {
    const bytes = clientHello({ serverName: "b.example", alpn: ["h2"] });
    for (let length = 0; length < bytes.byteLength; length++)
      expect(wayOf(router, bytes.subarray(0, length))).toBe("more");
    expect(wayOf(router, bytes)).toBe(1);
  });

  test("over several records", () => {
    for (const recordBytes of [1, 2, 3, 50]) {
      expect(wayOf(router, clientHello({ serverName: "b.example", recordBytes }))).toBe(1);
    }
  });

  test("with key shares as large as those against quantum computers, and larger ones", () => {
    for (const keyShareBytes of [1216, 1600, 8000]) {
      const bytes = clientHello({ serverName: "b.example", keyShareBytes });
      expect(wayOf(router, bytes)).toBe(1);
      expect(wayOf(router, bytes.subarray(0, -1))).toBe("more");
    }
  });

  test("up to a bound, where there is a decision whatever follows", () => {
    const bytes = clientHello({ serverName: "b.example", keyShareBytes: 20_000 });
    expect(router.peekBytesMax).toBe(clientHelloBytesMax);
    expect(wayOf(router, bytes.subarray(0, clientHelloBytesMax))).toBe("none");
    expect(wayOf(router, bytes)).toBe("none");
  });

  test("and what is none fits nothing, from the first byte on that shows it", () => {
    expect(wayOf(router, httpRequest("/").subarray(0, 1))).toBe("none");
    expect(wayOf(router, "SSH-2.0-x\r\n")).toBe("none");
    expect(wayOf(router, Uint8Array.of(0x16, 0x02))).toBe("none");
  });
});

describe("the server name is told with the verdict", () => {
  const tell = (
    router: ReturnType<typeof routerOf>,
    bytes: Uint8Array,
    hello?: { serverName: string; alpn: string[] },
  ) => {
    const verdict = router.decide({ bytes, final: false, hello });
    return verdict.kind === "more" ? "more" : verdict.sni;
  };
  const bytes = clientHello({ serverName: "A.example" });

  test("of a route, and where none fits", () => {
    expect(tell(routerOf([{ sni: "a.example" }]), bytes)).toBe("a.example");
    expect(tell(routerOf([{ sni: "b.example" }]), bytes)).toBe("a.example");
    expect(tell(routerOf([{ alpn: "h2" }]), bytes)).toBe("a.example");
  });

  test("of a route that did not ask for it, where another does and the bytes are there", () => {
    const router = routerOf([{ prefix: "\\x16" }, { sni: "b.example" }]);
    expect(tell(router, bytes)).toBe("a.example");
    expect(tell(router, bytes.subarray(0, 1))).toBeUndefined();
  });

  test("not where no route asks for TLS, the client asks for no name, or it speaks something else", () => {
    expect(tell(routerOf([{ prefix: "\\x16" }]), bytes)).toBeUndefined();
    expect(tell(routerOf([{ sni: "a.example" }]), clientHello({}))).toBeUndefined();
    expect(tell(routerOf([{ sni: "a.example" }]), httpRequest("/"))).toBeUndefined();
  });

  test("of a TLS session that ends here", () => {
    expect(tell(routerOf([{ sni: "x.example" }]), bytes, { serverName: "c.example", alpn: [] })).toBe("c.example");
  });
});

describe("where TLS ends here", () => {
  const hello = { serverName: "a.example", alpn: ["h2"] };

  test("its ClientHello decides before a byte has come through it", () => {
    const router = routerOf([{ sni: "b.example" }, { sni: "a.example", alpn: "h2" }]);
    expect(wayOf(router, "", { hello })).toBe(1);
    expect(wayOf(router, "", { hello: { serverName: undefined, alpn: ["h2"] } })).toBe("none");
  });

  test("a name that does not fit need not wait for the bytes", () => {
    expect(wayOf(routerOf([{ sni: "b.example", pathPrefix: "/" }]), "", { hello })).toBe("none");
  });

  test("the bytes are looked at for requests, not for a ClientHello", () => {
    const router = routerOf([{ sni: "b.example" }, { sni: "a.example", pathPrefix: "/api" }, { alpn: "h2" }]);
    expect(wayOf(router, "GET /", { hello })).toBe("more");
    expect(wayOf(router, httpRequest("/api"), { hello })).toBe(1);
    expect(wayOf(router, clientHello({ serverName: "b.example" }), { hello })).toBe(2);
  });
});

describe("a value that no ClientHello could fit is refused with what was wanted", () => {
  const NAME = 'such as "example.com" or "*.example.com"';
  const PROTOCOL = 'the name of one protocol, such as "h2" or "http/1.1"';
  const rows: [key: "sni" | "alpn", text: string, wanted: string][] = [
    ["sni", "127.0.0.1", `a name, not an address, ${NAME}`],
    ["sni", "[::1]", `a name, not an address, ${NAME}`],
    ["sni", "example.com:443", `a name without a port, ${NAME}`],
    ["sni", "*", `a name, or "*." and a name for all its subdomains, ${NAME}`],
    ["alpn", "h2,http/1.1", PROTOCOL],
    ["alpn", "h2 http/1.1", PROTOCOL],
    ["alpn", "é", PROTOCOL],
    ["alpn", "x".repeat(256), PROTOCOL],
  ];
  test.each(rows)("%s = %j", (key, text, wanted) => {
    expect(parseCondition(key, text)).toEqual({ ok: false, wanted });
  });
});
