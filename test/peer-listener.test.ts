import { expect, test } from "bun:test";

import type { App } from "../src/app.ts";
import { recordOf } from "../src/lifecycle-context.ts";
import { createPeerListener } from "../src/peer-listener.ts";
import type { PeerListener } from "../src/peers.ts";
import type { AppRecord } from "../src/registry/registry.ts";
import { recordingLog } from "./support/recording-log.ts";
import { awakeAt, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";

interface Listening {
  readonly world: SmallWorld;
  readonly listener: PeerListener;
  /** Providers that were to be asked soon. */
  readonly asked: string[];
}

function listening(): Listening {
  const world = createSmallWorld();
  const asked: string[] = [];
  const { core, registry, clock } = world;
  const { log } = recordingLog();
  const askSoon = (provider: string) => void asked.push(provider);
  return { world, listener: createPeerListener({ ...core, registry, askSoon, clock, log }), asked };
}

function newer(app: App, changes: Partial<AppRecord>): AppRecord {
  return { ...recordOf(app), fence: app.fence + 1, ...changes };
}

test("peer listener: what another instance has stored is taken over", () => {
  const { world, listener } = listening();
  const app = world.add("shop");
  const target = sampleTarget("shop");
  listener.stored(newer(app, { phase: "awake", target }), "b");
  expect(app.state).toMatchObject({ kind: "awake", target });
});

test("peer listener: an app that we do not know is asked for", () => {
  const { world, listener, asked } = listening();
  const record = newer(world.add("shop"), { ref: { provider: "scalingo", id: "new" } });
  listener.stored(record, "b");
  expect(listener.mayStop({ ref: record.ref, fence: 1, unusedMs: null }, "b")).toBeNull();
  expect(asked).toEqual(["scalingo"]);
});

test("peer listener: leases of all other instances count, each until it says otherwise", async () => {
  const { world, listener } = listening();
  const app = world.add("shop", { state: awakeAt("shop") });
  const { ref } = app;
  listener.used("b", [{ ref, leases: 2, unusedMs: 0 }]);
  listener.used("c", [{ ref, leases: 1, unusedMs: 0 }]);
  expect(app.leasesElsewhere).toBe(3);
  await world.clock.advance(90_000);
  listener.used("b", []);
  expect(app.leasesElsewhere).toBe(1);
  // Its last lease ended after it had last spoken.
  expect(app.idleSinceMs).toBe(world.clock.now());
  await world.clock.advance(5000);
  listener.used("c", [{ ref, leases: 0, unusedMs: 4000 }]);
  expect(app.leasesElsewhere).toBe(0);
  expect(app.idleSinceMs).toBe(world.clock.now() - 4000);
});

test("peer listener: an instance that is gone uses nothing, and changes nothing any more", () => {
  const { world, listener } = listening();
  const [shop, desk, blog] = ["shop", "desk", "blog"].map((key) =>
    world.add(key, { state: awakeAt(key) }),
  ) as [App, App, App]; // Three were asked for.
  listener.used("b", [{ ref: shop.ref, leases: 1, unusedMs: 0 }]);
  expect(listener.mayStop({ ref: desk.ref, fence: 9, unusedMs: null }, "b")).toBeNull();
  expect(listener.mayStop({ ref: blog.ref, fence: 9, unusedMs: null }, "c")).toBeNull();
  listener.gone("b");
  expect(shop.leasesElsewhere).toBe(0);
  expect(desk.state.kind).toBe("unknown");
  expect(blog.state.kind).toBe("stopping");
});

test("peer listener: what a stop came to is known, so that its instance may go", () => {
  const { world, listener } = listening();
  const app = world.add("shop", { state: awakeAt("shop") });
  expect(listener.mayStop({ ref: app.ref, fence: 9, unusedMs: null }, "b")).toBeNull();
  listener.stored(newer(app, { phase: "asleep", fence: 9 }), "b");
  listener.gone("b");
  expect(app.state.kind).toBe("asleep");
});

test("peer listener: what is used is told with its age, and what was used once", async () => {
  const { world, listener } = listening();
  const [busy, done, idle] = ["busy", "done", "idle"].map((key) =>
    world.add(key, { state: awakeAt(key) }),
  ) as [App, App, App]; // Three were asked for.
  const { activity } = world.core;
  activity.begin(busy);
  activity.begin(done);
  activity.end(done);
  await world.clock.advance(700);
  expect(listener.takeUses()).toEqual([
    { ref: busy.ref, leases: 1, unusedMs: 0 },
    { ref: done.ref, leases: 0, unusedMs: 700 },
  ]);
  expect(listener.takeUses()).toEqual([{ ref: busy.ref, leases: 1, unusedMs: 0 }]);
  expect(idle.leases).toBe(0);
});

async function heartbeats({ world, listener }: Listening, count: number): Promise<void> {
  for (let beat = 0; beat < count; beat += 1) {
    await world.clock.advance(1000);
    listener.takeUses();
  }
  await world.clock.advance(1);
}

test("peer listener: a stop that was read, and that nobody goes on with, keeps nobody waiting", async () => {
  const here = listening();
  const { world, listener, asked } = here;
  const app = world.add("shop", { state: awakeAt("shop") });
  await world.registry.save(newer(app, { phase: "stopping", fence: 4 }));
  const claim = await world.registry.claim(app.ref, 3);
  listener.resync();
  await heartbeats(here, 10);
  expect(app.state.kind).toBe("stopping");
  await claim?.release();
  await heartbeats(here, 4);
  expect(app.state.kind).toBe("unknown");
  expect(asked).toEqual(["stub"]);
  expect(await world.registry.claim(app.ref, 0)).not.toBeNull();
});

test("peer listener: the end of a wake that was missed is looked for as soon as nobody can be at it", async () => {
  const here = listening();
  const app = here.world.add("shop");
  here.listener.stored(newer(app, { phase: "waking" }), "b");
  await heartbeats(here, 2);
  expect(app.state.kind).toBe("waking");
  await heartbeats(here, 2);
  expect(app.state.kind).toBe("unknown");
});

test("peer listener: what could not be stored is stored with a later heartbeat", async () => {
  const here = listening();
  const { registry } = here.world;
  const app = here.world.add("shop", { state: awakeAt("shop"), fence: 3 });
  const { save } = registry;
  registry.save = () => Promise.reject(new Error("it did not answer"));
  here.world.core.lifecycle.save(app);
  await heartbeats(here, 2);
  registry.save = save;
  await heartbeats(here, 1);
  expect((await registry.load()).records).toMatchObject([
    { key: "shop", phase: "awake", fence: 3 },
  ]);
});

test("peer listener: whoever wants to stop what was used here is told of that use once more", async () => {
  const { world, listener } = listening();
  const app = world.add("shop", { state: awakeAt("shop") });
  const { activity } = world.core;
  activity.begin(app);
  activity.end(app);
  // Nobody has heard this.
  listener.takeUses();
  await world.clock.advance(3000);
  const question = { ref: app.ref, fence: 1, unusedMs: 60_000 };
  expect(listener.mayStop(question, "b")).toBe("it was used meanwhile");
  expect(listener.takeUses()).toEqual([{ ref: app.ref, leases: 0, unusedMs: 3000 }]);
  expect(listener.takeUses()).toEqual([]);
});

test("peer listener: after a gap what is newer there is taken over, and what is newer here is stored", async () => {
  const { world, listener, asked } = listening();
  const { registry } = world;
  const there = world.add("there", { fence: 3 });
  const here = world.add("here", {
    fence: 8,
    state: awakeAt("here"),
    lastTarget: sampleTarget("here"),
  });
  const nowhere = world.add("nowhere");
  await registry.save(newer(there, { phase: "awake", target: sampleTarget("there") }));
  const snapshot = { kind: "members", ids: ["m1"], mode: "stop" } as const;
  await registry.save({ ...recordOf(here), phase: "asleep", fence: 2, snapshot });
  await registry.save(
    newer(here, { ref: { provider: "heroku", id: "stranger" }, key: "stranger" }),
  );
  listener.resync();
  await world.clock.advance(1);
  expect(there.state.kind).toBe("awake");
  const { records } = await registry.load();
  const phases = new Map(records.map((record) => [record.key, [record.phase, record.fence]]));
  expect(phases.get("here")).toEqual(["awake", 8]);
  // It is older, and knows what brings the app back all the same.
  expect(here.snapshot).toEqual(snapshot);
  expect(phases.get(nowhere.key)).toEqual(["asleep", 0]);
  expect(asked).toEqual(["heroku"]);
});
