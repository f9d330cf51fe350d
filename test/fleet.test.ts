/** A whole account on Scalingo that falls idle, or wakes, at once: what that costs, and how long it takes, in virtual time. */

import { describe, expect, test } from "bun:test";

import { type FleetWorld, MAX_IDLE_MS, startFleet, type Visit } from "./support/fleet-world.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Longer than a sweep's list may take without being told to wait. */
const LIST_GAP_MS_MAX = 65_000;

/** All apps are idle since the same time, and the next sweep finds that. */
async function idleFleet(apps: number): Promise<FleetWorld> {
  const world = await startFleet({ apps, formation: { web: 1, worker: 1 } });
  await world.pass(MAX_IDLE_MS + 50_000);
  expect(world.states()).toEqual({ awake: apps });
  world.fake.api.forgetCalls();
  return world;
}

/** Longest time between two lists, ms. */
function listGapMs({ fake }: FleetWorld): number {
  const times = fake.api.journal.filter(({ kind }) => kind === "apps.list").map(({ atMs }) => atMs);
  return Math.max(...times.map((atMs, n) => (n === 0 ? 0 : atMs - (times[n - 1] ?? 0))));
}

/** What the log says to those who do not look closely. */
function complaintsOf({ lines }: FleetWorld): string[] {
  return lines
    .filter(({ level }) => level === "warn" || level === "error")
    .map(({ fields, message }) => `${message} ${JSON.stringify(fields)}`);
}

describe("many apps fall idle at once", () => {
  for (const { apps, minutes } of [
    { apps: 40, minutes: 5 },
    { apps: 120, minutes: 16 },
  ]) {
    test(`fleet: ${apps} are asleep after ${minutes} minutes, for five calls each, three at a time, and each is through soon`, async () => {
      await using world = await idleFleet(apps);
      const tookMs = await world.pass(6 * HOUR_MS, () => world.states().asleep === apps);
      const { "apps.list": lists = 0, ...calls } = world.calls();
      expect(calls).toEqual({
        "formation.read": apps,
        "deployments.list": apps,
        "autoscalers.list": apps,
        scale: apps,
        "apps.read": apps,
      });
      expect(tookMs).toBeLessThanOrEqual(minutes * MINUTE_MS);
      expect(world.transitPeak).toBe(3);
      expect(world.transitMsMax).toBeLessThan(30_000);
      // Every sweep has had its list.
      expect(lists).toBe(Math.ceil(tookMs / MINUTE_MS));
      expect(listGapMs(world)).toBeLessThanOrEqual(LIST_GAP_MS_MAX);
      const names = new Set(world.events.map(({ name }) => name));
      for (const name of ["APP_STOP_CANCELLED", "APP_STOP_FAILED"] as const) {
        expect(names.has(name)).toBe(false);
      }
      expect([complaintsOf(world), world.fake.violations, world.fake.rateLimited]).toEqual([
        [],
        [],
        0,
      ]);
    }, 60_000);
  }

  test("fleet: a visitor of an app that has just gone to sleep waits for its boot, and for nothing else", async () => {
    await using world = await idleFleet(40);
    await world.pass(HOUR_MS, () => world.states().asleep === 5);
    const [asleep] = world.core.table.all().filter(({ state }) => state.kind === "asleep");
    let visit: Visit | null = null;
    void world.visit(asleep?.key ?? "").then((made) => {
      visit = made;
    });
    await world.pass(MINUTE_MS, () => visit !== null);
    // A boot takes 5.5 s, and is looked at after 2 s, 4.5 s, and 7 s.
    expect(visit).toMatchObject({ kind: "served", status: 200 });
    expect(visit!.ms).toBeLessThanOrEqual(8000);
    await world.pass(HOUR_MS, () => world.states().asleep === 39);
    expect(world.states()).toEqual({ asleep: 39, awake: 1 });
    expect(world.fake.violations).toEqual([]);
  });

  test("fleet: a visitor of an app that waits for its turn is served at once, and it is passed over without a trace", async () => {
    await using world = await idleFleet(40);
    await world.pass(HOUR_MS, () => world.states().asleep === 1);
    const waiting = world.core.table.all().filter(({ state }) => state.kind === "awake");
    const key = waiting.at(-1)?.key ?? "";
    expect(await world.visit(key)).toMatchObject({ kind: "served", ms: 0 });
    await world.pass(HOUR_MS, () => world.states().asleep === 39);
    expect(world.app(key).state.kind).toBe("awake");
    const names = world.events.filter(({ app }) => app === key).map(({ name }) => name);
    expect(names).toEqual(["APP_DISCOVERED", "APP_REGISTERED"]);
    expect(world.calls().scale).toBe(39);
  });

  test("fleet: a visitor of an app whose stop was not sent yet is served at once, and nothing is sent", async () => {
    await using world = await idleFleet(40);
    // The budget is used up by then: each stop waits for its turn.
    const stopping = () => world.core.table.all().find(({ state }) => state.kind === "stopping");
    const isUnsent = () => {
      const app = stopping();
      const control = world.fake && world.apps.find(({ name }) => name === app?.key);
      return control?.status === "running" && (world.states().asleep ?? 0) > 3;
    };
    await world.pass(HOUR_MS, isUnsent);
    const key = stopping()?.key ?? "";
    let visit: Visit | null = null;
    void world.visit(key).then((made) => {
      visit = made;
    });
    await world.pass(MINUTE_MS, () => visit !== null);
    expect(visit).toMatchObject({ kind: "served" });
    expect(visit!.ms).toBeLessThanOrEqual(100);
    await world.pass(HOUR_MS, () => world.states().asleep === 39);
    expect(world.apps.find(({ name }) => name === key)?.amounts).toEqual({ web: 1, worker: 1 });
    expect(world.events.filter(({ app }) => app === key).map(({ name }) => name)).toEqual([
      "APP_DISCOVERED",
      "APP_REGISTERED",
      "APP_STOPPING",
      "APP_STOP_CANCELLED",
    ]);
  });

  test("fleet: while somebody else uses up the account's calls all waits, and then goes on", async () => {
    await using world = await idleFleet(40);
    await world.pass(HOUR_MS, () => world.states().asleep === 5);
    world.fake.useUp(60);
    const tookMs = await world.pass(HOUR_MS, () => world.states().asleep === 40);
    // Four and a half minutes for the others, and about one that is lost.
    expect(tookMs).toBeLessThan(7 * MINUTE_MS);
    expect(world.transitPeak).toBe(3);
    expect(world.fake.rateLimited).toBeLessThanOrEqual(5);
    expect(world.events.filter(({ name }) => name === "APP_STOP_FAILED")).toEqual([]);
    expect(world.fake.violations).toEqual([]);
  });
});

describe("many apps are asked for at once", () => {
  /** Visitors who come back when they are told to, as browsers and patient clients do, until all are served. */
  async function comeBack(world: FleetWorld): Promise<{ readonly tookMs: number; tries: number }> {
    let left = world.apps.length;
    let tries = 0;
    const visitor = async (key: string) => {
      for (;;) {
        tries += 1;
        const { kind } = await world.visit(key);
        if (kind === "served") break;
        await new Promise<void>((resolve) => world.clock.after(3000, resolve));
      }
      left -= 1;
    };
    for (const { name } of world.apps) void visitor(name);
    const tookMs = await world.pass(HOUR_MS, () => left === 0);
    expect(left).toBe(0);
    return { tookMs, tries };
  }

  test("fleet: 40 that wake at once are up after four and a half minutes, each by one start, and none has failed", async () => {
    await using world = await startFleet({ apps: 40, formation: { web: 0, worker: 0 } });
    world.fake.api.forgetCalls();
    const { tookMs } = await comeBack(world);
    expect(tookMs).toBeLessThanOrEqual(4.5 * MINUTE_MS);
    expect(world.calls()).toMatchObject({ scale: 40, "apps.read": 40, "formation.read": 40 });
    expect(world.events.filter(({ name }) => name === "APP_START_FAILED")).toEqual([]);
    expect(world.fake.scalesInFlightPeak).toBe(2);
    expect(world.fake.violations).toEqual([]);
  });

  test("fleet: 20 that wake while somebody else has used up the account's calls are up soon after it ends", async () => {
    await using world = await startFleet({ apps: 20, formation: { web: 0, worker: 0 } });
    world.fake.api.forgetCalls();
    world.fake.useUp(60);
    const { tookMs } = await comeBack(world);
    // Two minutes for the wakes, and one and a half that the platform wants no calls.
    expect(tookMs).toBeLessThanOrEqual(4 * MINUTE_MS);
    expect(world.fake.rateLimited).toBeLessThanOrEqual(10);
    expect(world.events.filter(({ name }) => name === "APP_START_FAILED")).toEqual([]);
    expect([world.calls().scale, world.fake.scalesInFlightPeak]).toEqual([20, 2]);
    expect(world.fake.violations).toEqual([]);
  });

  test("fleet: a list that is not sent in time says that the limit is ours, and which variable sets it", async () => {
    await using world = await startFleet({ apps: 40, formation: { web: 0, worker: 0 } });
    await comeBack(world);
    const [complaint = ""] = complaintsOf(world);
    expect(complaint).toContain("Paastis itself makes at most 40 calls a minute there");
    expect(complaint).toContain("PROVIDER_SCALINGO_CALLS_PER_MINUTE");
  });
});
