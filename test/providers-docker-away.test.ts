/** The provider `docker` against the fake engine: what it makes of an engine, or a container, that is away for a while. */

import { describe, expect, test } from "bun:test";
import { patient, rejection } from "./contract/provider.ts";
import { answersHtml, answersText, resetsBefore } from "./fakes/fake-faults.ts";
import {
  type DockerTest,
  fact,
  STARTS,
  startDocker,
  untilQuiet,
  visit,
  wake,
  warnings,
} from "./support/docker-provider.ts";
import { within } from "./support/pace.ts";
import { until } from "./support/until.ts";
import { createVirtualClock, type VirtualClock } from "./support/virtual-clock.ts";

const ALWAYS = Number.POSITIVE_INFINITY;

/** Lets time pass until `condition` holds. @returns how much it took, ms */
async function passUntil(
  clock: VirtualClock,
  condition: () => boolean,
  limitMs = 60_000,
): Promise<number> {
  for (let passedMs = 0; ; passedMs += 50) {
    if (condition()) return passedMs;
    if (passedMs > limitMs) throw new Error(`not within ${limitMs} ms`);
    await clock.advance(50);
    // What goes over sockets takes its time.
    await Bun.sleep(1);
  }
}

describe("docker: an engine that is away", () => {
  for (const how of ["gone", "refuse"] as const) {
    fact(`is known to be back soon after it is (${how})`, {}, async ({ fake, provider }) => {
      await fake.goDown(how);
      let isBack = false;
      const back = provider.untilBack?.(patient()).then(() => {
        isBack = true;
      });
      await Bun.sleep(500);
      expect(isBack).toBe(false);
      await fake.comeUp();
      const beganMs = performance.now();
      await back;
      expect(performance.now() - beganMs).toBeLessThan(within(2_000));
    });
  }

  fact("is waited for no longer than somebody wants", {}, async ({ fake, provider }) => {
    await fake.goDown();
    const controller = new AbortController();
    const waiting = provider.untilBack?.(controller.signal);
    controller.abort(new Error("enough"));
    expect(await waiting?.catch(String)).toBe("Error: enough");
  });

  fact("what refuses to say its version answers", {}, async ({ fake, provider }) => {
    fake.server.fail("version", answersHtml(403), ALWAYS);
    await provider.untilBack?.(patient());
  });

  fact(
    "behind a proxy that answers for it is one that may come back, not one that refused the start",
    {},
    async (world) => {
      const demo = world.fake.addContainer("demo");
      world.fake.server.fail("start", answersHtml(503));
      expect((await rejection(wake(world, "demo"))).kind).toBe("unavailable");
      expect(await visit(await wake(world, "demo"))).toBe("demo");
      expect(demo.starts).toBe(1);
    },
  );

  fact("a start that it never heard of may be sent again", {}, async (world) => {
    const demo = world.fake.addContainer("demo");
    world.fake.server.fail("start", resetsBefore());
    const error = await rejection(wake(world, "demo"));
    expect([error.kind, error.isUncertain]).toEqual(["network", true]);
    expect(await visit(await wake(world, "demo"))).toBe("demo");
    expect(demo.starts).toBe(1);
  });
});

describe("docker: a start that is refused as something else is under way", () => {
  const BUSY = answersText(409, JSON.stringify({ message: "container is busy with something" }));

  fact("is asked for again, and comes up", STARTS, async (world) => {
    const demo = world.fake.addContainer("demo");
    world.fake.server.fail("start", BUSY);
    expect(await visit(await wake(world, "demo"))).toBe("demo");
    expect([demo.starts, world.fake.server.count("start")]).toEqual([1, 2]);
  });

  test("for long fails with the engine's words, and not as if it were removed", async () => {
    const clock = createVirtualClock();
    await using world = await startDocker({ clock });
    world.fake.addContainer("demo");
    const id = await world.idOf("demo");
    world.fake.server.fail("start", BUSY, ALWAYS);
    let failure: Error | null = null;
    void world.provider.wake(id, null, patient()).catch((error: Error) => {
      failure = error;
    });
    const tookMs = await passUntil(clock, () => failure !== null);
    expect(tookMs).toBeLessThanOrEqual(30_000);
    expect(String(failure)).toContain("container is busy with something");
    expect(world.fake.server.count("start")).toBeLessThanOrEqual(15);
  });

  fact("since the network it uses is gone says so", {}, async (world) => {
    const owner = world.fake.addContainer("owner", { status: "running", isOptedIn: false });
    world.fake.addContainer("guest", {
      networkMode: `container:${owner.id}`,
      labels: { "paastis.port": "9090" },
    });
    await world.provider.list(patient());
    owner.stop(0);
    owner.remove();
    const { message } = await rejection(wake(world, "guest"));
    expect(message).toContain(`it uses the network of container ${owner.id.slice(0, 12)}`);
    expect(message).toContain("does not exist any more");
  });
});

describe("docker: a container that is gone", () => {
  test("is told of within seconds, and lists are asked for until that is believed", async () => {
    const clock = createVirtualClock();
    await using world = await startDocker({ clock });
    const demo = world.fake.addContainer("demo", { status: "running" });
    const id = await world.idOf("demo");
    using watched = await world.watch();
    await passUntil(clock, () => watched.lists > 0);
    const before = watched.lists;
    const removedMs = clock.now();
    demo.remove();
    await world.provider.list(patient());
    expect(world.provider.whyUnlisted?.(id)).toContain("about to be replaced");
    const waking = rejection(world.provider.wake(id, null, patient()));
    let isOver = false;
    void waking.then(() => {
      isOver = true;
    });
    await passUntil(clock, () => isOver);
    // Each step of the clock gives what goes over sockets its time.
    expect(clock.now() - removedMs).toBeLessThanOrEqual(3_000);
    expect((await waking).kind).toBe("not-found");
    expect(world.provider.whyUnlisted?.(id)).toBeNull();
    expect(watched.lists - before).toBeGreaterThanOrEqual(2);
  });
});

describe("docker: an app that an earlier run had put to sleep", () => {
  for (const exitCode of [1, 137, 143]) {
    fact(`is asleep, although it ended with status ${exitCode}`, {}, async (world) => {
      world.fake.addContainer("demo", { exitCode });
      world.provider.recallSleep?.("container/demo", Date.now());
      expect(await world.phases()).toEqual({ demo: "asleep" });
      expect((await world.provider.observe("container/demo", patient())).phase).toBe("asleep");
    });
  }

  fact("has failed when it ended long after that", {}, async (world) => {
    world.fake.addContainer("demo", { exitCode: 1 });
    world.provider.recallSleep?.("container/demo", Date.now() - 24 * 3_600_000);
    expect(await world.phases()).toEqual({ demo: "failed" });
  });
});

describe("docker: a sweep at rest", () => {
  /** Calls of so many lists. */
  async function callsOf(world: DockerTest, lists: number): Promise<readonly string[]> {
    world.fake.server.forgetCalls();
    for (let count = 0; count < lists; count += 1) await world.provider.list(patient());
    return world.fake.server.journal.map(({ kind }) => kind);
  }

  for (const isWatched of [true, false]) {
    fact(
      `is one list, whatever containers are like (${isWatched ? "with" : "without"} events)`,
      { isPodman: true, config: { network: "bridge" } },
      async (world) => {
        const { fake } = world;
        if (!isWatched) fake.server.fail("events", answersHtml(403), ALWAYS);
        fake.addContainer("up", { status: "running" });
        fake.addContainer("healthy", { status: "running", healthcheck: {} });
        const owner = fake.addContainer("owner", { status: "running" });
        fake.addContainer("guest", {
          status: "running",
          ...{ networkMode: `container:${owner.id}`, port: 9090 },
          labels: { "paastis.port": "9090" },
        });
        fake.addContainer("unclear", { status: "running", networks: ["elsewhere"] });
        fake.addContainer("killed", { exitCode: 137 });
        const failed = fake.addContainer("failed", { exitCode: 3 });
        using watched = isWatched ? await world.watch() : null;
        const first = await world.phases();
        expect(first).toMatchObject({ guest: "awake", unclear: "unmanaged", failed: "failed" });
        if (watched !== null) await until(() => watched.lists > 0);
        await untilQuiet(world);
        expect(await callsOf(world, 3)).toEqual(Array(3).fill("containers.list"));
        expect(await world.phases()).toEqual(first);
        failed.start();
        await until(() => failed.isListening);
        const phaseOf = async (key: string) => (await world.phases())[key];
        await until(async () => (await phaseOf("failed")) === "awake");
        await untilQuiet(world);
        expect(await callsOf(world, 2)).toEqual(Array(2).fill("containers.list"));
      },
    );
  }
});

describe("docker: events that cannot be listened to", () => {
  const ENDS = "the engine's events end as soon as they are listened to";

  test.each([
    [
      "a page",
      "page",
      (world: DockerTest) => world.fake.server.fail("events", answersHtml(200), 6),
    ],
    [
      "streams that end at once",
      ENDS,
      (world: DockerTest) => world.fake.server.fail("events", answersText(200, ""), 6),
    ],
  ])(
    "as there are %s: asked for less and less often, told once, and once when it is over",
    async (_what, said, fail) => {
      const clock = createVirtualClock();
      await using world = await startDocker({ clock });
      world.fake.addContainer("demo", { status: "running" });
      await world.provider.list(patient());
      fail(world);
      const asked = () => world.fake.server.count("events");
      const unwatch = world.provider.watch?.({
        notice: () => undefined,
        listAgain: () => undefined,
      });
      const tookMs = await passUntil(clock, () => asked() === 6);
      expect(tookMs).toBeGreaterThan(3_000);
      expect(warnings(world)).toEqual([expect.stringContaining(said)]);
      expect(warnings(world)[0]).toContain("noticed by sweeps and requests alone");
      await passUntil(clock, () => world.fake.hub.listeners === 1);
      const isBack = () =>
        world.lines.some(({ message }) => message.includes("can be listened to again"));
      expect(await passUntil(clock, isBack)).toBeGreaterThan(1_000);
      expect([asked(), warnings(world).length]).toEqual([7, 1]);
      // From then on a stream that ends is opened again at once.
      world.fake.hub.end();
      expect(await passUntil(clock, () => asked() === 8)).toBeLessThan(3_000);
      unwatch?.();
    },
  );
});
