/** Kubernetes, from the first list call to the last, through the compiled program. */

import { expect, test } from "bun:test";
import { callsOf, countsOf, densestOf } from "../fakes/fake-journal.ts";
import type { FakeKubernetes } from "../fakes/fake-kubernetes.ts";
import { manifestRules } from "../support/kubernetes-rules.ts";
import {
  type KubernetesStory,
  startKubernetesStory,
  watchesOf,
} from "../support/kubernetes-story.ts";
import { within } from "../support/pace.ts";
import { describeStory, platformTest } from "../support/platform-story.ts";
import {
  eventually,
  makeFolder,
  type RunningPaastis,
  startPaastis,
} from "../support/start-paastis.ts";

const EVERY_SECOND = { START_AND_STOP_CHECKING_INTERVAL_CRON: "* * * * * *" };
/** New Year: no sweep comes in between, and all that is noticed was told by the cluster. */
const NEVER = { START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 1 1 *" };
const AT_ONCE = { START_AND_STOP_MAX_IDLE_TIME: "0" };

/** It knows its apps. @param more variables, and the folder of an earlier run */
async function start(
  { env }: KubernetesStory,
  { folder, ...more }: Readonly<Record<string, string>> = {},
): Promise<RunningPaastis> {
  const paastis = await startPaastis({
    config: "",
    env: { LOGGING_LEVEL: "debug", ...EVERY_SECOND, ...env, ...more },
    ...(folder !== undefined && { folder }),
  });
  await paastis.untilLine(({ msg }) => /^found \d+ apps? on kubernetes/.test(msg));
  return paastis;
}

async function statusOf(paastis: RunningPaastis, key: string): Promise<number> {
  const answer = await paastis.get(key);
  await answer.arrayBuffer();
  return answer.status;
}

async function sweeps(paastis: RunningPaastis, count: number): Promise<void> {
  const from = paastis.lines.length;
  const seen = () => paastis.lines.slice(from).filter(({ msg }) => msg === "swept").length;
  await eventually(`${count} sweeps`, () => seen() >= count);
}

/** Every kind of object that the program follows is told to it. */
function isFollowed({ watches }: FakeKubernetes): boolean {
  const kinds = ["deployments", "statefulsets", "services", "horizontalpodautoscalers"] as const;
  return kinds.every((kind) => watches.count(kind) > 0);
}

function complaintsOf(paastis: RunningPaastis, from = 0) {
  return (
    paastis.lines
      .slice(from)
      .filter(({ level }) => level === "warn" || level === "error")
      .map(({ msg }) => msg)
      // A watch that was on its way while calls were refused may end after they work again, and says so then.
      .filter((msg) => !msg.startsWith("cannot watch "))
  );
}

/** What somebody does with `kubectl` is known after so long, ms. */
const NOTICED_MS = 2_000;

// Alone, as time is measured.

test("kubernetes: what somebody does from outside is noticed within two seconds, without a call", async () => {
  await using platform = await startKubernetesStory();
  const { fake } = platform;
  const app = fake.addWorkload("shop-app", { replicas: 2 });
  await using paastis = await start(platform, NEVER);
  expect(await statusOf(paastis, "shop-app")).toBe(200);
  await eventually("it is followed", () => isFollowed(fake));
  fake.api.forgetCalls();
  for (const [replicas, event] of [
    [0, "APP_STOPPED"],
    [2, "APP_STARTED"],
    [0, "APP_STOPPED"],
  ] as const) {
    const from = paastis.lines.length;
    const beganMs = performance.now();
    app.scale(replicas);
    const line = await paastis.untilEvent("shop-app", event, from);
    expect(performance.now() - beganMs).toBeLessThan(within(NOTICED_MS));
    expect(String(line.cause)).toContain("noticed on kubernetes");
  }
  expect(countsOf(fake.api.journal)).toEqual({});
  expect(await statusOf(paastis, "shop-app")).toBe(200);
  expect(app.replicas).toBe(2);
  expect(fake.violations).toEqual([]);
});

test("kubernetes: apps that come, or are called otherwise, are known within two seconds", async () => {
  await using platform = await startKubernetesStory();
  const { fake } = platform;
  fake.addWorkload("first-app");
  await using paastis = await start(platform, NEVER);
  await paastis.untilEvent("first-app", "APP_DISCOVERED");
  await eventually("it is followed", () => isFollowed(fake));
  const beganMs = performance.now();
  const app = fake.addWorkload("second-app", { replicas: 0 });
  await eventually("it is known", async () => (await statusOf(paastis, "second-app")) === 200);
  expect(performance.now() - beganMs).toBeLessThan(within(NOTICED_MS));
  app.annotate({ "paastis.dev/name": "renamed-app" });
  await eventually("its new key", async () => (await statusOf(paastis, "renamed-app")) === 200);
  expect(await statusOf(paastis, "second-app")).toBe(404);
  expect(fake.violations).toEqual([]);
});

test("kubernetes: the program ends at once although watches are open", async () => {
  await using platform = await startKubernetesStory();
  platform.fake.addWorkload("shop-app");
  await using paastis = await start(platform, NEVER);
  await paastis.untilEvent("shop-app", "APP_DISCOVERED");
  await eventually("it is followed", () => isFollowed(platform.fake));
  const beganMs = performance.now();
  paastis.signal("SIGTERM");
  expect(await paastis.ended).toBe(0);
  expect(performance.now() - beganMs).toBeLessThan(within(3_000));
  await eventually("nothing is open", () => platform.fake.watches.count() === 0);
});

// Beside each other.

describeStory("kubernetes", startKubernetesStory, {
  skip: [
    {
      test: "300 apps cost two list calls a sweep at most, and 10,000 warm requests none",
      because: "what is watched is not listed: played below, where no call is allowed",
    },
    {
      test: "a refused credential is told once, what is up stays reachable, and a wake finds out that it works again",
      because: "a list is four calls at the same time, all of which are refused: played below",
    },
    {
      test: "a rate limit is obeyed, and a wake gets through",
      because: "a list is four calls at the same time, all of which are refused: played below",
    },
  ],
});

platformTest("kubernetes: a rollout under load loses no request, and is not stopped", async () => {
  await using platform = await startKubernetesStory();
  const app = platform.fake.addWorkload("busy-app", { replicas: 2 });
  await using paastis = await start(platform, AT_ONCE);
  expect(await statusOf(paastis, "busy-app")).toBe(200);
  const load = { isOver: false, statuses: [] as number[] };
  const clients = Array.from({ length: 5 }, async () => {
    while (!load.isOver) load.statuses.push(await statusOf(paastis, "busy-app"));
  });
  app.beginRollout();
  await sweeps(paastis, 2);
  expect(app.replicas).toBe(2);
  await eventually("much was asked meanwhile", () => load.statuses.length > 100);
  app.endRollout();
  await eventually("it is rolled out", () => (app.object.status.updatedReplicas ?? 0) === 2);
  load.isOver = true;
  await Promise.all(clients);
  expect(load.statuses.filter((status) => status !== 200)).toEqual([]);
});

platformTest(
  "kubernetes: 300 workloads that are watched cost no call at all, sweep after sweep, and neither do requests",
  async () => {
    await using platform = await startKubernetesStory();
    const { fake } = platform;
    for (let one = 1; one <= 300; one += 1) fake.addWorkload(`review-pr${one}`);
    await using paastis = await start(platform);
    await paastis.untilEvent("review-pr300", "APP_REGISTERED");
    await eventually("it is followed", () => isFollowed(fake));
    await sweeps(paastis, 1);
    // Two pages of Deployments and of Services, and one of each other kind; once more until it is followed.
    expect(watchesOf(fake)).toBeLessThanOrEqual(2 * 4);
    const lists = callsOf(fake.api.journal, "*").filter(({ kind }) => kind.endsWith(".list"));
    expect(lists.length).toBeLessThanOrEqual(2 * 6);
    fake.api.forgetCalls();
    await sweeps(paastis, 2);
    const keys = Array.from({ length: 100 }, (_none, one) => `review-pr${one + 1}`);
    const statuses = await Promise.all(keys.map((key) => statusOf(paastis, key)));
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(countsOf(fake.api.journal)).toEqual({});
    expect(fake.violations).toEqual([]);
  },
);

platformTest("kubernetes: twenty of 100 workloads wake with five calls each at most", async () => {
  await using platform = await startKubernetesStory();
  const { fake } = platform;
  for (let one = 1; one <= 80; one += 1) fake.addWorkload(`other-pr${one}`);
  const keys = Array.from({ length: 20 }, (_none, one) => `review-pr${one + 1}`);
  for (const key of keys) fake.addWorkload(key, { replicas: 0 });
  await using paastis = await start(platform, NEVER);
  await eventually("it is followed", () => isFollowed(fake));
  fake.api.forgetCalls();
  const statuses = await Promise.all(keys.map((key) => statusOf(paastis, key)));
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
  const calls = callsOf(fake.api.journal, "*").filter(({ kind }) => !kind.endsWith(".watch"));
  expect(calls.length).toBeLessThanOrEqual(20 * 5);
  expect(calls.filter(({ kind }) => kind.endsWith(".patch"))).toHaveLength(20);
  expect(fake.violations).toEqual([]);
});

platformTest(
  "kubernetes: calls that are one too many are made again when they are told to, and a wake gets through",
  async () => {
    await using platform = await startKubernetesStory();
    const { fake } = platform;
    fake.addWorkload("limited-app", { replicas: 0 });
    await using paastis = await start(platform);
    await paastis.untilEvent("limited-app", "APP_DISCOVERED");
    await eventually("it is followed", () => isFollowed(fake));
    fake.refuseCalls("queues", 2);
    fake.watches.end({ kind: "end" });
    const refusedOf = (kind: string) =>
      callsOf(fake.api.journal, kind).filter(({ status }) => status === 429);
    const kinds = ["deployments.list", "services.list", "deployments.watch"];
    await eventually(
      "calls of each kind are refused",
      () => fake.rateLimited >= 12 && kinds.every((kind) => refusedOf(kind).length > 0),
    );
    for (const kind of kinds) expect([kind, densestOf(refusedOf(kind), 1_900)]).toEqual([kind, 1]);
    fake.allowCalls();
    expect(await statusOf(paastis, "limited-app")).toBe(200);
    await eventually("it is followed", () => isFollowed(fake));
    await sweeps(paastis, 2);
    expect(complaintsOf(paastis)).toHaveLength(1);
    expect(fake.violations).toEqual([]);
  },
);

platformTest(
  "kubernetes: what somebody else has put to sleep comes back as it was last seen, also by the next run",
  async () => {
    await using platform = await startKubernetesStory();
    const { fake } = platform;
    const app = fake.addWorkload("shop-app", { replicas: 2 });
    const folder = makeFolder();
    {
      await using paastis = await start(platform, { ...NEVER, folder });
      await eventually("it is followed", () => isFollowed(fake));
      app.scale(3);
      await eventually("it has three", () => app.ready === 3);
      const from = paastis.lines.length;
      app.scale(0);
      await paastis.untilEvent("shop-app", "APP_STOPPED", from);
    }
    await using paastis = await start(platform, { ...NEVER, folder });
    expect(await statusOf(paastis, "shop-app")).toBe(200);
    expect(app.replicas).toBe(3);
    expect(fake.violations).toEqual([]);
  },
);

platformTest(
  "kubernetes: an app that is not to be looked after any more is forgotten, and left as it is",
  async () => {
    await using platform = await startKubernetesStory();
    const app = platform.fake.addWorkload("free-app");
    await using paastis = await start(platform, AT_ONCE);
    app.label({ "paastis.dev/enabled": "false" });
    await paastis.untilEvent("free-app", "APP_UNREGISTERED");
    expect(await statusOf(paastis, "free-app")).toBe(404);
    expect([app.replicas, app.object.metadata.generation]).toEqual([1, 1]);
    expect(platform.fake.violations).toEqual([]);
  },
);

platformTest(
  "kubernetes: a wake that fails is told with the reason of the pod, and the next one succeeds",
  async () => {
    await using platform = await startKubernetesStory();
    const app = platform.fake.addWorkload("broken-app", { replicas: 0 });
    app.podsGo({ outcome: "image-pull" });
    await using paastis = await start(platform, { WAKE_RETRY_AFTER: "1" });
    await paastis.untilEvent("broken-app", "APP_DISCOVERED");
    expect(await statusOf(paastis, "broken-app")).toBe(503);
    const { reason } = await paastis.untilEvent("broken-app", "APP_START_FAILED");
    expect(String(reason)).toContain("ImagePullBackOff");
    expect(String(reason)).toContain("broken-app");
    app.mend();
    await eventually("it is up", async () => (await statusOf(paastis, "broken-app")) === 200);
    expect(platform.fake.violations).toEqual([]);
  },
);

platformTest(
  "kubernetes: without what was stored an app comes back with the size that is written on it",
  async () => {
    await using platform = await startKubernetesStory();
    const app = platform.fake.addWorkload("shop-app", { replicas: 3 });
    const db = platform.fake.addWorkload("shop-db", { kind: "StatefulSet", replicas: 2 });
    {
      await using paastis = await start(platform, AT_ONCE);
      // What was never asked for is left alone for a while.
      for (const key of ["shop-app", "shop-db"]) expect(await statusOf(paastis, key)).toBe(200);
      await paastis.untilEvent("shop-app", "APP_STOPPED");
      await paastis.untilEvent("shop-db", "APP_STOPPED");
    }
    expect([app.replicas, db.replicas]).toEqual([0, 0]);
    await using paastis = await start(platform, { folder: makeFolder() });
    await paastis.untilEvent("shop-db", "APP_DISCOVERED");
    const statuses = await Promise.all(
      ["shop-app", "shop-db"].map((key) => statusOf(paastis, key)),
    );
    expect(statuses).toEqual([200, 200]);
    expect([app.replicas, db.replicas]).toEqual([3, 2]);
    expect(platform.fake.violations).toEqual([]);
  },
);

platformTest(
  "kubernetes: requests wait for new pods when all of an app's pods are evicted",
  async () => {
    await using platform = await startKubernetesStory({ bootMs: 300 });
    const app = platform.fake.addWorkload("moved-app", { replicas: 2 });
    await using paastis = await start(platform, NEVER);
    expect(await statusOf(paastis, "moved-app")).toBe(200);
    app.evict();
    await eventually("nobody answers", () => app.entrances[0]?.isOpen === false);
    const requests = Array.from({ length: 50 }, () => statusOf(paastis, "moved-app"));
    expect((await Promise.all(requests)).filter((status) => status !== 200)).toEqual([]);
    expect(app.replicas).toBe(2);
    expect(platform.fake.api.count("deployments.scale.*")).toBe(0);
    expect(platform.fake.violations).toEqual([]);
  },
);

platformTest(
  "kubernetes: refused credentials are told once, what is up stays reachable, and a wake finds out that they work again",
  async () => {
    await using platform = await startKubernetesStory();
    const { fake } = platform;
    fake.addWorkload("up-app");
    const down = fake.addWorkload("down-app", { replicas: 0 });
    await using paastis = await start(platform);
    await paastis.untilEvent("down-app", "APP_DISCOVERED");
    await eventually("it is followed", () => isFollowed(fake));
    platform.revoke();
    await paastis.untilLine(({ level }) => level === "error");
    await eventually("nobody asks it any more", async () => {
      const before = platform.calls.all;
      await sweeps(paastis, 2);
      return platform.calls.all === before;
    });
    const before = platform.calls.all;
    expect(await statusOf(paastis, "up-app")).toBe(200);
    expect(platform.calls.all).toBe(before);
    expect(complaintsOf(paastis)).toHaveLength(1);
    expect(JSON.stringify(paastis.lines)).not.toContain(fake.token);
    platform.accept();
    expect(await statusOf(paastis, "down-app")).toBe(200);
    expect(down.replicas).toBe(1);
    await eventually("it is followed", () => isFollowed(fake));
    await sweeps(paastis, 2);
    // It works again: nothing is left to complain of.
    expect(complaintsOf(paastis)).toHaveLength(1);
    expect(fake.violations).toEqual([]);
  },
);

platformTest(
  "kubernetes: a watch that was cut, and one whose past is forgotten, miss nothing",
  async () => {
    await using platform = await startKubernetesStory();
    const { fake } = platform;
    const app = fake.addWorkload("shop-app");
    await using paastis = await start(platform, NEVER);
    await paastis.untilEvent("shop-app", "APP_DISCOVERED");
    await eventually("it is followed", () => isFollowed(fake));
    for (const isForgotten of [false, true]) {
      const from = paastis.lines.length;
      fake.watches.pause();
      app.scale(0);
      await eventually("it is down", () => app.pods.length === 0);
      if (isForgotten) {
        fake.store.compact();
        fake.store.pass(1);
      }
      fake.watches.end({ kind: "half-line" });
      fake.watches.resume();
      await paastis.untilEvent("shop-app", "APP_STOPPED", from);
      app.scale(1);
      await paastis.untilEvent("shop-app", "APP_STARTED", from);
    }
    expect(fake.violations).toEqual([]);
  },
);

platformTest(
  "kubernetes: apps of the same name in two namespaces both have a name that leads to them",
  async () => {
    const namespaces = ["blue", "green"];
    await using platform = await startKubernetesStory({ rules: manifestRules(namespaces) });
    const { fake } = platform;
    const blue = fake.addWorkload("shop-app", { namespace: "blue", replicas: 0 });
    const green = fake.addWorkload("shop-app", { namespace: "green", replicas: 0 });
    const env = { PROVIDER_KUBERNETES_NAMESPACES: namespaces.join(",") };
    await using paastis = await start(platform, { ...env, ...NEVER });
    await eventually(
      "both are known",
      async () => (await statusOf(paastis, "shop-app-blue")) === 200,
    );
    expect([blue.replicas, green.replicas]).toEqual([1, 0]);
    expect(await statusOf(paastis, "shop-app-green")).toBe(200);
    expect([blue.requests, green.requests].every((count) => count > 0)).toBe(true);
    expect(fake.violations).toEqual([]);
  },
);

platformTest(
  "kubernetes: the whole cluster can be looked after, with what the ClusterRole allows",
  async () => {
    await using platform = await startKubernetesStory({ rules: manifestRules() });
    const app = platform.fake.addWorkload("shop-app", { namespace: "far-away", replicas: 2 });
    const env = { PROVIDER_KUBERNETES_NAMESPACES: "all" };
    await using paastis = await start(platform, { ...env, ...AT_ONCE });
    expect(await statusOf(paastis, "shop-app")).toBe(200);
    await paastis.untilEvent("shop-app", "APP_STOPPED");
    expect(await statusOf(paastis, "shop-app")).toBe(200);
    expect(app.replicas).toBe(2);
    expect(complaintsOf(paastis)).toEqual([]);
    expect(platform.fake.violations).toEqual([]);
  },
);

platformTest(
  "kubernetes: an app without a Service is told with the reason, and left as it is",
  async () => {
    await using platform = await startKubernetesStory();
    const app = platform.fake.addWorkload("lonely-app", { service: null });
    await using paastis = await start(platform, AT_ONCE);
    await paastis.untilEvent("lonely-app", "APP_DISCOVERED");
    const answer = await paastis.get("lonely-app", { headers: { accept: "application/json" } });
    expect(answer.status).toBe(503);
    const { reason } = await paastis.untilEvent("lonely-app", "APP_START_FAILED");
    expect(String(reason)).toContain("no Service in preview selects its pods");
    await sweeps(paastis, 2);
    expect(app.replicas).toBe(1);
    expect(platform.calls.writes).toBe(0);
  },
);
