/** The fake Heroku, as the story of a platform needs it. */

import { createSystemClock } from "../../src/clock.ts";
import { resetsAfter } from "../fakes/fake-faults.ts";
import { type FakeHeroku, type FakeHerokuOptions, startFakeHeroku } from "../fakes/fake-heroku.ts";
import type { HerokuControl } from "../fakes/fake-heroku-control.ts";
import type { StoryApp, StoryPlatform } from "./platform-story.ts";

/** More than any test makes. */
const MANY_CALLS = 1_000_000;

/** A story's platform, and the fake itself for what only Heroku does. */
export interface HerokuStory extends StoryPlatform {
  readonly fake: FakeHeroku;
}

/** With short durations, and room for all calls: the platform's limit and our own are out of the way. */
export async function startHerokuStory(
  options: Partial<FakeHerokuOptions> = {},
): Promise<HerokuStory> {
  const fake = await startFakeHeroku({
    ...{ clock: createSystemClock(), bootMs: 50, stopMs: 20, appearMs: 10 },
    ...{ quota: MANY_CALLS, ...options },
  });
  return {
    fake,
    env: {
      PROVIDER_NAME: "heroku",
      PROVIDER_HEROKU_API_TOKEN: fake.token,
      PROVIDER_HEROKU_API_URL: fake.apiUrl,
      PROVIDER_HEROKU_CALLS_PER_MINUTE: String(MANY_CALLS),
    },
    richFormation: { web: 2, worker: 3, clock: 0 },
    addApp(name, formation = { web: 1 }) {
      const app = fake.addApp(name, { formation });
      return storyAppOf(app, () => fake.deleteApp(app));
    },
    violations: fake.violations,
    get calls() {
      return {
        all: fake.api.count(),
        lists: fake.api.count("apps.list"),
        writes: fake.api.count("scale"),
      };
    },
    loseNextWriteAnswer: () => fake.api.fail("scale", resetsAfter()),
    goDown: () => fake.api.goDown("refuse"),
    comeUp: () => fake.api.comeUp(),
    expireTokens: null,
    revoke: () => fake.revokeToken(),
    accept: () => fake.acceptToken(),
    refuseCalls: () => fake.setQuota(0, 0),
    allowCalls: () => fake.setQuota(MANY_CALLS, 75),
    get refusedCalls() {
      return fake.rateLimited;
    },
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

function storyAppOf(app: HerokuControl, remove: () => void): StoryApp {
  return {
    key: app.name,
    get formation() {
      return app.quantities;
    },
    get requests() {
      return app.requests;
    },
    beginDeploy: () => app.beginDeploy(),
    endDeploy: () => app.finishDeploy(),
    failNextWake: () => app.nextBoots({ outcome: "crashes" }),
    rename: (name) => app.rename(name),
    delete: remove,
  };
}
