/** Clever Cloud's API goes away, or refuses the credential, while an app is woken or put to sleep. */

import { describe, expect, test } from "bun:test";
import type { Provider, Step } from "../src/providers/provider.ts";
import { patient, rejection } from "./contract/provider.ts";
import { type CleverCloudTest, startCleverCloud } from "./support/clever-cloud-world.ts";

const TROUBLES: Readonly<Record<string, (world: CleverCloudTest) => Promise<void> | void>> = {
  "refuses the credential": ({ fake }) => fake.revokeToken(),
  "is away": ({ fake }) => fake.bridge.goDown("refuse"),
};

async function ordered(world: CleverCloudTest) {
  const app = world.fake.addApp("demo", { is: "down" });
  const id = world.idOf(app);
  await world.provider.list(patient());
  const step = await world.provider.wake(id, null, patient());
  if (step.done) throw new Error("it is up already");
  expect(world.fake.count("start")).toBe(1);
  return { app, id, step };
}

function poll(provider: Provider, id: string, step: Step): Promise<Step> {
  if (step.done) throw new Error("it is over");
  return provider.poll(id, step.operation, patient());
}

describe("clever-cloud: while the API", () => {
  for (const [what, arrange] of Object.entries(TROUBLES)) {
    test(`${what}: a start that was ordered goes on, and the app itself shows that it is up`, async () => {
      await using world = await startCleverCloud();
      const { app, id, step } = await ordered(world);
      await arrange(world);
      const next = await poll(world.provider, id, step);
      expect(next).toMatchObject({ done: true, target: { origin: world.fake.addressOf(app) } });
    });
  }

  test("refuses the credential: nothing is known of a stop", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo");
    const id = world.idOf(app);
    const step = await world.provider.sleep(id, { kind: "none" }, patient());
    world.fake.revokeToken();
    expect((await rejection(poll(world.provider, id, step))).kind).toBe("auth");
  });

  test("refuses the credential: what still answers may be what an earlier stop is about to take down", async () => {
    await using world = await startCleverCloud({ stopMs: 200 });
    const app = world.fake.addApp("demo");
    const id = world.idOf(app);
    await world.provider.sleep(id, { kind: "none" }, patient());
    const step = await world.provider.wake(id, null, patient());
    world.fake.revokeToken();
    expect((await rejection(poll(world.provider, id, step))).kind).toBe("auth");
    expect(world.fake.count("start")).toBe(0);
  });
});
