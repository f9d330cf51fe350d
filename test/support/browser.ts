/** A real browser for tests: Chromium, driven by Bun itself. */

import { existsSync, readlinkSync } from "node:fs";
import { dirname } from "node:path";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

/** Where Chromium is, or `null`: its tests are then skipped. `BUN_CHROME_PATH` names another one. */
export const CHROMIUM: string | null =
  process.env.BUN_CHROME_PATH ??
  Bun.which("chromium") ??
  Bun.which("chromium-browser") ??
  Bun.which("google-chrome");

const FLAGS = [
  "--no-sandbox",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** One Chromium with a profile of its own. There is one per process: start it once per test file. */
export interface Browser extends AsyncDisposable {
  openPage(): Promise<BrowserPage>;
}

/** A page, and what it did that somebody should know about. */
export interface BrowserPage extends Disposable {
  readonly view: Bun.WebView;
  /** Errors of the page: exceptions, violations of the content security policy. */
  readonly complaints: readonly string[];
  /** Every address that was asked for. */
  readonly requested: readonly string[];
}

/** Chromium itself begins with the first page. */
export function startBrowser(): Browser {
  const profile = tempDir();
  return {
    openPage: () => openPage(profile.path),
    async [Symbol.asyncDispose]() {
      using page = await openPage(profile.path);
      // Asked politely, Chromium clears away what it keeps outside its profile: the folder of this socket.
      const socket = readlinkSync(profile.file("SingletonSocket"));
      await page.view.cdp("Browser.close");
      await until(() => !existsSync(dirname(socket)));
      Bun.WebView.closeAll();
      profile[Symbol.dispose]();
    },
  };
}

async function openPage(directory: string): Promise<BrowserPage> {
  if (CHROMIUM === null) throw new Error("Chromium is not installed");
  const view = new Bun.WebView({
    backend: { type: "chrome", url: false, path: CHROMIUM, argv: FLAGS },
    dataStore: { directory },
  });
  const complaints: string[] = [];
  const requested: string[] = [];
  // The first navigation opens the session that the commands below belong to.
  await view.navigate("about:blank");
  for (const domain of ["Network", "Log", "Runtime"]) await view.cdp(`${domain}.enable`);
  view.addEventListener<{ request: { url: string } }>("Network.requestWillBeSent", (event) => {
    requested.push(event.data.request.url);
  });
  view.addEventListener<{ entry: { level: string; text: string; source: string } }>(
    "Log.entryAdded",
    ({ data: { entry } }) => {
      // That an address answered 503 is what these tests are about.
      if (entry.source !== "network") complaints.push(entry.text);
    },
  );
  view.addEventListener<{ exceptionDetails: { text: string } }>(
    "Runtime.exceptionThrown",
    (event) => complaints.push(event.data.exceptionDetails.text),
  );
  return {
    view,
    complaints,
    requested,
    [Symbol.dispose]: () => view.close(),
  };
}

/** Goes to an address. The page may load another one, or itself again, before it is complete. */
export async function visit(view: Bun.WebView, url: string): Promise<void> {
  try {
    await view.navigate(url);
  } catch (error) {
    if (!/navigated/.test(String(error))) throw error;
  }
}

/** Waits until an expression in the page is true; the page may be loaded anew meanwhile. */
export async function untilInPage(view: Bun.WebView, expression: string): Promise<void> {
  let last: unknown;
  const isTrue = async () => {
    try {
      last = await view.evaluate(expression);
    } catch (error) {
      last = error; // Between two documents there is nothing to ask.
    }
    return last === true;
  };
  await until(isTrue).catch((cause: unknown) => {
    throw new Error(`In the page: ${expression} (last: ${last})`, { cause });
  });
}
