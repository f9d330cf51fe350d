/** The fake Scalingo, as the story of a platform needs it. */

import { createSystemClock } from "../../src/clock.ts";
import { resetsAfter } from "../fakes/fake-faults.ts";
import { startFakeScalingo } from "../fakes/fake-scalingo.ts";
import type { ScalingoControl } from "../fakes/fake-scalingo-control.ts";
import type { StoryApp, StoryPlatform } from "./platform-story.ts";

/** More than any test makes. */
const MANY_CALLS = 1_000_000;

/** With short durations, and room for all calls: the platform's limit and our own are out of the way. */
export async function startScalingoStory(): Promise<StoryPlatform> {
  const fake = await startFakeScalingo({
    clock: createSystemClock(),
    bootMs: 50,
    stopMs: 20,
    pendingMs: 10,
    requestsPerWindow: MANY_CALLS,
  });
  const apiToken = fake.apiToken;
  return {
    env: {
      PROVIDER_NAME: "scalingo",
      PROVIDER_SCALINGO_API_TOKEN: apiToken,
      PROVIDER_SCALINGO_API_URL: fake.apiUrl,
      PROVIDER_SCALINGO_AUTH_URL: fake.authUrl,
      PROVIDER_SCALINGO_CALLS_PER_MINUTE: String(MANY_CALLS),
    },
    richFormation: { web: 2, worker: 3, clock: 0 },
    addApp(name, formation = { web: 1 }) {
      const app = fake.addApp(name, { formation });
      return storyAppOf(app, {
        requests: () => fake.appRequests(app),
        delete: () => fake.deleteApp(app),
      });
    },
    violations: fake.violations,
    get calls() {
      return {
        all: fake.api.count(),
        lists: fake.api.count("apps.list"),
        writes: fake.api.count("scale") + fake.api.count("restart"),
      };
    },
    loseNextWriteAnswer: () => fake.api.fail("scale", resetsAfter()),
    async goDown() {
      await fake.api.goDown("refuse");
      await fake.auth.goDown("refuse");
    },
    async comeUp() {
      await fake.api.comeUp();
      await fake.auth.comeUp();
    },
    expireTokens: () => fake.expireBearers(),
    revoke: () => fake.setApiToken(null),
    accept: () => fake.setApiToken(apiToken),
    refuseCalls: () => fake.setRequestsPerWindow(0),
    allowCalls: () => fake.setRequestsPerWindow(MANY_CALLS),
    get refusedCalls() {
      return fake.rateLimited;
    },
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

function storyAppOf(
  app: ScalingoControl,
  platform: { readonly requests: () => number; readonly delete: () => void },
): StoryApp {
  return {
    key: app.name,
    get formation() {
      return app.amounts;
    },
    get requests() {
      return platform.requests();
    },
    beginDeploy: () => app.beginDeploy("building"),
    endDeploy: () => app.finishDeploy(),
    failNextWake: () => app.nextBoots({ outcome: "error" }),
    rename: (name) => app.rename(name),
    delete: platform.delete,
  };
}
