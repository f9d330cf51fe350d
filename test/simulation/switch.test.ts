/**
 * Thousands of random orders of switches, crashes, pauses, sleeps and restarts against the whole core and its switchboard, under a virtual
 * clock. A failure names its seed: `PAASTIS_SEED=<seed> bun test test/simulation/switch.test.ts` plays that one again.
 */

import { expect, test } from "bun:test";
import { type Chance, createChance } from "../support/random.ts";
import { createVirtualClock, type VirtualClock } from "../support/virtual-clock.ts";
import { createSwitchWorld, KEYS, type Key, type SwitchWorld } from "./switch-world.ts";

/** More with the variable, as before a release. */
const RUNS = Number(process.env.FUZZ_ROUNDS ?? 150);
const STEPS = 30;

/** Plays one life from a seed. @returns what was wrong, or an empty list */
async function play(seed: number): Promise<readonly string[]> {
  const chance = createChance(seed);
  const clock = createVirtualClock();
  const world = await createSwitchWorld({ clock, chance });
  await clock.advance(10);
  for (let step = 0; step < STEPS; step += 1) {
    await act(world, chance);
    await clock.advance(chance.oneOf([0, 1, 10, 100, 500, 1500]));
    world.look();
    if (world.violations.length > 0) return world.violations;
  }
  return await settleDown(world, clock);
}

async function act(world: SwitchWorld, chance: Chance): Promise<void> {
  const key = chance.oneOf(KEYS);
  const version = chance.oneOf(world.versions[key].all);
  const roll = chance.between(1, 100);
  if (roll <= 25) ask(world, chance, key);
  else if (roll <= 28) world.disconnect();
  else if (roll <= 52) world.switchTo(key, version, chance.oneOf([null, null, "a", "b"]));
  else if (roll <= 58) world.crash(key, version);
  else if (roll <= 64) version.isUp ||= key === "shop";
  else if (roll <= 69) version.health = chance.oneOf(["good", "bad", "silent", "flapping"]);
  else if (roll <= 73) version.status = chance.oneOf([200, 200, 500]);
  else if (roll <= 79) world.pause(key, chance.oneOf([null, null, "paused", "maintenance"]));
  else if (roll <= 85) world.sweep();
  else if (roll <= 88) world.commandSleep(key);
  else if (roll <= 91) world.disk.isFull = chance.happens(0.5);
  else if (roll <= 95) await world.restart();
  else await reload(world, chance, key);
}

function ask(world: SwitchWorld, chance: Chance, key: Key): void {
  const count = chance.oneOf([1, 3, 20]);
  for (let n = 0; n < count; n += 1) {
    const isSocket = chance.happens(0.2);
    world.request(key, { serviceMs: isSocket ? 8000 : chance.oneOf([0, 20, 3000]), isSocket });
  }
}

async function reload(world: SwitchWorld, chance: Chance, key: Key): Promise<void> {
  const { rules, declared, versions } = world;
  rules.drain = chance.oneOf(["spread", "keep", "immediate"]);
  rules.windowMs = chance.oneOf([0, 3000, 10_000]);
  rules.drainMs = chance.oneOf([0, 1000, 4000]);
  const roll = chance.between(1, 4);
  if (roll === 1) declared.delete(key);
  if (roll === 2) declared.set(key, chance.oneOf(versions[key].all).port);
  for (const other of KEYS) {
    if (other !== key && !declared.has(other))
      declared.set(other, versions[other].all[0]?.port ?? 0);
  }
  await world.reload();
}

/** Lets everything end, then checks that all is well, and that everybody who asks is served. */
async function settleDown(world: SwitchWorld, clock: VirtualClock): Promise<readonly string[]> {
  world.disk.isFull = false;
  world.den.isSound = true;
  for (const key of KEYS) {
    for (const version of world.versions[key].all) {
      Object.assign(version, { health: "good", status: 200 });
      if (key === "shop") version.isUp = true;
    }
    if (!world.declared.has(key)) world.declared.set(key, world.versions[key].all[0]?.port ?? 0);
  }
  await world.reload();
  await clock.advance(5000);
  for (const key of KEYS) world.pause(key, null);
  await clock.advance(17_000);
  world.look();
  const wrong = [...world.violations];
  for (const [number, fate] of world.fates.entries()) {
    if (fate === "open") wrong.push(`request ${number} was never settled`);
  }
  if (world.held() !== 0) wrong.push(`${world.held()} requests are still held`);
  for (const key of KEYS) {
    const app = world.app(key);
    if (app === null || app.leases !== 0) wrong.push(`${key} has ${app?.leases} leases at the end`);
    world.request(key, { serviceMs: 0, isSocket: false });
  }
  await clock.advance(12_000);
  for (const fate of world.fates.slice(-2)) {
    if (fate !== "served") wrong.push(`a request at the end was ${fate}`);
  }
  return wrong;
}

test(`simulation: ${RUNS} random lives of switched apps keep every invariant`, async () => {
  const replay = process.env.PAASTIS_SEED;
  const first = replay === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(replay);
  const runs = replay === undefined ? RUNS : 1;
  for (let seed = first; seed < first + runs; seed += 1) {
    const wrong = await play(seed);
    if (wrong.length > 0) {
      throw new Error(`replay with PAASTIS_SEED=${seed}\n  ${wrong.slice(0, 10).join("\n  ")}`);
    }
  }
  expect(runs).toBeGreaterThan(0);
}, 240_000);
