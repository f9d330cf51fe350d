/** Objects that are listed, then watched. */

import { expect, test } from "bun:test";
import { createFeed, type FeedChange, type FeedKind } from "../src/providers/kubernetes-feed.ts";
import { fieldsOf, numberOf, objectNameOf } from "../src/providers/kubernetes-json.ts";
import { readEvent, type WatchEvent, watchOnce } from "../src/providers/kubernetes-stream.ts";
import { createWatchReport } from "../src/providers/kubernetes-watch-report.ts";
import { failureOf } from "./support/platform-server.ts";
import {
  clientOf,
  kubeconfigOf,
  listAnswer,
  startScriptedCluster,
  statusAnswer,
} from "./support/scripted-cluster.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

interface Thing {
  readonly name: string;
  readonly generation: number;
}

const THINGS: FeedKind<Thing> = {
  plural: "things",
  group: "/apis/test/v1",
  read(object) {
    const name = objectNameOf(object)?.name ?? "";
    const generation = numberOf(fieldsOf(fieldsOf(object).metadata).generation);
    return name.startsWith("other") ? null : { name, generation };
  },
  isOlder: (news, known) => news.generation < known.generation,
};

function thing(name: string, generation = 1, resourceVersion = "50") {
  return { metadata: { name, namespace: "a", generation, resourceVersion } };
}

const PATH = "/apis/test/v1/namespaces/a/things";

/** A feed in front of a cluster that lists `items` at version 40, over a clock that only moves when told. */
async function start(options: { readonly kind?: Partial<FeedKind<Thing>> } = {}) {
  const cluster = startScriptedCluster();
  const listed = [thing("one", 1, "31")];
  let version = 40;
  cluster.answer = ({ path }) => {
    if (path.includes("watch=1")) return null;
    const answer = listAnswer(listed, `${version}`);
    version += 10;
    return answer;
  };
  // Its timers are let go by hand; what needs sockets is waited for.
  const clock = createVirtualClock(undefined, () => Bun.sleep(5));
  const client = await clientOf(cluster, { clock });
  const feed = createFeed(
    { ...client.deps, api: client.api, watchReport: createWatchReport(client.deps) },
    { ...THINGS, ...options.kind },
    "a",
  );
  const changes: FeedChange<Thing>[] = [];
  let gaps = 0;
  const end = new AbortController();
  const following = feed.follow({
    signal: end.signal,
    onChange: (change) => changes.push(change),
    onGap: () => {
      gaps += 1;
    },
  });
  const read = () => feed.read({ urgency: "sweep", signal: new AbortController().signal });
  return {
    ...{ cluster, client, clock, feed, changes, listed, read, end, following },
    gaps: () => gaps,
    said: () => client.lines.filter(({ level }) => level !== "debug"),
    lists: () => cluster.calls.filter(({ path }) => !path.includes("watch=1")).length,
    async [Symbol.asyncDispose]() {
      end.abort(new Error("the test is over"));
      await following;
      await client[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

const names = (things: readonly Thing[]) => things.map(({ name }) => name);

test("kubernetes feed: a watch begins where the list was, asks for bookmarks, and has an end", async () => {
  await using test = await start();
  expect(names(await test.read())).toEqual(["one"]);
  const { path } = await test.cluster.nextWatch();
  expect(path).toBe(
    `${PATH}?watch=1&resourceVersion=40&allowWatchBookmarks=true&timeoutSeconds=240`,
  );
});

test("kubernetes feed: what is watched is told, and read again without a call", async () => {
  await using test = await start();
  await test.read();
  const watch = await test.cluster.nextWatch();
  watch.send({ type: "ADDED", object: thing("two", 1, "41") });
  watch.send({ type: "MODIFIED", object: thing("one", 2, "42") });
  watch.send({ type: "DELETED", object: thing("one", 2, "43") });
  watch.send({ type: "ADDED", object: thing("other", 1, "44") });
  watch.send({ type: "BOOKMARK", object: { metadata: { resourceVersion: "45" } } });
  watch.send({ type: "ADDED", object: thing("three", 1, "46") });
  await until(() => test.changes.length === 4);
  expect(test.changes).toEqual([
    { before: null, after: { name: "two", generation: 1 } },
    { before: { name: "one", generation: 1 }, after: { name: "one", generation: 2 } },
    { before: { name: "one", generation: 2 }, after: null },
    { before: null, after: { name: "three", generation: 1 } },
  ]);
  expect(names(await test.read())).toEqual(["two", "three"]);
  expect(test.lists()).toBe(1);
});

test("kubernetes feed: an event in pieces, and two in one, are read", async () => {
  await using test = await start();
  await test.read();
  const watch = await test.cluster.nextWatch();
  const text = JSON.stringify({ type: "ADDED", object: thing("zwei-ü", 1, "41") });
  for (const piece of [text.slice(0, 9), text.slice(9, 60), text.slice(60)]) {
    watch.sendText(piece);
    await Bun.sleep(1);
  }
  expect(test.changes).toEqual([]);
  const next = JSON.stringify({ type: "ADDED", object: thing("three", 1, "42") });
  watch.sendText(`\n${next}\n\n`);
  await until(() => test.changes.length === 2);
  expect(names(await test.read())).toEqual(["one", "zwei-ü", "three"]);
});

test("kubernetes feed: a watch that has ended goes on from the last version, bookmarks included", async () => {
  await using test = await start();
  await test.read();
  const first = await test.cluster.nextWatch();
  await test.clock.advance(200_000);
  first.send({ type: "BOOKMARK", object: { metadata: { resourceVersion: "47" } } });
  first.end();
  await until(async () => {
    await test.clock.advance(10);
    return test.cluster.watches.length === 2;
  });
  const second = await test.cluster.nextWatch();
  expect([second.isOpen, second.path]).toEqual([
    true,
    expect.stringContaining("resourceVersion=47&"),
  ]);
  expect(test.gaps()).toBe(0);
});

test("kubernetes feed: a watch that falls silent for too long is given up and begun anew", async () => {
  await using test = await start();
  await test.read();
  const first = await test.cluster.nextWatch();
  await test.clock.advance(254_000);
  expect(first.isOpen).toBe(true);
  await test.clock.advance(2_000);
  await until(() => !first.isOpen);
  await until(async () => {
    await test.clock.advance(500);
    return test.cluster.watches.length === 2;
  });
});

test("kubernetes feed: what was watched is not trusted when nothing was heard for long", async () => {
  await using test = await start();
  // From the moment that the answer to the watch has begun to arrive.
  await until(async () => {
    const before = test.lists();
    await test.read();
    return test.lists() === before;
  });
  const lists = test.lists();
  await test.clock.advance(89_000);
  await test.read();
  expect(test.lists()).toBe(lists);
  await test.clock.advance(2_000);
  const watch = test.cluster.watches.at(-1);
  const watches = test.cluster.watches.length;
  await test.read();
  expect(test.lists()).toBe(lists + 1);
  // The list is newer than the watch: that begins again from there.
  await until(() => watch?.isOpen === false && test.cluster.watches.length > watches);
});

for (const [how, fail] of [
  ["as the status of the answer", "status"],
  ["as an event", "event"],
] as const) {
  test(`kubernetes feed: a version that is gone (${how}) asks for a list, and goes on from that`, async () => {
    await using test = await start();
    if (fail === "status") {
      const { answer } = test.cluster;
      test.cluster.answer = (call) =>
        call.path.includes("watch=1") && call.path.includes("resourceVersion=40")
          ? statusAnswer(410, { reason: "Expired" })
          : answer(call);
    }
    await test.read();
    if (fail === "event") {
      const watch = await test.cluster.nextWatch();
      watch.send({ type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired" } });
    }
    await until(() => test.gaps() === 1);
    test.listed.push(thing("two", 1, "49"));
    expect(names(await test.read())).toEqual(["one", "two"]);
    expect((await test.cluster.nextWatch()).path).toContain("resourceVersion=50&");
  });
}

test("kubernetes feed: a watch nobody has read for asks for a list now and then", async () => {
  await using test = await start();
  await test.clock.advance(29_000);
  expect(test.gaps()).toBe(0);
  await test.clock.advance(61_000);
  expect(test.gaps()).toBe(3);
});

test("kubernetes feed: a watch that fails is tried again, later each time, and said once if lists work", async () => {
  await using test = await start();
  const { answer } = test.cluster;
  const triesMs: number[] = [];
  test.cluster.answer = (call) => {
    if (!call.path.includes("watch=1")) return answer(call);
    triesMs.push(test.clock.now());
    return statusAnswer(503, { message: "leader lost" });
  };
  await test.read();
  await until(async () => {
    await test.clock.advance(50);
    return triesMs.length === 5;
  });
  const pausesMs = triesMs.slice(1).map((atMs, index) => atMs - (triesMs[index] ?? 0));
  for (const [index, leastMs] of [250, 500, 1_000, 2_000].entries()) {
    expect(pausesMs[index]).toBeGreaterThanOrEqual(leastMs);
  }
  expect(test.said()).toEqual([]);
  // Nothing that is not watched is trusted.
  await test.read();
  await test.read();
  expect(test.lists()).toBe(3);
  expect(test.said()).toMatchObject([
    {
      level: "warn",
      message:
        "cannot watch the things of a (status 503 leader lost): until that works, changes are seen when the apps are listed",
    },
  ]);
  test.cluster.answer = answer;
  await until(async () => {
    await test.clock.advance(1_000);
    return test.said().length === 2;
  });
  expect(test.said()[1]?.message).toBe("changes in the cluster are told at once again");
});

test("kubernetes feed: after an outage of everything a watch is not complained of that works again", async () => {
  await using test = await start();
  const { answer } = test.cluster;
  await test.read();
  const first = await test.cluster.nextWatch();
  let refused = 0;
  test.cluster.answer = () => {
    refused += 1;
    return statusAnswer(503, { message: "no leader" });
  };
  first.end();
  await until(async () => {
    await test.clock.advance(50);
    return refused === 4;
  });
  await failureOf(test.read());
  test.cluster.answer = answer;
  await test.read();
  // That list lets it go on at once.
  expect((await test.cluster.nextWatch()).isOpen).toBe(true);
  const trusted = async () => {
    const before = test.lists();
    await test.read();
    return test.lists() === before;
  };
  await until(trusted);
  expect(test.said()).toEqual([]);
});

test("kubernetes feed: a watch that is not allowed is not asked for again soon; lists do", async () => {
  await using test = await start();
  const { answer } = test.cluster;
  test.cluster.answer = (call) =>
    call.path.includes("watch=1") ? statusAnswer(403, { message: "no" }) : answer(call);
  await test.read();
  await until(() => test.said().length === 1);
  await test.clock.advance(590_000);
  expect(test.cluster.watches).toHaveLength(0);
  expect(test.cluster.calls.length - test.lists()).toBe(1);
  await test.read();
  expect(test.lists()).toBe(2);
  await test.clock.advance(20_000);
  expect(test.cluster.calls.length - test.lists()).toBe(2);
});

test("kubernetes feed: what is not needed and not allowed is empty, said once, and not asked for again soon", async () => {
  await using test = await start({ kind: { without: "life goes on" } });
  test.cluster.answer = () => statusAnswer(403, { message: "no" });
  expect(await test.read()).toEqual([]);
  expect(await test.read()).toEqual([]);
  expect(test.lists()).toBe(1);
  expect(test.said().map(({ message }) => message)).toEqual([
    expect.stringMatching(/could not list the things of a: .*; life goes on$/),
  ]);
  await test.clock.advance(590_000);
  expect(test.gaps()).toBe(0);
  await test.clock.advance(20_000);
  await test.read();
  expect(test.lists()).toBe(2);
});

test("kubernetes feed: what is needed and not allowed is a failure", async () => {
  await using test = await start();
  test.cluster.answer = () => statusAnswer(403, { message: "no" });
  expect((await failureOf(test.read())).kind).toBe("forbidden");
});

test("kubernetes feed: an event from before what was read on its own is passed over", async () => {
  await using test = await start();
  await test.read();
  const watch = await test.cluster.nextWatch();
  expect(test.feed.accept({ name: "one", generation: 5 }, "a/one").generation).toBe(5);
  expect(test.feed.accept({ name: "one", generation: 4 }, "a/one").generation).toBe(5);
  watch.send({ type: "MODIFIED", object: thing("one", 4, "41") });
  watch.send({ type: "MODIFIED", object: thing("one", 6, "42") });
  await until(() => test.changes.length > 0);
  expect(test.changes.map(({ after }) => after?.generation)).toEqual([6]);
});

test("kubernetes feed: a watch whose token is refused reads it again, at once", async () => {
  await using test = await start();
  const { answer } = test.cluster;
  test.cluster.answer = (call) => {
    const isOld = call.path.includes("watch=1") && call.authorization === "Bearer first-token";
    return isOld ? statusAnswer(401) : answer(call);
  };
  await test.client.api.connection.access();
  await Bun.write(test.client.file, kubeconfigOf(test.cluster.origin, "second-token"));
  await test.read();
  expect((await test.cluster.nextWatch()).isOpen).toBe(true);
});

test("kubernetes feed: of two lists at the same time the one that was asked for last counts", async () => {
  await using test = await start();
  const first = Promise.withResolvers<void>();
  let asked = 0;
  test.cluster.answer = ({ path }) => {
    if (path.includes("watch=1")) return null;
    asked += 1;
    if (asked > 1) return listAnswer([thing("new")], "60");
    return first.promise.then(() => listAnswer([thing("old")], "50"));
  };
  const early = test.read();
  await until(() => asked === 1);
  // One of another urgency does not wait behind it.
  const later = test.feed.read({ urgency: "wake", signal: new AbortController().signal });
  expect(names(await later)).toEqual(["new"]);
  first.resolve();
  await early;
  expect([...(test.feed.known?.keys() ?? [])]).toEqual(["a/new"]);
});

test("kubernetes feed: whoever asks while a list is on its way shares the next, and may leave without the others", async () => {
  await using test = await start();
  const { answer } = test.cluster;
  const go = Promise.withResolvers<void>();
  // Some servers begin the answer to a watch with its first event, so that nothing is trusted before.
  test.cluster.answer = (call) => {
    if (call.path.includes("watch=1")) return statusAnswer(503);
    return go.promise.then(() => answer(call) ?? statusAnswer(500));
  };
  const early = test.read();
  await until(() => test.lists() === 1);
  test.listed.push(thing("two"));
  const leaver = new AbortController();
  const left = failureOf(test.feed.read({ urgency: "sweep", signal: leaver.signal }));
  const all = Array.from({ length: 50 }, () => test.read());
  leaver.abort(new Error("it takes too long"));
  expect((await left).message).toContain("it takes too long");
  go.resolve();
  await early;
  expect((await Promise.all(all)).map(names)).toEqual(all.map(() => ["one", "two"]));
  expect(test.lists()).toBe(2);
  await test.read();
  expect(test.lists()).toBe(3);
});

test("kubernetes feed: a list that nobody waits for any more is given up", async () => {
  await using test = await start();
  const { answer } = test.cluster;
  test.cluster.answer = () => new Promise(() => undefined);
  const leaver = new AbortController();
  const left = failureOf(test.feed.read({ urgency: "sweep", signal: leaver.signal }));
  await until(() => test.lists() === 1);
  leaver.abort(new Error("it takes too long"));
  await left;
  test.cluster.answer = answer;
  expect(names(await test.read())).toEqual(["one"]);
});

test("kubernetes feed: a list with an object that has no name is none, and what is known stays", async () => {
  await using test = await start();
  await test.read();
  await test.cluster.nextWatch();
  await test.clock.advance(91_000);
  test.cluster.answer = (call) =>
    call.path.includes("watch=1") ? null : listAnswer([thing("two"), {}], "60");
  const failure = await failureOf(test.read());
  expect([failure.kind, failure.message]).toEqual([
    "protocol",
    "could not list the things of a: an object in it has no name",
  ]);
  expect([...(test.feed.known?.keys() ?? [])]).toEqual(["a/one"]);
});

test("kubernetes feed: versions that are gone at once, again and again, are asked for less and less, and said", async () => {
  await using test = await start();
  const { answer } = test.cluster;
  let tries = 0;
  test.cluster.answer = (call) => {
    if (!call.path.includes("watch=1")) return answer(call);
    tries += 1;
    return statusAnswer(410, { reason: "Expired" });
  };
  // Whoever is asked for a list gives one, as the core does after a second.
  for (let second = 0; second < 120; second += 1) {
    await test.read();
    await test.clock.advance(1_000);
  }
  expect(tries).toBeLessThan(20);
  expect(test.said().map(({ message }) => message)).toEqual([
    "cannot watch the things of a (the cluster forgets at once what it listed): until that works, changes are seen when the apps are listed",
  ]);
});

test("kubernetes watch: nothing is told any more once its signal was aborted", async () => {
  await using test = await start();
  const end = new AbortController();
  const told: WatchEvent[] = [];
  const watching = watchOnce(
    { api: test.client.api, clock: test.clock },
    {
      path: PATH,
      version: "1",
      seconds: 60,
      signal: end.signal,
      onEvent(event) {
        told.push(event);
        end.abort(new Error("that will do"));
      },
    },
  );
  const line = JSON.stringify({ type: "ADDED", object: thing("two") });
  (await test.cluster.nextWatch()).sendText(`${line}\n${line}\n`);
  await expect(watching).rejects.toThrow("that will do");
  expect(told).toHaveLength(1);
});

test("kubernetes feed: nothing stays behind when nobody follows any more", async () => {
  const test = await start();
  await test.read();
  const watch = await test.cluster.nextWatch();
  await test[Symbol.asyncDispose]();
  expect(watch.isOpen).toBe(false);
  expect(test.clock.pending()).toBe(0);
});

test("kubernetes watch: lines that make no sense end it, words of tomorrow are passed over", () => {
  expect(readEvent("")).toEqual({ kind: "nothing" });
  expect(readEvent('{"type":"RENAMED","object":{}}')).toEqual({ kind: "nothing" });
  expect(readEvent("<html>")).toMatchObject({ kind: "end", end: { kind: "failed" } });
  expect(readEvent('{"type":"ERROR","object":{"code":500,"message":"etcd"}}')).toMatchObject({
    kind: "end",
    end: { kind: "failed", why: "etcd" },
  });
});
