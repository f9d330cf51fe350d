/**
 * The provider `kubernetes` when the cluster's API, its watches or its answers go wrong. Most of it waits, so that it
 * is played side by side; what counts calls, or is played on a very fast clock, is played alone.
 */

import { describe, expect, test } from "bun:test";
import { persist } from "../src/provider-retry.ts";
import { patient, rejection, untilPhase } from "./contract/provider.ts";
import {
  answers,
  answersHalf,
  answersHtml,
  answersText,
  cutsBody,
  resetsAfter,
  resetsBefore,
  stallsInBody,
} from "./fakes/fake-faults.ts";
import { type AccessRule, leastRules } from "./fakes/fake-kubernetes-access.ts";
import { FOREIGN_CA } from "./fakes/fake-kubernetes-certificates.ts";
import {
  answerOf,
  internalError,
  serverTimeout,
  serviceUnavailable,
  tooManyRequests,
} from "./fakes/fake-kubernetes-status.ts";
import { createFastClock } from "./support/fast-clock.ts";
import {
  FOLLOWED,
  idOf,
  listingOf,
  lookAt,
  sleepFully,
  snapshotOf,
  startKubernetes,
  wakeFully,
} from "./support/kubernetes-provider.ts";
import { until } from "./support/until.ts";

/** Longer than `until` waits by itself: what is backed off from takes a while. */
const PATIENCE_MS = 20_000;

/** The least that is needed, but for this. */
function without(resource: string, verbs: readonly string[]): AccessRule[] {
  const single = leastRules().flatMap((rule) =>
    rule.resources.map((one) => ({ ...rule, resources: [one] })),
  );
  return single.map((rule) =>
    rule.resources.includes(resource)
      ? { ...rule, verbs: rule.verbs.filter((verb) => !verbs.includes(verb)) }
      : rule,
  );
}

describe.concurrent("kubernetes lists", () => {
  test.serial(
    "a page that cannot be had any more begins the list anew, and it is whole",
    async () => {
      await using world = await startKubernetes();
      for (let one = 0; one < 600; one += 1) {
        world.fake.addWorkload(`app-${one}`, { replicas: 0, service: null });
      }
      world.fake.api.beforeNext("deployments.list", () =>
        world.fake.api.beforeNext("deployments.list", () => world.fake.lists.expirePages()),
      );
      const listings = await world.provider.list(patient());
      expect(new Set(listings.map(({ key }) => key)).size).toBe(600);
      expect(world.fake.api.count("deployments.list")).toBe(2 + 3);
      expect(world.fake.violations).toEqual([]);
    },
  );

  test.serial("a cluster that forgets every page is listed in the end all the same", async () => {
    await using world = await startKubernetes({ pageLifeMs: -1 });
    for (let one = 0; one < 300; one += 1) {
      world.fake.addWorkload(`app-${one}`, { replicas: 0, service: null });
    }
    expect(await world.provider.list(patient())).toHaveLength(300);
    expect(world.fake.violations).toEqual([]);
  });

  test("pages with few objects, or none, are not the end", async () => {
    await using world = await startKubernetes();
    for (const name of ["a", "b", "c"]) world.fake.addWorkload(name);
    world.fake.lists.shortenPages(0, 1, 0, 0, 1);
    expect(await world.provider.list(patient())).toHaveLength(3);
  });

  test.each([
    ["an HTML page", answersHtml(502), "unavailable"],
    ["an HTML page with status 200", answersHtml(200), "protocol"],
    ["text with status 200", answersText(200, "ok"), "protocol"],
    ["something that is no list", answers({ status: 200, body: { kind: "Status" } }), "protocol"],
    ["a Status of 500", answers(answerOf(internalError())), "unavailable"],
    ["a server that is not ready", answers(answerOf(serviceUnavailable())), "unavailable"],
    ["a gateway in front", answersText(504, "upstream request timeout"), "unavailable"],
    ["half of the JSON", answersHalf(), "protocol"],
    ["half of the body", cutsBody(), "network"],
    ["a reset", resetsBefore(), "network"],
  ] as const)(
    "%s fails the list in words, and the next one is whole",
    async (_what, fault, kind) => {
      await using world = await startKubernetes();
      world.fake.addWorkload("demo");
      world.fake.api.fail("deployments.list", fault, Number.POSITIVE_INFINITY);
      const error = await rejection(world.provider.list(patient()));
      expect([error.kind, error.message]).toEqual([
        ...[kind, expect.stringContaining("deployments of preview")],
      ]);
      world.fake.api.heal();
      expect(await world.provider.list(patient())).toHaveLength(1);
    },
  );

  test.each([
    ["once", answerOf(serverTimeout({ resource: "deployments", name: null }))],
    ["with a time", answerOf(tooManyRequests(1), { "retry-after": "1" })],
  ])("what fails %s is asked for again", async (_what, answer) => {
    await using world = await startKubernetes({ clock: createFastClock(20) });
    world.fake.addWorkload("demo");
    world.fake.api.fail("deployments.list", answers(answer));
    expect(await world.provider.list(patient())).toHaveLength(1);
    expect(world.fake.api.count("deployments.list")).toBe(2);
  });

  test("a namespace that may not be read hides no other's apps", async () => {
    const namespaces = ["blue", "green"];
    await using world = await startKubernetes({
      rules: leastRules(["blue"]),
      config: () => ({ namespaces }),
    });
    world.fake.addWorkload("one", { namespace: "blue" });
    const two = world.fake.addWorkload("two", { namespace: "green" });
    expect((await world.provider.list(patient())).map(({ key }) => key)).toEqual(["one"]);
    expect(world.provider.whyUnlisted?.(idOf(two))).toContain("its Role in green needs the rule");
    world.fake.setRules(leastRules(namespaces));
    expect(await world.provider.list(patient())).toHaveLength(2);
    expect(world.provider.whyUnlisted?.(idOf(two))).toBeNull();
  });
});

describe.concurrent("kubernetes watches", () => {
  test.serial("what somebody does with kubectl is told at once, step by step", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 2 });
    using watching = await world.watch();
    world.callsSince();
    app.scale(0);
    await until(() => watching.phasesOf(app).at(-1) === "asleep");
    app.scale(2);
    await until(() => watching.phasesOf(app).at(-1) === "awake");
    app.beginRollout();
    await until(() => watching.phasesOf(app).at(-1) === "deploying");
    app.endRollout();
    await until(() => watching.phasesOf(app).at(-1) === "awake");
    expect(world.callsSince()).toEqual([]);
    expect(watching.gaps).toBe(0);
    expect(world.fake.violations).toEqual([]);
  });

  test("a size that we write, and a heartbeat of the cluster, ask for no list", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo");
    using watching = await world.watch();
    await sleepFully(world, app);
    await untilPhase(world.provider, idOf(app), "asleep");
    await wakeFully(world, app);
    await until(() => watching.phasesOf(app).at(-1) === "awake");
    expect(watching.gaps).toBe(0);
  });

  test("a workload that comes, or goes, asks for a list, and that costs nothing", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo");
    using watching = await world.watch();
    app.delete();
    await until(() => watching.gaps === 1);
    expect(await world.provider.list(patient())).toEqual([]);
    world.fake.addWorkload("other");
    await until(() => watching.gaps === 2);
    expect((await world.provider.list(patient())).map(({ key }) => key)).toEqual(["other"]);
  });

  test("a Service that comes later, or changes, is heard of", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { service: null });
    using watching = await world.watch();
    world.fake.addService(app, { name: "demo" });
    await until(() => watching.phasesOf(app).at(-1) === "awake");
    const { observation } = await listingOf(world, app);
    expect(observation?.target?.host).toStartWith("demo.preview.svc.");
  });

  test.each([
    ["ends, as it does after some minutes", { kind: "end" }],
    ["breaks off between two lines", { kind: "cut" }],
    ["breaks off in the middle of a line", { kind: "half-line" }],
    ["says that something is wrong", { kind: "error", status: internalError() }],
  ] as const)("one that %s goes on where it was, and nothing is missed", async (_what, how) => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 2 });
    using watching = await world.watch();
    world.callsSince();
    world.fake.watches.end(how);
    await until(() => world.fake.watches.count() === 0);
    app.scale(0);
    await until(() => watching.phasesOf(app).at(-1) === "asleep", PATIENCE_MS);
    const kinds = new Set(world.callsSince());
    expect([...kinds].filter((kind) => kind.endsWith(".list"))).toEqual([]);
    expect(watching.gaps).toBe(0);
    expect(world.fake.violations).toEqual([]);
  });

  test.each(["event", "status"] as const)(
    "one that begins too far back (%s) asks for a list, and is right after it",
    async (tooOldAs) => {
      await using world = await startKubernetes({ tooOldAs });
      const app = world.fake.addWorkload("demo", { replicas: 2 });
      using watching = await world.watch();
      world.fake.watches.pause();
      app.scale(0);
      await until(() => app.pods.length === 0);
      world.fake.store.compact();
      world.fake.store.pass(1);
      world.fake.watches.end({ kind: "cut" });
      world.fake.watches.resume();
      await until(() => watching.gaps > 0, PATIENCE_MS);
      await until(async () => (await listingOf(world, app)).observation?.phase === "asleep");
      app.scale(1);
      await until(() => watching.phasesOf(app).at(-1) === "awake", PATIENCE_MS);
      expect(world.fake.violations).toEqual([]);
    },
  );

  test("bookmarks move it on: what the cluster forgets meanwhile does not matter", async () => {
    await using world = await startKubernetes({ bookmarkEveryMs: 50 });
    const app = world.fake.addWorkload("demo");
    using watching = await world.watch();
    world.fake.store.pass(1_000);
    // Every watch has had one since.
    const before = world.fake.watches.bookmarks();
    await until(() => world.fake.watches.bookmarks() >= before + 3 * FOLLOWED.length);
    world.fake.store.compact();
    world.fake.watches.end({ kind: "cut" });
    await until(() => FOLLOWED.every((kind) => world.fake.watches.count(kind) > 0), PATIENCE_MS);
    app.scale(0);
    await until(() => watching.phasesOf(app).at(-1) === "asleep");
    expect(watching.gaps).toBe(0);
  });

  test.serial(
    "one that falls silent is not trusted for long, and is given up in the end",
    async () => {
      const clock = createFastClock(100);
      await using world = await startKubernetes({ clock, bootMs: 300, stopMs: 200 });
      const app = world.fake.addWorkload("demo", { replicas: 2 });
      using watching = await world.watch();
      world.fake.watches.strand();
      app.scale(0);
      const beganMs = clock.now();
      await until(async () => (await listingOf(world, app)).observation?.phase === "asleep");
      expect(clock.now() - beganMs).toBeLessThan(120_000);
      app.scale(2);
      await until(() => watching.phasesOf(app).at(-1) === "awake", PATIENCE_MS);
      expect(world.fake.violations).toEqual([]);
    },
  );

  test.serial("one whose answer begins and never goes on is given up as well", async () => {
    const clock = createFastClock(100);
    await using world = await startKubernetes({ clock, bootMs: 300, stopMs: 200 });
    const app = world.fake.addWorkload("demo", { replicas: 2 });
    world.fake.api.fail("deployments.watch", stallsInBody());
    using watching = await world.watchLoosely();
    app.scale(0);
    await until(() => watching.phasesOf(app).at(-1) === "asleep", PATIENCE_MS);
  });

  test("lines in pieces, cut within letters, are read", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo");
    using watching = await world.watch();
    world.fake.api.splitPieces(true);
    for (let turn = 0; turn < 5; turn += 1) {
      app.scale(0);
      await until(() => watching.phasesOf(app).at(-1) === "asleep");
      app.scale(1);
      await until(() => watching.phasesOf(app).at(-1) === "awake");
    }
    // One that has to be read to the letter.
    world.fake.controllers.pause();
    const lastTransitionTime = "2025-01-01T00:00:00Z";
    const message = "über Kontingent";
    const condition = {
      type: "ReplicaFailure",
      status: "True",
      message,
      lastTransitionTime,
    } as const;
    app.changeObject((object) => ({ ...object, status: { conditions: [condition] } }));
    await until(() => watching.notices.at(-1)?.observation.reason?.includes(message) === true);
    expect(watching.gaps).toBe(0);
    expect(world.fake.violations).toEqual([]);
  });

  test("lines that make no sense, and events of tomorrow, do no harm", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo");
    using watching = await world.watch();
    world.fake.watches.say('{"type":"RENAMED","object":{"kind":"Deployment"}}\n\n');
    app.scale(0);
    await until(() => watching.phasesOf(app).at(-1) === "asleep");
    world.fake.watches.say("<html>\n");
    app.scale(1);
    await until(() => watching.phasesOf(app).at(-1) === "awake", PATIENCE_MS);
    expect(world.fake.violations).toEqual([]);
  });

  test("those that fail again and again are tried ever later, and said once", async () => {
    const clock = createFastClock(20);
    await using world = await startKubernetes({ clock });
    const app = world.fake.addWorkload("demo");
    const { api } = world.fake;
    api.fail("deployments.watch", cutsBody(), Number.POSITIVE_INFINITY);
    using watching = await world.watchLoosely();
    await until(() => api.count("deployments.watch") >= 6, PATIENCE_MS);
    const times = api.journal
      .filter(({ kind }) => kind === "deployments.watch")
      .map(({ atMs }) => atMs);
    const pauses = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0));
    // The fifth of 0.5 s, 1 s, 2 s and so on, or half of it.
    expect(pauses.at(-1) ?? 0).toBeGreaterThanOrEqual(4_000);
    // Whoever lists finds out that it was not told of anything.
    const told = () => world.lines.filter(({ level }) => level === "warn");
    await until(async () => {
      await world.provider.list(patient());
      return told().length > 0;
    }, PATIENCE_MS);
    await world.provider.list(patient());
    expect(told().map(({ message }) => message)).toEqual([expect.stringContaining("deployments")]);
    // What is listed meanwhile is right.
    app.scale(0);
    await until(async () => (await listingOf(world, app)).observation?.phase === "asleep");
    api.heal();
    app.scale(1);
    await until(() => watching.phasesOf(app).at(-1) === "awake", PATIENCE_MS);
    expect(world.fake.violations).toEqual([]);
  });

  test.serial(
    "those that failed for long do not wait any longer once a list succeeds",
    async () => {
      const clock = createFastClock(10);
      await using world = await startKubernetes({ clock });
      const app = world.fake.addWorkload("demo");
      const { api, watches } = world.fake;
      using watching = await world.watch();
      api.fail(() => true, answers(answerOf(serviceUnavailable())), Number.POSITIVE_INFINITY);
      watches.end({ kind: "cut" });
      const failures = () => api.count("deployments.watch");
      const before = failures();
      await until(() => failures() >= before + 6, PATIENCE_MS);
      api.heal();
      const lists = () =>
        world.provider.list(patient()).then(
          () => true,
          () => false,
        );
      await until(lists, PATIENCE_MS);
      const beganMs = clock.now();
      await until(() => watches.count("deployments") > 0, PATIENCE_MS);
      // The seventh pause would be 8 s at least.
      expect(clock.now() - beganMs).toBeLessThan(7_000);
      app.scale(0);
      await until(() => watching.phasesOf(app).at(-1) === "asleep");
      expect(world.fake.violations).toEqual([]);
    },
  );

  test("those that are one too many wait as long as they are told to", async () => {
    await using world = await startKubernetes({ clock: createFastClock(20) });
    const app = world.fake.addWorkload("demo");
    const { api } = world.fake;
    const answer = answerOf(tooManyRequests(10), { "retry-after": "10" });
    api.fail("deployments.watch", answers(answer));
    using watching = await world.watchLoosely();
    await until(() => api.count("deployments.watch") === 2, PATIENCE_MS);
    const [first, second] = api.journal.filter(({ kind }) => kind === "deployments.watch");
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(10_000);
    app.scale(0);
    await until(() => watching.phasesOf(app).at(-1) === "asleep");
  });

  test("news that lags behind what was seen is passed over", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo");
    using watching = await world.watch();
    world.fake.watches.pause();
    await sleepFully(world, app);
    await untilPhase(world.provider, idOf(app), "asleep");
    expect((await listingOf(world, app)).observation?.phase).toBe("asleep");
    await wakeFully(world, app, snapshotOf(app, 1));
    const told = watching.notices.length;
    world.fake.watches.resume();
    await until(() => watching.phasesOf(app).at(-1) === "awake");
    const late = watching.notices.slice(told).map(({ observation }) => observation.phase);
    expect(late).not.toContain("asleep");
    expect(late).not.toContain("stopping");
  });

  test("news from before a sleep does not make an app look awake that was seen asleep", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo");
    using watching = await world.watch();
    world.fake.watches.pause();
    await sleepFully(world, app);
    await untilPhase(world.provider, idOf(app), "asleep");
    // The size that was written down: the app was up then.
    world.fake.watches.tellOne("deployments");
    // Comes after it, on another watch, and says nothing of the app itself.
    world.fake.addService(app, { name: "other", selector: { app: "other" } });
    world.fake.watches.tellOne("services");
    await until(() => watching.notices.length > 0);
    expect(watching.phasesOf(app)).toEqual(["asleep"]);
    expect((await listingOf(world, app)).observation?.phase).toBe("asleep");
  });

  test("nothing is open any more once the provider is closed", async () => {
    await using world = await startKubernetes();
    world.fake.addWorkload("demo");
    using _watching = await world.watch();
    await world.provider.close();
    await until(() => world.fake.watches.count() === 0 && world.fake.api.inFlight === 0);
  });
});

describe.concurrent("kubernetes tokens", () => {
  test("one that was rotated is read again at once: no call fails, and nobody is told", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 0 });
    using watching = await world.watch();
    world.fake.rotateToken();
    await wakeFully(world, app);
    world.fake.rotateToken();
    world.fake.watches.end({ kind: "end" });
    await until(() => world.fake.watches.count() === 0);
    await until(() => FOLLOWED.every((kind) => world.fake.watches.count(kind) > 0), PATIENCE_MS);
    app.scale(0);
    await until(() => watching.phasesOf(app).at(-1) === "asleep");
    expect(world.lines.filter(({ level }) => level === "warn" || level === "error")).toEqual([]);
    expect(world.fake.violations).toEqual([]);
  });

  test.serial(
    "the new one is used within a minute, though the old one is good for longer",
    async () => {
      const clock = createFastClock(100);
      await using world = await startKubernetes({ clock });
      const app = world.fake.addWorkload("demo");
      await lookAt(world, app);
      const fresh = world.fake.rotateToken(3_600_000);
      const beganMs = clock.now();
      await until(async () => {
        await lookAt(world, app);
        return world.fake.api.journal.at(-1)?.headers.authorization === `Bearer ${fresh}`;
      });
      expect(clock.now() - beganMs).toBeLessThan(65_000);
    },
  );

  test.serial(
    "one that is refused is told in words, without the token, and works again once it is accepted",
    async () => {
      await using world = await startKubernetes({ clock: createFastClock(50) });
      const app = world.fake.addWorkload("demo", { replicas: 0 });
      world.fake.refuse();
      const error = await rejection(world.provider.list(patient()));
      expect([error.kind, error.message]).toEqual(["auth", expect.stringContaining("401")]);
      expect(JSON.stringify([error.message, world.lines])).not.toContain(world.fake.token);
      world.fake.accept();
      await wakeFully(world, app);
      expect(app.replicas).toBe(1);
    },
  );

  test("a CA that is another one keeps the token from being sent", async () => {
    await using world = await startKubernetes();
    const { token, namespace, files } = world.fake;
    files.writeServiceAccount({ token, namespace, ca: FOREIGN_CA });
    const error = await rejection(world.provider.list(patient()));
    expect(error.message).toContain("certificate that nobody vouches for");
    expect(world.fake.api.count()).toBe(0);
  });
});

describe.concurrent("kubernetes roles", () => {
  test.each([
    ["pods", ["list"]],
    ["horizontalpodautoscalers", ["get", "list", "watch"]],
    ["endpointslices", ["get", "list", "watch"]],
  ] as const)(
    "without %s an app wakes and sleeps all the same, and that is said once",
    async (resource, verbs) => {
      await using world = await startKubernetes({ rules: without(resource, verbs) });
      const app = world.fake.addWorkload("demo", { replicas: 3 });
      const second = world.fake.addWorkload("second", { replicas: 0 });
      const snapshot = await sleepFully(world, app);
      await untilPhase(world.provider, idOf(app), "asleep");
      await Promise.all([wakeFully(world, app, snapshot), wakeFully(world, second)]);
      expect([app.replicas, second.replicas]).toEqual([3, 1]);
      await world.provider.list(patient());
      await world.provider.list(patient());
      const told = world.lines.filter(({ level }) => level === "warn");
      expect(told.filter(({ message }) => message.includes(resource)).length).toBeLessThanOrEqual(
        1,
      );
      expect(told.length).toBeLessThanOrEqual(1);
      expect(world.fake.violations).toEqual([]);
    },
  );

  test.serial(
    "without the watch lists go on, and it is not asked for again and again",
    async () => {
      const clock = createFastClock(100);
      const rules = without("deployments", ["watch"]);
      await using world = await startKubernetes({ clock, rules, bootMs: 300, stopMs: 200 });
      const app = world.fake.addWorkload("demo");
      using _watching = await world.watchLoosely();
      await until(() => world.fake.api.count("deployments.watch") > 0);
      const beganMs = clock.now();
      app.scale(0);
      await until(async () => {
        const { observation } = await listingOf(world, app);
        return observation?.phase === "asleep" && clock.now() - beganMs > 60_000;
      });
      expect(world.fake.api.count("deployments.watch")).toBeLessThanOrEqual(2);
    },
  );

  test.each([
    ["deployments", "list", "deployments"],
    ["services", "list", "services"],
    ["deployments/scale", "patch", "deployments/scale"],
  ])("what is needed and not allowed names the rule: %s", async (resource, verb, named) => {
    await using world = await startKubernetes({ rules: without(resource, [verb]) });
    const app = world.fake.addWorkload("demo", { replicas: 0 });
    const call = verb === "patch" ? wakeFully(world, app) : world.provider.list(patient());
    const error = await rejection(call);
    expect(error.kind).toBe("forbidden");
    expect(error.message).toContain(`resources: ["${named}"], verbs: ["${verb}"]`);
    expect(world.fake.violations).toEqual([]);
  });
});

describe.concurrent("kubernetes writes", () => {
  test.each([
    ["a wake", "deployments.scale.patch", "wake"],
    ["a sleep", "deployments.scale.patch", "sleep"],
    ["the size that is written down", "deployments.patch", "sleep"],
  ] as const)(
    "a lost answer to %s (%s) leaves the app as it was wanted",
    async (_what, kind, how) => {
      await using world = await startKubernetes();
      const app = world.fake.addWorkload("demo", { replicas: how === "wake" ? 0 : 3 });
      world.fake.api.fail(kind, resetsAfter());
      if (how === "wake") {
        await wakeFully(world, app, snapshotOf(app, 3));
        expect(app.replicas).toBe(3);
      } else {
        await sleepFully(world, app);
        expect([app.replicas, app.annotations["paastis.dev/previous-replicas"]]).toEqual([0, "3"]);
      }
      // One change of what is wanted, however often it was asked for.
      expect(app.object.metadata.generation).toBe(2);
      expect(world.fake.violations).toEqual([]);
    },
  );

  test("a lost answer to a wake does not undo what somebody else did right after it", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 0 });
    world.fake.api.fail("deployments.scale.patch", resetsAfter());
    // Somebody is quicker than whatever we do next.
    world.fake.api.beforeNext("deployments.scale.patch", () =>
      world.fake.api.beforeNext("deployments.*", () => app.scale(5)),
    );
    await wakeFully(world, app, snapshotOf(app, 3));
    expect(app.replicas).toBe(5);
  });

  test("conflicts are looked at anew, and win in the end", async () => {
    await using world = await startKubernetes();
    const app = world.fake.addWorkload("demo", { replicas: 2 });
    for (const kind of ["deployments.patch", "deployments.scale.patch"]) {
      world.fake.api.beforeNext(kind, () => app.annotate({ heartbeat: kind }));
    }
    await sleepFully(world, app);
    expect([app.replicas, app.annotations.heartbeat]).toEqual([0, "deployments.scale.patch"]);
    expect(app.annotations["paastis.dev/previous-replicas"]).toBe("2");
  });

  test("while the API is away calls fail soon, and afterwards an app wakes", async () => {
    await using world = await startKubernetes({ clock: createFastClock(20) });
    const app = world.fake.addWorkload("demo", { replicas: 0 });
    const up = world.fake.addWorkload("up");
    using _watching = await world.watch();
    await world.fake.api.goDown("refuse");
    const error = await rejection(world.provider.wake(idOf(app), null, patient()));
    expect(error.kind).toBe("network");
    await world.fake.api.comeUp();
    await until(
      () =>
        wakeFully(world, app).then(
          () => true,
          () => false,
        ),
      PATIENCE_MS,
    );
    expect([app.replicas, up.replicas]).toEqual([1, 1]);
    expect(world.fake.violations).toEqual([]);
  });

  // What others do at the same time would count.
  test.serial(
    "a wake that waits goes on within two seconds of the API's return, however long that was away",
    async () => {
      const clock = createFastClock(10);
      await using world = await startKubernetes({ clock });
      const { provider, fake } = world;
      const app = fake.addWorkload("demo", { replicas: 0 });
      await fake.api.goDown("refuse");
      let failures = 0;
      const waking = persist(() => provider.wake(idOf(app), null, patient()), {
        ...{ clock, random: () => 0.99, signal: patient(), untilMs: clock.now() + 600_000 },
        ...(provider.untilBack !== undefined && { untilBack: provider.untilBack }),
        onFailure() {
          failures += 1;
        },
      });
      // After so many the next pause lasts 15 s.
      await until(() => failures >= 5, PATIENCE_MS);
      await fake.api.comeUp();
      const beganMs = clock.now();
      expect(await waking).toMatchObject({ done: false });
      // And what a busy machine adds, on which ten seconds are one.
      expect(clock.now() - beganMs).toBeLessThan(12_000);
      expect(app.replicas).toBe(1);
      expect(fake.violations).toEqual([]);
    },
  );
});
