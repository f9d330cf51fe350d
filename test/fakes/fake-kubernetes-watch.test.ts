/** Watches of the fake cluster tell what changes, from any revision that is remembered, and end in all known ways. */

import { expect, test } from "bun:test";
import { createSystemClock } from "../../src/clock.ts";
import { callCluster, type OpenWatch, watchCluster } from "../support/kubernetes-client.ts";
import { until } from "../support/until.ts";
import { createVirtualClock } from "../support/virtual-clock.ts";
import { stallsInBody } from "./fake-faults.ts";
import {
  type FakeKubernetes,
  type FakeKubernetesOptions,
  startFakeKubernetes,
} from "./fake-kubernetes.ts";
import { internalError } from "./fake-kubernetes-status.ts";

const PATH = "/apis/apps/v1/deployments";

function start(options: Partial<FakeKubernetesOptions> = {}) {
  return startFakeKubernetes({ clock: createSystemClock(), bootMs: 30, stopMs: 20, ...options });
}

function now(fake: FakeKubernetes): string {
  return String(fake.store.revision);
}

function told({ events }: OpenWatch): string[] {
  return events.map(({ type, object }) => `${type} ${object.metadata.name ?? object.code ?? ""}`);
}

test("a watch tells what happens after its revision, and nothing before", async () => {
  await using fake = await start();
  const demo = fake.addWorkload("demo", { service: null });
  const from = now(fake);
  demo.annotate({ a: "1" });
  using watch = await watchCluster(fake, `${PATH}?resourceVersion=${from}`);
  await watch.has(1);
  demo.annotate({ a: "2" });
  await watch.has(2);
  demo.delete();
  await watch.has(3);
  expect(told(watch)).toEqual(["MODIFIED demo", "MODIFIED demo", "DELETED demo"]);
  const versions = watch.events.map(({ object }) => object.metadata.resourceVersion);
  // The end of a workload has a revision of its own, which its pods' come after.
  const revisions = versions.map((version) => BigInt(version ?? 0));
  expect(revisions).toEqual([...new Set(revisions)].toSorted());
  expect(fake.violations).toEqual([]);
});

test("a watch without a revision begins with all that there is", async () => {
  await using fake = await start();
  fake.addWorkload("one", { service: null });
  fake.addWorkload("two", { service: null });
  using watch = await watchCluster(fake, PATH);
  await watch.has(2);
  expect(told(watch)).toEqual(["ADDED one", "ADDED two"]);
});

test("what a selector ceases to select is deleted for the watch, and what it begins to is added", async () => {
  await using fake = await start();
  const demo = fake.addWorkload("demo", { service: null });
  const other = fake.addWorkload("other", { service: null, labels: {} });
  const selector = "labelSelector=paastis.dev%2Fenabled%3Dtrue";
  using watch = await watchCluster(fake, `${PATH}?${selector}&resourceVersion=${now(fake)}`);
  demo.label({ "paastis.dev/enabled": "false" });
  other.label({ "paastis.dev/enabled": "true" });
  other.annotate({ a: "1" });
  await watch.has(3);
  expect(told(watch)).toEqual(["DELETED demo", "ADDED other", "MODIFIED other"]);
  const [gone] = watch.events;
  expect(gone?.object.metadata).toHaveProperty(["labels", "paastis.dev/enabled"], "true");
});

test("a scale is told step by step: the wish first, then who has seen it, then the pods", async () => {
  await using fake = await start();
  const demo = fake.addWorkload("demo", { replicas: 0 });
  using watch = await watchCluster(fake, `${PATH}?resourceVersion=${now(fake)}`);
  demo.scale(1);
  await until(() => Object(watch.events.at(-1)?.object.status).readyReplicas === 1);
  const steps = watch.events.map(({ object }) => {
    const { replicas, readyReplicas, observedGeneration } = Object(object.status);
    return [Object(object.spec).replicas, observedGeneration, replicas ?? 0, readyReplicas ?? 0];
  });
  expect(steps.slice(0, 3)).toEqual([
    [1, 1, 0, 0],
    [1, 2, 0, 0],
    [1, 2, 1, 0],
  ]);
  expect(steps.at(-1)).toEqual([1, 2, 1, 1]);
});

test("a scale to zero leaves the ready pods in the status for a moment", async () => {
  await using fake = await start();
  const demo = fake.addWorkload("demo");
  using watch = await watchCluster(fake, `${PATH}?resourceVersion=${now(fake)}`);
  demo.scale(0);
  await until(() => (demo.object.status.replicas ?? 0) === 0);
  await watch.has(2);
  const [, seen] = watch.events;
  expect(seen?.object).toMatchObject({
    spec: { replicas: 0 },
    status: { observedGeneration: 2, readyReplicas: 1 },
  });
});

test.each(["event", "status"] as const)(
  "a forgotten revision is refused, as an %s",
  async (tooOldAs) => {
    await using fake = await start({ tooOldAs });
    const from = now(fake);
    fake.addWorkload("demo", { service: null });
    fake.store.compact();
    const path = `${PATH}?resourceVersion=${from}`;
    if (tooOldAs === "status") {
      const { status, body } = await callCluster(fake, `${path}&watch=1`);
      expect([status, Object(body).reason]).toEqual([410, "Expired"]);
      return;
    }
    using watch = await watchCluster(fake, path);
    await until(() => watch.end === "properly");
    expect([watch.status, ...told(watch)]).toEqual([200, "ERROR 410"]);
  },
);

test("a revision of the future is a time-out, and one that is no number invalid", async () => {
  await using fake = await start();
  const future = String(fake.store.revision + 5n);
  const late = await callCluster(fake, `${PATH}?watch=true&resourceVersion=${future}`);
  expect([late.status, Object(late.body).details.causes[0].reason]).toEqual([
    ...[504, "ResourceVersionTooLarge"],
  ]);
  const odd = await callCluster(fake, `${PATH}?watch=true&resourceVersion=abc`);
  expect([odd.status, Object(odd.body).reason]).toEqual([422, "Invalid"]);
});

test("bookmarks come where they are wanted, with a revision and nothing else", async () => {
  const clock = createVirtualClock();
  await using fake = await start({ clock });
  const from = `${PATH}?timeoutSeconds=240&resourceVersion=${now(fake)}`;
  using watch = await watchCluster(fake, `${from}&allowWatchBookmarks=true`);
  using plain = await watchCluster(fake, from);
  await until(() => fake.watches.count() === 2);
  fake.store.pass(7);
  await clock.advance(60_000);
  await watch.has(1);
  expect(watch.events[0]?.type).toBe("BOOKMARK");
  expect(watch.events[0]?.object.metadata.name).toBeUndefined();
  expect(watch.events[0]?.object.metadata.resourceVersion).toBe(now(fake));
  await clock.advance(180_000);
  await until(() => watch.end === "properly" && plain.end === "properly");
  expect([watch.events.length, plain.events.length]).toEqual([4, 0]);
});

test.each([
  ["end", "properly", []],
  ["cut", "broken", []],
  ["half-line", "broken", []],
  ["error", "properly", ["ERROR 500"]],
] as const)("an open watch can be ended: %s", async (kind, end, events) => {
  await using fake = await start();
  using watch = await watchCluster(fake, `${PATH}?resourceVersion=${now(fake)}`);
  await until(() => fake.watches.count("deployments") === 1);
  fake.watches.end(kind === "error" ? { kind, status: internalError() } : { kind });
  await until(() => watch.end !== null);
  expect([watch.end, told(watch)]).toEqual([end, [...events]]);
  await until(() => fake.watches.count() === 0);
});

test("a watch that is paused tells all of it later, and a stranded one never", async () => {
  await using fake = await start();
  const demo = fake.addWorkload("demo", { service: null });
  using watch = await watchCluster(fake, `${PATH}?resourceVersion=${now(fake)}`);
  await until(() => fake.watches.count() === 1);
  fake.watches.pause();
  demo.annotate({ a: "1" });
  demo.annotate({ a: "2" });
  await callCluster(fake, PATH);
  expect(watch.events).toEqual([]);
  fake.watches.resume();
  await watch.has(2);
  fake.watches.strand();
  demo.annotate({ a: "3" });
  fake.watches.end({ kind: "end" });
  using fresh = await watchCluster(fake, `${PATH}?resourceVersion=${now(fake)}`);
  demo.annotate({ a: "4" });
  await fresh.has(1);
  expect([watch.events.length, watch.end]).toEqual([2, null]);
});

test("a silent watch is one whose answer began, and never went on", async () => {
  await using fake = await start();
  fake.api.fail("deployments.watch", stallsInBody());
  using watch = await watchCluster(fake, PATH);
  fake.addWorkload("demo", { service: null });
  await callCluster(fake, PATH);
  expect([watch.status, watch.events.length, watch.end]).toEqual([200, 0, null]);
});

test("lines may come in two pieces, cut within a letter", async () => {
  await using fake = await start();
  const demo = fake.addWorkload("demo", { service: null });
  using watch = await watchCluster(fake, `${PATH}?resourceVersion=${now(fake)}`);
  await until(() => fake.watches.count() === 1);
  fake.api.splitPieces(true);
  // On a busy machine both may be read as one.
  await until(async () => {
    const told = watch.events.length + 1;
    demo.annotate({ a: `Grüße ${told}` });
    await watch.has(told);
    const { metadata } = watch.events[told - 1]?.object ?? {};
    expect(metadata).toHaveProperty("annotations", { a: `Grüße ${told}` });
    return watch.pieces > told;
  });
});

test("a watch that is opened again without a pause is noted", async () => {
  await using fake = await start();
  fake.store.compact();
  fake.store.pass(5);
  const open = () => callCluster(fake, `${PATH}?watch=1&resourceVersion=1`);
  // On a busy machine they may be spread over more than the second in which so many are too many.
  await until(async () => {
    await Promise.all(Array.from({ length: 31 }, open));
    return fake.violations.length > 0;
  });
});
