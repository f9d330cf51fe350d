/** Waking and putting to sleep in the cluster, against somebody who changes things at the same time. */

import { expect, test } from "bun:test";
import { ProviderError } from "../src/providers/provider.ts";
import { finish, patient } from "./contract/provider.ts";
import { DEMO, startDemoCluster } from "./support/one-workload-cluster.ts";
import { failureOf } from "./support/platform-server.ts";
import { statusAnswer } from "./support/scripted-cluster.ts";
import { until } from "./support/until.ts";

const SCALE = "/apis/apps/v1/namespaces/preview/deployments/demo/scale?fieldManager=paastis";
const ITSELF = "/apis/apps/v1/namespaces/preview/deployments/demo?fieldManager=paastis";
const TARGET = "http://demo.preview.svc.cluster.local";
const ASLEEP = { replicas: 0, ready: 0, updated: 0, isReady: false } as const;
const STORED = { kind: "replicas", workloads: [{ id: DEMO, replicas: 3 }] } as const;

test("kubernetes sleep: the size is written down first, then scaled to 0, each on what was seen", async () => {
  await using demo = await startDemoCluster();
  const { provider } = demo;
  const snapshot = await provider.takeSnapshot(DEMO, patient());
  const taken = { id: DEMO, replicas: 2, written: null };
  expect(snapshot).toEqual({ kind: "replicas", workloads: [taken] });
  expect(await provider.sleep(DEMO, snapshot, patient())).toEqual({ done: true, target: null });
  const annotations = { "paastis.dev/previous-replicas": "2" };
  expect(demo.patches()).toEqual([
    [ITSELF, { metadata: { resourceVersion: "100", annotations } }],
    [SCALE, { metadata: { resourceVersion: "101" }, spec: { replicas: 0 } }],
  ]);
});

test("kubernetes sleep: a size that stands there already is not written again", async () => {
  const annotations = { "paastis.dev/enabled": "true", "paastis.dev/previous-replicas": "2" };
  await using demo = await startDemoCluster({ state: { annotations } });
  await demo.provider.sleep(DEMO, STORED, patient());
  expect(demo.patches().map(([path]) => path)).toEqual([SCALE]);
});

test("kubernetes sleep: a rollout that begins in that very moment is not stopped", async () => {
  await using demo = await startDemoCluster();
  const { state, provider } = demo;
  state.beforePatch = ({ path }) => {
    if (path !== SCALE) return null;
    // Somebody applies a new image between our look and our scale.
    state.generation += 1;
    state.version += 1;
    state.updated = 0;
    return null;
  };
  const failure = await failureOf(provider.sleep(DEMO, STORED, patient()));
  expect([failure.kind, failure.message]).toEqual(["busy", expect.stringContaining("rolled out")]);
  expect(state.replicas).toBe(2);
});

test("kubernetes sleep: a change that does not matter is looked at, and the sleep goes on", async () => {
  await using demo = await startDemoCluster();
  const { state, provider } = demo;
  let isFirst = true;
  state.beforePatch = () => {
    if (isFirst) state.version += 1;
    isFirst = false;
    return null;
  };
  await provider.sleep(DEMO, STORED, patient());
  expect(state.replicas).toBe(0);
  expect(demo.patches()).toHaveLength(3);
});

test("kubernetes sleep: what changes again and again is left alone in the end", async () => {
  await using demo = await startDemoCluster();
  demo.state.beforePatch = () => statusAnswer(409, { reason: "Conflict" });
  const failure = await failureOf(demo.provider.sleep(DEMO, STORED, patient()));
  expect(failure.kind).toBe("busy");
  expect(demo.patches()).toHaveLength(5);
});

test("kubernetes sleep: one that is rolled out, and one that others scale, is refused before anything is written", async () => {
  await using demo = await startDemoCluster();
  demo.state.updated = 1;
  expect((await failureOf(demo.provider.takeSnapshot(DEMO, patient()))).kind).toBe("busy");
  expect((await failureOf(demo.provider.sleep(DEMO, STORED, patient()))).kind).toBe("busy");
  demo.state.updated = 2;
  demo.state.autoscalers = [
    {
      metadata: { name: "hpa", namespace: "preview" },
      spec: { minReplicas: 0, scaleTargetRef: { kind: "Deployment", name: "demo" } },
    },
  ];
  const failure = await failureOf(demo.provider.takeSnapshot(DEMO, patient()));
  expect([failure.kind, failure.message]).toEqual([
    "invalid",
    "deployment preview/demo is left alone: its autoscaler hpa may scale it to 0 and up again by itself (minReplicas is 0)",
  ]);
  expect((await failureOf(demo.provider.sleep(DEMO, STORED, patient()))).kind).toBe("invalid");
  expect(demo.patches()).toEqual([]);
});

test("kubernetes wake: the size of the snapshot, over the annotation", async () => {
  const annotations = { "paastis.dev/enabled": "true", "paastis.dev/previous-replicas": "5" };
  await using demo = await startDemoCluster({ state: { ...ASLEEP, annotations } });
  demo.state.beforePatch = () => {
    Object.assign(demo.state, { ready: 1, updated: 3, isReady: true });
    return null;
  };
  const step = await demo.provider.wake(DEMO, STORED, patient());
  expect(await finish(demo.provider, DEMO, step)).toMatchObject({ target: { origin: TARGET } });
  expect(demo.patches()).toEqual([[SCALE, { spec: { replicas: 3 } }]]);
});

const AUTOSCALED = [
  {
    metadata: { name: "hpa", namespace: "preview" },
    spec: { minReplicas: 4, scaleTargetRef: { kind: "Deployment", name: "demo" } },
  },
];

const SIZES: readonly (readonly [what: string, state: object, size: number])[] = [
  ["the annotation", { annotations: { "paastis.dev/previous-replicas": "5" } }, 5],
  ["what the owner wants", { annotations: { "paastis.dev/replicas": "2" } }, 2],
  ["1", {}, 1],
  ["the autoscaler's least", { autoscalers: AUTOSCALED }, 4],
];

for (const [what, more, size] of SIZES) {
  test(`kubernetes wake: without a snapshot the size is ${what}`, async () => {
    await using demo = await startDemoCluster({ state: { ...ASLEEP, ...more } });
    demo.state.annotations = { ...demo.state.annotations, "paastis.dev/enabled": "true" };
    await demo.provider.wake(DEMO, { kind: "none" }, patient());
    expect(demo.patches()).toEqual([[SCALE, { spec: { replicas: size } }]]);
  });
}

test("kubernetes wake: one that is up is done at once, and not scaled", async () => {
  await using demo = await startDemoCluster();
  const step = await demo.provider.wake(DEMO, STORED, patient());
  expect(step).toMatchObject({ done: true, target: { origin: TARGET } });
  expect(demo.patches()).toEqual([]);
});

test("kubernetes wake: one that is on its way is waited for, and not scaled", async () => {
  await using demo = await startDemoCluster({ state: { ready: 0, isReady: false } });
  expect(await demo.provider.wake(DEMO, STORED, patient())).toMatchObject({ done: false });
  expect(demo.patches()).toEqual([]);
});

test("kubernetes wake: one that is just being put to sleep is scaled after that", async () => {
  await using demo = await startDemoCluster();
  const sleeping = demo.provider.sleep(DEMO, STORED, patient());
  const waking = demo.provider.wake(DEMO, STORED, patient());
  await Promise.all([sleeping, waking]);
  expect(demo.patches().at(-1)).toEqual([SCALE, { spec: { replicas: 3 } }]);
});

test("kubernetes wake: is over with the first event that shows a ready address", async () => {
  await using demo = await startDemoCluster({ state: ASLEEP });
  const { provider, cluster } = demo;
  const step = await provider.wake(DEMO, null, patient());
  const finished = finish(provider, DEMO, step);
  const watch = await cluster.nextWatch();
  expect(watch.path).toStartWith(
    "/apis/discovery.k8s.io/v1/namespaces/preview/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Ddemo&watch=1&",
  );
  const endpoint = (ready: boolean) => ({ addresses: ["10.1.2.3"], conditions: { ready } });
  const event = (ready: boolean) => ({
    type: "MODIFIED",
    object: { metadata: { name: "demo-x" }, endpoints: [endpoint(ready)] },
  });
  watch.send(event(false));
  watch.send(event(true));
  expect(await finished).toMatchObject({ done: true, target: { origin: TARGET } });
  await until(() => !watch.isOpen);
});

test("kubernetes wake: a container that ends again and again ends it, with the reason", async () => {
  await using demo = await startDemoCluster({ state: ASLEEP });
  const { provider, state, cluster } = demo;
  const waiting = { reason: "CrashLoopBackOff" };
  state.pods = [{ status: { containerStatuses: [{ name: "web", state: { waiting } }] } }];
  const step = await provider.wake(DEMO, null, patient());
  const failing = failureOf(finish(provider, DEMO, step));
  (await cluster.nextWatch()).end();
  const failure = await failing;
  expect([failure.kind, failure.message]).toEqual([
    "failed",
    "deployment preview/demo does not start: container web ends again and again (CrashLoopBackOff): its log (`kubectl logs --previous`) says why",
  ]);
});

test("kubernetes wake: no room on any node does not end it, but is told when it is given up", async () => {
  await using demo = await startDemoCluster({ state: ASLEEP });
  const { provider, state, cluster } = demo;
  const noRoom = { type: "PodScheduled", status: "False", reason: "Unschedulable", message: "0/3" };
  state.pods = [{ status: { conditions: [noRoom] } }];
  const step = await provider.wake(DEMO, null, patient());
  const end = new AbortController();
  if (step.done) throw new Error("it cannot be done");
  const polling = provider.poll(DEMO, step.operation, end.signal);
  (await cluster.nextWatch()).end();
  const second = await polling;
  if (second.done) throw new Error("it cannot be done");
  const failing = failureOf(provider.poll(DEMO, second.operation, end.signal));
  await cluster.nextWatch();
  end.abort(new Error("it did not answer within 5 min"));
  expect((await failing).message).toBe(
    "deployment preview/demo does not start (it did not answer within 5 min): no node takes its pods (0/3): add a node, or change what its pods request or select",
  );
});

test("kubernetes wake: given up without a reason of a pod, it says where to look for one", async () => {
  await using demo = await startDemoCluster({ state: ASLEEP });
  const { provider, cluster } = demo;
  const step = await provider.wake(DEMO, null, patient());
  if (step.done) throw new Error("it cannot be done");
  const end = new AbortController();
  const failing = failureOf(provider.poll(DEMO, step.operation, end.signal));
  await cluster.nextWatch();
  end.abort(new Error("it did not answer within 5 min"));
  const failure = await failing;
  expect([failure.kind, failure.message]).toEqual([
    "failed",
    "deployment preview/demo does not start (it did not answer within 5 min): none of its pods took requests: `kubectl -n preview describe deployment demo` says more",
  ]);
});

test("kubernetes wake: ended by what a watch has told, it says that, with the name of the workload", async () => {
  await using demo = await startDemoCluster({ state: ASLEEP });
  const { provider, cluster } = demo;
  const step = await provider.wake(DEMO, null, patient());
  if (step.done) throw new Error("it cannot be done");
  const end = new AbortController();
  const failing = failureOf(provider.poll(DEMO, step.operation, end.signal));
  await cluster.nextWatch();
  end.abort(new ProviderError("failed", "its rollout does not come forward"));
  expect((await failing).message).toBe(
    "deployment preview/demo does not start: its rollout does not come forward",
  );
});

test("kubernetes wake: a rollout that does not come forward ends it with what its pods say", async () => {
  await using demo = await startDemoCluster({ state: ASLEEP });
  const { provider, state } = demo;
  const step = await provider.wake(DEMO, null, patient());
  const conditions = [
    { type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded", message: "late" },
  ];
  const noRoom = { type: "PodScheduled", status: "False", reason: "Unschedulable", message: "0/3" };
  Object.assign(state, { updated: 1, status: { conditions } });
  state.pods = [{ status: { conditions: [noRoom] } }];
  const failure = await failureOf(finish(provider, DEMO, step));
  expect(failure.message).toStartWith(
    "deployment preview/demo does not start: no node takes its pods (0/3)",
  );
});

test("kubernetes wake: one that is being deleted is not scaled, and says so", async () => {
  await using demo = await startDemoCluster({ state: ASLEEP });
  demo.state.metadata = { deletionTimestamp: "2026-01-01T00:00:00Z" };
  const failure = await failureOf(demo.provider.wake(DEMO, null, patient()));
  expect([failure.kind, failure.message]).toEqual([
    "failed",
    "deployment preview/demo is being deleted",
  ]);
  expect(demo.patches()).toEqual([]);
});

test("kubernetes wake: one that is deleted and made anew meanwhile is waited for", async () => {
  await using demo = await startDemoCluster({ state: ASLEEP });
  const { provider, state, cluster } = demo;
  const step = await provider.wake(DEMO, null, patient());
  state.replicas = null;
  const finished = finish(provider, DEMO, step);
  const looks = () => cluster.calls.filter(({ path }) => path.endsWith("/demo")).length;
  const before = looks();
  await until(() => looks() > before);
  Object.assign(state, { replicas: 2, ready: 1, updated: 2, uid: "u-2", generation: 1 });
  state.isReady = true;
  expect(await finished).toMatchObject({ done: true, target: { origin: TARGET } });
});

test("kubernetes wake: one that is replaced by one with 0 replicas says so, and the next wake scales that", async () => {
  await using demo = await startDemoCluster({ state: ASLEEP });
  const { provider, state } = demo;
  const step = await provider.wake(DEMO, null, patient());
  Object.assign(state, { ...ASLEEP, uid: "u-2", generation: 1 });
  const failure = await failureOf(finish(provider, DEMO, step));
  expect([failure.kind, failure.message]).toEqual([
    "failed",
    expect.stringContaining("replaced it by one with 0 replicas"),
  ]);
  expect(await provider.wake(DEMO, null, patient())).toMatchObject({ done: false });
  expect(state.replicas).toBe(1);
});

test("kubernetes wake: one that somebody scales to 0 again is not waited for", async () => {
  await using demo = await startDemoCluster({ state: ASLEEP });
  const step = await demo.provider.wake(DEMO, null, patient());
  demo.state.replicas = 0;
  demo.state.generation += 1;
  const failure = await failureOf(finish(demo.provider, DEMO, step));
  expect([failure.kind, failure.message]).toEqual([
    "failed",
    expect.stringContaining("GitOps tool"),
  ]);
});

test("kubernetes wake: pods and EndpointSlices that may not be read are done without", async () => {
  await using demo = await startDemoCluster({ state: ASLEEP });
  const { provider, state } = demo;
  state.instead = ({ path }) =>
    /\/(pods|endpointslices)\?/.test(path) ? statusAnswer(403, { message: "no" }) : null;
  const step = await provider.wake(DEMO, null, patient());
  if (step.done) throw new Error("it cannot be done");
  const second = await provider.poll(DEMO, step.operation, patient());
  if (second.done) throw new Error("it cannot be done");
  Object.assign(state, { ready: 1, updated: 1 });
  expect(await finish(provider, DEMO, second)).toMatchObject({ done: true });
  expect(demo.said().map(({ message }) => message)).toEqual([
    expect.stringMatching(/the pods that its workload counts as ready have to do/),
    expect.stringMatching(/why an app does not start cannot be said/),
  ]);
});

test("kubernetes wake: what cannot be reached, or is not marked, is not woken", async () => {
  await using demo = await startDemoCluster({ state: { ...ASLEEP, services: [] } });
  const { provider, state } = demo;
  const failure = await failureOf(provider.wake(DEMO, null, patient()));
  expect([failure.kind, failure.message]).toEqual([
    "invalid",
    expect.stringMatching(/is left alone: no Service in preview selects its pods/),
  ]);
  state.annotations = {};
  expect((await failureOf(provider.wake(DEMO, null, patient()))).kind).toBe("not-found");
  expect((await failureOf(provider.sleep(DEMO, STORED, patient()))).kind).toBe("not-found");
  expect(demo.patches()).toEqual([]);
});

test("kubernetes wake: an app of a namespace that is not looked after is none", async () => {
  await using demo = await startDemoCluster();
  const failure = await failureOf(demo.provider.wake("other/deployment/demo", null, patient()));
  expect([failure.kind, failure.message]).toEqual([
    "not-found",
    expect.stringContaining("PROVIDER_KUBERNETES_NAMESPACES"),
  ]);
  expect(demo.cluster.calls).toEqual([]);
});
