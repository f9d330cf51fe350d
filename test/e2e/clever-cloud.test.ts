/** Clever Cloud, from the first list call to the last, through the compiled program. */

import { describe, expect } from "bun:test";
import { createSystemClock } from "../../src/clock.ts";
import {
  type FakeCleverCloud,
  type FakeCleverCloudOptions,
  startFakeCleverCloud,
} from "../fakes/fake-clever-cloud.ts";
import { OAUTH, startCleverCloudStory } from "../support/clever-cloud-story.ts";
import { within } from "../support/pace.ts";
import { describeRareDays } from "../support/platform-rare-days.ts";
import { describeStory, platformTest } from "../support/platform-story.ts";
import {
  eventually,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";
import { until } from "../support/until.ts";

describeStory("clever-cloud", startCleverCloudStory, {
  skip: [
    {
      test: "a token that expired is renewed unseen",
      because: "its tokens live for months, and none can be renewed",
    },
  ],
});

describeRareDays("clever-cloud", startCleverCloudStory, {
  skip: [
    {
      test: "all that was stored is lost: a wake brings back web, one of it, and nothing else",
      because: "the platform itself remembers how large an app is",
    },
  ],
});

function startFake(options: Partial<FakeCleverCloudOptions> = {}) {
  const clock = createSystemClock();
  return startFakeCleverCloud({
    ...{ queueMs: 10, startMs: 50, stopMs: 20, oauth: OAUTH },
    ...options,
    clock,
  });
}

function startProgram(env: Readonly<Record<string, string>>, folder = makeFolder()) {
  const account = { PROVIDER_NAME: "clever-cloud", PROVIDER_CLEVER_CALLS_PER_MINUTE: "100000" };
  return startPaastis({ config: "", env: { LOGGING_LEVEL: "debug", ...account, ...env }, folder });
}

/** Sends a request, and the signal as soon as the platform has got the start that follows from it. */
async function endAtStart(
  paastis: RunningPaastis,
  { fake, key, signal }: { fake: FakeCleverCloud; key: string; signal: NodeJS.Signals },
): Promise<void> {
  void paastis.get(key).catch(() => undefined);
  await until(() => fake.count("start") === 1);
  paastis.signal(signal);
  await paastis.ended;
}

describe("clever-cloud, besides", () => {
  platformTest(
    "apps of the user and of every organisation are reached by slugs, and by their ids",
    async () => {
      await using fake = await startFake();
      const other = fake.addOrganisation("Other");
      const mine = fake.addApp("Mon Été, n°2", { ownerId: fake.userId });
      const theirs = fake.addApp("Café (staging)", { ownerId: other, is: "down" });
      fake.addApp("a task", { lifetime: "TASK" });
      await using paastis = await startProgram(fake.environmentOf("token"));
      await paastis.untilEvent("cafe-staging", "APP_REGISTERED");
      const keys = ["mon-ete-n-2", mine.id.replace("_", "-"), theirs.id.replace("_", "-")];
      const answers = await Promise.all(keys.map((key) => paastis.get(key)));
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
      expect(fake.appRequests(theirs)).toBeGreaterThan(0);
      expect(fake.violations).toEqual([]);
    },
  );

  platformTest(
    "a wake that takes longer than a request is held goes on, and the next request finds it up",
    async () => {
      await using fake = await startFake({ startMs: 2_500 });
      const app = fake.addApp("slow-app", { is: "down" });
      const env = { ...fake.environmentOf("oauth1"), HOLD_MAX_MS: "500" };
      await using paastis = await startProgram(env);
      await paastis.untilEvent("slow-app", "APP_REGISTERED");
      const early = await paastis.get("slow-app");
      expect(early.status).toBe(503);
      expect(Number(early.headers.get("retry-after"))).toBeGreaterThan(0);
      await eventually("it is up", async () => (await paastis.get("slow-app")).status === 200);
      expect(fake.count("start")).toBe(1);
      expect(app.serving).toBe(1);
      expect(fake.violations).toEqual([]);
    },
  );

  // A start of an app that is starting begins a second deployment: until the first shows, only we know of it.
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    platformTest(
      `${signal} right after the start was ordered: the next run joins that start, and orders no other`,
      async () => {
        await using fake = await startFake({ queueMs: 3_000 });
        const app = fake.addApp("killed-app", { is: "down" });
        const folder = makeFolder();
        const env = { ...fake.environmentOf("token"), SHUTDOWN_TIMEOUT_MS: "100" };
        const first = await startProgram(env, folder);
        await first.untilEvent("killed-app", "APP_REGISTERED");
        await endAtStart(first, { fake, key: "killed-app", signal });
        expect(app.deployments[0]?.state).toBe("QUEUED");
        await using paastis = await startProgram(env, folder);
        expect((await paastis.get("killed-app")).status).toBe(200);
        expect([fake.count("start"), app.serving]).toEqual([1, 1]);
        expect(fake.violations).toEqual([]);
      },
    );
  }

  platformTest(
    "a token that is refused while an app wakes: who waits is served once it is up, and so is who comes later",
    async () => {
      await using fake = await startFake({ queueMs: 100, startMs: 1_500 });
      const app = fake.addApp("waking-app", { is: "down" });
      await using paastis = await startProgram(fake.environmentOf("token"));
      await paastis.untilEvent("waking-app", "APP_REGISTERED");
      const held = paastis.get("waking-app");
      await until(() => fake.count("start") === 1);
      fake.revokeToken();
      expect((await held).status).toBe(200);
      expect((await paastis.get("waking-app")).status).toBe(200);
      expect([fake.count("start"), app.serving]).toEqual([1, 1]);
      expect(paastis.events("waking-app")).not.toContain("APP_START_FAILED");
      expect(fake.violations).toEqual([]);
    },
  );

  platformTest("who asks for an app that was never deployed is told so, at once", async () => {
    await using fake = await startFake();
    fake.addApp("fresh-app", { is: "never-deployed" });
    await using paastis = await startProgram(fake.environmentOf("token"));
    await paastis.untilEvent("fresh-app", "APP_REGISTERED");
    const fromMs = performance.now();
    const answer = await paastis.get("fresh-app");
    expect([answer.status, answer.headers.get("paastis-error")]).toEqual([503, "app_failed"]);
    const reason = expect.stringContaining("it was never deployed");
    expect(await answer.json()).toMatchObject({ reason });
    expect(performance.now() - fromMs).toBeLessThan(within(8_000));
    expect(fake.violations).toEqual([]);
  });

  platformTest("an app whose last deployment failed is served and never stopped", async () => {
    await using fake = await startFake();
    const app = fake.addApp("fragile-app");
    app.beginDeploy();
    app.failDeploy();
    const env = { ...fake.environmentOf("token"), START_AND_STOP_MAX_IDLE_TIME: "0" };
    await using paastis = await startProgram(env);
    await paastis.untilEvent("fragile-app", "APP_REGISTERED");
    await eventually("it answers", async () => (await paastis.get("fragile-app")).status === 200);
    const from = fake.count("summary");
    await eventually("four sweeps", () => fake.count("summary") >= from + 4);
    // The first may have been called off by the visit.
    const stops = paastis.events("fragile-app").filter((name) => name.startsWith("APP_STOP"));
    expect(stops.filter((name) => name !== "APP_STOP_CANCELLED")).toEqual([]);
    expect(stops.length).toBeLessThanOrEqual(2);
    expect(fake.count("stop")).toBe(0);
    expect(fake.violations).toEqual([]);
  });

  platformTest("an app that was stopped in the console wakes at the next request", async () => {
    await using fake = await startFake({ hasBareLineFeeds: true });
    const app = fake.addApp("stopped-app");
    // No sweep finds out before the request does.
    const env = { START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 1 1 *" };
    await using paastis = await startProgram({ ...fake.environmentOf("token"), ...env });
    await paastis.untilEvent("stopped-app", "APP_REGISTERED");
    expect((await paastis.get("stopped-app")).status).toBe(200);
    app.stopByHand();
    await eventually("it is down", async () => app.serving === 0);
    const answer = await paastis.get("stopped-app");
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-clevercloudupgrade")).toBeNull();
    expect(fake.violations).toEqual([]);
  });
});
