/** What happens by itself in the fake cluster: controllers, pods, EndpointSlices, and who answers. */

import { describe, expect, test } from "bun:test";
import { createVirtualClock } from "../support/virtual-clock.ts";
import { type FakeKubernetesOptions, startFakeKubernetes } from "./fake-kubernetes.ts";
import type { WorkloadControl } from "./fake-kubernetes-control.ts";
import type { AppAnswer } from "./fake-router.ts";

async function start(options: Partial<FakeKubernetesOptions> = {}) {
  const clock = createVirtualClock();
  const fake = await startFakeKubernetes({ clock, ...options });
  return {
    fake,
    clock,
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

/** Longer than any step takes, and shorter than a boot. */
const A_MOMENT = 200;

function numbersOf({ object }: WorkloadControl) {
  const { replicas = 0, readyReplicas = 0, updatedReplicas = 0 } = object.status;
  return [object.spec.replicas ?? 1, replicas, readyReplicas, updatedReplicas];
}

function conditionOf({ object }: WorkloadControl, type: string) {
  const found = object.status.conditions?.find((condition) => condition.type === type);
  return `${found?.status} ${found?.reason}`;
}

function waitingOf({ pods }: WorkloadControl): string[] {
  return pods.map(({ status }) => {
    const state = status.containerStatuses?.[0]?.state;
    if (state === undefined) return "none";
    return "waiting" in state ? state.waiting.reason : (Object.keys(state)[0] ?? "none");
  });
}

/** Who answers at an address, or why nobody does. */
async function answerAt(url: string): Promise<AppAnswer | string> {
  try {
    // JSON of the built-in app.
    return (await (await fetch(url, { keepalive: false })).json()) as AppAnswer;
  } catch (error) {
    return String(Reflect.get(Object(error), "code"));
  }
}

function urlOf({ name, namespace, entrances }: WorkloadControl): string {
  const port = entrances[0]?.port;
  return `http://${name}.${namespace}.svc.cluster.localhost:${port}/x?y`;
}

describe("a Deployment", () => {
  test("wakes: pods at once, ready after the boot, and only then somebody answers", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo", { replicas: 0 });
    expect(await answerAt(urlOf(demo))).toBe("ECONNREFUSED");
    demo.scale(2);
    await world.clock.advance(A_MOMENT);
    expect(numbersOf(demo)).toEqual([2, 2, 0, 2]);
    expect(waitingOf(demo)).toEqual(["ContainerCreating", "ContainerCreating"]);
    expect(conditionOf(demo, "Available")).toBe("False MinimumReplicasUnavailable");
    await world.clock.advance(4_700);
    expect(await answerAt(urlOf(demo))).toBe("ECONNREFUSED");
    await world.clock.advance(300);
    expect(numbersOf(demo)).toEqual([2, 2, 2, 2]);
    expect(await answerAt(urlOf(demo))).toMatchObject({ app: "demo", instances: 2, path: "/x?y" });
    const clusterUrl = `http://${demo.entrances[0]?.clusterIp}:${demo.entrances[0]?.port}/`;
    expect(await answerAt(clusterUrl)).toMatchObject({ app: "demo" });
    expect(demo.requests).toBe(2);
  });

  test("sleeps: refuses at once, and its pods are ending for a while", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo", { replicas: 2 });
    demo.scale(0);
    await world.clock.advance(A_MOMENT);
    expect(numbersOf(demo)).toEqual([0, 0, 0, 0]);
    expect(demo.pods.map(({ metadata }) => metadata.deletionTimestamp)).toHaveLength(2);
    expect(await answerAt(urlOf(demo))).toBe("ECONNREFUSED");
    await world.clock.advance(2_000);
    expect(demo.pods).toEqual([]);
  });

  test("reports pods that are ending where the cluster does that", async () => {
    await using world = await start({ reportsTerminating: true });
    const demo = world.fake.addWorkload("demo", { replicas: 2 });
    demo.scale(0);
    await world.clock.advance(A_MOMENT);
    expect(demo.object.status.terminatingReplicas).toBe(2);
    await world.clock.advance(2_000);
    expect(demo.object.status.terminatingReplicas).toBeUndefined();
  });

  test("its pods that are ending answer while no others do, where they are told to", async () => {
    await using world = await start({ servesWhileEnding: true });
    const demo = world.fake.addWorkload("demo");
    demo.scale(0);
    await world.clock.advance(A_MOMENT);
    expect(await answerAt(urlOf(demo))).toMatchObject({ app: "demo" });
    await world.clock.advance(2_000);
    expect(await answerAt(urlOf(demo))).toBe("ECONNREFUSED");
  });

  test("observedGeneration lags until the controller has seen the wish", async () => {
    await using world = await start({ controllerMs: 500 });
    const demo = world.fake.addWorkload("demo");
    demo.scale(0);
    await world.clock.advance(499);
    expect(demo.object).toMatchObject({
      metadata: { generation: 2 },
      status: { observedGeneration: 1, readyReplicas: 1 },
    });
    await world.clock.advance(1);
    expect(demo.object.status.observedGeneration).toBe(2);
  });

  test("a rollout replaces its pods one by one, and always somebody answers", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo", { replicas: 2 });
    demo.rollOut("demo:2");
    await world.clock.advance(A_MOMENT);
    expect(numbersOf(demo)).toEqual([2, 3, 2, 1]);
    expect(conditionOf(demo, "Progressing")).toBe("True ReplicaSetUpdated");
    for (let step = 0; step < 60; step += 1) {
      await world.clock.advance(250);
      expect(demo.ready).toBeGreaterThanOrEqual(2);
    }
    expect(numbersOf(demo)).toEqual([2, 2, 2, 2]);
    expect(conditionOf(demo, "Progressing")).toBe("True NewReplicaSetAvailable");
    expect(new Set(demo.pods.map(({ spec }) => spec.containers[0]?.image))).toEqual(
      new Set(["demo:2"]),
    );
  });

  test("a rollout that does not get on exceeds its deadline, and what ran goes on", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo", { progressDeadlineSeconds: 60 });
    demo.beginRollout();
    await world.clock.advance(59_000);
    expect(conditionOf(demo, "Progressing")).toBe("True ReplicaSetUpdated");
    await world.clock.advance(2_000);
    expect(conditionOf(demo, "Progressing")).toBe("False ProgressDeadlineExceeded");
    expect(demo.ready).toBe(1);
    demo.endRollout();
    await world.clock.advance(10_000);
    expect(conditionOf(demo, "Progressing")).toBe("True NewReplicaSetAvailable");
    expect(numbersOf(demo)).toEqual([1, 1, 1, 1]);
  });

  test("a wake that fails exceeds no deadline: all of it was rolled out before", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo", { replicas: 0, progressDeadlineSeconds: 60 });
    demo.podsGo({ outcome: "image-pull" });
    demo.scale(1);
    await world.clock.advance(120_000);
    expect(conditionOf(demo, "Progressing")).toBe("True NewReplicaSetAvailable");
    expect(waitingOf(demo)).toEqual(["ImagePullBackOff"]);
  });

  test.each([
    ["crash-loop", "CrashLoopBackOff"],
    ["image-pull", "ImagePullBackOff"],
    ["config-error", "CreateContainerConfigError"],
    ["never-ready", "running"],
    ["unschedulable", "none"],
  ] as const)("%s: its pod says %s, and comes up once that is mended", async (outcome, reason) => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo", { replicas: 0 });
    demo.podsGo({ outcome });
    demo.scale(1);
    await world.clock.advance(10_000);
    expect([waitingOf(demo), demo.ready]).toEqual([[reason], 0]);
    const [scheduled] = demo.pods[0]?.status.conditions.filter(
      ({ type }) => type === "PodScheduled",
    ) ?? [undefined];
    expect(scheduled?.reason).toBe(outcome === "unschedulable" ? "Unschedulable" : undefined);
    demo.mend();
    await world.clock.advance(6_000);
    expect(demo.ready).toBe(1);
  });

  test("crashes, and its Service refuses; evicted, and others take over", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo");
    demo.crash();
    await world.clock.advance(A_MOMENT);
    expect(numbersOf(demo)).toEqual([1, 1, 0, 1]);
    expect(await answerAt(urlOf(demo))).toBe("ECONNREFUSED");
    demo.mend();
    await world.clock.advance(6_000);
    const [before] = demo.pods;
    demo.evict();
    await world.clock.advance(6_000);
    expect(demo.ready).toBe(1);
    expect(demo.pods[0]?.metadata.uid).not.toBe(before?.metadata.uid ?? "");
  });

  test("goes with its pods when it is deleted, and nobody answers", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo");
    demo.delete();
    await world.clock.advance(3_000);
    expect(world.fake.store.list("pods")).toEqual([]);
    expect(await answerAt(urlOf(demo))).toBe("ECONNREFUSED");
  });
});

describe("a StatefulSet", () => {
  test("wakes pod by pod, and sleeps the other way round", async () => {
    await using world = await start();
    const db = world.fake.addWorkload("db", { kind: "StatefulSet", replicas: 0 });
    db.scale(2);
    await world.clock.advance(A_MOMENT);
    expect(db.pods.map(({ metadata }) => metadata.name)).toEqual(["db-0"]);
    await world.clock.advance(5_200);
    expect(db.pods.map(({ metadata }) => metadata.name)).toEqual(["db-0", "db-1"]);
    await world.clock.advance(5_200);
    expect(db.ready).toBe(2);
    db.scale(0);
    await world.clock.advance(A_MOMENT);
    const ending = () =>
      db.pods.map(({ metadata }) => `${metadata.name} ${metadata.deletionTimestamp !== undefined}`);
    expect(ending()).toEqual(["db-0 false", "db-1 true"]);
    await world.clock.advance(2_100);
    expect(ending()).toEqual(["db-0 true"]);
    await world.clock.advance(2_100);
    expect(db.pods).toEqual([]);
  });

  test("waits for the old pod of the same name", async () => {
    await using world = await start();
    const db = world.fake.addWorkload("db", { kind: "StatefulSet" });
    db.scale(0);
    await world.clock.advance(A_MOMENT);
    db.scale(1);
    await world.clock.advance(1_000);
    expect(db.pods.map(({ metadata }) => metadata.deletionTimestamp === undefined)).toEqual([
      false,
    ]);
    await world.clock.advance(1_200);
    expect(db.ready).toBe(0);
    await world.clock.advance(5_000);
    expect(db.ready).toBe(1);
  });

  test("is rolled out from the highest number down, to its partition", async () => {
    await using world = await start();
    const updateStrategy = { type: "RollingUpdate", rollingUpdate: { partition: 1 } } as const;
    const db = world.fake.addWorkload("db", { kind: "StatefulSet", replicas: 2, updateStrategy });
    db.rollOut("db:2");
    await world.clock.advance(20_000);
    const images = db.pods.map(({ spec }) => spec.containers[0]?.image);
    expect(images).toEqual(["db:1", "db:2"]);
    expect(numbersOf(db)).toEqual([2, 2, 2, 1]);
  });
});

describe("an autoscaler", () => {
  test("lets what is at zero alone, and goes on once it is up", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo", { replicas: 3 });
    demo.addAutoscaler({ min: 3, max: 5 });
    demo.scale(0);
    await world.clock.advance(60_000);
    expect(demo.replicas).toBe(0);
    demo.scale(1);
    await world.clock.advance(60_000);
    expect(demo.replicas).toBe(3);
    demo.recommend(9);
    expect(demo.replicas).toBe(5);
  });
});

describe("endpoints", () => {
  test("come in several slices when there are many, and go again", async () => {
    await using world = await start({ endpointsPerSlice: 2 });
    const demo = world.fake.addWorkload("demo", { replicas: 5 });
    const sizes = () =>
      world.fake.store.list("endpointslices").map(({ endpoints }) => endpoints?.length ?? 0);
    expect(sizes()).toEqual([2, 2, 1]);
    demo.scale(1);
    await world.clock.advance(10_000);
    expect(sizes()).toEqual([1]);
  });

  test("of a pod that is not ready are there, and say so; or are not, where ready is left out", async () => {
    for (const leavesOutReady of [false, true]) {
      await using world = await start({ leavesOutReady });
      const demo = world.fake.addWorkload("demo", { replicas: 0 });
      demo.scale(1);
      await world.clock.advance(A_MOMENT);
      const [slice] = world.fake.store.list("endpointslices");
      const conditions = slice?.endpoints?.map((endpoint) => endpoint.conditions) ?? null;
      const down = { ready: false, serving: false, terminating: false };
      expect(conditions).toEqual(leavesOutReady ? null : [down]);
      await world.clock.advance(5_000);
      expect(await answerAt(urlOf(demo))).toMatchObject({ instances: 1 });
    }
  });

  test("a deleted Service refuses, and its slices go", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo");
    demo.deleteService();
    await world.clock.advance(A_MOMENT);
    expect(world.fake.store.list("endpointslices")).toEqual([]);
    expect(await answerAt(urlOf(demo))).toBe("ECONNREFUSED");
  });
});

test("while the controllers pause nothing follows, and afterwards all of it does", async () => {
  await using world = await start();
  const demo = world.fake.addWorkload("demo");
  world.fake.controllers.pause();
  demo.scale(0);
  await world.clock.advance(10_000);
  expect(demo.object.status.observedGeneration).toBe(1);
  world.fake.controllers.resume();
  await world.clock.advance(10_000);
  expect(numbersOf(demo)).toEqual([0, 0, 0, 0]);
});
