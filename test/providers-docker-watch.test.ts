/** The provider `docker` against the fake engine: what it hears of containers, and what it leaves behind. */

import { describe, expect, test } from "bun:test";
import { patient, rejection, untilPhase } from "./contract/provider.ts";
import {
  fact,
  STARTS,
  sleepNow,
  startDocker,
  untilQuiet,
  wake,
  warnings,
} from "./support/docker-provider.ts";
import { within } from "./support/pace.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

describe("docker: a watch", () => {
  /** What is allowed. */
  const NOTICED_MS = 2_000;

  async function noticed(
    watched: { phaseOf(id: string): string | null },
    id: string,
    phase: string,
  ): Promise<void> {
    const beganMs = performance.now();
    await until(() => watched.phaseOf(id) === phase);
    expect(performance.now() - beganMs).toBeLessThan(within(NOTICED_MS));
  }

  fact(
    "tells of kills, stops, starts, pauses and crashes from outside",
    { ...STARTS, listLagMs: 50 },
    async (world) => {
      const demo = world.fake.addContainer("demo", { status: "running" });
      const id = await world.idOf("demo");
      using watched = await world.watch();
      demo.kill();
      await noticed(watched, id, "asleep");
      demo.start();
      await noticed(watched, id, "awake");
      demo.crash(3);
      await noticed(watched, id, "failed");
      expect(watched.notices.at(-1)?.observation.reason).toContain("status 3");
      demo.start();
      await noticed(watched, id, "awake");
      demo.pause();
      await noticed(watched, id, "asleep");
      demo.unpause();
      await noticed(watched, id, "awake");
      demo.stop();
      await noticed(watched, id, "asleep");
      demo.start();
      await noticed(watched, id, "awake");
      demo.runOutOfMemory();
      await noticed(watched, id, "failed");
    },
  );

  fact("tells of a dependency that ended, and of health", STARTS, async (world) => {
    const { web, db } = world.fake.addProject("shop", {
      web: {
        status: "running",
        labels: { "paastis.port": "8080" },
        dependsOn: { db: "service_started" },
        healthcheck: { intervalMs: 300, retries: 1 },
      },
      db: { status: "running", publish: false },
    });
    const id = await world.idOf("shop");
    using watched = await world.watch();
    db.crash(1);
    await noticed(watched, id, "failed");
    db.start();
    await noticed(watched, id, "awake");
    web.kill();
    await noticed(watched, id, "asleep");
    web.start();
    await noticed(watched, id, "waking");
    await noticed(watched, id, "awake");
  });

  fact(
    "asks for a new list when containers come, go or are called otherwise",
    {},
    async (world) => {
      const demo = world.fake.addContainer("demo", { status: "running" });
      await world.provider.list(patient());
      using watched = await world.watch();
      await until(() => watched.lists > 0);
      for (const change of [
        () => void world.fake.addContainer("new"),
        () => demo.rename("other"),
        () => demo.remove(),
      ]) {
        const before = watched.lists;
        change();
        await until(() => watched.lists > before, NOTICED_MS);
      }
      await until(() => watched.phaseOf("container/demo") === "asleep", NOTICED_MS);
    },
  );

  fact("is silent about what its own wakes and sleeps do", STARTS, async (world) => {
    world.fake.addContainer("demo", { healthcheck: { intervalMs: 20, retries: 1 } });
    const id = await world.idOf("demo");
    using watched = await world.watch();
    for (let count = 0; count < 3; count += 1) {
      await wake(world, "demo");
      await untilPhase(world.provider, id, "awake");
      await noticed(watched, id, "awake");
      await sleepNow(world, "demo");
      await noticed(watched, id, "asleep");
    }
    const phases = watched.notices.map(({ observation }) => observation.phase);
    expect(phases.filter((phase) => phase === "failed")).toEqual([]);
  });

  fact(
    "hears what happened in a gap: the stream breaks, and events are lost with it",
    STARTS,
    async (world) => {
      const apps = ["one", "two", "three"].map((name) =>
        world.fake.addContainer(name, { status: "running" }),
      );
      await world.provider.list(patient());
      using watched = await world.watch();
      await until(() => watched.lists > 0);
      await world.fake.goDown();
      apps[0]?.kill();
      await world.fake.comeUp();
      await noticed(watched, "container/one", "asleep");
      world.fake.hub.cut();
      apps[1]?.kill();
      await noticed(watched, "container/two", "asleep");
      world.fake.hub.end();
      apps[2]?.kill();
      await noticed(watched, "container/three", "asleep");
      expect(watched.notices.filter(({ observation }) => observation.phase !== "asleep")).toEqual(
        [],
      );
    },
  );

  fact(
    "survives nonsense, pieces of lines and of letters, and lines of others",
    STARTS,
    async (world) => {
      const demo = world.fake.addContainer("demo", {
        status: "running",
        labels: { note: "größer als 1 €" },
      });
      await world.provider.list(patient());
      using watched = await world.watch();
      world.fake.hub.write("\n\nnonsense\n{}\n[]\nnull\n17\n");
      world.fake.hub.write('{"Type":"container","Action":7,"Actor":{"ID":null}}\n');
      world.fake.hub.write(
        '{"Type":"container","Action":"die","Actor":{"ID":"unknown","Attributes":null}}\n',
      );
      world.fake.hub.chop(7);
      demo.kill();
      await noticed(watched, "container/demo", "asleep");
      world.fake.hub.chop(null);
      expect(world.fake.server.count("events")).toBe(1);
    },
  );

  fact("is not kept busy by the probes of healthy containers", {}, async (world) => {
    for (let n = 0; n < 10; n += 1) {
      world.fake.addContainer(`app-${n}`, { status: "running", healthcheck: { intervalMs: 10 } });
    }
    await world.provider.list(patient());
    using watched = await world.watch();
    await until(() => watched.lists > 0);
    await untilQuiet(world);
    const before = world.fake.server.count();
    const heard = () => world.fake.hub.all.filter(({ action }) => action === "exec_die").length;
    const from = heard();
    await until(() => heard() > from + 300);
    expect(world.fake.server.count() - before).toBeLessThanOrEqual(1);
  });

  fact("gathers a storm of events into few looks", {}, async (world) => {
    const apps = Array.from({ length: 50 }, (_none, n) =>
      world.fake.addContainer(`app-${n}`, { status: "running" }),
    );
    await world.provider.list(patient());
    using watched = await world.watch();
    await until(() => watched.lists > 0);
    await untilQuiet(world);
    const before = world.fake.server.count("containers.list");
    for (const app of apps) app.kill();
    await until(() => apps.every((app) => watched.phaseOf(`container/${app.name}`) === "asleep"));
    expect(world.fake.server.count("containers.list") - before).toBeLessThanOrEqual(5);
  });

  fact(
    "tries an engine that is away again and again, not too often, and says it once",
    {},
    async (world) => {
      world.fake.addContainer("demo", { status: "running" });
      await world.provider.list(patient());
      using watched = await world.watch();
      await world.fake.goDown("refuse");
      await Bun.sleep(1_500);
      expect(warnings(world).length).toBeLessThanOrEqual(1);
      await world.fake.comeUp();
      await until(() => world.fake.hub.listeners === 1);
      expect(watched.notices.filter(({ observation }) => observation.phase !== "awake")).toEqual(
        [],
      );
      await world.fake.server.goDown({ status: 503, body: "<html>no engine</html>" });
      world.fake.hub.cut();
      const before = world.fake.server.count("events");
      await Bun.sleep(1_500);
      expect(world.fake.server.count("events") - before).toBeLessThanOrEqual(6);
      await world.fake.server.comeUp();
      await until(() => world.fake.hub.listeners === 1);
    },
  );

  fact(
    "what was healthy is not waking because the engine has come back",
    { forgetsHealth: true },
    async (world) => {
      const demo = world.fake.addContainer("demo", {
        status: "running",
        healthcheck: { intervalMs: 500 },
      });
      await world.provider.list(patient());
      using watched = await world.watch();
      await world.fake.goDown();
      await world.fake.comeUp();
      expect(demo.health).toBe("starting");
      await until(() => demo.health === "healthy");
      await Bun.sleep(100);
      const phases = watched.notices.map(({ observation }) => observation.phase);
      expect(phases.filter((phase) => phase !== "awake" && phase !== "waking")).toEqual([]);
    },
  );

  fact(
    "ends with the last that watches, and with close nothing is left behind",
    { startMs: 200 },
    async (world) => {
      world.fake.addContainer("demo");
      const id = await world.idOf("demo");
      const first = await world.watch();
      const second = await world.watch();
      first[Symbol.dispose]();
      expect(world.fake.hub.listeners).toBe(1);
      second[Symbol.dispose]();
      second[Symbol.dispose]();
      await until(() => world.fake.hub.listeners === 0);
      using third = await world.watch();
      const waking = rejection(world.provider.wake(id, null, patient()));
      await until(() => world.fake.server.count("start") === 1);
      await world.provider.close();
      expect((await waking).name).toBe("ProviderError");
      await until(() => world.fake.server.inFlight === 0 && world.fake.server.connections === 0);
      expect((await rejection(world.provider.list(patient()))).kind).toBe("failed");
      expect(third.notices.filter(({ observation }) => observation.phase === "failed")).toEqual([]);
    },
  );

  test("after close nothing goes on: no timer, no call", async () => {
    const clock = createVirtualClock();
    await using world = await startDocker({ clock });
    world.fake.addContainer("demo", { status: "running" });
    await world.provider.list(patient());
    using _watched = await world.watch();
    await world.fake.server.goDown("hang");
    const listing = world.provider.list(patient()).catch(() => "ended");
    await Bun.sleep(20);
    await world.provider.close();
    expect(await listing).toBe("ended");
    const calls = world.fake.server.count();
    await clock.advance(60_000);
    expect([clock.pending(), world.fake.server.count()]).toEqual([0, calls]);
  });
});
