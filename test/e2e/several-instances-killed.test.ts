/** One of several instances is killed, frozen or told to end: the others go on, and finish what it has left half done. */

import { expect } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { answersAfter, neverAnswers } from "../fakes/fake-faults.ts";
import { everythingApp } from "../support/everything-app.ts";
import { testsInTurn } from "../support/in-turn.ts";
import { startInstanceLoad } from "../support/instance-load.ts";
import { type Instance, type Instances, startInstances } from "../support/instances.ts";
import { within } from "../support/pace.ts";
import { startLedgerPlatform } from "../support/platform-ledger.ts";
import { eventually, makeFolder } from "../support/start-paastis.ts";

const story = testsInTurn(4);

/** Three seconds. */
const SOON = { START_AND_STOP_MAX_IDLE_TIME: "0.05" };
/** How long what a dead or frozen instance held stays its own, ms, and a little. */
const LIFE_MS = 9_000;

function pair({ all }: Instances): readonly [Instance, Instance] {
  const [one, other] = all;
  if (one === undefined || other === undefined) throw new Error("there are fewer than two");
  return [one, other];
}

async function withLeader(instances: Instances): Promise<readonly [Instance, Instance]> {
  const leader = await instances.untilTogether();
  const other = instances.all.find((one) => one !== leader);
  if (other === undefined) throw new Error("there is one alone");
  return [leader, other];
}

function eventsOf({ all }: Instances, key: string, name: string): number {
  return all.flatMap(({ lines }) => lines.filter(({ app, event }) => app === key && event === name))
    .length;
}

/** A hook that waits as long as a file is there. */
function holdingHook(): {
  readonly command: string;
  readonly hold: () => void;
  readonly letGo: () => void;
} {
  const file = join(makeFolder(), "hold");
  return {
    command: `while [ -e ${file} ]; do sleep 0.1; done`,
    hold: () => writeFileSync(file, ""),
    letGo: () => rmSync(file, { force: true }),
  };
}

story(
  "kill -9 of one of three under load: requests to the others all succeed, and its leases expire",
  async () => {
    await using platform = await startLedgerPlatform();
    const shop = platform.addApp("shop", true);
    const config = `apps:\n${everythingApp("desk")}`;
    await using instances = await startInstances({
      count: 3,
      config,
      env: { ...platform.env, PROVIDER_NAME: "process,docker", ...SOON },
    });
    const [doomed, ...others] = instances.all;
    if (doomed === undefined) throw new Error("there are three");
    // It runs where nobody is killed.
    expect(await others[0]?.visit("desk")).toBe(200);
    await instances.untilState("desk", "awake");
    await using load = startInstanceLoad({
      instances: instances.all,
      keys: ["shop", "desk"],
      perSecond: 150,
    });
    await eventually("it is used", () => load.outcomes.length > 150);
    // A lease that nobody will ever give back.
    void doomed.visit("desk", "/slow?ms=600000").catch(() => undefined);
    await eventually("it is used at the others", () => load.outcomes.length > 300);
    await doomed.kill();
    const killedAt = load.outcomes.length;
    await eventually("much more came", () => load.outcomes.length > killedAt + 450);
    await load.stop();
    for (const other of others) expect(load.failures(other)).toEqual([]);
    const stoppedMs = performance.now();
    await eventually("both sleep, as its leases have expired", () =>
      Promise.resolve(shop.status === "exited" && eventsOf(instances, "desk", "APP_STOPPED") === 1),
    );
    expect(performance.now() - stoppedMs).toBeLessThan(within(LIFE_MS + 8_000));
    const leader = await instances.untilTogether();
    expect(others).toContain(leader);
    expect(platform.fake.violations).toEqual([]);
  },
);

story(
  "kill -9 while the start it has ordered hangs: another instance finishes the wake, and who waits there is served",
  async () => {
    await using platform = await startLedgerPlatform();
    const shop = platform.addApp("shop");
    await using instances = await startInstances({ count: 2, env: platform.env });
    const [one, other] = pair(instances);
    const isStart = ({ method, path }: { readonly method: string; readonly path: string }) =>
      method === "POST" && path.endsWith("/start");
    platform.fake.server.fail(isStart, neverAnswers());
    const asked = one.visit("shop").catch(() => "nobody is there any more");
    await eventually("it is ordered", () => platform.fake.server.count("start") === 1);
    const served = other.visit("shop");
    await one.kill();
    expect(await served).toBe(200);
    expect(await asked).toBe("nobody is there any more");
    expect(shop.starts).toBe(1);
    await instances.untilState("shop", "awake");
    expect(platform.fake.violations).toEqual([]);
  },
);

story(
  "kill -9 while its hook runs before a wake: another instance runs its own, and wakes the app once",
  async () => {
    const hook = holdingHook();
    const file = join(makeFolder(), "runs");
    const config = `apps:\n${everythingApp("shop", { RUNS_FILE: file })}`;
    await using instances = await startInstances({
      count: 2,
      config,
      env: { HOOKS_BEFORE_START: hook.command },
    });
    const [one, other] = pair(instances);
    hook.hold();
    const asked = one.visit("shop").catch(() => "nobody is there any more");
    await one.paastis.untilEvent("shop", "APP_WAKING");
    await one.kill();
    hook.letGo();
    expect(await other.visit("shop")).toBe(200);
    expect(await asked).toBe("nobody is there any more");
    expect(readFileSync(file, "utf8").trim().split("\n")).toHaveLength(1);
  },
);

story(
  "kill -9 while the stop it has ordered hangs: another instance finds out, and puts the app to sleep",
  async () => {
    await using platform = await startLedgerPlatform();
    const shop = platform.addApp("shop", true);
    await using instances = await startInstances({ count: 2, env: { ...platform.env, ...SOON } });
    const [leader, other] = await withLeader(instances);
    platform.fake.server.fail(
      ({ method, path }) => method === "POST" && path.endsWith("/stop"),
      neverAnswers(),
    );
    const before = platform.fake.server.count("stop");
    await eventually("it is ordered", () => platform.fake.server.count("stop") > before);
    await leader.kill();
    expect(shop.status).toBe("running");
    // It waits until nobody is about to stop the app any more.
    expect(await other.visit("shop")).toBe(200);
    await eventually("it sleeps", () => shop.status === "exited");
    await instances.untilState("shop", "asleep");
    expect(await other.visit("shop")).toBe(200);
    expect(platform.fake.violations).toEqual([]);
  },
);

story(
  "SIGSTOP in the middle of a sleep past its lock's life: the app was used elsewhere, and the stale stop comes to nothing",
  async () => {
    await using platform = await startLedgerPlatform();
    const shop = platform.addApp("shop", true);
    await using instances = await startInstances({ count: 2, env: { ...platform.env, ...SOON } });
    const [leader, other] = await withLeader(instances);
    // The last look before a stop takes its time.
    platform.fake.server.fail(
      ({ method, path }) => method === "GET" && path.endsWith(`/${shop.id}/json`),
      answersAfter(400),
      Number.POSITIVE_INFINITY,
    );
    const asked = () => platform.fake.server.count("containers.read");
    const before = asked();
    await eventually("it is looked at for the last time", () => asked() > before);
    leader.freeze();
    platform.fake.server.heal();
    const orders = platform.fake.server.count("stop");
    await using load = startInstanceLoad({ instances: [other], keys: ["shop"], perSecond: 10 });
    await Bun.sleep(LIFE_MS);
    await eventually("the other leads", async () => (await other.registry()).leader);
    leader.thaw();
    await eventually(
      "it has seen that time has passed",
      async () => !(await leader.registry()).leader,
    );
    expect(await leader.visit("shop")).toBe(200);
    expect(platform.fake.server.count("stop")).toBe(orders);
    expect(shop.status).toBe("running");
    await load.stop();
    expect(load.failures()).toEqual([]);
    await instances.untilState("shop", "asleep");
    await eventually("it is told", () => eventsOf(instances, "shop", "APP_STOPPED") > 0);
    expect(eventsOf(instances, "shop", "APP_STOPPED")).toBe(1);
    expect(platform.fake.violations).toEqual([]);
  },
);

story(
  "SIGSTOP in the middle of a wake past its lock's life: another instance wakes the app, and it is started once",
  async () => {
    const hook = holdingHook();
    const file = join(makeFolder(), "runs");
    const config = `apps:\n${everythingApp("shop", { RUNS_FILE: file })}`;
    await using instances = await startInstances({
      count: 2,
      config,
      // Whoever asked where it froze has to wait for that, too.
      env: { HOOKS_BEFORE_START: hook.command, HOLD_MAX_MS: "60000" },
    });
    const [one, other] = pair(instances);
    hook.hold();
    const asked = one.visit("shop");
    await one.paastis.untilEvent("shop", "APP_WAKING");
    one.freeze();
    hook.letGo();
    expect(await other.visit("shop")).toBe(200);
    const pid = async (from: Instance) =>
      ((await (await from.paastis.get("shop")).json()) as { pid: number }).pid;
    const running = await pid(other);
    one.thaw();
    expect(await asked).toBe(200);
    expect(await pid(one)).toBe(running);
    await instances.untilState("shop", "awake");
    expect(existsSync(file) && readFileSync(file, "utf8").trim().split("\n")).toHaveLength(1);
  },
);

story(
  "SIGTERM of one under load: it finishes what it has, its processes end, and no request to the others fails",
  async () => {
    await using platform = await startLedgerPlatform();
    platform.addApp("shop", true);
    // What it has not answered when it ends would be asked for again, but not for ever.
    const config = `apps:\n${everythingApp("desk", { ENDS_POLITELY: "yes" })}`;
    await using instances = await startInstances({
      count: 2,
      config,
      env: { ...platform.env, PROVIDER_NAME: "process,docker" },
    });
    const [one, other] = pair(instances);
    expect(await one.visit("desk")).toBe(200);
    await instances.untilState("desk", "awake");
    await using load = startInstanceLoad({
      instances: [other],
      keys: ["shop", "desk"],
      perSecond: 100,
    });
    await eventually("it is used", () => load.outcomes.length > 100);
    const download = one.visit("desk", "/download?seconds=2");
    await eventually("it has begun", async () => {
      const answer = await one.admin("GET", "/__metrics?app=desk");
      return ((await answer.json()) as { inflight: number }).inflight === 1;
    });
    const ended = one.stop();
    expect(await download).toBe(200);
    expect(await ended).toBe(0);
    const endedAt = load.outcomes.length;
    await eventually("it is still used", () => load.outcomes.length > endedAt + 100);
    await load.stop();
    expect(load.failures()).toEqual([]);
    expect(await other.visit("desk")).toBe(200);
    expect(platform.fake.violations).toEqual([]);
  },
);
