/** The files of the dashboard: small, complete, and nothing in them that its policy forbids. */
import { expect, test } from "bun:test";
import { dashboardAsset, dashboardPolicy } from "../../src/admin/dashboard/assets.ts";

const paths = ["/", "/dashboard/main.js", "/dashboard/style.css", "/dashboard/icon.svg"];

test("each has its type, and all together are under 200 KB", async () => {
  const assets = await Promise.all(paths.map((path) => dashboardAsset(path)));
  expect(assets.map((asset) => asset?.type)).toEqual([
    "text/html; charset=utf-8",
    "text/javascript; charset=utf-8",
    "text/css; charset=utf-8",
    "image/svg+xml",
  ]);
  const sizes = assets.map((asset) => new TextEncoder().encode(asset!.body).length);
  expect(Math.min(...sizes)).toBeGreaterThan(200);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(200_000);
});

test("there is nothing else, whatever is asked for", async () => {
  for (const path of [
    "/dashboard/",
    "/dashboard/x.js",
    "/dashboard/../main.ts",
    "/dashboard/__proto__",
    "constructor",
  ]) {
    expect(await dashboardAsset(path)).toBeUndefined();
  }
});

test("the page has no script and no style of its own, and all that it names is there", async () => {
  const html = (await dashboardAsset("/"))!.body;
  const tags = [...html.matchAll(/<(\w+)((?:\s+[^>]*?)?)\/?>/g)].map(([, name = "", attributes = ""]) => ({
    name,
    attributes,
  }));
  expect(tags.length).toBeGreaterThan(20);
  expect(tags.filter(({ name }) => name === "style")).toEqual([]);
  expect(tags.filter(({ attributes }) => /\s(?:style|on\w+)\s*=/i.test(attributes))).toEqual([]);
  const scripts = tags.filter(({ name }) => name === "script");
  expect(scripts.map(({ attributes }) => / src="([^"]+)"/.exec(attributes)?.[1])).toEqual(["dashboard/main.js"]);
  const named = [...html.matchAll(/ (?:src|href)="([^"#]+)"/g)].map((match) => match[1]!);
  expect([...new Set(named)].map((path) => `/${path}`).toSorted()).toEqual(
    paths.filter((path) => path !== "/").toSorted(),
  );
});

test("no file leads to another host, and none makes markup or code of a text", async () => {
  for (const path of paths) {
    const { body } = (await dashboardAsset(path))!;
    const hosts = [...body.matchAll(/(?:https?:)?\/\/[\w-]+\.[\w.-]+/g)].map((match) => match[0]);
    // A name of a namespace, which nobody asks for.
    expect(hosts.filter((host) => host !== "http://www.w3.org")).toEqual([]);
    expect(body).not.toMatch(
      /\.(?:innerHTML|outerHTML|insertAdjacentHTML|srcdoc)\b|document\.write|\beval\(|new Function\(/,
    );
  }
});

test("the policy lets the page have what is its own, and nothing else", () => {
  expect(dashboardPolicy.split("; ").toSorted()).toEqual(
    [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self'",
      "img-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].toSorted(),
  );
});
