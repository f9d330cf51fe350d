/** What workloads, pods, EndpointSlices and autoscalers say about an app. */

import { expect, test } from "bun:test";
import type { Snapshot } from "../src/app.ts";
import {
  type Autoscaler,
  readAutoscaler,
  scalingOf,
} from "../src/providers/kubernetes-autoscaler.ts";
import { hasReadyEndpoint, slicesQuery } from "../src/providers/kubernetes-endpoints.ts";
import { troubleOf } from "../src/providers/kubernetes-pods.ts";
import { observationOf, replicasToWake } from "../src/providers/kubernetes-state.ts";
import {
  idOf,
  placeOf,
  readWorkload,
  type Workload,
} from "../src/providers/kubernetes-workload.ts";

const TARGET = { origin: "http://demo.preview.svc.cluster.local", host: "demo" };
const ROUTE = { kind: "known", service: "demo", target: TARGET } as const;
const NONE = { kind: "none" } as const;

interface Parts {
  readonly kind?: "deployment" | "statefulset";
  readonly spec?: object;
  readonly status?: object;
  readonly metadata?: object;
}

function workload({ kind = "deployment", spec = {}, status = {}, metadata = {} }: Parts): Workload {
  const read = readWorkload(kind, {
    metadata: { name: "demo", namespace: "preview", uid: "u1", generation: 4, ...metadata },
    spec,
    status: { observedGeneration: 4, ...status },
  });
  if (read === null) throw new Error("it was not read");
  return read;
}

function seen(parts: Parts) {
  return observationOf(workload(parts), { route: ROUTE, scaling: NONE });
}

/** As it is stored. @param written left out: by an earlier Paastis, that did not look */
function stored(replicas: number, written?: number | null): Snapshot {
  const one = { id: "preview/deployment/demo", replicas };
  return { kind: "replicas", workloads: [written === undefined ? one : { ...one, written }] };
}

const STUCK = {
  type: "Progressing",
  status: "False",
  reason: "ProgressDeadlineExceeded",
  message: "has timed out",
};
const up = (replicas: number) => ({
  replicas,
  readyReplicas: replicas,
  updatedReplicas: replicas,
});

const PHASES: readonly (readonly [phase: string, when: string, parts: Parts])[] = [
  ["asleep", "nothing is wanted, and nothing is there", { spec: { replicas: 0 } }],
  ["stopping", "nothing is wanted, and pods are there", { spec: { replicas: 0 }, status: up(2) }],
  [
    "stopping",
    "nothing is wanted, and pods are ending",
    { spec: { replicas: 0 }, status: { terminatingReplicas: 1 } },
  ],
  [
    "asleep",
    "nothing is wanted, though a pod is still counted as ready",
    { spec: { replicas: 0 }, status: { readyReplicas: 1 } },
  ],
  ["awake", "all pods are ready", { spec: { replicas: 2 }, status: up(2) }],
  ["awake", "the number that is wanted is left out, which means 1", { status: up(1) }],
  [
    "awake",
    "some of its pods are ready, and all are new",
    { spec: { replicas: 3 }, status: { replicas: 3, readyReplicas: 1, updatedReplicas: 3 } },
  ],
  ["waking", "no pod is ready", { spec: { replicas: 2 }, status: { ...up(2), readyReplicas: 0 } }],
  ["waking", "there is no pod yet", { spec: { replicas: 2 } }],
  [
    "deploying",
    "not all pods are new",
    { spec: { replicas: 3 }, status: { ...up(3), updatedReplicas: 1 } },
  ],
  [
    "deploying",
    "all new pods are there, and an old one still",
    { spec: { replicas: 1 }, status: { replicas: 2, readyReplicas: 2, updatedReplicas: 1 } },
  ],
  [
    "deploying",
    "the newest change was not seen yet",
    { spec: { replicas: 1 }, status: { ...up(1), observedGeneration: 3 } },
  ],
  [
    "failed",
    "its rollout is stuck and no pod is ready",
    {
      spec: { replicas: 1 },
      status: { replicas: 1, updatedReplicas: 1, conditions: [STUCK] },
    },
  ],
  [
    "deploying",
    "its rollout is stuck and pods of before still answer",
    { spec: { replicas: 1 }, status: { ...up(1), replicas: 2, conditions: [STUCK] } },
  ],
  [
    "waking",
    "an earlier rollout was stuck, and no pod of this one was counted yet",
    { spec: { replicas: 1 }, status: { conditions: [STUCK] } },
  ],
  [
    "waking",
    "an earlier generation was stuck",
    {
      spec: { replicas: 1 },
      status: { observedGeneration: 3, updatedReplicas: 1, conditions: [STUCK] },
    },
  ],
  [
    "stopping",
    "it is being deleted",
    { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" }, status: up(1) },
  ],
  [
    "awake",
    "a StatefulSet is updated by hand",
    {
      kind: "statefulset",
      spec: { replicas: 2, updateStrategy: { type: "OnDelete" } },
      status: { ...up(2), updatedReplicas: 0 },
    },
  ],
  [
    "awake",
    "a StatefulSet is updated down to its partition",
    {
      kind: "statefulset",
      spec: { replicas: 3, updateStrategy: { rollingUpdate: { partition: 2 } } },
      status: { ...up(3), updatedReplicas: 1 },
    },
  ],
  [
    "deploying",
    "a StatefulSet is not yet updated down to its partition",
    {
      kind: "statefulset",
      spec: { replicas: 3, updateStrategy: { rollingUpdate: { partition: 1 } } },
      status: { ...up(3), updatedReplicas: 1 },
    },
  ],
];

for (const [phase, when, parts] of PHASES) {
  test(`kubernetes state: ${phase} when ${when}`, () => {
    const observation = seen(parts);
    expect(`${observation.phase}`).toBe(phase);
    expect(observation.target).toEqual(TARGET);
  });
}

test("kubernetes state: reasons quote what the cluster says", () => {
  const status = { replicas: 1, updatedReplicas: 1, conditions: [STUCK] };
  expect(seen({ status }).reason).toBe(
    "its rollout does not come forward (ProgressDeadlineExceeded: has timed out)",
  );
  const quota = {
    type: "ReplicaFailure",
    status: "True",
    reason: "FailedCreate",
    message: "quota",
  };
  expect(seen({ status: { conditions: [quota] } }).reason).toContain("FailedCreate: quota");
  const paused = { spec: { replicas: 2, paused: true }, status: { ...up(2), updatedReplicas: 1 } };
  expect(seen(paused).reason).toBe("its rollout is paused: 1 of 2 pods are new");
});

test("kubernetes state: what cannot be reached is unmanaged, with the reason and no address", () => {
  const route = { kind: "unknown", why: "no Service selects its pods" } as const;
  const observation = observationOf(workload({ status: up(1) }), { route, scaling: NONE });
  expect(observation).toEqual({ phase: "unmanaged", target: null, reason: route.why });
});

test("kubernetes state: what others scale to 0 is unmanaged, and still reached", () => {
  const scaling = { kind: "fights", why: "KEDA decides" } as const;
  const observation = observationOf(workload({ status: up(1) }), { route: ROUTE, scaling });
  expect(observation).toEqual({ phase: "unmanaged", target: TARGET, reason: "KEDA decides" });
});

test("kubernetes size: what was stored, else what is written on it, else what is wanted, else 1", () => {
  const marked = (annotations: object) => workload({ metadata: { annotations } });
  const all = marked({ "paastis.dev/previous-replicas": "3", "paastis.dev/replicas": "2" });
  const wanted = marked({ "paastis.dev/previous-replicas": "0", "paastis.dev/replicas": "2" });
  expect(replicasToWake(all, { snapshot: stored(4), scaling: NONE })).toBe(4);
  expect(replicasToWake(all, { snapshot: stored(0), scaling: NONE })).toBe(3);
  expect(replicasToWake(all, { snapshot: null, scaling: NONE })).toBe(3);
  expect(replicasToWake(wanted, { snapshot: null, scaling: NONE })).toBe(2);
  expect(replicasToWake(marked({}), { snapshot: null, scaling: NONE })).toBe(1);
});

test("kubernetes size: what was written on it after the size was stored goes before that", () => {
  const annotated = (size: string) =>
    workload({ metadata: { annotations: { "paastis.dev/previous-replicas": size } } });
  const sizeOf = (size: string, written: number | null) =>
    replicasToWake(annotated(size), { snapshot: stored(4, written), scaling: NONE });
  expect(sizeOf("3", 3)).toBe(4);
  expect(sizeOf("5", 3)).toBe(5);
  expect(sizeOf("5", null)).toBe(5);
  // What was taken away, or makes no sense, says nothing.
  expect(sizeOf("many", 3)).toBe(4);
  expect(sizeOf("0", 3)).toBe(4);
});

test("kubernetes size: of what runs, what would bring it back is told; of what does not, nothing", () => {
  const metadata = { annotations: { "paastis.dev/previous-replicas": "3" } };
  const spec = { replicas: 2 };
  expect(seen({ spec, metadata, status: up(2) }).snapshot).toEqual(stored(2, 3));
  // While it is rolled out it has that size as well.
  expect(seen({ spec, status: { ...up(1), replicas: 2 } }).snapshot).toEqual(stored(2, null));
  for (const status of [{}, { readyReplicas: 0, replicas: 2, updatedReplicas: 2 }]) {
    expect(seen({ spec, status }).snapshot).toBeUndefined();
  }
  expect(seen({ spec: { replicas: 0 }, status: up(2) }).snapshot).toBeUndefined();
});

test("kubernetes state: a StatefulSet whose volumes would be deleted is left alone, and says how to change that", () => {
  const volumes = { volumeClaimTemplates: [{ metadata: { name: "data" } }] };
  const policy = (whenScaled: string) => ({
    persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled },
  });
  const phaseOf = (spec: object) => seen({ kind: "statefulset", spec, status: up(1) }).phase;
  expect(phaseOf({ ...volumes, ...policy("Retain") })).toBe("awake");
  expect(phaseOf(policy("Delete"))).toBe("awake");
  const lost = seen({
    kind: "statefulset",
    spec: { ...volumes, ...policy("Delete") },
    status: up(1),
  });
  expect(lost).toEqual({
    phase: "unmanaged",
    target: TARGET,
    reason: expect.stringMatching(/volumes would be deleted.*whenScaled is Delete.*Retain/),
  });
});

test("kubernetes size: with an autoscaler it is that one's least", () => {
  const scaling = { kind: "autoscaled", minReplicas: 2 } as const;
  expect(replicasToWake(workload({}), { snapshot: stored(7), scaling })).toBe(2);
});

function autoscaler(spec: object, metadata: object = {}): Autoscaler {
  const read = readAutoscaler({
    metadata: { name: "hpa", namespace: "preview", ...metadata },
    spec: { scaleTargetRef: { kind: "Deployment", name: "demo" }, ...spec },
  });
  if (read === null) throw new Error("it was not read");
  return read;
}

test("kubernetes autoscaler: one for this very workload counts, and its least is 1 when left out", () => {
  const others = [
    autoscaler({ scaleTargetRef: { kind: "StatefulSet", name: "demo" } }),
    autoscaler({ scaleTargetRef: { kind: "Deployment", name: "other" } }),
    autoscaler({}, { namespace: "production" }),
  ];
  expect(scalingOf(workload({}), others)).toEqual({ kind: "none" });
  const expected = { kind: "autoscaled", minReplicas: 1 } as const;
  expect(scalingOf(workload({}), [...others, autoscaler({})])).toEqual(expected);
  expect(scalingOf(workload({}), [autoscaler({ minReplicas: 3 })])).toMatchObject({
    minReplicas: 3,
  });
});

test("kubernetes autoscaler: one that goes down to 0 by itself, KEDA's and Knative's are left alone", () => {
  const zero = scalingOf(workload({}), [autoscaler({ minReplicas: 0 })]);
  expect(zero).toMatchObject({ kind: "fights", why: expect.stringContaining("minReplicas is 0") });
  const owners = { ownerReferences: [{ kind: "ScaledObject", name: "so" }] };
  const labels = { labels: { "scaledobject.keda.sh/name": "so" } };
  for (const metadata of [owners, labels]) {
    const keda = scalingOf(workload({}), [autoscaler({}, metadata)]);
    expect(keda).toMatchObject({ kind: "fights", why: expect.stringContaining("ScaledObject so") });
  }
  const knative = workload({ metadata: { labels: { "serving.knative.dev/revision": "demo-1" } } });
  expect(scalingOf(knative, [])).toMatchObject({ kind: "fights" });
});

const waitingFor = (reason: string, more: object = {}) => ({
  status: { containerStatuses: [{ name: "web", state: { waiting: { reason } }, ...more }] },
});
const STARTING = waitingFor("ContainerCreating");

test("kubernetes pods: a container that ends again and again is final, with its exit and its last words", () => {
  const lastState = { terminated: { exitCode: 1, reason: "Error", message: "no database" } };
  expect(troubleOf([waitingFor("CrashLoopBackOff", { lastState })])).toEqual({
    isFinal: true,
    why: "container web ends again and again (CrashLoopBackOff: exit code 1, Error): its log (`kubectl logs --previous`) says why; last output: no database",
  });
});

test("kubernetes pods: an image that cannot be pulled is final", () => {
  const trouble = troubleOf([waitingFor("ImagePullBackOff")]);
  expect(trouble).toMatchObject({
    isFinal: true,
    why: expect.stringContaining("ImagePullBackOff"),
  });
});

test("kubernetes pods: no room on any node may pass", () => {
  const conditions = [
    { type: "PodScheduled", status: "False", reason: "Unschedulable", message: "0/3 nodes" },
  ];
  expect(troubleOf([{ status: { conditions } }])).toEqual({
    isFinal: false,
    why: "no node takes its pods (0/3 nodes): add a node, or change what its pods request or select",
  });
});

test("kubernetes pods: as long as one may still start, and before there are any, all is well", () => {
  expect(troubleOf([])).toBeNull();
  expect(troubleOf([STARTING])).toBeNull();
  expect(troubleOf([waitingFor("CrashLoopBackOff"), STARTING])).toBeNull();
});

test("kubernetes pods: those that have ended, or are ending, say nothing", () => {
  const crashing = waitingFor("CrashLoopBackOff");
  const ending = { ...crashing, metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } };
  const evicted = { status: { ...crashing.status, phase: "Failed" } };
  expect(troubleOf([ending, evicted])).toBeNull();
});

test("kubernetes endpoints: ready unless it is said that they are not, and only with an address", () => {
  const slice = (endpoint: object) => ({ endpoints: [endpoint] });
  expect(hasReadyEndpoint(slice({ addresses: ["10.1.2.3"], conditions: { ready: true } }))).toBe(
    true,
  );
  expect(hasReadyEndpoint(slice({ addresses: ["10.1.2.3"], conditions: {} }))).toBe(true);
  expect(hasReadyEndpoint(slice({ addresses: ["10.1.2.3"] }))).toBe(true);
  expect(hasReadyEndpoint(slice({ addresses: ["10.1.2.3"], conditions: { ready: false } }))).toBe(
    false,
  );
  expect(hasReadyEndpoint(slice({ addresses: [], conditions: { ready: true } }))).toBe(false);
  expect(hasReadyEndpoint({ endpoints: null })).toBe(false);
  expect(slicesQuery("demo")).toBe("labelSelector=kubernetes.io%2Fservice-name%3Ddemo");
});

test("kubernetes ids: namespace, kind and name, and nothing else", () => {
  const place = { namespace: "preview", kind: "statefulset", name: "db" } as const;
  expect(placeOf(idOf(place))).toEqual(place);
  for (const id of ["no-such-app", "a/b", "preview/daemonset/x", "a/deployment/b/c"]) {
    expect(() => placeOf(id)).toThrow(id);
  }
});

test("kubernetes workload: a selector is written as list calls take it", () => {
  const matchExpressions = [
    { key: "tier", operator: "In", values: ["web", "api"] },
    { key: "old", operator: "NotIn", values: ["yes"] },
    { key: "app", operator: "Exists" },
    { key: "gone", operator: "DoesNotExist" },
  ];
  const selector = { matchLabels: { app: "demo" }, matchExpressions };
  expect(workload({ spec: { selector } }).podSelector).toBe(
    "app=demo,tier in (web,api),old notin (yes),app,!gone",
  );
});
