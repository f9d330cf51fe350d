import { expect, test } from "bun:test";

import { adviseWithoutApps } from "../src/no-app-yet.ts";

const CASES = [
  [
    "no platform is named, and there is a file",
    [],
    "complete",
    true,
    /declare apps in paastis.yml/,
  ],
  ["no platform is named, and there is no file", [], "complete", false, /or name a platform/],
  ["the platform lists none", ["heroku"], "complete", false, /whether the credentials and regions/],
  ["the platform has not answered", ["heroku"], "starting", false, /as soon as it comes/],
  ["the platform cannot be reached", ["heroku"], "stuck", true, /check --online/],
] as const;

test.each(CASES)("no app yet: %s", (_, platforms, completeness, hasFile, next) => {
  const advice = adviseWithoutApps({ platforms, completeness, hasFile });
  expect(advice.next).toMatch(next);
  // Where a platform was named, nobody has to write a file.
  expect(advice.next.includes("paastis.yml")).toBe(platforms.length === 0);
  for (const name of platforms) expect(advice.message).toContain(name);
});

test("no app yet: waiting for a first list is no warning, until it has failed", () => {
  const about = { platforms: ["heroku"], hasFile: false } as const;
  expect(adviseWithoutApps({ ...about, completeness: "starting" }).isWarning).toBe(false);
  expect(adviseWithoutApps({ ...about, completeness: "stuck" }).isWarning).toBe(true);
});
