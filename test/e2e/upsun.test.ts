/** Upsun, from the first list call to the last, through the compiled program. */

import { expect } from "bun:test";
import { describeRareDays } from "../support/platform-rare-days.ts";
import { describeStory, platformTest } from "../support/platform-story.ts";
import {
  eventually,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";
import { until } from "../support/until.ts";
import { startUpsunStory, type UpsunStory } from "../support/upsun-story.ts";

const EVERY_SECOND = "* * * * * *";
/** New Year: what is found out is found out by a request. */
const NEVER = { START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 1 1 *" };
const AT_ONCE = { START_AND_STOP_MAX_IDLE_TIME: "0" };

function start(
  { env }: UpsunStory,
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
  "upsun: 300 environments of ten projects cost ten calls a sweep, and 1,000 warm requests none",
  async () => {
    await using platform = await startUpsunStory();
    for (let count = 1; count <= 300; count += 1) {
      platform.fake.addEnvironment(`review-pr${count}`, { project: `project${count % 10}` });
    }
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
    expect(lists).toBeLessThanOrEqual(10 * (sweptSince(paastis, from.lines) + 2));
    expect(platform.calls.all - from.all).toBe(lists);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "upsun: production is served and never paused, and one that is paused is not resumed",
  async () => {
    await using platform = await startUpsunStory();
    const main = platform.fake.addEnvironment("main", { type: "production", project: "one" });
    platform.fake.addEnvironment("live", {
      ...{ type: "production", project: "two", condition: "paused" },
    });
    await using paastis = await start(platform, AT_ONCE);
    await paastis.untilEvent("live", "APP_DISCOVERED");
    expect(await statusOf(paastis, "main")).toBe(200);
    await sweeps(paastis, 4);
    const answer = await paastis.get("live");
    expect([answer.status, answer.headers.get("paastis-error")]).toEqual([503, "app_failed"]);
    const event = await paastis.untilEvent("live", "APP_START_FAILED");
    expect(event.reason).toContain("it is a production environment");
    expect([main.condition, platform.calls.writes]).toEqual(["active", 0]);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "upsun: who asks for an environment that somebody has paused gets its answer, not the way to a page",
  async () => {
    await using platform = await startUpsunStory({ routerLagMs: 500 });
    const environment = platform.fake.addEnvironment("pr-12");
    await using paastis = await start(platform, NEVER);
    await paastis.untilEvent("pr-12", "APP_DISCOVERED");
    expect(await statusOf(paastis, "pr-12")).toBe(200);
    environment.set("paused");
    const answer = await paastis.get("pr-12", { path: "/cart" });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ app: "pr-12", path: "/cart" });
    expect(platform.fake.api.count("resume")).toBe(1);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "upsun: a page on a site that nobody knows is never taken for an environment that is up",
  async () => {
    await using platform = await startUpsunStory({
      ...{ pausedPage: "https://paused.example/", activityMs: 2_000, statusLagMs: 1_000 },
      ...{ embedsActivities: false, showsDirty: false, hasPublicUrl: false },
    });
    platform.fake.addEnvironment("pr-12", { condition: "paused" });
    await using paastis = await start(platform);
    await paastis.untilEvent("pr-12", "APP_DISCOVERED");
    const answer = await paastis.get("pr-12");
    expect(await answer.json()).toMatchObject({ app: "pr-12" });
    expect(platform.fake.api.count("resume")).toBe(1);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "upsun: a branch that two projects have is reached in each by its unique name",
  async () => {
    await using platform = await startUpsunStory();
    const one = platform.fake.addEnvironment("pr-12", { project: "aaa" });
    const two = platform.fake.addEnvironment("pr-12", { project: "bbb" });
    await using paastis = await start(platform);
    await paastis.untilEvent("pr-12", "APP_DISCOVERED");
    for (const { url } of [one, two]) {
      const [label = ""] = new URL(url).hostname.split(".");
      expect(await statusOf(paastis, label)).toBe(200);
    }
    expect([one.requests, two.requests]).toEqual([1, 1]);
  },
);

platformTest(
  "upsun: a project that the account may not see any more is told once, and its environments stay reachable",
  async () => {
    await using platform = await startUpsunStory();
    platform.fake.addEnvironment("kept-app", { project: "kept" });
    platform.fake.addEnvironment("hidden-app", { project: "hidden" });
    await using paastis = await start(platform);
    await paastis.untilEvent("hidden-app", "APP_DISCOVERED");
    expect(await statusOf(paastis, "hidden-app")).toBe(200);
    platform.fake.setForbidden("hidden", true);
    await paastis.untilLine(({ level, project }) => level === "warn" && project === "hidden");
    await sweeps(paastis, 3);
    expect(await statusOf(paastis, "hidden-app")).toBe(200);
    expect(paastis.events("hidden-app")).not.toContain("APP_UNREGISTERED");
    const warned = paastis.lines.filter(({ level }) => level === "warn" || level === "error");
    expect(warned).toHaveLength(1);
  },
);

platformTest(
  "upsun: kill -9 right after the resume was ordered: the next run joins it",
  async () => {
    await using platform = await startUpsunStory({ activityMs: 3_000 });
    const environment = platform.fake.addEnvironment("pr-12", { condition: "paused" });
    const folder = makeFolder();
    const first = await start(platform, {}, folder);
    await first.untilEvent("pr-12", "APP_DISCOVERED");
    void first.get("pr-12").catch(() => undefined);
    await until(() => platform.calls.writes === 1);
    first.signal("SIGKILL");
    await first.ended;
    await using paastis = await start(platform, {}, folder);
    expect(await statusOf(paastis, "pr-12")).toBe(200);
    expect(environment.activities.map(({ type }) => type)).toEqual(["environment.resume"]);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "upsun: a resume under way as Paastis starts is joined, though nothing says yet where the environment answers",
  async () => {
    await using platform = await startUpsunStory({
      ...{ activityMs: 2_500, hasPublicUrl: false, hasEdge: false },
      ...{ pausedPage: "https://paused.example/" },
    });
    const environment = platform.fake.addEnvironment("pr-12", { condition: "paused" });
    environment.resume();
    await using paastis = await start(platform);
    await paastis.untilEvent("pr-12", "APP_DISCOVERED");
    const answer = await paastis.get("pr-12", { method: "POST" });
    expect(await answer.json()).toMatchObject({ app: "pr-12" });
    expect([environment.condition, platform.calls.writes]).toEqual(["active", 0]);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "upsun: what is up and has no listed address is served, while it is changed and when it is production",
  async () => {
    await using platform = await startUpsunStory({ hasPublicUrl: false, hasEdge: false });
    const main = platform.fake.addEnvironment("main", { type: "production" });
    const changed = platform.fake.addEnvironment("pr-12");
    changed.beginActivity();
    await using paastis = await start(platform, NEVER);
    await paastis.untilEvent("pr-12", "APP_DISCOVERED");
    for (const { branch } of [main, changed]) {
      const answer = await paastis.get(branch, { path: "/cart" });
      expect(await answer.json()).toMatchObject({ app: branch, path: "/cart" });
    }
    expect(platform.calls.writes).toBe(0);
    expect(paastis.events("pr-12")).not.toContain("APP_START_FAILED");
  },
);

platformTest(
  "upsun: a host is not refused while a project that is refused may have it, but not for ever",
  async () => {
    await using platform = await startUpsunStory();
    platform.fake.addEnvironment("kept-app", { project: "kept" });
    platform.fake.addEnvironment("hidden-app", { project: "hidden" });
    platform.fake.setForbidden("hidden", true);
    await using paastis = await start(platform, NEVER);
    await paastis.untilEvent("kept-app", "APP_DISCOVERED");
    expect(await statusOf(paastis, "hidden-app")).toBe(503);
    expect(await statusOf(paastis, "kept-app")).toBe(200);
    await using later = await start(platform);
    await eventually("it is refused", async () => (await statusOf(later, "hidden-app")) === 404);
  },
);

// After those above, some of which take longer.

describeRareDays("upsun", startUpsunStory, {
  skip: [
    {
      test: "an app that is renamed while it is asked for all the time fails nobody",
      because: "an environment is called like its branch for ever",
    },
    {
      test: "all that was stored is lost: a wake brings back web, one of it, and nothing else",
      because: "the platform remembers the size",
    },
  ],
});

describeStory("upsun", startUpsunStory, {
  isToldElsewhere: true,
  skip: [
    {
      test: "300 apps cost two list calls a sweep at most, and 10,000 warm requests none",
      because: "it lists each project by its own: played below with ten",
    },
  ],
});
