/** Several regions of a Scalingo account, some of which do not answer. */

import { describe, expect, test } from "bun:test";
import { patient, rejection } from "./contract/provider.ts";
import { answersText } from "./fakes/fake-faults.ts";
import { type ScalingoTest, startScalingo } from "./support/scalingo-provider.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const REGIONS = ["osc-fr1", "osc-secnum-fr1"] as const;
const [FIRST, SECOND] = REGIONS;

function fail({ fake }: ScalingoTest, region: string): void {
  const isOfIt = (call: { readonly host: string }) => call.host === `api.${region}.localhost`;
  fake.api.fail(isOfIt, answersText(403, "no"), Number.POSITIVE_INFINITY);
}

async function keysOf({ provider }: ScalingoTest): Promise<readonly string[]> {
  return (await provider.list(patient())).map(({ key }) => key);
}

describe("scalingo: a region that does not answer", () => {
  test("from the start: the others' apps are listed all the same, and its own are not missing", async () => {
    await using world = await startScalingo({ regions: REGIONS });
    world.fake.addApp("first-app");
    const hidden = world.fake.addApp("second-app", { region: SECOND });
    fail(world, SECOND);
    expect(await keysOf(world)).toEqual(["first-app"]);
    expect(world.provider.whyUnlisted?.(world.idOf(hidden))).toContain(SECOND);
    expect(world.provider.whyUnlisted?.(`${FIRST}/5410093`)).toBeNull();
    expect(world.provider.isWhole?.()).toBe(false);
    world.fake.api.heal();
    expect(await keysOf(world)).toEqual(["first-app", "second-app"]);
    expect(world.provider.whyUnlisted?.(world.idOf(hidden))).toBeNull();
    fail(world, SECOND);
    await keysOf(world);
    expect(world.provider.isWhole?.()).toBe(true);
  });

  test("is told in the log once, and so is its return", async () => {
    await using world = await startScalingo({ regions: REGIONS, clock: createVirtualClock() });
    fail(world, SECOND);
    for (let count = 0; count < 3; count += 1) await keysOf(world);
    const told = () => world.lines.filter(({ level }) => level !== "debug");
    expect(told().map(({ level, fields }) => [level, fields.region])).toEqual([["warn", SECOND]]);
    expect(told()[0]?.message).toContain("until it answers");
    world.fake.api.heal();
    for (let count = 0; count < 3; count += 1) await keysOf(world);
    expect(told().map(({ level, fields }) => [level, fields.region])).toEqual([
      ["warn", SECOND],
      ["info", SECOND],
    ]);
  });

  test("when none answers the list fails, and nothing more is told", async () => {
    await using world = await startScalingo({ regions: REGIONS });
    for (const region of REGIONS) fail(world, region);
    const error = await rejection(world.provider.list(patient()));
    expect(error.kind).toBe("forbidden");
    expect(error.message).toContain(FIRST);
    expect(world.lines.filter(({ level }) => level !== "debug")).toEqual([]);
    expect(world.provider.whyUnlisted?.(`${SECOND}/5410093`)).toContain(SECOND);
  });

  test("what runs there and must be left alone stays known", async () => {
    await using world = await startScalingo({ regions: REGIONS });
    const app = world.fake.addApp("second-app", { region: SECOND });
    app.addAutoscaler("web");
    const id = world.idOf(app);
    await world.provider.list(patient());
    await rejection(world.provider.takeSnapshot(id, patient()));
    fail(world, SECOND);
    await world.provider.list(patient());
    world.fake.api.heal();
    const [listing] = await world.provider.list(patient());
    expect(listing?.observation?.phase).toBe("unmanaged");
  });
});
