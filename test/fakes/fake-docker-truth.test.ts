/**
 * What the fake Docker engine claims, asked of it and, where there is one, of a real engine in the same words: a fake
 * that is friendlier than the truth proves nothing.
 */

import { afterAll, describe, expect, test } from "bun:test";
import { createSystemClock } from "../../src/clock.ts";
import { type DockerEngine, startDockerEngine, whyNoDocker } from "../support/docker-engine.ts";
import { removeAllApps } from "../support/engine-apps.ts";
import {
  API,
  type EngineClient,
  engineClient,
  type HeardEvents,
} from "../support/engine-client.ts";
import { within } from "../support/pace.ts";
import { startPodmanEngine, whyNoPodman } from "../support/podman-engine.ts";
import { tempDir } from "../support/temp-dir.ts";
import { until } from "../support/until.ts";
import { type FakeDocker, type NewContainer, startFakeDocker } from "./fake-docker.ts";
import type { DockerControl } from "./fake-docker-control.ts";
import type { Run } from "./fake-docker-model.ts";

/** What a container of these tests is like: as the fake is told, and as a shell script. */
interface Traits {
  readonly options?: NewContainer;
  /** Run by the real one's shell after its answer was written; default: it listens. */
  readonly script?: string;
  /** `HostConfig` and more of the real one. */
  readonly host?: Readonly<Record<string, unknown>>;
  readonly config?: Readonly<Record<string, unknown>>;
}

interface Engine extends EngineClient {
  make(name: string, traits?: Traits): Promise<void>;
  /** How the next runs go; the real one has it in its script. */
  nextRuns(name: string, ...runs: readonly Run[]): void;
  /** SIGKILL from outside. */
  kill(name: string): Promise<void>;
  /** Ends it, and starts it again; containers go on. */
  restart(): Promise<void>;
}

const LISTEN = "httpd -f -p 8080 -h /www & wait";
const PATIENT_MS = 40_000;

async function fakeEngine(isPodman = false): Promise<Engine & AsyncDisposable> {
  const folder = tempDir();
  const clock = createSystemClock();
  const fake: FakeDocker = await startFakeDocker({
    clock,
    socketPath: folder.file("docker.sock"),
    mayTouch: () => true,
    isPodman,
  });
  const controls = new Map<string, DockerControl>();
  return {
    ...engineClient(fake.socketPath),
    async make(name, { options = {} } = {}) {
      controls.set(name, fake.addContainer(name, { status: "created", ...options }));
      fake.removeNetwork("nowhere");
    },
    nextRuns: (name, ...runs) => controls.get(name)?.nextRuns(...runs),
    async kill(name) {
      controls.get(name)?.kill();
    },
    async restart() {
      await fake.goDown();
      await fake.comeUp();
    },
    async [Symbol.asyncDispose]() {
      await fake[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

function realEngine(engine: DockerEngine): Engine & AsyncDisposable {
  const probed: string[] = [];
  return {
    call: engine.call,
    watchEvents: engine.watchEvents,
    async make(name, { script = LISTEN, host = {}, config = {} } = {}) {
      const answer = await engine.call("POST", `${API}/containers/create?name=${name}`, {
        Image: engine.image,
        Cmd: ["/bin/sh", "-c", `trap 'exit 0' TERM; echo hello > /www/index.html; ${script}`],
        Labels: { "paastis.enable": "true" },
        ExposedPorts: { "8080/tcp": {} },
        ...config,
        HostConfig: {
          NetworkMode: engine.network,
          PortBindings: { "8080/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] },
          ...host,
        },
      });
      if (answer.status !== 201) throw new Error(answer.text);
      if (config.Healthcheck !== undefined) probed.push(name);
    },
    nextRuns: () => undefined,
    async kill(name) {
      await engine.call("POST", `${API}/containers/${name}/kill`);
    },
    async restart() {
      await engine.stop();
      await engine.start();
    },
    async [Symbol.asyncDispose]() {
      // Each probe is a program that is started, three times a second until the end of the file.
      for (const name of probed) await engine.call("POST", `${API}/containers/${name}/kill`);
    },
  };
}

type Fact = (engine: Engine) => Promise<void>;

async function post(engine: Engine, name: string, order: string) {
  const answer = await engine.call("POST", `${API}/containers/${name}/${order}`);
  return [answer.status, answer.body?.message?.replace(/[0-9a-f]{64}/g, "<id>") ?? ""];
}

async function statusOf(engine: Engine, name: string, order: string): Promise<number> {
  return (await engine.call("POST", `${API}/containers/${name}/${order}`)).status;
}

async function read(engine: Engine, name: string) {
  return (await engine.call("GET", `${API}/containers/${name}/json`)).body;
}

async function untilState(engine: Engine, name: string, status: string): Promise<void> {
  await until(async () => (await read(engine, name)).State.Status === status, PATIENT_MS);
}

async function untilHealth(engine: Engine, name: string, status: string): Promise<void> {
  await until(async () => (await read(engine, name)).State.Health.Status === status, PATIENT_MS);
}

async function untilHeard(events: HeardEvents, action: string, name: string): Promise<void> {
  await until(() => events.count(action, name) > 0, PATIENT_MS);
}

/** What was heard of a container, health probes left out. */
function actionsOf(events: HeardEvents, name: string): string[] {
  return events.all
    .filter(({ Type, Actor }) => Type === "container" && Actor.Attributes.name === name)
    .map(({ Action }) => Action)
    .filter((action) => !action.startsWith("exec_"));
}

async function outcomeOf(url: string): Promise<string> {
  try {
    const answer = await fetch(url, {
      keepalive: false,
      signal: AbortSignal.timeout(within(2_000)),
    });
    await answer.arrayBuffer();
    return String(answer.status);
  } catch (error) {
    return (error as { code?: string }).code ?? String(error); // Errors of `fetch` have one.
  }
}

async function listed(engine: Engine, query: string) {
  return await engine.call("GET", `${API}/containers/json?${query}`);
}

function filtersOf(filters: object): string {
  return `filters=${encodeURIComponent(JSON.stringify(filters))}`;
}

const HEALTHCHECK = { intervalMs: 300, retries: 2 };
const REAL_HEALTHCHECK = {
  Test: ["CMD", "/bin/cat", "/www/index.html"],
  Interval: 300e6,
  Timeout: 5e9,
  Retries: 2,
};

/** Each is about containers of its own: they are asked side by side. */
const FACTS: Readonly<Record<string, Fact>> = {
  async "orders that fit are 204, what is so already is 304, what does not fit is 409 or 500"(
    engine,
  ) {
    await engine.make("orders");
    using events = await engine.watchEvents();
    expect(await post(engine, "orders", "start")).toEqual([204, ""]);
    expect(await post(engine, "orders", "start")).toEqual([304, ""]);
    expect(await post(engine, "orders", "unpause")).toEqual([500, "Container <id> is not paused"]);
    expect(await post(engine, "orders", "pause")).toEqual([204, ""]);
    expect(await post(engine, "orders", "pause")).toEqual([
      409,
      "Container <id> is already paused",
    ]);
    expect(await post(engine, "orders", "start")).toEqual([
      409,
      "cannot start a paused container, try unpause instead",
    ]);
    expect(await post(engine, "orders", "stop?t=5")).toEqual([204, ""]);
    expect(await post(engine, "orders", "stop?t=5")).toEqual([304, ""]);
    expect(await post(engine, "orders", "pause")).toEqual([409, "Container <id> is not running"]);
    await untilHeard(events, "stop", "orders");
    // What is paused goes on before it is stopped.
    expect(actionsOf(events, "orders")).toEqual([
      "start",
      "pause",
      "kill",
      "unpause",
      "die",
      "stop",
    ]);
  },

  async "a start during the grace period of a stop is 304, and the container ends all the same"(
    engine,
  ) {
    await engine.make("stubborn", {
      options: { stopMs: Number.POSITIVE_INFINITY },
      script: "trap '' TERM; while true; do sleep 1; done",
    });
    await statusOf(engine, "stubborn", "start");
    using events = await engine.watchEvents();
    const stopping = statusOf(engine, "stubborn", "stop?t=4");
    await untilHeard(events, "kill", "stubborn");
    expect((await read(engine, "stubborn")).State.Status).toBe("running");
    expect(await statusOf(engine, "stubborn", "start")).toBe(304);
    expect(await stopping).toBe(204);
    const { State } = await read(engine, "stubborn");
    expect([State.Status, State.ExitCode, State.Running]).toEqual(["exited", 137, false]);
    await untilHeard(events, "stop", "stubborn");
    expect(actionsOf(events, "stubborn")).toEqual(["kill", "kill", "die", "stop"]);
  },

  async "a start that fails tells no event, and leaves the reason in its state"(engine) {
    const message = "exec: /nope: no such file";
    await engine.make("broken", { config: { Cmd: ["/nope"] } });
    await engine.make("after");
    using events = await engine.watchEvents();
    engine.nextRuns("broken", { refusal: { status: 400, message } });
    const [status, said] = await post(engine, "broken", "start");
    expect(status).toBe(400);
    expect(said).toContain("/nope");
    const { State } = await read(engine, "broken");
    expect([State.Status, State.Running]).toEqual(["created", false]);
    expect(State.ExitCode).toBe(127);
    expect(State.Error).toBe(said);
    await statusOf(engine, "after", "start");
    await untilHeard(events, "start", "after");
    expect(actionsOf(events, "broken")).toEqual([]);
  },

  async "a port of the host that is taken is 500 at the start"(engine) {
    using other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("") });
    const port = other.port ?? 0;
    await engine.make("taken", {
      options: { publish: port },
      host: { PortBindings: { "8080/tcp": [{ HostIp: "127.0.0.1", HostPort: String(port) }] } },
    });
    const [status, said] = await post(engine, "taken", "start");
    expect(status).toBe(500);
    expect(said).toContain("driver failed programming external connectivity");
    const { State } = await read(engine, "taken");
    expect([State.Status, State.ExitCode]).toEqual(["created", 128]);
  },

  async "a network that is not there is 404 at the start"(engine) {
    await engine.make("lonely", {
      options: { networks: ["nowhere"] },
      host: { NetworkMode: "nowhere" },
    });
    const [status, said] = await post(engine, "lonely", "start");
    expect(status).toBe(404);
    expect(said).toContain("network nowhere not found");
  },

  async "an end by itself is exited with its code, and a kill is 137"(engine) {
    await engine.make("crashing", { script: "sleep 0.1; exit 3" });
    engine.nextRuns("crashing", { endsAfterMs: 100, exitCode: 3 });
    using events = await engine.watchEvents();
    await statusOf(engine, "crashing", "start");
    await untilState(engine, "crashing", "exited");
    expect((await read(engine, "crashing")).State.ExitCode).toBe(3);
    await engine.make("killed");
    await statusOf(engine, "killed", "start");
    const waiting = engine.call("POST", `${API}/containers/killed/wait?condition=not-running`);
    await engine.kill("killed");
    expect((await waiting).body.StatusCode).toBe(137);
    await untilHeard(events, "die", "killed");
    expect(actionsOf(events, "crashing")).toEqual(["start", "die"]);
    expect(actionsOf(events, "killed")).toEqual(["create", "start", "kill", "die"]);
    const died = events.all.find(
      ({ Action, Actor }) => Action === "die" && Actor.Attributes.name === "crashing",
    );
    expect(died?.Actor.Attributes.exitCode).toBe("3");
    expect(died?.Actor.Attributes["paastis.enable"]).toBe("true");
  },

  async "a policy restarts what ended by itself, not what was killed or stopped"(engine) {
    await engine.make("loop", {
      options: { restart: "always" },
      script: "sleep 0.1; exit 3",
      host: { RestartPolicy: { Name: "always" } },
    });
    engine.nextRuns("loop", ...Array(20).fill({ endsAfterMs: 100, exitCode: 3 }));
    await statusOf(engine, "loop", "start");
    await until(async () => {
      // Delays double, so that it is there to be found for longer and longer.
      if ((await read(engine, "loop")).State.Status !== "restarting") return false;
      const [status, said] = await post(engine, "loop", "pause");
      // It may just have been started again.
      if (status === 204) await statusOf(engine, "loop", "unpause");
      return String(said).includes("is restarting, wait until");
    }, PATIENT_MS);
    // By the fourth time the next start is more than a second away: time enough for what follows.
    let loop = await read(engine, "loop");
    await until(async () => {
      loop = await read(engine, "loop");
      return loop.State.Status === "restarting" && loop.RestartCount >= 4;
    }, PATIENT_MS);
    expect([loop.State.Running, loop.State.Restarting, loop.State.ExitCode]).toEqual([
      ...[true, true, 3],
    ]);
    expect(await statusOf(engine, "loop", "start")).toBe(304);
    expect(await statusOf(engine, "loop", "stop?t=1")).toBe(204);
    expect((await read(engine, "loop")).State.Status).toBe("exited");

    await engine.make("kept", {
      options: { restart: "always" },
      host: { RestartPolicy: { Name: "always" } },
    });
    await statusOf(engine, "kept", "start");
    await engine.kill("kept");
    await untilState(engine, "kept", "exited");
  },

  async "health is starting, then healthy; unhealthy from a pause to the next probe, and after the end"(
    engine,
  ) {
    await engine.make("checked", {
      options: { healthcheck: { intervalMs: 2500, retries: 2 } },
      config: { Healthcheck: { ...REAL_HEALTHCHECK, Interval: 2500e6 } },
    });
    using events = await engine.watchEvents();
    await statusOf(engine, "checked", "start");
    expect((await read(engine, "checked")).State.Health.Status).toBe("starting");
    await untilHealth(engine, "checked", "healthy");
    await statusOf(engine, "checked", "pause");
    expect((await read(engine, "checked")).State.Health.Status).toBe("unhealthy");
    await statusOf(engine, "checked", "unpause");
    expect((await read(engine, "checked")).State.Health.Status).toBe("unhealthy");
    await untilHealth(engine, "checked", "healthy");
    await statusOf(engine, "checked", "stop?t=5");
    const { State } = await read(engine, "checked");
    expect([State.Status, State.Health.Status]).toEqual(["exited", "unhealthy"]);
    await untilHeard(events, "stop", "checked");
    expect(actionsOf(events, "checked")).toEqual([
      ...["start", "health_status: healthy", "pause", "unpause", "health_status: healthy"],
      ...["kill", "die", "stop"],
    ]);
  },

  async "what does not answer its probe becomes unhealthy while it boots, and healthy afterwards"(
    engine,
  ) {
    await engine.make("slow", {
      // Long enough for three probes on a busy machine.
      options: { bootMs: 4_000, healthcheck: HEALTHCHECK },
      // However busy the machine is: it is ready after three probes have failed.
      script: `touch /www/probes; until [ $(wc -l </www/probes) -ge 3 ]; do sleep 0.1; done; touch /www/ready; ${LISTEN}`,
      config: {
        Healthcheck: {
          ...REAL_HEALTHCHECK,
          Test: ["CMD", "/bin/sh", "-c", "echo >>/www/probes; cat /www/ready"],
        },
      },
    });
    using events = await engine.watchEvents();
    await statusOf(engine, "slow", "start");
    await untilHeard(events, "health_status: healthy", "slow");
    expect(actionsOf(events, "slow")).toEqual([
      ...["start", "health_status: unhealthy", "health_status: healthy"],
    ]);
    expect(events.all.some(({ Action }) => Action.startsWith("exec_create: "))).toBe(true);
    await statusOf(engine, "slow", "stop?t=1");
  },

  async "the filter health_status hears all of health, and labels are heeded"(engine) {
    await engine.make("heard", {
      options: { healthcheck: HEALTHCHECK },
      config: { Healthcheck: REAL_HEALTHCHECK },
    });
    const query = filtersOf({
      type: ["container"],
      event: ["start", "die", "health_status"],
      label: ["paastis.enable=true"],
    });
    const nobody = filtersOf({ type: ["container"], label: ["paastis.enable=no"] });
    using events = await engine.watchEvents(`?${query}`);
    using others = await engine.watchEvents(`?${nobody}`);
    await statusOf(engine, "heard", "start");
    await untilHeard(events, "health_status: healthy", "heard");
    await statusOf(engine, "heard", "stop?t=5");
    await untilHeard(events, "die", "heard");
    expect(actionsOf(events, "heard")).toEqual([...["start", "health_status: healthy", "die"]]);
    expect(events.all.filter(({ Action }) => Action.startsWith("exec_"))).toEqual([]);
    expect(others.all).toEqual([]);
  },

  async "stopped containers are listed only with all, labels filter, and wrong filters are refused"(
    engine,
  ) {
    await engine.make("listed");
    const names = async (query: string) =>
      (await listed(engine, query)).body.flatMap((one: { Names: string[] }) => one.Names);
    const label = filtersOf({ label: ["paastis.enable=true"], name: ["listed"] });
    expect(await names(`all=true&${label}`)).toEqual(["/listed"]);
    expect(await names(label)).toEqual([]);
    expect(await names(`all=1&${filtersOf({ label: ["paastis.enable=no"] })}`)).toEqual([]);
    expect((await listed(engine, "all=1&filters=%7Bnope")).status).toBeGreaterThanOrEqual(400);
    const unknown = await listed(engine, `all=1&${filtersOf({ nope: ["x"] })}`);
    expect([unknown.status, unknown.body.message.toLowerCase()]).toEqual([
      400,
      "invalid filter 'nope'",
    ]);
  },

  async "what is not there is 404, and versions out of range are 400"(engine) {
    const get = (path: string) => engine.call("GET", path);
    const nobody = await get(`${API}/containers/nobody/json`);
    expect([nobody.status, nobody.body]).toEqual([404, { message: "No such container: nobody" }]);
    expect(await post(engine, "nobody", "start")).toEqual([404, "No such container: nobody"]);
    expect((await get(`${API}/nope`)).body).toEqual({ message: "page not found" });
    expect((await engine.call("PUT", `${API}/containers/nobody/start`)).status).toBe(404);
    const late = await get("/v1.99/containers/json");
    expect(late.status).toBe(400);
    expect(late.body.message).toContain("client version 1.99 is too new. Maximum supported API");
    const early = await get("/v1.2/containers/json");
    expect([early.status, early.body]).toEqual([400, undefined]);
    expect(early.text).toContain("client version 1.2 is too old. Minimum supported API");
    const ping = await get("/_ping");
    expect([ping.status, ping.text]).toEqual([200, "OK"]);
    expect(ping.headers.get("api-version")).toMatch(/^1\.\d\d$/);
    const { ApiVersion, MinAPIVersion } = (await get("/version")).body;
    expect(ApiVersion).toBe(ping.headers.get("api-version"));
    expect(MinAPIVersion).toMatch(/^1\.\d\d$/);
    expect((await engine.call("POST", `${API}/containers/nobody/stop?t=1`)).status).toBe(404);
  },

  async "addresses and ports are there while it runs; the proxy accepts before the program listens"(
    engine,
  ) {
    await engine.make("web", { options: { bootMs: 2500 }, script: `sleep 2.5; ${LISTEN}` });
    const before = await read(engine, "web");
    expect(before.NetworkSettings.Ports).toEqual({});
    expect(before.HostConfig.PortBindings).toEqual({
      "8080/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }],
    });
    await statusOf(engine, "web", "start");
    const { NetworkSettings } = await read(engine, "web");
    const [binding] = NetworkSettings.Ports["8080/tcp"];
    expect(binding.HostIp).toBe("127.0.0.1");
    const published = `http://127.0.0.1:${binding.HostPort}/`;
    const [network] = Object.values(NetworkSettings.Networks) as { IPAddress: string }[];
    const direct = `http://${network?.IPAddress}:8080/`;
    expect(await outcomeOf(direct)).toBe("ECONNREFUSED");
    expect(await outcomeOf(published)).toBe("ECONNRESET");
    await until(async () => (await outcomeOf(published)) === "200", PATIENT_MS);
    expect(await outcomeOf(direct)).toBe("200");
    const [summary] = (await listed(engine, filtersOf({ name: ["^/web$"] }))).body;
    expect(summary.Ports).toEqual([
      { IP: "127.0.0.1", PrivatePort: 8080, PublicPort: Number(binding.HostPort), Type: "tcp" },
    ]);
    await statusOf(engine, "web", "stop?t=5");
    const after = await read(engine, "web");
    expect(after.NetworkSettings.Ports).toEqual({});
    expect(
      (Object.values(after.NetworkSettings.Networks)[0] as { IPAddress: string }).IPAddress,
    ).toBe("");
    expect(await outcomeOf(published)).toBe("ECONNREFUSED");
  },

  async "what is paused accepts and does not answer, until it goes on"(engine) {
    await engine.make("frozen");
    await statusOf(engine, "frozen", "start");
    const { HostPort } = (await read(engine, "frozen")).NetworkSettings.Ports["8080/tcp"][0];
    const url = `http://127.0.0.1:${HostPort}/`;
    await until(async () => (await outcomeOf(url)) === "200", PATIENT_MS);
    await statusOf(engine, "frozen", "pause");
    const { State } = await read(engine, "frozen");
    expect([State.Status, State.Running, State.Paused]).toEqual(["paused", true, true]);
    const asked = fetch(url, { keepalive: false });
    expect(await Promise.race([asked, Bun.sleep(300).then(() => "nothing yet")])).toBe(
      "nothing yet",
    );
    await statusOf(engine, "frozen", "unpause");
    expect((await asked).status).toBe(200);
  },

  async "a container in another's network follows it, and does not start without it"(engine) {
    await engine.make("owner");
    const { Id } = await read(engine, "owner");
    const mode = `container:${Id}`;
    await engine.make("guest", {
      options: { networkMode: mode, port: 9090 },
      config: { ExposedPorts: undefined },
      host: { NetworkMode: mode, PortBindings: undefined },
      script: "httpd -f -p 9090 -h /www & wait",
    });
    const [status, said] = await post(engine, "guest", "start");
    expect([409, 500]).toContain(Number(status));
    expect(said).toBe("cannot join network of a non running container: <id>");
    await statusOf(engine, "owner", "start");
    expect(await statusOf(engine, "guest", "start")).toBe(204);
    const { HostConfig, NetworkSettings } = await read(engine, "guest");
    expect([HostConfig.NetworkMode, NetworkSettings.Networks]).toEqual([mode, {}]);
    expect(NetworkSettings.Ports).toEqual({});
  },

  async "fields that a client reads are of the same kinds"(engine) {
    await engine.make("fields");
    await statusOf(engine, "fields", "start");
    const [summary] = (await listed(engine, filtersOf({ name: ["^/fields$"] }))).body;
    expect(kindsOf(summary)).toEqual({
      ...{ Id: "string", Names: "array", Image: "string", ImageID: "string", Command: "string" },
      ...{ Created: "number", Ports: "array", Labels: "object", State: "string", Status: "string" },
      ...{ HostConfig: "object", NetworkSettings: "object", Mounts: "array" },
    });
    const details = await read(engine, "fields");
    expect(kindsOf(details)).toMatchObject({
      ...{ Id: "string", Name: "string", Created: "string", RestartCount: "number" },
      ...{ State: "object", Config: "object", HostConfig: "object", NetworkSettings: "object" },
    });
    expect(details.Name).toBe("/fields");
    expect(kindsOf(details.State)).toEqual({
      ...{ Status: "string", Running: "boolean", Paused: "boolean", Restarting: "boolean" },
      ...{ OOMKilled: "boolean", Dead: "boolean", Pid: "number", ExitCode: "number" },
      ...{ Error: "string", StartedAt: "string", FinishedAt: "string" },
    });
    expect(details.State.FinishedAt).toBe("0001-01-01T00:00:00Z");
    expect(details.Config.ExposedPorts).toEqual({ "8080/tcp": {} });
    expect(details.Config.Labels).toEqual({ "paastis.enable": "true" });
    const [network] = Object.values(details.NetworkSettings.Networks);
    expect(kindsOf(network)).toMatchObject({
      ...{ NetworkID: "string", EndpointID: "string", IPAddress: "string", Gateway: "string" },
    });
  },

  async "events have time, actor and attributes; since repeats those that it remembers"(engine) {
    await engine.make("told");
    await statusOf(engine, "told", "start");
    await statusOf(engine, "told", "stop?t=5");
    const query = `?since=1&${filtersOf({ container: ["told"], event: ["start", "die"] })}`;
    using events = await engine.watchEvents(query);
    await untilHeard(events, "die", "told");
    expect(actionsOf(events, "told")).toEqual(["start", "die"]);
    const [event] = events.all;
    const { Id } = await read(engine, "told");
    expect(event).toMatchObject({ Type: "container", Action: "start", scope: "local" });
    expect(event?.Actor.ID).toBe(Id);
    expect(Math.floor((event?.timeNano ?? 0) / 1e9)).toBe(event?.time ?? 0);
    expect((await engine.call("GET", `${API}/events?since=abc`)).status).toBeGreaterThanOrEqual(
      400,
    );
  },
};

/** For this one the engine is restarted, which nobody else could bear. */
const RESTART_FACTS: Readonly<Record<string, Fact>> = {
  async "an engine that restarts ends the streams, remembers no events, and keeps containers, ports and health; what has to run always comes back with it"(
    engine,
  ) {
    await engine.make("lasting", {
      options: { healthcheck: { intervalMs: 1_500, retries: 2 } },
      config: { Healthcheck: { ...REAL_HEALTHCHECK, Interval: 1_500e6 } },
    });
    await statusOf(engine, "lasting", "start");
    for (const name of ["always", "unless-stopped"] as const) {
      await engine.make(name, {
        options: { restart: name },
        host: { RestartPolicy: { Name: name } },
      });
      await statusOf(engine, name, "start");
      // Somebody has stopped it, which for one of them does not matter.
      await statusOf(engine, name, "stop?t=5");
    }
    await untilHealth(engine, "lasting", "healthy");
    const { NetworkSettings } = await read(engine, "lasting");
    using events = await engine.watchEvents();
    await engine.restart();
    await events.ended;
    const { State, NetworkSettings: then } = await read(engine, "lasting");
    expect([State.Status, State.Health.Status]).toEqual(["running", "healthy"]);
    expect(then.Ports).toEqual(NetworkSettings.Ports);
    const none = await engine.call(
      "GET",
      `${API}/events?since=1&until=${Math.ceil(Date.now() / 1000)}`,
    );
    expect(none.text).not.toContain('"name":"lasting"');
    await untilState(engine, "always", "running");
    expect((await read(engine, "unless-stopped")).State.Status).toBe("exited");
  },
};

function kindsOf(value: unknown): Record<string, string> {
  const entries = Object.entries(value ?? {});
  return Object.fromEntries(
    entries.map(([name, inner]) => [name, Array.isArray(inner) ? "array" : typeof inner]),
  );
}

/** What is not as with Docker. */
const PODMAN_FACTS: Readonly<Record<string, Fact>> = {
  async "orders that do not fit are 500, and say why twice"(engine) {
    await engine.make("orders");
    const refused = [500, expect.stringContaining("container state improper")];
    expect(await post(engine, "orders", "start")).toEqual([204, ""]);
    expect(await post(engine, "orders", "start")).toEqual([304, ""]);
    expect(await post(engine, "orders", "unpause")).toEqual(refused);
    expect(await post(engine, "orders", "pause")).toEqual([204, ""]);
    expect(await post(engine, "orders", "pause")).toEqual(refused);
    expect(await post(engine, "orders", "start")).toEqual(refused);
    expect(await post(engine, "orders", "unpause")).toEqual([204, ""]);
    expect(await post(engine, "orders", "stop?t=5")).toEqual([204, ""]);
    expect(await post(engine, "orders", "stop?t=5")).toEqual([304, ""]);
    expect(await statusOf(engine, "nobody", "start")).toBe(404);
  },

  async "events have names and an order of their own"(engine) {
    await engine.make("told");
    using events = await engine.watchEvents();
    await statusOf(engine, "told", "start");
    await statusOf(engine, "told", "pause");
    await statusOf(engine, "told", "unpause");
    await statusOf(engine, "told", "stop?t=5");
    await statusOf(engine, "told", "start");
    await engine.kill("told");
    await until(() => events.count("die", "told") === 2, PATIENT_MS);
    // It repeats what happened just before the stream was opened, and tells of stops when it likes.
    const others = ["create", "cleanup", "stop"];
    expect(actionsOf(events, "told").filter((action) => !others.includes(action))).toEqual([
      ...["init", "start", "pause", "unpause", "die", "init", "start", "kill", "die"],
    ]);
    const died = events.all.findLast(
      ({ Action, Actor }) => Action === "die" && Actor.Attributes.name === "told",
    );
    expect(died?.Actor.Attributes.exitCode).toBe("137");
    expect(died?.Actor.Attributes["paastis.enable"]).toBe("true");
  },

  async "a list leaves out how a container is networked, and no health check is an empty one"(
    engine,
  ) {
    await engine.make("fields");
    await statusOf(engine, "fields", "start");
    const [summary] = (await listed(engine, filtersOf({ name: ["fields"] }))).body;
    expect(summary.HostConfig).toBeUndefined();
    expect(kindsOf(summary)).toMatchObject({
      ...{ Id: "string", Names: "array", Labels: "object", State: "string", Status: "string" },
      ...{ Ports: "array", NetworkSettings: "object", Created: "number" },
    });
    const { State } = await read(engine, "fields");
    expect(State.Health).toEqual({ Status: "", FailingStreak: 0, Log: null });
    expect([State.Status, State.Running]).toEqual(["running", true]);
  },
};

describe("the fake Podman engine", () => {
  for (const [what, fact] of Object.entries(PODMAN_FACTS)) {
    test.concurrent(`fake Podman engine: ${what}`, async () => {
      await using engine = await fakeEngine(true);
      await fact(engine);
    });
  }
});

/** Each test's limit counts while it waits for its lane, too, ms. */
const REAL_MS_MAX = 300_000;

/** More at a time than this would only wait for each other, and for the processors. */
const LANES = 4;

/** Does what it is given, `LANES` at a time. */
function lanes(): (work: () => Promise<void>) => Promise<void> {
  const ends: Promise<unknown>[] = Array.from({ length: LANES }, () => Promise.resolve());
  let next = 0;
  return async (work) => {
    const lane = next % LANES;
    next += 1;
    const turn = (ends[lane] ?? Promise.resolve()).then(work);
    ends[lane] = turn.catch(() => undefined);
    await turn;
  };
}

/** One engine for all. */
function shared<T extends AsyncDisposable>(begin: () => Promise<T>) {
  let begun: Promise<T> | null = null;
  return {
    get(): Promise<T> {
      begun ??= begin();
      return begun;
    },
    async end(): Promise<void> {
      await (await begun)?.[Symbol.asyncDispose]();
    },
  };
}

const whyNot = whyNoPodman();
if (whyNot !== null) console.log(`no real Podman engine to compare with: ${whyNot}`);

describe.skipIf(whyNot !== null)("the real Podman engine", () => {
  const theEngine = shared(startPodmanEngine);
  afterAll(async () => {
    await removeAllApps(await theEngine.get());
    await theEngine.end();
  });
  for (const [what, fact] of Object.entries(PODMAN_FACTS)) {
    test(
      `real Podman engine: ${what}`,
      async () => {
        const engine = await theEngine.get();
        const docker = realEngine({
          ...engine,
          stop: async () => undefined,
          start: async () => undefined,
        });
        const make: Engine["make"] = (name) =>
          docker.make(name, {
            config: { ExposedPorts: undefined },
            host: { ...engine.host, PortBindings: undefined },
            script: "httpd -f -p 0 -h /www & wait",
          });
        await fact({ ...docker, make });
      },
      REAL_MS_MAX,
    );
  }
});

describe("the fake Docker engine", () => {
  for (const [what, fact] of Object.entries({ ...FACTS, ...RESTART_FACTS })) {
    test.concurrent(`fake Docker engine: ${what}`, async () => {
      await using engine = await fakeEngine();
      await fact(engine);
    });
  }
});

const why = whyNoDocker();
if (why !== null) console.log(`no real engine to compare with: ${why}`);

describe.skipIf(why !== null)("the real engine", () => {
  const theEngine = shared(startDockerEngine);
  const inLane = lanes();
  afterAll(theEngine.end);
  for (const [what, fact] of Object.entries(FACTS)) {
    test.concurrent(
      `real Docker engine: ${what}`,
      async () => {
        await inLane(async () => {
          await using engine = realEngine(await theEngine.get());
          await fact(engine);
        });
      },
      REAL_MS_MAX,
    );
  }
  for (const [what, fact] of Object.entries(RESTART_FACTS)) {
    test(
      `real Docker engine: ${what}`,
      async () => {
        await using engine = realEngine(await theEngine.get());
        await fact(engine);
      },
      REAL_MS_MAX,
    );
  }
});
