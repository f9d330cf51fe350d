/** The fake Upsun, as the story of a platform needs it. */

import { createSystemClock } from "../../src/clock.ts";
import { resetsAfter } from "../fakes/fake-faults.ts";
import { type FakeUpsun, type FakeUpsunOptions, startFakeUpsun } from "../fakes/fake-upsun.ts";
import type { UpsunControl } from "../fakes/fake-upsun-control.ts";
import type { StoryApp, StoryPlatform } from "./platform-story.ts";

/** More than any test makes. */
const MANY_CALLS = 1_000_000;

/** A story's platform, and the fake itself for what only Upsun does. */
export interface UpsunStory extends StoryPlatform {
  readonly fake: FakeUpsun;
}

/** With short durations, and room for all calls: our own limit is out of the way. */
export async function startUpsunStory(
  options: Partial<FakeUpsunOptions> = {},
): Promise<UpsunStory> {
  const fake = await startFakeUpsun({
    ...{ clock: createSystemClock(), pendingMs: 10, activityMs: 50 },
    ...options,
  });
  return {
    fake,
    env: {
      PROVIDER_NAME: "upsun",
      PROVIDER_UPSUN_API_TOKEN: fake.apiToken,
      PROVIDER_UPSUN_API_URL: fake.apiUrl,
      PROVIDER_UPSUN_AUTH_URL: fake.authUrl,
      PROVIDER_UPSUN_CALLS_PER_MINUTE: String(MANY_CALLS),
    },
    richFormation: { web: 3 },
    addApp(name, { web = 0 } = { web: 1 }) {
      const condition = web === 0 ? "paused" : "active";
      const app = fake.addEnvironment(name, { condition, instances: Math.max(1, web) });
      return storyAppOf(app, () => fake.deleteEnvironment(app));
    },
    violations: fake.violations,
    get calls() {
      return {
        all: fake.api.count(),
        lists: fake.api.count("environments.list"),
        writes: fake.api.journal.filter(({ method }) => method !== "GET").length,
      };
    },
    loseNextWriteAnswer: () => fake.api.fail(({ method }) => method !== "GET", resetsAfter()),
    async goDown() {
      await fake.api.goDown("refuse");
      await fake.auth.goDown("refuse");
    },
    async comeUp() {
      await fake.api.comeUp();
      await fake.auth.comeUp();
    },
    expireTokens: () => fake.expireBearers(),
    revoke: () => fake.setAccepted(false),
    accept: () => fake.setAccepted(true),
    refuseCalls: () => fake.setCallsPerMinute(0),
    allowCalls: () => fake.setCallsPerMinute(MANY_CALLS),
    get refusedCalls() {
      return fake.rateLimited;
    },
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

function storyAppOf(app: UpsunControl, remove: () => void): StoryApp {
  return {
    key: app.branch,
    get formation() {
      return { web: app.condition === "active" ? app.instances : 0 };
    },
    get requests() {
      return app.requests;
    },
    beginDeploy: () => app.beginActivity(),
    endDeploy: () => app.endActivity(),
    failNextWake: () => app.nextActivities("failure"),
    delete: remove,
  };
}
