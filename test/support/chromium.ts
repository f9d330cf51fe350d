/** A real browser for tests: Debian's Chromium, driven by Playwright. */

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { until } from "./until.ts";

/** Where Chromium is, or `null`: its tests are then skipped. `BUN_CHROME_PATH` names another one. */
export const CHROMIUM: string | null =
  process.env.BUN_CHROME_PATH ??
  Bun.which("chromium") ??
  Bun.which("chromium-browser") ??
  Bun.which("google-chrome");

/** Where what pages look like is kept, beside the executable. */
const SCREENSHOTS = resolve(import.meta.dir, "../../dist/screenshots");

/** A test cannot make Chromium's own sandbox where it runs as root. */
const FLAGS = ["--no-sandbox", "--disable-quic"];

/** One Chromium; every visitor has a profile of its own. */
export interface Chromium extends AsyncDisposable {
  visitor(options?: BrowserContextOptions): Promise<Visitor>;
}

/** Somebody with a browser window. */
export interface Visitor extends AsyncDisposable {
  readonly page: Page;
  /** Errors of the pages: exceptions, violations of the content security policy. */
  readonly complaints: readonly string[];
  /** Every address that was asked for, without fragments. */
  readonly requested: readonly string[];
}

export async function startChromium(): Promise<Chromium> {
  if (CHROMIUM === null) throw new Error("Chromium is not installed");
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  return {
    async visitor(options = {}) {
      const context = await browser.newContext(options);
      const page = await context.newPage();
      const complaints: string[] = [];
      const requested: string[] = [];
      page.on("request", (request) => requested.push(request.url().replace(/#.*/, "")));
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("console", (message) => {
        // That an address answered 503 is what these tests are about.
        const isStatus = message.text().startsWith("Failed to load resource");
        if (message.type() === "error" && !isStatus) complaints.push(message.text());
      });
      return {
        page,
        complaints,
        requested,
        [Symbol.asyncDispose]: () => context.close(),
      };
    },
    [Symbol.asyncDispose]: () => browser.close(),
  };
}

/** Waits for a page of this title; another one may be loaded meanwhile. */
export async function untilTitle(page: Page, title: string): Promise<void> {
  let last = "";
  const isThere = async () => {
    // Between two documents there is nothing to ask.
    last = await page.title().catch(() => last);
    return last === title;
  };
  await until(isThere, 10_000).catch((cause: unknown) => {
    throw new Error(`The page is not "${title}" but "${last}"`, { cause });
  });
}

/** What axe-core finds wrong with a page as it is now, for people who cannot see it or use a mouse. */
export async function accessibilityFaults(page: Page): Promise<readonly string[]> {
  // By the debugging protocol: the page's own policy lets no script of ours in.
  await page.evaluate(axeSource());
  const found: unknown = await page.evaluate(
    "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map((node) => node.html).join(' ')))",
  );
  if (!Array.isArray(found)) throw new Error("axe-core has not run");
  return found.map(String);
}

function axeSource(): string {
  return readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
}

/** Keeps what a page looks like now, for people: `dist/screenshots/<name>.png`. */
export async function photograph(page: Page, name: string): Promise<void> {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), animations: "disabled" });
}

/** Waits until an expression in the page is true; the page may be loaded anew meanwhile. */
export async function untilInPage(page: Page, expression: string): Promise<void> {
  let last: unknown;
  const isTrue = async () => {
    // Between two documents there is nothing to ask.
    last = await page.evaluate<unknown>(expression).catch((error: unknown) => error);
    return last === true;
  };
  await until(isTrue, 10_000).catch((cause: unknown) => {
    throw new Error(`In the page: ${expression} (last: ${last})`, { cause });
  });
}

/** How far a page is wider than its window, in CSS pixels. */
export async function overhang(page: Page): Promise<number> {
  return await page.evaluate(
    "Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)",
  );
}
