/** The fake Fly.io against what is known of the real one: field names, states, limits, the proxy. */

import { describe, expect, test } from "bun:test";
import { until } from "../support/until.ts";
import { createVirtualClock, type VirtualClock } from "../support/virtual-clock.ts";
import { type FakeFly, type FakeFlyOptions, startFakeFly } from "./fake-fly.ts";

interface World extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly fly: FakeFly;
  /** A call as a well-behaved client makes it. */
  call(path: string, more?: RequestInit): Promise<Seen>;
}

interface Seen {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what was read, as it is; each test says what it expects of it
  readonly body: any;
}

async function startWorld(options: Partial<FakeFlyOptions> = {}): Promise<World> {
  const clock = createVirtualClock();
  const fly = await startFakeFly({ clock, isLimited: false, ...options });
  return {
    clock,
    fly,
    async call(path, more = {}) {
      const scheme = fly.token.startsWith("fm2_") ? "FlyV1" : "Bearer";
      const headers = { accept: "application/json", authorization: `${scheme} ${fly.token}` };
      const isJson = more.body !== undefined;
      const answer = await fetch(fly.apiUrl + path, {
        ...more,
        headers: { ...headers, ...(isJson ? { "content-type": "application/json" } : {}) },
      });
      return { status: answer.status, headers: answer.headers, body: await answer.json() };
    },
    [Symbol.asyncDispose]: () => fly[Symbol.asyncDispose](),
  };
}

const POST = { method: "POST" };
const STOP = { method: "POST", body: "{}" };

/** As in the examples of the documents. */
const NAMES = {
  app: "id name machine_count volume_count network",
  machine:
    "id name state region instance_id private_ip created_at updated_at host_status cordoned config checks events",
  config: "image metadata services",
  service: "protocol internal_port autostop autostart ports",
  check: "name status output updated_at",
  event: "type status source timestamp request",
  start: "previous_state migrated new_host",
} as const;

function expectNames(value: object, name: keyof typeof NAMES): void {
  expect(Object.keys(value).toSorted()).toEqual(NAMES[name].split(" ").toSorted());
}

describe("what it says", () => {
  test("every object has the documented fields, and nothing else", async () => {
    await using world = await startWorld();
    const app = world.fly.addApp("demo", { machines: [{ check: "passing" }] });
    app.crash(0);
    const { body } = await world.call("/v1/apps?org_slug=personal");
    expect(Object.keys(body)).toEqual(["total_apps", "apps"]);
    expectNames(body.apps[0], "app");
    expect((await world.call("/v1/apps/demo")).body).toEqual(body.apps[0]);
    const [machine] = (await world.call("/v1/apps/demo/machines")).body;
    expectNames(machine, "machine");
    expectNames(machine.config, "config");
    expectNames(machine.config.services[0], "service");
    expectNames(machine.checks[0], "check");
    expectNames(machine.events[0], "event");
    expect(machine.events[0].request.exit_event).toMatchObject({
      exit_code: 1,
      requested_stop: false,
    });
    expect((await world.call(`/v1/apps/demo/machines/${machine.id}`)).body).toEqual(machine);
    const started = await world.call(`/v1/apps/demo/machines/${machine.id}/start`, POST);
    expectNames(started.body, "start");
    expect(started.headers.get("fly-request-id")).toMatch(/^req/);
    expect(world.fly.violations).toEqual([]);
  });

  test("the list wants an organization, and has its apps alone; of a lost host only half is known", async () => {
    await using world = await startWorld();
    const app = world.fly.addApp("demo");
    world.fly.addApp("other", { org: "acme" });
    expect((await world.call("/v1/apps")).status).toBe(400);
    expect((await world.call("/v1/apps?org_slug=acme")).body.apps[0].name).toBe("other");
    app.change(0, { hostStatus: "unreachable" });
    const [machine] = (await world.call("/v1/apps/demo/machines")).body;
    expect([machine.config, Object.keys(machine.incomplete_config)]).toEqual([
      null,
      ["image", "metadata", "services"],
    ]);
    expect((await world.call("/v1/apps/none/machines")).status).toBe(404);
    expect((await world.call("/v1/apps/demo/machines/none")).status).toBe(404);
  });
});

describe("life", () => {
  test("start, suspend and stop go through their states", async () => {
    await using world = await startWorld();
    const app = world.fly.addApp("demo", { machines: [{ state: "stopped" }] });
    const path = `/v1/apps/demo/machines/${app.machines[0]?.id}`;
    const words = [...app.states];
    for (const [verb, order] of [
      ["start", POST],
      ["suspend", POST],
      ["start", POST],
      ["stop", STOP],
    ] as const) {
      expect((await world.call(`${path}/${verb}`, order)).status).toBe(200);
      words.push(...app.states);
      await world.clock.advance(1_000);
      words.push(...app.states);
    }
    expect(words.join(" ")).toBe(
      "stopped starting started suspending suspended starting started stopping stopped",
    );
    expect(app.machines[0]?.events[0]?.exit).toEqual({ exitCode: 0, requestedStop: true });
    expect(world.fly.violations).toEqual([]);
  });

  test("starts may crash, fail, or find no room", async () => {
    await using world = await startWorld({ noRoomStatus: 409 });
    const app = world.fly.addApp("demo", { machines: [{ state: "stopped" }] });
    app.nextBoots(0, { outcome: "no-room" }, { outcome: "crashes" }, { outcome: "fails" });
    const path = `/v1/apps/demo/machines/${app.machines[0]?.id}/start`;
    const full = await world.call(path, POST);
    expect([full.status, full.body.status]).toEqual([409, "insufficient_capacity"]);
    await world.call(path, POST);
    await world.clock.advance(1_000);
    expect([app.states, app.machines[0]?.events[0]?.exit?.exitCode]).toEqual([["stopped"], 1]);
    await world.call(path, POST);
    await world.clock.advance(1_000);
    expect(app.states).toEqual(["failed"]);
  });

  test("a machine in the wrong state is 412, one in other hands 409", async () => {
    await using world = await startWorld();
    const app = world.fly.addApp("demo");
    const path = `/v1/apps/demo/machines/${app.machines[0]?.id}`;
    const up = await world.call(`${path}/start`, POST);
    expect([up.status, up.body.error]).toEqual([
      412,
      "unable to start machine from current state: 'started'",
    ]);
    app.change(0, { suspendRefusal: 422 });
    expect((await world.call(`${path}/suspend`, POST)).status).toBe(422);
    expect((await world.call(`${path}/lease`)).status).toBe(404);
    app.beginReplacing();
    expect((await world.call(`${path}/lease`)).body.data.owner).toBe("flyctl");
    expect((await world.call(`${path}/stop`, STOP)).status).toBe(409);
    expect((await world.call(`${path}/start`, POST)).status).toBe(409);
    app.endDeploy();
    expect(app.states).toEqual(["started"]);
  });

  test("a wait is answered when the state is there, or with 408 when its time is up", async () => {
    await using world = await startWorld();
    const app = world.fly.addApp("demo", { machines: [{ state: "stopped" }] });
    const path = `/v1/apps/demo/machines/${app.machines[0]?.id}`;
    await world.call(`${path}/start`, POST);
    const waiting = world.call(`${path}/wait?state=started&timeout=60`);
    await until(() => world.fly.api.count("wait") === 1);
    expect(world.fly.api.inFlight).toBe(1);
    await world.clock.advance(1_000);
    expect((await waiting).body).toEqual({ ok: true });
    const vain = world.call(`${path}/wait?state=suspended&timeout=5`);
    await until(() => world.fly.api.count("wait") === 2);
    await world.clock.advance(5_000);
    expect((await vain).status).toBe(408);
    app.setState(0, "stopped");
    expect((await world.call(`${path}/wait?state=stopped&timeout=5`)).status).toBe(400);
  });

  test("who stops what the proxy looks after does what he must not", async () => {
    await using world = await startWorld();
    const app = world.fly.addApp("demo", { machines: [{ autostop: "stop", autostart: true }] });
    await world.call(`/v1/apps/demo/machines/${app.machines[0]?.id}/stop`, STOP);
    expect(world.fly.violations).toHaveLength(1);
  });
});

describe("who may call", () => {
  test("the scheme is that of the token's kind", async () => {
    await using world = await startWorld({ token: "fm2_new" });
    const headers = { accept: "application/json", authorization: "Bearer fm2_new" };
    const answer = await fetch(`${world.fly.apiUrl}/v1/apps?org_slug=personal`, { headers });
    expect([answer.status, world.fly.violations.length]).toEqual([401, 1]);
    expect((await world.call("/v1/apps?org_slug=personal")).status).toBe(200);
    world.fly.setAccepted(false);
    expect((await world.call("/v1/apps?org_slug=personal")).status).toBe(401);
  });

  test.each([null, 7])(
    "three calls of a kind at once, then one a second (Retry-After: %p)",
    async (retryAfterSeconds) => {
      await using world = await startWorld({ isLimited: true, retryAfterSeconds });
      world.fly.addApp("demo");
      world.fly.addApp("other");
      const look = () => world.call("/v1/apps/demo/machines");
      for (let n = 0; n < 3; n += 1) expect((await look()).status).toBe(200);
      const fourth = await look();
      const told = retryAfterSeconds === null ? null : "7";
      expect([fourth.status, fourth.headers.get("retry-after")]).toEqual([429, told]);
      expect((await world.call("/v1/apps/other/machines")).status).toBe(200);
      await world.clock.advance(1_000);
      expect((await look()).status).toBe(200);
      expect((await look()).status).toBe(429);
      expect(world.fly.rateLimited).toBe(2);
    },
  );
});

describe("the proxy", () => {
  test("while no machine runs it answers 502 itself, as Fly", async () => {
    await using world = await startWorld({ listenMs: 500 });
    const app = world.fly.addApp("demo", { machines: [{ state: "stopped" }] });
    const answer = await fetch(app.address);
    expect([answer.status, answer.headers.get("server")]).toEqual([
      502,
      expect.stringMatching(/^Fly\//),
    ]);
    app.start(0);
    await world.clock.advance(1_000);
    expect([app.states, (await fetch(app.address)).status]).toEqual([["started"], 502]);
    await world.clock.advance(500);
    expect(await (await fetch(app.address)).json()).toMatchObject({ app: "demo", instances: 1 });
  });

  test("with autostart a request starts one machine, and waits for it", async () => {
    await using world = await startWorld();
    const auto = { state: "stopped", autostop: "stop", autostart: true } as const;
    const app = world.fly.addApp("demo", { machines: [auto, auto] });
    const answers = [fetch(app.address), fetch(app.address)];
    await until(() => world.fly.router.queued === 2);
    await world.clock.advance(1_000);
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(200);
    expect(app.states).toEqual(["started", "stopped"]);
  });
});
