/** Events for operators, as lists and as streams, and the rows of apps as they change. */

import { describe, expect, test } from "bun:test";
import { createStreams, type StreamSource } from "../src/admin/apps-stream.ts";
import { listenForAdmin } from "../src/admin/listen.ts";
import type { EventName } from "../src/events.ts";
import { type AppsWorld, createAppsWorld } from "./support/apps-world.ts";
import { within } from "./support/pace.ts";
import { awakeAt, sampleApp } from "./support/sample-app.ts";
import { readSentEvents } from "./support/sse-reader.ts";
import { until } from "./support/until.ts";

const STREAM = { headers: { accept: "text/event-stream" } };
const MINUTE = 60_000;

function emit(world: AppsWorld, name: EventName, app = "shop"): void {
  const ref = { provider: "stub", id: app };
  world.bus.emit({ name, app, ref, cause: { kind: "command", detail: "a test" } });
}

function namesIn(body: { events: { name: string }[] }): string[] {
  return body.events.map(({ name }) => name);
}

describe("the list of events", () => {
  async function filled() {
    const world = await createAppsWorld();
    emit(world, "APP_WAKING");
    await world.small.clock.advance(60 * MINUTE);
    emit(world, "APP_STARTED");
    emit(world, "APP_STOPPED", "den");
    return world;
  }

  test.each([
    ["", ["APP_WAKING", "APP_STARTED", "APP_STOPPED"]],
    ["?app=SHOP", ["APP_WAKING", "APP_STARTED"]],
    ["?name=app_stopped,APP_WAKING", ["APP_WAKING", "APP_STOPPED"]],
    ["?since=30m", ["APP_STARTED", "APP_STOPPED"]],
    ["?since=2h", ["APP_WAKING", "APP_STARTED", "APP_STOPPED"]],
    ["?limit=1", ["APP_STOPPED"]],
    ["?limit=0", []],
    ["?app=nobody", []],
  ])("events: GET /__events%s has %p", async (query, names) => {
    await using world = await filled();
    const { status, body } = await world.json(`/__events${query}`);
    expect(status).toBe(200);
    expect(namesIn(body)).toEqual([...names]);
  });

  test("events: a time says since when, and the event of that very moment is among them", async () => {
    await using world = await filled();
    const since = new Date(world.small.clock.now()).toISOString();
    expect(namesIn((await world.json(`/__events?since=${since}`)).body)).toEqual([
      "APP_STARTED",
      "APP_STOPPED",
    ]);
  });

  test("events: those after one are told by its id", async () => {
    await using world = await filled();
    const { body } = await world.json("/__events");
    const { body: rest } = await world.json(`/__events?after=${body.events[0].id}`);
    expect(rest.events).toEqual(body.events.slice(1));
  });

  test("events: what the store does not have yet is told all the same, once", async () => {
    await using world = await filled();
    world.deps.eventStore.list = async () => [];
    expect((await world.json("/__events")).body.events).toHaveLength(3);
  });

  test("events: a store that cannot be read is a problem with 503", async () => {
    await using world = await filled();
    world.deps.eventStore.list = async () => {
      throw new Error("the database is away");
    };
    const { status, body } = await world.json("/__events");
    expect(status).toBe(503);
    expect(body.code).toBe("admin_unavailable");
    expect(JSON.stringify(body)).not.toContain("database");
  });

  test.each([
    ["name=APP_TIRED", "name must be one or several of APP_DISCOVERED"],
    ["since=yesterday", "since must be a time such as"],
    ["limit=10001", "limit must be a whole number from 0 to 10000"],
    ["limit=-1", "limit must be a whole number from 0 to 10000"],
  ])("events: GET /__events?%s is a problem", async (query, detail) => {
    await using world = await filled();
    for (const init of [{}, STREAM]) {
      const { status, body } = await world.json(`/__events?${query}`, init);
      expect(status).toBe(400);
      expect(body.detail).toStartWith(detail);
    }
  });
});

describe("the stream of events", () => {
  test("stream: who comes for the first time gets what happens from then on", async () => {
    await using world = await createAppsWorld();
    emit(world, "APP_WAKING");
    const answer = await world.ask("/__events", STREAM);
    expect(answer.headers.get("content-type")).toStartWith("text/event-stream");
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const events = readSentEvents(answer);
    const next = events.next();
    await world.small.clock.advance(0);
    emit(world, "APP_STARTED");
    expect(await next).toMatchObject({
      name: "event",
      id: expect.any(String),
      data: { name: "APP_STARTED", app: "shop", cause: "a test" },
    });
    await events.leave();
  });

  test("stream: who comes back gets what was missed, each event once, and then what happens", async () => {
    await using world = await createAppsWorld();
    const first = readSentEvents(await world.ask("/__events?since=1h", STREAM));
    emit(world, "APP_WAKING");
    const seen = await first.next();
    await first.leave();
    emit(world, "APP_STARTED");
    emit(world, "APP_STOPPED");
    const headers = { ...STREAM.headers, "last-event-id": seen?.id ?? "" };
    const again = readSentEvents(await world.ask("/__events?since=1h", { headers }));
    expect((await again.next())?.data.name).toBe("APP_STARTED");
    expect((await again.next())?.data.name).toBe("APP_STOPPED");
    emit(world, "APP_CRASHED");
    expect((await again.next())?.data.name).toBe("APP_CRASHED");
    await again.leave();
  });

  test("stream: what happens while the past is read is neither lost nor told twice", async () => {
    await using world = await createAppsWorld();
    emit(world, "APP_WAKING");
    const list = world.deps.eventStore.list;
    world.deps.eventStore.list = async (filter) => {
      emit(world, "APP_STARTED");
      return await list(filter);
    };
    const events = readSentEvents(await world.ask("/__events?since=1h", STREAM));
    expect((await events.next())?.data.name).toBe("APP_WAKING");
    expect((await events.next())?.data.name).toBe("APP_STARTED");
    emit(world, "APP_STOPPED");
    expect((await events.next())?.data.name).toBe("APP_STOPPED");
    await events.leave();
  });

  test("stream: it is filtered like the list", async () => {
    await using world = await createAppsWorld();
    const path = "/__events?app=den&name=APP_STOPPED";
    const events = readSentEvents(await world.ask(path, STREAM));
    const next = events.next();
    await world.small.clock.advance(0);
    emit(world, "APP_STOPPED", "shop");
    emit(world, "APP_WAKING", "den");
    emit(world, "APP_STOPPED", "den");
    expect((await next)?.data).toMatchObject({ app: "den", name: "APP_STOPPED" });
    await events.leave();
  });

  test("stream: a quiet one says now and then that it is still there", async () => {
    await using world = await createAppsWorld();
    const answer = await world.ask("/__events", STREAM);
    const reader = answer.body?.getReader();
    const read = async () => new TextDecoder().decode((await reader?.read())?.value);
    expect(await read()).toBe("retry: 2000\n\n");
    const next = read();
    await world.small.clock.advance(15_000);
    expect(await next).toBe(": still here\n\n");
    await reader?.cancel();
    expect(world.small.clock.pending()).toBeLessThan(5);
  });

  test("stream: it ends when the program stops, and no other is opened", async () => {
    await using world = await createAppsWorld();
    const events = readSentEvents(await world.ask("/__events", STREAM));
    const next = events.next();
    await world.small.clock.advance(0);
    world.stop();
    expect(await next).toBeNull();
    expect((await world.json("/__events", STREAM)).body.code).toBe("admin_busy");
  });

  test("stream: who lags behind by more than is kept is cut off, and comes back without loss", async () => {
    await using world = await createAppsWorld();
    const slow = readSentEvents(await world.ask("/__events?since=1h", STREAM));
    emit(world, "APP_WAKING");
    const seen = await slow.next();
    for (let count = 0; count < 1500; count += 1) emit(world, "APP_STARTED", `app-${count}`);
    let last = seen;
    for (let one = await slow.next(); one !== null; one = await slow.next()) last = one;
    const headers = { ...STREAM.headers, "last-event-id": last?.id ?? "" };
    const again = readSentEvents(await world.ask("/__events", { headers }));
    let count = 0;
    while (count < 1500 && (await again.next()) !== null) count += 1;
    expect(count).toBe(1500);
    await again.leave();
  });

  test("stream: nothing is made for who reads nothing", async () => {
    await using world = await createAppsWorld();
    const socketPath = `${world.folder}/slow.sock`;
    const streams = createStreams(world.deps);
    let made = 0;
    const source: StreamSource = {
      open: () => undefined,
      close: () => undefined,
      next() {
        made += 1;
        return "x".repeat(10_000);
      },
    };
    const handle = async () => streams.open(source) ?? new Response("full", { status: 503 });
    const listener = await listenForAdmin({ socketPath, handle });
    let received = 0;
    const socket = await Bun.connect({
      unix: socketPath,
      socket: {
        data(self, data) {
          received += data.length;
          self.pause();
        },
      },
    });
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until(() => received > 0);
    for (let turn = 0; turn < 2000; turn += 1) await new Promise(setImmediate);
    expect(made).toBeLessThan(500);
    socket.terminate();
    await until(() => streams.count() === 0);
    await listener.close();
  });

  test("stream: so many at once, and no more; who leaves makes room", async () => {
    await using world = await createAppsWorld();
    const open = async () => readSentEvents(await world.ask("/__events", STREAM));
    const streams = await Promise.all(Array.from({ length: 100 }, open));
    for (const one of streams) void one.next();
    await world.small.clock.advance(0);
    const refused = await world.ask("/__events", STREAM);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: "admin_busy" });
    for (const one of streams) await one.leave();
    expect((await world.ask("/__events", STREAM)).status).toBe(200);
  });

  test("stream: a client that goes away over its socket is forgotten", async () => {
    await using world = await createAppsWorld();
    const socketPath = `${world.folder}/admin.sock`;
    const handle = (request: Request) =>
      world.ask(request.url.slice("http://localhost".length), {
        method: request.method,
        headers: request.headers,
      });
    const listener = await listenForAdmin({ socketPath, handle });
    let listeners = 0;
    const { subscribe } = world.bus;
    world.bus.subscribe = (listener) => {
      listeners += 1;
      const end = subscribe(listener);
      return () => {
        listeners -= 1;
        end();
      };
    };
    const leaving = new AbortController();
    const answer = await fetch("http://localhost/__events", {
      ...STREAM,
      unix: socketPath,
      signal: leaving.signal,
    });
    const first = answer.body?.getReader().read();
    await first;
    expect(listeners).toBe(1);
    leaving.abort();
    await until(() => listeners === 0);
    await listener.close();
  });

  test("stream: what is asked for with HEAD opens none", async () => {
    await using world = await createAppsWorld();
    for (let count = 0; count < 150; count += 1) {
      expect((await world.ask("/__events", { ...STREAM, method: "HEAD" })).status).toBe(200);
    }
    expect((await world.ask("/__events", STREAM)).status).toBe(200);
  });
});

describe("the rows of apps as they change", () => {
  async function following(count = 2) {
    const world = await createAppsWorld();
    for (let index = 0; index < count; index += 1) {
      world.small.core.table.add(sampleApp(`app-${index}`));
    }
    world.small.add("shop", { state: awakeAt("shop") });
    const rows = readSentEvents(await world.ask("/__apps/stream", STREAM));
    return { world, rows, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
  }

  const keysIn = (data: { apps: { key: string }[] }) => data.apps.map(({ key }) => key);

  test("rows: first all apps, then those that have changed", async () => {
    await using one = await following();
    const { rows, world } = one;
    const first = await rows.next();
    expect(first).toMatchObject({ name: "snapshot", data: { gone: [] } });
    expect(keysIn(first?.data)).toEqual(["app-0", "app-1", "shop"]);
    const next = rows.next();
    await world.post("/__apps/shop/sleep");
    await world.small.clock.advance(250);
    const changed = await next;
    expect(changed).toMatchObject({
      name: "apps",
      data: { apps: [{ key: "shop", phase: "asleep" }] },
    });
    await rows.leave();
  });

  test("rows: many changes between two looks are one row", async () => {
    await using one = await following();
    const { rows, world } = one;
    await rows.next();
    const app = world.small.core.table.byKey("app-0");
    if (app === null) throw new Error("there is no such app");
    const next = rows.next();
    for (let times = 0; times < 50; times += 1) {
      world.small.core.activity.begin(app);
      world.small.core.activity.end(app);
    }
    await world.small.clock.advance(1000);
    const changed = await next;
    expect(keysIn(changed?.data)).toEqual(["app-0"]);
    await rows.leave();
  });

  test("rows: an app that is gone is told of by provider and id", async () => {
    await using one = await following();
    const { rows, world } = one;
    await rows.next();
    const next = rows.next();
    const app = world.small.core.table.byKey("app-1");
    if (app !== null) world.small.core.table.remove(app);
    await world.small.clock.advance(250);
    expect((await next)?.data).toEqual({ apps: [], gone: ["stub/app-1"] });
    await rows.leave();
  });

  test("rows: two thousand apps cost little: quiet ones nothing is sent of, busy ones in turns", async () => {
    await using one = await following(2000);
    const { rows, world } = one;
    const first = await rows.next();
    expect(first?.data.apps).toHaveLength(2001);
    const { activity, table } = world.small.core;
    for (const app of table.all()) activity.begin(app);
    const startMs = performance.now();
    const seen = new Set<string>();
    const reading = (async () => {
      while (seen.size < 2001) for (const key of keysIn((await rows.next())?.data)) seen.add(key);
    })();
    await world.small.clock.advance(5000);
    await reading;
    expect(performance.now() - startMs).toBeLessThan(within(4000));
    await rows.leave();
  });

  test("rows: nobody looks at apps while nobody follows", async () => {
    await using world = await createAppsWorld();
    const before = world.small.clock.pending();
    const rows = readSentEvents(await world.ask("/__apps/stream", STREAM));
    await rows.next();
    expect(world.small.clock.pending()).toBeGreaterThan(before);
    await rows.leave();
    await until(() => world.small.clock.pending() === before);
  });

  test("rows: an app that is called stream has its details", async () => {
    await using world = await createAppsWorld();
    world.small.add("stream");
    expect((await world.json("/__apps/stream")).body).toMatchObject({
      key: "stream",
      phase: "asleep",
    });
  });
});
