/** Several instances on one Redis act as one: one start for all requests, and no stop while anybody uses the app. */

import { expect } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { everythingApp } from "../support/everything-app.ts";
import { testsInTurn } from "../support/in-turn.ts";
import { type Instance, type Instances, startInstances } from "../support/instances.ts";
import { within } from "../support/pace.ts";
import { startLedgerPlatform } from "../support/platform-ledger.ts";
import { startScalingoStory } from "../support/scalingo-story.ts";
import { eventually, makeFolder } from "../support/start-paastis.ts";
import { startTarget } from "../support/switch-targets.ts";

const story = testsInTurn(4);

/** Three seconds. */
const SOON = { START_AND_STOP_MAX_IDLE_TIME: "0.05" };
const REQUESTS = 1_000;

/** A process app that notes each of its starts in a file. */
function noted(key: string): { readonly config: string; readonly starts: () => number } {
  const file = join(makeFolder(), "runs");
  return {
    config: `apps:\n${everythingApp(key, { RUNS_FILE: file, BOOT_MS: "300" })}`,
    starts: () => (existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").length : 0),
  };
}

/** 1,000 requests at once, spread over all; how many got which status. */
async function storm({ all }: Instances, key: string): Promise<Readonly<Record<string, number>>> {
  const asked = Array.from({ length: REQUESTS }, (_none, n) => all[n % all.length]);
  const statuses = await Promise.all(asked.map((one) => one?.visit(key)));
  return Object.fromEntries(
    Object.entries(Object.groupBy(statuses, (status) => String(status))).map(([status, those]) => [
      status,
      those?.length ?? 0,
    ]),
  );
}

function eventsOf({ all }: Instances, key: string, name: string): number {
  return all.flatMap(({ lines }) => lines.filter(({ app, event }) => app === key && event === name))
    .length;
}

story("three instances: 1,000 requests for one sleeping process make one start", async () => {
  const { config, starts } = noted("shop");
  await using instances = await startInstances({ count: 3, config });
  expect(await storm(instances, "shop")).toEqual({ "200": REQUESTS });
  expect(starts()).toBe(1);
  await eventually("it is told", () => eventsOf(instances, "shop", "APP_STARTED") > 0);
  expect(eventsOf(instances, "shop", "APP_STARTED")).toBe(1);
  await instances.untilState("shop", "awake");
});

story(
  "two instances: 1,000 requests for one sleeping app of Scalingo make one order, and it wakes as it was",
  async () => {
    await using platform = await startScalingoStory();
    const app = platform.addApp("shop", platform.richFormation);
    await using instances = await startInstances({
      count: 2,
      env: { ...platform.env, START_AND_STOP_MAX_IDLE_TIME: "0" },
    });
    await eventually("it sleeps", () => Object.values(app.formation).every((size) => size === 0));
    await instances.untilState("shop", "asleep");
    const before = platform.calls.writes;
    expect(await storm(instances, "shop")).toEqual({ "200": REQUESTS });
    expect(platform.calls.writes).toBe(before + 1);
    expect(app.formation).toEqual(platform.richFormation);
    expect(eventsOf(instances, "shop", "APP_STARTED")).toBe(1);
    expect(platform.violations).toEqual([]);
  },
);

story(
  "three instances: whatever one of them does to apps, all know of it, and it is told once",
  async () => {
    await using platform = await startLedgerPlatform();
    const apps = Array.from({ length: 12 }, (_none, at) => platform.addApp(`app-${at}`));
    await using instances = await startInstances({
      count: 3,
      env: { ...platform.env, START_AND_STOP_MAX_IDLE_TIME: "0" },
    });
    for (let round = 0; round < 2; round += 1) {
      await Promise.all(
        apps.flatMap(({ name }) =>
          instances.all.map(async (one) => expect(await one.visit(name)).toBe(200)),
        ),
      );
      await Promise.all(apps.map(({ name }) => instances.untilState(name, "asleep")));
    }
    apps[0]?.start();
    await eventually(
      "a start by hand is told",
      () => eventsOf(instances, "app-0", "APP_STARTED") >= 3,
    );
    await instances.untilState("app-0", "asleep");
    for (const { name } of apps) {
      const deeds = platform.deeds(name);
      for (const deed of ["APP_STARTED", "APP_STOPPED"] as const) {
        const done = deeds.filter((one) => one === deed).length;
        await eventually("all is told", () => eventsOf(instances, name, deed) >= done);
        expect([name, deed, eventsOf(instances, name, deed)]).toEqual([name, deed, done]);
      }
    }
    expect(platform.fake.violations).toEqual([]);
  },
);

/** Opened, and answered once. */
async function openSocket({ port }: Instance, key: string): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`, {
    headers: { host: `${key}.example` },
  });
  const opened = Promise.withResolvers<void>();
  socket.onopen = () => opened.resolve();
  socket.onerror = () => opened.reject(new Error("no WebSocket"));
  await opened.promise;
  return socket;
}

/** Nothing is to happen: no condition says when it has not. */
async function staysUp(instances: Instances, key: string, forMs: number): Promise<void> {
  await Bun.sleep(forMs);
  expect(eventsOf(instances, key, "APP_STOPPED")).toBe(0);
}

story(
  "two instances: an app is not stopped while a request or a WebSocket at either uses it",
  async () => {
    const config = `apps:\n${everythingApp("shop")}`;
    await using instances = await startInstances({ count: 2, config, env: SOON });
    const [one, other] = instances.all;
    if (one === undefined || other === undefined) throw new Error("there are two");
    expect(await one.visit("shop")).toBe(200);
    // It runs at the first; whoever leads, the lease is where it does not run.
    const socket = await openSocket(other, "shop");
    await staysUp(instances, "shop", 5_000);
    const download = other.visit("shop", "/download?seconds=4");
    socket.close();
    expect(await download).toBe(200);
    expect(eventsOf(instances, "shop", "APP_STOPPED")).toBe(0);
    await instances.untilState("shop", "asleep");
    await eventually("it is told", () => eventsOf(instances, "shop", "APP_STOPPED") === 1);
    expect(await other.visit("shop")).toBe(200);
  },
);

story(
  "two instances: an app of a platform is not stopped while the one that does not lead uses it, and idles from its last use anywhere",
  async () => {
    await using platform = await startLedgerPlatform();
    const app = platform.addApp("shop", true);
    // Six seconds: pauses take longer on a busy machine.
    const env = { ...platform.env, START_AND_STOP_MAX_IDLE_TIME: "0.1" };
    await using instances = await startInstances({ count: 2, env });
    const leader = await instances.untilTogether();
    const other = instances.all.find((one) => one !== leader);
    if (other === undefined) throw new Error("there are two");
    // Used again and again where nobody leads, with pauses shorter than it may idle.
    let lastUseMs = 0;
    for (let round = 0; round < 5; round += 1) {
      expect(await other.visit("shop")).toBe(200);
      lastUseMs = performance.now();
      await Bun.sleep(1_500);
      expect(app.status).toBe("running");
    }
    await eventually("it sleeps", () => app.status === "exited");
    const idleMs = performance.now() - lastUseMs;
    expect(idleMs).toBeGreaterThan(5_900);
    expect(idleMs).toBeLessThan(within(11_000));
    await instances.untilState("shop", "asleep");
    expect(platform.fake.violations).toEqual([]);
  },
);

/** What they say goes by messages, and is to be there by then, ms. */
const TOLD_MS = 100;

story(
  "three instances: a switch and a pause at one of them count at the others within 100 ms",
  async () => {
    await using before = startTarget("v1");
    await using after = startTarget("v2");
    const config = `apps:\n  shop: { provider: ports, port: ${before.port} }`;
    await using instances = await startInstances({
      count: 3,
      config,
      env: { PROVIDER_NAME: "ports" },
    });
    const [one, ...others] = instances.all;
    if (one === undefined) throw new Error("there are three");
    const seen = async () => {
      const answers = await Promise.all(others.map(({ paastis }) => paastis.get("shop")));
      return await Promise.all(
        answers.map(async (answer) => (answer.ok ? await answer.text() : answer.status)),
      );
    };
    const says = async (path: string, answers: readonly unknown[]) => {
      expect((await one.admin("POST", path)).status).toBe(200);
      const saidMs = performance.now();
      let askedMs = saidMs;
      await eventually(`both answer ${answers} after ${path}`, async () => {
        askedMs = performance.now();
        return Bun.deepEquals(await seen(), answers);
      });
      // Those who asked then got the right answer.
      expect(askedMs - saidMs).toBeLessThan(within(TOLD_MS));
    };
    expect(await seen()).toEqual(["v1", "v1"]);
    await says(`/__switch?app=shop&port=${after.port}`, ["v2", "v2"]);
    await says("/__maintenance?app=shop", [503, 503]);
    await says("/__resume?app=shop", ["v2", "v2"]);
  },
);
