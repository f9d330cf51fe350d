/** A real browser for tests: Debian's Chromium, driven by Playwright. */

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import {
  type Browser,
  type BrowserContextOptions,
  type ConsoleMessage,
  chromium,
  type Page,
  type Request,
} from "playwright-core";

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

/** One Chromium; no visitor knows anything of the others. */
export interface Chromium extends AsyncDisposable {
  visitor(options?: VisitorOptions): Promise<Visitor>;
}

/** Motion is reduced where nothing else is said, as it costs much where no graphics card draws it. */
export interface VisitorOptions extends BrowserContextOptions {
  /**
   * A window that nobody had before, and nobody gets afterwards: for who changes more of it than an option says.
   * Each is half a second of processor time. Default: where an option asks for it.
   */
  readonly isOwn?: boolean;
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
  const idle: Page[] = [];
  return {
    async visitor({ isOwn = false, ...options } = {}) {
      const isReusable = !isOwn && Object.keys(options).every((key) => CHANGEABLE.has(key));
      const page = isReusable
        ? await dress(idle.pop() ?? (await openPage(browser, {})), options)
        : await openPage(browser, options);
      return follow(page, async () => {
        if (isReusable && (await isClean(page))) idle.push(page);
        else await page.context().close();
      });
    },
    [Symbol.asyncDispose]: () => browser.close(),
  };
}

/** Options that can be changed while a window is open. */
const CHANGEABLE: ReadonlySet<string> = new Set<keyof BrowserContextOptions>([
  ...(["viewport", "colorScheme", "reducedMotion", "extraHTTPHeaders", "storageState"] as const),
]);

/** Playwright's own. */
const WINDOW = { width: 1280, height: 720 };

async function openPage(browser: Browser, options: BrowserContextOptions): Promise<Page> {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  return await context.newPage();
}

/** As if it had been opened with these options. */
async function dress(page: Page, options: BrowserContextOptions): Promise<Page> {
  const { viewport, colorScheme, reducedMotion, extraHTTPHeaders, storageState } = options;
  await page.setViewportSize(viewport ?? WINDOW);
  await page.emulateMedia({
    colorScheme: colorScheme ?? "light",
    reducedMotion: reducedMotion ?? "reduce",
  });
  await page.context().setExtraHTTPHeaders(extraHTTPHeaders ?? {});
  if (typeof storageState === "object") await page.context().addCookies(storageState.cookies);
  return page;
}

/** Leaves nothing of a visitor; `false`: that could not be done. Our pages store nothing but cookies. */
async function isClean(page: Page): Promise<boolean> {
  try {
    await page.goto("about:blank");
    await page.context().clearCookies();
    return true;
  } catch {
    return false; // It hangs, or has crashed.
  }
}

function follow(page: Page, dispose: () => Promise<void>): Visitor {
  const complaints: string[] = [];
  const requested: string[] = [];
  const onRequest = (request: Request) => void requested.push(request.url().replace(/#.*/, ""));
  const onError = (error: Error) => void complaints.push(error.message);
  const onConsole = (message: ConsoleMessage) => {
    // That an address answered 503 is what these tests are about.
    const isStatus = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isStatus) complaints.push(message.text());
  };
  page.on("request", onRequest).on("pageerror", onError).on("console", onConsole);
  return {
    page,
    complaints,
    requested,
    async [Symbol.asyncDispose]() {
      page.off("request", onRequest).off("pageerror", onError).off("console", onConsole);
      await dispose();
    },
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
  if (await comesTrue(isThere)) return;
  throw new Error(`The page is not "${title}" but "${last}"`);
}

/** How long a page may take on a busy machine, ms. */
const PATIENCE_MS = 45_000;
/** Each look is a message to the browser and back, so that more of them would be much work. */
const LOOK_EVERY_MS = 100;

async function comesTrue(holds: () => Promise<boolean>): Promise<boolean> {
  const untilMs = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > untilMs) return false;
    await Bun.sleep(LOOK_EVERY_MS);
  }
  return true;
}

/** What axe-core finds wrong with a page as it is now, for people who cannot see it or use a mouse. */
export async function accessibilityFaults(page: Page): Promise<readonly string[]> {
  // By the debugging protocol: the page's own policy lets no script of ours in.
  if ((await page.evaluate("typeof axe")) === "undefined") await page.evaluate(axeSource());
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
  if (!(await comesTrue(isTrue))) throw new Error(`In the page: ${expression} (last: ${last})`);
}

/** How far a page is wider than its window, in CSS pixels. */
export async function overhang(page: Page): Promise<number> {
  return await page.evaluate(
    "Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)",
  );
}
