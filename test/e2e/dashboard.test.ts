/** The dashboard of the real process in a real browser: what it shows, what its buttons do, what it does not ask for. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { dashboardPolicy } from "../../src/admin/dashboard/assets.ts";
import { type Backend, echo, listen } from "../support/backend.ts";
import { openTab, startBrowser, type Tab } from "../support/browser.ts";
import { connect, type Peer } from "../support/peer.ts";
import { lacks } from "../support/programs.ts";
import { ends4, command, family, proxyV2, tlv, tlvType } from "../support/proxy-headers.ts";
import { startSluice } from "../support/sluice.ts";
import { until } from "../support/until.ts";

let browser: Browser;

beforeAll(async () => {
  if (!lacks("chromium")) browser = await startBrowser();
});

afterAll(async () => {
  if (!lacks("chromium")) await browser.close();
});

test.skipIf(lacks("chromium"))(
  "traffic shows up by itself, in figures, curves and the list of connections; no other host is asked, nothing is forbidden",
  async () => {
    await using backend = await listen(echo);
    await using proxy = await startSluice({ config: config([backend.address]) });
    const url = await proxy.adminUrl();
    await using tab = await openTab(browser, url);
    await tab.shows("#state", "ready");
    await tab.shows("#open", "0 of 100");
    const clients: Peer[] = [];
    await using opened = new AsyncDisposableStack();
    for (let count = 0; count < 3; count++) {
      const client = opened.use(await connect(await proxy.port("web")));
      clients.push(client);
      await client.send(new Uint8Array(50_000));
      await client.receivedBytes(50_000);
    }
    await tab.shows("#open", "3 of 100");
    await tab.shows('.chart:has-text("Open connections") .legend', "open 3");
    await words(tab, "Open connections", "open: now 3, at most 3");
    await words(tab, "Throughput", /to client: now .*at most \d/);
    await tab.shows('table[aria-label="Listeners"] tbody tr', /^web127\.0\.0\.1:\d+appaccepting33146 KiB146 KiB$/);
    expect(await inked(tab, "Open connections")).toBe(true);

    await tab.page.locator("#connections").scrollIntoViewIfNeeded();
    await tab.has("#connections tbody tr", 3);
    await tab.shows("#connections-count", "3 open");
    await tab.page.getByLabel("Search open connections").fill(`127.0.0.1:${clients[1]!.localPort}`);
    await tab.shows("#connections-count", "1 of 3 found");
    await tab.has("#connections tbody tr", 1);
    await tab.page.getByRole("button", { name: "Close connection" }).click();
    await tab.page.getByRole("button", { name: "Cancel" }).click();
    await tab.page.getByRole("button", { name: "Close connection 2 of" }).click();
    await tab.page.locator("#ask-yes").click();
    await tab.shows("#said", "connection 2 was closed");
    expect(await clients[1]!.wasReset()).toBe("ECONNRESET");
    expect(await proxy.recorded(1)).toMatchObject([{ id: 2, end: "closed_by_admin" }]);
    await tab.shows("#connections-count", "0 of 2 found");
    await tab.shows("#connections tbody", "none");
    await tab.shows(".reasons", "closed_by_admin 1");
    await words(tab, "Connect latency", /p50: now [\d.]+ ms, at most [\d.]+ ms; p99/);
    await words(tab, "Ends by reason", /cut: now [\d.]+\/s, at most [\d.]+\/s/);

    for (const span of ["15 min", "1 h", "5 min"]) {
      await tab.page.getByText(span, { exact: true }).click();
      await words(tab, "Open connections", "at most 3");
    }
    expect([...new Set(tab.requested.map(({ origin }) => origin))]).toEqual([url]);
    expect(tab.complaints).toEqual([]);
    const page = await fetch(url);
    expect(page.headers.get("content-security-policy")).toBe(dashboardPolicy);
  },
);

test.skipIf(lacks("chromium"))("a backend that goes down is seen, and so is its return", async () => {
  const first = await listen(echo);
  await using stays = await listen(echo);
  await using proxy = await startSluice({ config: config([first.address], `${health}\n${second(stays.address)}`) });
  await using tab = await openTab(browser, await proxy.adminUrl());
  await tab.shows("#state", "ready");
  await tab.shows(row(first), /up ?ready/);
  await first[Symbol.asyncDispose]();
  await tab.shows(row(first), /down ?ready/);
  await tab.shows('section[aria-label="Backend app"] .bar', /unavailable ?0 of 1 in rotation/);
  await tab.shows("#state", "not ready: a backend is unavailable");
  await tab.shows('section[aria-label="Backend other"] .bar', /available ?1 of 1 in rotation/);
  await using again = await listen(echo, { port: first.port });
  await tab.shows(row(again), /up ?ready/);
  await tab.shows("#state", "ready");
  expect(tab.complaints).toEqual([]);
});

test.skipIf(lacks("chromium"))("a button drains an endpoint, and brings it back", async () => {
  await using one = await listen(echo);
  await using two = await listen(echo);
  await using proxy = await startSluice({ config: config([one.address, two.address]) });
  const port = await proxy.port("web");
  await using tab = await openTab(browser, await proxy.adminUrl());
  await tab.page.getByRole("button", { name: `Drain ${one.address} of app` }).click();
  await tab.shows("#said", `${one.address} of app gets no new connections; those it has go on`);
  await tab.shows(`${row(one)} .badge >> nth=1`, "drain");
  await tab.shows('section[aria-label="Backend app"] .bar', /1 of 2 in rotation/);
  await using clients = new AsyncDisposableStack();
  for (let count = 0; count < 4; count++) await served(clients.use(await connect(port)));
  expect([one.connections.length, two.connections.length]).toEqual([0, 4]);
  // The button keeps the focus while everything around it is brought up to date.
  const back = tab.page.getByRole("button", { name: `Bring back ${one.address} of app` });
  expect(await back.evaluate((button) => button === button.ownerDocument.activeElement)).toBe(true);
  await tab.page.keyboard.press("Enter");
  await tab.shows(`${row(one)} .badge >> nth=1`, "ready");
  // It warms up: at first it gets a tenth of its share.
  for (let count = 0; count < 40; count++) await served(clients.use(await connect(port)));
  expect(one.connections.length).toBeGreaterThan(0);
  expect(tab.complaints).toEqual([]);
});

test.skipIf(lacks("chromium"))(
  "shutting down by the button shows the drain and its countdown; the page finds the next program by itself",
  async () => {
    await using backend = await listen(echo);
    await using proxy = await startSluice({ config: config([backend.address]) });
    const url = await proxy.adminUrl();
    await using tab = await openTab(browser, url);
    await using client = await connect(await proxy.port("web"));
    await served(client);
    await tab.shows("#open", "1 of 100");
    await tab.page.getByRole("button", { name: "Shut down" }).click();
    await tab.shows("#ask-text", /what is open \(1 connection is\)/);
    await tab.page.keyboard.press("Escape");
    expect(proxy.log.some(({ msg }) => msg === "shutting down")).toBe(false);
    await tab.page.getByRole("button", { name: "Shut down" }).click();
    await tab.page.locator("#ask-yes").click();
    await tab.shows("#state", "draining");
    await tab.shows("#drain", /^1 connection left, cut in (30|29|28) s$/);
    await tab.shows("#drain", /^1 connection left, cut in (27|26|25) s$/);
    await client.finish();
    expect((await proxy.exited()).code).toBe(0);
    await tab.shows(
      "#lost",
      /^Connection lost while it drained: it has probably ended\. Trying again … What you see is \d s old\.$/,
    );
    await tab.shows("#state", "unknown");
    const admin = new URL(url).host;
    await using next = await startSluice({ config: config([backend.address], "", admin) });
    await next.ready();
    await tab.shows("#state", "ready");
    expect(await tab.page.locator("#lost").isVisible()).toBe(false);
  },
);

test.skipIf(lacks("chromium"))("a token is asked for, sent as a header, and kept for the tab only", async () => {
  const token = "s3cret-t0ken";
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config([backend.address]), env: { SLUICE_ADMIN_TOKEN: token } });
  await using tab = await openTab(browser, await proxy.adminUrl());
  await tab.shows("#state", "token wanted");
  expect(await tab.page.locator("#shown").isVisible()).toBe(false);
  const field = tab.page.getByLabel("Admin token");
  expect(await field.evaluate((input) => input === input.ownerDocument.activeElement)).toBe(true);
  await field.fill("wrong");
  await tab.page.keyboard.press("Enter");
  await tab.shows("#token-wrong", "That was not the token.");
  const asked = tab.page.waitForRequest((request) => request.headers()["authorization"] === `Bearer ${token}`);
  await field.fill(token);
  await tab.page.getByRole("button", { name: "Show the dashboard" }).click();
  expect(new URL((await asked).url()).pathname).toBe("/events");
  await tab.shows("#state", "ready");
  await tab.page.locator("#connections").scrollIntoViewIfNeeded();
  await tab.shows("#connections-count", "0 open");
  await tab.page.getByRole("button", { name: `Drain ${backend.address} of app` }).click();
  await tab.shows("#said", /gets no new connections/);
  await tab.shows("#state", "not ready: a backend is unavailable");
  await tab.page.reload();
  await tab.shows("#state", "not ready: a backend is unavailable");
  expect(await tab.page.locator("#token").isVisible()).toBe(false);
  expect(await tab.page.evaluate("[localStorage.length, document.cookie]")).toEqual([0, ""]);
  expect(tab.requested.filter(({ href }) => href.includes(token))).toEqual([]);
  // The browser itself tells of the answers 401, and of nothing else.
  expect(tab.complaints.filter((text) => !text.includes("401"))).toEqual([]);
});

test.skipIf(lacks("chromium"))("a reload from the page says what changed, or every problem", async () => {
  await using backend = await listen(echo);
  using file = new ConfigFile(config([backend.address]));
  await using proxy = await startSluice({ args: ["run", "--config", file.path] });
  await using tab = await openTab(browser, await proxy.adminUrl());
  const reload = tab.page.getByRole("button", { name: "Reload" });
  await reload.click();
  await tab.shows("#outcome-title", "Nothing has changed");
  await tab.page.getByRole("button", { name: "Close", exact: true }).click();
  file.write(config([backend.address]).replace("connections = 100", "connections = 200"));
  await reload.click();
  await tab.shows("#outcome-title", "Reloaded");
  await tab.shows("#outcome-text", /This holds from now on:.*limits\.connections: 100 → 200/);
  await tab.page.keyboard.press("Escape");
  await tab.shows("#open", "0 of 200");
  file.write(config([backend.address]).replace('backend = "app"', 'backend = "ap"\ncolour = "red"'));
  await reload.click();
  await tab.shows("#outcome-title", "Nothing was changed");
  await tab.has("#outcome-text li", 2);
  await tab.shows("#outcome-text", /colour.*unknown backend "ap"|unknown backend "ap".*colour/);
});

test.skipIf(lacks("chromium"))("on a phone nothing is wider than the screen, and rows are cards", async () => {
  await using backend = await listen(echo);
  const name = `name-${"long".repeat(12)}`;
  const long = config([backend.address]).replaceAll('"app"', `"${name}"`);
  await using proxy = await startSluice({ config: long });
  const options = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };
  await using tab = await openTab(browser, await proxy.adminUrl(), options);
  await using client = await connect(await proxy.port("web"));
  await served(client);
  await tab.shows("#open", "1 of 100");
  await tab.page.locator("#connections").scrollIntoViewIfNeeded();
  await tab.has("#connections tbody tr td", 10);
  expect(await tab.page.evaluate("document.documentElement.scrollWidth")).toBe(360);
  expect(await tab.page.evaluate("getComputedStyle(document.querySelector('#connections tbody tr')).display")).toBe(
    "grid",
  );
  // What looks like cards is still told as a table.
  expect(await tab.page.getByRole("table", { name: "Open connections" }).getByRole("cell").count()).toBe(10);
  await tab.page.getByRole("button", { name: "Shut down" }).tap();
  await tab.shows("#ask-title", "Shut sluice down?");
  expect(await tab.page.evaluate("document.documentElement.scrollWidth")).toBe(360);
  expect(tab.complaints).toEqual([]);
});

test.skipIf(lacks("chromium"))("light and dark are the browser's choice, and curves follow a change", async () => {
  await using backend = await listen(echo);
  await using proxy = await startSluice({ config: config([backend.address]) });
  await using tab = await openTab(browser, await proxy.adminUrl(), { colorScheme: "light", reducedMotion: "reduce" });
  await words(tab, "Open connections", "open: now 0");
  const ground = (): Promise<unknown> => tab.page.evaluate("getComputedStyle(document.body).backgroundColor");
  expect(await ground()).toBe("rgb(244, 245, 247)");
  const light = await lineColors(tab);
  await tab.page.emulateMedia({ colorScheme: "dark" });
  expect(await ground()).toBe("rgb(14, 17, 22)");
  await until(async () => (await lineColors(tab)) !== light, "the curves to be painted in other colours");
  expect(await tab.page.evaluate("getComputedStyle(document.querySelector('#shown')).transitionDuration")).toBe("0s");
});

test.skipIf(lacks("chromium"))("what clients and names say stays text", async () => {
  const markup = "<img src=x onerror=document.title=`owned`>";
  await using backend = await listen(echo);
  const hostile = `accept_proxy = "required"\ntrusted = ["127.0.0.0/8"]\n[[listener.route]]\nprefix = '${markup}'\nbackend = "app"\n`;
  await using proxy = await startSluice({
    config: config([backend.address]).replace("[[backend]]", `${hostile}\n[[backend]]`),
  });
  await using client = await connect(await proxy.port("web"));
  const header = proxyV2(command.proxy, family.tcp4, ends4, tlv(tlvType.authority, markup));
  await client.send(header);
  await client.send(markup);
  await client.receivedBytes(markup.length);
  await using tab = await openTab(browser, await proxy.adminUrl());
  await tab.page.locator("#connections").scrollIntoViewIfNeeded();
  await tab.has("#connections tbody tr", 1);
  const note = await tab.page.locator("#connections tbody small").textContent();
  expect(note).toContain("<img src=");
  await tab.page.getByRole("button", { name: "Close connection" }).click();
  await tab.shows("#ask-title", "Close this connection?");
  expect(await tab.page.locator("img").count()).toBe(1);
  expect(await tab.page.title()).not.toContain("owned");
  expect(tab.complaints).toEqual([]);
});

/** Resolves when what a chart shows, in words, has what is wanted in it. */
async function words(tab: Tab, chart: string, wanted: string | RegExp): Promise<void> {
  let seen: string | null = null;
  await until(
    async () => {
      seen = await tab.page.locator(`.chart:has-text("${chart}") .plot`).getAttribute("aria-label");
      return seen !== null && (typeof wanted === "string" ? seen.includes(wanted) : wanted.test(seen));
    },
    () => `the chart "${chart}" to say ${String(wanted)}: it says ${String(seen)}`,
  );
}

/** Whether there is a curve in a chart: its colour is somewhere in the picture. */
async function inked(tab: Tab, chart: string): Promise<unknown> {
  const canvas = tab.page.locator(`.chart:has-text("${chart}") canvas`);
  return canvas.evaluate((element) => {
    const { data } = (element as unknown as Canvas).getContext("2d").getImageData(0, 0, 10_000, 1_000);
    for (let at = 0; at < data.length; at += 4) {
      if (data[at] === 0x25 && data[at + 1] === 0x63 && data[at + 2] === 0xeb) return true;
    }
    return false;
  });
}

/** All pixels of the first chart, as one number. */
function lineColors(tab: Tab): Promise<number> {
  return tab.page.locator(".chart canvas >> nth=0").evaluate((element) => {
    const { data } = (element as unknown as Canvas).getContext("2d").getImageData(0, 0, 1_000, 300);
    return data.reduce((sum, byte, at) => (sum * 31 + byte * (at % 251)) % 1_000_000_007, 7);
  });
}

/** Tests have no types of the DOM. */
interface Canvas {
  getContext(kind: "2d"): {
    getImageData(x: number, y: number, width: number, height: number): { data: Uint8ClampedArray };
  };
}

/** Resolves when a client has got back what it sent. */
async function served(client: Peer): Promise<void> {
  await client.send("hello");
  await client.receivedBytes(5);
}

/** The row of an endpoint, in whichever backend. */
function row({ address }: Backend): string {
  return `#backends tbody tr:has-text("${address}")`;
}

const health = `[backend.health]
type = "tcp"
interval = "100ms"
timeout = "1s"
rise = 1
fall = 1
`;

function second(endpoint: string): string {
  return `[[backend]]\nname = "other"\nendpoints = ["${endpoint}"]\n${health}`;
}

class ConfigFile {
  readonly #folder = mkdtempSync(join(tmpdir(), "sluice-config-"));
  readonly path = join(this.#folder, "config.toml");

  constructor(text: string) {
    this.write(text);
  }

  write(text: string): void {
    writeFileSync(this.path, text);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}

/** `more` is below the backend `app`. */
function config(endpoints: readonly string[], more = "", admin = "127.0.0.1:0"): string {
  return `
[limits]
connections = 100

[admin]
listen = "${admin}"

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = [${endpoints.map((endpoint) => `"${endpoint}"`).join(", ")}]
${more}
`;
}
