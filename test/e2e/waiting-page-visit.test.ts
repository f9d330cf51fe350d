/** Somebody opens an app that sleeps: a browser, the compiled program, real processes. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { BrowserContextOptions } from "playwright-core";
import {
  accessibilityFaults,
  CHROMIUM,
  type Chromium,
  photograph,
  startChromium,
  untilTitle,
  type Visitor,
} from "../support/chromium.ts";
import {
  EXECUTABLE,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";

const VISITED = `exec ${process.execPath} --no-install ${resolve(import.meta.dir, "../support/apps/visited.ts")}`;
const app = (key: string, command: string, env: Readonly<Record<string, string>> = {}) =>
  [
    `  ${key}:`,
    `    command: ${command}`,
    "    env:",
    ...Object.entries({ KEY: key, ...env }).map(([name, value]) => `      ${name}: '${value}'`),
    "",
  ].join("\n");

/** An app that listens once it is told to, so that its waiting page lasts until the test has seen it. */
function appWhenTold(key: string): { readonly config: string; readonly tell: () => void } {
  const file = join(makeFolder(), "ready");
  return {
    config: app(key, VISITED, { READY_FILE: file }),
    tell: () => writeFileSync(file, ""),
  };
}

const shop = appWhenTold("shop");
const CONFIG = [
  "apps:\n",
  shop.config,
  app("plain", VISITED),
  app("docs", VISITED, { IS_SILENT: "yes" }),
  app("broken", "echo cannot open the database >&2; sleep 0.3; exit 3"),
].join("");

/** Somebody from elsewhere: who is on this machine reads more. */
const FROM_ELSEWHERE = { "x-forwarded-for": "192.0.2.7" };

let browser: Chromium;
beforeAll(async () => {
  if (CHROMIUM !== null) browser = await startChromium();
});
afterAll(() => browser?.[Symbol.asyncDispose]());

describe.skipIf(CHROMIUM === null)("a visit", () => {
  let paastis: RunningPaastis;
  /** Without an estimate such a browser looks again after 5 s: the other tests go on meanwhile. */
  let plain: Visitor;
  beforeAll(async () => {
    paastis = await startPaastis({ config: CONFIG, env: { HOLD_GRACE_MS: "0" } });
    plain = await open("plain", { javaScriptEnabled: false, path: "/x?y=1" });
  });
  afterAll(async () => {
    await plain[Symbol.asyncDispose]();
    await paastis[Symbol.asyncDispose]();
  });

  const addressOf = (key: string, path = "/") => `http://${key}.localhost:${paastis.port}${path}`;

  async function open(
    key: string,
    options: BrowserContextOptions & { readonly path?: string } = {},
  ): Promise<Visitor> {
    const { path, ...context } = options;
    const visitor = await browser.visitor(context);
    await visitor.page.goto(addressOf(key, path));
    return visitor;
  }

  test("leads from a click to the app: its address whole, loaded once, and the way back open", async () => {
    await using visitor = await browser.visitor();
    const { page, requested, complaints } = visitor;
    await page.setContent(`<a href="${addressOf("shop", "/a%20b?q=1&r=%3C#part")}">shop</a>`);
    await page.getByRole("link", { name: "shop" }).click();
    await page.getByRole("heading", { name: "shop is waking up" }).waitFor();
    await page.getByText("This is the first wake we see").waitFor();
    shop.tell();
    await untilTitle(page, "the app");
    expect(page.url()).toBe(addressOf("shop", "/a%20b?q=1&r=%3C#part"));
    expect(await page.locator("#visits").innerText()).toBe("1");
    const asked = addressOf("shop", "/a%20b?q=1&r=%3C");
    expect(requested).toEqual([asked, asked, asked]);
    expect(complaints).toEqual([]);
    await page.goBack();
    expect(page.url()).toBe("about:blank");
  });

  test("a wake that fails says why, by a name that is in the log, and can be tried again", async () => {
    const from = paastis.lines.length;
    await using visitor = await open("broken");
    const { page, complaints } = visitor;
    await page.getByRole("heading", { name: "broken could not be woken" }).waitFor();
    expect(await page.locator(".reason").textContent()).toMatch(
      /^exited with status 3 .*; last output: cannot open the database$/,
    );
    const event = await paastis.untilEvent("broken", "APP_START_FAILED", from);
    const shown = page.locator(".reference code");
    expect(await shown.innerText()).toBe(String(event.reference));
    await page.getByRole("link", { name: "Try again", exact: true }).click();
    await page.getByRole("heading", { name: "broken could not be woken" }).waitFor();
    const second = await paastis.untilLine(
      (line) => line.event === "APP_START_FAILED" && line.reference !== event.reference,
    );
    await shown.filter({ hasText: String(second.reference) }).waitFor();
    expect(complaints).toEqual([]);
  });

  test("who comes from elsewhere reads in their language what they may read", async () => {
    await using visitor = await open("broken", {
      locale: "de-DE",
      viewport: { width: 1000, height: 740 },
      extraHTTPHeaders: FROM_ELSEWHERE,
    });
    const { page, complaints } = visitor;
    await page
      .getByText("Sie konnte nicht gestartet werden")
      .or(page.getByText(/mit Status 3/))
      .first()
      .waitFor();
    expect(await page.locator("main").innerText()).not.toContain("database");
    await page
      .locator(".reference code")
      .filter({ hasText: /^\w{17}$/ })
      .waitFor();
    await photograph(page, "failed");
    expect(complaints).toEqual([]);
  });

  const HEADINGS = [
    ["en-GB", "en", "docs is waking up"],
    ["fr-CA", "fr", "docs se réveille"],
    ["de-AT", "de", "docs wacht auf"],
    ["es-MX", "es", "docs se está despertando"],
  ] as const;
  test("every browser gets its page in its language", async () => {
    for (const [locale, language, heading] of HEADINGS) {
      // As a browser of that language sends it, from one window for all: each would cost half a second.
      const extraHTTPHeaders = { ...FROM_ELSEWHERE, "accept-language": locale };
      await using visitor = await browser.visitor({ extraHTTPHeaders });
      const { page, complaints } = visitor;
      const answer = await page.goto(addressOf("docs"));
      expect(answer?.status()).toBe(503);
      expect(answer?.headers()["content-language"]).toBe(language);
      await page.getByRole("heading", { name: heading }).waitFor();
      expect(await page.locator("html").getAttribute("lang")).toBe(language);
      expect(complaints).toEqual([]);
    }
  });

  test("to a host that is nobody's ends at a page that says so", async () => {
    await using visitor = await open("nobody", { viewport: { width: 1000, height: 680 } });
    const { page, complaints } = visitor;
    await page.getByRole("heading", { name: "No app answers for this host" }).waitFor();
    await photograph(page, "error");
    expect(complaints).toEqual([]);
  });

  test("without JavaScript the app comes, too, with its query", async () => {
    const { page, requested } = plain;
    await untilTitle(page, "the app");
    // On a busy machine it has looked more than once.
    expect(requested.length).toBeGreaterThan(1);
    expect(new Set(requested)).toEqual(new Set([addressOf("plain", "/x?y=1")]));
    expect(page.url()).toBe(addressOf("plain", "/x?y=1"));
    expect(await page.locator("#visits").innerText()).toBe("1");
  });
});

describe.skipIf(CHROMIUM === null)("a theme", () => {
  const page = (body: string) =>
    `<!doctype html>\n<html lang="{{lang}}" dir="{{dir}}"><head><title>{{title}}</title>{{head}}\n` +
    `<style>h1 { color: rgb(1, 2, 3) }</style></head>\n<body><main>${body}</main></body></html>`;

  test("is shown instead of our look, works as ours does, and is read again when it changes", async () => {
    const folder = makeFolder();
    const write = (name: string, body: string) =>
      writeFileSync(join(folder, "theme", `${name}.html`), page(body));
    mkdirSync(join(folder, "theme"));
    write("waiting", "<p>Acme</p>{{progress}}");
    write("error", "<p>Acme</p>{{problem}}");
    const themed = appWhenTold("shop");
    await using paastis = await startPaastis({
      config: `apps:\n${themed.config}${app("docs", "sleep 100")}`,
      env: { HOLD_GRACE_MS: "0", WAITING_PAGE_DIR: "theme" },
      folder,
    });
    await using visitor = await browser.visitor();
    const { page: shown, complaints } = visitor;
    await shown.goto(`http://shop.localhost:${paastis.port}/?q=1#part`);
    await shown.getByText("Acme").waitFor();
    expect(
      await shown.evaluate<string>("getComputedStyle(document.querySelector('h1')).color"),
    ).toBe("rgb(1, 2, 3)");
    themed.tell();
    await untilTitle(shown, "the app");
    expect(shown.url()).toEndWith("/?q=1#part");
    await shown.goto(`http://nobody.localhost:${paastis.port}/`);
    await shown.getByText("Acme").waitFor();
    expect(await accessibilityFaults(shown)).toEqual([]);

    write("waiting", "<p>broken</p>");
    await paastis.untilLine(({ msg }) => msg.startsWith("the new templates cannot be used"));
    write("waiting.docs", "<p>Acme docs</p>{{progress}}");
    write("waiting", "<p>Acme</p>{{progress}}");
    await paastis.untilLine(({ msg }) => msg === "new templates of pages are in use");
    await shown.goto(`http://docs.localhost:${paastis.port}/`);
    await shown.getByText("Acme docs").waitFor();
    expect(await accessibilityFaults(shown)).toEqual([]);
    expect(complaints).toEqual([]);
  });

  test("that cannot be used ends the start, and `check`, with file and line", () => {
    const folder = makeFolder();
    mkdirSync(join(folder, "theme"));
    writeFileSync(join(folder, "theme", "waiting.html"), page("{{progress}}\n{{logo}}"));
    writeFileSync(join(folder, "paastis.yml"), `apps:\n${app("docs", "sleep 100")}`);
    const env = { PATH: process.env.PATH ?? "", PROVIDER_NAME: "process", PORT: "0" };
    for (const verb of [[], ["check"]]) {
      const { exitCode, stderr } = Bun.spawnSync([EXECUTABLE, ...verb], {
        cwd: folder,
        env: { ...env, WAITING_PAGE_DIR: "theme" },
      });
      expect(exitCode).toBe(78);
      expect(stderr.toString()).toContain(
        "WAITING_PAGE_DIR: waiting.html, line 5: unknown placeholder {{logo}}",
      );
    }
  });
});
