/** `paastis check --online`, from source, against a fake platform. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { createSystemClock } from "../src/clock.ts";
import { type FakeScalingo, startFakeScalingo } from "./fakes/fake-scalingo.ts";
import { runCommand } from "./support/run-command.ts";

async function check(env: Readonly<Record<string, string>>, ...flags: readonly string[]) {
  // The executable is built so that the runtime reads no `.env` by itself; from source, a flag does that.
  const main = join(import.meta.dir, "../src/main.ts");
  const argv = [process.execPath, "--no-install", "--no-env-file", main, "check", ...flags];
  const { stdout, stderr, status } = await runCommand(argv, { env, mayFail: true });
  return { out: stdout, err: stderr, status };
}

function envOf(fake: FakeScalingo): Record<string, string> {
  return {
    PROVIDER_NAME: "scalingo",
    PROVIDER_SCALINGO_API_TOKEN: fake.apiToken,
    PROVIDER_SCALINGO_API_URL: fake.apiUrl,
    PROVIDER_SCALINGO_AUTH_URL: fake.authUrl,
  };
}

test("check --online: says whose account it is, its regions and apps, in one list call each", async () => {
  const regions = ["osc-fr1", "osc-secnum-fr1"];
  await using fake = await startFakeScalingo({ clock: createSystemClock(), regions });
  fake.addApp("first-app");
  fake.addApp("second-app");
  fake.addApp("third-app", { region: "osc-secnum-fr1" });
  const env = { ...envOf(fake), PROVIDER_REGION: regions.join(",") };
  const { out, status } = await check(env, "--online");
  expect(out).toMatch(/\nAccounts\n +scalingo +john +osc-fr1 +2 apps +does not say how many/);
  expect(out).toMatch(/\n +scalingo +john +osc-secnum-fr1 +1 app /);
  expect(status).toBe(0);
  expect([fake.api.count(), fake.auth.count()]).toEqual([2, 1]);
  expect(fake.violations).toEqual([]);
});

test("check --online: a wrong token is told in words, without the token, and exits 1", async () => {
  await using fake = await startFakeScalingo({ clock: createSystemClock() });
  const env = { ...envOf(fake), PROVIDER_SCALINGO_API_TOKEN: "tk-us-of-somebody-else" };
  const { out, err, status } = await check(env, "--online");
  expect(out).toMatch(/scalingo +does not work: .*PROVIDER_SCALINGO_API_TOKEN.*does not accept/);
  expect(out + err).not.toContain("somebody-else");
  expect(status).toBe(1);
});

test("check --online: a region that this account may not use is named", async () => {
  await using fake = await startFakeScalingo({
    clock: createSystemClock(),
    restrictedRegions: ["osc-secnum-fr1"],
  });
  const env = { ...envOf(fake), PROVIDER_REGION: "osc-secnum-fr1" };
  const { out, status } = await check(env, "--online");
  expect(out).toMatch(/does not work: could not list the apps of osc-secnum-fr1: .*403/);
  expect(status).toBe(1);
});

test("check --online: without a platform there is nothing to try", async () => {
  const { out, status } = await check({ PROVIDER_NAME: "process" }, "--online");
  expect(out).toContain("No accounts: no platform is named");
  expect(status).toBe(0);
});

test("check: asks nobody without --online", async () => {
  await using fake = await startFakeScalingo({ clock: createSystemClock() });
  expect((await check(envOf(fake))).status).toBe(0);
  expect(fake.api.count() + fake.auth.count()).toBe(0);
});
