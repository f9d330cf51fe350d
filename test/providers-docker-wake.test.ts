/** The provider `docker` against the fake engine: wakes, groups of containers, and sleeps. */

import { describe, expect, test } from "bun:test";
import { patient, rejection, untilPhase } from "./contract/provider.ts";
import { answersHtml, appliesAndAnswers, neverAnswers, resetsAfter } from "./fakes/fake-faults.ts";
import { fact, STARTS, sleepNow, startDocker, visit, wake } from "./support/docker-provider.ts";
import { within } from "./support/pace.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const ALWAYS = Number.POSITIVE_INFINITY;

describe("docker: a wake", () => {
  fact("20 apps wanted by 500 at once are started once each", STARTS, async (world) => {
    const controls = Array.from({ length: 20 }, (_none, n) => world.fake.addContainer(`app-${n}`));
    const ids = (await world.provider.list(patient())).map(({ id }) => id);
    const wanted = Array.from({ length: 500 }, (_none, n) => ids[n % ids.length] ?? "");
    const steps = await Promise.all(wanted.map((id) => world.provider.wake(id, null, patient())));
    expect(steps.every(({ done }) => done)).toBe(true);
    expect(controls.map(({ starts }) => starts)).toEqual(controls.map(() => 1));
    expect(world.fake.server.count("start")).toBe(20);
  });

  fact(
    "during somebody else's stop waits for the end, as a start would be answered 304, and starts it anew",
    { stopMs: 300 },
    async (world) => {
      const demo = world.fake.addContainer("demo", { status: "running" });
      await world.provider.list(patient());
      using watched = await world.watch();
      demo.stop();
      // What the engine tells is there within some milliseconds.
      await until(() => watched.phaseOf("container/demo") === "stopping");
      const step = await wake(world, "demo");
      expect([demo.status, demo.starts]).toEqual(["running", 1]);
      expect(await visit(step)).toBe("demo");
    },
  );

  fact("never begins before the sleep that was begun is over", { stopMs: 200 }, async (world) => {
    const demo = world.fake.addContainer("demo", { status: "running" });
    const id = await world.idOf("demo");
    const snapshot = await world.provider.takeSnapshot(id, patient());
    const sleeping = world.provider.sleep(id, snapshot, patient());
    await until(() => world.fake.server.count("stop") === 1);
    const waking = world.provider.wake(id, snapshot, patient());
    expect((await sleeping).done).toBe(true);
    expect(await visit(await waking)).toBe("demo");
    expect(demo.starts).toBe(1);
  });

  fact(
    "right after a sleep starts it, although lists say for a while that it runs",
    { listLagMs: 500 },
    async (world) => {
      const demo = world.fake.addContainer("demo", { status: "running" });
      const snapshot = await sleepNow(world, "demo");
      expect(await visit(await wake(world, "demo", snapshot))).toBe("demo");
      expect([demo.status, demo.starts]).toEqual(["running", 1]);
    },
  );

  fact("of what is paused is an unpause, whoever paused it", {}, async (world) => {
    const demo = world.fake.addContainer("demo", { status: "paused" });
    expect(await visit(await wake(world, "demo"))).toBe("demo");
    expect([demo.starts, world.fake.server.count("unpause")]).toEqual([0, 1]);
  });

  fact(
    "of what somebody else unpauses, pauses, starts or stops meanwhile succeeds",
    {},
    async (world) => {
      const frozen = world.fake.addContainer("frozen", { status: "paused" });
      const stopped = world.fake.addContainer("stopped");
      await world.provider.list(patient());
      world.fake.server.fail(
        "unpause",
        appliesAndAnswers({
          status: 500,
          body: { message: `Container ${frozen.id} is not paused` },
        }),
      );
      expect(await visit(await wake(world, "frozen"))).toBe("frozen");
      // Somebody was faster, and paused it right afterwards.
      world.fake.server.fail(
        "start",
        appliesAndAnswers({
          status: 409,
          body: { message: "cannot start a paused container, try unpause instead" },
        }),
      );
      world.fake.server.fail(
        ({ kind }) => {
          if (
            kind === "containers.read" &&
            stopped.status === "running" &&
            stopped.starts === 1 &&
            world.fake.server.count("pause") === 0 &&
            !paused
          ) {
            paused = true;
            stopped.pause();
          }
          return false;
        },
        neverAnswers(),
        ALWAYS,
      );
      let paused = false;
      expect(await visit(await wake(world, "stopped"))).toBe("stopped");
      expect(stopped.status).toBe("running");
    },
  );

  fact(
    "that the engine cannot do fails with its words, and leaves nothing running",
    {},
    async (world) => {
      const { web, db } = world.fake.addProject("shop", {
        web: { labels: { "paastis.port": "8080" }, dependsOn: { db: "service_started" } },
        db: {},
      });
      const message =
        "driver failed programming external connectivity on endpoint shop: port 80 is reserved";
      web.nextRuns({ refusal: { status: 500, message } });
      const error = await rejection(wake(world, "shop"));
      expect(error.kind).toBe("failed");
      expect(error.message).toContain("port 80 is reserved");
      expect(error.message).toContain("shop-web-1");
      expect([web.status, db.status]).toEqual(["exited", "exited"]);
      // A 404 that speaks of something else does not mean that the app is gone.
      web.nextRuns({ refusal: { status: 404, message: "network shop_default not found" } });
      const other = await rejection(wake(world, "shop"));
      expect(other.kind).toBe("failed");
      expect(other.message).toContain("network shop_default not found");
      web.nextRuns({
        refusal: { status: 400, message: "failed to create shim task: exec: not found" },
      });
      expect((await rejection(wake(world, "shop"))).message).toContain("exec: not found");
      expect(await visit(await wake(world, "shop"))).toBe("shop-web-1");
    },
  );

  fact("that a socket proxy refuses is forbidden, and says so", {}, async (world) => {
    world.fake.addContainer("demo");
    world.fake.server.fail("start", answersHtml(403), ALWAYS);
    const error = await rejection(wake(world, "demo"));
    expect(error.kind).toBe("forbidden");
    expect(error.message).not.toContain("<html");
  });

  fact("whose answer is lost is looked after: one start, and up", {}, async (world) => {
    const demo = world.fake.addContainer("demo");
    world.fake.server.fail("start", resetsAfter());
    const error = await wake(world, "demo").then(
      () => null,
      (thrown: unknown) => thrown,
    );
    if (error !== null) expect(error).toMatchObject({ kind: "network", isUncertain: true });
    expect(await visit(await wake(world, "demo"))).toBe("demo");
    expect(demo.starts).toBe(1);
  });

  fact("of a program that ends at once fails with its status", {}, async (world) => {
    const demo = world.fake.addContainer("demo", { bootMs: 500 });
    demo.nextRuns({ endsAfterMs: 0, exitCode: 78 });
    const error = await wake(world, "demo").then(
      async () => (await untilPhase(world.provider, "container/demo", "failed")).reason,
      (thrown: Error) => thrown.message,
    );
    expect(error).toContain("status 78");
  });

  fact(
    "follows a container to its successor, with another id, address and port",
    { ...STARTS, removeMs: 30 },
    async (world) => {
      const { web: old } = world.fake.addProject("demo", { web: {} });
      const id = await world.idOf("demo");
      let waking: ReturnType<typeof wake> | null = null;
      const current = await world.fake.recreate(old, {}, async () => {
        waking ??= world.provider.wake(id, null, patient());
        await Bun.sleep(20);
      });
      if (waking === null) throw new Error("it was not woken");
      const step = await (waking as ReturnType<typeof wake>);
      expect(await visit(step)).toBe("demo-web-1");
      expect([current.status, current.starts]).toEqual(["running", 1]);
      expect(step.done && step.target?.origin).toBe(`http://127.0.0.1:${current.hostPortOf(8080)}`);
      expect(await world.idOf("demo")).toBe(id);
    },
  );

  fact(
    "waits a while for what was removed to be made anew, and then says that it is gone",
    {},
    async (world) => {
      const old = world.fake.addContainer("demo");
      const id = await world.idOf("demo");
      old.remove();
      const waking = world.provider.wake(id, null, patient());
      await Bun.sleep(200);
      world.fake.addContainer("demo", { status: "created" });
      expect(await visit(await waking)).toBe("demo");
    },
  );

  test("of what is gone for good is not-found within a minute", async () => {
    const clock = createVirtualClock();
    await using world = await startDocker({ clock });
    const old = world.fake.addContainer("demo");
    const id = await world.idOf("demo");
    old.remove();
    const waking = rejection(world.provider.wake(id, null, patient()));
    let isOver = false;
    void waking.then(() => {
      isOver = true;
    });
    for (let passedMs = 0; !isOver; passedMs += 100) {
      expect(passedMs).toBeLessThanOrEqual(60_000);
      await clock.advance(100);
      await Bun.sleep(1);
    }
    expect((await waking).kind).toBe("not-found");
  });

  fact(
    "that is called off ends soon, and starts nothing afterwards",
    { startMs: 10 },
    async (world) => {
      const { web, db } = world.fake.addProject("shop", {
        web: { labels: { "paastis.port": "8080" }, dependsOn: { db: "service_healthy" } },
        db: { healthcheck: { intervalMs: 300 } },
      });
      const id = await world.idOf("shop");
      const controller = new AbortController();
      const waking = rejection(world.provider.wake(id, null, controller.signal));
      await until(() => db.status === "running");
      const beganMs = performance.now();
      controller.abort(new Error("enough"));
      expect((await waking).kind).toBe("failed");
      expect(performance.now() - beganMs).toBeLessThan(within(1_000));
      await Bun.sleep(500);
      expect([web.starts, web.status]).toEqual([0, "exited"]);
    },
  );
});

describe("docker: groups", () => {
  const SHOP = {
    web: {
      dependsOn: {
        db: "service_healthy",
        cache: "service_started",
        migrate: "service_completed_successfully",
      },
      labels: { "paastis.port": "8080" },
    },
    migrate: { publish: false, dependsOn: { db: "service_healthy" } },
    db: { publish: false, healthcheck: { intervalMs: 30 }, bootMs: 100 },
    cache: { publish: false },
  } as const;

  fact(
    "come up in the order of depends_on, each after what it needs is far enough, and go down the other way",
    STARTS,
    async (world) => {
      const { web, db, migrate, cache } = world.fake.addProject("shop", SHOP);
      migrate.nextRuns({ endsAfterMs: 50, exitCode: 0 });
      expect(await visit(await wake(world, "shop"))).toBe("shop-web-1");
      const told = world.fake.hub.all
        .filter(({ type }) => type === "container")
        .map(({ action, attributes }) => `${action} ${attributes.name}`);
      const at = (what: string) => told.indexOf(what);
      expect(at("health_status: healthy shop-db-1")).toBeLessThan(at("start shop-web-1"));
      expect(at("start shop-cache-1")).toBeLessThan(at("start shop-web-1"));
      const migrated = at("start shop-migrate-1");
      // What has come to its end once, and well, need not do so again.
      if (migrated !== -1) {
        expect(at("health_status: healthy shop-db-1")).toBeLessThan(migrated);
        expect(at("die shop-migrate-1")).toBeLessThan(at("start shop-web-1"));
      }
      expect(await world.phases()).toEqual({ shop: "awake" });
      const snapshot = await sleepNow(world, "shop");
      expect([web.status, db.status, cache.status]).toEqual(["exited", "exited", "exited"]);
      const deaths = world.fake.hub.all
        .filter(({ action }) => action === "die")
        .map(({ attributes }) => attributes.name)
        .slice(-3);
      expect(deaths[0]).toBe("shop-web-1");
      expect(await visit(await wake(world, "shop", JSON.parse(JSON.stringify(snapshot))))).toBe(
        "shop-web-1",
      );
    },
  );

  fact("come back as they were: what somebody had stopped stays stopped", STARTS, async (world) => {
    const { web, worker } = world.fake.addProject("shop", {
      web: { labels: { "paastis.port": "8080" }, status: "running" },
      worker: { publish: false, status: "running" },
    });
    worker.stop();
    await until(() => worker.status === "exited");
    const snapshot = await sleepNow(world, "shop");
    await wake(world, "shop", snapshot);
    expect([web.status, worker.status]).toEqual(["running", "exited"]);
  });

  fact("leave alone what has not opted in", STARTS, async (world) => {
    const { web, db } = world.fake.addProject("shop", {
      web: { labels: { "paastis.port": "8080" }, dependsOn: { db: "service_healthy" } },
      db: { isOptedIn: false, status: "running" },
    });
    await wake(world, "shop");
    await sleepNow(world, "shop");
    expect([web.status, db.status]).toEqual(["exited", "running"]);
  });

  fact(
    "with a circle, or a dependency that is not there, come up all the same",
    STARTS,
    async (world) => {
      world.fake.addProject("ring", {
        web: {
          labels: { "paastis.port": "8080" },
          dependsOn: { one: "service_started", ghost: "service_healthy" },
        },
        one: { dependsOn: { two: "service_started" } },
        two: { dependsOn: { one: "service_started" } },
      });
      expect(await visit(await wake(world, "ring"))).toBe("ring-web-1");
    },
  );

  fact(
    "whose dependency ends instead of becoming healthy fail with its name, and are all stopped",
    STARTS,
    async (world) => {
      const { web, db, cache } = world.fake.addProject("shop", {
        web: {
          labels: { "paastis.port": "8080" },
          dependsOn: { db: "service_healthy", cache: "service_started" },
        },
        db: { healthcheck: { intervalMs: 100 } },
        cache: {},
      });
      db.nextRuns({ endsAfterMs: 30, exitCode: 1 });
      const error = await rejection(wake(world, "shop"));
      expect(error.message).toContain("shop-db-1");
      expect(error.message).toContain("status 1");
      expect([web.starts, cache.status]).toEqual([0, "exited"]);
    },
  );

  fact("wait for a dependency that is unhealthy while it boots", STARTS, async (world) => {
    const { db } = world.fake.addProject("shop", {
      web: { labels: { "paastis.port": "8080" }, dependsOn: { db: "service_healthy" } },
      db: { bootMs: 300, healthcheck: { intervalMs: 20, retries: 2 } },
    });
    expect(await visit(await wake(world, "shop"))).toBe("shop-web-1");
    expect(db.health).toBe("healthy");
  });

  fact(
    "of one name without Compose: the one with the port serves, and the others come first",
    STARTS,
    async (world) => {
      const labels = { "paastis.name": "pair" };
      world.fake.addContainer("a-front", { labels: { ...labels, "paastis.port": "8080" } });
      world.fake.addContainer("b-back", { labels, publish: false });
      expect(await visit(await wake(world, "pair"))).toBe("a-front");
      expect(world.fake.started).toEqual(["b-back", "a-front"]);
      const both = { ...labels, "paastis.name": "two", "paastis.port": "8080" };
      world.fake.addContainer("c-front", { labels: both });
      world.fake.addContainer("d-front", { labels: both });
      const error = await rejection(wake(world, "two"));
      expect(error.message).toContain("c-front");
      expect((await world.listing("two")).observation?.phase).toBe("unmanaged");
    },
  );
});

describe("docker: a sleep", () => {
  fact(
    "gives the program its time, by the configuration or its own when that is longer",
    { config: { stopTimeoutMs: 2_000 } },
    async (world) => {
      world.fake.addContainer("short", { status: "running" });
      world.fake.addContainer("long", { status: "running", stopTimeoutMs: 60_000 });
      await sleepNow(world, "short");
      await sleepNow(world, "long");
      const seconds = world.fake.server.journal
        .filter(({ kind }) => kind === "stop")
        .map(({ query }) => query.t);
      expect(seconds).toEqual(["2", "60"]);
    },
  );

  fact(
    "of a program that ignores SIGTERM ends with a kill, which is no failure",
    { config: { stopTimeoutMs: 1_000 } },
    async (world) => {
      const demo = world.fake.addContainer("demo", { status: "running", stopMs: ALWAYS });
      await sleepNow(world, "demo");
      expect([demo.status, demo.exitCode]).toEqual(["exited", 137]);
      expect(await world.phases()).toEqual({ demo: "asleep" });
    },
  );

  fact(
    "with the mode pause freezes it, also when it has a health check, and the next wake is quick",
    {},
    async (world) => {
      const demo = world.fake.addContainer("demo", {
        status: "running",
        healthcheck: {},
        labels: { "paastis.mode": "pause" },
      });
      const snapshot = await sleepNow(world, "demo");
      expect([demo.status, await world.phases()]).toEqual(["paused", { demo: "asleep" }]);
      const beganMs = performance.now();
      expect(await visit(await wake(world, "demo", snapshot))).toBe("demo");
      expect(performance.now() - beganMs).toBeLessThan(within(1_000));
      expect([demo.status, demo.starts, demo.health]).toEqual(["running", 0, "unhealthy"]);
    },
  );

  fact("of what ended, was paused or removed meanwhile is done", {}, async (world) => {
    for (const what of ["crash", "pause", "remove", "stop"] as const) {
      const demo = world.fake.addContainer(`demo-${what}`, { status: "running" });
      const id = await world.idOf(`demo-${what}`);
      const snapshot = await world.provider.takeSnapshot(id, patient());
      demo[what]();
      const slept = await world.provider.sleep(id, snapshot, patient()).then(
        ({ done }) => done,
        (error: { kind: string }) => error.kind,
      );
      expect([what, slept]).toEqual([what, what === "remove" ? "not-found" : true]);
      expect(demo.status).not.toBe("running");
    }
  });

  fact("stops what its policy is about to start again", {}, async (world) => {
    const demo = world.fake.addContainer("demo", {
      restart: "always",
      labels: { "paastis.mode": "pause" },
    });
    demo.nextRuns(...Array(30).fill({ endsAfterMs: 1 }));
    demo.start();
    await until(() => demo.restartCount >= 3 && demo.status === "restarting");
    const id = await world.idOf("demo");
    await world.provider.sleep(id, { kind: "members", ids: ["demo"], mode: "pause" }, patient());
    await until(() => demo.status === "exited");
    await Bun.sleep(100);
    expect(demo.status).toBe("exited");
  });

  fact("is not begun while Compose replaces a container", {}, async (world) => {
    const old = world.fake.addProject("shop", { web: { status: "running" } }).web;
    const id = await world.idOf("shop");
    let tries = 0;
    await world.fake.recreate(old, {}, async () => {
      if (tries++ > 0) return;
      expect((await rejection(world.provider.takeSnapshot(id, patient()))).kind).toBe("busy");
    });
    expect(await world.phases()).toEqual({ shop: "awake" });
  });

  fact(
    "that the engine does not answer is uncertain, and done when asked again",
    {},
    async (world) => {
      const demo = world.fake.addContainer("demo", { status: "running" });
      const id = await world.idOf("demo");
      const snapshot = await world.provider.takeSnapshot(id, patient());
      world.fake.server.fail("stop", resetsAfter());
      const error = await rejection(world.provider.sleep(id, snapshot, patient()));
      expect([error.kind, error.isUncertain]).toEqual(["network", true]);
      await world.provider.sleep(id, snapshot, patient());
      expect(demo.status).toBe("exited");
    },
  );
});
