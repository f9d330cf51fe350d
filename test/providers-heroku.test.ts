/** The provider `heroku` against the fake: the contract, and what only Heroku does. */

import { describe, expect, test } from "bun:test";
import { describeProvider, finish, patient, rejection, untilPhase } from "./contract/provider.ts";
import { answers } from "./fakes/fake-faults.ts";
import {
  phaseOf,
  sleepFully,
  snapshotWith,
  startHeroku,
  wakeFully,
} from "./support/heroku-provider.ts";

describeProvider("heroku", async () => {
  const world = await startHeroku();
  const app = world.fake.addApp("demo-app", { formation: { web: 0, worker: 0 } });
  return {
    provider: world.provider,
    appId: app.id,
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      expect(world.fake.violations).toEqual([]);
    },
  };
});

const RICH = { web: 2, worker: 3, clock: 0 };
const DOWN = { web: 0, worker: 0, clock: 0 };

describe("heroku: discovery", () => {
  test("one call for 300 apps, none of which is looked at", async () => {
    await using world = await startHeroku();
    for (let n = 0; n < 300; n += 1) world.fake.addApp(`app-number-${n}`, { team: "acme" });
    const listings = await world.provider.list(patient());
    expect(listings).toHaveLength(300);
    expect(listings.every(({ observation }) => observation === null)).toBe(true);
    expect(world.callsSince()).toEqual(["apps.list"]);
    expect(world.fake.violations).toEqual([]);
  });

  test("more than a thousand apps come in parts, each app once", async () => {
    await using world = await startHeroku();
    for (let n = 0; n < 2_300; n += 1) world.fake.addApp(`app-number-${n}`, { formation: {} });
    const listings = await world.provider.list(patient());
    expect(new Set(listings.map(({ id }) => id)).size).toBe(2_300);
    expect(world.callsSince()).toEqual(["apps.list", "apps.list", "apps.list"]);
    expect(world.fake.violations).toEqual([]);
  });

  test("an app that was renamed keeps its id, and gets its new key and address", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("Old-Name");
    const [before] = await world.provider.list(patient());
    app.rename("new-name");
    const [after] = await world.provider.list(patient());
    expect([before?.key, after?.key]).toEqual(["old-name", "new-name"]);
    expect(after?.id).toBe(app.id);
    const { target } = await world.provider.observe(app.id, patient());
    expect(`${target?.origin}/`).toBe(app.webUrl ?? "");
  });

  test("an app of a Private Space is told from the list alone, and cannot be woken", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("inner-app", { isInternal: true });
    const [listing] = await world.provider.list(patient());
    expect(listing?.observation?.phase).toBe("unmanaged");
    expect(listing?.observation?.reason).toContain("Private Space");
    const error = await rejection(world.provider.wake(app.id, null, patient()));
    expect(error.message).toContain("could not wake inner-app: it has no web_url");
  });

  test("that an app is Eco is listed after the first look at it", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("eco-app", { isEco: true });
    const listsItself = async () => (await world.provider.list(patient()))[0]?.sleepsByItself;
    expect(await listsItself()).toBe(false);
    expect(await phaseOf(world, app)).toBe("awake");
    expect(await listsItself()).toBe(true);
    app.setFormation({ web: { quantity: 1, size: "Basic" } });
    await phaseOf(world, app);
    expect(await listsItself()).toBe(false);
  });

  test("unknown fields and words do no harm", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app");
    world.fake.api.beStrange({ hasUnknownFields: true, words: { state: "hibernating" } });
    expect(await world.provider.list(patient())).toHaveLength(1);
    const seen = await world.provider.observe(app.id, patient());
    expect([seen.phase, seen.reason]).toEqual([
      "unknown",
      'Heroku says that a web dyno of it is "hibernating"',
    ]);
  });
});

describe("heroku: a look", () => {
  test("costs two calls, and one more only for an app that no list had", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app");
    await world.provider.observe(app.id, patient());
    expect(world.callsSince().toSorted()).toEqual(["apps.read", "dynos.list", "formation.read"]);
    const other = world.fake.addApp("other-app");
    await world.provider.list(patient());
    await world.provider.observe(other.id, patient());
    const [first, ...rest] = world.callsSince();
    expect(first).toBe("apps.list");
    expect(rest.toSorted()).toEqual(["dynos.list", "formation.read"]);
  });

  test("sees maintenance, a bill and a suspension as blocked, each with its reason", async () => {
    await using world = await startHeroku();
    const maintained = world.fake.addApp("maintained-app");
    const delinquent = world.fake.addApp("delinquent-app");
    const suspended = world.fake.addApp("suspended-app");
    maintained.setMaintenance(true);
    await world.provider.list(patient());
    delinquent.refuse("delinquent");
    suspended.refuse("suspended");
    const reasons = [];
    for (const { id } of [maintained, delinquent, suspended]) {
      const seen = await world.provider.observe(id, patient());
      expect(seen.phase).toBe("blocked");
      reasons.push(seen.reason ?? "");
    }
    expect(reasons[0]).toContain("maintenance:off");
    expect(reasons[1]).toContain("bill");
    expect(reasons[2]).toContain("suspended");
  });

  test("sees crashed dynos as failed the second time", async () => {
    await using world = await startHeroku({ crashBackoffMs: [] });
    const app = world.fake.addApp("demo-app");
    app.crash();
    expect(await phaseOf(world, app)).toBe("waking");
    const seen = await untilPhase(world.provider, app.id, "failed");
    expect(seen.reason).toContain("web.1");
    expect(world.fake.violations).toEqual([]);
  });

  test("of the same moment twice is one call to the dynos", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app");
    await world.provider.list(patient());
    world.callsSince();
    await Promise.all([phaseOf(world, app), phaseOf(world, app)]);
    expect(world.callsSince().filter((kind) => kind === "dynos.list")).toHaveLength(1);
  });

  test("that was begun and given up by one does not fail the other", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app");
    await world.provider.list(patient());
    const impatient = new AbortController();
    const first = rejection(world.provider.observe(app.id, impatient.signal));
    const second = phaseOf(world, app);
    impatient.abort(new Error("enough"));
    expect((await first).kind).toBe("failed");
    expect(await second).toBe("awake");
  });
});

describe("heroku: sleep and wake", () => {
  test("every quantity comes back, types at 0 stay there, and it takes one write each", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app", { formation: RICH, size: "Standard-2X" });
    const snapshot = await sleepFully(world, app);
    expect(app.quantities).toEqual(DOWN);
    expect(await phaseOf(world, app)).toBe("asleep");
    const processes = snapshot.kind === "quantities" ? snapshot.processes : [];
    expect(processes.toSorted((a, b) => b.quantity - a.quantity)).toEqual([
      { type: "worker", quantity: 3, size: "Standard-2X" },
      { type: "web", quantity: 2, size: "Standard-2X" },
      { type: "clock", quantity: 0, size: "Standard-2X" },
    ]);
    const step = await wakeFully(world, app, JSON.parse(JSON.stringify(snapshot)));
    expect(`${step.target?.origin}/`).toBe(app.webUrl ?? "");
    expect(app.quantities).toEqual(RICH);
    expect(app.sizes).toEqual({ web: "Standard-2X", worker: "Standard-2X", clock: "Standard-2X" });
    expect(world.fake.api.count("scale")).toBe(2);
    expect(world.fake.violations).toEqual([]);
  });

  test("a sleep costs the look at build and release, and is followed by the dynos alone", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app");
    await world.provider.list(patient());
    world.callsSince();
    await sleepFully(world, app);
    const kinds = world.callsSince();
    expect(kinds.slice(0, 4).toSorted()).toEqual([
      "builds.list",
      "formation.read",
      "releases.list",
      "scale",
    ]);
    expect(new Set(kinds.slice(4))).toEqual(new Set(["dynos.list"]));
  });

  test("without a snapshot web is 1 and nothing else runs", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app", { formation: DOWN });
    await wakeFully(world, app, null);
    expect(app.quantities).toEqual({ web: 1, worker: 0, clock: 0 });
  });

  test("an app that is up already is not written to", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app", { formation: { web: 1, worker: 2 } });
    const step = await wakeFully(world, app, snapshotWith({ web: 3, worker: 3 }));
    expect(step.target).not.toBeNull();
    expect(app.quantities).toEqual({ web: 1, worker: 2 });
    expect(world.fake.api.count("scale")).toBe(0);
  });

  test("an app that is being deployed is not put to sleep, neither by its build nor its release", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app");
    app.beginDeploy();
    const building = await rejection(world.provider.takeSnapshot(app.id, patient()));
    app.beginReleasePhase();
    const releasing = await rejection(world.provider.takeSnapshot(app.id, patient()));
    expect([building.kind, releasing.kind]).toEqual(["busy", "busy"]);
    expect(building.message).toContain("build");
    expect(releasing.message).toContain("release phase");
    app.finishDeploy();
    await sleepFully(world, app);
    expect(world.fake.violations).toEqual([]);
  });

  test("an app of Eco dynos is never put to sleep, and one that is down is woken", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("eco-app", { isEco: true });
    const error = await rejection(world.provider.takeSnapshot(app.id, patient()));
    expect(error.message).toContain("Eco");
    app.fallIdle();
    expect(await phaseOf(world, app)).toBe("awake");
    await wakeFully(world, app, null);
    expect(world.fake.api.count("scale")).toBe(0);
    app.setFormation({ web: 0 });
    await wakeFully(world, app, null);
    expect(app.quantities).toEqual({ web: 1 });
    expect(world.fake.violations).toEqual([]);
  });

  test("a start that crashes twice fails with its reason, before the time is up", async () => {
    await using world = await startHeroku({ crashBackoffMs: [] });
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    app.nextBoots({ outcome: "crashes" });
    const error = await rejection(wakeFully(world, app, null));
    expect([error.kind, error.message.includes("web.1")]).toEqual(["failed", true]);
    expect(world.fake.violations).toEqual([]);
  });

  test("a start that crashes once and then comes up is awake", async () => {
    await using world = await startHeroku({ crashBackoffMs: [500] });
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    app.nextBoots({ outcome: "crashes" });
    const step = await wakeFully(world, app, null);
    expect(step.target).not.toBeNull();
    expect(world.fake.violations).toEqual([]);
  });

  test("a wake of what has crashed before starts its dynos anew", async () => {
    await using world = await startHeroku({ crashBackoffMs: [] });
    const app = world.fake.addApp("demo-app");
    app.crash();
    const restarts: string[] = [];
    world.fake.api.fail(
      ({ method, path }) => {
        if (method !== "DELETE") return false;
        restarts.push(path);
        app.restart();
        return true;
      },
      answers({ status: 202, body: {} }),
    );
    await wakeFully(world, app, snapshotWith({ web: 1 }));
    expect(restarts).toEqual([`/apps/${app.id}/dynos/web.1`]);
    expect(world.fake.api.count("scale")).toBe(0);
  });

  test("an operation that takes too long is left to the app's own state", async () => {
    await using world = await startHeroku({
      bootMs: 50_000,
      config: { operationTimeoutMs: 6_000 },
    });
    const app = world.fake.addApp("slow-app", { formation: { web: 0 } });
    const step = await wakeFully(world, app, null);
    expect(`${step.target?.origin}/`).toBe(app.webUrl ?? "");
    expect(await phaseOf(world, app)).toBe("waking");
  });

  test("somebody who scales up while it goes to sleep is heard", async () => {
    await using world = await startHeroku({ stopMs: 20_000 });
    const app = world.fake.addApp("demo-app");
    await world.provider.list(patient());
    const snapshot = await world.provider.takeSnapshot(app.id, patient());
    const first = await world.provider.sleep(app.id, snapshot, patient());
    app.scaleByHand({ web: 2 });
    const error = await rejection(finish(world.provider, app.id, first));
    expect(error.kind).toBe("failed");
    expect(error.message).toContain("scaled demo-app up");
  });

  test("an app in maintenance is not woken, until it is over", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    app.setMaintenance(true);
    await world.provider.list(patient());
    const error = await rejection(world.provider.wake(app.id, null, patient()));
    expect(error.message).toContain("maintenance:off --app demo-app");
    expect(world.fake.api.count("scale")).toBe(0);
    app.setMaintenance(false);
    await wakeFully(world, app, null);
    expect(app.quantities).toEqual({ web: 1 });
  });

  test("a process type that is gone since the snapshot is left out", async () => {
    await using world = await startHeroku();
    const app = world.fake.addApp("demo-app", { formation: { web: 0 } });
    await wakeFully(world, app, snapshotWith({ web: 2, mailer: 5 }));
    expect(app.quantities).toEqual({ web: 2 });
    await world.provider.sleep(app.id, snapshotWith({ web: 2, mailer: 5 }), patient());
    expect(app.quantities).toEqual({ web: 0 });
  });
});
