/** The provider `render` against the fake: the contract, and what only Render does. */

import { describe, expect, test } from "bun:test";
import { describeProvider, finish, patient, rejection, untilPhase } from "./contract/provider.ts";
import { answersHtml, answersText, appliesAndAnswers, resetsAfter } from "./fakes/fake-faults.ts";
import { densestOf } from "./fakes/fake-journal.ts";
import type { FakeRenderOptions } from "./fakes/fake-render.ts";
import { createFastClock } from "./support/fast-clock.ts";
import {
  listedPhaseOf,
  phaseOf,
  type RenderTest,
  sleepFully,
  startRender,
  wakeFully,
} from "./support/render-provider.ts";
import { until } from "./support/until.ts";

/** What the documents leave open: the provider must live with both. */
const MOODS: readonly (readonly [string, Partial<FakeRenderOptions>])[] = [
  ["at once", {}],
  ["late", { suspendMs: 3_000, resumeShowsMs: 6_000, deployShowsMs: 9_000 }],
  ["without a deploy", { makesDeployOnResume: false, repeats: "refused" }],
];

for (const [mood, options] of MOODS) {
  const makeProvider = async () => {
    const world = await startRender(options);
    const service = world.fake.addService("demo-app", { suspendedBy: "user" });
    return {
      provider: world.provider,
      appId: service.id,
      async [Symbol.asyncDispose]() {
        await world[Symbol.asyncDispose]();
        // Whoever wakes twice at once, past the core, resumes twice.
        expect(
          world.fake.violations.filter((what) => !what.includes("it is not suspended")),
        ).toEqual([]);
      },
    };
  };
  describeProvider(`render (${mood})`, makeProvider, { isConcurrent: true });
}

function deploysByResume({
  deploys,
}: {
  readonly deploys: readonly { trigger: string }[];
}): number {
  return deploys.filter(({ trigger }) => trigger === "service_resumed").length;
}

describe("render: discovery", () => {
  test("300 services cost three pages, and an empty one, none of them a look", async () => {
    await using world = await startRender();
    for (let n = 0; n < 300; n += 1) world.fake.addService(`app-number-${n}`);
    const listings = await world.provider.list(patient());
    expect(new Set(listings.map(({ id }) => id)).size).toBe(300);
    expect(listings.every(({ observation }) => observation?.phase === "awake")).toBe(true);
    expect(world.callsSince()).toEqual(Array.from({ length: 4 }, () => "services.list"));
    expect(world.fake.violations).toEqual([]);
  });

  test.each([20, 50, 25])("no service is lost when a page holds only %i", async (pageMax) => {
    await using world = await startRender({ pageMax });
    for (let n = 0; n < 120; n += 1) world.fake.addService(`app-number-${n}`);
    expect(await world.provider.list(patient())).toHaveLength(120);
    expect(world.fake.violations).toEqual([]);
  });

  test("what is no web service is left out; names with spaces make keys; the slug is an alias", async () => {
    await using world = await startRender();
    world.fake.addService("My Shop", { slug: "my-shop-ab12" });
    world.fake.addService("worker", { type: "background_worker" });
    world.fake.addService("site", { type: "static_site" });
    const listings = await world.provider.list(patient());
    expect(listings.map(({ key, aliases }) => [key, aliases])).toEqual([
      ["my-shop", ["my-shop-ab12"]],
    ]);
  });

  test("a free service is left to Render, but woken when somebody has suspended it", async () => {
    await using world = await startRender();
    const free = world.fake.addService("free-app", { plan: "free" });
    const suspended = world.fake.addService("suspended-app", { plan: "free", suspendedBy: "user" });
    const listings = await world.provider.list(patient());
    expect(listings.map(({ sleepsByItself }) => sleepsByItself)).toEqual([true, false]);
    const error = await rejection(world.provider.takeSnapshot(free.id, patient()));
    expect(error.message).toContain("by itself");
    await wakeFully(world, suspended);
    expect(suspended.isServing).toBe(true);
    expect(world.fake.violations).toEqual([]);
  });

  test("one that others have suspended is blocked, and why, and is not resumed", async () => {
    await using world = await startRender();
    const unpaid = world.fake.addService("unpaid-app", { suspendedBy: "billing" });
    const parent = world.fake.addService("parent-app");
    const preview = world.fake.addService("preview-app", { parent, suspendedBy: "parent_service" });
    const [, , listed] = await world.provider.list(patient());
    expect(listed?.observation?.phase).toBe("blocked");
    expect(listed?.observation?.reason).toContain("parent-app");
    for (const one of [unpaid, preview]) {
      expect(await phaseOf(world, one)).toBe("blocked");
      const error = await rejection(world.provider.wake(one.id, null, patient()));
      expect(error.kind).toBe("forbidden");
    }
    expect(world.fake.api.count("resume")).toBe(0);
    expect(world.fake.violations).toEqual([]);
  });

  test("one in maintenance is blocked, and why, suspended or not", async () => {
    await using world = await startRender();
    const up = world.fake.addService("up-app");
    const down = world.fake.addService("down-app", { suspendedBy: "user" });
    for (const app of [up, down]) {
      app.setMaintenance(true);
      const seen = await world.provider.observe(app.id, patient());
      expect([seen.phase, seen.reason]).toEqual([
        "blocked",
        expect.stringContaining("maintenance"),
      ]);
      expect(await listedPhaseOf(world, app)).toBe("blocked");
      const awake = await rejection(world.provider.wake(app.id, null, patient()));
      const asleep = await rejection(world.provider.takeSnapshot(app.id, patient()));
      expect([awake.kind, asleep.kind]).toEqual(["forbidden", "invalid"]);
    }
    expect(world.fake.api.count("suspend") + world.fake.api.count("resume")).toBe(0);
  });

  test("without a name on onrender.com it answers at a verified domain of its own", async () => {
    await using world = await startRender();
    const app = world.fake.addService("own-app");
    app.addDomain("old.own", { redirectsTo: "www.own" });
    app.addDomain("new.own", { isVerified: false });
    app.addDomain("www.own");
    app.disableSubdomain();
    const [listing] = await world.provider.list(patient());
    expect(listing?.observation).toBeNull();
    const seen = await world.provider.observe(app.id, patient());
    expect(seen.target?.host).toMatch(/^www\.own\.localhost:\d+$/);
    const [later] = await world.provider.list(patient());
    expect(later?.observation).toEqual({ phase: "awake", target: seen.target });
    expect(await wakeFully(world, app)).toEqual({ done: true, target: seen.target });
  });

  test("unknown fields and words do no harm", async () => {
    await using world = await startRender();
    const app = world.fake.addService("demo-app");
    world.fake.api.beStrange({ hasUnknownFields: true, words: { status: "hatching" } });
    expect(await world.provider.list(patient())).toHaveLength(1);
    const seen = await world.provider.observe(app.id, patient());
    expect([seen.phase, seen.reason]).toEqual([
      "unknown",
      "Render says of its newest deploy: hatching",
    ]);
    world.fake.api.beStrange({ words: { suspended: "frozen" } });
    expect(await phaseOf(world, app)).toBe("unknown");
    expect(await listedPhaseOf(world, app)).toBe("unknown");
  });
});

/** What was seen right before a suspend is fresh for 2 s: more than a busy machine takes for a few calls. */
const SLOWER = 8;

describe.concurrent("render: sleep and wake", () => {
  test("a sleep is one suspend in four calls, a wake one resume, which is one deploy; the size stays", async () => {
    await using world = await startRender({ clock: createFastClock(SLOWER) });
    const app = world.fake.addService("demo-app", { numInstances: 3 });
    await world.provider.list(patient());
    world.callsSince();
    await sleepFully(world, app);
    expect([app.isSuspended, app.isServing]).toEqual([true, false]);
    expect(world.callsSince().toSorted()).toEqual([
      "deploys.list",
      "services.read",
      "services.read",
      "suspend",
    ]);
    const step = await wakeFully(world, app);
    expect(step.target?.origin).toBe(app.address);
    expect([app.isServing, app.numInstances, deploysByResume(app)]).toEqual([true, 3, 1]);
    expect(world.fake.violations).toEqual([]);
  });

  test("a service that is being deployed is not suspended, nor one that comes back from a suspension", async () => {
    await using world = await startRender({ deployMs: 600_000 });
    const app = world.fake.addService("demo-app");
    app.beginDeploy();
    const deploying = await rejection(world.provider.takeSnapshot(app.id, patient()));
    expect(deploying.kind).toBe("busy");
    expect(deploying.message).toContain("is being deployed");
    app.endDeploy();
    app.suspend();
    app.resume();
    const waking = await rejection(world.provider.takeSnapshot(app.id, patient()));
    expect(waking.kind).toBe("busy");
    expect(world.fake.violations).toEqual([]);
  });

  test("a deploy that began after the snapshot was taken is not cut off", async () => {
    await using world = await startRender({ deployMs: 600_000 });
    const app = world.fake.addService("demo-app");
    const snapshot = await world.provider.takeSnapshot(app.id, patient());
    const takenMs = world.clock.now();
    app.beginDeploy();
    await until(() => world.clock.now() - takenMs > 2_000);
    const error = await rejection(world.provider.sleep(app.id, snapshot, patient()));
    expect(error.kind).toBe("busy");
    expect(world.fake.api.count("suspend")).toBe(0);
  });

  test("an earlier deploy that failed stops nothing: the version before it serves", async () => {
    await using world = await startRender();
    const app = world.fake.addService("demo-app");
    app.beginDeploy();
    app.endDeploy("build_failed");
    expect(await phaseOf(world, app)).toBe("awake");
    await sleepFully(world, app);
    await wakeFully(world, app);
    expect(app.isServing).toBe(true);
    expect(world.fake.violations).toEqual([]);
  });

  test.each(["build_failed", "update_failed"] as const)(
    "a resume whose deploy ends in %s fails at once, with that word, and is shown so by look and list",
    async (outcome) => {
      await using world = await startRender();
      const app = world.fake.addService("demo-app", { suspendedBy: "user" });
      app.nextDeploys(outcome);
      const error = await rejection(wakeFully(world, app));
      expect([error.kind, error.message.includes(outcome)]).toEqual(["failed", true]);
      const seen = await world.provider.observe(app.id, patient());
      expect([seen.phase, seen.reason?.includes(outcome)]).toEqual(["failed", true]);
      expect(await listedPhaseOf(world, app)).toBe("failed");
    },
  );

  test("a wake of what failed to come back says at once what to do, and makes no second deploy", async () => {
    await using world = await startRender();
    const app = world.fake.addService("demo-app", { suspendedBy: "user" });
    app.nextDeploys("build_failed");
    await rejection(wakeFully(world, app));
    world.callsSince();
    const error = await rejection(world.provider.wake(app.id, null, patient()));
    expect(error.kind).toBe("failed");
    expect(error.message).toContain("deploy it anew");
    expect(deploysByResume(app)).toBe(1);
    app.beginDeploy();
    await untilPhase(world.provider, app.id, "awake");
    await wakeFully(world, app);
    expect(await listedPhaseOf(world, app)).toBe("awake");
  });

  test("a service that was never deployed fails with that reason", async () => {
    await using world = await startRender({ makesDeployOnResume: false });
    const app = world.fake.addService("fresh-app", { isDeployed: false });
    expect(await phaseOf(world, app)).toBe("failed");
    const error = await rejection(world.provider.wake(app.id, null, patient()));
    expect(error.message).toContain("never deployed");
  });

  test("a resume that the platform takes a minute for is done when it is live, and not before", async () => {
    await using world = await startRender({ deployMs: 60_000 });
    const app = world.fake.addService("slow-app", { suspendedBy: "user" });
    await wakeFully(world, app);
    expect(app.isServing).toBe(true);
  });

  test("a word for the deploy that nobody knows is waited out, and then left to the app's own address", async () => {
    await using world = await startRender({ config: { operationTimeoutMs: 20_000 } });
    const app = world.fake.addService("odd-app", { suspendedBy: "user" });
    world.fake.api.beStrange({ words: { status: "hatching" } });
    const begunMs = world.clock.now();
    expect((await wakeFully(world, app)).target?.origin).toBe(app.address);
    expect(world.clock.now() - begunMs).toBeGreaterThan(19_000);
  });

  test("somebody who suspends it while it wakes ends the wake, and so does the platform", async () => {
    await using world = await startRender({ deployMs: 600_000 });
    const app = world.fake.addService("demo-app", { suspendedBy: "user" });
    const first = await world.provider.wake(app.id, null, patient());
    app.suspend();
    const byHand = await rejection(finish(world.provider, app.id, first));
    expect([byHand.kind, byHand.message.includes("suspended")]).toEqual(["failed", true]);
    app.resume();
    const second = await world.provider.wake(app.id, null, patient());
    app.suspend("billing");
    const byPlatform = await rejection(finish(world.provider, app.id, second));
    expect([byPlatform.kind, byPlatform.message.includes("billing")]).toEqual(["forbidden", true]);
  });

  test("of a deploy that goes on one call is made at a time", async () => {
    await using world = await startRender({ deployMs: 20_000 });
    const app = world.fake.addService("demo-app", { suspendedBy: "user" });
    await wakeFully(world, app);
    const kinds = world.callsSince();
    expect(kinds.slice(0, 3).toSorted()).toEqual(["deploys.list", "resume", "services.read"]);
    expect(kinds.filter((kind) => kind === "services.read")).toHaveLength(2);
  });

  test("a resume that is refused right after the suspend is only too early; later, it is refused", async () => {
    await using world = await startRender({ resumeRefusedMs: 600_000 });
    const app = world.fake.addService("demo-app");
    await sleepFully(world, app);
    const early = await rejection(world.provider.wake(app.id, null, patient()));
    expect(early.kind).toBe("busy");
    const beganMs = world.clock.now();
    await until(() => world.clock.now() - beganMs > 61_000);
    const late = await rejection(world.provider.wake(app.id, null, patient()));
    expect(late.kind).toBe("invalid");
  });

  test("one that was refused as too early is taken later", async () => {
    await using world = await startRender({ resumeRefusedMs: 20_000 });
    const app = world.fake.addService("demo-app");
    await sleepFully(world, app);
    const sleptMs = world.clock.now();
    expect((await rejection(world.provider.wake(app.id, null, patient()))).kind).toBe("busy");
    await until(() => world.clock.now() - sleptMs > 21_000);
    await wakeFully(world, app);
    expect(app.isServing).toBe(true);
  });

  test("a suspend that waits for its turn is called off, and is not sent", async () => {
    await using world = await startRender({ config: { callsPerMinute: 2 } });
    const app = world.fake.addService("demo-app");
    const snapshot = await world.provider.takeSnapshot(app.id, patient());
    const sleeping = rejection(world.provider.sleep(app.id, snapshot, patient()));
    world.provider.callOff?.(app.id);
    const error = await sleeping;
    expect([error.kind, error.isUncertain]).toEqual(["rate-limited", false]);
    expect(error.message).toContain("called off");
    expect(world.fake.api.count("suspend")).toBe(0);
  });

  test("a wake joins what somebody else has resumed, without a deploy of its own", async () => {
    await using world = await startRender({ deployMs: 20_000 });
    const app = world.fake.addService("demo-app", { suspendedBy: "user" });
    app.resume();
    await wakeFully(world, app);
    expect([app.isServing, deploysByResume(app)]).toEqual([true, 1]);
    expect(world.fake.api.count("resume")).toBe(0);
  });

  test("one that somebody resumes is not listed as up before it is", async () => {
    await using world = await startRender({ deployMs: 600_000 });
    const app = world.fake.addService("demo-app", { suspendedBy: "user" });
    expect(await listedPhaseOf(world, app)).toBe("asleep");
    app.resume();
    expect(await listedPhaseOf(world, app)).toBeNull();
    expect(await phaseOf(world, app)).toBe("waking");
    expect(await listedPhaseOf(world, app)).toBeNull();
    app.endDeploy();
    expect(await phaseOf(world, app)).toBe("awake");
    expect(await listedPhaseOf(world, app)).toBe("awake");
  });

  test("somebody who resumes it while it goes to sleep is heard", async () => {
    await using world = await startRender();
    const app = world.fake.addService("demo-app");
    const snapshot = await world.provider.takeSnapshot(app.id, patient());
    const first = await world.provider.sleep(app.id, snapshot, patient());
    app.resume();
    const error = await rejection(finish(world.provider, app.id, first));
    expect([error.kind, error.message.includes("not suspended")]).toEqual(["failed", true]);
  });

  test("an app that was deleted is not-found, whatever is asked", async () => {
    await using world = await startRender();
    const app = world.fake.addService("gone-app", { suspendedBy: "user" });
    await world.provider.list(patient());
    const first = await world.provider.wake(app.id, null, patient());
    world.fake.deleteService(app);
    const polled = await rejection(finish(world.provider, app.id, first));
    const looked = await rejection(world.provider.observe(app.id, patient()));
    expect([polled.kind, looked.kind]).toEqual(["not-found", "not-found"]);
    expect(looked.message).toContain("gone-app");
  });
});

describe.concurrent("render: when calls go wrong", () => {
  test.each(MOODS.slice(0, 2))(
    "a resume whose answer was lost makes exactly one deploy (shown %s)",
    async (_, options) => {
      await using world = await startRender(options);
      const app = world.fake.addService("lost-app", { suspendedBy: "user" });
      world.fake.api.fail("resume", resetsAfter());
      await wakeFully(world, app);
      expect([app.isServing, deploysByResume(app)]).toEqual([true, 1]);
      expect(world.fake.api.count("resume")).toBe(1);
      expect(world.fake.violations).toEqual([]);
    },
  );

  test("so does one that a gateway answered with an error after it was carried out", async () => {
    await using world = await startRender({ resumeShowsMs: 2_000, deployShowsMs: 4_000 });
    const app = world.fake.addService("lost-app", { suspendedBy: "user" });
    world.fake.api.fail("resume", appliesAndAnswers({ status: 502, body: "bad gateway" }));
    await wakeFully(world, app);
    expect([app.isServing, deploysByResume(app)]).toEqual([true, 1]);
  });

  test("a resume that never arrived is made once more, and no third time", async () => {
    await using world = await startRender();
    const app = world.fake.addService("lost-app", { suspendedBy: "user" });
    world.fake.api.fail("resume", answersText(502, "bad gateway"));
    await wakeFully(world, app);
    expect([app.isServing, deploysByResume(app)]).toEqual([true, 1]);
    expect(world.fake.api.count("resume")).toBe(2);
  });

  test("a suspend whose answer was lost is not made twice", async () => {
    await using world = await startRender({ suspendMs: 3_000, repeats: "refused" });
    const app = world.fake.addService("lost-app");
    world.fake.api.fail("suspend", resetsAfter());
    await sleepFully(world, app);
    expect([app.isSuspended, world.fake.api.count("suspend")]).toEqual([true, 1]);
  });

  test("a run that was killed right after its resume makes no second deploy in the next", async () => {
    await using world = await startRender({ resumeShowsMs: 5_000, deployShowsMs: 8_000 });
    const app = world.fake.addService("killed-app", { suspendedBy: "user" });
    const begunMs = world.clock.now();
    await world.provider.wake(app.id, null, patient());
    const next = world.startAnew();
    next.recallWake?.(app.id, begunMs);
    await finish(next, app.id, await next.wake(app.id, { kind: "none" }, patient()));
    expect([app.isServing, deploysByResume(app)]).toEqual([true, 1]);
    expect(world.fake.violations).toEqual([]);
  });

  test("a run that was killed before its resume is not waited for by the next for long", async () => {
    await using world = await startRender();
    const app = world.fake.addService("killed-app", { suspendedBy: "user" });
    world.provider.recallWake?.(app.id, world.clock.now());
    await wakeFully(world, app);
    expect([app.isServing, deploysByResume(app)]).toEqual([true, 1]);
    expect(world.fake.violations).toEqual([]);
  });

  test("a key that is refused says which variable has it, and does not show it", async () => {
    await using world = await startRender();
    const app = world.fake.addService("demo-app");
    world.fake.setAccepted(false);
    const error = await rejection(world.provider.observe(app.id, patient()));
    expect(error.kind).toBe("auth");
    expect(error.message).toContain("PROVIDER_RENDER_API_TOKEN");
    expect(JSON.stringify([world.lines, error.message])).not.toContain(world.fake.token);
  });

  test("an API that answers HTML, 500 or 503 is tried again, and then is unavailable", async () => {
    await using world = await startRender();
    const app = world.fake.addService("demo-app");
    world.fake.api.fail("services.read", answersHtml(503), 2);
    expect(await phaseOf(world, app)).toBe("awake");
    world.fake.api.fail("services.read", answersText(500, "oops"), 3);
    const error = await rejection(world.provider.observe(app.id, patient()));
    expect(error.kind).toBe("unavailable");
  });
});

describe.concurrent("render: limits", () => {
  test("a service's own ten changes a minute do not keep the account from being asked", async () => {
    await using world = await startRender({ changesPerMinute: 1 });
    const app = world.fake.addService("busy-app");
    const other = world.fake.addService("other-app", { suspendedBy: "user" });
    await sleepFully(world, app);
    const error = await rejection(world.provider.wake(app.id, null, patient()));
    expect(error.kind).toBe("busy");
    expect(error.retryAfterMs).toBeGreaterThan(1_000);
    expect(error.isUncertain).toBe(false);
    expect(await world.provider.list(patient())).toHaveLength(2);
    await wakeFully(world, other);
    expect(other.isServing).toBe(true);
  });

  test.each([true, false])(
    "the account's limit is obeyed for as long as it says (Retry-After: %p)",
    async (saysRetryAfter) => {
      await using world = await startRender({ readsPerMinute: 3, saysRetryAfter });
      world.fake.addService("demo-app");
      await Promise.allSettled(Array.from({ length: 8 }, () => world.provider.list(patient())));
      const { rateLimited } = world.fake;
      expect(rateLimited).toBeGreaterThan(0);
      const error = await rejection(world.provider.list(patient()));
      expect(error.kind).toBe("rate-limited");
      expect(error.retryAfterMs).toBeGreaterThan(10_000);
      expect(world.fake.rateLimited).toBe(rateLimited);
    },
  );

  test("a reset in seconds since the epoch is no pause of half a century", async () => {
    await using world = await startRender({
      readsPerMinute: 1,
      saysRetryAfter: false,
      resetIs: "epoch",
    });
    world.fake.addService("demo-app");
    await Promise.allSettled([world.provider.list(patient()), world.provider.list(patient())]);
    const error = await rejection(world.provider.list(patient()));
    expect(error.retryAfterMs).toBeLessThan(61_000);
  });

  test("our own calls stay below what PROVIDER_RENDER_CALLS_PER_MINUTE allows", async () => {
    await using world = await startRender({ config: { callsPerMinute: 60 } });
    const app = world.fake.addService("demo-app");
    const looks = Array.from({ length: 20 }, () => phaseOf(world, app));
    expect(await Promise.all(looks)).toEqual(Array.from({ length: 20 }, () => "awake"));
    // 30 at once, and one a second.
    expect(densestOf(world.fake.api.journal, 10_000)).toBeLessThanOrEqual(41);
  });
});

describe("render: the router's own pages", () => {
  const isDown = ({ provider }: RenderTest, answer: Response) =>
    provider.isDownAnswer?.(answer.status, (name) => answer.headers.get(name));

  test("what bears the router's mark is no answer of the app, whatever its status", async () => {
    await using world = await startRender();
    const suspended = world.fake.addService("down-app", { suspendedBy: "user" });
    const unpaid = world.fake.addService("unpaid-app", { suspendedBy: "billing" });
    const up = world.fake.addService("up-app");
    const nowhere = `http://nowhere.localhost:${world.fake.router.port}/`;
    expect(isDown(world, await fetch(suspended.address))).toBe(true);
    expect(isDown(world, await fetch(unpaid.address))).toBe(true);
    expect(isDown(world, await fetch(nowhere))).toBe(true);
    expect(isDown(world, await fetch(up.address))).toBe(false);
  });

  test("a mark on what the app itself answered well does not take it down", async () => {
    await using world = await startRender();
    const marked = (word: string) => (name: string) => (name === "x-render-routing" ? word : null);
    const { isDownAnswer } = world.provider;
    expect(isDownAnswer?.(200, marked("direct"))).toBe(false);
    expect(isDownAnswer?.(200, marked("suspend-by-user"))).toBe(true);
    expect(isDownAnswer?.(503, () => null)).toBe(false);
  });
});
