/** The fake Docker engine by itself: what it takes amiss, what goes wrong on demand, and what happens over time. */

import { describe, expect, test } from "bun:test";
import {
  CLIENT_CERTIFICATE,
  CLIENT_KEY,
  ENGINE_CA,
  ENGINE_CERTIFICATE,
  ENGINE_KEY,
} from "../support/engine-certificates.ts";
import { API, type EngineEvent, type HeardEvents } from "../support/engine-client.ts";
import { until } from "../support/until.ts";
import { type DockerWorld, startWorld } from "./docker-world.ts";
import {
  answersAfter,
  answersHalf,
  answersHtml,
  answersText,
  cutsBody,
  neverAnswers,
  resetsAfter,
  resetsBefore,
} from "./fake-faults.ts";

const LIST = `${API}/containers/json?all=true`;

function filtered(filters: object): string {
  return `${API}/containers/json?all=true&filters=${encodeURIComponent(JSON.stringify(filters))}`;
}

function actions(events: HeardEvents, type = "container"): string[] {
  return events.all.filter(({ Type }) => Type === type).map(({ Action }) => Action);
}

/** What a call rejects with: a code of the system, or a name. */
async function failure(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => "nothing",
    (error: { code?: unknown; name: string }) =>
      typeof error.code === "string" ? error.code : error.name,
  );
}

describe("fake docker: what it takes amiss", () => {
  const CASES: readonly (readonly [what: string, method: string, path: string, status: number])[] =
    [
      ["no version before the path", "GET", "/containers/json", 200],
      ["no such endpoint", "GET", `${API}/apps`, 404],
      ["the wrong method", "GET", `${API}/containers/demo/start`, 404],
      ["an unknown parameter", "GET", `${API}/containers/json?everything=1`, 200],
      ["filters that are no JSON", "GET", `${API}/containers/json?filters=label`, 400],
      ["filters that are no lists", "GET", filtered({ label: "a=b" }), 400],
      ["an unknown filter", "GET", filtered({ labels: ["a"] }), 400],
      ["an unknown state", "GET", filtered({ status: ["asleep"] }), 400],
      ["an unknown filter of events", "GET", `${API}/events?until=1&filters={"labels":["a"]}`, 200],
      ["a time that is none", "GET", `${API}/events?until=now`, 400],
      ["a t that is no number", "POST", `${API}/containers/demo/stop?t=10s`, 400],
      ["an unknown signal", "POST", `${API}/containers/demo/stop?signal=STOP`, 400],
      ["a signal before 1.42", "POST", `${API}/containers/demo/stop?signal=SIGTERM`, 304],
      ["an order to what has not opted in", "POST", `${API}/containers/other/start`, 204],
      ["killing", "POST", `${API}/containers/demo/kill`, 404],
    ];
  test.each(CASES)("%s", async (_what, method, path, status) => {
    await using world = await startWorld();
    world.docker.addContainer("demo");
    world.docker.addContainer("other", { isOptedIn: false });
    expect((await world.client.call(method, path)).status).toBe(status);
    expect(world.docker.violations).toHaveLength(1);
  });

  test("a body with an order", async () => {
    await using world = await startWorld();
    world.docker.addContainer("demo");
    const answer = await world.client.call("POST", `${API}/containers/demo/start`, { a: 1 });
    expect(answer.status).toBe(400);
    expect(world.docker.violations).toHaveLength(1);
  });

  test("a version that it does not speak, of a client that could know", async () => {
    await using world = await startWorld({ maxVersion: "1.41" });
    const call = async () => (await world.client.call("GET", "/v1.44/containers/json")).status;
    expect(await call()).toBe(400);
    expect(world.docker.violations).toEqual([]);
    await world.client.call("GET", "/_ping");
    expect(await call()).toBe(400);
    expect(world.docker.violations).toHaveLength(1);
    world.docker.setVersions("1.24", "1.51");
    expect(await call()).toBe(200);
  });

  test("a start while the client's own stop is under way, but not after somebody else's", async () => {
    await using world = await startWorld({ stopMs: 2_000 });
    const demo = world.docker.addContainer("demo", { status: "running" });
    demo.stop();
    expect((await world.post("/containers/demo/start")).status).toBe(304);
    await world.clock.advance(2_000);
    expect([demo.status, world.docker.violations]).toEqual(["exited", []]);
    demo.start();
    const stopping = world.post("/containers/demo/stop");
    await until(() => world.docker.server.inFlight === 1);
    expect((await world.post("/containers/demo/start")).status).toBe(304);
    expect(world.docker.violations).toHaveLength(1);
    await world.clock.advance(2_000);
    expect((await stopping).status).toBe(204);
  });

  test("what a well-behaved client does is no violation", async () => {
    await using world = await startWorld();
    world.docker.addContainer("demo");
    await world.client.call("GET", "/_ping");
    await world.client.call("GET", "/version");
    for (const order of ["start", "pause", "unpause", "stop?t=5", "wait?condition=not-running"]) {
      await world.post(`/containers/demo/${order}`);
    }
    await world.client.call(
      "GET",
      filtered({ label: ["paastis.enable=true"], status: ["exited"] }),
    );
    await world.get("/networks/bridge");
    await world.get(`/events?since=1&until=2&filters={"type":["container"]}`);
    expect(world.docker.violations).toEqual([]);
    const kinds = world.docker.server.journal.map(({ kind }) => kind);
    expect(kinds).toEqual([
      ...["ping", "version", "start", "pause", "unpause", "stop", "wait", "containers.list"],
      ...["networks.read", "events"],
    ]);
  });
});

describe("fake docker: what goes wrong", () => {
  test("answers of others, late, half and broken ones, and calls that were carried out all the same", async () => {
    await using world = await startWorld();
    const { server } = world.docker;
    const demo = world.docker.addContainer("demo");
    const list = () => world.client.call("GET", LIST);
    server.fail("containers.list", answersHtml(403));
    expect((await list()).text).toContain("<html>");
    server.fail("containers.*", answersText(503, "no server is available"));
    expect([(await list()).status, (await list()).status]).toEqual([503, 200]);
    server.fail("containers.list", answersHalf());
    expect((await list()).body).toBeUndefined();
    server.fail("containers.list", cutsBody());
    expect(await failure(list())).not.toBe("nothing");
    server.fail("start", resetsBefore());
    expect(await failure(world.post("/containers/demo/start"))).not.toBe("nothing");
    expect(demo.status).toBe("exited");
    server.fail("start", resetsAfter());
    expect(await failure(world.post("/containers/demo/start"))).not.toBe("nothing");
    expect(demo.status).toBe("running");
    server.fail("containers.list", answersAfter(5_000));
    const late = list();
    await until(() => server.inFlight === 1);
    await world.clock.advance(5_000);
    expect((await late).status).toBe(200);
    server.fail("*", neverAnswers(), Number.POSITIVE_INFINITY);
    const signal = AbortSignal.timeout(50);
    expect(await failure(world.client.call("GET", LIST, undefined, signal))).not.toBe("nothing");
    server.heal();
    expect((await list()).status).toBe(200);
  });

  test("an engine that is away: without its socket, deaf, or silent; and back", async () => {
    await using world = await startWorld();
    world.docker.addContainer("demo", { status: "running" });
    const list = (signal?: AbortSignal) => world.client.call("GET", LIST, undefined, signal);
    await world.docker.goDown("gone");
    expect(await failure(list())).toBe("ENOENT");
    await world.docker.comeUp();
    await world.docker.goDown("refuse");
    expect(await failure(list())).toBe("ECONNREFUSED");
    await world.docker.comeUp();
    await world.docker.server.goDown("hang");
    expect(await failure(list(AbortSignal.timeout(100)))).toBe("TimeoutError");
    await world.docker.server.comeUp();
    expect((await list()).body).toHaveLength(1);
  });

  test("with the engine its containers end, unless it leaves them alone; its events are forgotten", async () => {
    await using world = await startWorld();
    const lasting = world.docker.addContainer("lasting", { status: "running" });
    const always = world.docker.addContainer("always", { restart: "always" });
    await world.docker.goDown();
    await world.docker.comeUp();
    expect([lasting.status, lasting.isListening, always.starts]).toEqual(["running", true, 1]);
    await world.docker.goDown("gone", { keepsContainers: false });
    expect([lasting.status, always.status]).toEqual(["exited", "exited"]);
    await world.docker.comeUp();
    expect([lasting.status, always.status]).toEqual(["exited", "running"]);
    using events = await world.client.watchEvents("?since=1");
    await until(() => events.count("start", "always") === 1);
    expect(events.count("start", "lasting")).toBe(0);
  });

  test("events are lost, cut into pieces, mixed with nonsense; streams go silent or break", async () => {
    await using world = await startWorld();
    const demo = world.docker.addContainer("démo");
    using events = await world.client.watchEvents(`?filters={"type":["container"]}`);
    world.docker.hub.lose(2);
    demo.start();
    world.docker.hub.chop(3);
    demo.pause();
    await until(() => events.count("pause", "démo") === 1);
    expect(actions(events)).toEqual(["pause"]);
    world.docker.hub.chop(null);
    world.docker.hub.goSilent();
    demo.unpause();
    using others = await world.client.watchEvents();
    demo.stop();
    await until(() => others.count("stop") === 1);
    expect(actions(events)).toEqual(["pause"]);
    expect(world.docker.hub.listeners).toBe(1);
    world.docker.hub.cut();
    await others.ended;
    using last = await world.client.watchEvents();
    world.docker.hub.write("\n");
    world.docker.hub.end();
    await last.ended;
    expect(world.docker.hub.all.map(({ action }) => action)).toContain("unpause");
  });

  test("unknown fields in every object, and in no map", async () => {
    await using world = await startWorld();
    world.docker.addContainer("demo", { status: "running" });
    world.docker.server.beStrange({ hasUnknownFields: true, words: { State: "hibernating" } });
    const [summary] = (await world.client.call("GET", LIST)).body;
    expect(summary.a_field_of_tomorrow).toBeDefined();
    expect(summary.State).toBe("hibernating");
    expect(summary.Labels).toEqual({ "paastis.enable": "true" });
    expect(Object.keys(summary.NetworkSettings.Networks)).toEqual(["bridge"]);
  });

  test("over TCP it is the same, and with TLS only for clients with a certificate of its CA", async () => {
    await using plain = await startWorld();
    expect(await (await fetch(`${plain.docker.server.origin}/_ping`)).text()).toBe("OK");
    const tls = { ca: ENGINE_CA, cert: ENGINE_CERTIFICATE, key: ENGINE_KEY };
    await using secure = await startWorld({ tls });
    const url = `${secure.docker.server.origin}/_ping`;
    const stranger = { ca: ENGINE_CA };
    const client = { ca: ENGINE_CA, cert: CLIENT_CERTIFICATE, key: CLIENT_KEY };
    expect(await failure(fetch(url, { tls: stranger, keepalive: false }))).not.toBe("nothing");
    expect(await (await fetch(url, { tls: client, keepalive: false })).text()).toBe("OK");
  });
});

describe("fake docker: containers over time", () => {
  async function untilStatus(world: DockerWorld, name: string, status: string): Promise<void> {
    for (let passes = 0; (await world.stateOf(name)).Status !== status; passes += 1) {
      if (passes > 100) throw new Error(`${name} does not become ${status}`);
      await world.clock.advance(100);
    }
  }

  test("a program listens after its boot, at its address and behind the published port, and says who it is", async () => {
    await using world = await startWorld({ bootMs: 300 });
    const demo = world.docker.addContainer("demo", { networks: ["one", "two"] });
    await world.post("/containers/demo/start");
    const published = `http://127.0.0.1:${demo.hostPortOf(8080)}/`;
    const direct = `http://${demo.addressIn("two")}:8080/path?a=1`;
    expect(await failure(fetch(direct))).toBe("ECONNREFUSED");
    expect(await failure(fetch(published))).toBe("ECONNRESET");
    await world.clock.advance(300);
    const answer = await fetch(direct);
    expect(answer.headers.get("x-fake-container")).toBe(demo.id);
    expect(await answer.json()).toMatchObject({
      container: demo.id,
      path: "/path?a=1",
      request: 1,
    });
    expect((await fetch(published)).status).toBe(200);
    expect((await fetch(`http://${demo.addressIn("one")}:8080/`)).status).toBe(200);
    expect(demo.requests).toBe(3);
    demo.answerWith({ status: 500, body: "broken" });
    expect((await fetch(published)).status).toBe(500);
    demo.kill();
    expect(await failure(fetch(published))).toBe("ECONNREFUSED");
  });

  test("a start takes its time: a second one waits for it and is 304, and a stop comes after it", async () => {
    await using world = await startWorld({ startMs: 250 });
    const demo = world.docker.addContainer("demo");
    const orders = [
      world.post("/containers/demo/start"),
      world.post("/containers/demo/start"),
      world.post("/containers/demo/stop?t=1"),
    ];
    await until(() => world.docker.server.inFlight === 3);
    expect(demo.status).toBe("exited");
    await world.clock.advance(250);
    const statuses = (await Promise.all(orders)).map(({ status }) => status).toSorted();
    expect(statuses).toEqual([204, 204, 304]);
    expect([demo.status, demo.starts]).toEqual(["exited", 1]);
  });

  test("without an end after SIGTERM it is killed when its time is up, its own or the order's", async () => {
    await using world = await startWorld({ stopMs: Number.POSITIVE_INFINITY });
    const demo = world.docker.addContainer("demo", { status: "running", stopTimeoutMs: 3_000 });
    const stopping = world.post("/containers/demo/stop");
    await until(() => world.docker.server.inFlight === 1);
    await world.clock.advance(2_999);
    expect(demo.status).toBe("running");
    await world.clock.advance(1);
    expect([(await stopping).status, demo.exitCode]).toEqual([204, 137]);
    demo.start();
    const shorter = world.post("/containers/demo/stop?t=1");
    await until(() => world.docker.server.inFlight === 1);
    await world.clock.advance(1_000);
    expect([(await shorter).status, demo.status]).toEqual([204, "exited"]);
  });

  test("a policy of so many failures gives up after them; other ends are final", async () => {
    await using world = await startWorld();
    const restart = { name: "on-failure", maximumRetryCount: 2 } as const;
    const demo = world.docker.addContainer("demo", { restart });
    demo.nextRuns(...Array(4).fill({ endsAfterMs: 10, exitCode: 3 }));
    await world.post("/containers/demo/start");
    await untilStatus(world, "demo", "restarting");
    await untilStatus(world, "demo", "exited");
    expect([demo.starts, demo.restartCount]).toEqual([3, 2]);
    const good = world.docker.addContainer("good", { restart });
    good.nextRuns({ endsAfterMs: 10, exitCode: 0 });
    good.start();
    await world.clock.advance(1_000);
    expect([good.status, good.starts]).toEqual(["exited", 1]);
  });

  test("memory that ran out is said with the end", async () => {
    await using world = await startWorld();
    const demo = world.docker.addContainer("demo", { status: "running" });
    using events = await world.client.watchEvents(`?filters={"type":["container"]}`);
    demo.runOutOfMemory();
    expect(await world.stateOf("demo")).toMatchObject({ OOMKilled: true, ExitCode: 137 });
    await until(() => events.count("die") === 1);
    expect(actions(events)).toEqual(["oom", "die"]);
  });

  test("what happens while it is paused happens right after", async () => {
    await using world = await startWorld({ bootMs: 500 });
    const demo = world.docker.addContainer("demo");
    demo.nextRuns({ endsAfterMs: 1_000, exitCode: 4 });
    demo.start();
    demo.pause();
    await world.clock.advance(5_000);
    expect([demo.status, demo.isListening]).toEqual(["paused", false]);
    demo.unpause();
    expect([demo.status, demo.exitCode]).toEqual(["exited", 4]);
  });

  test("it is removing, cannot be started, and then gone with an event; so is one that removes itself", async () => {
    await using world = await startWorld({ removeMs: 1_000 });
    const demo = world.docker.addContainer("demo", { status: "running" });
    using events = await world.client.watchEvents(`?filters={"type":["container"]}`);
    demo.remove();
    expect((await world.stateOf("demo")).Status).toBe("removing");
    const answer = await world.post("/containers/demo/start");
    expect([answer.status, answer.body.message]).toEqual([
      409,
      "container is marked for removal and cannot be started",
    ]);
    await world.clock.advance(1_000);
    expect((await world.get("/containers/demo/json")).status).toBe(404);
    await until(() => events.count("destroy", "demo") === 1);
    expect(actions(events)).toEqual(["kill", "die", "destroy"]);
    const passing = world.docker.addContainer("passing", { status: "running", autoRemove: true });
    passing.crash(0);
    await world.clock.advance(1_000);
    await until(() => events.count("destroy", "passing") === 1);
  });

  test("Compose makes a new one beside the old one, which has another id, address and port in the end", async () => {
    await using world = await startWorld();
    const { web: old } = world.docker.addProject("shop", {
      web: { status: "running", dependsOn: { db: "service_healthy", cache: "service_started" } },
      db: { status: "running", healthcheck: {} },
      cache: { status: "running" },
    });
    const before = [old.id, old.addressIn("shop_default"), old.hostPortOf(8080)];
    const seen: string[][] = [];
    const current = await world.docker.recreate(old, {}, async () => {
      const all = (
        await world.client.call("GET", filtered({ label: ["com.docker.compose.service=web"] }))
      ).body;
      seen.push(
        all.map(({ Names, State }: { Names: string[]; State: string }) => `${Names} ${State}`),
      );
    });
    const passing = `/${old.id.slice(0, 12)}_shop-web-1`;
    expect(seen).toEqual([
      [`${passing} created`, "/shop-web-1 running"],
      [`${passing} created`, "/shop-web-1 exited"],
      [`${passing} created`],
      ["/shop-web-1 created"],
    ]);
    const after = [current.id, current.addressIn("shop_default"), current.hostPortOf(8080)];
    for (const [index, value] of after.entries()) expect(value).not.toBe(before[index] ?? "");
    const { Labels } = (await world.client.call("GET", filtered({ id: [current.id] }))).body[0];
    expect(Labels["com.docker.compose.depends_on"]).toBe(
      "db:service_healthy:false,cache:service_started:false",
    );
  });

  test("events of before 1.52 have their old fields too, and a list says health from 1.52 on", async () => {
    await using world = await startWorld({ maxVersion: "1.52" });
    const demo = world.docker.addContainer("demo", { status: "running", healthcheck: {} });
    const [old] = (await world.client.call("GET", "/v1.51/containers/json")).body;
    const [recent] = (await world.client.call("GET", "/v1.52/containers/json")).body;
    expect([old.Health, recent.Health]).toEqual([
      undefined,
      { Status: "healthy", FailingStreak: 0 },
    ]);
    expect(old.Status).toEndWith("(healthy)");
    demo.pause();
    const lineOf = async (version: string): Promise<EngineEvent & { status?: string }> => {
      const query = `filters={"event":["pause"]}&since=1&until=1700000000`;
      const { text } = await world.client.call("GET", `/v${version}/events?${query}`);
      return JSON.parse(text);
    };
    expect((await lineOf("1.51")).status).toBe("pause");
    expect((await lineOf("1.52")).status).toBeUndefined();
  });
});
