/** `paastis check --online`, from source, against a fake platform. */

import { expect, test } from "bun:test";
import { createSystemClock } from "../src/clock.ts";
import { startFakeCleverCloud } from "./fakes/fake-clever-cloud.ts";
import { type FakeHeroku, startFakeHeroku } from "./fakes/fake-heroku.ts";
import { type FakeScalingo, startFakeScalingo } from "./fakes/fake-scalingo.ts";
import { runVerb } from "./support/run-verb.ts";
import { tempDir } from "./support/temp-dir.ts";

async function check(env: Readonly<Record<string, string>>, ...flags: readonly string[]) {
  using folder = tempDir();
  return await runVerb(["check", ...flags], { cwd: folder.path, env });
}

function envOf(fake: FakeScalingo): Record<string, string> {
  return {
    PROVIDER_NAME: "scalingo",
    PROVIDER_SCALINGO_API_TOKEN: fake.apiToken,
    PROVIDER_SCALINGO_API_URL: fake.apiUrl,
    PROVIDER_SCALINGO_AUTH_URL: fake.authUrl,
  };
}

function envOfHeroku(fake: FakeHeroku): Record<string, string> {
  return {
    PROVIDER_NAME: "heroku",
    PROVIDER_HEROKU_API_TOKEN: fake.token,
    PROVIDER_HEROKU_API_URL: fake.apiUrl,
  };
}

/** What is said where everything works, and nowhere else. */
const USABLE = "This configuration can be used.";

test("check --online: says whose account it is, its regions and apps, in one list call each", async () => {
  const regions = ["osc-fr1", "osc-secnum-fr1"];
  await using fake = await startFakeScalingo({ clock: createSystemClock(), regions });
  fake.addApp("first-app");
  fake.addApp("second-app");
  fake.addApp("third-app", { region: "osc-secnum-fr1" });
  const env = { ...envOf(fake), PROVIDER_REGION: regions.join(",") };
  const { out, err, status } = await check(env, "--online");
  expect(out).toStartWith("This configuration is complete. Now its accounts are tried.\n");
  expect(out).toMatch(/\nAccounts\n +scalingo +john +osc-fr1 +2 apps +calls left: not told\n/);
  expect(out).toMatch(/\n +scalingo +john +osc-secnum-fr1 +1 app /);
  expect(out).toEndWith(`\n\n${USABLE}\n`);
  expect({ err, status }).toEqual({ err: "", status: 0 });
  expect([fake.api.count(), fake.auth.count()]).toEqual([2, 1]);
  expect(fake.violations).toEqual([]);
});

test("check --online: what the platform says to be left is told, and no apps are no failure", async () => {
  await using heroku = await startFakeHeroku({ clock: createSystemClock() });
  await using clever = await startFakeCleverCloud({ clock: createSystemClock() });
  clever.hideOrganisation(clever.organisationId);
  const env = { ...envOfHeroku(heroku), ...clever.environmentOf("token") };
  const { out, status } = await check({ ...env, PROVIDER_NAME: "heroku,clever-cloud" }, "--online");
  expect(out).toMatch(/\n +heroku +john@example.com +all regions +no apps +calls left: \d{4}\n/);
  expect(out).toMatch(/\n +clever-cloud +works; it has no apps yet\n/);
  expect(status).toBe(0);
});

test("check --online: a wrong token is told in words, without the token, and exits 1", async () => {
  await using fake = await startFakeScalingo({ clock: createSystemClock() });
  const env = { ...envOf(fake), PROVIDER_SCALINGO_API_TOKEN: "tk-us-of-somebody-else" };
  const { out, err, status } = await check(env, "--online");
  expect(err).toMatch(/\n {2}- scalingo: .*PROVIDER_SCALINGO_API_TOKEN.*does not accept/);
  expect(err).toEndWith("\n\nFix this, then run `paastis check --online`.\n");
  expect(out + err).not.toContain("somebody-else");
  expect(out + err).not.toContain(USABLE);
  expect(status).toBe(1);
});

test("check --online: a credential that the platform does not name is named, and no request id", async () => {
  const oauth = { consumerKey: "key", consumerSecret: "s1", token: "token", tokenSecret: "s2" };
  await using clever = await startFakeCleverCloud({ clock: createSystemClock(), oauth });
  await using heroku = await startFakeHeroku({ clock: createSystemClock() });
  clever.revokeToken();
  heroku.revokeToken();
  const names = { PROVIDER_NAME: "clever-cloud,heroku,process" };
  const env = { ...envOfHeroku(heroku), ...clever.environmentOf("oauth1"), ...names };
  const { out, err, status } = await check(env, "--online");
  const [first, second] = err.split("\n").filter((line) => line.startsWith("  - "));
  expect(err).toStartWith("\n2 accounts cannot be used:\n\n");
  expect(first).toMatch(
    /clever-cloud: .* Check PROVIDER_CLEVER_OAUTH_CONSUMER_KEY, .* and PROVIDER_CLEVER_SECRET\.$/,
  );
  expect(second).toMatch(/heroku: .*PROVIDER_HEROKU_API_TOKEN.* Asked at http:[^ ]*\/apps\.$/);
  expect(err).not.toMatch(/Sozu|\[request/i);
  expect(out).not.toContain("Accounts");
  expect(status).toBe(1);
});

test("check --online: of several accounts, those that work are told and those that do not", async () => {
  await using scalingo = await startFakeScalingo({ clock: createSystemClock() });
  await using heroku = await startFakeHeroku({ clock: createSystemClock() });
  heroku.refuse("suspended");
  const names = { PROVIDER_NAME: "scalingo,heroku" };
  const env = { ...envOf(scalingo), ...envOfHeroku(heroku), ...names };
  const { out, err, status } = await check(env, "--online");
  expect(out).toMatch(/\nAccounts\n +scalingo .*\n$/);
  expect(err).toStartWith("\n1 of 2 accounts cannot be used:\n\n  - heroku: ");
  // The token is good: it is the account that is shut out.
  expect(err).not.toContain("Check ");
  expect(status).toBe(1);
});

test("check --online: a region that this account may not use is named", async () => {
  await using fake = await startFakeScalingo({
    clock: createSystemClock(),
    restrictedRegions: ["osc-secnum-fr1"],
  });
  const env = { ...envOf(fake), PROVIDER_REGION: "osc-secnum-fr1" };
  const { err, status } = await check(env, "--online");
  expect(err).toMatch(
    /could not list the apps of osc-secnum-fr1: .*403.* Check PROVIDER_REGION \(/,
  );
  expect(status).toBe(1);
});

test("check --online: a region that does not exist is told with its address and its variables", async () => {
  await using fake = await startFakeScalingo({ clock: createSystemClock() });
  const env = { ...envOf(fake), PROVIDER_REGION: "osc-fr1,osc-fr9" };
  const { err, status } = await check(env, "--online");
  const address = fake.apiUrlOf("osc-fr9");
  expect(err).toContain(
    `Asked at ${address}/v1/apps. Check PROVIDER_REGION (osc-fr9) and PROVIDER_SCALINGO_API_URL.\n`,
  );
  expect(status).toBe(1);
});

test.each([
  ["a path that the API does not have", (url: string) => `${url}/v3`],
  ["an address where nobody listens", () => "http://127.0.0.1:9"],
  ["a name without an address", () => "http://api.heroku.invalid"],
])("check --online: %s is told with what was asked and the variable", async (_, wrong) => {
  await using heroku = await startFakeHeroku({ clock: createSystemClock() });
  const url = wrong(heroku.apiUrl);
  const env = { ...envOfHeroku(heroku), PROVIDER_HEROKU_API_URL: url };
  const { err, status } = await check(env, "--online");
  expect(err).toMatch(/ Asked at (\S+)\. Check PROVIDER_HEROKU_API_URL\.\n/);
  expect(err).toContain(`Asked at ${url}/apps.`);
  expect(status).toBe(1);
});

test("check --online: without a platform there is nothing to try", async () => {
  const { out, status } = await check({ PROVIDER_NAME: "process" }, "--online");
  expect(out).toStartWith(USABLE);
  expect(out).toEndWith("\nNo accounts: no platform is named\n");
  expect(status).toBe(0);
});

test("check: asks nobody without --online", async () => {
  await using fake = await startFakeScalingo({ clock: createSystemClock() });
  expect((await check(envOf(fake))).status).toBe(0);
  expect(fake.api.count() + fake.auth.count()).toBe(0);
});
