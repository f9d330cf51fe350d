/** A wake whose call came to nothing: it is made again as soon as that is plain, and never where it was applied. */

import { describe, expect, test } from "bun:test";
import { finish, patient, rejection } from "./contract/provider.ts";
import {
  answers,
  answersHtml,
  answersText,
  type Fault,
  resetsBefore,
} from "./fakes/fake-faults.ts";
import { callsOf } from "./fakes/fake-journal.ts";
import type { FakeApi } from "./fakes/fake-platform.ts";
import { createFastClock } from "./support/fast-clock.ts";
import { startRender } from "./support/render-provider.ts";
import { startUpsun } from "./support/upsun-provider.ts";

const HALF = answers({
  ...{ status: 200, body: '{"status":"Acc' },
  headers: { "content-type": "application/json" },
});

/** None of them was carried out. */
const FAULTS: readonly (readonly [string, Fault])[] = [
  ["500", answers({ status: 500, body: '{"message":"told"}' })],
  ["503", answersText(503, "down")],
  ["a page of HTML", answersHtml()],
  ["half an answer", HALF],
  ["a reset", resetsBefore()],
];

/** Wakes one sleeping app on a new fake, and tells what came of it. */
interface Waking extends AsyncDisposable {
  readonly api: FakeApi;
  readonly violations: readonly string[];
  isUp(): boolean;
  wake(): Promise<unknown>;
}

/** Slow enough for figures in seconds, on a busy machine too. */
const TIMES_FASTER = 20;

async function render(timesFaster = TIMES_FASTER): Promise<Waking> {
  const world = await startRender({ clock: createFastClock(timesFaster), deployMs: 600 });
  const app = world.fake.addService("shop", { suspendedBy: "user" });
  return {
    api: world.fake.api,
    violations: world.fake.violations,
    isUp: () => app.isServing,
    wake: async () =>
      finish(world.provider, app.id, await world.provider.wake(app.id, null, patient())),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

async function upsun(timesFaster = TIMES_FASTER): Promise<Waking> {
  const clock = createFastClock(timesFaster);
  const world = await startUpsun({ clock, pendingMs: 100, activityMs: 500 });
  const app = world.fake.addEnvironment("shop", { condition: "paused" });
  return {
    api: world.fake.api,
    violations: world.fake.violations,
    isUp: () => app.condition === "active",
    wake: async () =>
      finish(world.provider, app.id, await world.provider.wake(app.id, null, patient())),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

const PLATFORMS = [
  { name: "render", start: render, pausesMs: [10_000, 20_000] },
  { name: "upsun", start: upsun, pausesMs: [3_000, 6_000] },
] as const;

/** Between the resumes that were sent, ms of the fake's clock. */
function gapsOf(api: FakeApi): readonly number[] {
  const sentMs = callsOf(api.journal, "resume").map(({ atMs }) => atMs);
  return sentMs.slice(1).map((atMs, index) => atMs - (sentMs[index] ?? 0));
}

for (const { name, start, pausesMs } of PLATFORMS) {
  describe.concurrent(`${name}: a resume that was not carried out`, () => {
    test.each(FAULTS)(
      "and answered with %s is sent again within the patience of who waits",
      async (_, fault) => {
        await using waking = await start();
        waking.api.fail("resume", fault);
        await waking.wake();
        expect(waking.isUp()).toBe(true);
        const gaps = gapsOf(waking.api);
        expect(gaps).toHaveLength(1);
        expect(gaps[0]).toBeGreaterThanOrEqual(pausesMs[0]);
        expect(gaps[0]).toBeLessThan(25_000);
        expect(waking.violations).toEqual([]);
      },
    );

    test("twice is sent a third time after a longer pause", async () => {
      await using waking = await start();
      waking.api.fail("resume", answersText(503, "down"), 2);
      await waking.wake();
      expect(waking.isUp()).toBe(true);
      const gaps = gapsOf(waking.api);
      expect(gaps).toHaveLength(2);
      expect(gaps[1]).toBeGreaterThanOrEqual(pausesMs[1]);
      expect(waking.violations).toEqual([]);
    });

    test("however often is given up in the end, with the platform's words", async () => {
      await using waking = await start(30);
      waking.api.fail("resume", answersText(503, "the sky fell"), 100);
      const error = await rejection(waking.wake());
      expect(error.kind).toBe("failed");
      expect(error.message).toContain("the sky fell");
      expect(error.message).toContain("tried 5 times");
      expect(callsOf(waking.api.journal, "resume")).toHaveLength(5);
    });
  });
}
