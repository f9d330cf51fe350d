import { describe, expect, test } from "bun:test";
import type { App } from "../src/app.ts";
import { targetOf } from "../src/app.ts";
import {
  BUSY_FOR_MS,
  type BusyAnswer,
  busyVerdict,
  createAskBusy,
  keepAwakeMs,
  noteKeepAwake,
  SILENCES_MAX,
  withBusyCheck,
} from "../src/busy.ts";
import type { HookName } from "../src/hooks.ts";
import { awakeAt, sampleApp, samplePolicy, sampleTarget } from "./support/sample-app.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

test.each([
  ["20m", 1_200_000],
  ["90s", 90_000],
  ["1h30m", 5_400_000],
  ["1d", 86_400_000],
  ["45", 45_000],
  [" 2H ", 7_200_000],
  ["0", 0],
  ["", null],
  ["-5", null],
  ["20 m", null],
  ["soon", null],
  ["1.5h", null],
  ["9999999999", null],
])("Keep-Awake: %j is %j ms", (text, ms) => {
  expect(keepAwakeMs(text)).toBe(ms);
});

test("Keep-Awake: is capped, the newest word counts, and 0 takes it back", () => {
  const app = sampleApp("shop", { policy: samplePolicy({ keepAwakeHeaderMaxMs: 60_000 }) });
  noteKeepAwake(app, "20m", 1000);
  expect(app.ownWord?.untilMs).toBe(61_000);
  noteKeepAwake(app, "5s", 2000);
  expect(app.ownWord?.untilMs).toBe(7000);
  noteKeepAwake(app, "nonsense", 3000);
  expect(app.ownWord?.untilMs).toBe(7000);
  noteKeepAwake(app, "0", 3000);
  expect(app.ownWord).toBeNull();
});

test("Keep-Awake: says nothing for an app whose rules do not allow it", () => {
  const app = sampleApp("shop");
  noteKeepAwake(app, "20m", 1000);
  expect(app.ownWord).toBeNull();
});

test.each<[BusyAnswer, number, boolean]>([
  [{ kind: "status", status: 200 }, 0, true],
  [{ kind: "status", status: 204 }, 0, false],
  [{ kind: "status", status: 404 }, 0, false],
  [{ kind: "status", status: 503 }, 0, false],
  [{ kind: "silence", saw: "no answer" }, 1, true],
  [{ kind: "silence", saw: "no answer" }, SILENCES_MAX, true],
  [{ kind: "silence", saw: "no answer" }, SILENCES_MAX + 1, false],
])("busy: %j, silent %d times in a row, is busy: %j", (answer, silences, isBusy) => {
  expect(busyVerdict(answer, silences, "/busy").isBusy).toBe(isBusy);
});

const policy = samplePolicy({ busyUrl: "/busy" });

/** An app under a check whose answers are scripted, and what became of its hooks. */
function checked(answers: BusyAnswer[], changes: Partial<App> = {}) {
  const ran: HookName[] = [];
  const givenUp: string[] = [];
  const app = sampleApp("shop", {
    state: awakeAt("shop"),
    lastTarget: sampleTarget("shop"),
    policy,
    ...changes,
  });
  let asked = 0;
  const hooks = withBusyCheck(
    {
      async run(name) {
        ran.push(name);
        return { ok: true };
      },
      runLater: (name) => ran.push(name),
      close: async () => undefined,
    },
    {
      async ask() {
        asked += 1;
        return answers.shift() ?? { kind: "status", status: 404 };
      },
      clock: { now: () => 5000 },
      onGivenUp: (_, why) => givenUp.push(why),
    },
  );
  const run = (name: HookName = "beforeStop") => hooks.run(name, { app, reason: "", upstream: "" });
  return { app, run, ran, givenUp, asked: () => asked };
}

describe("busy: before a stop", () => {
  test("an app that is busy says no before its hook is run, and is left alone for a minute", async () => {
    const world = checked([{ kind: "status", status: 200 }]);
    expect(await world.run()).toEqual({
      ok: false,
      why: "it is busy: status 200 from /busy",
      isBusy: true,
    });
    expect(world.ran).toEqual([]);
    expect(world.app.ownWord?.untilMs).toBe(5000 + BUSY_FOR_MS);
  });

  test("what it said of a longer time still holds", async () => {
    const ownWord = { saidMs: 0, untilMs: 1e9, by: "its header" };
    const world = checked([{ kind: "status", status: 200 }], { ownWord });
    await world.run();
    expect(world.app.ownWord).toEqual(ownWord);
  });

  test("one that is not busy goes on to its hook", async () => {
    const world = checked([{ kind: "status", status: 404 }]);
    expect(await world.run()).toEqual({ ok: true });
    expect(world.ran).toEqual(["beforeStop"]);
  });

  test("silence counts as busy three times in a row, then no longer, and an answer begins anew", async () => {
    const silence: BusyAnswer = { kind: "silence", saw: "connection refused" };
    const isOk = async () => (await world.run()).ok;
    const world = checked([
      silence,
      silence,
      { kind: "status", status: 404 },
      silence,
      silence,
      silence,
      silence,
      silence,
    ]);
    expect(await isOk()).toBe(false);
    expect(await isOk()).toBe(false);
    expect(await isOk()).toBe(true);
    expect(world.givenUp).toEqual([]);
    for (let time = 0; time < 3; time += 1) expect(await isOk()).toBe(false);
    expect(await isOk()).toBe(true);
    expect(world.givenUp).toHaveLength(1);
    expect(world.givenUp[0]).toContain("connection refused");
    expect(await isOk()).toBe(false);
  });

  test("other hooks, and apps without the setting, are asked nothing", async () => {
    const world = checked([]);
    await world.run("beforeStart");
    expect(world.asked()).toBe(0);
    const plain = checked([], { policy: samplePolicy() });
    await plain.run();
    expect(plain.asked()).toBe(0);
    expect(plain.ran).toEqual(["beforeStop"]);
  });
});

describe("busy: over HTTP", () => {
  const clock = createVirtualClock();
  const ask = createAskBusy({ fetch, clock });
  const app = sampleApp("shop", { policy });

  test("a path is asked at the app's own target, with its own Host", async () => {
    const seen: string[] = [];
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        seen.push(`${request.headers.get("host")} ${new URL(request.url).pathname}`);
        return new Response("working", { status: 200 });
      },
    });
    const target = { ...targetOf(`http://127.0.0.1:${server.port}`), host: "shop.internal" };
    expect(await ask({ url: "/jobs/busy", target, app })).toEqual({ kind: "status", status: 200 });
    expect(seen).toEqual(["shop.internal /jobs/busy"]);
  });

  test("a redirect is followed nowhere, and is not busy", async () => {
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => Response.redirect("http://127.0.0.1:1/"),
    });
    const target = targetOf(`http://127.0.0.1:${server.port}`);
    expect(await ask({ url: "/", target, app })).toEqual({ kind: "status", status: 302 });
  });

  test("nobody there is a silence, in words", async () => {
    const target = targetOf("http://127.0.0.1:1");
    expect(await ask({ url: "/", target, app })).toEqual({
      kind: "silence",
      saw: "connection refused: nothing listens there",
    });
  });

  test("who takes longer than 5 s is silent", async () => {
    const { promise, resolve } = Promise.withResolvers<Response>();
    const entered = Promise.withResolvers<void>();
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch() {
        entered.resolve();
        return promise;
      },
    });
    const answer = ask({ url: "/", target: targetOf(`http://127.0.0.1:${server.port}`), app });
    await entered.promise;
    await clock.advance(5000);
    expect(await answer).toEqual({ kind: "silence", saw: "no answer within 5 s" });
    resolve(new Response());
  });
});
