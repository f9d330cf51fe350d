/** Heroku, from the first list call to the last, through the compiled program. */

import { expect } from "bun:test";
import { type HerokuStory, startHerokuStory } from "../support/heroku-story.ts";
import { within } from "../support/pace.ts";
import { describeRareDays } from "../support/platform-rare-days.ts";
import { describeStory, platformTest, SOON, untilAsleep } from "../support/platform-story.ts";
import {
  eventually,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";
import { until } from "../support/until.ts";

const EVERY_SECOND = { START_AND_STOP_CHECKING_INTERVAL_CRON: "* * * * * *" };
const AT_ONCE = { START_AND_STOP_MAX_IDLE_TIME: "0" };

function start(
  { env }: HerokuStory,
  more: Readonly<Record<string, string>> = {},
  folder = makeFolder(),
): Promise<RunningPaastis> {
  return startPaastis({
    config: "",
    env: { LOG_LEVEL: "debug", ...EVERY_SECOND, ...env, ...more },
    folder,
  });
}

async function statusOf(paastis: RunningPaastis, key: string): Promise<number> {
  const answer = await paastis.get(key);
  await answer.arrayBuffer();
  return answer.status;
}

function sweptSince(paastis: RunningPaastis, from: number): number {
  return paastis.lines.slice(from).filter(({ msg }) => msg === "swept").length;
}

async function sweeps(paastis: RunningPaastis, count: number): Promise<void> {
  const from = paastis.lines.length;
  await eventually(`${count} sweeps`, () => sweptSince(paastis, from) >= count);
}

platformTest(
  "heroku: while the token is refused what was used stays reachable, and a wake finds out that it works again",
  async () => {
    await using platform = await startHerokuStory();
    platform.addApp("up-app");
    const down = platform.addApp("down-app", { web: 0 });
    await using paastis = await start(platform);
    await paastis.untilEvent("down-app", "APP_DISCOVERED");
    expect(await statusOf(paastis, "up-app")).toBe(200);
    platform.revoke();
    const line = await paastis.untilLine(({ level }) => level === "error");
    expect(JSON.stringify(line)).toContain("PROVIDER_HEROKU_API_TOKEN");
    const from = { calls: platform.calls.all, lines: paastis.lines.length };
    await sweeps(paastis, 3);
    expect(await statusOf(paastis, "up-app")).toBe(200);
    const later = paastis.lines.slice(from.lines);
    expect(later.filter(({ level }) => level === "error")).toEqual([]);
    expect(platform.calls.all).toBe(from.calls);
    expect(JSON.stringify(paastis.lines)).not.toContain(platform.fake.token);
    platform.accept();
    expect(await statusOf(paastis, "down-app")).toBe(200);
    expect(down.formation).toEqual({ web: 1 });
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "heroku: 300 apps that are known cost one list call a sweep, and 10,000 warm requests none",
  async () => {
    await using platform = await startHerokuStory();
    const keys = Array.from({ length: 300 }, (_none, one) => `review-pr${one + 1}`);
    for (const key of keys) platform.addApp(key);
    await using paastis = await start(platform);
    await paastis.untilEvent("review-pr300", "APP_REGISTERED");
    await Promise.all(keys.map((key) => statusOf(paastis, key)));
    await sweeps(paastis, 2);
    const from = { ...platform.calls, lines: paastis.lines.length };
    const statuses = await Promise.all(keys.slice(0, 100).map((key) => warmRequests(paastis, key)));
    expect(statuses.flat().filter((status) => status !== 200)).toEqual([]);
    await sweeps(paastis, 2);
    const lists = platform.calls.lists - from.lists;
    // One sweep may be under way at either end.
    expect(lists).toBeLessThanOrEqual(sweptSince(paastis, from.lines) + 2);
    expect(platform.calls.all - from.all).toBe(lists);
    expect(platform.violations).toEqual([]);
  },
);

async function warmRequests(paastis: RunningPaastis, key: string): Promise<number[]> {
  const statuses: number[] = [];
  for (let count = 0; count < 100; count += 1) statuses.push(await statusOf(paastis, key));
  return statuses;
}

platformTest(
  "heroku: an app that somebody scaled to zero is woken by the next request",
  async () => {
    await using platform = await startHerokuStory();
    const app = platform.fake.addApp("shop-app");
    await using paastis = await start(platform);
    await paastis.untilEvent("shop-app", "APP_DISCOVERED");
    expect(await statusOf(paastis, "shop-app")).toBe(200);
    app.setFormation({ web: 0 });
    expect(await statusOf(paastis, "shop-app")).toBe(200);
    expect(app.quantities).toEqual({ web: 1 });
    expect(platform.violations).toEqual([]);
  },
);

platformTest("heroku: a 503 of the app itself is handed on, and wakes nothing", async () => {
  await using platform = await startHerokuStory();
  const app = platform.fake.addApp("busy-app");
  await using paastis = await start(platform);
  await paastis.untilEvent("busy-app", "APP_DISCOVERED");
  expect(await statusOf(paastis, "busy-app")).toBe(200);
  const headers = {
    ...{ server: "Heroku", via: "1.1 heroku-router" },
    ...{ "content-type": "text/html", "cache-control": "no-store" },
  };
  app.answerWith({ status: 503, headers, body: "come back later" });
  const before = platform.calls.all - platform.calls.lists;
  const answer = await paastis.get("busy-app");
  expect([answer.status, await answer.text()]).toEqual([503, "come back later"]);
  expect(platform.calls.all - platform.calls.lists).toBe(before);
  expect(app.requests).toBeGreaterThan(1);
});

platformTest(
  "heroku: an app of Eco dynos is left to Heroku, and its address works while they sleep",
  async () => {
    await using platform = await startHerokuStory();
    const app = platform.fake.addApp("eco-app", { isEco: true });
    await using paastis = await start(platform, AT_ONCE);
    expect(await statusOf(paastis, "eco-app")).toBe(200);
    await sweeps(paastis, 4);
    app.fallIdle();
    expect(await statusOf(paastis, "eco-app")).toBe(200);
    expect(platform.calls.writes).toBe(0);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "heroku: an app that was renamed is found under its new name, and there alone",
  async () => {
    await using platform = await startHerokuStory();
    const app = platform.fake.addApp("old-name");
    await using paastis = await start(platform);
    await paastis.untilEvent("old-name", "APP_DISCOVERED");
    expect(await statusOf(paastis, "old-name")).toBe(200);
    app.rename("new-name");
    await eventually("its new key", async () => (await statusOf(paastis, "new-name")) === 200);
    expect(await statusOf(paastis, "old-name")).toBe(404);
    expect(app.requests).toBeGreaterThan(0);
  },
);

// The quantities of a formation are set, not added to: to set them twice changes nothing.
platformTest(
  "heroku: kill -9 right after the start was ordered: the next run joins it, and the formation is back just as it was",
  async () => {
    // The second run cannot know when the first has last looked.
    await using platform = await startHerokuStory({
      ...{ bootMs: 2_000, appearMs: 500, dynosPollMinMs: 0 },
    });
    const app = platform.fake.addApp("killed-app", { formation: platform.richFormation });
    const folder = makeFolder();
    const first = await start(platform, SOON, folder);
    expect(await statusOf(first, "killed-app")).toBe(200);
    await untilAsleep(first, "killed-app");
    const { writes } = platform.calls;
    void first.get("killed-app").catch(() => undefined);
    await until(() => platform.calls.writes > writes);
    first.signal("SIGKILL");
    await first.ended;
    await using paastis = await start(platform, {}, folder);
    const woken = statusOf(paastis, "killed-app");
    await until(() => app.dynos.length === 5);
    const starting = app.dynos.map(({ id }) => id);
    expect(await woken).toBe(200);
    expect(app.quantities).toEqual(platform.richFormation);
    expect(app.dynos.map(({ id }) => id)).toEqual(starting);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "heroku: who asks for an app that has nothing to wake is told why, at once",
  async () => {
    await using platform = await startHerokuStory();
    platform.fake.addApp("fresh-app", { isDeployed: false });
    platform.fake.addApp("worker-app", { formation: { worker: 1 } });
    await using paastis = await start(platform);
    await paastis.untilEvent("worker-app", "APP_DISCOVERED");
    const reasons = { "fresh-app": "it was never deployed", "worker-app": "no process type web" };
    for (const [key, reason] of Object.entries(reasons)) {
      const fromMs = performance.now();
      const answer = await paastis.get(key);
      expect([answer.status, answer.headers.get("paastis-error")]).toEqual([503, "app_failed"]);
      expect(await answer.json()).toMatchObject({ reason: expect.stringContaining(reason) });
      expect(performance.now() - fromMs).toBeLessThan(within(8_000));
    }
    expect(platform.calls.writes).toBe(0);
    expect(platform.violations).toEqual([]);
  },
);

// After those above, some of which take longer.

// A run that begins knows nothing of when the one before it has read the dynos.
describeRareDays("heroku", () => startHerokuStory({ dynosPollMinMs: 0 }));

describeStory("heroku", startHerokuStory, {
  skip: [
    {
      test: "a token that expired is renewed unseen",
      because: "its tokens are used as they are: there is nothing to renew",
    },
    {
      test: "a refused credential is told once, what is up stays reachable, and a wake finds out that it works again",
      because: "its list does not say where apps are up: played below with one that was used",
    },
    {
      test: "300 apps cost two list calls a sweep at most, and 10,000 warm requests none",
      because: "its list does not say which apps are up: played below with apps that were used",
    },
  ],
});
