/** What people read of apps of one account that want the same key. */

import { expect, test } from "bun:test";

import type { Provider } from "../src/providers/provider.ts";
import { patient } from "./contract/provider.ts";
import { startCleverCloud } from "./support/clever-cloud-world.ts";
import { startScalingo } from "./support/scalingo-provider.ts";
import { createSmallWorld } from "./support/small-world.ts";
import { createStubProvider } from "./support/stub-provider.ts";

/** The reason that the log gives for who has the key. */
async function conflictIn({ list }: Pick<Provider, "list">, name: string): Promise<string> {
  const provider = createStubProvider({ name, listsDeclaredApps: false });
  const listings = await list(patient());
  provider.script.list = async () => listings;
  const world = createSmallWorld({ provider });
  await world.core.reconciler.run({ kind: "start", detail: "start" });
  const line = world.lines.find(({ message }) => message === "several apps want the same key");
  return String(line?.fields.reason);
}

test("labels: apps of one name in two regions are told apart by their regions", async () => {
  await using world = await startScalingo({ regions: ["osc-fr1", "osc-secnum-fr1"] });
  world.fake.addApp("shop");
  world.fake.addApp("shop", { region: "osc-secnum-fr1" });
  const reason = await conflictIn(world.provider, "scalingo");
  expect(reason).toStartWith("shop in osc-fr1 (scalingo) has the key");
  expect(reason).toContain(
    "not shop in osc-secnum-fr1 (scalingo), which is reached as shop-osc-secnum-fr1",
  );
});

test("labels: apps of one name in two organisations are told apart by those", async () => {
  await using world = await startCleverCloud();
  const { fake, provider } = world;
  fake.addApp("My Shop", { ownerId: fake.addOrganisation("Acme Ltd") });
  fake.addApp("My Shop", { ownerId: fake.addOrganisation("Umbrella") });
  // Which is older is known once both were read in full, one owner a list.
  await provider.list(patient());
  const reason = await conflictIn(provider, "clever-cloud");
  for (const owner of ["Acme Ltd", "Umbrella"]) {
    expect(reason).toContain(`My Shop of ${owner} (clever-cloud)`);
  }
  expect(reason).toContain("which is reached as app-");
});
