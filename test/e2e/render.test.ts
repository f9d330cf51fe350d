/** Render, from the first list call to the last, through the compiled program. */

import { expect } from "bun:test";
import { answersText } from "../fakes/fake-faults.ts";
import { describeRareDays } from "../support/platform-rare-days.ts";
import { describeStory, platformTest } from "../support/platform-story.ts";
import { type RenderStory, startRenderStory } from "../support/render-story.ts";
import {
  eventually,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";
import { until } from "../support/until.ts";

const EVERY_SECOND = "* * * * * *";
/** New Year: what is found out is found out by a request. */
const NEVER = { START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 1 1 *" };
const AT_ONCE = { START_AND_STOP_MAX_IDLE_TIME: "0" };

function start(
  { env }: RenderStory,
  more: Readonly<Record<string, string>> = {},
  folder = makeFolder(),
): Promise<RunningPaastis> {
  const sweeps = { START_AND_STOP_CHECKING_INTERVAL_CRON: EVERY_SECOND };
  const all = { LOGGING_LEVEL: "debug", ...sweeps, ...env, ...more };
  return startPaastis({ config: "", env: all, folder });
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
  "render: 300 services cost four list calls a sweep, and 1,000 warm requests none",
  async () => {
    await using platform = await startRenderStory();
    for (let count = 1; count <= 300; count += 1) platform.addApp(`review-pr${count}`);
    await using paastis = await start(platform);
    await paastis.untilEvent("review-pr300", "APP_REGISTERED");
    const from = { ...platform.calls, lines: paastis.lines.length };
    for (let round = 0; round < 10; round += 1) {
      const asked = Array.from({ length: 100 }, (_, one) =>
        statusOf(paastis, `review-pr${one + 1}`),
      );
      expect(new Set(await Promise.all(asked))).toEqual(new Set([200]));
    }
    await sweeps(paastis, 2);
    const lists = platform.calls.lists - from.lists;
    // One sweep may be under way at either end.
    expect(lists).toBeLessThanOrEqual(4 * (sweptSince(paastis, from.lines) + 2));
    expect(platform.calls.all - from.all).toBe(lists);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "render: who asks for a service that somebody has suspended gets its answer, not the page",
  async () => {
    await using platform = await startRenderStory({ resumeShowsMs: 300, routerLagMs: 500 });
    const app = platform.fake.addService("shop-app");
    await using paastis = await start(platform, NEVER);
    await paastis.untilEvent("shop-app", "APP_DISCOVERED");
    expect(await statusOf(paastis, "shop-app")).toBe(200);
    app.suspend();
    const answer = await paastis.get("shop-app", { path: "/cart" });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ app: "shop-app", path: "/cart" });
    expect(platform.fake.api.count("resume")).toBe(1);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "render: a page without a mark, and with status 200, is never taken for a service that is ready",
  async () => {
    await using platform = await startRenderStory({
      pages: "ok",
      resumeShowsMs: 1_500,
      deployMs: 2_500,
    });
    const app = platform.fake.addService("shop-app", { suspendedBy: "user" });
    await using paastis = await start(platform);
    await paastis.untilEvent("shop-app", "APP_DISCOVERED");
    const answer = await paastis.get("shop-app");
    expect(await answer.json()).toMatchObject({ app: "shop-app" });
    expect(app.deploys).toHaveLength(2);
    // One that is suspended while it is thought to be up shows its page until the next sweep.
    app.suspend();
    await paastis.untilEvent("shop-app", "APP_STOPPED");
    const later = await paastis.get("shop-app");
    expect(await later.json()).toMatchObject({ app: "shop-app" });
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "render: a free service is left to Render, and its address works while it has spun down",
  async () => {
    await using platform = await startRenderStory();
    const app = platform.fake.addService("free-app", { plan: "free" });
    await using paastis = await start(platform, AT_ONCE);
    await paastis.untilEvent("free-app", "APP_DISCOVERED");
    expect(await statusOf(paastis, "free-app")).toBe(200);
    await sweeps(paastis, 4);
    app.spinDown();
    expect(await statusOf(paastis, "free-app")).toBe(200);
    expect(platform.calls.writes).toBe(0);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "render: who asks for a service that is suspended for its bill is told so at once, and it is not resumed",
  async () => {
    await using platform = await startRenderStory();
    platform.fake.addService("unpaid-app", { suspendedBy: "billing" });
    await using paastis = await start(platform);
    await paastis.untilEvent("unpaid-app", "APP_DISCOVERED");
    const answer = await paastis.get("unpaid-app");
    expect([answer.status, answer.headers.get("paastis-error")]).toEqual([503, "app_failed"]);
    expect(await answer.json()).toMatchObject({ reason: expect.stringContaining("billing") });
    expect(platform.calls.writes).toBe(0);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "render: one that did not come back stays failed through sweeps, and comes back with the next deploy",
  async () => {
    await using platform = await startRenderStory();
    const app = platform.fake.addService("broken-app", { suspendedBy: "user" });
    app.nextDeploys("build_failed");
    await using paastis = await start(platform);
    await paastis.untilEvent("broken-app", "APP_DISCOVERED");
    expect(await statusOf(paastis, "broken-app")).toBe(503);
    await sweeps(paastis, 3);
    expect(paastis.events("broken-app")).not.toContain("APP_STARTED");
    const again = await paastis.get("broken-app");
    expect(await again.json()).toMatchObject({ reason: expect.stringContaining("build_failed") });
    app.beginDeploy();
    await eventually("it is served", async () => (await statusOf(paastis, "broken-app")) === 200);
    expect(platform.fake.api.count("resume")).toBe(1);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "render: kill -9 right after the resume was ordered: the next run joins it, and there is one deploy",
  async () => {
    await using platform = await startRenderStory({
      ...{ resumeShowsMs: 3_000, deployShowsMs: 3_500, deployMs: 1_000 },
    });
    const app = platform.fake.addService("killed-app", { suspendedBy: "user" });
    const folder = makeFolder();
    const first = await start(platform, {}, folder);
    await first.untilEvent("killed-app", "APP_DISCOVERED");
    void first.get("killed-app").catch(() => undefined);
    await until(() => platform.calls.writes === 1);
    first.signal("SIGKILL");
    await first.ended;
    await using paastis = await start(platform, {}, folder);
    expect(await statusOf(paastis, "killed-app")).toBe(200);
    expect(app.deploys.map(({ trigger }) => trigger)).toEqual(["service_resumed", "new_commit"]);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "render: a resume that an API in trouble did not carry out is answered with the app all the same",
  async () => {
    await using platform = await startRenderStory();
    platform.fake.addService("shop-app", { suspendedBy: "user" });
    await using paastis = await start(platform, NEVER);
    await paastis.untilEvent("shop-app", "APP_DISCOVERED");
    platform.fake.api.fail("resume", answersText(503, "down"));
    const answer = await paastis.get("shop-app");
    expect(await answer.json()).toMatchObject({ app: "shop-app" });
    expect(platform.fake.api.count("resume")).toBe(2);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "render: ten changes a minute that one service has used up are no matter for the others",
  async () => {
    await using platform = await startRenderStory({ changesPerMinute: 1 });
    const busy = platform.fake.addService("busy-app");
    const other = platform.fake.addService("other-app", { suspendedBy: "user" });
    const config = 'rules:\n  - pattern: "^busy-"\n    app_max_idle_time: 0\n';
    await using paastis = await startPaastis({
      config,
      env: { LOGGING_LEVEL: "debug", ...platform.env },
    });
    await paastis.untilEvent("busy-app", "APP_STOPPED");
    const gaveUp = new AbortController();
    const refused = paastis.get("busy-app", { signal: gaveUp.signal }).catch(() => null);
    await eventually("it is refused", () => platform.refusedCalls > 0);
    expect(await statusOf(paastis, "other-app")).toBe(200);
    const { lists } = platform.calls;
    await sweeps(paastis, 2);
    expect(platform.calls.lists).toBeGreaterThan(lists);
    expect([busy.isSuspended, other.isServing]).toEqual([true, true]);
    gaveUp.abort();
    expect(await refused).toBeNull();
  },
);

// After those above, some of which take longer.

describeRareDays("render", startRenderStory, {
  skip: [
    {
      test: "a deployment that begins while an app sleeps is joined by who asks for it",
      because: "what is suspended is not deployed",
    },
    {
      test: "all that was stored is lost: a wake brings back web, one of it, and nothing else",
      because: "the platform remembers the size",
    },
  ],
});

describeStory("render", startRenderStory, {
  isToldElsewhere: true,
  skip: [
    {
      test: "a token that expired is renewed unseen",
      because: "its keys are used as they are: there is nothing to renew",
    },
    {
      test: "300 apps cost two list calls a sweep at most, and 10,000 warm requests none",
      because: "it lists a hundred services per call: played below with four",
    },
  ],
});
