/** Scalingo, from the first list call to the last, through the compiled program. */

import { expect } from "bun:test";
import { createSystemClock } from "../../src/clock.ts";
import { answersText } from "../fakes/fake-faults.ts";
import {
  type FakeScalingo,
  type FakeScalingoOptions,
  startFakeScalingo,
} from "../fakes/fake-scalingo.ts";
import { within } from "../support/pace.ts";
import { describeRareDays } from "../support/platform-rare-days.ts";
import { describeStory, platformTest, SOON, untilAsleep } from "../support/platform-story.ts";
import { startScalingoStory } from "../support/scalingo-story.ts";
import {
  eventually,
  type LogLine,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";
import { until } from "../support/until.ts";

const MANY_CALLS = 1_000_000;
/** New Year: no sweep comes in between. */
const NEVER = "0 0 1 1 *";

function startFake(options: Partial<FakeScalingoOptions> = {}): Promise<FakeScalingo> {
  return startFakeScalingo({
    ...{ bootMs: 50, stopMs: 20, pendingMs: 10, requestsPerWindow: MANY_CALLS },
    ...options,
    clock: createSystemClock(),
  });
}

/** @param more variables beside the account, and the folder of an earlier run */
function start(
  fake: FakeScalingo,
  { folder, ...more }: Readonly<Record<string, string>> = {},
): Promise<RunningPaastis> {
  const env = {
    PROVIDER_NAME: "scalingo",
    PROVIDER_SCALINGO_API_TOKEN: fake.apiToken,
    PROVIDER_SCALINGO_API_URL: fake.apiUrl,
    PROVIDER_SCALINGO_AUTH_URL: fake.authUrl,
    PROVIDER_SCALINGO_CALLS_PER_MINUTE: String(MANY_CALLS),
    LOGGING_LEVEL: "debug",
    ...more,
  };
  return startPaastis({ config: "", env, ...(folder === undefined ? {} : { folder }) });
}

async function statusOf(paastis: RunningPaastis, key: string): Promise<number> {
  const answer = await paastis.get(key);
  await answer.arrayBuffer();
  return answer.status;
}

async function sweeps(paastis: RunningPaastis, count: number): Promise<void> {
  const from = paastis.lines.length;
  const seen = () => paastis.lines.slice(from).filter(({ msg }) => msg === "swept").length;
  await eventually(`${count} sweeps`, () => seen() >= count);
}

platformTest(
  "scalingo: a region that is away from the start hides no other's apps, and its own come back just as they were",
  async () => {
    const regions = ["osc-fr1", "osc-secnum-fr1"];
    await using fake = await startFake({ regions });
    fake.addApp("first-app");
    const asleep = fake.addApp("second-app", {
      region: "osc-secnum-fr1",
      formation: { web: 2, worker: 3, clock: 0 },
    });
    const folder = makeFolder();
    const env = { PROVIDER_REGION: regions.join(","), folder };
    {
      await using before = await start(fake, { ...env, ...SOON });
      expect(await statusOf(before, "second-app")).toBe(200);
      await untilAsleep(before, "second-app");
    }
    fake.api.fail(
      ({ host }) => host === "api.osc-secnum-fr1.localhost",
      answersText(503, "we are away"),
      Number.POSITIVE_INFINITY,
    );
    await using paastis = await start(fake, { ...env, HOLD_MAX_MS: "500" });
    await eventually("it is served", async () => (await statusOf(paastis, "first-app")) === 200);
    // Of the region's list, or of its API, whichever notices first.
    const isAbout = ({ api, region }: LogLine) =>
      region === "osc-secnum-fr1" || String(api).includes("osc-secnum-fr1");
    const isTold = (line: LogLine) => line.level !== "debug" && isAbout(line);
    await paastis.untilLine(isTold);
    await sweeps(paastis, 4);
    expect(await statusOf(paastis, "first-app")).toBe(200);
    expect(await statusOf(paastis, "second-app")).toBe(503);
    const told = paastis.lines.filter(isTold);
    expect(told.map(({ level }) => level)).toEqual(["warn"]);
    expect(paastis.events("second-app")).not.toContain("APP_UNREGISTERED");
    fake.api.heal();
    await eventually("it is back", async () => (await statusOf(paastis, "second-app")) === 200);
    expect(asleep.amounts).toEqual({ web: 2, worker: 3, clock: 0 });
    expect(fake.violations).toEqual([]);
  },
);

platformTest(
  "scalingo: an app that has crashed for good is restarted by the next request, once, and just as it was",
  async () => {
    await using fake = await startFake({ bootMs: 300 });
    const app = fake.addApp("crashed-app", { formation: { web: 2, worker: 1, clock: 0 } });
    await using paastis = await start(fake, { START_AND_STOP_CHECKING_INTERVAL_CRON: NEVER });
    await paastis.untilEvent("crashed-app", "APP_DISCOVERED");
    expect(await statusOf(paastis, "crashed-app")).toBe(200);
    app.crash();
    const requests = Array.from({ length: 50 }, () => statusOf(paastis, "crashed-app"));
    expect((await Promise.all(requests)).filter((status) => status !== 200)).toEqual([]);
    expect(app.status).toBe("running");
    expect(app.amounts).toEqual({ web: 2, worker: 1, clock: 0 });
    expect([fake.api.count("restart"), fake.api.count("scale")]).toEqual([1, 0]);
    const { lines } = paastis;
    const wake = lines.filter(({ event }) => event === "APP_WAKING" || event === "APP_STARTED");
    expect(wake.map(({ event }) => event)).toEqual(["APP_WAKING", "APP_STARTED"]);
    expect(fake.violations).toEqual([]);
  },
);

// A second scale to the same amounts is refused as no change, or as the app is busy: neither starts anything anew.
platformTest(
  "scalingo: kill -9 right after the start was ordered: the next run joins it, and the formation is back just as it was",
  async () => {
    await using fake = await startFake({ bootMs: 2_000, pendingMs: 500 });
    const formation = { web: 2, worker: 3, clock: 0 };
    const app = fake.addApp("killed-app", { formation });
    const folder = makeFolder();
    const first = await start(fake, { ...SOON, folder });
    expect(await statusOf(first, "killed-app")).toBe(200);
    await untilAsleep(first, "killed-app");
    const scales = fake.api.count("scale");
    void first.get("killed-app").catch(() => undefined);
    await until(() => fake.api.count("scale") > scales);
    first.signal("SIGKILL");
    await first.ended;
    const booting = app.containers.map(({ id }) => id);
    expect(booting).toHaveLength(5);
    await using paastis = await start(fake, { folder });
    expect(await statusOf(paastis, "killed-app")).toBe(200);
    expect([app.amounts, app.containers.map(({ id }) => id)]).toEqual([formation, booting]);
    expect(fake.violations).toEqual([]);
  },
);

platformTest(
  "scalingo: who asks for an app that has nothing to wake is told why, at once, and however often a sweep comes",
  async () => {
    await using fake = await startFake();
    fake.addApp("fresh-app", { isDeployed: false });
    fake.addApp("worker-app", { formation: { worker: 0 } });
    fake.addApp("working-app", { formation: { worker: 1 } });
    await using paastis = await start(fake);
    await paastis.untilEvent("working-app", "APP_REGISTERED");
    const reasons = {
      "fresh-app": "it was never deployed",
      "worker-app": 'has no process type "web"',
      "working-app": "no container of the type web",
    };
    for (const [key, reason] of Object.entries(reasons)) {
      const fromMs = performance.now();
      const answer = await paastis.get(key);
      expect([answer.status, answer.headers.get("paastis-error")]).toEqual([503, "app_failed"]);
      expect(await answer.json()).toMatchObject({ reason: expect.stringContaining(reason) });
      expect(performance.now() - fromMs).toBeLessThan(within(8_000));
    }
    await sweeps(paastis, 3);
    expect(paastis.events("fresh-app")).not.toContain("APP_STARTED");
    expect([fake.api.count("scale"), fake.api.count("restart")]).toEqual([0, 0]);
    expect(fake.violations).toEqual([]);
  },
);

// After those above, some of which take longer.

describeRareDays("scalingo", startScalingoStory);

describeStory("scalingo", startScalingoStory);
