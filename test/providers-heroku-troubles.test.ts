/** The provider `heroku` on bad days: refusals, limits, lost answers; its router's page; its credential. */

import { describe, expect, test } from "bun:test";
import { patient, rejection } from "./contract/provider.ts";
import {
  answers,
  answersHtml,
  answersText,
  appliesAndAnswers,
  cutsBody,
  resetsAfter,
} from "./fakes/fake-faults.ts";
import { snapshotWith, startHeroku, wakeFully } from "./support/heroku-provider.ts";
import { until } from "./support/until.ts";

const RICH = { web: 2, worker: 3, clock: 0 };
const DOWN = { web: 0, worker: 0, clock: 0 };

describe("heroku: bad days", () => {
  test("a write whose answer was lost is not made twice", async () => {
    for (const fault of [
      resetsAfter(),
      cutsBody(),
      appliesAndAnswers({ status: 502, body: "no" }),
    ]) {
      await using world = await startHeroku();
      const app = world.fake.addApp("demo-app", { formation: DOWN });
      world.fake.api.fail("scale", fault);
      await wakeFully(world, app, snapshotWith(RICH));
      expect(app.quantities).toEqual(RICH);
      expect(world.fake.api.count("scale")).toBe(1);
    }
  });

  test("a write that came to nothing, and one that met another, is made once more", async () => {
    for (const status of [503, 409]) {
      await using world = await startHeroku();
      const app = world.fake.addApp("demo-app", { formation: DOWN });
      world.fake.api.fail("scale", answers({ status, body: { id: "x", message: "no" } }));
      await wakeFully(world, app, snapshotWith(RICH));
      expect(app.quantities).toEqual(RICH);
      expect(world.fake.api.count("scale")).toBe(2);
    }
  });

  test("a refused token is named, logged once, and found to work again by a wake", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    await world.provider.list(patient());
    world.fake.revokeToken();
    for (let count = 0; count < 5; count += 1) {
      const error = await rejection(world.provider.list(patient()));
      expect(error.kind).toBe("auth");
      expect(error.message).toContain("PROVIDER_HEROKU_API_TOKEN");
      expect(error.message).not.toContain(world.fake.token);
    }
    expect(world.lines.filter(({ level }) => level === "error")).toHaveLength(1);
    expect(world.fake.api.count("apps.list")).toBe(2);
    world.fake.acceptToken();
    await wakeFully(world, app, null);
    expect(await world.provider.list(patient())).toHaveLength(1);
  });

  test("a second factor is explained", async () => {
    await using world = await startHeroku();
    world.fake.refuse("two_factor");
    const error = await rejection(world.provider.list(patient()));
    expect(error.message).toContain("heroku authorizations:create");
    expect(error.message).not.toContain("***");
  });

  test("each refusal tells the request by which Heroku's support finds it", async () => {
    await using world = await startHeroku();
    const error = await rejection(world.provider.observe("no-such-app", patient()));
    const [, ours] = /\[request ([0-9a-f-]{36}),/.exec(error.message) ?? [];
    expect(world.fake.api.journal[0]?.headers["request-id"]).toBe(ours ?? "");
  });

  test("a rate limit stops sweeps, and a wake still gets through", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    await world.provider.list(patient());
    world.fake.setQuota(0, 0);
    const error = await rejection(world.provider.list(patient()));
    expect(error.kind).toBe("rate-limited");
    await rejection(world.provider.list(patient()));
    expect(world.fake.rateLimited).toBeLessThanOrEqual(2);
    world.fake.setQuota(100, 75);
    await wakeFully(world, app, null);
    expect(app.quantities).toEqual({ web: 1 });
    expect(world.fake.violations).toEqual([]);
  });

  test("a look that a request waits for gets through a rate limit, others do not", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    await world.provider.list(patient());
    world.fake.setQuota(0, 0);
    await rejection(world.provider.list(patient()));
    world.fake.setQuota(100, 75);
    const error = await rejection(world.provider.observe(app.id, patient()));
    expect(error.kind).toBe("rate-limited");
    expect((await world.provider.observe(app.id, patient(), true)).phase).toBe("asleep");
  });

  test("what is left of the quota is obeyed", async () => {
    await using world = await startHeroku();
    for (let n = 0; n < 12; n += 1) world.fake.addApp(`app-number-${n}`);
    const listings = await world.provider.list(patient());
    world.fake.setQuota(6, 6_000);
    await Promise.all(listings.map(({ id }) => world.provider.observe(id, patient())));
    expect(world.fake.rateLimited).toBeLessThanOrEqual(8);
    expect(world.lines.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("HTML, plain text and half an answer are retried where that is safe", async () => {
    for (const fault of [
      answersHtml(502),
      answersHtml(200),
      answersText(503, "oops"),
      cutsBody(),
    ]) {
      await using world = await startHeroku();
      world.fake.addApp("demo-app");
      world.fake.api.fail("apps.list", fault, 2);
      expect(await world.provider.list(patient())).toHaveLength(1);
    }
  });

  test("an app that was deleted is not found, whatever is asked", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app");
    await world.provider.list(patient());
    world.fake.deleteApp(app);
    const errors = await Promise.all([
      rejection(world.provider.observe(app.id, patient())),
      rejection(world.provider.wake(app.id, null, patient())),
      rejection(world.provider.takeSnapshot(app.id, patient())),
      rejection(world.provider.sleep(app.id, { kind: "none" }, patient())),
    ]);
    expect(new Set(errors.map(({ kind }) => kind))).toEqual(new Set(["not-found"]));
    expect(await world.provider.list(patient())).toEqual([]);
  });

  test("a deadlock is impossible: a change that was given up lets the next one go", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    world.fake.api.fail("formation.read", { kind: "never", isApplied: false });
    const impatient = new AbortController();
    const first = rejection(world.provider.wake(app.id, null, impatient.signal));
    const second = wakeFully(world, app, null);
    await until(() => world.fake.api.count("formation.read") > 0);
    impatient.abort(new Error("enough"));
    expect((await first).kind).toBe("failed");
    expect((await second).target).not.toBeNull();
  });
});

describe("heroku: the router's page", () => {
  test("is told from the app's own 503", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app");
    const isDown = async () => {
      const answer = await fetch(app.webUrl ?? "");
      return world.provider.isDownAnswer?.(answer.status, (name) => answer.headers.get(name));
    };
    expect(await isDown()).toBe(false);
    const headers = { "content-type": "text/html", via: "1.1 heroku-router" };
    app.answerWith({ status: 503, headers, body: "busy" });
    expect(await isDown()).toBe(false);
    app.setFormation({ web: 0 });
    expect(await isDown()).toBe(true);
  });
});

describe("heroku: check", () => {
  test("says whose token it is, how many apps it sees, and what is left", async () => {
    await using world = await startHeroku({ quota: 4_500, quotaPerMinute: 0 });
    world.fake.addApp("demo-app");
    world.fake.addApp("other-app");
    const reports = await world.provider.check?.(patient());
    expect(reports).toEqual([
      { account: "john@example.com", region: null, apps: 2, remaining: 4_498 },
    ]);
  });

  test("says what is wrong with the token", async () => {
    await using world = await startHeroku();
    world.fake.revokeToken();
    const error = await rejection(world.provider.check?.(patient()) ?? Promise.resolve());
    expect(error.kind).toBe("auth");
    expect(error.message).toContain("PROVIDER_HEROKU_API_TOKEN");
  });
});
