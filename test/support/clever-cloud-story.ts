/** The fake Clever Cloud, as the story of a platform needs it. */

import { createSystemClock } from "../../src/clock.ts";
import { type FakeCleverCloud, startFakeCleverCloud } from "../fakes/fake-clever-cloud.ts";
import type { CleverControl } from "../fakes/fake-clever-cloud-control.ts";
import { resetsAfter } from "../fakes/fake-faults.ts";
import type { StoryApp, StoryPlatform } from "./platform-story.ts";

/** More than any test makes. */
const MANY_CALLS = 1_000_000;

/** As an environment variable takes them: words without spaces. */
export const OAUTH = {
  consumerKey: "fake-consumer",
  consumerSecret: "consumer+secret/1",
  token: "fake-oauth-token",
  tokenSecret: "token=secret&2",
};

/** With short durations; the platform's limit and our own are out of the way. */
export async function startCleverCloudStory(): Promise<StoryPlatform> {
  const fake = await startFakeCleverCloud({
    clock: createSystemClock(),
    queueMs: 10,
    startMs: 50,
    stopMs: 20,
    oauth: OAUTH,
  });
  return {
    env: {
      PROVIDER_NAME: "clever-cloud",
      PROVIDER_CLEVER_CALLS_PER_MINUTE: String(MANY_CALLS),
      ...fake.environmentOf("oauth1"),
    },
    richFormation: { web: 3 },
    addApp(name, { web = 0 } = { web: 1 }) {
      const is = web === 0 ? "down" : "up";
      const app = fake.addApp(name, { is, minInstances: Math.max(1, web) });
      return storyAppOf(fake, app);
    },
    violations: fake.violations,
    get calls() {
      return {
        all: fake.count(),
        lists: fake.count("summary") + fake.count("apps.list"),
        writes: fake.count("start") + fake.count("stop"),
      };
    },
    loseNextWriteAnswer: () => fake.api.fail(({ method }) => method !== "GET", resetsAfter()),
    goDown: () => fake.api.goDown("refuse"),
    comeUp: () => fake.api.comeUp(),
    expireTokens: null,
    revoke: () => fake.revokeToken(),
    accept: () => fake.restoreToken(),
    refuseCalls: () => fake.setLimit(0),
    allowCalls: () => fake.setLimit(MANY_CALLS),
    get refusedCalls() {
      return fake.rateLimited;
    },
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

function storyAppOf(fake: FakeCleverCloud, app: CleverControl): StoryApp {
  return {
    key: app.name,
    get formation() {
      return { web: app.serving };
    },
    get requests() {
      return fake.appRequests(app);
    },
    beginDeploy: () => app.beginDeploy(),
    endDeploy: () => app.finishDeploy(),
    failNextWake: () => app.failNextStart(),
    rename: (name) => app.rename(name),
    delete: () => fake.deleteApp(app),
  };
}
