/** The provider `upsun` against the fake: the contract, and what only Upsun does. */

import { describe, expect, test } from "bun:test";
import { describeProvider, finish, patient, rejection } from "./contract/provider.ts";
import { answersHtml, answersText, resetsAfter } from "./fakes/fake-faults.ts";
import type { FakeUpsunOptions } from "./fakes/fake-upsun.ts";
import type { NewEnvironment } from "./fakes/fake-upsun-control.ts";
import { createFastClock } from "./support/fast-clock.ts";
import { until } from "./support/until.ts";
import { phaseOf, sleepFully, startUpsun, wakeFully } from "./support/upsun-provider.ts";

/** What the documents leave open: the provider must live with both. */
const MOODS: readonly (readonly [string, Partial<FakeUpsunOptions>])[] = [
  ["talkative", {}],
  [
    "terse",
    {
      ...{ embedsActivities: false, hasPublicUrl: false, showsDirty: false, errorForm: "account" },
      ...{ statusLagMs: 4_000, repeats: "accepted" },
    },
  ],
  ["without links", { hasLinks: false, statusLagMs: 2_000 }],
];

for (const [mood, options] of MOODS) {
  const makeProvider = async () => {
    const world = await startUpsun(options);
    const environment = world.fake.addEnvironment("pr-12", { condition: "paused" });
    return {
      provider: world.provider,
      appId: environment.id,
      async [Symbol.asyncDispose]() {
        await world[Symbol.asyncDispose]();
        expect(world.fake.violations).toEqual([]);
      },
    };
  };
  describeProvider(`upsun (${mood})`, makeProvider, { isConcurrent: true });
}

describe("upsun: discovery", () => {
  test("300 environments of three projects cost a call per project, and those of the account now and then", async () => {
    await using world = await startUpsun();
    for (let n = 0; n < 300; n += 1) {
      world.fake.addEnvironment(`pr-${n}`, { project: `project${n % 3}` });
    }
    const listings = await world.provider.list(patient());
    expect(new Set(listings.map(({ id }) => id)).size).toBe(300);
    expect(listings.every(({ observation }) => observation?.phase === "awake")).toBe(true);
    const perProject = Array.from({ length: 3 }, () => "environments.list");
    const once = ["users.me", "organizations.list", "projects.list"];
    expect(world.callsSince()).toEqual([...once, ...perProject]);
    await world.provider.list(patient());
    expect(world.callsSince()).toEqual(perProject);
    expect(world.fake.auth.count()).toBe(1);
    expect(world.fake.violations).toEqual([]);
  });

  test("projects that are named are not looked for", async () => {
    await using world = await startUpsun({ config: { projects: ["mine"] } });
    world.fake.addEnvironment("pr-1", { project: "mine" });
    world.fake.addEnvironment("pr-2", { project: "other" });
    expect((await world.provider.list(patient())).map(({ key }) => key)).toEqual(["pr-1"]);
    expect(world.callsSince()).toEqual(["environments.list"]);
  });

  test("no page of organizations or projects is left out", async () => {
    await using world = await startUpsun({ pageMax: 2 });
    for (let n = 0; n < 15; n += 1) {
      const organization = `org-${n % 3}`;
      world.fake.addEnvironment("main", { project: `project${n}`, organization });
    }
    expect(await world.provider.list(patient())).toHaveLength(15);
    expect(world.fake.violations).toEqual([]);
  });

  test("a branch of one name in two projects has a key that is unique besides; slashes are no matter", async () => {
    await using world = await startUpsun();
    const one = world.fake.addEnvironment("feature/Été", { project: "aaa" });
    world.fake.addEnvironment("feature/Été", { project: "bbb" });
    const listings = await world.provider.list(patient());
    expect(listings.map(({ key }) => key)).toEqual(["feature-ete", "feature-ete"]);
    const aliases = listings.flatMap((listing) => listing.aliases ?? []);
    expect(new Set(aliases).size).toBe(2);
    expect(aliases.every((alias) => /^[a-z0-9-]+$/.test(alias))).toBe(true);
    expect(listings.map(({ label }) => label)).toEqual([
      "feature-ete in aaa",
      "feature-ete in bbb",
    ]);
    await sleepFully(world, one);
    expect(one.condition).toBe("paused");
    expect(world.fake.violations).toEqual([]);
  });

  test.each<[string, NewEnvironment, string]>([
    ["production", { type: "production" }, "production"],
    ["paused production", { type: "production", condition: "paused" }, "production"],
    ["inactive", { condition: "inactive" }, "not deployed"],
    ["without #pause", { canPause: false }, "does not offer"],
  ])("an environment that is %s is left alone, and why", async (_, options, why) => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("main", options);
    const [listing] = await world.provider.list(patient());
    expect(listing?.observation).toMatchObject({
      phase: "unmanaged",
      reason: expect.stringContaining(why),
    });
    expect(await phaseOf(world, environment)).toBe("unmanaged");
    const asleep = await rejection(world.provider.takeSnapshot(environment.id, patient()));
    expect([asleep.kind, asleep.message]).toEqual(["invalid", expect.stringContaining(why)]);
    if (environment.condition !== "active") {
      const awake = await rejection(world.provider.wake(environment.id, null, patient()));
      expect([awake.kind, awake.message]).toEqual(["invalid", expect.stringContaining(why)]);
    }
    expect(world.fake.api.journal.filter(({ method }) => method !== "GET")).toEqual([]);
    expect(world.fake.violations).toEqual([]);
  });

  test("an environment that is being deleted is in no list", async () => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("pr-12", { condition: "deleting" });
    expect(await world.provider.list(patient())).toEqual([]);
    expect(await phaseOf(world, environment)).toBe("blocked");
  });

  test("a project that is gone, or that the account may not see, takes nothing from the others", async () => {
    await using world = await startUpsun();
    const kept = world.fake.addEnvironment("kept", { project: "kept" });
    const hidden = world.fake.addEnvironment("hidden", { project: "hidden" });
    const gone = world.fake.addEnvironment("gone", { project: "gone" });
    expect(await world.provider.list(patient())).toHaveLength(3);
    world.fake.setForbidden("hidden", true);
    world.fake.deleteProject("gone");
    await world.provider.list(patient());
    for (let round = 0; round < 3; round += 1) {
      const listings = await world.provider.list(patient());
      expect(listings.map(({ id, observation }) => [id, observation?.phase])).toEqual([
        [kept.id, "awake"],
        [hidden.id, "unknown"],
      ]);
    }
    expect(world.provider.whyUnlisted?.(hidden.id)).toContain("hidden");
    expect(world.provider.whyUnlisted?.(gone.id)).toBeNull();
    expect(world.provider.whyUnlisted?.(kept.id)).toBeNull();
    const warned = world.lines.filter(({ level }) => level === "warn");
    expect(warned.map(({ fields }) => fields.project).toSorted()).toEqual(["gone", "hidden"]);
    // The account's own list is asked again once, not with every sweep.
    expect(world.fake.api.count("users.me")).toBe(2);
    world.fake.setForbidden("hidden", false);
    expect(await world.provider.list(patient())).toHaveLength(2);
    expect(world.provider.whyUnlisted?.(hidden.id)).toBeNull();
  });

  test("unknown fields and words do no harm", async () => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("pr-12");
    world.fake.api.beStrange({ hasUnknownFields: true, words: { status: "hibernating" } });
    expect(await world.provider.list(patient())).toHaveLength(1);
    const seen = await world.provider.observe(environment.id, patient());
    expect([seen.phase, seen.reason]).toEqual(["unknown", 'Upsun says that it is "hibernating"']);
    const error = await rejection(world.provider.wake(environment.id, null, patient()));
    expect([error.kind, error.message]).toEqual(["failed", expect.stringContaining("hibernating")]);
    expect(world.fake.api.journal.filter(({ method }) => method !== "GET")).toEqual([]);
  });
});

/** What was seen right before a pause is fresh for 2 s: more than a busy machine takes for a few calls. */
const SLOWER = 8;

describe.concurrent("upsun: sleep and wake", () => {
  test("a sleep is one pause after one look, a wake one resume, and its activity is followed", async () => {
    await using world = await startUpsun({ clock: createFastClock(SLOWER) });
    const environment = world.fake.addEnvironment("pr-12", { instances: 3 });
    await world.provider.list(patient());
    world.callsSince();
    await sleepFully(world, environment);
    const slept = world.callsSince();
    expect(slept.slice(0, 3).toSorted()).toEqual(["activities.list", "environments.read", "pause"]);
    expect(slept.slice(3, -2).every((kind) => kind === "activities.read")).toBe(true);
    expect(environment.condition).toBe("paused");
    expect(await phaseOf(world, environment)).toBe("asleep");
    world.callsSince();
    const step = await wakeFully(world, environment);
    expect(`${step.target?.origin}/`).toBe(environment.url);
    expect([environment.condition, environment.instances]).toEqual(["active", 3]);
    const woken = world.callsSince();
    expect(woken.filter((kind) => kind === "resume")).toHaveLength(1);
    expect(woken.at(-1)).toBe("deployments.current");
    expect(environment.activities.map(({ type }) => type)).toEqual([
      "environment.resume",
      "environment.pause",
    ]);
    expect(world.fake.violations).toEqual([]);
  });

  test.each([true, false])(
    "an environment with which something goes on is not paused (shown as dirty: %p)",
    async (showsDirty) => {
      await using world = await startUpsun({ showsDirty });
      const environment = world.fake.addEnvironment("pr-12");
      environment.beginActivity("environment.backup");
      const error = await rejection(world.provider.takeSnapshot(environment.id, patient()));
      expect([error.kind, error.message]).toEqual([
        "busy",
        expect.stringContaining("environment.backup"),
      ]);
      environment.endActivity();
      const snapshot = await world.provider.takeSnapshot(environment.id, patient());
      const takenMs = world.clock.now();
      environment.beginActivity();
      await until(() => world.clock.now() - takenMs > 2_000);
      const late = await rejection(world.provider.sleep(environment.id, snapshot, patient()));
      expect(late.kind).toBe("busy");
      expect(world.fake.api.count("pause")).toBe(0);
      expect(world.fake.violations).toEqual([]);
    },
  );

  test("a busy environment is deploying, waking or stopping, by what goes on with it", async () => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("pr-12");
    const phases = [];
    for (const type of ["environment.push", "environment.resume", "environment.pause"]) {
      environment.beginActivity(type);
      expect((await world.provider.list(patient()))[0]?.observation).toBeNull();
      phases.push(await phaseOf(world, environment));
      environment.endActivity("failure");
    }
    expect(phases).toEqual(["deploying", "waking", "stopping"]);
    expect(await phaseOf(world, environment)).toBe("awake");
  });

  test("a wake joins the resume of somebody else, and a push that brings it back", async () => {
    await using world = await startUpsun();
    const resumed = world.fake.addEnvironment("pr-1", { condition: "paused" });
    const pushed = world.fake.addEnvironment("pr-2", { condition: "paused" });
    resumed.resume();
    await wakeFully(world, resumed);
    pushed.beginActivity("environment.push");
    const first = await world.provider.wake(pushed.id, null, patient());
    pushed.endActivity();
    await finish(world.provider, pushed.id, first);
    expect([resumed.condition, pushed.condition]).toEqual(["active", "active"]);
    expect(world.fake.api.count("resume")).toBe(0);
  });

  test("after what somebody else did with it, it is resumed if it is paused still", async () => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("pr-1", { condition: "paused" });
    environment.beginActivity("environment.backup");
    const first = await world.provider.wake(environment.id, null, patient());
    environment.endActivity("failure");
    await finish(world.provider, environment.id, first);
    expect([environment.condition, world.fake.api.count("resume")]).toEqual(["active", 1]);
    expect(world.fake.violations).toEqual([]);
  });

  test("a wake waits for the pause of somebody else, and resumes it then", async () => {
    await using world = await startUpsun({ showsDirty: false });
    const environment = world.fake.addEnvironment("pr-1");
    environment.pause();
    await wakeFully(world, environment);
    expect([environment.condition, world.fake.api.count("resume")]).toEqual(["active", 1]);
  });

  test.each(["failure", "cancelled"] as const)(
    "a resume whose activity ends in %s fails at once, and can be tried again",
    async (outcome) => {
      await using world = await startUpsun();
      const environment = world.fake.addEnvironment("pr-12", { condition: "paused" });
      environment.nextActivities(outcome);
      const error = await rejection(wakeFully(world, environment));
      expect([error.kind, error.message]).toEqual(["failed", expect.stringContaining(outcome)]);
      expect(await phaseOf(world, environment)).toBe("asleep");
      await wakeFully(world, environment);
      expect(environment.condition).toBe("active");
    },
  );

  test("an activity that hangs leaves the word to the environment", async () => {
    await using world = await startUpsun({ config: { operationTimeoutMs: 10_000 } });
    const environment = world.fake.addEnvironment("pr-12", { condition: "paused" });
    environment.nextActivities("hangs");
    const waking = wakeFully(world, environment);
    await until(() => environment.activities.length > 0);
    environment.set("active");
    world.fake.api.beStrange({ words: { status: "active" } });
    expect((await waking).done).toBe(true);
  });

  test("somebody who resumes it right after its pause is heard", async () => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("pr-12");
    const snapshot = await world.provider.takeSnapshot(environment.id, patient());
    const first = await world.provider.sleep(environment.id, snapshot, patient());
    environment.endActivity();
    environment.set("active");
    const error = await rejection(finish(world.provider, environment.id, first));
    expect([error.kind, error.message]).toEqual(["failed", expect.stringContaining("active")]);
  });

  test("a pause that waits for its turn is called off, and is not sent", async () => {
    await using world = await startUpsun({ config: { callsPerMinute: 2 } });
    const environment = world.fake.addEnvironment("pr-12");
    const snapshot = await world.provider.takeSnapshot(environment.id, patient());
    const sleeping = rejection(world.provider.sleep(environment.id, snapshot, patient()));
    world.provider.callOff?.(environment.id);
    const error = await sleeping;
    expect([error.kind, error.message]).toEqual([
      "rate-limited",
      expect.stringContaining("called off"),
    ]);
    expect(world.fake.api.count("pause")).toBe(0);
  });

  test("an environment that is gone is not-found, whatever is asked", async () => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("pr-12", { condition: "paused" });
    const first = await world.provider.wake(environment.id, null, patient());
    world.fake.deleteEnvironment(environment);
    const polled = await rejection(finish(world.provider, environment.id, first));
    const looked = await rejection(world.provider.observe(environment.id, patient()));
    expect([polled.kind, looked.kind]).toEqual(["not-found", "not-found"]);
    expect(looked.message).toContain("pr-12");
  });
});

describe.concurrent("upsun: when calls go wrong", () => {
  test.each(MOODS)("a resume whose answer was lost is made once (%s)", async (_, options) => {
    await using world = await startUpsun(options);
    const environment = world.fake.addEnvironment("pr-12", { condition: "paused" });
    world.fake.api.fail("resume", resetsAfter());
    await wakeFully(world, environment);
    expect(environment.condition).toBe("active");
    expect(world.fake.api.count("resume")).toBe(1);
    expect(world.fake.violations).toEqual([]);
  });

  test("a resume and a pause that never arrived are made once more", async () => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("pr-12", { condition: "paused" });
    world.fake.api.fail("resume", answersText(502, "bad gateway"));
    await wakeFully(world, environment);
    world.fake.api.fail("pause", answersText(504, "gateway timeout"));
    await sleepFully(world, environment);
    expect(environment.condition).toBe("paused");
    expect(world.fake.api.count("resume") + world.fake.api.count("pause")).toBe(4);
  });

  test("a run that was killed right after its resume is joined by the next", async () => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("pr-12", { condition: "paused" });
    await world.provider.wake(environment.id, null, patient());
    const next = world.startAnew();
    await finish(next, environment.id, await next.wake(environment.id, null, patient()));
    expect([environment.condition, world.fake.api.count("resume")]).toEqual(["active", 1]);
  });

  test("an API that answers HTML is tried again", async () => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("pr-12");
    world.fake.api.fail("environments.read", answersHtml(502), 2);
    expect(await phaseOf(world, environment)).toBe("awake");
  });

  test.each([null, 20])("a limit is obeyed (Retry-After: %p)", async (retryAfterSeconds) => {
    await using world = await startUpsun({ retryAfterSeconds });
    world.fake.addEnvironment("pr-12");
    await world.provider.list(patient());
    world.fake.setCallsPerMinute(0);
    await rejection(world.provider.list(patient()));
    const { rateLimited } = world.fake;
    expect(rateLimited).toBeLessThanOrEqual(3);
    const error = await rejection(world.provider.list(patient()));
    expect([error.kind, world.fake.rateLimited]).toEqual(["rate-limited", rateLimited]);
  });
});

describe.concurrent("upsun: tokens", () => {
  test("many calls at once share one exchange, and a bearer is renewed before its time is over", async () => {
    await using world = await startUpsun({ bearerLifeMs: 60_000 });
    const environment = world.fake.addEnvironment("pr-12");
    await Promise.all(Array.from({ length: 20 }, () => phaseOf(world, environment)));
    expect(world.fake.auth.count()).toBe(1);
    const [first] = world.fake.auth.journal;
    await until(async () => {
      await phaseOf(world, environment);
      return world.fake.auth.count() > 1;
    }, 60_000);
    const renewedMs = (world.fake.auth.journal[1]?.atMs ?? 0) - (first?.atMs ?? 0);
    expect(renewedMs).toBeGreaterThan(50_000);
    expect(renewedMs).toBeLessThan(60_000);
    expect(world.fake.api.journal.filter(({ status }) => status === 401)).toEqual([]);
    expect(world.fake.violations).toEqual([]);
  });

  test("a bearer that died early is renewed once, unseen", async () => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("pr-12");
    await phaseOf(world, environment);
    world.fake.expireBearers();
    const looks = Array.from({ length: 5 }, () => phaseOf(world, environment));
    expect(new Set(await Promise.all(looks))).toEqual(new Set(["awake"]));
    expect(world.fake.auth.count()).toBe(2);
  });

  test.each([400, 401] as const)(
    "a token that is refused with %i is told once, and not shown, though the platform repeats it",
    async (badTokenStatus) => {
      await using world = await startUpsun({ badTokenStatus });
      const environment = world.fake.addEnvironment("pr-12");
      world.fake.setAccepted(false);
      const errors = [];
      for (let n = 0; n < 3; n += 1) {
        errors.push(await rejection(world.provider.observe(environment.id, patient())));
      }
      expect(errors.map(({ kind }) => kind)).toEqual(["auth", "auth", "auth"]);
      expect(errors[0]?.message).toContain("PROVIDER_UPSUN_API_TOKEN");
      expect(world.fake.auth.count()).toBe(1);
      expect(world.lines.filter(({ level }) => level === "error")).toHaveLength(1);
      const said = JSON.stringify([world.lines, errors.map(({ message }) => message)]);
      expect(said).not.toContain(world.fake.apiToken);
    },
  );

  test("an authentication server without an address is said to have none", async () => {
    const authUrl = "https://auth.upsun.invalid";
    await using world = await startUpsun({ config: { authUrl } });
    const environment = world.fake.addEnvironment("pr-12");
    const error = await rejection(world.provider.observe(environment.id, patient()));
    expect(error.kind).toBe("network");
    expect(error.message).toContain("auth.upsun.invalid");
    expect(error.message).not.toMatch(/ENOTFOUND|getaddrinfo/);
  });

  test("one that answers nonsense gives no token, and says so", async () => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("pr-12");
    world.fake.auth.fail("*", answersText(200, "{}"), Number.POSITIVE_INFINITY);
    const error = await rejection(world.provider.observe(environment.id, patient()));
    expect([error.kind, error.message]).toEqual([
      "protocol",
      expect.stringContaining("access_token"),
    ]);
  });
});

describe("upsun: the page of a paused environment", () => {
  test("a redirection to Upsun's own site is no answer of the app, any other is", async () => {
    await using world = await startUpsun();
    const environment = world.fake.addEnvironment("pr-12", { condition: "paused" });
    const { isDownAnswer } = world.provider;
    const answer = await fetch(environment.url, { redirect: "manual" });
    expect(isDownAnswer?.(answer.status, (name) => answer.headers.get(name))).toBe(true);
    expect(isDownAnswer?.(302, () => "https://www.platform.sh/paused")).toBe(true);
    expect(isDownAnswer?.(302, () => "https://upsun.com.example/")).toBe(false);
    expect(isDownAnswer?.(302, () => "/login")).toBe(false);
    expect(isDownAnswer?.(200, () => "https://upsun.com/")).toBe(false);
  });
});
