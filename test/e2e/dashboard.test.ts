/** Operators use the dashboard: a browser, the compiled program, real processes. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import type { BrowserContextOptions, Page } from "playwright-core";
import type { AppDetails } from "../../src/admin/views.ts";
import {
  accessibilityFaults,
  CHROMIUM,
  type Chromium,
  overhang,
  startChromium,
  untilInPage,
  type Visitor,
} from "../support/chromium.ts";
import { eventually, type RunningPaastis, startPaastis } from "../support/start-paastis.ts";

const VISITED = `exec ${process.execPath} --no-install ${resolve(import.meta.dir, "../support/apps/visited.ts")}`;
const TOKEN = "a-token-for-tests-0123456789";

const app = (key: string, command: string, more: readonly string[] = []) =>
  [`  ${key}:`, `    command: ${command}`, ...more.map((line) => `    ${line}`), ""].join("\n");
const CONFIG = [
  "rules:\n  - pattern: ^sh\n    app_max_idle_time: 45\n",
  "apps:\n",
  app("shop", VISITED, ["env: { KEY: shop }"]),
  app("docs", VISITED, ["env: { KEY: docs }"]),
  app("wiki", VISITED, ["env: { KEY: wiki }"]),
  app("broken", "echo cannot open the database >&2; sleep 0.2; exit 3"),
].join("");

describe.skipIf(CHROMIUM === null)("the dashboard", () => {
  let browser: Chromium;
  let paastis: RunningPaastis;
  /** The cookie of a log-in. */
  let loggedIn: NonNullable<BrowserContextOptions["storageState"]>;
  beforeAll(async () => {
    [browser, paastis] = await Promise.all([
      startChromium(),
      startPaastis({ config: CONFIG, env: { ADMIN_TOKEN: TOKEN, ADMIN_RATE_LIMIT: "1000" } }),
    ]);
    await using visitor = await browser.visitor();
    await logIn(visitor.page, "");
    loggedIn = await visitor.page.context().storageState();
  });
  afterAll(async () => {
    await paastis[Symbol.asyncDispose]();
    await browser[Symbol.asyncDispose]();
  });

  const address = (place = "") => `http://127.0.0.1:${paastis.port}/__/${place}`;

  async function logIn(page: Page, place: string): Promise<void> {
    await page.goto(address(place));
    await page.getByLabel("Admin token").fill(TOKEN);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByText("Live", { exact: true }).waitFor();
  }

  /** Somebody who has logged in before. */
  async function operator(place = "", options: BrowserContextOptions = {}): Promise<Visitor> {
    const visitor = await browser.visitor({ storageState: loggedIn, ...options });
    await visitor.page.goto(address(place));
    await visitor.page.getByText("Live", { exact: true }).waitFor();
    return visitor;
  }

  async function told(key: string): Promise<AppDetails> {
    const headers = { "x-admin-token": TOKEN };
    const answer = await fetch(`http://127.0.0.1:${paastis.port}/__apps/${key}`, { headers });
    return (await answer.json()) as AppDetails;
  }

  const row = (page: Page, key: string) =>
    page.getByRole("row").filter({ has: page.getByRole("link", { name: key, exact: true }) });
  const stateOf = (page: Page, key: string, word: string) =>
    row(page, key).locator(".state").getByText(word, { exact: true });

  test("shows without a reload that a request wakes an app, and asks nobody but its own server", async () => {
    await using visitor = await operator();
    const { page, complaints, requested } = visitor;
    await stateOf(page, "docs", "Asleep").waitFor();
    await page.evaluate("document.body.dataset.mark = 'same page'");
    const answer = await paastis.get("docs");
    expect(answer.status).toBe(200);
    await stateOf(page, "docs", "Awake").waitFor();
    await row(page, "docs")
      .getByText(/^GET \/ from 127\.0\.0\.1/)
      .waitFor();
    await row(page, "docs")
      .locator(".in-sleeps")
      .getByText(/^\d+:\d\d$/)
      .waitFor();
    await page.getByRole("button", { name: /^Awake 1$/ }).waitFor();
    expect(await page.evaluate("document.body.dataset.mark")).toBe("same page");
    expect(requested.filter((url) => !url.startsWith(new URL(address()).origin))).toEqual([]);
    expect(complaints).toEqual([]);
  });

  test("its policy lets nothing run but its own files, whose sum is below 80 kB", async () => {
    const headers = { "x-admin-token": TOKEN };
    const page = await fetch(address(), { headers });
    expect(page.status).toBe(200);
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain("unsafe");
    const html = await page.text();
    expect(html).not.toMatch(/<style|style=|<script(?! type="module" src=)/);
    const files = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(
      ([, name = ""]) => new URL(name, address()).href,
    );
    expect(files).toHaveLength(3);
    const bodies = await Promise.all(
      files.map(async (url) => {
        const answer = await fetch(url, { headers });
        expect(answer.status).toBe(200);
        expect(answer.headers.get("cache-control")).toContain("immutable");
        return await answer.text();
      }),
    );
    expect(html.length + bodies.join("").length).toBeLessThan(80_000);
  });

  test("wakes, keeps awake, pauses, resumes and puts to sleep, and the program agrees", async () => {
    await using visitor = await operator();
    const { page, complaints } = visitor;
    const more = async (item: string) => {
      await page.getByRole("button", { name: "More for wiki" }).click();
      await page.getByRole("button", { name: item, exact: true }).click();
    };
    await page.getByRole("button", { name: "Wake wiki" }).click();
    await stateOf(page, "wiki", "Awake").waitFor();
    expect((await told("wiki")).phase).toBe("awake");

    await more("For 8 hours");
    await row(page, "wiki").getByText("Kept awake by an operator for 7 h 59 min").waitFor();
    const { keptAwakeUntil } = await told("wiki");
    expect(Date.parse(keptAwakeUntil ?? "") - Date.now()).toBeGreaterThan(7.9 * 3_600_000);
    await page.getByRole("button", { name: "Undo" }).click();
    await eventually(
      "it is kept no longer",
      async () => (await told("wiki")).keptAwakeUntil === null,
    );

    await more("Until…");
    await page.getByRole("dialog").getByRole("button", { name: "Keep awake" }).click();
    await row(page, "wiki")
      .getByText(/^Kept awake by an operator for (1 d|23 h)/)
      .waitFor();

    await more("Pause…");
    const dialog = page.getByRole("dialog", { name: "Pause wiki?" });
    await dialog.getByLabel("For how long").selectOption("1 hour");
    expect(await accessibilityFaults(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Cancel" }).click();
    expect((await told("wiki")).pause).toBeNull();
    await more("Pause…");
    await page.getByRole("dialog").getByLabel("For how long").selectOption("1 hour");
    await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
    await stateOf(page, "wiki", "Paused").waitFor();
    expect((await told("wiki")).pause?.until).not.toBeNull();
    await page.getByRole("button", { name: "Resume wiki" }).click();
    await stateOf(page, "wiki", "Awake").waitFor();
    expect((await told("wiki")).pause).toBeNull();

    await page.getByRole("button", { name: "Sleep wiki" }).click();
    await stateOf(page, "wiki", "Asleep").waitFor();
    expect((await told("wiki")).phase).toBe("asleep");
    expect(complaints).toEqual([]);
  });

  test("an app that cannot be woken says why, and comes first when sorted by state", async () => {
    await using visitor = await operator();
    const { page } = visitor;
    await page.getByRole("button", { name: "Wake broken" }).click();
    await row(page, "broken")
      .getByText(/^Exited with status 3 .*cannot open the database$/s)
      .waitFor();
    await page.getByRole("button", { name: "State" }).click();
    await page.mouse.move(0, 0);
    await untilInPage(page, "document.querySelector('.rows .name').textContent === 'broken'");
    await page.getByRole("button", { name: /^Failed 1$/ }).click();
    await untilInPage(page, "document.querySelectorAll('.rows .row').length === 1");
    expect(await accessibilityFaults(page)).toEqual([]);
  });

  test("an app's page shows its settings with the rule each came from, and what happened, as it happens", async () => {
    await using visitor = await browser.visitor({ viewport: { width: 1360, height: 900 } });
    const { page, complaints } = visitor;
    // The way to it survives the log-in.
    await logIn(page, "apps/shop");
    await page.getByRole("heading", { name: "shop", level: 1 }).waitFor();
    const setting = page.getByRole("row").filter({ hasText: "app_max_idle_time" });
    await setting.getByText("rules[0] (^sh)").waitFor();
    await setting.getByRole("cell", { name: "45", exact: true }).waitFor();
    await paastis.get("shop");
    const timeline = page.getByRole("region", { name: "Timeline" });
    await timeline.getByText(/^Awake after/).waitFor();
    await page
      .getByRole("region", { name: "Wakes" })
      .getByText(/^GET \/ from 127/)
      .waitFor();
    await page.getByText("Median").waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.getByRole("link", { name: "All apps" }).click();
    await untilInPage(page, "document.activeElement.textContent === 'shop'");
    expect(complaints).toEqual([]);
  });

  test("works by keyboard alone", async () => {
    await using visitor = await operator();
    const { page } = visitor;
    const press = (...keys: readonly string[]) =>
      keys.reduce((last, key) => last.then(() => page.keyboard.press(key)), Promise.resolve());
    await row(page, "wiki").waitFor();
    await press("/");
    await page.keyboard.type("wik");
    await untilInPage(page, "document.querySelectorAll('.rows .row').length === 1");
    await press("Enter", "Tab", "Enter");
    await stateOf(page, "wiki", "Awake").waitFor();
    await press("Tab", "Enter", "ArrowDown", "ArrowUp", "Enter");
    await row(page, "wiki")
      .getByText(/^Kept awake by an operator for/)
      .waitFor();
    await untilInPage(page, "document.activeElement.ariaLabel === 'More for wiki'");
    await press("/", "Escape");
    await untilInPage(page, "document.querySelectorAll('.rows .row').length === 4");
    await press("ArrowDown", "End", "ArrowUp", "Enter");
    await page.getByRole("heading", { name: "shop", level: 1 }).waitFor();
    await untilInPage(page, "document.activeElement.tagName === 'H1'");
  });

  test("fits a phone in the dark, for everybody", async () => {
    await using visitor = await operator("", {
      viewport: { width: 390, height: 844 },
      colorScheme: "dark",
    });
    const { page, complaints } = visitor;
    await row(page, "docs").waitFor();
    expect(await overhang(page)).toBe(0);
    expect(await accessibilityFaults(page)).toEqual([]);
    await row(page, "docs").getByRole("link").click();
    await page.getByRole("heading", { name: "docs", level: 1 }).waitFor();
    await page.getByText("Median").waitFor();
    expect(await overhang(page)).toBe(0);
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(complaints).toEqual([]);
  });
});
