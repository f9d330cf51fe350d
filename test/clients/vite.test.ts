/** A browser, the compiled program, the Vite dev server behind it: modules are replaced hot. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Page } from "playwright-core";
import { CHROMIUM, type Chromium, startChromium, untilInPage } from "../support/chromium.ts";
import { ENGINE_NAMES, type EngineName, startProxiedApp } from "../support/proxied-app.ts";
import { tempDir } from "../support/temp-dir.ts";
import { until } from "../support/until.ts";

const VITE = join(
  dirname(createRequire(import.meta.url).resolve("vite/package.json")),
  "bin/vite.js",
);

const PROJECT = {
  "package.json": `{ "name": "web", "type": "module" }`,
  "index.html": [
    `<!doctype html><html lang="en"><head><link rel="icon" href="data:,"><title>web</title></head>`,
    `<body><h1></h1><script type="module" src="/main.js"></script></body></html>`,
  ].join("\n"),
  "main.js": [
    `import "./style.css";`,
    `import { greeting } from "./greeting.js";`,
    `const show = (text) => { document.querySelector("h1").textContent = text; };`,
    `show(greeting);`,
    `import.meta.hot.accept("./greeting.js", (fresh) => show(fresh.greeting));`,
  ].join("\n"),
  "greeting.js": `export const greeting = "good morning";\n`,
  "style.css": `h1 { color: rgb(1, 2, 3); }\n`,
};

const greets = (text: string) => `document.querySelector("h1")?.textContent === "${text}"`;
const coloured = (colour: string) =>
  `getComputedStyle(document.querySelector("h1")).color === "${colour}"`;

/** The sockets that a page opened, and whether each was accepted. */
async function watchSockets(page: Page) {
  const opened = new Map<string, { url: string; status: number | null }>();
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  session.on("Network.webSocketCreated", ({ requestId, url }) =>
    opened.set(requestId, { url, status: null }),
  );
  session.on("Network.webSocketHandshakeResponseReceived", ({ requestId, response }) => {
    const socket = opened.get(requestId);
    if (socket !== undefined) socket.status = response.status;
  });
  return () => [...opened.values()];
}

describe.skipIf(CHROMIUM === null && process.env.CI === undefined)("Vite", () => {
  let browser: Chromium;
  beforeAll(async () => {
    browser = await startChromium();
  });
  afterAll(() => browser[Symbol.asyncDispose]());

  function startProject(engine: EngineName, folder: string) {
    for (const [name, text] of Object.entries(PROJECT)) writeFileSync(join(folder, name), text);
    return startProxiedApp({
      engine,
      key: "web",
      command: `exec node ${VITE} --port "$PORT" --strictPort --host 127.0.0.1`,
      cwd: folder,
      // The browser meets the waiting page at once.
      settings: { HOLD_GRACE_MS: "0" },
    });
  }

  test.each(ENGINE_NAMES)(
    "wakes behind the waiting page, then replaces modules in the page, on the %s engine",
    async (engine) => {
      using folder = tempDir();
      await using app = await startProject(engine, folder.path);
      await using visitor = await browser.visitor();
      const { page, complaints, requested } = visitor;
      const sockets = await watchSockets(page);
      const address = `http://web.localhost:${app.port}/`;

      await page.goto(address);
      await app.paastis.untilEvent("web", "APP_STARTED");
      await untilInPage(page, greets("good morning"));
      // Once by us, once by the waiting page for its progress, once by it for the app.
      expect(requested.filter((url) => url === address).length).toBe(3);
      await until(() => sockets().some(({ status }) => status !== null));
      expect(sockets()).toEqual([
        { url: expect.stringContaining(`ws://web.localhost:${app.port}/?token=`), status: 101 },
      ]);

      await page.evaluate("window.marker = 'the same document'");
      writeFileSync(folder.file("greeting.js"), `export const greeting = "good evening";\n`);
      await untilInPage(page, greets("good evening"));
      writeFileSync(folder.file("style.css"), "h1 { color: rgb(4, 5, 6); }\n");
      await untilInPage(page, coloured("rgb(4, 5, 6)"));
      expect(await page.evaluate<string>("window.marker")).toBe("the same document");

      // What cannot be replaced in place is loaded anew, because Vite says so over its socket.
      const other = PROJECT["index.html"].replace("<h1>", "<h1 id='new'>");
      writeFileSync(folder.file("index.html"), other);
      await untilInPage(page, `document.querySelector("#new") !== null`);
      await untilInPage(page, greets("good evening"));
      expect(await page.evaluate<string>("String(window.marker)")).toBe("undefined");
      expect(complaints).toEqual([]);
    },
  );
});
