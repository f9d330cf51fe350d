/** Sweeps over apps that their platform says something against putting to sleep. */

import { expect, test } from "bun:test";
import { awakeAt, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld } from "./support/small-world.ts";

test("sweep: what its platform's last word keeps awake is not counted as going to sleep, and is not tried", async () => {
  const world = createSmallWorld();
  world.policies.set("shop", { maxIdleMs: 0 });
  const app = world.add("shop", { state: awakeAt("shop") });
  await world.core.sweeper.sweep();
  await world.clock.advance(3_600_000);
  const reason = "several of its containers have ports";
  world.core.lifecycle.observe(app, {
    observation: { phase: "unmanaged", target: sampleTarget("shop"), reason },
  });
  const [entry] = world.core.sweeper.plan();
  expect(entry?.sleep).toBe(false);
  expect(entry?.why).toStartWith("is not put to sleep: ");
  expect(entry?.why).toContain(reason);
  world.core.lifecycle.observe(app, {
    observation: { phase: "awake", target: sampleTarget("shop") },
  });
  expect(world.core.sweeper.plan()).toMatchObject([{ sleep: true }]);
});
