/** Which requests of browsers the admin server refuses: by the name it is called, and by the site they come from. */
import { describe, expect, test } from "bun:test";
import { ask, FakePort } from "../support/admin.ts";

/** What asks for nothing but to be let through: 200, or 202 where something is changed. */
const read = { path: "/status", method: "GET" };
const change = { path: "/shutdown", method: "POST" };

async function statusFor(
  { path, method }: { path: string; method: string },
  headers: Record<string, string>,
  token = "",
  port = new FakePort(),
): Promise<number> {
  const authorization: Record<string, string> = token === "" ? {} : { authorization: `Bearer ${token}` };
  return (await ask(path, { method, headers: { ...authorization, ...headers }, token, port })).status;
}

describe("without a token", () => {
  test.each([
    "127.0.0.1:9900",
    "127.0.0.1",
    "127.1",
    "10.1.2.3:9900",
    "[::1]:9900",
    "[::1]",
    "[fe80::1]:80",
    "localhost:9900",
    "LocalHost",
    "localhost.:9900",
    "sluice.localhost:9900",
    "a.b.localhost",
  ])("the Host %s may be asked", async (host) => {
    expect(await statusFor(read, { host })).toBe(200);
    expect(await statusFor(change, { host })).toBe(202);
  });

  test.each([
    "evil.example",
    "evil.example:9900",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "notlocalhost",
    "evil.example/127.0.0.1",
    "user@evil.example",
    "127.0.0.1, evil.example",
    "[::1",
    "a b",
    "",
    "::1",
  ])("the Host %p is refused, for reading, changing, pages and unknown paths", async (host) => {
    const port = new FakePort();
    const found = JSON.stringify(host);
    for (const { path, method } of [read, change, { ...read, path: "/" }, { ...read, path: "/x" }]) {
      const response = await ask(path, { method, port, headers: { host } });
      expect([path, response.status, await response.json()]).toEqual([
        path,
        403,
        {
          error: `the Host ${found} is refused: without admin.token this server answers to IP addresses and localhost only`,
        },
      ]);
    }
    expect(port.touched).toBe(0);
    for (const path of ["/livez", "/readyz", "/ready", "/api/ready"]) {
      expect(await statusFor({ path, method: "GET" }, { host })).toBe(200);
    }
  });

  test("a request without a Host may ask: no browser sends one", async () => {
    expect(await statusFor(read, {})).toBe(200);
  });
});

test("with a token any Host may be asked", async () => {
  for (const host of ["evil.example", "sluice.internal:9900", "[::1", "a b"]) {
    expect(await statusFor(read, { host }, "secret")).toBe(200);
    expect(await statusFor(change, { host }, "secret")).toBe(202);
  }
});

describe("a change is made", () => {
  const host = "127.0.0.1:9900";

  test.each([
    {},
    { origin: "http://127.0.0.1:9900" },
    { origin: "https://127.0.0.1:9900" },
    { "sec-fetch-site": "same-origin" },
    { "sec-fetch-site": "same-origin", origin: "http://127.0.0.1:9900" },
    // A proxy that has changed the Host.
    { "sec-fetch-site": "same-origin", origin: "https://sluice.example" },
    { "sec-fetch-site": "none" },
  ])("for %p", async (headers) => {
    for (const token of ["", "secret"]) expect(await statusFor(change, { host, ...headers }, token)).toBe(202);
  });

  test("for an origin that leaves out the port of its scheme", async () => {
    expect(await statusFor(change, { host: "localhost:80", origin: "http://localhost" })).toBe(202);
    expect(await statusFor(change, { host: "localhost", origin: "http://localhost:80" })).toBe(202);
    expect(await statusFor(change, { host: "localhost:443", origin: "https://localhost" })).toBe(202);
  });
});

describe("no change is made", () => {
  const host = "127.0.0.1:9900";

  test.each([
    [{ origin: "http://evil.example" }, "Origin http://evil.example"],
    [{ origin: "http://127.0.0.1:8080" }, "Origin http://127.0.0.1:8080"],
    [{ origin: "http://localhost:9900" }, "Origin http://localhost:9900"],
    [{ origin: "http://127.0.0.1:9900.evil.example" }, "Origin http://127.0.0.1:9900.evil.example"],
    [{ origin: "null" }, "Origin null"],
    [{ origin: "" }, "Origin "],
    [{ origin: "file://" }, "Origin file://"],
    [{ origin: "http://" }, "Origin http://"],
    [{ "sec-fetch-site": "cross-site" }, "Sec-Fetch-Site cross-site"],
    [{ "sec-fetch-site": "same-site" }, "Sec-Fetch-Site same-site"],
    [{ "sec-fetch-site": "" }, "Sec-Fetch-Site "],
    [{ "sec-fetch-site": "cross-site", origin: "http://127.0.0.1:9900" }, "Sec-Fetch-Site cross-site"],
  ])("for %p", async (headers, from) => {
    const port = new FakePort();
    for (const [path, method] of [
      ["/shutdown", "POST"],
      ["/reload", "POST"],
      ["/connections/1", "DELETE"],
      ["/backends/app/endpoints/10.0.0.1:80", "PUT"],
    ] as const) {
      for (const token of ["", "secret"]) {
        const authorization = { authorization: "Bearer secret" };
        const body = method === "PUT" ? '{"state":"drain"}' : null;
        const given = { host, ...authorization, ...headers } as Record<string, string>;
        const response = await ask(path, { method, port, token, body, headers: given });
        expect([response.status, await response.json()]).toEqual([
          403,
          { error: `another site may change nothing here (${from})` },
        ]);
      }
    }
    expect(port.touched).toBe(0);
    // To read does no harm: without CORS headers the page gets nothing of it.
    const response = await ask("/status", { headers: { host, ...headers } as Record<string, string> });
    expect([response.status, response.headers.get("access-control-allow-origin")]).toEqual([200, null]);
  });

  test("for an origin without a Host to compare it with", async () => {
    expect(await statusFor(change, { origin: "http://127.0.0.1:9900" })).toBe(403);
  });
});
