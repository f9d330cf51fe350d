/** A browser, and what Paastis shows it: scripted where every step counts, see waiting-page-visit for real apps. */

import { afterAll, beforeAll, describe, expect } from "bun:test";
import type { WakeProgress } from "../../src/answers.ts";
import {
  createAnswers,
  isNavigation,
  isProgressRequest,
  progressAnswer,
} from "../../src/answers.ts";
import type { Answer, RequestHead } from "../../src/engines/engine.ts";
import { responseOf } from "../../src/engines/fetch-answer.ts";
import { OWN_LOOK } from "../../src/pages/look.ts";
import {
  accessibilityFaults,
  CHROMIUM,
  type Chromium,
  overhang,
  photograph,
  startChromium,
  untilTitle,
} from "../support/chromium.ts";
import { testsInTurn } from "../support/in-turn.ts";
import { recordingLog } from "../support/recording-log.ts";
import { until } from "../support/until.ts";

/** Some of them wait most of the time. */
const visit = testsInTurn(2);

type Reply = (head: RequestHead, count: number) => Answer | Response;

const answers = createAnswers(OWN_LOOK);

/** Stands in for Paastis: each kind of request gets what the test says. */
function startServer(replies: { readonly navigation: Reply; readonly progress: Reply }) {
  const counts = { navigations: 0, progress: 0 };
  const loadedMs: number[] = [];
  const { log } = recordingLog();
  const toResponse = (reply: Answer | Response) =>
    reply instanceof Response ? reply : responseOf(reply, "GET", log);
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const head: RequestHead = {
        method: request.method,
        target: request.url.replace(/^https?:\/\/[^/]+/, ""),
        host: request.headers.get("host"),
        clientAddress: "127.0.0.1",
        header: (name) => request.headers.get(name),
      };
      if (isProgressRequest(head)) {
        counts.progress += 1;
        return toResponse(replies.progress(head, counts.progress));
      }
      if (!isNavigation(head)) return new Response("neither page nor progress", { status: 400 });
      counts.navigations += 1;
      loadedMs.push(performance.now());
      return toResponse(replies.navigation(head, counts.navigations));
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    counts,
    loadedMs,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

const appPage = () =>
  new Response("<!doctype html><link rel='icon' href='data:,'><title>the app</title>", {
    headers: { "content-type": "text/html" },
  });
const waiting =
  (estimateMs: number | null = null, elapsedMs = 0): Reply =>
  (head) =>
    answers.waiting({ app: "shop", elapsedMs, estimateMs, head });
const firstThenApp =
  (first: Reply): Reply =>
  (head, count) =>
    count === 1 ? first(head, count) : appPage();
const nobody: Reply = () => new Response("nobody asks", { status: 500 });

async function* scripted(steps: readonly WakeProgress[]): AsyncGenerator<WakeProgress> {
  yield* steps;
}
const stream =
  (...steps: WakeProgress[]): Reply =>
  (head) =>
    progressAnswer(scripted(steps), head);
const waking = (elapsedMs: number, estimateMs: number | null): WakeProgress => {
  return { kind: "waking", elapsedMs, estimateMs, step: "starting" };
};
const failed = (why: string, retryAfterMs: number): WakeProgress => {
  return { kind: "failed", why, hasCrashed: false, retryAfterMs, reference: "0mi8xk2v10001a7q3" };
};

describe.skipIf(CHROMIUM === null)("waiting page in a browser", () => {
  let browser: Chromium;
  beforeAll(async () => {
    browser = await startChromium();
  });
  afterAll(() => browser[Symbol.asyncDispose]());

  visit("follows the wake, then loads the app once, at the same address", async () => {
    const ready = Promise.withResolvers<void>();
    async function* wake(): AsyncGenerator<WakeProgress> {
      yield { ...waking(30_000, 120_000), step: "answering" } as WakeProgress;
      await ready.promise;
      yield { kind: "ready" };
    }
    using server = startServer({
      navigation: firstThenApp(waiting(120_000)),
      progress: (head) => progressAnswer(wake(), head),
    });
    await using visitor = await browser.visitor();
    const { page, requested, complaints } = visitor;
    const address = `${server.url}/a%20b?q=1&r=%3C#part`;
    await page.goto(address);
    await page.getByRole("status").filter({ hasText: "waiting for its first answer" }).waitFor();
    expect(await page.title()).toBe("shop is waking up");
    const time = page.locator("#time").filter({ hasText: /^[345]\d s so far\. It usually/ });
    expect(await time.innerText()).toEndWith("It usually takes about 2 min.");
    const bar = page.getByRole("progressbar", { name: "Waking shop" });
    expect(Number(await bar.getAttribute("aria-valuenow"))).toBeWithin(25, 50);
    ready.resolve();
    await untilTitle(page, "the app");
    expect(page.url()).toBe(address);
    expect(server.counts).toEqual({ navigations: 2, progress: 1 });
    expect(requested).toEqual(Array(3).fill(address.replace(/#.*/, "")));
    expect(complaints).toEqual([]);
    await page.goBack();
    expect(page.url()).toBe("about:blank");
  });

  visit("says when it cannot know, and when it takes longer than usual", async () => {
    const longer = Promise.withResolvers<void>();
    async function* wake(): AsyncGenerator<WakeProgress> {
      yield waking(0, null);
      await longer.promise;
      yield { ...waking(200_000, 12_000), step: "trying", obstacle: "it is so" } as WakeProgress;
      await new Promise(() => undefined);
    }
    using server = startServer({
      navigation: waiting(),
      progress: (head) => progressAnswer(wake(), head),
    });
    await using visitor = await browser.visitor();
    const { page } = visitor;
    await page.goto(server.url);
    const time = page.locator("#time");
    await time.filter({ hasText: "first wake we see" }).waitFor();
    longer.resolve();
    await time
      .filter({ hasText: /3 min [2-5]\d s so far\. This takes longer than usual/ })
      .waitFor();
    expect(await page.getByRole("status").innerText()).toBe("Still trying: it is so");
    expect(await page.getByRole("progressbar").getAttribute("aria-valuenow")).toBeNull();
  });

  visit("says each step once to those who listen, and nothing of the seconds between", async () => {
    const steps = [waking(0, 1000), waking(500, 1000), waking(1000, 1000)];
    using server = startServer({
      navigation: firstThenApp(waiting(1000)),
      progress: stream(...steps, failed("x", 0)),
    });
    await using visitor = await browser.visitor({ isOwn: true });
    const { page } = visitor;
    await page.addInitScript(`addEventListener("DOMContentLoaded", () => {
      window.said = [];
      for (const live of document.querySelectorAll("[role=status], [role=alert]")) {
        new MutationObserver(() => said.push(live.textContent)).observe(live, { childList: true, characterData: true, subtree: true });
      }
    })`);
    await page.goto(server.url);
    await untilTitle(page, "shop could not be woken");
    expect(await page.evaluate<unknown>("said")).toEqual(["shop could not be woken"]);
  });

  visit(
    "shows why a wake failed as text, and lets people try again when it makes sense",
    async () => {
      const why =
        'exited with status 1:\n</script><script>document.title="pwned"</script>\n<b>x</b>';
      using server = startServer({
        navigation: firstThenApp(waiting()),
        progress: stream(failed(why, 30_000)),
      });
      await using visitor = await browser.visitor({ isOwn: true });
      const { page, complaints } = visitor;
      await page.clock.install();
      await page.goto(server.url);
      await untilTitle(page, "shop could not be woken");
      expect(await page.locator(".reason").textContent()).toBe(why);
      expect(await page.locator(".reference").innerText()).toBe("Reference: 0mi8xk2v10001a7q3");
      const retry = page.locator(".retry");
      expect(await retry.innerText()).toMatch(/^Try again in \d+ s$/);
      await retry.click({ force: true }); // Too early: nothing happens.
      await page.clock.fastForward(30_000);
      await page.getByRole("link", { name: "Try again", exact: true }).waitFor();
      expect(server.counts).toEqual({ navigations: 1, progress: 1 });
      await page.keyboard.press("Tab");
      await retry.focus();
      await page.keyboard.press("Enter");
      await untilTitle(page, "the app");
      expect(complaints).toEqual([]);
    },
  );

  visit("asks again when the stream is cut, refused, or lost", async () => {
    using server = startServer({
      navigation: firstThenApp(waiting()),
      progress(head, count) {
        if (count === 1) return stream(waking(100, null))(head, count);
        if (count === 2) return new Response("bad gateway", { status: 502 });
        return stream(waking(900, null), { kind: "ready" })(head, count);
      },
    });
    await using visitor = await browser.visitor();
    await visitor.page.goto(server.url);
    await untilTitle(visitor.page, "the app");
    expect(server.counts).toEqual({ navigations: 2, progress: 3 });
  });

  visit("does not ask again while its tab is hidden, but as soon as it is seen", async () => {
    using server = startServer({
      navigation: firstThenApp(waiting()),
      progress: (head, count) =>
        count === 1 ? new Response("", { status: 502 }) : stream({ kind: "ready" })(head, count),
    });
    await using visitor = await browser.visitor({ isOwn: true });
    const { page } = visitor;
    await page.clock.install();
    await page.addInitScript(`
      window.isHidden = true;
      Object.defineProperty(document, "hidden", { get: () => isHidden });
    `);
    await page.goto(server.url);
    await until(() => server.counts.progress === 1);
    await page.clock.fastForward(120_000);
    expect(server.counts).toEqual({ navigations: 1, progress: 1 });
    await page.evaluate("isHidden = false; document.dispatchEvent(new Event('visibilitychange'))");
    await page.clock.runFor(1000);
    await until(() => server.counts.navigations === 2);
  });

  visit("a page that was loaded by itself stays for a moment, whatever it is told", async () => {
    using server = startServer({
      navigation: (head, count) => (count <= 2 ? waiting()(head, count) : appPage()),
      progress: stream({ kind: "ready" }),
    });
    await using visitor = await browser.visitor();
    await visitor.page.goto(server.url);
    await untilTitle(visitor.page, "the app");
    const [, second = 0, third = 0] = server.loadedMs;
    expect(third - second).toBeGreaterThan(1500);
  });

  visit(
    "loads the app when it answers the question for progress itself, in whatever way",
    async () => {
      const events = { "content-type": "text/event-stream" };
      await using visitor = await browser.visitor();
      for (const answer of [
        appPage,
        () => Response.redirect("http://127.0.0.1:1/login"),
        () => new Response("event: ready\ndata: {}\n\n", { headers: events }),
        () => new Response("no", { status: 500 }),
      ]) {
        using server = startServer({ navigation: firstThenApp(waiting()), progress: answer });
        await visitor.page.goto(server.url);
        await untilTitle(visitor.page, "the app");
        expect(server.counts).toEqual({ navigations: 2, progress: 1 });
      }
    },
  );

  visit("without JavaScript it looks again by itself", async () => {
    let isReady = false;
    using server = startServer({
      navigation: (head, count) => (isReady ? appPage() : waiting(12_000, 11_500)(head, count)),
      progress: nobody,
    });
    await using visitor = await browser.visitor({ javaScriptEnabled: false });
    const { page } = visitor;
    // Without the fragment afterwards, which only JavaScript could keep.
    await page.goto(`${server.url}/x?y=1#part`);
    expect(await page.locator("#waking noscript").innerText()).toBe(
      "This page looks again every 2 s.",
    );
    isReady = true;
    await untilTitle(page, "the app");
    expect(page.url()).toBe(`${server.url}/x?y=1`);
    expect(server.counts.navigations).toBeGreaterThan(1);
    expect(server.counts.progress).toBe(0);
  });

  visit("an error page counts down, then tries again and keeps the fragment", async () => {
    const why = "exited with status 1";
    using server = startServer({
      navigation: firstThenApp((head) =>
        answers.error({ code: "app_failed", app: "shop", why, retryAfterMs: 30_000, head }),
      ),
      progress: nobody,
    });
    await using visitor = await browser.visitor({ isOwn: true });
    const { page, complaints } = visitor;
    await page.clock.install();
    await page.goto(`${server.url}/#part`);
    expect(await page.getByRole("heading", { level: 1 }).innerText()).toBe(
      "The app could not be woken",
    );
    expect(await page.locator(".retry").innerText()).toMatch(/^Try again in \d+ s$/);
    await page.clock.fastForward(30_000);
    await page.getByRole("link", { name: "Try again", exact: true }).click();
    await untilTitle(page, "the app");
    expect(page.url()).toBe(`${server.url}/#part`);
    expect(complaints).toEqual([]);
  });

  const LOOKS = [
    ["waiting-light", "light", { width: 1000, height: 680 }],
    ["waiting-dark", "dark", { width: 1000, height: 680 }],
    ["waiting-phone", "dark", { width: 390, height: 700 }],
  ] as const;
  visit("is photographed on a desk and on a phone, by day and by night", async () => {
    using server = startServer({
      navigation: waiting(12_000, 7500),
      progress: (head) => progressAnswer(endless(7500, 12_000), head),
    });
    await using visitor = await browser.visitor({ reducedMotion: "no-preference" });
    const { page } = visitor;
    for (const [name, colorScheme, viewport] of LOOKS) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme });
      await page.goto(server.url);
      await page.getByText("waiting for its first answer").waitFor();
      await photograph(page, name);
    }
  });

  async function* endless(
    elapsedMs: number,
    estimateMs: number | null,
  ): AsyncGenerator<WakeProgress> {
    yield { kind: "waking", elapsedMs, estimateMs, step: "answering" };
    await new Promise(() => undefined);
  }
  const long = `exited\n${"x".repeat(2000)}\n${"\tat line\n".repeat(100)}`;
  const name = `shop-${"y".repeat(58)}`;
  const PAGES: Readonly<Record<string, { navigation: Reply; progress: Reply; heading: string }>> = {
    "a wake": {
      navigation: waiting(12_000, 5000),
      progress: (head) => progressAnswer(endless(5000, 12_000), head),
      heading: "shop is waking up",
    },
    "a wake of which nobody knows how long it takes": {
      navigation: waiting(),
      progress: (head) => progressAnswer(endless(5000, null), head),
      heading: "shop is waking up",
    },
    "a wake that has failed": {
      navigation: waiting(),
      progress: stream(failed(long, 0)),
      heading: "shop could not be woken",
    },
    "an error": {
      navigation: (head) =>
        answers.error({
          ...{ code: "app_failed", app: name, why: long, head },
          reference: "0mi8xk2v10001a7q3",
        }),
      progress: nobody,
      heading: "The app could not be woken",
    },
    "an unknown host": {
      navigation: (head) =>
        answers.error({ code: "unknown_app", app: null, why: "an address names no app", head }),
      progress: nobody,
      heading: "No app answers for this host",
    },
  };
  for (const [what, { heading, ...replies }] of Object.entries(PAGES)) {
    visit(`${what}: fits a phone in light and dark, and axe-core finds no fault`, async () => {
      using server = startServer(replies);
      await using visitor = await browser.visitor({
        viewport: { width: 320, height: 640 },
      });
      const { page, complaints } = visitor;
      await page.goto(server.url);
      await page.getByRole("heading", { name: heading, level: 1 }).waitFor();
      for (const summary of await page.locator("summary").all()) await summary.click();
      const grounds: unknown[] = [];
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        expect(await overhang(page)).toBe(0);
        expect(await accessibilityFaults(page)).toEqual([]);
        grounds.push(await page.evaluate("getComputedStyle(document.body).backgroundColor"));
      }
      expect(new Set(grounds).size).toBe(2);
      expect(await page.evaluate<number>("document.getAnimations().length")).toBe(0);
      expect(complaints).toEqual([]);
    });
  }
});
