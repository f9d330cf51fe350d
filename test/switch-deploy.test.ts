/** Deployments under the virtual clock: the core and the switchboard, and a provider whose versions the test ends. */

import { expect, test } from "bun:test";
import { type App, addressOf, type Target, targetOf } from "../src/app.ts";
import { createEventBus, type PaastisEvent } from "../src/events.ts";
import type { HookResult } from "../src/hooks.ts";
import type { Version, Versions } from "../src/providers/provider.ts";
import type { StateFile } from "../src/state-file.ts";
import { switchPolicyFor } from "../src/switch-policy.ts";
import { openSwitchStore } from "../src/switch-store.ts";
import { createSwitchboard } from "../src/switchboard.ts";
import { recordingLog } from "./support/recording-log.ts";
import { awakeAt, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld, type SmallWorld } from "./support/small-world.ts";
import { heldCall } from "./support/stub-provider.ts";
import { settled } from "./support/virtual-clock.ts";

const CAUSE = { kind: "command", detail: "deploy" } as const;
const ORDER = { cause: CAUSE, idempotencyKey: null } as const;
const OLD = "http://shop.test:8080";
const WINDOW_MS = 60_000;

interface Started {
  readonly address: string;
  /** It ends by itself. */
  end(reason: string): void;
}

/** Versions on ports from 20001 on; the first is what the stub provider has up. */
function stubVersions(world: Pick<SmallWorld, "provider">) {
  const alive = new Set([OLD]);
  const started: Started[] = [];
  let active = OLD;
  let onEnd: (reason: string) => boolean = () => false;
  const versions: Versions = {
    async begin(): Promise<Version> {
      const target = targetOf(`http://127.0.0.1:${20_001 + started.length}`);
      const address = addressOf(target);
      const { promise, resolve } = Promise.withResolvers<string>();
      alive.add(address);
      started.push({
        address,
        end(reason) {
          alive.delete(address);
          resolve(reason);
          if (active !== address || onEnd(reason)) return;
          world.provider.report({
            id: "shop",
            observation: { phase: "failed", target: null, reason },
          });
        },
      });
      return {
        target,
        ended: promise,
        output: () => "last words",
        async end() {
          if (active !== address) alive.delete(address);
        },
      };
    },
    adopt(_id, target: Target, tell) {
      active = addressOf(target);
      onEnd = tell;
    },
    async endFormer(_id, spared) {
      const begun = started.at(-1)?.address;
      for (const one of [...alive]) {
        if (one !== active && one !== begun && !spared.has(one)) alive.delete(one);
      }
    },
  };
  return { versions, alive, started, active: () => active };
}

/** A state file in memory, which can be full. */
function memoryFile(content: unknown = null) {
  const disk = { content, isFull: false };
  const file: StateFile = {
    read: () => (disk.content === null ? null : { content: structuredClone(disk.content) }),
    async write(next) {
      await settled();
      if (disk.isFull) throw new Error("the disk is full");
      disk.content = structuredClone(next);
    },
    setAside: (why) => why,
    close: async () => undefined,
  };
  return { disk, file };
}

function createWorld(
  options: {
    readonly content?: unknown;
    readonly state?: App["state"];
    readonly isStartedByOthers?: boolean;
  } = {},
) {
  const { disk, file } = memoryFile(options.content);
  let board: ReturnType<typeof createSwitchboard> | null = null;
  const world = createSmallWorld({ deps: { whyKept: (app) => board?.whyAwake(app) ?? null } });
  const stub = stubVersions(world);
  const { log, lines } = recordingLog();
  const events: PaastisEvent[] = [];
  const bus = createEventBus({ now: world.clock.now, random: () => 0.5, onListenerError: () => 0 });
  bus.subscribe((event) => events.push(event));
  /** Statuses of `/health`; 200 where nothing is said. */
  const health = new Map<string, number>();
  const asked: string[] = [];
  const look = async (url: string | URL | Request) => {
    const { origin } = new URL(String(url));
    asked.push(origin);
    await settled();
    if (!stub.alive.has(origin)) throw Object.assign(new Error("no"), { code: "ECONNREFUSED" });
    return new Response("here", { status: health.get(origin) ?? 200 });
  };
  let ids = 0;
  const defaults = {
    ...{ healthPath: "/health", healthTimeoutMs: 2000, drainMs: 1000, windowMs: WINDOW_MS },
    ...{ checkEveryMs: 5000, failsMax: 3 },
  };
  const made = createSwitchboard({
    ...{ clock: world.clock, random: () => 0.5, log, events: bus },
    lifecycle: world.core.lifecycle,
    store: openSwitchStore({ file, soleApp: null, log }),
    policyOf: ({ key }) => switchPolicyFor({ key, declared: null }, { rules: [], defaults }),
    versionsOf: () => (options.isStartedByOthers === true ? null : stub.versions),
    fetch: Object.assign(look, { preconnect: () => undefined }),
    newId: () => `id-${ids++}`,
    onPause: () => undefined,
    carrier: () => null,
  });
  board = made;
  const app = world.add("shop", {
    state: options.state ?? awakeAt("shop"),
    lastTarget: sampleTarget("shop"),
  });
  made.attend([app]);
  const names = () => events.map(({ name }) => name);
  return { ...world, world, ...stub, board: made, app, disk, health, asked, events, names, lines };
}

function addressNow({ state }: App): string | null {
  return state.kind === "awake" ? addressOf(state.target) : null;
}

/** Lets what needs no more than `ms` happen, and gives the result. */
async function within<T>(
  world: Pick<SmallWorld, "clock">,
  work: Promise<T>,
  ms = 3000,
): Promise<T> {
  let isOver = false;
  const ended = work.finally(() => {
    isOver = true;
  });
  for (let passed = 0; passed < ms && !isOver; passed += 50) await pass(world, 50);
  return await ended;
}

/** Lets time pass, and all happen that takes no time, looks and writes included. */
async function pass(world: Pick<SmallWorld, "clock">, ms: number): Promise<void> {
  await world.clock.advance(ms);
  for (let turn = 0; turn < 10; turn += 1) await settled();
}

test("deploy: the old version lives on until there is no way back, and nobody looks at the new one after that", async () => {
  const it = createWorld();
  const outcome = await within(it, it.board.deploy(it.app, ORDER));
  expect(outcome).toMatchObject({ kind: "switched", entry: { from: OLD, reason: "deploy" } });
  const [v2] = it.started;
  expect(addressNow(it.app)).toBe(v2?.address ?? "");
  expect(it.board.whyAwake(it.app)).toBe("was switched, and may yet be switched back");
  expect(it.board.deskOf(it.app).record.active).toBeNull();
  await pass(it, WINDOW_MS - 5000);
  expect(it.alive).toEqual(new Set([OLD, v2?.address ?? ""]));
  await pass(it, 6000);
  expect(it.alive).toEqual(new Set([v2?.address ?? ""]));
  expect(it.board.whyAwake(it.app)).toBeNull();
  const looks = it.asked.length;
  expect(looks).toBeGreaterThan(5);
  await pass(it, WINDOW_MS);
  expect(it.asked).toHaveLength(looks);
});

test("deploy: what cannot be stored changes nothing, and ends the new version", async () => {
  const it = createWorld();
  it.disk.isFull = true;
  const outcome = await within(it, it.board.deploy(it.app, ORDER));
  expect(outcome).toEqual({ kind: "not-saved", why: "the disk is full", isUncertain: false });
  expect(addressNow(it.app)).toBe(OLD);
  expect(it.alive).toEqual(new Set([OLD]));
  it.disk.isFull = false;
  expect(await within(it, it.board.deploy(it.app, ORDER))).toMatchObject({ kind: "switched" });
});

test("deploy: the end of the new version at the gate ends the wait at once", async () => {
  const it = createWorld();
  it.health.set("http://127.0.0.1:20001", 503);
  const begunMs = it.clock.now();
  const deployed = it.board.deploy(it.app, ORDER);
  await pass(it, 200);
  it.started[0]?.end("exited with status 1 after 0.2 s");
  expect(await within(it, deployed)).toMatchObject({
    kind: "start-failed",
    why: "The new version exited with status 1 after 0.2 s, before it was healthy at /health",
    output: "last words",
  });
  expect(it.clock.now() - begunMs).toBeLessThan(1000);
  expect(addressNow(it.app)).toBe(OLD);
});

test("deploy: the crash of the new version leads back although a wake of it is under way", async () => {
  const it = createWorld();
  const hook = heldCall<HookResult>();
  it.hooks.beforeStart = () => hook.pass(new AbortController().signal);
  await within(it, it.board.deploy(it.app, ORDER));
  const [v2] = it.started;
  // Whoever finds it gone first begins to wake it.
  it.provider.script.observe = async () => ({ phase: "stopping", target: null });
  it.core.lifecycle.targetIsDown(it.app, targetOf(v2?.address ?? ""), CAUSE);
  const woken = it.core.lifecycle.wake(it.app, CAUSE);
  await pass(it, 0);
  expect({ state: it.app.state.kind, isHeld: hook.entered() }).toEqual({
    ...{ state: "waking", isHeld: true },
  });
  v2?.end("exited with status 7 after 3 s");
  await pass(it, 100);
  expect(addressNow(it.app)).toBe(OLD);
  const rolledBack = it.events.find(({ name }) => name === "APP_ROLLED_BACK");
  expect(rolledBack?.reason).toBe("the new version exited with status 7 after 3 s");
  hook.open({ ok: true });
  it.provider.script.wake = async () => ({ done: true, target: targetOf(it.active()) });
  expect(await within(it, woken)).toEqual({ kind: "awake", target: targetOf(OLD) });
  expect(addressNow(it.app)).toBe(OLD);
  expect(it.provider.calls).not.toContain("sleep shop");
  expect(it.world.eventsOf("shop")).not.toContain("APP_CRASHED");
});

test("deploy: the crash of the new version is told where the old one is gone, too", async () => {
  const it = createWorld();
  await within(it, it.board.deploy(it.app, ORDER));
  it.alive.delete(OLD);
  it.started[0]?.end("exited with status 7 after 3 s");
  await pass(it, 5000);
  expect(it.names()).toContain("APP_ROLLBACK_FAILED");
  expect(it.app.state).toMatchObject({ kind: "failed", why: "exited with status 7 after 3 s" });
  expect(it.world.eventsOf("shop")).toContain("APP_CRASHED");
});

test("deploy: a stop that has not reached the app yet is called off", async () => {
  const it = createWorld();
  const hook = heldCall<HookResult>();
  it.hooks.beforeStop = () => hook.pass(new AbortController().signal);
  const order = { cause: CAUSE, drainMs: 0, unusedSinceMs: null };
  const slept = it.core.lifecycle.sleep(it.app, order);
  const deployed = it.board.deploy(it.app, ORDER);
  hook.open({ ok: true });
  expect(await within(it, slept)).toMatchObject({ kind: "kept" });
  expect(await within(it, deployed)).toMatchObject({ kind: "switched", entry: { from: OLD } });
  expect(it.provider.calls).not.toContain("sleep shop");
});

test("deploy: an app that is being stopped is deployed once it has stopped, without a way back", async () => {
  const it = createWorld();
  const stop = heldCall<{ done: true; target: null }>();
  it.provider.script.sleep = (_id, _snapshot, signal) => stop.pass(signal);
  const order = { cause: CAUSE, drainMs: 0, unusedSinceMs: null };
  const slept = it.core.lifecycle.sleep(it.app, order);
  await pass(it, 0);
  expect(it.app.state.kind).toBe("stopping");
  const deployed = it.board.deploy(it.app, ORDER);
  await pass(it, 1000);
  expect(it.started).toEqual([]);
  it.provider.up.delete("shop");
  stop.open({ done: true, target: null });
  expect(await within(it, slept)).toEqual({ kind: "asleep" });
  expect(await within(it, deployed)).toMatchObject({ kind: "switched", entry: { from: null } });
  expect(addressNow(it.app)).toBe("http://127.0.0.1:20001");
  expect(it.board.deskOf(it.app).record.window).toBeNull();
});

test("deploy: an app that leaves paastis.yml at the gate is not deployed", async () => {
  const it = createWorld();
  it.health.set("http://127.0.0.1:20001", 503);
  const deployed = it.board.deploy(it.app, ORDER);
  await pass(it, 200);
  it.board.attend([]);
  it.health.clear();
  expect(await within(it, deployed)).toMatchObject({ kind: "refused" });
  expect(it.alive).toEqual(new Set([OLD]));
});

test("deploy: the same key is deployed once, after a restart, too", async () => {
  const it = createWorld();
  const order = { cause: CAUSE, idempotencyKey: "release-2" };
  const [one, other] = await within(
    it,
    Promise.all([it.board.deploy(it.app, order), it.board.deploy(it.app, order)]),
  );
  expect(one).toBe(other);
  const next = createWorld({ content: it.disk.content });
  expect(await within(next, next.board.deploy(next.app, order))).toMatchObject({
    kind: "switched",
    entry: { id: "id-0" },
  });
  expect(next.started).toEqual([]);
  const target = targetOf("http://127.0.0.1:9000");
  const moved = next.board.switchTo(next.app, { ...order, target, reason: "manual" });
  expect(await within(next, moved)).toEqual({ kind: "key-reused", to: "a new version" });
});

test("deploy: what a run knew of its versions is void for the next one, which says so once", async () => {
  const it = createWorld();
  await within(it, it.board.deploy(it.app, ORDER));
  const { content } = it.disk;
  const asleep = { kind: "asleep", sinceMs: 0 } as const;
  const next = createWorld({ content, state: asleep });
  await pass(next, 100);
  const said = next.lines.filter(({ message }) => message.includes("no way back is open"));
  expect(said).toHaveLength(1);
  expect(next.board.deskOf(next.app).record).toMatchObject({
    active: null,
    window: null,
    drains: [],
  });
  expect(next.asked).toEqual([]);
  const third = createWorld({ content: next.disk.content, state: asleep });
  expect(third.lines.filter(({ message }) => message.includes("no way back"))).toEqual([]);
});

test("deploy: an app that somebody else starts is refused", async () => {
  const it = createWorld({ isStartedByOthers: true });
  const { app, board } = it;
  expect(await board.deploy(app, ORDER)).toEqual({
    kind: "impossible",
    why: "shop is an app of stub, whose new versions somebody else starts: only apps of provider process can be deployed",
  });
});

test("deploy: one at a time, and what follows it is told which is under way", async () => {
  const it = createWorld();
  it.health.set("http://127.0.0.1:20001", 503);
  const first = it.board.deploy(it.app, ORDER);
  await pass(it, 100);
  const to = "http://127.0.0.1:20001";
  const busy = { kind: "busy", running: { id: "id-0", to } };
  expect(await it.board.deploy(it.app, ORDER)).toMatchObject(busy);
  const order = { ...ORDER, target: targetOf("http://127.0.0.1:9000"), reason: "manual" } as const;
  expect(await it.board.switchTo(it.app, order)).toMatchObject(busy);
  it.health.clear();
  expect(await within(it, first)).toMatchObject({ kind: "switched" });
});

test("deploy: the version before the last ends, and the last is the way back", async () => {
  const it = createWorld();
  await within(it, it.board.deploy(it.app, ORDER));
  await within(it, it.board.deploy(it.app, ORDER));
  await pass(it, 1000);
  const [v2, v3] = it.started.map(({ address }) => address);
  expect(it.alive).toEqual(new Set([v2 ?? "", v3 ?? ""]));
  it.started[1]?.end("exited with status 1 after 1 s");
  await pass(it, 500);
  expect(addressNow(it.app)).toBe(v2 ?? "");
});
