/** The provider `docker` against the fake engine: the contract, and everything that an engine has in store for it. */

import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import type { Listing } from "../src/providers/provider.ts";
import { describeProvider, type ProviderFixture, patient, rejection } from "./contract/provider.ts";
import {
  answersHalf,
  answersHtml,
  answersText,
  appliesAndAnswers,
  cutsBody,
  resetsBefore,
} from "./fakes/fake-faults.ts";
import {
  type DockerTest,
  fact,
  STARTS,
  sleepNow,
  startDocker,
  visit,
  wake,
  warnings,
} from "./support/docker-provider.ts";
import {
  CLIENT_CERTIFICATE,
  CLIENT_KEY,
  ENGINE_CA,
  ENGINE_CERTIFICATE,
  ENGINE_KEY,
} from "./support/engine-certificates.ts";
import { tempDir } from "./support/temp-dir.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

for (const isPodman of [false, true]) {
  describeProvider(isPodman ? "docker (Podman)" : "docker", () => aShop({ isPodman }));
}

/** An app of two containers, beside one of one. */
async function aShop(options: { readonly isPodman: boolean }): Promise<ProviderFixture> {
  const world = await startDocker({ ...STARTS, ...options });
  world.fake.addContainer("demo");
  const { demo } = world.fake.addProject("shop", {
    demo: { dependsOn: { db: "service_healthy" }, labels: { "paastis.port": "8080" } },
    db: { publish: false, healthcheck: { intervalMs: 20 } },
  });
  expect(demo.status).toBe("exited");
  return {
    provider: world.provider,
    appId: await world.idOf("shop"),
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      expect(world.fake.violations).toEqual([]);
    },
  };
}

function keysOf(listings: readonly Listing[]): string[] {
  return listings.map(({ key }) => key).toSorted();
}

describe("docker: discovery", () => {
  fact("one list call, whatever the number of containers, stopped ones too", {}, async (world) => {
    for (let n = 0; n < 200; n += 1) world.fake.addContainer(`app-number-${n}`);
    world.fake.addContainer("private", { isOptedIn: false });
    const listings = await world.provider.list(patient());
    expect(listings).toHaveLength(200);
    const kinds = world.fake.server.journal.map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === "containers.list")).toHaveLength(1);
    expect(kinds.filter((kind) => kind === "containers.read")).toEqual([]);
    expect(listings[0]?.observation).toMatchObject({ phase: "asleep", target: null });
  });

  fact("every state has its phase, words of tomorrow included", {}, async (world) => {
    const { fake } = world;
    const add = fake.addContainer;
    add("fresh", { status: "created" });
    add("done");
    add("killed", { exitCode: 137 });
    add("ended", { exitCode: 143 });
    add("broken", { exitCode: 3 });
    add("up", { status: "running" });
    add("frozen", { status: "paused" });
    add("healthy", { status: "running", healthcheck: {} });
    add("booting", { healthcheck: {}, bootMs: 60_000 }).start();
    const sick = add("sick", { healthcheck: { intervalMs: 5, retries: 1 } });
    sick.sicken();
    sick.start();
    const memory = add("memory", { status: "running" });
    memory.runOutOfMemory();
    const loop = add("loop", { restart: "always" });
    loop.nextRuns(...Array(50).fill({ endsAfterMs: 1 }));
    loop.start();
    add("dead").beDead();
    await until(() => sick.health === "unhealthy" && loop.restartCount >= 6);
    await until(() => loop.status === "restarting");
    expect(await world.phases()).toEqual({
      ...{ fresh: "asleep", done: "asleep", killed: "asleep", ended: "asleep", frozen: "asleep" },
      ...{ broken: "failed", memory: "failed", loop: "failed", dead: "failed" },
      ...{ up: "awake", healthy: "awake", booting: "waking", sick: "waking" },
    });
    const reasonOf = async (key: string) => (await world.listing(key)).observation?.reason;
    expect(await reasonOf("broken")).toContain("status 3");
    expect(await reasonOf("memory")).toContain("memory");
    loop.stop(0);
    fake.server.beStrange({ hasUnknownFields: true });
    expect((await world.phases()).up).toBe("awake");
    fake.server.beStrange({
      hasUnknownFields: true,
      words: { State: "hibernating", Status: "hibernating" },
    });
    expect(new Set(Object.values(await world.phases()))).toEqual(new Set(["unknown"]));
  });

  fact(
    "a container that we have stopped has not failed, whatever its exit status",
    {},
    async (world) => {
      const demo = world.fake.addContainer("demo", { status: "running", stopExitCode: 3 });
      await sleepNow(world, "demo");
      expect(demo.exitCode).toBe(3);
      expect(await world.phases()).toEqual({ demo: "asleep" });
    },
  );

  fact("only exactly paastis.enable=true opts in", {}, async (world) => {
    for (const [index, value] of ["TRUE", "1", "yes", "false", ""].entries()) {
      world.fake.addContainer(`no-${index}`, {
        isOptedIn: false,
        labels: { "paastis.enable": value },
      });
    }
    world.fake.addContainer("yes");
    expect(keysOf(await world.provider.list(patient()))).toEqual(["yes"]);
  });

  fact("labels are settings, and mistakes in them are told once and ignored", {}, async (world) => {
    const labels = {
      "paastis.name": "Shop",
      "paastis.port": "8080",
      "paastis.max_idle_time": "20",
      "paastis.health": "/up",
      "paastis.mode": "pause",
      "paastis.linked_apps": "api, mail",
    };
    world.fake.addContainer("right", { labels });
    const wrong = {
      "paastis.name": "no such/name",
      "paastis.port": "http",
      "paastis.max_idle_time": "soon",
      "paastis.health": "up",
      "paastis.mode": "hibernate",
      "paastis.linked_apps": "a b",
      "paastis.prot": "8080",
    };
    world.fake.addContainer("wrong", { labels: wrong });
    const listings = await world.provider.list(patient());
    expect(keysOf(listings)).toEqual(["shop", "wrong"]);
    const settings = listings.find(({ key }) => key === "shop")?.settings;
    expect(settings).toEqual({ maxIdleMinutes: 20, health: "/up", linkedApps: ["api", "mail"] });
    expect(listings.find(({ key }) => key === "wrong")?.settings).toBeUndefined();
    for (const label of Object.keys(wrong)) {
      expect(warnings(world).filter((line) => line.startsWith(`${label} `))).toHaveLength(1);
    }
    await world.provider.list(patient());
    expect(warnings(world)).toHaveLength(Object.keys(wrong).length);
  });

  fact("keys are unique and good for a Host, whatever containers are called", {}, async (world) => {
    const names = [
      "My_App.1",
      "my-app-1",
      "MY-APP-1",
      "x".repeat(200),
      `${"x".repeat(200)}2`,
      "0",
      "a_",
    ];
    for (const name of names) world.fake.addContainer(name);
    world.fake.addContainer("other", { labels: { "paastis.name": "my-app-1" } });
    const listings = await world.provider.list(patient());
    const keys = keysOf(listings);
    expect(keys).toHaveLength(names.length + 1);
    expect(new Set(keys).size).toBe(keys.length);
    for (const key of keys) expect(key).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
    // Who was named has its name; the order of the list decides nothing.
    expect(listings.find(({ key }) => key === "my-app-1")?.id).toContain("my-app-1");
    const ids = listings.map(({ id, key }) => `${id} ${key}`).toSorted();
    const again = (await world.provider.list(patient())).map(({ id, key }) => `${id} ${key}`);
    expect(again.toSorted()).toEqual(ids);
  });

  fact(
    "a Compose project is one app, and so are containers with one name; passing ones are none",
    {},
    async (world) => {
      world.fake.addProject("shop", {
        web: { labels: { "paastis.port": "8080" } },
        db: {},
        cache: {},
      });
      const passing = world.fake.addContainer("shop-web-run-1", {
        status: "running",
        labels: {
          "com.docker.compose.project": "shop",
          "com.docker.compose.service": "web",
          "com.docker.compose.oneoff": "True",
        },
      });
      const labels = { "paastis.name": "pair" };
      world.fake.addContainer("left", { labels: { ...labels, "paastis.port": "8080" } });
      world.fake.addContainer("right", { labels });
      expect(await world.phases()).toEqual({ pair: "asleep", shop: "asleep" });
      await wake(world, "shop");
      await sleepNow(world, "shop");
      expect(passing.status).toBe("running");
    },
  );

  fact("what is no answer of an engine is an error, and never an empty list", {}, async (world) => {
    const { server } = world.fake;
    world.fake.addContainer("demo");
    await world.provider.list(patient());
    const cases = [
      [answersHtml(200), "protocol"],
      [answersHtml(502), "unavailable"],
      [answersHtml(403), "forbidden"],
      [answersText(200, ""), "protocol"],
      [answersText(200, "null"), "protocol"],
      [answersText(404, "page not found"), "not-found"],
      [answersText(500, '{"message":"oops"}'), "unavailable"],
      [answersHalf(), "protocol"],
      [cutsBody(), "network"],
      [resetsBefore(), "network"],
    ] as const;
    for (const [fault, kind] of cases) {
      server.fail("containers.list", fault);
      const error = await rejection(world.provider.list(patient()));
      expect([fault, error.kind]).toEqual([fault, expect.stringMatching(kind)]);
      expect(error.message.length).toBeGreaterThan(15);
    }
    expect(await world.phases()).toEqual({ demo: "asleep" });
  });

  fact(
    "an engine that is away is a network error that says where; and back, all is well",
    {},
    async (world) => {
      world.fake.addContainer("demo");
      for (const how of ["gone", "refuse"] as const) {
        await world.fake.goDown(how);
        const error = await rejection(world.provider.list(patient()));
        expect(error.kind).toBe("network");
        expect(error.message).toContain(world.fake.socketPath);
        await world.fake.comeUp();
        expect(await world.phases()).toEqual({ demo: "asleep" });
      }
      expect(warnings(world).length).toBeLessThanOrEqual(2);
    },
  );

  test("an engine that never answers is given up, with all that was waited for", async () => {
    const clock = createVirtualClock();
    await using world = await startDocker({ clock });
    await world.fake.server.goDown("hang");
    const listing = rejection(world.provider.list(patient()));
    let isOver = false;
    void listing.then(() => {
      isOver = true;
    });
    for (let passedMs = 0; !isOver; passedMs += 1_000) {
      expect(passedMs).toBeLessThanOrEqual(60_000);
      await clock.advance(1_000);
      await Bun.sleep(1);
    }
    expect((await listing).kind).toBe("network");
  });

  fact(
    "the version is the engine's where it is older, and found again after an update",
    { minVersion: "1.12", maxVersion: "1.41" },
    async (world) => {
      world.fake.addContainer("demo");
      const versions = () => new Set(world.fake.server.journal.map(({ kind }) => kind));
      expect(await world.phases()).toEqual({ demo: "asleep" });
      world.fake.setVersions("1.44", "1.52");
      expect(await world.phases()).toEqual({ demo: "asleep" });
      world.fake.setVersions("1.24", "1.40");
      expect(await world.phases()).toEqual({ demo: "asleep" });
      expect(versions()).toContain("ping");
    },
  );

  test("over TCP with TLS: with the certificates of a folder, and a reason without them", async () => {
    using folder = tempDir();
    const tls = { ca: ENGINE_CA, cert: ENGINE_CERTIFICATE, key: ENGINE_KEY };
    // The address is known only once it listens.
    let origin = "";
    await using world = await startDocker({
      tls,
      config: { api: { kind: "tcp", origin: "https://localhost:1", certificateDir: folder.path } },
      fetch: (url, init) => fetch(url.replace("https://localhost:1", origin), init),
    });
    origin = world.fake.server.origin;
    world.fake.addContainer("demo");
    const { message } = await rejection(world.provider.list(patient()));
    expect(message).toContain(folder.path);
    writeFileSync(folder.file("ca.pem"), ENGINE_CA);
    writeFileSync(folder.file("cert.pem"), CLIENT_CERTIFICATE);
    writeFileSync(folder.file("key.pem"), CLIENT_KEY);
    expect(await world.phases()).toEqual({ demo: "asleep" });
  });
});

describe("docker: where an app answers", () => {
  async function targetOf(world: DockerTest, key: string): Promise<string | undefined> {
    const { observation } = await world.listing(key);
    return observation?.target?.origin ?? `${observation?.phase}: ${observation?.reason}`;
  }

  fact("at the published port, wherever that is published", {}, async (world) => {
    const ports = (hostIp: string) => [{ privatePort: 8080, hostPort: 0, hostIp }];
    const status = "running";
    for (const [name, hostIp] of Object.entries({ own: "127.0.0.1", any: "0.0.0.0", empty: "" })) {
      const one = world.fake.addContainer(name, { status, publish: ports(hostIp) });
      expect(await targetOf(world, name)).toBe(`http://127.0.0.1:${one.hostPortOf(8080)}`);
    }
    const other = world.fake.addContainer("other", { status, publish: ports("192.0.2.7") });
    expect(await targetOf(world, "other")).toBe(`http://192.0.2.7:${other.hostPortOf(8080)}`);
  });

  fact(
    "at the host of an engine that is elsewhere",
    { config: { publishedHost: "[2001:db8::7]" } },
    async (world) => {
      const one = world.fake.addContainer("one", { status: "running" });
      expect(await targetOf(world, "one")).toBe(`http://[2001:db8::7]:${one.hostPortOf(8080)}`);
    },
  );

  fact(
    "at its own address in the network that is named, for all or by its label",
    { config: { network: "inner" } },
    async (world) => {
      const one = world.fake.addContainer("one", {
        status: "running",
        networks: ["inner", "other"],
        publish: false,
      });
      expect(await targetOf(world, "one")).toBe(`http://${one.addressIn("inner")}:8080`);
      const labels = {
        "paastis.network": "other",
        "paastis.scheme": "https",
        "paastis.port": "9000",
      };
      const two = world.fake.addContainer("two", {
        status: "running",
        networks: ["inner", "other"],
        labels,
      });
      expect(await targetOf(world, "two")).toBe(`https://${two.addressIn("other")}:9000`);
      world.fake.addContainer("three", { status: "running", networks: ["elsewhere"] });
      expect(await targetOf(world, "three")).toMatch(/^unmanaged: .*inner/);
    },
  );

  fact(
    "with the host's network at the host, and with another's network at the other's",
    { config: { network: "inner" } },
    async (world) => {
      world.fake.addContainer("hosted", {
        status: "running",
        networkMode: "host",
        port: 18_080,
        labels: { "paastis.port": "18080" },
      });
      expect(await targetOf(world, "hosted")).toBe("http://127.0.0.1:18080");
      const owner = world.fake.addContainer("owner", {
        status: "running",
        networks: ["inner"],
        isOptedIn: false,
      });
      world.fake.addContainer("guest", {
        status: "running",
        networkMode: `container:${owner.id}`,
        port: 9090,
        labels: { "paastis.port": "9090" },
      });
      expect(await targetOf(world, "guest")).toBe(`http://${owner.addressIn("inner")}:9090`);
      owner.stop(0);
      owner.remove();
      const seen = await world.provider.observe("container/guest", patient());
      const gone = `it uses the network of container ${owner.id.slice(0, 12)}, which does not exist`;
      expect([seen.phase, seen.reason]).toEqual(["unmanaged", expect.stringContaining(gone)]);
      expect(await targetOf(world, "guest")).toContain(gone);
    },
  );

  fact(
    "a label decides between several ports; without it the reason is told, and it is left alone",
    {},
    async (world) => {
      const publish = [8080, 9090].map((privatePort) => ({
        privatePort,
        hostPort: 0,
        hostIp: "127.0.0.1",
      }));
      const exposed = ["8080/tcp", "9090/tcp", "5353/udp"];
      world.fake.addContainer("unclear", { status: "running", exposed, publish });
      expect(await targetOf(world, "unclear")).toMatch(/^unmanaged: .*8080, 9090.*paastis\.port/);
      const labels = { "paastis.port": "9090" };
      const clear = world.fake.addContainer("clear", {
        status: "running",
        exposed,
        publish,
        labels,
      });
      expect(await targetOf(world, "clear")).toBe(`http://127.0.0.1:${clear.hostPortOf(9090)}`);
      world.fake.addContainer("none", { status: "running", exposed: [], publish: false });
      expect(await targetOf(world, "none")).toMatch(/^unmanaged: .*port/);
      expect(warnings(world).filter((line) => line.includes("cannot be reached"))).toHaveLength(2);
    },
  );

  fact("after a wake it is another port or address, which is read again", {}, async (world) => {
    const demo = world.fake.addContainer("demo", { status: "running" });
    const before = await targetOf(world, "demo");
    await sleepNow(world, "demo");
    const step = await wake(world, "demo");
    expect(step.done && step.target?.origin).toBe(`http://127.0.0.1:${demo.hostPortOf(8080)}`);
    expect(step.done && step.target?.origin).not.toBe(before ?? "");
    expect(await visit(step)).toBe("demo");
  });
});

describe("docker: Podman", () => {
  fact(
    "is watched, woken from pauses, and put to sleep all the same",
    { ...STARTS, isPodman: true },
    async (world) => {
      const demo = world.fake.addContainer("demo", { labels: { "paastis.mode": "pause" } });
      const id = await world.idOf("demo");
      using watched = await world.watch();
      expect(await visit(await wake(world, "demo"))).toBe("demo");
      demo.kill();
      await until(() => watched.phaseOf(id) === "asleep");
      expect(await visit(await wake(world, "demo"))).toBe("demo");
      await until(() => watched.phaseOf(id) === "awake");
      await sleepNow(world, "demo");
      expect(demo.status).toBe("paused");
      // Somebody was faster.
      const message =
        "container must be in Created or Stopped state to be started: container state improper";
      world.fake.server.fail(
        "unpause",
        appliesAndAnswers({ status: 500, body: { message, cause: "", response: 500 } }),
      );
      expect(await visit(await wake(world, "demo"))).toBe("demo");
      expect(demo.status).toBe("running");
      demo.crash(3);
      await until(() => watched.phaseOf(id) === "failed");
    },
  );
});

describe("docker: paastis check", () => {
  fact("names the engine and counts its apps", {}, async (world) => {
    world.fake.addContainer("one");
    world.fake.addContainer("two");
    const [report] = (await world.provider.check?.(patient())) ?? [];
    // An engine has no regions, and counts no calls.
    expect(report).toEqual({ account: expect.any(String), apps: 2 });
    expect(report?.account).toContain(world.fake.socketPath);
  });
});
