/** Fly.io, from the first list call to the last, through the compiled program. */

import { expect } from "bun:test";
import { neverAnswers } from "../fakes/fake-faults.ts";
import { type FlyStory, startFlyStory } from "../support/fly-story.ts";
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
/** New Year: what is found out is found out by a request. */
const NEVER = { START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 1 1 *" };
const AT_ONCE = { START_AND_STOP_MAX_IDLE_TIME: "0" };

function start(
  { env }: FlyStory,
  more: Readonly<Record<string, string>> = {},
  folder = makeFolder(),
): Promise<RunningPaastis> {
  const all = { LOGGING_LEVEL: "debug", ...EVERY_SECOND, ...env, ...more };
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
  "fly: while the token is refused what was used stays reachable, and a wake finds out that it works again",
  async () => {
    await using platform = await startFlyStory();
    platform.addApp("up-app");
    const down = platform.addApp("down-app", { web: 0 });
    await using paastis = await start(platform);
    await paastis.untilEvent("down-app", "APP_DISCOVERED");
    expect(await statusOf(paastis, "up-app")).toBe(200);
    platform.revoke();
    const line = await paastis.untilLine(({ level }) => level === "error");
    expect(JSON.stringify(line)).toContain("PROVIDER_FLY_API_TOKEN");
    const from = { calls: platform.calls.all, lines: paastis.lines.length };
    await sweeps(paastis, 3);
    expect(await statusOf(paastis, "up-app")).toBe(200);
    const later = paastis.lines.slice(from.lines);
    expect(later.filter(({ level }) => level === "error")).toEqual([]);
    expect(platform.calls.all).toBe(from.calls);
    expect(JSON.stringify(paastis.lines)).not.toContain(platform.fake.token);
    platform.accept();
    await eventually("it wakes", async () => (await statusOf(paastis, "down-app")) === 200);
    expect(down.formation).toEqual({ web: 1 });
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "fly: 300 apps that are known cost one list call a sweep, and 1,000 warm requests none",
  async () => {
    await using platform = await startFlyStory();
    const keys = Array.from({ length: 300 }, (_none, one) => `review-pr${one + 1}`);
    for (const key of keys) platform.addApp(key);
    await using paastis = await start(platform);
    await paastis.untilEvent("review-pr300", "APP_REGISTERED");
    await Promise.all(keys.map((key) => statusOf(paastis, key)));
    await sweeps(paastis, 2);
    const from = { ...platform.calls, lines: paastis.lines.length };
    for (let round = 0; round < 10; round += 1) {
      const statuses = await Promise.all(keys.slice(0, 100).map((key) => statusOf(paastis, key)));
      expect(new Set(statuses)).toEqual(new Set([200]));
    }
    await sweeps(paastis, 2);
    const lists = platform.calls.lists - from.lists;
    // One sweep may be under way at either end.
    expect(lists).toBeLessThanOrEqual(sweptSince(paastis, from.lines) + 2);
    expect(platform.calls.all - from.all).toBe(lists);
    expect(platform.refusedCalls).toBe(0);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "fly: of five machines the three that ran come back, one of them replaced by its like",
  async () => {
    await using platform = await startFlyStory();
    const app = platform.fake.addApp("shop-app", {
      machines: [
        { region: "ams" },
        { region: "cdg" },
        { region: "cdg", state: "stopped" },
        { region: "cdg", group: "admin" },
        { region: "ams", state: "stopped" },
      ],
    });
    await using paastis = await start(platform, SOON);
    expect(await statusOf(paastis, "shop-app")).toBe(200);
    await untilAsleep(paastis, "shop-app");
    expect(app.states).toEqual(["suspended", "suspended", "stopped", "suspended", "stopped"]);
    app.destroy(1);
    expect(await statusOf(paastis, "shop-app")).toBe(200);
    const back = ["started", "started", "started", "stopped"] as const;
    await until(() => app.states.every((state, one) => state === back[one]));
    expect(platform.refusedCalls).toBe(0);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "fly: a machine that cannot be suspended is stopped, and one whose host is full is replaced",
  async () => {
    await using platform = await startFlyStory();
    const app = platform.fake.addApp("shop-app", {
      machines: [{ suspendRefusal: 422 }, { state: "stopped" }],
    });
    await using paastis = await start(platform, SOON);
    expect(await statusOf(paastis, "shop-app")).toBe(200);
    await untilAsleep(paastis, "shop-app");
    expect(app.states).toEqual(["stopped", "stopped"]);
    app.nextBoots(0, { outcome: "no-room" });
    expect(await statusOf(paastis, "shop-app")).toBe(200);
    expect(app.states).toEqual(["stopped", "started"]);
    expect(platform.violations).toEqual([]);
  },
);

platformTest(
  "fly: an app whose machines the proxy stops and starts is left to it, and answers while they are down",
  async () => {
    await using platform = await startFlyStory();
    const app = platform.fake.addApp("auto-app", {
      machines: [{ autostop: "stop", autostart: true }],
    });
    await using paastis = await start(platform, AT_ONCE);
    expect(await statusOf(paastis, "auto-app")).toBe(200);
    await sweeps(paastis, 4);
    app.stop(0);
    await until(() => app.states[0] === "stopped");
    expect(await statusOf(paastis, "auto-app")).toBe(200);
    expect(app.states).toEqual(["started"]);
    expect(platform.calls.writes).toBe(0);
    expect(platform.violations).toEqual([]);
  },
);

/** What the proxy says while no machine takes requests is not documented, and is no mark. */
for (const noMachineStatus of [502, 503]) {
  platformTest(
    `fly: an app that somebody has stopped, or that has crashed, is woken by the next request, although the proxy answers ${noMachineStatus}`,
    async () => {
      await using platform = await startFlyStory({ noMachineStatus });
      const app = platform.fake.addApp("shop-app");
      await using paastis = await start(platform, NEVER);
      await paastis.untilEvent("shop-app", "APP_DISCOVERED");
      expect(await statusOf(paastis, "shop-app")).toBe(200);
      app.stop(0);
      await until(() => app.states[0] === "stopped");
      expect(await statusOf(paastis, "shop-app")).toBe(200);
      app.crash(0);
      expect(await statusOf(paastis, "shop-app")).toBe(200);
      expect(platform.fake.api.count("start")).toBe(2);
      expect(platform.violations).toEqual([]);
    },
  );
}

platformTest(
  "fly: who asks for an app that crashes after its start is told within seconds, with its exit code",
  async () => {
    await using platform = await startFlyStory({ listenMs: 60_000 });
    const app = platform.fake.addApp("broken-app", { machines: [{ state: "stopped" }] });
    app.nextBoots(0, { crashesAfterMs: 300 });
    await using paastis = await start(platform);
    await paastis.untilEvent("broken-app", "APP_DISCOVERED");
    const answer = await paastis.get("broken-app");
    expect([answer.status, answer.headers.get("paastis-error")]).toEqual([503, "app_failed"]);
    expect(await answer.json()).toMatchObject({ reason: expect.stringContaining("exit code 1") });
    expect(platform.fake.api.count("start")).toBe(1);
    expect(platform.violations).toEqual([]);
  },
);

platformTest("fly: kill -9 right after the start was ordered: the next run joins it", async () => {
  await using platform = await startFlyStory({ bootMs: 2_000, noMachineStatus: 503 });
  const app = platform.fake.addApp("killed-app", {
    machines: [{}, { state: "stopped" }, {}],
  });
  const folder = makeFolder();
  const first = await start(platform, SOON, folder);
  expect(await statusOf(first, "killed-app")).toBe(200);
  await untilAsleep(first, "killed-app");
  const starts = platform.fake.api.count("start");
  void first.get("killed-app").catch(() => undefined);
  await until(() => platform.fake.api.count("start") === starts + 2);
  first.signal("SIGKILL");
  await first.ended;
  await using paastis = await start(platform, {}, folder);
  expect(await statusOf(paastis, "killed-app")).toBe(200);
  expect(app.states).toEqual(["started", "stopped", "started"]);
  expect(platform.fake.api.count("start")).toBe(starts + 2);
  expect(platform.violations).toEqual([]);
});

platformTest(
  "fly: kill -9 between the stops of two machines: both come back with the next wake",
  async () => {
    await using platform = await startFlyStory();
    const app = platform.fake.addApp("killed-app", { machines: [{}, {}] });
    const second = app.machines[1]?.id ?? "";
    const isItsStop = ({ method, path }: { readonly method: string; readonly path: string }) =>
      method === "POST" && path.includes(second);
    platform.fake.api.fail(isItsStop, neverAnswers(), Number.POSITIVE_INFINITY);
    const folder = makeFolder();
    // Nobody asks for it: on a busy machine it may be going to sleep by then.
    const first = await start(platform, SOON, folder);
    await until(() => app.states[0] === "suspended");
    first.signal("SIGKILL");
    await first.ended;
    expect(app.states).toEqual(["suspended", "started"]);
    platform.fake.api.heal();
    await using paastis = await start(platform, SOON, folder);
    expect(await statusOf(paastis, "killed-app")).toBe(200);
    await untilAsleep(paastis, "killed-app");
    expect(app.states).toEqual(["suspended", "suspended"]);
    expect(await statusOf(paastis, "killed-app")).toBe(200);
    await until(() => app.states.every((state) => state === "started"));
    expect(platform.violations).toEqual([]);
  },
);

platformTest("fly: an app's own 502 is handed on, and does not cost a look each time", async () => {
  await using platform = await startFlyStory();
  const app = platform.fake.addApp("broken-app");
  await using paastis = await start(platform, NEVER);
  await paastis.untilEvent("broken-app", "APP_DISCOVERED");
  expect(await statusOf(paastis, "broken-app")).toBe(200);
  app.answerWith(502);
  const looks = platform.fake.api.count("machines.list");
  for (let count = 0; count < 100; count += 1) {
    expect(await statusOf(paastis, "broken-app")).toBe(502);
  }
  expect(platform.fake.api.count("machines.list")).toBeLessThanOrEqual(looks + 2);
  app.answerWith(null);
  expect(await statusOf(paastis, "broken-app")).toBe(200);
  expect(paastis.events("broken-app")).not.toContain("APP_WAKING");
});

// After those above, some of which take longer.

describeRareDays("fly", startFlyStory, {
  skip: [
    {
      test: "an app that is renamed while it is asked for all the time fails nobody",
      because: "the platform cannot do that",
    },
  ],
});

describeStory("fly", startFlyStory, {
  skip: [
    {
      test: "a token that expired is renewed unseen",
      because: "its tokens are used as they are: there is nothing to renew",
    },
    {
      test: "a refused credential is told once, what is up stays reachable, and a wake finds out that it works again",
      because: "its list does not say which apps are up: played below with one that was used",
    },
    {
      test: "300 apps cost two list calls a sweep at most, and 10,000 warm requests none",
      because: "its list does not say which apps are up: played below with apps that were used",
    },
  ],
});
