/** The provider `scalingo` against the fake: the contract, and what only Scalingo does. */

import { describe, expect, test } from "bun:test";
import type { Snapshot } from "../src/app.ts";
import { describeProvider, finish, patient, rejection, untilPhase } from "./contract/provider.ts";
import { answersText, resetsAfter, resetsBefore } from "./fakes/fake-faults.ts";
import { startScalingo } from "./support/scalingo-provider.ts";
import { until } from "./support/until.ts";
import { createVirtualClock, type VirtualClock } from "./support/virtual-clock.ts";

describeProvider("scalingo", async () => {
  const world = await startScalingo();
  const app = world.fake.addApp("demo-app", { formation: { web: 0, worker: 0 } });
  return {
    provider: world.provider,
    appId: world.idOf(app),
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      expect(world.fake.violations).toEqual([]);
    },
  };
});

const NOTHING: Snapshot = { kind: "none" };

/** Lets a virtual clock run until the work is done. */
async function passTime(clock: VirtualClock, work: Promise<unknown>): Promise<void> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  work.then(over, over);
  while (!isOver) {
    await clock.advance(100);
    // Real sockets need real time.
    await Bun.sleep(1);
  }
}

function quantities(amounts: Readonly<Record<string, number>>): Snapshot {
  const processes = Object.entries(amounts).map(([type, quantity]) => ({ type, quantity }));
  return { kind: "quantities", processes };
}

describe("scalingo: discovery", () => {
  test("one call per region, all at once, whatever the number of apps", async () => {
    const regions = ["osc-fr1", "osc-secnum-fr1"];
    await using world = await startScalingo({ regions });
    for (let n = 0; n < 150; n += 1) {
      for (const region of regions) world.fake.addApp(`app-number-${n}`, { region });
    }
    const listings = await world.provider.list(patient());
    expect(listings).toHaveLength(300);
    expect(world.fake.api.journal.map(({ kind }) => kind)).toEqual(["apps.list", "apps.list"]);
    expect(world.fake.auth.count()).toBe(1);
    expect(listings.find(({ key }) => key === "app-number-7")?.aliases).toEqual([
      "app-number-7-osc-fr1",
    ]);
    expect(world.fake.violations).toEqual([]);
  });

  test("every status has its phase, words of tomorrow included", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app");
    const phaseOf = async (word: string) => {
      app.showStatus(word);
      return (await world.provider.list(patient()))[0]?.observation?.phase ?? "";
    };
    expect(await phaseOf("running")).toBe("awake");
    expect(await phaseOf("stopped")).toBe("asleep");
    expect(await phaseOf("booting")).toBe("deploying");
    expect(await phaseOf("crashed")).toBe("failed");
    expect(await phaseOf("new")).toBe("unmanaged");
    expect(await phaseOf("hibernating")).toBe("unknown");
    world.fake.api.beStrange({ hasUnknownFields: true });
    expect(await phaseOf("running")).toBe("awake");
  });

  test("a region that fails keeps its apps, and the other's come and go", async () => {
    const regions = ["osc-fr1", "osc-secnum-fr1"];
    await using world = await startScalingo({ regions });
    world.fake.addApp("first-app");
    world.fake.addApp("second-app", { region: "osc-secnum-fr1" });
    await world.provider.list(patient());
    world.fake.api.fail(
      (call) => call.host.startsWith("api.osc-secnum"),
      answersText(403, "no"),
      Number.POSITIVE_INFINITY,
    );
    world.fake.addApp("third-app");
    const listings = await world.provider.list(patient());
    expect(listings.map(({ key, observation }) => [key, observation?.phase])).toEqual([
      ["first-app", "awake"],
      ["third-app", "awake"],
      ["second-app", "unknown"],
    ]);
  });

  test("the address is the platform's own, or the only one there is", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app");
    app.addDomain("shop", true);
    const [listing] = await world.provider.list(patient());
    expect(listing?.observation?.target?.origin).toBe(world.fake.addressOf(app));
    await using terse = await startScalingo({ isTerse: true });
    terse.fake.addApp("demo-app").addDomain("shop", true);
    const [other] = await terse.provider.list(patient());
    expect(other?.observation?.target?.host).toStartWith("shop.localhost:");
  });
});

describe("scalingo: a wake", () => {
  test("brings back exactly what the snapshot says, and leaves types at 0 there", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", { formation: { web: 2, worker: 3, clock: 0 } });
    const id = world.idOf(app);
    const snapshot = await world.provider.takeSnapshot(id, patient());
    await finish(world.provider, id, await world.provider.sleep(id, snapshot, patient()));
    expect(app.amounts).toEqual({ web: 0, worker: 0, clock: 0 });
    await finish(world.provider, id, await world.provider.wake(id, snapshot, patient()));
    expect(app.amounts).toEqual({ web: 2, worker: 3, clock: 0 });
    expect(world.fake.api.count("scale")).toBe(2);
    expect(world.fake.violations).toEqual([]);
  });

  test("without a snapshot is web 1", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", { formation: { web: 0, worker: 0 } });
    const id = world.idOf(app);
    await finish(world.provider, id, await world.provider.wake(id, null, patient()));
    expect(app.amounts).toEqual({ web: 1, worker: 0 });
  });

  test("of an app that is up changes nothing, whatever was remembered", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", { formation: { web: 3 } });
    const id = world.idOf(app);
    const step = await world.provider.wake(id, quantities({ web: 1 }), patient());
    expect(step.done).toBe(true);
    expect(world.fake.api.count("scale")).toBe(0);
  });

  test("of an app whose workers alone run starts the web", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", { formation: { web: 0, worker: 1 } });
    const id = world.idOf(app);
    expect((await world.provider.observe(id, patient())).phase).toBe("asleep");
    // What the snapshot of before knows about web must not be lost to one without web.
    expect((await rejection(world.provider.takeSnapshot(id, patient()))).kind).toBe("invalid");
    await finish(world.provider, id, await world.provider.wake(id, null, patient()));
    expect(app.amounts).toEqual({ web: 1, worker: 1 });
  });

  test("leaves out a process type that is gone since", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    const id = world.idOf(app);
    const snapshot = quantities({ web: 1, gone: 2 });
    await finish(world.provider, id, await world.provider.wake(id, snapshot, patient()));
    expect(app.amounts).toEqual({ web: 1 });
    expect(world.fake.violations).toEqual([]);
  });

  test("waits for what the platform does with the app, then does its own", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", { formation: { web: 1 } });
    app.scaleByHand({ web: 0 });
    const id = world.idOf(app);
    await finish(
      world.provider,
      id,
      await world.provider.wake(id, quantities({ web: 2 }), patient()),
    );
    expect(app.amounts).toEqual({ web: 2 });
    expect(world.fake.violations).toEqual([]);
  });

  test("that fails is told in the platform's words", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    app.nextBoots({ outcome: "error" });
    const id = world.idOf(app);
    await world.provider.list(patient());
    const step = await world.provider.wake(id, null, patient());
    const error = await rejection(finish(world.provider, id, step));
    expect(error.message).toBe(
      "Scalingo could not start demo-app: container web-1 failed to start",
    );
  });

  test("goes by the app's state once its operation took too long", async () => {
    await using world = await startScalingo({ config: { operationTimeoutMs: 1 } });
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    app.nextBoots({ ms: 200 });
    const id = world.idOf(app);
    await finish(world.provider, id, await world.provider.wake(id, null, patient()));
    expect(app.status).toBe("running");
    expect(world.fake.api.count("operations.read")).toBe(0);
  });

  test("that was begun goes on when the API goes away: the app itself shows the rest", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    const id = world.idOf(app);
    const step = await world.provider.wake(id, null, patient());
    world.fake.api.fail("*", resetsBefore(), Number.POSITIVE_INFINITY);
    const { target } = await finish(world.provider, id, step);
    expect(target?.origin).toBe(world.fake.addressOf(app));
  });

  test("of an app that was never deployed is refused with the reason, without a change", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", { formation: { web: 0 }, isDeployed: false });
    const error = await rejection(world.provider.wake(world.idOf(app), null, patient()));
    expect(error.message).toContain("was never deployed");
    expect(app.amounts).toEqual({ web: 0 });
  });

  test("that must be paid first says so", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    app.block();
    const error = await rejection(world.provider.wake(world.idOf(app), null, patient()));
    expect(error.kind).toBe("payment");
    expect(error.message).toContain("billing profile");
  });

  test("two operations at a time, however many apps wake", async () => {
    await using world = await startScalingo({ bootMs: 60 });
    const apps = Array.from({ length: 6 }, (_none, n) =>
      world.fake.addApp(`app-number-${n}`, { formation: { web: 0 } }),
    );
    await Promise.all(
      apps.map(async (app) => {
        const id = world.idOf(app);
        await finish(world.provider, id, await world.provider.wake(id, null, patient()));
      }),
    );
    expect(world.fake.scalesInFlightPeak).toBe(2);
  });

  for (const fault of [resetsAfter(), resetsBefore()]) {
    const what = fault.kind === "reset" && fault.isApplied ? "was applied" : "was not applied";
    test(`whose write ${what} although the connection died is applied once`, async () => {
      await using world = await startScalingo();
      const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
      world.fake.api.fail("scale", fault);
      const id = world.idOf(app);
      const step = await world.provider.wake(id, quantities({ web: 2 }), patient());
      await finish(world.provider, id, step);
      expect(app.amounts).toEqual({ web: 2 });
      const isApplied = fault.kind === "reset" && fault.isApplied;
      expect(world.fake.api.count("scale")).toBe(isApplied ? 1 : 2);
    });
  }

  test("follows an operation whose address is relative, and none of another origin", async () => {
    for (const rewriteLocation of [
      (url: string) => new URL(url).pathname,
      (url: string) => `https://evil.example${new URL(url).pathname}`,
    ]) {
      await using world = await startScalingo({ rewriteLocation });
      const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
      const id = world.idOf(app);
      await finish(world.provider, id, await world.provider.wake(id, null, patient()));
      expect(app.status).toBe("running");
    }
  });
});

describe("scalingo: a sleep", () => {
  test("remembers sizes", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", {
      formation: { web: { amount: 2, size: "L" }, worker: 0 },
    });
    expect(await world.provider.takeSnapshot(world.idOf(app), patient())).toEqual({
      kind: "quantities",
      processes: [
        { type: "web", quantity: 2, size: "L" },
        { type: "worker", quantity: 0, size: "M" },
      ],
    });
  });

  test("is refused while a deployment runs, be it only queued", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app");
    for (const status of ["queued", "building", "pushing"] as const) {
      app.beginDeploy(status);
      const error = await rejection(world.provider.takeSnapshot(world.idOf(app), patient()));
      expect([error.kind, error.message.includes(status)]).toEqual(["busy", true]);
      app.finishDeploy();
    }
    app.beginDeploy("starting");
    expect((await world.provider.observe(world.idOf(app), patient())).phase).toBe("deploying");
  });

  test("of an app with an enabled autoscaler never comes to be, and is shown", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app");
    const id = world.idOf(app);
    app.addAutoscaler("worker", true);
    await world.provider.takeSnapshot(id, patient());
    app.addAutoscaler("web");
    const error = await rejection(world.provider.takeSnapshot(id, patient()));
    expect(error.message).toContain("an autoscaler for web");
    const [listing] = await world.provider.list(patient());
    expect(listing?.observation).toMatchObject({ phase: "unmanaged", reason: error.message });
    expect((await world.provider.observe(id, patient())).phase).toBe("unmanaged");
    expect(app.hasEnabledAutoscaler).toBe(true);
  });

  test("of a busy app is refused as busy", async () => {
    await using world = await startScalingo({ bootMs: 2000 });
    const app = world.fake.addApp("demo-app");
    app.restart();
    const id = world.idOf(app);
    const error = await rejection(world.provider.sleep(id, quantities({ web: 1 }), patient()));
    expect(error.kind).toBe("busy");
    expect(error.message).toContain("is restarting");
  });

  test("goes on when the API goes away for a while", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app");
    const id = world.idOf(app);
    let step = await world.provider.sleep(id, quantities({ web: 1 }), patient());
    world.fake.api.fail("*", answersText(503, "away"), Number.POSITIVE_INFINITY);
    if (step.done) throw new Error("it has to be followed");
    step = await world.provider.poll(id, step.operation, patient());
    expect(step.done).toBe(false);
    world.fake.api.heal();
    await finish(world.provider, id, step);
    expect(app.status).toBe("stopped");
  });

  test("takes down the rest when a process type is gone since the snapshot", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app");
    const id = world.idOf(app);
    const stale = quantities({ web: 1, gone: 2 });
    await finish(world.provider, id, await world.provider.sleep(id, stale, patient()));
    expect(app.amounts).toEqual({ web: 0 });
  });

  test("without a snapshot takes down what runs; a one-off is no obstacle", async () => {
    await using world = await startScalingo({ stopMs: 1 });
    const app = world.fake.addApp("demo-app", { formation: { web: 1, worker: 2 } });
    app.addOneOff();
    const id = world.idOf(app);
    await finish(world.provider, id, await world.provider.sleep(id, NOTHING, patient()));
    expect(app.amounts).toEqual({ web: 0, worker: 0 });
    app.showStatus("running");
    expect((await world.provider.observe(id, patient())).phase).toBe("asleep");
  });
});

describe("scalingo: the account", () => {
  test("a bearer that has died is renewed once for all", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app");
    await world.provider.list(patient());
    world.fake.expireBearers();
    await Promise.all(
      Array.from({ length: 4 }, () => world.provider.observe(world.idOf(app), patient())),
    );
    expect(world.fake.auth.count("tokens.exchange")).toBe(2);
    expect(world.fake.violations).toEqual([]);
  });

  test("a check says whose apps there are, per region", async () => {
    await using world = await startScalingo();
    world.fake.addApp("first-app");
    world.fake.addApp("second-app");
    expect(await world.provider.check?.(patient())).toEqual([
      { account: "john", region: "osc-fr1", apps: 2, remaining: null },
    ]);
    expect(world.fake.api.count()).toBe(1);
  });

  test("a check of a wrong token says so, without the token", async () => {
    await using world = await startScalingo({ config: { token: "tk-us-wrong-one" } });
    const check = world.provider.check?.(patient());
    const error = await rejection(check ?? Promise.resolve());
    expect(error.kind).toBe("auth");
    expect(error.message).toContain("PROVIDER_SCALINGO_API_TOKEN");
    expect(error.message).not.toContain("wrong-one");
  });

  test("after a 429 sweeps are paused for a minute, and a wake gets through", async () => {
    const clock = createVirtualClock();
    await using world = await startScalingo({ clock, bootMs: 1000 });
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    await world.provider.list(patient());
    world.fake.setRequestsPerWindow(0);
    for (let sweep = 0; sweep < 3; sweep += 1) {
      const error = await rejection(world.provider.list(patient()));
      expect([error.kind, error.retryAfterMs]).toEqual(["rate-limited", 60_000]);
    }
    expect(world.fake.rateLimited).toBe(1);
    world.fake.setRequestsPerWindow(1_000_000);
    const beganMs = clock.now();
    const waking = world.provider.wake(world.idOf(app), null, patient());
    await passTime(clock, waking);
    expect(app.amounts).toEqual({ web: 1 });
    expect(clock.now() - beganMs).toBeLessThan(15_000);
    expect((await rejection(world.provider.list(patient()))).kind).toBe("rate-limited");
    await clock.advance(60_000);
    expect(await world.provider.list(patient())).toHaveLength(1);
  });

  test("what the router says is told apart from what an app says", async () => {
    await using world = await startScalingo();
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    const isDown = async () => {
      const { status, headers } = await fetch(world.fake.addressOf(app));
      return world.provider.isDownAnswer?.(status, (name) => headers.get(name));
    };
    expect(await isDown()).toBe(true);
    app.setFormation({ web: 1 });
    await until(async () => (await isDown()) === false);
    app.trouble("quarantined");
    expect(await isDown()).toBe(true);
    app.trouble("timeout");
    expect(await isDown()).toBe(false);
    expect(world.provider.isDownAnswer?.(503, () => null)).toBe(false);
  });

  test("a state that nobody asked about is not-found with the region's name", async () => {
    await using world = await startScalingo();
    const error = await rejection(world.provider.observe("osc-fr9/123", patient()));
    expect([error.kind, error.message.includes("osc-fr9")]).toEqual(["not-found", true]);
    await untilPhase(world.provider, world.idOf(world.fake.addApp("late-app")), "awake");
  });
});
