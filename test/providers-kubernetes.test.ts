/** The provider `kubernetes` against the fake cluster: the contract, and what only Kubernetes does. */

import { describe, expect, test } from "bun:test";
import { describeProvider, patient, rejection, untilPhase } from "./contract/provider.ts";
import type { KubeconfigUser } from "./fakes/fake-kubernetes-files.ts";
import type { NewService, NewWorkload } from "./fakes/fake-kubernetes-new.ts";
import type { AppAnswer } from "./fakes/fake-router.ts";
import {
  idOf,
  listingOf,
  lookAt,
  sleepFully,
  snapshotOf,
  startKubernetes,
  wakeFully,
} from "./support/kubernetes-provider.ts";
import { until } from "./support/until.ts";

for (const kind of ["Deployment", "StatefulSet"] as const) {
  describeProvider(`kubernetes (${kind})`, async () => {
    const world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { kind, replicas: 0 });
    return {
      provider: world.provider,
      appId: idOf(app),
      async [Symbol.asyncDispose]() {
        await world[Symbol.asyncDispose]();
        expect(world.fake.violations).toEqual([]);
      },
    };
  });
}

const PREVIOUS = "paastis.dev/previous-replicas";

async function answerOf(origin: string | undefined): Promise<AppAnswer> {
  const response = await fetch(`${origin}/`, { keepalive: false });
  return (await response.json()) as AppAnswer; // JSON of the built-in app.
}

/** The data plane follows the EndpointSlices a moment later. */
async function isAnswered(origin: string | undefined): Promise<boolean> {
  return await answerOf(origin).then(
    () => true,
    () => false,
  );
}

describe.concurrent("kubernetes: a wake", () => {
  test("is one scale, gives back all replicas, and is done when somebody answers", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 3 });
    await sleepFully(world, app);
    await untilPhase(world.provider, idOf(app), "asleep");
    world.callsSince();
    const { target } = await wakeFully(world, app, snapshotOf(app, 3));
    expect(app.ready).toBeGreaterThan(0);
    await until(() => isAnswered(target?.origin));
    expect(world.callsSince().filter((kind) => kind.endsWith(".patch"))).toEqual([
      "deployments.scale.patch",
    ]);
    expect(app.replicas).toBe(3);
    const port = app.entrances[0]?.port;
    expect(target?.host).toBe(`demo.preview.svc.cluster.localhost:${port}`);
    expect(world.fake.violations).toEqual([]);
  });

  test.each([
    ["the snapshot", 4, "7", 4],
    ["what is written on it, without a snapshot", null, "7", 7],
    ["what is written on it, with a snapshot of zeros", 0, "7", 7],
    ["one, when nothing is known", null, null, 1],
    ["one, when nonsense is written on it", null, "many", 1],
  ])("goes by %s", async (_what, stored, written, replicas) => {
    await using world = await startKubernetes();
    const annotations = written === null ? {} : { [PREVIOUS]: written };
    const app = world.fake.addWorkload("demo", { replicas: 0, annotations });
    await wakeFully(world, app, stored === null ? null : snapshotOf(app, stored));
    expect(app.replicas).toBe(replicas);
    expect(world.fake.violations).toEqual([]);
  });

  test("of an app whose size is not said comes back with one", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: null });
    expect((await lookAt(world, app)).phase).toBe("awake");
    const snapshot = await sleepFully(world, app);
    expect(snapshot).toEqual(snapshotOf(app, 1, null));
    await untilPhase(world.provider, idOf(app), "asleep");
    await wakeFully(world, app, snapshot);
    expect(app.replicas).toBe(1);
  });

  test("is not over with a pod that is ending and still serves", async () => {
    await using world = await startKubernetes({ servesWhileEnding: true, bootMs: 200 });
    const app = world.fake.addWorkload("demo");
    app.podsGo({ stopMs: 100, bootMs: 200 });
    await sleepFully(world, app);
    await wakeFully(world, app, snapshotOf(app, 1));
    const ready = app.pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    expect([ready.length, app.ready]).toEqual([1, 1]);
  });

  test("of a StatefulSet waits for the old pod of the same name, and for the first only", async () => {
    await using world = await startKubernetes({ stopMs: 100 });
    const app = world.fake.addWorkload("db", { kind: "StatefulSet", replicas: 2 });
    const snapshot = await sleepFully(world, app);
    await wakeFully(world, app, snapshot);
    expect(app.replicas).toBe(2);
    expect(app.ready).toBeGreaterThan(0);
    await until(() => app.ready === 2);
    expect(world.fake.violations).toEqual([]);
  });

  test.each([
    ["in one slice of several", { endpointsPerSlice: 1 }],
    ["that leaves out whether it is ready", { leavesOutReady: true }],
    ["with a Scale that says zero", { saysZero: true }],
  ])("sees an endpoint %s", async (_what, options) => {
    await using world = await startKubernetes(options);
    const app = world.fake.addWorkload("demo", { replicas: 0 });
    await wakeFully(world, app, snapshotOf(app, 3));
    expect(app.ready).toBeGreaterThan(0);
    expect(world.fake.violations).toEqual([]);
  });

  test("waits by one watch, not by reading again and again", async () => {
    await using world = await startKubernetes({ readsMax: 3 });
    const app = world.fake.addWorkload("demo", { replicas: 0 });
    app.podsGo({ bootMs: 600_000 });
    const beganMs = performance.now();
    const waking = wakeFully(world, app);
    await until(() => world.fake.watches.count("endpointslices") === 1);
    await until(() => performance.now() - beganMs > 1_000);
    app.mend();
    await waking;
    const kinds = world.callsSince();
    expect(kinds.filter((kind) => kind === "endpointslices.watch")).toHaveLength(1);
    // Some looks a second, however long it takes.
    const seconds = (performance.now() - beganMs) / 1_000;
    expect(kinds.length).toBeLessThanOrEqual(8 + 2 * seconds);
    expect(world.fake.violations).toEqual([]);
  });

  test.each([
    ["crash-loop", "CrashLoopBackOff: exit code 1, Error"],
    ["image-pull", "ImagePullBackOff"],
    ["config-error", 'CreateContainerConfigError: secret "web-env" not found'],
  ] as const)("that fails says what the pod says: %s", async (outcome, reason) => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 0 });
    app.podsGo({ outcome });
    const error = await rejection(wakeFully(world, app));
    expect([error.kind, error.message]).toEqual(["failed", expect.stringContaining(reason)]);
    const seen = await lookAt(world, app);
    expect([seen.phase, seen.reason]).toEqual(["failed", expect.stringContaining(reason)]);
    app.mend();
    await wakeFully(world, app);
    expect((await lookAt(world, app)).phase).toBe("awake");
    expect(world.fake.violations).toEqual([]);
  });

  test.each([
    ["unschedulable", "Insufficient memory"],
    ["never-ready", "none of its pods is ready yet"],
  ] as const)(
    "that may still succeed goes on, and says what it waits for: %s",
    async (outcome, reason) => {
      await using world = await startKubernetes();
      const app = world.fake.addWorkload("demo", { replicas: 0 });
      app.podsGo({ outcome });
      const giveUp = new AbortController();
      const { provider } = world;
      const first = await provider.wake(idOf(app), null, giveUp.signal);
      if (first.done) throw new Error("done, although nobody can be ready");
      const waiting = provider.poll(idOf(app), first.operation, giveUp.signal);
      // Looked at while it waits: what it waits for is known then.
      await until(async () => (await lookAt(world, app)).reason?.includes(reason) === true);
      giveUp.abort(new Error("long enough"));
      const error = await rejection(waiting);
      if (outcome === "unschedulable") expect(error.message).toContain(reason);
      expect((await lookAt(world, app)).phase).toBe("waking");
    },
  );

  test("is done at once for an app that somebody has woken, and changes nothing", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 0 });
    app.scale(2);
    await until(() => app.object.status.readyReplicas === 2);
    const step = await world.provider.wake(idOf(app), snapshotOf(app, 5), patient());
    expect([step.done, app.replicas]).toEqual([true, 2]);
    expect(world.fake.api.count("deployments.scale.*")).toBe(0);
  });

  test("that somebody undoes meanwhile fails, and says so", async () => {
    await using world = await startKubernetes({ bootMs: 60_000 });
    const app = world.fake.addWorkload("demo", { replicas: 0 });
    const { provider } = world;
    const first = await provider.wake(idOf(app), null, patient());
    if (first.done) throw new Error("done, although nobody can be ready");
    app.scale(0);
    const error = await rejection(provider.poll(idOf(app), first.operation, patient()));
    expect([error.kind, error.message]).toEqual(["failed", expect.stringContaining("GitOps")]);
  });

  // What others do at the same time would count.
  test.serial("of twenty apps at once is twenty scales, and four calls each", async () => {
    await using world = await startKubernetes();
    const apps = Array.from({ length: 20 }, (_none, one) =>
      world.fake.addWorkload(`app-${one}`, { replicas: 0 }),
    );
    using _watching = await world.watch();
    world.callsSince();
    await Promise.all(apps.map((app) => wakeFully(world, app, snapshotOf(app, 2))));
    expect(apps.map(({ replicas }) => replicas)).toEqual(apps.map(() => 2));
    const kinds = world.callsSince().filter((kind) => !kind.endsWith(".watch"));
    expect(kinds.filter((kind) => kind.endsWith(".patch"))).toHaveLength(20);
    expect(kinds.length).toBeLessThanOrEqual(80);
    expect(world.fake.violations).toEqual([]);
  });
});

describe.concurrent("kubernetes: a sleep", () => {
  test("writes the size on the workload first, in our name, and then scales to zero", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 3, annotations: { team: "web" } });
    const snapshot = await sleepFully(world, app);
    expect(snapshot).toEqual(snapshotOf(app, 3, null));
    expect(app.annotations).toEqual({ team: "web", [PREVIOUS]: "3" });
    expect(app.replicas).toBe(0);
    const writes = world.callsSince().filter((kind) => kind.endsWith(".patch"));
    expect(writes).toEqual(["deployments.patch", "deployments.scale.patch"]);
    const managers = app.object.metadata.managedFields?.map(({ manager }) => manager);
    expect(new Set(managers)).toEqual(new Set(["paastis"]));
    expect(world.fake.violations).toEqual([]);
  });

  test("that is repeated never writes a zero, and the size stays what it was", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 3 });
    await sleepFully(world, app);
    await untilPhase(world.provider, idOf(app), "asleep");
    const second = await sleepFully(world, app);
    expect(app.annotations[PREVIOUS]).toBe("3");
    await wakeFully(world, app, second);
    expect(app.replicas).toBe(3);
  });

  test("is 'stopping' while pods are ending, where the cluster counts them", async () => {
    await using world = await startKubernetes({ reportsTerminating: true, stopMs: 2_000 });
    const app = world.fake.addWorkload("demo", { replicas: 2 });
    await sleepFully(world, app);
    await until(() => app.object.status.terminatingReplicas === 2);
    expect((await lookAt(world, app)).phase).toBe("stopping");
    await untilPhase(world.provider, idOf(app), "asleep");
  });

  test("of a StatefulSet is 'stopping' until its last pod has gone", async () => {
    await using world = await startKubernetes({ stopMs: 1_000 });
    const app = world.fake.addWorkload("db", { kind: "StatefulSet", replicas: 2 });
    await sleepFully(world, app);
    expect((await lookAt(world, app)).phase).toBe("stopping");
    await untilPhase(world.provider, idOf(app), "asleep");
    expect(app.pods).toEqual([]);
  });

  test("ready pods that are still counted after a scale to zero do not make it awake", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo");
    world.fake.controllers.pause();
    app.scale(0);
    expect(app.object.status.readyReplicas).toBe(1);
    expect((await lookAt(world, app)).phase).toBe("stopping");
  });

  test.each([
    ["a rollout", "beginRollout"],
    ["a change that the cluster has not yet taken up", "lag"],
  ] as const)("is refused during %s, and nothing is written", async (_what, how) => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 2 });
    if (how === "lag") world.fake.controllers.pause();
    app.beginRollout();
    if (how !== "lag") await until(() => (app.object.status.updatedReplicas ?? 0) < 2);
    expect((await lookAt(world, app)).phase).toBe("deploying");
    const taken = await rejection(world.provider.takeSnapshot(idOf(app), patient()));
    const slept = await rejection(world.provider.sleep(idOf(app), snapshotOf(app, 2), patient()));
    expect([taken.kind, slept.kind]).toEqual(["busy", "busy"]);
    expect([app.replicas, app.annotations[PREVIOUS]]).toEqual([2, undefined]);
    world.fake.controllers.resume();
    app.endRollout();
    await untilPhase(world.provider, idOf(app), "awake");
    await sleepFully(world, app);
    expect(app.replicas).toBe(0);
    expect(world.fake.violations).toEqual([]);
  });

  test.each(["deployments.patch", "deployments.scale.patch"])(
    "does not stop a rollout that begins right before its %s",
    async (kind) => {
      await using world = await startKubernetes();
      const app = world.fake.addWorkload("demo");
      world.fake.api.beforeNext(kind, () => app.beginRollout());
      const error = await rejection(world.provider.sleep(idOf(app), snapshotOf(app, 1), patient()));
      expect([error.kind, app.replicas]).toEqual(["busy", 1]);
    },
  );

  test("of an app that somebody scales at the same moment keeps the newer size", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 2 });
    world.fake.api.beforeNext("deployments.scale.patch", () => app.scale(5));
    await world.provider.sleep(idOf(app), snapshotOf(app, 2), patient()).catch(() => null);
    if (app.replicas === 0) expect(app.annotations[PREVIOUS]).toBe("5");
    else expect(app.replicas).toBe(5);
  });

  test("is not asked for where a rollout failed and the old pods go on", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { progressDeadlineSeconds: 1 });
    app.beginRollout();
    await until(() =>
      JSON.stringify(app.object.status.conditions).includes("ProgressDeadlineExceeded"),
    );
    const seen = await lookAt(world, app);
    expect([seen.phase, seen.reason]).toEqual([
      ...["deploying", expect.stringContaining("ProgressDeadlineExceeded")],
    ]);
    expect(seen.target).not.toBeNull();
  });

  test("goes on with a StatefulSet whose rollout ends at its partition", async () => {
    await using world = await startKubernetes();
    const updateStrategy = { type: "RollingUpdate", rollingUpdate: { partition: 1 } } as const;
    const kind = "StatefulSet";
    const app = world.fake.addWorkload("db", { kind, replicas: 2, updateStrategy });
    app.rollOut("db:2");
    await until(() => app.object.status.updatedReplicas === 1 && app.ready === 2);
    expect((await lookAt(world, app)).phase).toBe("awake");
  });
});

describe.concurrent("kubernetes: autoscalers", () => {
  test("an app is restored to what its autoscaler wants at least, and that goes on from there", async () => {
    await using world = await startKubernetes({ autoscalerMs: 20 });
    const app = world.fake.addWorkload("demo", { replicas: 4 });
    app.addAutoscaler({ min: 2, max: 5 });
    const snapshot = await sleepFully(world, app);
    await untilPhase(world.provider, idOf(app), "asleep");
    await wakeFully(world, app, snapshot);
    expect(app.replicas).toBe(2);
    app.recommend(4);
    await until(() => app.ready === 4);
    expect((await lookAt(world, app)).phase).toBe("awake");
    expect(world.fake.violations).toEqual([]);
  });

  test("one that went while the app slept does not count any more", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 4 });
    app.addAutoscaler({ max: 5 });
    const snapshot = await sleepFully(world, app);
    await untilPhase(world.provider, idOf(app), "asleep");
    app.deleteAutoscaler();
    await wakeFully(world, app, snapshot);
    expect(app.replicas).toBe(4);
  });

  test("one that may go to zero by itself is left alone, with a reason", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo");
    app.addAutoscaler({ min: 0, max: 5 });
    const { observation } = await listingOf(world, app);
    expect([observation?.phase, observation?.reason]).toEqual([
      ...["unmanaged", expect.stringContaining("minReplicas is 0")],
    ]);
    expect(observation?.target).not.toBeNull();
    const error = await rejection(world.provider.takeSnapshot(idOf(app), patient()));
    expect([error.kind, error.message]).toEqual(["invalid", expect.stringContaining("autoscaler")]);
    expect(world.fake.api.count("deployments.scale.*")).toBe(0);
  });
});

describe.concurrent("kubernetes: where an app answers", () => {
  test.each([
    ["the only port, whatever its name", { ports: [{ name: "grpc" }] }, {}, 0],
    ["the port called http", { ports: [{ name: "metrics" }, { name: "http" }] }, {}, 1],
    ["the port called web", { ports: [{ name: "metrics" }, { name: "web" }] }, {}, 1],
    ["the only port that begins with http-", { ports: [{ name: "x" }, { name: "http-a" }] }, {}, 1],
    [
      "the port of an annotation, by name",
      { ports: [{ name: "http" }, { name: "admin" }] },
      { "paastis.dev/port": "admin" },
      1,
    ],
  ] as const)("%s", async (_what, service, annotations, index) => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { service: { ...service }, annotations });
    const { target } = await lookAt(world, app);
    expect(target?.origin).toEndWith(`:${app.entrances[index]?.port}`);
    expect((await answerOf(target?.origin)).app).toBe("demo");
  });

  test.each([
    ["no Service", { service: null }, "no Service in preview selects its pods"],
    [
      "several ports without a known name",
      { service: { ports: [{ name: "a" }, { name: "b" }] } },
      "has several ports",
    ],
    ["no port", { service: { ports: [] } }, "has no TCP port"],
    [
      "a Service that is not there",
      { annotations: { "paastis.dev/service": "other" } },
      "there is no Service other in preview",
    ],
  ] as const)(
    "%s: it is left alone with a reason, and a wake is refused",
    async (_what, options, why) => {
      await using world = await startKubernetes();
      const app = world.fake.addWorkload("demo", { ...(options as NewWorkload), replicas: 0 });
      const { observation } = await listingOf(world, app);
      expect([observation?.phase, observation?.reason]).toEqual([
        ...["unmanaged", expect.stringContaining(why)],
      ]);
      const error = await rejection(world.provider.wake(idOf(app), null, patient()));
      expect([error.kind, error.message]).toEqual(["invalid", expect.stringContaining(why)]);
      expect(app.replicas).toBe(0);
      expect(world.fake.violations).toEqual([]);
    },
  );

  test("several Services are told by name, and an annotation chooses one", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo");
    const [entrance] = world.fake.addService(app, { name: "demo-admin" });
    const seen = await lookAt(world, app);
    expect([seen.phase, seen.reason]).toEqual([
      ...["unmanaged", expect.stringContaining("demo, demo-admin")],
    ]);
    app.annotate({ "paastis.dev/service": "demo-admin" });
    const { target, phase } = await lookAt(world, app);
    expect(phase).toBe("awake");
    expect(target?.host).toBe(`demo-admin.preview.svc.cluster.localhost:${entrance?.port}`);
  });

  test("a Service that selects only some of the labels fits as well, another namespace's does not", async () => {
    await using world = await startKubernetes();
    const podLabels = { app: "demo", tier: "web" };
    const service: NewService = { selector: { tier: "web" }, name: "web" };
    const app = world.fake.addWorkload("demo", { podLabels, service });
    world.fake.addWorkload("demo", { podLabels, service, namespace: "other" });
    expect((await lookAt(world, app)).target?.host).toStartWith("web.preview.svc.");
  });

  test("a headless Service leads to the port of the pods", async () => {
    await using world = await startKubernetes();
    const service = { isHeadless: true };
    const app = world.fake.addWorkload("db", { kind: "StatefulSet", service });
    const { target } = await lookAt(world, app);
    expect((await answerOf(target?.origin)).app).toBe("db");
  });

  test("outside of the cluster it is the address of the Service, and a headless one has none", async () => {
    await using world = await startKubernetes({ config: () => ({ reach: "cluster-ip" }) });
    const app = world.fake.addWorkload("demo");
    const { target } = await lookAt(world, app);
    expect(target?.origin).toBe(`http://${app.entrances[0]?.clusterIp}:${app.entrances[0]?.port}`);
    expect((await answerOf(target?.origin)).app).toBe("demo");
    const headless = world.fake.addWorkload("db", { service: { isHeadless: true } });
    const seen = await lookAt(world, headless);
    expect([seen.phase, seen.reason]).toEqual(["unmanaged", expect.stringContaining("headless")]);
  });
});

describe("kubernetes: discovery", () => {
  test("an app is marked by a label or an annotation, and nothing else is touched", async () => {
    await using world = await startKubernetes();
    const marked = { "paastis.dev/enabled": "true" };
    world.fake.addWorkload("by-label", { labels: marked });
    world.fake.addWorkload("by-annotation", { labels: {}, annotations: marked });
    world.fake.addWorkload("refused", { labels: { "paastis.dev/enabled": "false" } });
    const plain = world.fake.addWorkload("plain", { labels: { app: "plain" } });
    world.fake.addWorkload("db", { kind: "StatefulSet" });
    const listings = await world.provider.list(patient());
    expect(listings.map(({ key }) => key).toSorted()).toEqual(["by-annotation", "by-label", "db"]);
    const error = await rejection(world.provider.wake(idOf(plain), null, patient()));
    expect(error.kind).toBe("not-found");
    expect((await rejection(sleepFully(world, plain))).kind).toBe("not-found");
    expect(plain.object.metadata.generation).toBe(1);
    expect(world.fake.violations).toEqual([]);
  });

  test("what its owner wrote on an app are its settings", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", {
      annotations: {
        "paastis.dev/name": "Shop",
        "paastis.dev/max-idle-time": "90",
        "paastis.dev/health": "/up",
        "paastis.dev/wake-timeout": "600",
        "paastis.dev/linked-apps": "api, db",
      },
    });
    const listing = await listingOf(world, app);
    expect(listing.key).toBe("shop");
    expect(listing.settings).toEqual({
      maxIdleMinutes: 90,
      health: "/up",
      wakeTimeoutSeconds: 600,
      linkedApps: ["api", "db"],
    });
  });

  test("600 workloads are three pages, and a second list costs nothing while they are watched", async () => {
    await using world = await startKubernetes();
    for (let one = 0; one < 600; one += 1) {
      world.fake.addWorkload(`app-${one}`, { replicas: 0, service: null });
    }
    expect(await world.provider.list(patient())).toHaveLength(600);
    const kinds = world.callsSince().toSorted();
    expect(kinds).toEqual([
      ...["deployments.list", "deployments.list", "deployments.list"],
      ...["horizontalpodautoscalers.list", "services.list", "statefulsets.list"],
    ]);
    using _watching = await world.watch();
    world.callsSince();
    expect(await world.provider.list(patient())).toHaveLength(600);
    expect(world.callsSince()).toEqual([]);
    expect(world.fake.violations).toEqual([]);
  });

  test("the whole cluster, or several namespaces, and each app has a second name in them", async () => {
    for (const namespaces of ["all", ["blue", "green"]] as const) {
      await using world = await startKubernetes({ config: () => ({ namespaces }) });
      const blue = world.fake.addWorkload("demo", { namespace: "blue" });
      const green = world.fake.addWorkload("demo", { namespace: "green", replicas: 0 });
      const listings = await world.provider.list(patient());
      expect(new Set(listings.map(({ id }) => id))).toEqual(new Set([idOf(blue), idOf(green)]));
      expect(listings.map(({ aliases }) => aliases)).toEqual([["demo-blue"], ["demo-green"]]);
      await wakeFully(world, green);
      expect([blue.replicas, green.replicas]).toEqual([1, 1]);
      expect(world.fake.violations).toEqual([]);
    }
  });

  test("an app that is being deleted is on its way down, and one that is gone is not listed", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo");
    app.beginDelete();
    expect((await lookAt(world, app)).phase).toBe("stopping");
    app.delete();
    expect(await world.provider.list(patient())).toEqual([]);
    expect((await rejection(lookAt(world, app))).kind).toBe("not-found");
  });

  test("unknown fields and words do no harm", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 0 });
    world.fake.api.beStrange({ hasUnknownFields: true, words: { reason: "Tomorrow" } });
    using watching = await world.watch();
    await wakeFully(world, app);
    await until(() => watching.phasesOf(app).includes("awake"));
    await sleepFully(world, app);
    await untilPhase(world.provider, idOf(app), "asleep");
    expect(world.fake.violations).toEqual([]);
  });

  test("what is wrong with pods is looked at for a few apps per list, not for hundreds", async () => {
    await using world = await startKubernetes({ bootMs: 600_000 });
    for (let one = 0; one < 60; one += 1) {
      world.fake.addWorkload(`app-${one}`, { replicas: 0, service: {} }).scale(1);
    }
    await world.provider.list(patient());
    expect(world.fake.api.count("pods.list")).toBeLessThanOrEqual(10);
  });
});

describe.concurrent("kubernetes: ways in", () => {
  const waysIn = {
    "a token in a kubeconfig": (fake) => ({ kind: "token", token: fake.token }),
    "a token file": (fake) => ({
      kind: "token-file",
      path: `${fake.files.serviceAccountDir}/token`,
    }),
    "a certificate": () => ({ kind: "certificate" }),
  } satisfies Readonly<Record<string, WayIn>>;

  for (const [name, user] of Object.entries<WayIn>(waysIn)) {
    for (const certificatesAs of ["data", "files"] as const) {
      test(`${name}, certificates in ${certificatesAs}`, async () => {
        await using world = await startKubernetes({
          config: (fake) => ({
            api: {
              kind: "kubeconfig",
              context: null,
              file: fake.files.writeKubeconfig({
                ...{ server: fake.url, namespace: "preview", certificatesAs },
                user: user(fake),
              }),
            },
          }),
        });
        const app = world.fake.addWorkload("demo", { replicas: 0 });
        await wakeFully(world, app);
        expect(app.replicas).toBe(1);
        expect(world.fake.violations).toEqual([]);
      });
    }
  }

  test("kubectl proxy", async () => {
    await using world = await startKubernetes({
      config: (fake) => ({
        api: {
          kind: "kubeconfig",
          context: null,
          file: fake.files.writeKubeconfig({
            ...{ server: fake.proxyUrl, namespace: "preview", user: { kind: "none" } },
          }),
        },
      }),
    });
    world.fake.addWorkload("demo");
    expect(await world.provider.list(patient())).toHaveLength(1);
    expect(world.fake.violations).toEqual([]);
  });
});

type WayIn = (fake: Awaited<ReturnType<typeof startKubernetes>>["fake"]) => KubeconfigUser;
