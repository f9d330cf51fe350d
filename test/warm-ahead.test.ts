import { expect, test } from "bun:test";
import { readWindows } from "../src/time-words.ts";
import { awakeAt } from "./support/sample-app.ts";
import { createSmallWorld } from "./support/small-world.ts";
import { createStubProvider, heldCall } from "./support/stub-provider.ts";

// The virtual clock starts at 2023-11-14T22:13:20Z.
const reading = readWindows("08:00-19:00 UTC", "UTC");
const keepAwake = "windows" in reading ? reading.windows : [];
const TO_OPENING_MS = Date.parse("2023-11-15T08:00:00Z") - 1_700_000_000_000;
const HOUR_MS = 3_600_000;

test("warm ahead: an app is awake when its window opens, is kept, and sleeps after it", async () => {
  const world = createSmallWorld();
  world.policies.set("shop", { keepAwake });
  const app = world.add("shop", { wakeHistoryMs: [20_000] });
  const end = world.core.warmAhead();
  const sweep = async () => (await world.core.sweeper.sweep()).done;
  await world.clock.advance(TO_OPENING_MS - 60_000);
  expect(app.state.kind).toBe("asleep");
  await world.clock.advance(60_000);
  expect(app.state.kind).toBe("awake");
  const woken = world.events.find(({ name }) => name === "APP_STARTED");
  expect(woken?.cause.detail).toBe("keep_awake is about to begin");
  await sweep();
  await world.clock.advance(10 * HOUR_MS);
  await sweep();
  expect(app.state.kind).toBe("awake");
  await world.clock.advance(HOUR_MS);
  await sweep();
  expect(app.state.kind).toBe("asleep");
  end();
  expect(world.clock.pending()).toBe(0);
});

test("warm ahead: an app that an operator puts to sleep in its window is left asleep until the next", async () => {
  const world = createSmallWorld();
  world.policies.set("shop", { keepAwake });
  const app = world.add("shop", { state: awakeAt("shop") });
  using _ = { [Symbol.dispose]: world.core.warmAhead() };
  await world.clock.advance(TO_OPENING_MS + HOUR_MS);
  const order = {
    cause: { kind: "command", detail: "sleep" },
    drainMs: 0,
    unusedSinceMs: null,
  } as const;
  expect(await world.core.lifecycle.sleep(app, order)).toEqual({ kind: "asleep" });
  await world.clock.advance(HOUR_MS);
  expect(app.state.kind).toBe("asleep");
  await world.clock.advance(24 * HOUR_MS);
  expect(app.state.kind).toBe("awake");
});

test("warm ahead: a window that opens for many wakes five at a time", async () => {
  const provider = createStubProvider();
  const gates = new Map<string, ReturnType<typeof heldCall<{ done: true; target: null }>>>();
  provider.script.wake = (id, _snapshot, signal) => {
    const gate = heldCall<{ done: true; target: null }>();
    gates.set(id, gate);
    return gate.pass(signal);
  };
  const world = createSmallWorld({ provider });
  const keys = Array.from({ length: 12 }, (_, index) => `app${index}`);
  for (const key of keys) {
    world.policies.set(key, { keepAwake });
    world.add(key);
  }
  using _ = { [Symbol.dispose]: world.core.warmAhead() };
  await world.clock.advance(TO_OPENING_MS - 70_000);
  expect(gates.size).toBe(5);
  const [first] = gates.keys();
  if (first === undefined) throw new Error("somebody wakes");
  provider.up.add(first);
  gates.get(first)?.open({ done: true, target: null });
  await world.clock.advance(6000);
  expect(gates.size).toBe(6);
  await world.core.lifecycle.close();
});

test("warm ahead: a wake that fails is tried again, three times in all", async () => {
  const provider = createStubProvider();
  provider.script.wake = async () => {
    throw new Error("no machine is free");
  };
  const world = createSmallWorld({ provider });
  world.policies.set("shop", { keepAwake });
  world.add("shop");
  using _ = { [Symbol.dispose]: world.core.warmAhead() };
  await world.clock.advance(TO_OPENING_MS + HOUR_MS);
  expect(world.eventsOf("shop").filter((name) => name === "APP_START_FAILED")).toHaveLength(3);
});

test("warm ahead: other instances leave it to the one that leads", async () => {
  const { noPeers } = await import("../src/peers.ts");
  const peers = { ...noPeers("second"), whyNotLeader: () => "is left to another instance" };
  const world = createSmallWorld({ deps: { peers } });
  world.policies.set("shop", { keepAwake });
  const app = world.add("shop");
  using _ = { [Symbol.dispose]: world.core.warmAhead() };
  await world.clock.advance(TO_OPENING_MS + HOUR_MS);
  expect(app.state.kind).toBe("asleep");
});

test("warm ahead: an app that an operator ordered awake is woken once after a restart, whatever its rules say", async () => {
  const world = createSmallWorld();
  const always = readWindows("00:00-24:00 UTC", "UTC");
  const windows = "windows" in always ? always.windows : [];
  const forceSleep = windows.map((window) => ({ ...window, mayBeWoken: false }));
  world.policies.set("shop", { forceSleep });
  const untilWallMs = world.clock.wallMs() + HOUR_MS;
  const app = world.add("shop", { keepAwake: { untilWallMs } });
  using _ = { [Symbol.dispose]: world.core.warmAhead() };
  await world.clock.advance(10_000);
  expect(app.state.kind).toBe("awake");
  const woken = world.events.find(({ name }) => name === "APP_STARTED");
  expect(woken?.cause.detail).toBe("an operator keeps it awake");
  world.core.lifecycle.observe(app, { observation: { phase: "asleep", target: null } });
  await world.clock.advance(60_000);
  expect(app.state.kind).toBe("asleep");
});
