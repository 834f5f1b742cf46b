/** Debian's Chromium, as somebody who looks at a page: what it asks for and what it complains about is kept. */
import {
  type BrowserContextOptions,
  type Browser,
  type BrowserContext,
  chromium,
  type Locator,
  type Page,
} from "playwright-core";
import { fileOf } from "./programs.ts";
import { PATIENCE_MS, until } from "./until.ts";

/** Starts it; ended at the end of its scope. One serves any number of tabs. */
export async function startBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: fileOf("chromium"),
    args: ["--no-sandbox", "--disable-gpu"],
    headless: true,
  });
}

/** Opens a page with nothing of others in it: cookies, storage. */
export async function openTab(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Tab> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE_MS);
  const tab = new Tab(context, await context.newPage());
  await tab.page.goto(url);
  return tab;
}

/** A page and what came of it. */
export class Tab {
  readonly page: Page;
  /** The addresses that were asked for. */
  readonly requested: URL[] = [];
  /** What the browser complains about: errors of scripts, what a policy forbids, answers that are errors. */
  readonly complaints: string[] = [];
  readonly #context: BrowserContext;

  constructor(context: BrowserContext, page: Page) {
    this.#context = context;
    this.page = page;
    page.on("request", (request) => this.requested.push(new URL(request.url())));
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.complaints.push(message.text());
    });
  }

  /** Resolves when the text of an element, its blanks as one, is as wanted. */
  async shows(place: string | Locator, wanted: string | RegExp): Promise<void> {
    const locator = typeof place === "string" ? this.page.locator(place) : place;
    let seen: string | null = null;
    await until(
      async () => {
        const all = await locator.allTextContents();
        seen = all.length === 1 ? all[0]!.replace(/\s+/g, " ").trim() : null;
        return seen !== null && (typeof wanted === "string" ? seen === wanted : wanted.test(seen));
      },
      () => `${String(place)} to show ${String(wanted)}: it shows ${JSON.stringify(seen)}`,
    );
  }

  /** Resolves when there are so many such elements. */
  async has(selector: string, count: number): Promise<void> {
    let seen = 0;
    await until(
      async () => (seen = await this.page.locator(selector).count()) === count,
      () => `${count} ${selector}: there are ${seen}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.close();
  }
}
