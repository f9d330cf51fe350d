import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { WakeProgress } from "../../src/answers.ts";
import {
  errorAnswer,
  isNavigation,
  isProgressRequest,
  progressAnswer,
  waitingPage,
} from "../../src/answers.ts";
import type { Answer, RequestHead } from "../../src/engines/engine.ts";
import { responseOf } from "../../src/engines/fetch-answer.ts";
import type { Browser } from "../support/browser.ts";
import { CHROMIUM, startBrowser, untilInPage, visit } from "../support/browser.ts";
import { recordingLog } from "../support/recording-log.ts";

type Reply = Answer | Response;

/** Stands in for Paastis: each kind of request gets what the test says. */
function startServer(replies: {
  readonly navigation: (count: number, head: RequestHead) => Reply;
  readonly progress: (count: number) => Reply;
}) {
  const counts = { navigations: 0, progress: 0 };
  const { log } = recordingLog();
  const toResponse = (reply: Reply) =>
    reply instanceof Response ? reply : responseOf(reply, "GET", log);
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const head: RequestHead = {
        method: request.method,
        target: request.url,
        host: request.headers.get("host"),
        clientAddress: "127.0.0.1",
        header: (name) => request.headers.get(name),
      };
      if (isProgressRequest(head)) {
        counts.progress += 1;
        return toResponse(replies.progress(counts.progress));
      }
      if (!isNavigation(head)) return new Response("neither page nor progress", { status: 400 });
      counts.navigations += 1;
      return toResponse(replies.navigation(counts.navigations, head));
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    counts,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

const appPage = () =>
  new Response("<!doctype html><link rel='icon' href='data:,'><title>the app</title>", {
    headers: { "content-type": "text/html" },
  });
const waitingAnswer = (estimateMs: number | null = null, elapsedMs = 0) =>
  waitingPage({ app: "shop", elapsedMs, estimateMs });
async function* scripted(steps: readonly WakeProgress[]): AsyncGenerator<WakeProgress> {
  yield* steps;
}
const stream = (...steps: WakeProgress[]) => progressAnswer(scripted(steps));
const waking = (elapsedMs: number, estimateMs: number | null): WakeProgress => {
  return { kind: "waking", elapsedMs, estimateMs, step: "starting" };
};

describe.skipIf(CHROMIUM === null)("waiting page in a browser", () => {
  let browser: Browser;
  beforeAll(() => {
    browser = startBrowser();
  });
  afterAll(() => browser[Symbol.asyncDispose]());

  test("follows the wake, then loads the app once, at the same address", async () => {
    const ready = Promise.withResolvers<void>();
    async function* wake(): AsyncGenerator<WakeProgress> {
      yield waking(3000, 12_000);
      await ready.promise;
      yield { kind: "ready" };
    }
    using server = startServer({
      navigation: (count) => (count === 1 ? waitingAnswer(12_000) : appPage()),
      progress: () => progressAnswer(wake()),
    });
    using page = await browser.openPage();
    const { view, requested, complaints } = page;
    const address = `${server.url}/a%20b?q=1&r=%3C#part`;
    await visit(view, address);
    await untilInPage(view, `document.getElementById("step").textContent === "Now: starting"`);
    expect(await view.evaluate<string>("document.title")).toBe("shop is waking up");
    const time = "document.querySelector('.time').innerText";
    await untilInPage(view, `/^[34] s so far. It usually takes about 12 s.$/.test(${time})`);
    const now = "Number(document.getElementById('bar').getAttribute('aria-valuenow'))";
    expect(await view.evaluate<number>(now)).toBeWithin(25, 50);
    ready.resolve();
    await untilInPage(view, `document.title === "the app"`);
    expect(await view.evaluate<string>("location.href")).toBe(address);
    expect(server.counts).toEqual({ navigations: 2, progress: 1 });
    const asked = requested.filter((url) => url.startsWith("http")).map((url) => url.split("#")[0]);
    expect(asked).toEqual(Array(3).fill(address.split("#")[0]));
    expect(complaints).toEqual([]);
  });

  test("says when it cannot know, and when it takes longer than usual", async () => {
    const longer = Promise.withResolvers<void>();
    async function* wake(): AsyncGenerator<WakeProgress> {
      yield waking(0, null);
      await longer.promise;
      yield waking(20_000, 12_000);
      await new Promise(() => undefined);
    }
    using server = startServer({
      navigation: () => waitingAnswer(),
      progress: () => progressAnswer(wake()),
    });
    using page = await browser.openPage();
    const { view } = page;
    await visit(view, server.url);
    const time = "document.querySelector('.time').innerText";
    await untilInPage(view, `${time}.includes("first wake we see")`);
    longer.resolve();
    await untilInPage(view, `${time}.includes("longer than usual (about 12 s)")`);
    expect(await view.evaluate<string>(time)).not.toContain("first wake");
    const bar = "document.getElementById('bar')";
    expect(await view.evaluate<boolean>(`${bar}.hasAttribute("aria-valuenow")`)).toBe(false);
  });

  test("shows why a wake failed as text, and lets people try again when it makes sense", async () => {
    const why = 'exited with status 1:\n</script><script>document.title="pwned"</script>\n<b>x</b>';
    using server = startServer({
      navigation: (count) => (count === 1 ? waitingAnswer() : appPage()),
      progress: () => stream({ kind: "failed", why, hasCrashed: false, retryAfterMs: 900 }),
    });
    using page = await browser.openPage();
    const { view, complaints } = page;
    await visit(view, server.url);
    await untilInPage(view, `document.title === "shop could not be woken"`);
    expect(await view.evaluate<string>("document.querySelector('.reason').textContent")).toBe(why);
    const button = "document.querySelector('.retry')";
    expect(await view.evaluate<string>(`${button}.textContent`)).toBe("Try again in 1 s");
    await view.evaluate(`${button}.click()`); // Too early: nothing happens.
    await untilInPage(view, `${button}.textContent === "Try again"`);
    expect(server.counts).toEqual({ navigations: 1, progress: 1 });
    await view.click(".retry");
    await untilInPage(view, `document.title === "the app"`);
    expect(complaints).toEqual([]);
  });

  test("asks again when the stream is cut, refused, or lost", async () => {
    using server = startServer({
      navigation: (count) => (count === 1 ? waitingAnswer() : appPage()),
      progress: (count) => {
        if (count === 1) return stream(waking(100, null));
        if (count === 2) return new Response("bad gateway", { status: 502 });
        return stream(waking(900, null), { kind: "ready" });
      },
    });
    using page = await browser.openPage();
    await visit(page.view, server.url);
    await untilInPage(page.view, `document.title === "the app"`);
    expect(server.counts).toEqual({ navigations: 2, progress: 3 });
  });

  const APP_ANSWERS: Readonly<Record<string, () => Response>> = {
    "a page": appPage,
    "a redirect to another origin": () => Response.redirect("http://127.0.0.1:1/login"),
    "an event stream of its own": () =>
      new Response("event: ready\ndata: {}\n\n", {
        headers: { "content-type": "text/event-stream" },
      }),
    "an error of its own": () => new Response("no", { status: 500 }),
  };
  for (const [what, answer] of Object.entries(APP_ANSWERS)) {
    test(`loads the app when it answers the question for progress itself: ${what}`, async () => {
      using server = startServer({
        navigation: (count) => (count === 1 ? waitingAnswer() : appPage()),
        progress: answer,
      });
      using page = await browser.openPage();
      await visit(page.view, server.url);
      await untilInPage(page.view, `document.title === "the app"`);
      expect(server.counts).toEqual({ navigations: 2, progress: 1 });
    });
  }

  test("without JavaScript it looks again by itself", async () => {
    using server = startServer({
      navigation: (count) => (count === 1 ? waitingAnswer(12_000, 11_500) : appPage()),
      progress: () => new Response("nobody asks", { status: 500 }),
    });
    using page = await browser.openPage();
    const { view } = page;
    await view.cdp("Emulation.setScriptExecutionDisabled", { value: true });
    await visit(view, `${server.url}/x?y=1`);
    await untilInPage(view, `document.title === "the app"`);
    expect(await view.evaluate<string>("location.search")).toBe("?y=1");
    expect(server.counts).toEqual({ navigations: 2, progress: 0 });
  });

  test("an error page counts down, then tries again and keeps the fragment", async () => {
    const why = "exited with status 1";
    using server = startServer({
      navigation: (count, head) =>
        count === 1
          ? errorAnswer({ code: "app_failed", app: "shop", why, retryAfterMs: 900, head })
          : appPage(),
      progress: () => new Response("nobody asks", { status: 500 }),
    });
    using page = await browser.openPage();
    const { view, complaints } = page;
    await visit(view, `${server.url}/#part`);
    expect(await view.evaluate<string>("document.querySelector('h1').innerText")).toBe(
      "The app could not be woken.",
    );
    await untilInPage(view, `document.querySelector(".retry").textContent === "Try again"`);
    await view.click(".retry");
    await untilInPage(view, `document.title === "the app"`);
    expect(await view.evaluate<string>("location.hash")).toBe("#part");
    expect(complaints).toEqual([]);
  });

  test("fits a phone, in light and dark, whatever the reason", async () => {
    const why = `exited\n${"x".repeat(2000)}\n${"\tat line\n".repeat(100)}`;
    using server = startServer({
      navigation: (_count, head) =>
        errorAnswer({ code: "app_failed", app: `shop-${"y".repeat(58)}`, why, head }),
      progress: () => new Response("nobody asks", { status: 500 }),
    });
    using page = await browser.openPage();
    const { view } = page;
    await view.resize(320, 640);
    const colours: string[] = [];
    for (const value of ["light", "dark"]) {
      const features = [{ name: "prefers-color-scheme", value }];
      await view.cdp("Emulation.setEmulatedMedia", { features });
      await visit(view, server.url);
      expect(
        await view.evaluate<number>("document.documentElement.scrollWidth"),
      ).toBeLessThanOrEqual(320);
      colours.push(await view.evaluate<string>("getComputedStyle(document.body).color"));
    }
    expect(new Set(colours).size).toBe(2);
  });
});
