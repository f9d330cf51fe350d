/** Several apps on Scalingo that are idle at once, through the compiled program: one after the other, and nobody waits. */

import { expect, test } from "bun:test";

import { createSystemClock } from "../../src/clock.ts";
import { startFakeScalingo } from "../fakes/fake-scalingo.ts";
import { eventually, startPaastis } from "../support/start-paastis.ts";

const APPS = 4;

test("fleet: apps that are idle at once are stopped one after the other, and those that wait for that serve", async () => {
  await using fake = await startFakeScalingo({
    clock: createSystemClock(),
    ...{ bootMs: 50, stopMs: 20, pendingMs: 10, requestsPerWindow: 1_000_000 },
  });
  const apps = Array.from({ length: APPS }, (_none, n) => fake.addApp(`review-pr${n}`));
  await using paastis = await startPaastis({
    config: "",
    env: {
      PROVIDER_NAME: "scalingo",
      PROVIDER_SCALINGO_API_TOKEN: fake.apiToken,
      PROVIDER_SCALINGO_API_URL: fake.apiUrl,
      PROVIDER_SCALINGO_AUTH_URL: fake.authUrl,
      PROVIDER_SCALINGO_CALLS_PER_MINUTE: "600",
      START_AND_STOP_CHECKING_INTERVAL_CRON: "* * * * * *",
      START_AND_STOP_MAX_IDLE_TIME: "0",
      LOGGING_LEVEL: "debug",
    },
  });
  const stops = () => paastis.lines.filter(({ event }) => event === "APP_STOPPING");
  const { app: first = "" } = await paastis.untilLine(({ event }) => event === "APP_STOPPED");
  const turns = new Set(stops().map(({ app }) => app));
  // The last in line has heard nothing of all this.
  const last = apps.findLast(({ name }) => !turns.has(name))?.name ?? "";
  const answer = await paastis.get(last);
  expect(await answer.json()).toMatchObject({ app: last });
  expect([answer.status, paastis.events(last).includes("APP_STOPPING")]).toEqual([200, false]);
  expect((await paastis.get(first)).status).toBe(200);
  await eventually("all are asleep", () => apps.every(({ status }) => status === "stopped"));
  await eventually("all were seen asleep", () =>
    apps.every(({ name }) => paastis.events(name).at(-1) === "APP_STOPPED"),
  );
  const changes = paastis.lines.filter(({ event }) => /^APP_STOP/.test(event ?? ""));
  let stopping: string | undefined;
  for (const { app, event } of changes) {
    if (event === "APP_STOPPING") {
      expect([app, stopping]).toEqual([app, undefined]);
      stopping = app;
      continue;
    }
    if (event === "APP_STOPPED") expect(app).toBe(stopping);
    // A stop that was called off may have been none yet, while another app's is under way.
    if (app === stopping) stopping = undefined;
  }
  expect(fake.scalesInFlightPeak).toBeLessThanOrEqual(2);
  expect(fake.violations).toEqual([]);
});
