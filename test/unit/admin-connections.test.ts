/** Open connections, listed and closed by the admin server. */
import { describe, expect, test } from "bun:test";
import type { ConnectionStatus } from "../../src/admin/admin-port.ts";
import { ask, connectionStatus, FakePort } from "../support/admin.ts";

interface Listed {
  total: number;
  matching: number;
  connections: ConnectionStatus[];
}

async function list(port: FakePort, query = ""): Promise<Listed> {
  const response = await ask(`/connections${query}`, { port });
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json;charset=utf-8"]);
  return (await response.json()) as Listed;
}

/** The ids that are listed. */
async function ids(port: FakePort, query: string): Promise<number[]> {
  return (await list(port, query)).connections.map(({ id }) => id);
}

const port = new FakePort();
port.open = [
  connectionStatus(3, { client: "192.0.2.1:1111" }),
  connectionStatus(4, { listener: "tls", sni: "Shop.Example.com", route: 'sni="*.example.com"' }),
  connectionStatus(17, { backend: null, endpoint: null, phase: "inspecting", engine: null, client: "[2001:db8::1]:5" }),
  connectionStatus(30, { backend: "api", endpoint: "unix:/run/api.sock" }),
];

describe("GET /connections", () => {
  test("lists all with every field, oldest first", async () => {
    expect(await list(port)).toEqual({ total: 4, matching: 4, connections: port.open });
    expect(await list(new FakePort())).toEqual({ total: 0, matching: 0, connections: [] });
  });

  test.each([
    ["web", [3, 17, 30]],
    ["192.0.2.1:1111", [3]],
    ["2001:DB8", [17]],
    ["api", [30]],
    ["unix:/run", [30]],
    ["shop.example.COM", [4]],
    ["*.example", [4]],
    ["17", [17]],
    // The id as a whole, and not a part of it; other fields in part.
    ["3", [3]],
    ["inspecting", []],
    ["web api", [30]],
    ["  api   web ", [30]],
    ["web nothing", []],
    ["", [3, 4, 17, 30]],
    ["null", []],
    ["%", []],
  ] as const)("search %p finds %p", async (search, found) => {
    // The endpoint of the others has no 3 in it, their clients do.
    const searched = new FakePort();
    searched.open = port.open.map((one) =>
      one.id === 4 || one.id === 30 ? { ...one, client: "198.51.100.7:99" } : one,
    );
    const listed = await list(searched, `?search=${encodeURIComponent(search)}`);
    expect(listed.connections.map(({ id }) => id)).toEqual([...found]);
    expect([listed.total, listed.matching]).toEqual([4, found.length]);
  });

  test("+ in a search is a blank, as forms write it", async () => {
    expect(await ids(port, "?search=web+api")).toEqual([30]);
  });

  test("the limit keeps the oldest, and counts go on", async () => {
    expect(await list(port, "?limit=2")).toEqual({ total: 4, matching: 4, connections: port.open.slice(0, 2) });
    expect(await list(port, "?limit=1&search=web")).toEqual({ total: 4, matching: 3, connections: [port.open[0]!] });
    expect(await list(port, "?limit=0")).toEqual({ total: 4, matching: 4, connections: [] });
    expect(await ids(port, "?limit=100000")).toEqual([3, 4, 17, 30]);
  });

  test("without a limit a thousand are listed", async () => {
    const many = new FakePort();
    many.open = Array.from({ length: 1_500 }, (_, index) => connectionStatus(index + 1));
    const { total, matching, connections } = await list(many);
    expect([total, matching, connections.length, connections.at(-1)!.id]).toEqual([1_500, 1_500, 1_000, 1_000]);
  });

  test.each([
    ["limit=", 'limit: found "", wanted a whole number from 0 to 100000'],
    ["limit=-1", 'limit: found "-1", wanted a whole number from 0 to 100000'],
    ["limit=1.5", 'limit: found "1.5", wanted a whole number from 0 to 100000'],
    ["limit=1e3", 'limit: found "1e3", wanted a whole number from 0 to 100000'],
    ["limit=0x10", 'limit: found "0x10", wanted a whole number from 0 to 100000'],
    ["limit=100001", 'limit: found "100001", wanted a whole number from 0 to 100000'],
    ["limit=ten", 'limit: found "ten", wanted a whole number from 0 to 100000'],
    ["limit=1&limit=2", "limit: given more than once"],
    ["serach=web", 'no such parameter: serach (did you mean "search"?), wanted search or limit'],
    ["token=x", "no such parameter: token, wanted search or limit"],
    [`search=${"x".repeat(201)}`, "search: found 201 characters, wanted at most 200"],
  ])("?%s is 400", async (query, problem) => {
    const asked = new FakePort();
    const response = await ask(`/connections?${query}`, { port: asked });
    expect([response.status, await response.json()]).toEqual([400, { error: problem, problems: [problem] }]);
    expect(asked.made).toBe(0);
  });

  test("every problem is told at once", async () => {
    const response = await ask("/connections?limt=1&limit=x", {});
    expect(((await response.json()) as { problems: string[] }).problems).toHaveLength(2);
  });

  test("ten thousand are made in many turns, so that others have theirs", async () => {
    const many = new FakePort();
    many.open = Array.from({ length: 10_000 }, (_, index) => connectionStatus(index + 1));
    let turns = 0;
    let most = 0;
    let before = 0;
    let listing = true;
    const turn = (): void => {
      turns++;
      most = Math.max(most, many.made - before);
      before = many.made;
      if (listing) setImmediate(turn);
    };
    turn();
    const { connections } = await list(many, "?limit=100000&search=web");
    listing = false;
    expect(connections).toEqual(many.open);
    expect(turns).toBeGreaterThan(3);
    expect(most).toBeLessThan(10_000);
  });

  test("two who ask at once are served one after the other, and one who has left is not", async () => {
    const many = new FakePort();
    many.open = Array.from({ length: 5_000 }, (_, index) => connectionStatus(index + 1));
    const left = new AbortController();
    const [first, , third] = [
      ask("/connections", { port: many }),
      ask("/connections", { port: many, signal: left.signal }),
      ask("/connections", { port: many }),
    ];
    left.abort();
    expect(((await (await first).json()) as Listed).total).toBe(5_000);
    expect(((await (await third).json()) as Listed).total).toBe(5_000);
    expect(many.made).toBe(10_000);
  });

  test("one that fails holds up nobody", async () => {
    const broken = new FakePort();
    broken.open = new Proxy(port.open, {
      get: (target, key) => {
        if (key === Symbol.iterator && failing) throw new Error("broken");
        return Reflect.get(target, key) as unknown;
      },
    });
    let failing = true;
    expect((await ask("/connections", { port: broken, onMistake: () => {} })).status).toBe(500);
    failing = false;
    expect((await list(broken)).total).toBe(4);
  });
});

describe("DELETE /connections/ID", () => {
  const remove = async (id: string): Promise<[number, unknown]> => {
    const asked = new FakePort();
    asked.open = [connectionStatus(7)];
    const response = await ask(`/connections/${id}`, { port: asked, method: "DELETE" });
    return [response.status, { ...((await response.json()) as object), asked: asked.closed }];
  };

  test("closes the one with this id", async () => {
    expect(await remove("7")).toEqual([200, { closed: 7, asked: [7] }]);
  });

  test("is 404 when there is none", async () => {
    expect(await remove("8")).toEqual([404, { error: "no open connection has the id 8", asked: [8] }]);
    expect(await remove("0")).toEqual([404, { error: "no open connection has the id 0", asked: [0] }]);
    const long = "9".repeat(30);
    expect(await remove(long)).toEqual([404, { error: `no open connection has the id ${long}`, asked: [] }]);
  });

  test.each(["x", "7x", "-7", "+7", "7.0", "7e0", "0x7", "%37", "NaN", "Infinity", "%zz", "7%20"])(
    "is 400 for %s",
    async (id) => {
      const error = `found ${JSON.stringify(id)}, wanted the id of a connection, such as 17`;
      expect(await remove(id)).toEqual([400, { error, asked: [] }]);
    },
  );
});
