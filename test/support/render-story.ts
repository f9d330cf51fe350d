/** The fake Render, as the story of a platform needs it. */

import { createSystemClock } from "../../src/clock.ts";
import { resetsAfter } from "../fakes/fake-faults.ts";
import { type FakeRender, type FakeRenderOptions, startFakeRender } from "../fakes/fake-render.ts";
import type { RenderControl } from "../fakes/fake-render-control.ts";
import type { StoryApp, StoryPlatform } from "./platform-story.ts";

/** More than any test makes. */
const MANY_CALLS = 1_000_000;

/** A story's platform, and the fake itself for what only Render does. */
export interface RenderStory extends StoryPlatform {
  readonly fake: FakeRender;
}

/** With short durations, and room for all calls: the platform's limit and our own are out of the way. */
export async function startRenderStory(
  options: Partial<FakeRenderOptions> = {},
): Promise<RenderStory> {
  const fake = await startFakeRender({
    ...{ clock: createSystemClock(), deployMs: 50, spinUpMs: 50 },
    ...{ readsPerMinute: MANY_CALLS, changesPerMinute: MANY_CALLS, ...options },
  });
  return {
    fake,
    env: {
      PROVIDER_NAME: "render",
      PROVIDER_RENDER_API_TOKEN: fake.token,
      PROVIDER_RENDER_API_URL: fake.apiUrl,
      PROVIDER_RENDER_CALLS_PER_MINUTE: String(MANY_CALLS),
    },
    richFormation: { web: 3 },
    addApp(name, { web = 0 } = { web: 1 }) {
      const down = web === 0 ? ({ suspendedBy: "user" } as const) : {};
      const app = fake.addService(name, { numInstances: Math.max(1, web), ...down });
      return storyAppOf(app, () => fake.deleteService(app));
    },
    violations: fake.violations,
    get calls() {
      return {
        all: fake.api.count(),
        lists: fake.api.count("services.list"),
        writes: fake.api.count("suspend") + fake.api.count("resume"),
      };
    },
    loseNextWriteAnswer: () => fake.api.fail(({ method }) => method === "POST", resetsAfter()),
    goDown: () => fake.api.goDown("refuse"),
    comeUp: () => fake.api.comeUp(),
    expireTokens: null,
    revoke: () => fake.setAccepted(false),
    accept: () => fake.setAccepted(true),
    refuseCalls: () => fake.setReadsPerMinute(0),
    allowCalls: () => fake.setReadsPerMinute(MANY_CALLS),
    get refusedCalls() {
      return fake.rateLimited;
    },
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

function storyAppOf(app: RenderControl, remove: () => void): StoryApp {
  return {
    get key() {
      return app.name;
    },
    get formation() {
      return { web: app.isServing ? app.numInstances : 0 };
    },
    get requests() {
      return app.requests;
    },
    beginDeploy: () => app.beginDeploy("hangs"),
    endDeploy: () => app.endDeploy(),
    failNextWake: () => app.nextDeploys("build_failed"),
    rename: (name) => app.rename(name),
    delete: remove,
  };
}
