/** The fake Fly.io, as the story of a platform needs it. */

import { createSystemClock } from "../../src/clock.ts";
import { resetsAfter } from "../fakes/fake-faults.ts";
import { type FakeFly, type FakeFlyOptions, startFakeFly } from "../fakes/fake-fly.ts";
import type { FlyControl } from "../fakes/fake-fly-control.ts";
import type { StoryApp, StoryPlatform } from "./platform-story.ts";

/** More than any test makes. */
const MANY_CALLS = 1_000_000;

/** A story's platform, and the fake itself for what only Fly.io does. */
export interface FlyStory extends StoryPlatform {
  readonly fake: FakeFly;
}

/** With short durations, and the platform's true limits, but for our own. Every app has a spare that is down. */
export async function startFlyStory(options: Partial<FakeFlyOptions> = {}): Promise<FlyStory> {
  const fake = await startFakeFly({
    ...{ clock: createSystemClock(), bootMs: 50, stopMs: 20, suspendMs: 20, listenMs: 30 },
    ...options,
  });
  return {
    fake,
    env: {
      PROVIDER_NAME: "fly",
      PROVIDER_FLY_API_TOKEN: `FlyV1 ${fake.token}`,
      PROVIDER_FLY_API_URL: fake.apiUrl,
      PROVIDER_FLY_APP_URL: fake.appUrl,
      PROVIDER_FLY_CALLS_PER_MINUTE: String(MANY_CALLS),
    },
    // Each machine is a call of its own: what several of them make is played besides.
    richFormation: { web: 1 },
    addApp(name, { web = 0 } = { web: 1 }) {
      const up = Array.from({ length: web }, () => ({ state: "started" }) as const);
      const down = Array.from({ length: web === 0 ? 2 : 1 }, () => ({ state: "stopped" }) as const);
      const app = fake.addApp(name, { machines: [...up, ...down] });
      return storyAppOf(app, () => fake.deleteApp(app));
    },
    violations: fake.violations,
    get calls() {
      return {
        all: fake.api.count(),
        lists: fake.api.count("apps.list"),
        // What somebody's lease refuses changes nothing.
        writes: fake.api.journal.filter(({ method, status }) => method !== "GET" && status !== 409)
          .length,
      };
    },
    loseNextWriteAnswer: () => fake.api.fail(({ method }) => method !== "GET", resetsAfter()),
    goDown: () => fake.api.goDown("refuse"),
    comeUp: () => fake.api.comeUp(),
    expireTokens: null,
    revoke: () => fake.setAccepted(false),
    accept: () => fake.setAccepted(true),
    refuseCalls: () => fake.setFull(true),
    allowCalls: () => fake.setFull(false),
    get refusedCalls() {
      return fake.rateLimited;
    },
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

function storyAppOf(app: FlyControl, remove: () => void): StoryApp {
  return {
    key: app.name,
    get formation() {
      return { web: app.states.filter((state) => state === "started").length };
    },
    get requests() {
      return app.requests;
    },
    beginDeploy: () => app.beginDeploy(),
    endDeploy: () => app.endDeploy(),
    failNextWake: () => app.nextBoots(0, { outcome: "crashes" }),
    delete: remove,
  };
}
