/** Where environments on Upsun answer, whatever goes on with them, and which projects their list knows. */

import { describe, expect, test } from "bun:test";
import { patient, rejection } from "./contract/provider.ts";
import { answersText } from "./fakes/fake-faults.ts";
import type { UpsunControl } from "./fakes/fake-upsun-control.ts";
import { phaseOf, startUpsun, type UpsunTest, wakeFully } from "./support/upsun-provider.ts";

/** Most environments do not say where they answer: their routes do. */
const UNSAID = { hasPublicUrl: false } as const;

async function seenOf({ provider }: UpsunTest, { id }: UpsunControl) {
  const { phase, reason = "", target } = await provider.observe(id, patient());
  return { phase, reason, url: target === null ? null : `${target.origin}/` };
}

async function listedOf({ provider }: UpsunTest) {
  return (await provider.list(patient())).map(({ id, observation, target }) => ({
    ...{ id, phase: observation?.phase ?? null },
    address: (observation?.target ?? target)?.origin ?? null,
  }));
}

describe("upsun: where an environment answers", () => {
  test("the list may not say: then it is looked at once", async () => {
    await using world = await startUpsun(UNSAID);
    const environment = world.fake.addEnvironment("pr-12");
    expect(await listedOf(world)).toMatchObject([{ phase: null, address: null }]);
    expect(await seenOf(world, environment)).toMatchObject({ url: environment.url });
    const address = environment.url.slice(0, -1);
    expect(await listedOf(world)).toMatchObject([{ phase: "awake", address }]);
  });

  test.each([
    ["environment.push", "deploying"],
    ["environment.resume", "waking"],
  ])("is known also when something goes on with it that is first seen: %s", async (type, phase) => {
    await using world = await startUpsun(UNSAID);
    const environment = world.fake.addEnvironment("pr-12");
    environment.beginActivity(type);
    expect(await seenOf(world, environment)).toMatchObject({ phase, url: environment.url });
    world.callsSince();
    expect(await seenOf(world, environment)).toMatchObject({ phase, url: environment.url });
    expect(world.callsSince()).toEqual(["environments.read", "activities.list"]);
    const address = environment.url.slice(0, -1);
    expect(await listedOf(world)).toMatchObject([{ phase: null, address }]);
  });

  test("is asked anew after that, as it may have other routes", async () => {
    await using world = await startUpsun(UNSAID);
    const environment = world.fake.addEnvironment("pr-12");
    environment.beginActivity();
    await phaseOf(world, environment);
    environment.endActivity();
    expect(await listedOf(world)).toMatchObject([{ phase: null }]);
    world.callsSince();
    await phaseOf(world, environment);
    expect(world.callsSince()).toContain("deployments.current");
    expect(await listedOf(world)).toMatchObject([{ phase: "awake" }]);
  });

  test.each([false, true])(
    "is known of production that is left alone, and goes on being (busy: %p)",
    async (isBusy) => {
      await using world = await startUpsun(UNSAID);
      const environment = world.fake.addEnvironment("main", { type: "production" });
      if (isBusy) environment.beginActivity();
      expect(await listedOf(world)).toMatchObject([{ phase: null }]);
      const seen = await seenOf(world, environment);
      expect(seen).toMatchObject({ phase: "unmanaged", url: environment.url });
      const phase = isBusy ? null : "unmanaged";
      const address = environment.url.slice(0, -1);
      expect(await listedOf(world)).toMatchObject([{ phase, address }]);
    },
  );

  test("is, without a route, the name that Upsun gave it", async () => {
    await using world = await startUpsun(UNSAID);
    const environment = world.fake.addEnvironment("pr-12", {
      condition: "paused",
      hasRoute: false,
    });
    const { hostname } = new URL(environment.url);
    const { target } = await wakeFully(world, environment);
    expect(target?.origin).toBe(`https://${hostname}`);
    expect(await seenOf(world, environment)).toMatchObject({ url: `https://${hostname}/` });
  });

  test("may be nowhere: it can be woken all the same, and what to do about it is said", async () => {
    await using world = await startUpsun({ ...UNSAID, hasEdge: false });
    const main = world.fake.addEnvironment("main", { type: "production", hasRoute: false });
    const other = world.fake.addEnvironment("pr-12", { condition: "paused", hasRoute: false });
    expect(await wakeFully(world, other)).toEqual({ done: true, target: null });
    for (const one of [main, other]) {
      const { reason, url } = await seenOf(world, one);
      expect(url).toBeNull();
      expect(reason).toContain("declare it in paastis.yml with its `targets`");
    }
    expect((await seenOf(world, main)).reason).toContain("it is a production environment");
  });
});

describe("upsun: projects that cannot be listed", () => {
  test("one that does not answer keeps what it had, and the others still come and go", async () => {
    await using world = await startUpsun();
    const one = world.fake.addEnvironment("pr-1", { project: "one" });
    const two = world.fake.addEnvironment("pr-2", { project: "two" });
    await world.provider.list(patient());
    const three = world.fake.addEnvironment("pr-3", { project: "one" });
    const ofTwo = ({ path }: { readonly path: string }) => path.includes("/projects/two/");
    world.fake.api.fail(ofTwo, answersText(500, "oops"), 100);
    expect((await listedOf(world)).map(({ id, phase }) => [id, phase])).toEqual([
      [one.id, "awake"],
      [three.id, "awake"],
      [two.id, "unknown"],
    ]);
    expect(world.provider.whyUnlisted?.(two.id)).toContain("500");
    expect(world.provider.whyUnlisted?.(one.id)).toBeNull();
  });

  test("that one was refused once leaves the list in part; refused again, it is none of ours", async () => {
    await using world = await startUpsun();
    world.fake.addEnvironment("pr-1", { project: "one" });
    world.fake.addEnvironment("pr-2", { project: "hidden" });
    world.fake.setForbidden("hidden", true);
    await world.provider.list(patient());
    expect(world.provider.isWhole?.()).toBe(false);
    await world.provider.list(patient());
    expect(world.provider.isWhole?.()).toBe(true);
    world.fake.setForbidden("hidden", false);
    expect(await world.provider.list(patient())).toHaveLength(2);
  });

  test("one that does not answer from the start, and one that a person has named, leave it in part", async () => {
    await using world = await startUpsun({ config: { projects: ["one", "hidden"] } });
    world.fake.addEnvironment("pr-1", { project: "one" });
    world.fake.addEnvironment("pr-2", { project: "hidden" });
    world.fake.setForbidden("hidden", true);
    for (let round = 0; round < 4; round += 1) await world.provider.list(patient());
    expect(world.provider.isWhole?.()).toBe(false);
    world.fake.setForbidden("hidden", false);
    await world.provider.list(patient());
    world.fake.setForbidden("hidden", true);
    await world.provider.list(patient());
    expect(world.provider.isWhole?.()).toBe(true);
  });

  test("when none answers the list fails, and nothing more is told", async () => {
    await using world = await startUpsun();
    world.fake.addEnvironment("pr-1", { project: "one" });
    world.fake.addEnvironment("pr-2", { project: "two" });
    for (const id of ["one", "two"]) world.fake.setForbidden(id, true);
    expect((await rejection(world.provider.list(patient()))).kind).toBe("forbidden");
    expect(world.lines.filter(({ level }) => level !== "debug")).toEqual([]);
  });
});
