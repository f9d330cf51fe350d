/** The provider `clever-cloud` against the fake: the contract, and what only Clever Cloud does. */

import { describe, expect, test } from "bun:test";
import { ProviderError, type Step } from "../src/providers/provider.ts";
import { describeProvider, finish, patient, rejection, untilPhase } from "./contract/provider.ts";
import { answers, answersHtml, appliesAndAnswers, resetsAfter } from "./fakes/fake-faults.ts";
import { type CleverCloudTest, startCleverCloud } from "./support/clever-cloud-world.ts";
import { createVirtualClock, type VirtualClock } from "./support/virtual-clock.ts";

const VARIANTS = [
  { credentials: "token" },
  { credentials: "oauth1", stopsAs: "SHOULD_BE_DOWN", startsAs: "SHOULD_BE_UP" },
  { showsUndeploy: "never", saysDeploymentId: false },
  { showsUndeploy: "at-end", failsAs: "SHOULD_BE_DOWN" },
] as const;

for (const variant of VARIANTS) {
  describeProvider(`clever-cloud (${Object.values(variant).join(", ")})`, async () => {
    const world = await startCleverCloud(variant);
    const app = world.fake.addApp("Demo App", { is: "down" });
    return {
      provider: world.provider,
      appId: world.idOf(app),
      async [Symbol.asyncDispose]() {
        await world[Symbol.asyncDispose]();
        expect(world.fake.violations).toEqual([]);
      },
    };
  });
}

async function wakeFully({ provider }: CleverCloudTest, id: string): Promise<Step> {
  return await finish(provider, id, await provider.wake(id, null, patient()));
}

async function sleepFully({ provider }: CleverCloudTest, id: string): Promise<Step> {
  return await finish(provider, id, await provider.sleep(id, { kind: "none" }, patient()));
}

/** How much virtual time passes in about a millisecond. */
const VIRTUAL_STEP_MS = 50;

/** Lets virtual time pass until `work` is through. */
async function overTime<T>(clock: VirtualClock, work: Promise<T>): Promise<T> {
  let isOver = false;
  const end = () => {
    isOver = true;
  };
  work.then(end, end);
  while (!isOver) {
    await Bun.sleep(1);
    await clock.advance(VIRTUAL_STEP_MS);
  }
  return await work;
}

/** Follows to the end while the clock goes on, as fast as calls are answered. */
async function finishOver(clock: VirtualClock, world: CleverCloudTest, id: string): Promise<Step> {
  let step = await overTime(clock, world.provider.wake(id, null, patient()));
  for (let looks = 0; !step.done; looks += 1) {
    if (looks > 500) throw new Error("it never comes to an end");
    await clock.advance(step.pollAfterMs);
    step = await overTime(clock, world.provider.poll(id, step.operation, patient()));
  }
  return step;
}

describe("clever-cloud: discovery", () => {
  test("personal apps and those of every organisation, in one call and one for addresses", async () => {
    await using world = await startCleverCloud();
    const { fake, provider } = world;
    const other = fake.addOrganisation("Other");
    for (let count = 0; count < 100; count += 1) {
      fake.addApp(`Personal ${count}`, { ownerId: fake.userId });
      fake.addApp(`Acme ${count}`);
      fake.addApp(`Autre été ${count}`, { ownerId: other, is: "down" });
    }
    const listings = await provider.list(patient());
    expect(listings).toHaveLength(300);
    expect(fake.count()).toBe(2);
    expect(fake.count("summary")).toBe(1);
    const keys = listings.map(({ key }) => key);
    expect(keys).toContain("personal-7");
    expect(keys).toContain("acme-99");
    const sleeper = listings.find(({ key }) => key === "autre-ete-3");
    expect(sleeper?.observation?.phase).toBe("asleep");
    expect(sleeper?.aliases?.[0]).toMatch(/^app-[0-9a-f-]{36}$/);
    expect(fake.violations).toEqual([]);
  });

  test("the addresses of one owner are read with each list, then none for an hour", async () => {
    const clock = createVirtualClock();
    await using world = await startCleverCloud({ clock });
    const { fake, provider } = world;
    const other = fake.addOrganisation("Other");
    const apps = [fake.userId, fake.organisationId, other].map((ownerId) =>
      fake.addApp(`of ${ownerId}`, { ownerId }),
    );
    const targets = async () =>
      (await provider.list(patient())).flatMap(({ observation }) => observation?.target ?? []);
    const counts: number[] = [];
    for (let sweep = 0; sweep < 6; sweep += 1) {
      counts.push((await targets()).length);
      await clock.advance(1_000);
    }
    expect(counts).toEqual([1, 2, 3, 3, 3, 3]);
    expect([fake.count("summary"), fake.count("apps.list")]).toEqual([6, 3]);
    expect((await targets()).map(({ origin }) => origin).toSorted()).toEqual(
      apps.map((app) => fake.addressOf(app)).toSorted(),
    );
    await clock.advance(60 * 60_000);
    await provider.list(patient());
    expect(fake.count("apps.list")).toBe(4);
    expect(fake.violations).toEqual([]);
  });

  test("tasks and archived apps are left out", async () => {
    await using world = await startCleverCloud();
    const task = world.fake.addApp("task", { lifetime: "TASK", is: "down" });
    world.fake.addApp("archived").archive();
    world.fake.addApp("plain");
    expect((await world.provider.list(patient())).map(({ key }) => key)).toEqual(["plain"]);
    const error = await rejection(world.provider.wake(world.idOf(task), null, patient()));
    expect(error.kind).toBe("invalid");
    expect((await world.provider.observe(world.idOf(task), patient())).phase).toBe("unmanaged");
    expect(world.fake.violations).toEqual([]);
  });

  test("an owner whose apps cannot be read leaves the list as it is", async () => {
    const clock = createVirtualClock();
    await using world = await startCleverCloud({ clock });
    world.fake.addApp("demo");
    world.fake.bridge.fail("apps.list", answersHtml(200), Number.POSITIVE_INFINITY);
    const [listing] = await overTime(clock, world.provider.list(patient()));
    expect(listing?.observation).toEqual({ phase: "awake", target: null });
  });

  test("of apps with the same name the older one has it, and the other its id", async () => {
    const clock = createVirtualClock();
    await using world = await startCleverCloud({ clock });
    const { fake, provider } = world;
    const other = fake.addOrganisation("Other");
    const older = fake.addApp("Démo", { ownerId: other });
    const keys = async () => (await provider.list(patient())).map(({ id, key }) => [id, key]);
    expect(await keys()).toEqual([[world.idOf(older), "demo"]]);
    await clock.advance(1_000);
    const newer = fake.addApp("demo");
    const olderFirst = [
      [world.idOf(older), "demo"],
      [world.idOf(newer), "demo"],
    ];
    expect(await keys()).toEqual(olderFirst);
    // After a restart both are listed before it is known who is older.
    await using again = await startCleverCloud({ clock, config: { apiUrl: fake.bridge.origin } });
    const first = (await again.provider.list(patient())).map(({ id, key }) => [id, key]);
    expect(first.map(([, key]) => key?.slice(0, 4))).toEqual(["app-", "app-"]);
    const second = (await again.provider.list(patient())).map(({ id, key }) => [id, key]);
    expect(second).toEqual(olderFirst);
  });

  test("words of tomorrow and unknown fields are no trouble", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo");
    world.fake.bridge.beStrange({ hasUnknownFields: true });
    app.showState("HALF_UP");
    const [listing] = await world.provider.list(patient());
    expect(listing?.observation?.phase).toBe("unknown");
    const seen = await world.provider.observe(world.idOf(app), patient());
    expect(seen.reason).toContain("HALF_UP");
    const app2 = world.fake.addApp("other");
    expect((await world.provider.observe(world.idOf(app2), patient())).phase).toBe("awake");
  });

  test("the platform's own domain is the address, and one that comes later is found by a wake", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo", { vhosts: ["www.example.localhost/"] });
    const id = world.idOf(app);
    const hostOf = async () =>
      (await world.provider.wake(id, null, patient())) as { target: { host: string } };
    expect((await hostOf()).target.host).toStartWith("www.example.localhost:");
    const own = `${app.id.replace("_", "-")}.cleverapps.localhost/`;
    app.addVhost(own);
    expect((await hostOf()).target.host).toStartWith("app-");
  });
});

describe("clever-cloud: observing", () => {
  test("takes three calls at most", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo");
    await world.provider.observe(world.idOf(app), patient());
    expect(world.fake.count()).toBe(3);
    world.fake.bridge.forgetCalls();
    app.moderate("DEFAULT_OF_PAYMENT");
    const seen = await world.provider.observe(world.idOf(app), patient());
    expect([seen.phase, world.fake.count()]).toEqual(["blocked", 1]);
  });

  test("tells a deployment under way, a failed one, and a crash apart", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo");
    const phase = async () => (await world.provider.observe(world.idOf(app), patient())).phase;
    expect(await phase()).toBe("awake");
    app.beginDeploy();
    expect(await phase()).toBe("deploying");
    app.failDeploy();
    expect(await phase()).toBe("unmanaged");
    app.beginDeploy();
    app.finishDeploy();
    expect(await phase()).toBe("awake");
    app.crash();
    await untilPhase(world.provider, world.idOf(app), "unknown");
  });

  test("what a look found is what lists say, as long as the app's own word stays the same", async () => {
    const clock = createVirtualClock();
    await using world = await startCleverCloud({ clock });
    const app = world.fake.addApp("demo");
    const listed = async () => (await world.provider.list(patient()))[0]?.observation;
    app.beginDeploy();
    app.failDeploy();
    expect((await listed())?.phase).toBe("awake");
    await world.provider.observe(world.idOf(app), patient());
    expect((await listed())?.phase).toBe("unmanaged");
    expect((await listed())?.reason).toContain("failed");
    app.stopByHand();
    await clock.advance(1_000);
    expect((await listed())?.phase).toBe("asleep");
    app.startByHand();
    await clock.advance(70_000);
    expect((await listed())?.phase).toBe("awake");
    expect(world.fake.violations).toEqual([]);
  });

  test("an app that is gone is not found, by its name", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo");
    await world.provider.list(patient());
    world.fake.deleteApp(app);
    const error = await rejection(world.provider.observe(world.idOf(app), patient()));
    expect(error.kind).toBe("not-found");
    expect(error.message).toContain("demo");
    expect(error.message).toContain("Sozu-Id");
  });
});

describe("clever-cloud: a wake", () => {
  test("is one start, followed until an instance answers", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo", { is: "down", minInstances: 3 });
    app.nextStarts({ instanceLagMs: 30 });
    const step = await wakeFully(world, world.idOf(app));
    expect(step).toMatchObject({ done: true, target: { origin: world.fake.addressOf(app) } });
    expect(app.serving).toBe(3);
    expect([world.fake.count("start"), world.fake.count("stop")]).toEqual([1, 0]);
    expect(world.fake.violations).toEqual([]);
  });

  test("waits until the deployment is through, although an instance is up already", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo", { is: "down" });
    app.nextStarts({ deploymentLagMs: 150 });
    await wakeFully(world, world.idOf(app));
    expect(app.deployments[0]?.state).toBe("OK");
  });

  test("of an app that is up, or being deployed, starts nothing", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo");
    const id = world.idOf(app);
    expect((await world.provider.wake(id, null, patient())).done).toBe(true);
    app.beginDeploy();
    expect((await world.provider.wake(id, null, patient())).done).toBe(true);
    app.failDeploy();
    expect((await world.provider.wake(id, null, patient())).done).toBe(true);
    const coming = world.fake.addApp("coming", { is: "down" });
    coming.beginDeploy();
    const first = await world.provider.wake(world.idOf(coming), null, patient());
    expect(first.done).toBe(false);
    coming.finishDeploy();
    await finish(world.provider, world.idOf(coming), first);
    expect(world.fake.count("start")).toBe(0);
    expect(world.fake.violations).toEqual([]);
  });

  test("that fails says which deployment failed, and the next one tries again", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo", { is: "down" });
    const id = world.idOf(app);
    app.failNextStart();
    const error = await rejection(wakeFully(world, id));
    expect(error.kind).toBe("failed");
    expect(error.message).toContain(app.deployments[0]?.uuid ?? "none");
    app.nextStarts({ outcome: "cancelled" });
    expect((await rejection(wakeFully(world, id))).message).toContain("cancelled");
    await wakeFully(world, id);
    expect(world.fake.count("start")).toBe(3);
    expect(world.fake.violations).toEqual([]);
  });

  test("of an app that was never deployed says so", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo", { is: "never-deployed" });
    const error = await rejection(world.provider.wake(world.idOf(app), null, patient()));
    expect(error.kind).toBe("invalid");
    expect(error.message).toContain("never deployed");
  });

  test.each([
    ["MODERATED", "forbidden"],
    ["DEFAULT_OF_PAYMENT", "payment"],
  ] as const)("of an app that is %s is %s, without a start", async (state, kind) => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo", { is: "down" });
    app.moderate(state);
    const error = await rejection(world.provider.wake(world.idOf(app), null, patient()));
    expect(error.kind).toBe(kind);
    expect(error.message).toContain(state);
    expect(world.fake.count("start")).toBe(0);
  });

  test.each([
    ["was reset", resetsAfter()],
    ["was a 502", appliesAndAnswers({ status: 502, body: "Bad Gateway" })],
  ])("whose answer %s is not ordered twice", async (_how, fault) => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo", { is: "down" });
    world.fake.bridge.fail("start", fault);
    await wakeFully(world, world.idOf(app));
    expect(world.fake.count("start")).toBe(1);
    expect(world.fake.violations).toEqual([]);
  });

  test("that was given up and is asked for again is not ordered twice", async () => {
    await using world = await startCleverCloud({ queueMs: 200 });
    const app = world.fake.addApp("demo", { is: "down" });
    const id = world.idOf(app);
    await world.provider.wake(id, null, patient());
    await wakeFully(world, id);
    expect(world.fake.count("start")).toBe(1);
    expect(world.fake.violations).toEqual([]);
  });

  test("that nothing comes of is ordered once more after a minute, and then given up", async () => {
    const clock = createVirtualClock();
    await using world = await startCleverCloud({ clock });
    const app = world.fake.addApp("demo", { is: "down" });
    const id = world.idOf(app);
    app.nextStarts({ outcome: "lost" });
    await finishOver(clock, world, id);
    expect(world.fake.count("start")).toBe(2);
    const dead = world.fake.addApp("dead", { is: "down" });
    dead.nextStarts({ outcome: "lost" }, { outcome: "lost" });
    const error = await rejection(finishOver(clock, world, world.idOf(dead)));
    expect(error.message).toContain("began no deployment");
    expect(world.fake.count("start")).toBe(4);
    expect(world.fake.violations).toEqual([]);
  });

  test("of an app that crashed waits a minute for the platform to repair it, then starts it", async () => {
    const clock = createVirtualClock();
    await using world = await startCleverCloud({ clock });
    const app = world.fake.addApp("demo");
    const id = world.idOf(app);
    app.crash();
    const begunMs = clock.now();
    await finishOver(clock, world, id);
    expect(clock.now() - begunMs).toBeGreaterThan(60_000);
    expect(world.fake.count("start")).toBe(1);
    expect(world.fake.violations).toEqual([]);
  });

  test("goes on while the API stumbles, and while it is busy", async () => {
    const clock = createVirtualClock();
    await using world = await startCleverCloud({ clock });
    const app = world.fake.addApp("demo", { is: "down" });
    const busy = { status: 409, body: { id: 4009, message: "busy", type: "error" } };
    world.fake.bridge.fail("start", answers(busy));
    const isLater = ({ kind }: { readonly kind: string }) =>
      kind === "instances.list" && world.fake.count("start") > 0;
    world.fake.bridge.fail(isLater, answersHtml(200), 4);
    await finishOver(clock, world, world.idOf(app));
    expect(world.fake.count("start")).toBe(2);
    expect(world.fake.violations).toEqual([]);
  });

  test("is no start while the app still stops, however soon it is asked for", async () => {
    await using world = await startCleverCloud({ stopMs: 300 });
    const app = world.fake.addApp("demo");
    const id = world.idOf(app);
    const sleeping = await world.provider.sleep(id, { kind: "none" }, patient());
    const waking = await world.provider.wake(id, null, patient());
    expect([sleeping.done, waking.done]).toEqual([false, false]);
    await finish(world.provider, id, sleeping);
    await finish(world.provider, id, waking);
    await untilPhase(world.provider, id, "awake");
    expect([world.fake.count("start"), world.fake.count("stop")]).toEqual([1, 1]);
    expect(world.fake.violations).toEqual([]);
  });
});

describe("clever-cloud: a sleep", () => {
  test("is refused while somebody deploys, and when the last deployment failed", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo");
    const id = world.idOf(app);
    app.beginDeploy();
    expect((await rejection(sleepFully(world, id))).kind).toBe("busy");
    app.failDeploy();
    expect((await rejection(sleepFully(world, id))).message).toContain("failed");
    expect(world.fake.count("stop")).toBe(0);
  });

  test("whose answer was lost is not ordered twice", async () => {
    await using world = await startCleverCloud({ stopMs: 100 });
    const app = world.fake.addApp("demo");
    world.fake.bridge.fail("stop", resetsAfter());
    await sleepFully(world, world.idOf(app));
    expect(app.state).toBe("SHOULD_BE_DOWN");
    expect(world.fake.count("stop")).toBe(1);
    expect(world.fake.violations).toEqual([]);
  });
});

describe("clever-cloud: what the API refuses", () => {
  test("403 with the id 403 is a rate limit, any other is forbidden", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo", { is: "down" });
    app.forbid("writes");
    const forbidden = await rejection(world.provider.wake(world.idOf(app), null, patient()));
    expect(forbidden.kind).toBe("forbidden");
    world.fake.setLimit(0);
    const limited = await rejection(world.provider.list(patient()));
    expect(limited.kind).toBe("rate-limited");
    expect(limited.retryAfterMs).toBeGreaterThan(20_000);
  });

  test("a revoked token is told as such, without the token", async () => {
    for (const credentials of ["token", "oauth1"] as const) {
      await using world = await startCleverCloud({ credentials });
      const { fake } = world;
      fake.revokeToken();
      const error = await rejection(world.provider.check?.(patient()) ?? Promise.resolve());
      expect(error.kind).toBe("auth");
      const told = JSON.stringify([error.message, world.lines]);
      for (const secret of [fake.apiToken, fake.oauth.token, fake.oauth.consumerKey]) {
        expect(told).not.toContain(secret);
      }
    }
  });

  test("the credential is checked with one call that names every owner", async () => {
    await using world = await startCleverCloud({ credentials: "oauth1" });
    world.fake.addApp("one");
    world.fake.addApp("two", { ownerId: world.fake.userId });
    expect(await world.provider.check?.(patient())).toEqual([
      { account: "me (personal)", region: null, apps: 1, remaining: null },
      { account: "Acme", region: null, apps: 1, remaining: null },
    ]);
    expect(world.fake.count()).toBe(1);
    expect(world.fake.violations).toEqual([]);
  });

  test("only the router's own 404 says that an app is down", async () => {
    await using world = await startCleverCloud();
    const says = (status: number, name: string) =>
      world.provider.isDownAnswer?.(status, (asked) => (asked === name ? "true" : null));
    expect(says(404, "x-clevercloudupgrade")).toBe(true);
    expect(says(200, "x-clevercloudupgrade")).toBe(false);
    expect(says(404, "x-other")).toBe(false);
  });

  test("an operation of another provider is invalid", async () => {
    await using world = await startCleverCloud();
    const app = world.fake.addApp("demo");
    const error = await rejection(world.provider.poll(world.idOf(app), { id: "x" }, patient()));
    expect(error).toBeInstanceOf(ProviderError);
    expect(error.kind).toBe("invalid");
  });
});
