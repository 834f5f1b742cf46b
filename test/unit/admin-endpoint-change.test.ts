/** Endpoints changed through the admin server: how they are named, what a body may say, and what is answered. */
import { describe, expect, test } from "bun:test";
import type { AdminPort } from "../../src/admin/admin-port.ts";
import { bodyBytesMax, bodyWithinMs } from "../../src/admin/request-body.ts";
import { ask, FakePort } from "../support/admin.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const first = "/backends/app/endpoints/10.0.0.1:80";

async function put(path: string, body: unknown, port: AdminPort = new FakePort()): Promise<[number, unknown]> {
  const text = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
  const response = await ask(path, { port, method: "PUT", body: text as string });
  return [response.status, await response.json()];
}

describe("a change", () => {
  test.each([
    [{ state: "drain" }, { state: "drain", weight: 1 }],
    [{ state: "ready" }, { state: "ready", weight: 1 }],
    [{ state: "down" }, { state: "down", weight: 1 }],
    [{ weight: 0 }, { state: "ready", weight: 0 }],
    [{ weight: 1_000 }, { state: "ready", weight: 1_000 }],
    [
      { weight: 5, state: "drain" },
      { state: "drain", weight: 5 },
    ],
  ])("%p is made, and answered with the endpoint as it is then", async (body, then) => {
    const port = new FakePort();
    expect(await put(first, body, port)).toEqual([200, { address: "10.0.0.1:80", ...then }]);
    expect(port.changes).toEqual([["app", "10.0.0.1:80", body as object]]);
  });

  test("is read whatever its content type is said to be, with a byte order mark, and with any number that is whole", async () => {
    for (const type of ["application/json", "application/x-www-form-urlencoded", "text/plain", "nonsense"]) {
      const port = new FakePort();
      const headers = { "content-type": type };
      const response = await ask(first, { port, method: "PUT", headers, body: '{"weight":2}' });
      expect([type, response.status]).toEqual([type, 200]);
    }
    expect((await put(first, '\uFEFF {"weight":2}'))[0]).toBe(200);
    const port = new FakePort();
    expect((await put(first, '{"weight":1e2}', port))[0]).toBe(200);
    expect((await put(first, '{"weight":-0}', port))[0]).toBe(200);
    expect(port.changes.map(([, , { weight }]) => weight)).toEqual([100, 0]);
  });
});

describe("an endpoint is named", () => {
  test.each([
    ["/backends/app/endpoints/10.0.0.1:80", "app", "10.0.0.1:80"],
    ["/backends/app/endpoints/10.0.0.1%3A80", "app", "10.0.0.1:80"],
    ["/backends/%61pp/endpoints/10.0.0.1:80?x=1", "app", "10.0.0.1:80"],
    ["/backends/app/endpoints/[::1]:80", "app", "[::1]:80"],
    ["/backends/app/endpoints/%5B::1%5D:80", "app", "[::1]:80"],
    ["/backends/app/endpoints/%5b%3a%3a1%5d%3a80", "app", "[::1]:80"],
    ["/backends/app/endpoints/unix%3A%2Frun%2Fx.sock", "app", "unix:/run/x.sock"],
    ["/backends/app/endpoints/unix:%2frun%2fx.sock", "app", "unix:/run/x.sock"],
    ["/backends/app/endpoints/unix:/run/x.sock", "app", "unix:/run/x.sock"],
    ["/backends/a%20b%2F%C3%BC/endpoints/h:1", "a b/ü", "h:1"],
  ])("by %s", async (path, backend, endpoint) => {
    const port = new FakePort();
    expect(await put(path, { weight: 2 }, port)).toEqual([200, { address: endpoint, state: "ready", weight: 2 }]);
    expect(port.changes).toEqual([[backend, endpoint, { weight: 2 }]]);
  });

  test.each([
    ["/backends/%zz/endpoints/h:1", "%zz"],
    ["/backends/app/endpoints/10.0.0.1%3", "10.0.0.1%3"],
    ["/backends/app/endpoints/%", "%"],
    ["/backends/app/endpoints/%ff", "%ff"],
    ["/backends/%C3/endpoints/h:1", "%C3"],
  ])("%s has a bad escape", async (path, part) => {
    const error = `found a bad percent escape in ${JSON.stringify(part)}, wanted %XX of UTF-8`;
    expect(await put(path, { weight: 2 })).toEqual([400, { error }]);
  });

  test("that there is not: 404 with those there are", async () => {
    expect(await put("/backends/ap/endpoints/10.0.0.1:80", { weight: 2 })).toEqual([
      404,
      { error: 'there is no backend "ap" (did you mean "app"?)', known: ["app", "a b/ü"] },
    ]);
    expect(await put("/backends/app/endpoints/10.0.0.2:80", { weight: 2 })).toEqual([
      404,
      {
        error: 'backend "app" has no endpoint "10.0.0.2:80" (did you mean "10.0.0.1:80"?)',
        known: ["10.0.0.1:80", "[::1]:80", "unix:/run/x.sock"],
      },
    ]);
    expect(await put("/backends/__proto__/endpoints/x", { weight: 2 })).toEqual([
      404,
      { error: 'there is no backend "__proto__"', known: ["app", "a b/ü"] },
    ]);
  });
});

describe("a body", () => {
  test.each([
    [[], "found a list"],
    [null, "found null"],
    [3, "found 3"],
    ['"drain"', 'found "drain"'],
  ])("that is %p is 400", async (body, found) => {
    const problem = `${found}, wanted an object such as {"state":"drain"} or {"weight":2}`;
    expect(await put(first, body)).toEqual([400, { error: problem, problems: [problem] }]);
  });

  test.each<[string, string[]]>([
    ["{}", ["found no state and no weight, wanted at least one"]],
    ['{"state":"up"}', ['state: found "up", wanted "ready", "drain" or "down"']],
    ['{"state":null}', ['state: found null, wanted "ready", "drain" or "down"']],
    ['{"state":["drain"]}', ['state: found a list, wanted "ready", "drain" or "down"']],
    ['{"weight":"2"}', ['weight: found "2", wanted a whole number from 0 to 1000']],
    ['{"weight":1.5}', ["weight: found 1.5, wanted a whole number from 0 to 1000"]],
    ['{"weight":-1}', ["weight: found -1, wanted a whole number from 0 to 1000"]],
    ['{"weight":1001}', ["weight: found 1001, wanted a whole number from 0 to 1000"]],
    ['{"weight":1e999}', ["weight: found Infinity, wanted a whole number from 0 to 1000"]],
    ['{"weight":{}}', ["weight: found an object, wanted a whole number from 0 to 1000"]],
    ['{"weight":true}', ["weight: found true, wanted a whole number from 0 to 1000"]],
    [
      '{"wieght":1}',
      ['wieght: no such key (did you mean "weight"?)', "found no state and no weight, wanted at least one"],
    ],
    [
      '{"__proto__":{"state":"drain"}}',
      ["__proto__: no such key", "found no state and no weight, wanted at least one"],
    ],
    [
      '{"state":1,"weight":"x","backup":true}',
      [
        "backup: no such key",
        'state: found 1, wanted "ready", "drain" or "down"',
        'weight: found "x", wanted a whole number from 0 to 1000',
      ],
    ],
  ])("%s is 400 with every problem, and changes nothing", async (body, problems) => {
    const port = new FakePort();
    expect(await put(first, body, port)).toEqual([400, { error: problems.join("; "), problems }]);
    expect(port.touched).toBe(0);
  });

  test.each(["", "{", "state=drain", "{'state':'drain'}", '{"state":"drain"} x', "undefined"])(
    "that is no JSON (%p) is 400",
    async (body) => {
      const [status, answer] = await put(first, body);
      expect(status).toBe(400);
      expect((answer as { error: string }).error).toStartWith("the body is no JSON: ");
    },
  );

  test("that is not UTF-8, or not there, is 400", async () => {
    const bytes = new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]);
    expect(await put(first, bytes)).toEqual([400, { error: "the body is no JSON: it is not UTF-8" }]);
    expect((await ask(first, { method: "PUT" })).status).toBe(400);
  });

  test("may have so many bytes and not one more, whether its length is said or not", async () => {
    const padded = (bytes: number): string => '{"weight":2}'.padEnd(bytes, " ");
    const error = `the body is too long: at most ${bodyBytesMax} bytes are read`;
    expect((await put(first, padded(bodyBytesMax)))[0]).toBe(200);
    expect(await put(first, padded(bodyBytesMax + 1))).toEqual([413, { error }]);
    const headers = { "content-length": String(2 ** 40) };
    const response = await ask(first, { method: "PUT", headers, body: '{"weight":2}' });
    expect([response.status, response.headers.get("connection")]).toEqual([413, "close"]);
  });

  test("that does not come is given up in time, with 408 and the end of the connection", async () => {
    const clock = new VirtualClock();
    const port = new FakePort();
    const body = new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode('{"weigh')) });
    const asked = ask(first, { method: "PUT", body, clock, port });
    await new Promise((resolve) => void setImmediate(resolve));
    expect(clock.pendingTimers).toBe(1);
    clock.advance(bodyWithinMs);
    const response = await asked;
    expect([response.status, response.headers.get("connection")]).toEqual([408, "close"]);
    expect(await response.json()).toEqual({ error: "the body was not complete within 5 s" });
    expect([clock.pendingTimers, port.touched]).toEqual([0, 0]);
  });

  test("that comes leaves no timer behind", async () => {
    const clock = new VirtualClock();
    expect((await ask(first, { method: "PUT", body: '{"weight":2}', clock })).status).toBe(200);
    expect(clock.pendingTimers).toBe(0);
  });

  test("that breaks off is 400, and no mistake of ours", async () => {
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) });
    const response = await ask(first, { method: "PUT", body });
    expect([response.status, await response.json()]).toEqual([400, { error: "the body did not arrive whole" }]);
  });
});
