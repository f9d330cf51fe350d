/** What the provider lists, and what it tells by itself. */

import { expect, test } from "bun:test";
import { patient } from "./contract/provider.ts";
import { DEMO, type DemoCluster, startDemoCluster } from "./support/one-workload-cluster.ts";
import { failureOf } from "./support/platform-server.ts";
import { statusAnswer } from "./support/scripted-cluster.ts";
import { until } from "./support/until.ts";

const TARGET = { origin: "http://demo.preview.svc.cluster.local", host: expect.anything() };

/** Listed once, and watched. */
async function startWatched(options: Parameters<typeof startDemoCluster>[0] = {}) {
  const demo = await startDemoCluster(options);
  const unwatch = demo.watch();
  await demo.provider.list(patient());
  const kinds = ["deployments", "statefulsets", "services", "horizontalpodautoscalers"];
  await until(() => kinds.every((kind) => demo.watchOf(kind) !== undefined));
  return Object.assign(demo, { unwatch });
}

function tell(demo: DemoCluster, type = "MODIFIED"): void {
  demo.state.version += 1;
  demo.watchOf("deployments")?.send({ type, object: demo.object() });
}

const lists = (demo: DemoCluster) =>
  demo.cluster.calls.filter(({ method, path }) => method === "GET" && !path.includes("watch="));

/** A watch counts from the moment that its answer has begun to arrive. */
function untilTrusted(demo: DemoCluster): Promise<void> {
  return until(async () => {
    const before = lists(demo).length;
    await demo.provider.list(patient());
    return lists(demo).length === before;
  });
}

test("kubernetes list: marked workloads alone, with what is written on them", async () => {
  await using demo = await startDemoCluster();
  demo.state.annotations = {
    "paastis.dev/enabled": "true",
    "paastis.dev/name": "shop",
    "paastis.dev/max-idle-time": "never",
  };
  expect(await demo.provider.list(patient())).toEqual([
    {
      id: DEMO,
      key: "shop",
      label: "deployment demo in preview",
      observation: {
        phase: "awake",
        target: TARGET,
        snapshot: { kind: "replicas", workloads: [{ id: DEMO, replicas: 2, written: null }] },
      },
      sleepsByItself: false,
      settings: { maxIdleMinutes: "never" },
    },
  ]);
  demo.state.annotations = {};
  expect(await demo.provider.list(patient())).toEqual([]);
});

test("kubernetes list: one call per kind, and none while the watches go well", async () => {
  await using demo = await startWatched();
  expect(lists(demo).map(({ path }) => path.split("?")[0])).toEqual([
    "/apis/apps/v1/namespaces/preview/deployments",
    "/apis/apps/v1/namespaces/preview/statefulsets",
    "/api/v1/namespaces/preview/services",
    "/apis/autoscaling/v2/namespaces/preview/horizontalpodautoscalers",
  ]);
  demo.state.ready = 0;
  demo.state.replicas = 0;
  demo.state.updated = 0;
  demo.state.generation += 1;
  await untilTrusted(demo);
  const calls = lists(demo).length;
  tell(demo);
  await until(async () => {
    const [listing] = await demo.provider.list(patient());
    return listing?.observation?.phase === "asleep";
  });
  expect(lists(demo)).toHaveLength(calls);
});

test("kubernetes list: several namespaces give each app a second key, and one may fail", async () => {
  const config = { namespaces: ["preview", "staging"] };
  await using demo = await startDemoCluster({ config });
  const [first] = await demo.provider.list(patient());
  expect(first).toMatchObject({ key: "demo", aliases: ["demo-preview"] });
  demo.state.instead = ({ path }) => (path.includes("/preview/") ? statusAnswer(422) : null);
  const [second] = await demo.provider.list(patient());
  expect(second).toMatchObject({ id: DEMO, observation: { phase: "unknown", target: TARGET } });
  demo.state.instead = () => statusAnswer(422);
  expect((await failureOf(demo.provider.list(patient()))).kind).toBe("invalid");
});

test("kubernetes list: a namespace that may not be listed is said once, and the others have their apps", async () => {
  const config = { namespaces: ["staging", "preview"] };
  await using demo = await startDemoCluster({ config });
  demo.state.instead = ({ path }) =>
    path.includes("/staging/") ? statusAnswer(403, { message: "no" }) : null;
  for (let time = 0; time < 2; time += 1) {
    const found = await demo.provider.list(patient());
    expect(found.map(({ id }) => id)).toEqual([DEMO]);
  }
  const said = demo.said().filter(({ fields }) => fields.namespace === "staging");
  expect(said.map(({ message }) => message)).toContainEqual(
    expect.stringMatching(
      /^cannot list the apps of this namespace \(.*none of them is put to sleep/,
    ),
  );
  // What an earlier run knew of it is not gone.
  const { provider } = demo;
  expect(provider.whyUnlisted?.("staging/deployment/old")).toContain("could not list");
  expect(provider.whyUnlisted?.("preview/deployment/old")).toBeNull();
  expect(provider.isWhole?.()).toBe(false);
  demo.state.instead = () => null;
  await provider.list(patient());
  expect(provider.isWhole?.()).toBe(true);
  expect(provider.whyUnlisted?.("staging/deployment/old")).toBeNull();
});

test("kubernetes list: marks that cannot be used are said once, and the app stays", async () => {
  await using demo = await startDemoCluster();
  demo.state.annotations = { ...demo.state.annotations, "paastis.dev/max-idle-time": "soon" };
  for (let time = 0; time < 3; time += 1) {
    const [listing] = await demo.provider.list(patient());
    expect(listing).toMatchObject({ id: DEMO, settings: {} });
  }
  expect(demo.said()).toMatchObject([
    { level: "warn", fields: { workload: DEMO, reason: expect.stringContaining('it is "soon"') } },
  ]);
});

test("kubernetes list: an app that does not come up says why, if its pods do", async () => {
  await using demo = await startDemoCluster({ state: { ready: 0, isReady: false } });
  const waiting = { reason: "ImagePullBackOff", message: "not found" };
  demo.state.pods = [{ status: { containerStatuses: [{ name: "web", state: { waiting } }] } }];
  const [listing] = await demo.provider.list(patient());
  expect(listing?.observation).toMatchObject({
    phase: "failed",
    reason:
      "container web has an image that cannot be pulled (ImagePullBackOff: not found): check the image's name and tag, and the pull secret",
  });
  const observation = await demo.provider.observe(DEMO, patient());
  expect([observation]).toEqual([listing?.observation ?? observation]);
});

test("kubernetes list: the whole cluster is one call per kind", async () => {
  await using demo = await startDemoCluster({ config: { namespaces: "all" } });
  const [listing] = await demo.provider.list(patient());
  expect(listing).toMatchObject({ id: DEMO, aliases: ["demo-preview"] });
  expect(lists(demo).map(({ path }) => path)).toContain("/apis/apps/v1/deployments?limit=250");
  expect(lists(demo)).toHaveLength(4);
});

test("kubernetes notices: a workload that somebody scales is told at once", async () => {
  await using demo = await startWatched();
  Object.assign(demo.state, { replicas: 0, ready: 0, updated: 0, generation: 2 });
  tell(demo);
  await until(() => demo.notices.length === 1);
  expect(demo.notices).toEqual([{ id: DEMO, observation: { phase: "asleep", target: TARGET } }]);
  expect(demo.listsWanted()).toBe(0);
});

test("kubernetes notices: apps that come, go, or are to be treated otherwise ask for a list", async () => {
  await using demo = await startWatched();
  demo.state.annotations = { ...demo.state.annotations, "paastis.dev/name": "shop" };
  tell(demo);
  await until(() => demo.listsWanted() === 1);
  demo.state.annotations = {};
  tell(demo);
  await until(() => demo.listsWanted() === 2);
  demo.state.labels = { "paastis.dev/enabled": "true" };
  tell(demo);
  await until(() => demo.listsWanted() === 3);
  tell(demo, "DELETED");
  await until(() => demo.listsWanted() === 4);
});

test("kubernetes notices: a size that we write on a workload asks for no list", async () => {
  await using demo = await startWatched();
  demo.state.annotations = { ...demo.state.annotations, "paastis.dev/previous-replicas": "2" };
  tell(demo);
  await until(() => demo.notices.length === 1);
  expect(demo.listsWanted()).toBe(0);
});

test("kubernetes notices: another address of the Service is told", async () => {
  await using demo = await startWatched({ config: { reach: "cluster-ip" } });
  const object = {
    metadata: { name: "demo", namespace: "preview", resourceVersion: "200" },
    spec: { selector: { app: "demo" }, clusterIP: "10.96.0.8", ports: [{ port: 80 }] },
  };
  demo.watchOf("services")?.send({ type: "MODIFIED", object });
  await until(() => demo.notices.length === 1);
  expect(demo.notices[0]?.observation.target?.origin).toBe("http://10.96.0.8");
});

test("kubernetes notices: what the app was before it was woken does not end the wake", async () => {
  await using demo = await startWatched({
    state: { replicas: 0, ready: 0, updated: 0, isReady: false },
  });
  const before = demo.object();
  const step = await demo.provider.wake(DEMO, null, patient());
  expect(step.done).toBe(false);
  demo.watchOf("deployments")?.send({ type: "MODIFIED", object: before });
  tell(demo);
  await until(() => demo.notices.length === 1);
  expect(demo.notices.map(({ observation }) => observation.phase)).toEqual(["waking"]);
  // Somebody scales it to 0 again: that is news.
  Object.assign(demo.state, { replicas: 0, generation: demo.state.generation + 1 });
  tell(demo);
  await until(() => demo.notices.length === 2);
  expect(demo.notices[1]?.observation.phase).toBe("asleep");
});

test("kubernetes notices: news from before what was seen is passed over, but not that of a successor", async () => {
  await using demo = await startWatched();
  const before = demo.object();
  demo.state.generation = 5;
  await demo.provider.observe(DEMO, patient());
  demo.watchOf("deployments")?.send({ type: "MODIFIED", object: before });
  Object.assign(demo.state, { generation: 1, uid: "u-2", replicas: 0, ready: 0, updated: 0 });
  tell(demo);
  await until(() => demo.notices.length > 0);
  expect(demo.notices.map(({ observation }) => observation.phase)).toEqual(["asleep"]);
});

test("kubernetes notices: a version that is gone asks for a list", async () => {
  await using demo = await startWatched();
  await untilTrusted(demo);
  const calls = lists(demo).length;
  demo.watchOf("deployments")?.send({ type: "ERROR", object: { kind: "Status", code: 410 } });
  await until(() => demo.listsWanted() === 1);
  await demo.provider.list(patient());
  expect(lists(demo)).toHaveLength(calls + 1);
  await until(() => demo.watchOf("deployments") !== undefined);
});

test("kubernetes notices: nothing is told, and nothing is open, once nobody watches any more", async () => {
  await using demo = await startWatched();
  demo.unwatch();
  demo.unwatch();
  await until(() => demo.cluster.watches.every(({ isOpen }) => !isOpen));
  expect(demo.notices).toEqual([]);
});

test("kubernetes close: ends all watches; later calls fail at once", async () => {
  await using demo = await startWatched();
  await Promise.all([demo.provider.close(), demo.provider.close()]);
  await until(() => demo.cluster.watches.every(({ isOpen }) => !isOpen));
  expect((await failureOf(demo.provider.list(patient()))).kind).toBe("failed");
});

test("kubernetes check: says the version, the namespaces and how many apps each has", async () => {
  await using demo = await startDemoCluster({ config: { namespaces: ["preview"] } });
  const host = new URL(demo.cluster.origin).host;
  expect(await demo.provider.check?.(patient())).toEqual([
    { account: `Kubernetes v1.33.1 at ${host}`, region: "preview", apps: 1, remaining: null },
  ]);
});
