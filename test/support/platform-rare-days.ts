/** Days that are rarely tried, played through the compiled program against a platform's fake. */

import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import {
  platformTest,
  type SkippedStory,
  SOON,
  type StoryPlatform,
  untilAsleep,
} from "./platform-story.ts";
import { eventually, makeFolder, type RunningPaastis, startPaastis } from "./start-paastis.ts";

const EVERY_SECOND = "* * * * * *";
/** New Year: what is found out is found out by a request. */
const NEVER = "0 0 1 1 *";

type Env = Readonly<Record<string, string>>;

interface Told {
  readonly platform: StoryPlatform;
  /** Starts the program; again in the same folder where one is given. */
  start(env: Env, folder?: string): Promise<RunningPaastis>;
}

const DAYS: Readonly<Record<string, (told: Told) => Promise<void>>> = {
  "a deployment that begins while an app sleeps is joined by who asks for it": joinsDeployment,
  "an app that is renamed while it is asked for all the time fails nobody": rename,
  "all that was stored is lost: a wake brings back web, one of it, and nothing else": lostStore,
};

/**
 * Plays every day, each with a platform and a program of its own.
 * @param name comes first in the name of each test
 * @throws Error when `skip` names a day that does not exist
 */
export function describeRareDays(
  name: string,
  makePlatform: () => Promise<StoryPlatform>,
  options: { readonly skip?: readonly SkippedStory[] } = {},
): void {
  const unused = new Map(options.skip?.map((entry) => [entry.test, entry.because]));
  for (const [what, play] of Object.entries(DAYS)) {
    const because = unused.get(what);
    unused.delete(what);
    const playHere = async () => {
      await using platform = await makePlatform();
      const start = (env: Env, folder = makeFolder()) =>
        startPaastis({
          config: "",
          env: { LOGGING_LEVEL: "debug", ...platform.env, ...env },
          folder,
        });
      await play({ platform, start });
      expect(platform.violations).toEqual([]);
    };
    if (because === undefined) platformTest(`${name}: ${what}`, playHere);
    // A plain skip would divide those that are played at the same time.
    else test.concurrent.skip(`${name}: ${what} (${because})`, playHere);
  }
  if (unused.size > 0) throw new Error(`no such day: ${[...unused.keys()].join(", ")}`);
}

async function statusOf(paastis: RunningPaastis, key: string): Promise<number> {
  const answer = await paastis.get(key);
  await answer.arrayBuffer();
  return answer.status;
}

/** The fakes call a second deployment, and a stop under one, a violation. */
async function joinsDeployment({ platform, start }: Told): Promise<void> {
  const app = platform.addApp("asleep-app", { web: 0 });
  await using paastis = await start({ START_AND_STOP_CHECKING_INTERVAL_CRON: NEVER });
  await paastis.untilEvent(app.key, "APP_DISCOVERED");
  app.beginDeploy();
  const before = platform.calls.all;
  const asked = Promise.all(Array.from({ length: 20 }, () => statusOf(paastis, app.key)));
  await eventually("its platform was asked", () => platform.calls.all > before);
  app.endDeploy();
  expect((await asked).filter((status) => status !== 200)).toEqual([]);
  expect(platform.calls.writes).toBeLessThanOrEqual(1);
}

async function rename({ platform, start }: Told): Promise<void> {
  const app = platform.addApp("old-name");
  await using paastis = await start({ START_AND_STOP_CHECKING_INTERVAL_CRON: EVERY_SECOND });
  await eventually("it is served", async () => (await statusOf(paastis, "old-name")) === 200);
  let isOver = false;
  const ask = async (key: string) => {
    const answers = new Set<string>();
    while (!isOver) {
      const answer = await paastis.get(key);
      await answer.arrayBuffer();
      answers.add(`${answer.status} ${answer.headers.get("paastis-error") ?? "of the app"}`);
    }
    return answers;
  };
  const [old, renamed] = [ask("old-name"), ask("new-name")];
  app.rename?.("new-name");
  await eventually("its new name", async () => (await statusOf(paastis, "new-name")) === 200);
  await eventually("no old name", async () => (await statusOf(paastis, "old-name")) === 404);
  isOver = true;
  const answers = new Set([...(await old), ...(await renamed)]);
  expect([...answers].toSorted()).toEqual(["200 of the app", "404 unknown_app"]);
  expect(platform.calls.writes).toBe(0);
  expect(paastis.events("new-name")).not.toContain("APP_START_FAILED");
}

async function lostStore({ platform, start }: Told): Promise<void> {
  const app = platform.addApp("lost-app", platform.richFormation);
  const folder = makeFolder();
  {
    await using paastis = await start(SOON, folder);
    expect(await statusOf(paastis, app.key)).toBe(200);
    await untilAsleep(paastis, app.key);
  }
  rmSync(join(folder, ".paastis"), { recursive: true });
  await using paastis = await start({}, folder);
  await paastis.untilEvent(app.key, "APP_DISCOVERED");
  expect(await statusOf(paastis, app.key)).toBe(200);
  const nothing = Object.keys(platform.richFormation).map((type) => [type, 0]);
  expect(app.formation).toEqual({ ...Object.fromEntries(nothing), web: 1 });
}
