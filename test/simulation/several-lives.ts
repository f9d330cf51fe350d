/** Random lives of several instances, played from seeds. */

import type { Chance } from "../support/random.ts";
import { createChance } from "../support/random.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { createVirtualClock } from "../support/virtual-clock.ts";
import type { Machine, ScriptedPlatform, SleepScript, WakeScript } from "./scripted-platform.ts";
import { appOf, createSeveralWorld, type SeveralWorld } from "./several-world.ts";
import { createPlatforms, LABELS, NAMES } from "./world.ts";

const STEPS = 60;
const WAKE_SCRIPTS: readonly WakeScript[] = [
  "quick",
  "slow",
  "refused",
  "crashes",
  "never-answers",
  "operation",
  "lost-answer",
  "lost-call",
];
const SLEEP_SCRIPTS: readonly SleepScript[] = ["fails", "lost-answer", "lost-call", "no-calls"];

/** What may befall the instances of one life, besides what befalls the apps. */
const FAULTS = ["frozen", "cut", "killed", "flushed"] as const;
type FaultKind = (typeof FAULTS)[number];

async function createWorldOf(
  seed: number,
  fixed: { readonly count?: number; readonly delayMs?: number } = {},
) {
  const chance = createChance(seed);
  const clock = createVirtualClock();
  const platforms = createPlatforms({ clock, chance });
  const { count = chance.between(2, 4), delayMs = chance.oneOf([0, 5, 100]) } = fixed;
  const world = createSeveralWorld({ clock, chance, platforms, count, delayMs });
  for (const name of world.names) {
    world.start(name);
    await clock.advance(chance.oneOf([0, 100, 5000]));
  }
  await clock.advance(2500);
  return { world, chance, clock };
}

/** Plays one life from a seed. @returns what was wrong, or an empty list, and all that happened */
export async function playSeveral(
  seed: number,
): Promise<{ readonly wrong: readonly string[]; readonly trace: readonly string[] }> {
  const { world, chance, clock } = await createWorldOf(seed);
  // One life in three is a calm one, in which nothing is excused.
  const faults = FAULTS.filter(() => seed % 3 !== 0 && chance.happens(0.6));
  for (let step = 0; step < STEPS; step += 1) {
    if (faults.length > 0 && chance.happens(0.2)) befall(world, { chance, clock, faults });
    else act(world, chance);
    await clock.advance(chance.oneOf([0, 1, 10, 100, 1000, 5000, 40_000]));
    world.checkLeaders();
  }
  const wrong = await settleDown(world, { clock, faults, isPatient: chance.happens(0.05) });
  return { wrong, trace: world.trace };
}

/** What happens while the leader puts apps to sleep: to it, or to one of the others. */
export const MISHAPS = [
  "frozen",
  "cut",
  "deaf",
  "killed",
  "flushed",
  "nothing",
  "another joins",
  "another is frozen",
  "another is deaf",
] as const;
export type Mishap = (typeof MISHAPS)[number];

/**
 * One stop, and what may come in between: the leader puts idle apps to sleep, something befalls it, and requests come
 * meanwhile at all the others.
 */
export async function playStop(
  seed: number,
  mishap: Mishap,
): Promise<{
  readonly wrong: readonly string[];
  readonly trace: readonly string[];
  /** Stops that were ordered, and such as were sent. */
  readonly stops: { readonly ordered: number; readonly sent: number };
}> {
  const { world, chance, clock } = await createWorldOf(seed);
  const keys = ["beta", "gamma", "app-4"] as const;
  for (const key of keys) world.request(chance.oneOf(world.names), key);
  await clock.advance(30_000);
  for (const name of world.names) world.sweep(name);
  await clock.advance(40_000);
  const leader = world.names.find((name) => world.run(name)?.peers.isLeader()) ?? "a";
  const others = world.names.filter((name) => name !== leader);
  const other = chance.oneOf(others);
  const struck = mishap.startsWith("another") ? other : leader;
  if (mishap === "another joins") {
    world.kill(other);
    await clock.advance(chance.oneOf([2000, 10_000]));
  }
  if (struck === other && mishap !== "another joins") {
    // What it does now, the leader cannot know when it asks.
    clock.after(chance.between(0, 1500), () => {
      world.request(other, chance.oneOf(keys), { serviceMs: 8000 });
      strike(world, other, mishap);
    });
    clock.after(chance.between(1500, 2000), () => {
      world.request(other, chance.oneOf(keys), { serviceMs: 8000 });
    });
    await clock.advance(chance.between(0, 3000));
  }
  world.sweep(leader);
  const count = chance.oneOf([0, 12]);
  for (let n = 0; n < count; n += 1) {
    const atMs = chance.between(0, chance.oneOf([500, 4000, 25_000]));
    const serviceMs = chance.oneOf([0, 500, 5000]);
    const name = chance.oneOf(others);
    clock.after(atMs, () => world.request(name, chance.oneOf(keys), { serviceMs }));
  }
  const [fromMs, untilMs] = [chance.between(0, 2500), chance.between(100, 20_000)];
  clock.after(fromMs, () => strike(world, struck, mishap));
  clock.after(fromMs + untilMs, () => {
    world.thaw(struck);
    world.heal(struck);
    // Whoever was killed stays away: what it had begun is for the others to see to.
    if (mishap === "another joins" && world.run(struck) === null) world.start(struck);
  });
  await clock.advance(90_000);
  const stops = {
    ordered: world.trace.filter((line) => line.includes(" APP_STOPPING ")).length,
    sent: world.trace.filter((line) => line.includes(" sends the stop ")).length,
  };
  // Nothing but what they say to each other ends what the leader had begun.
  const halfDone = world.platforms.flatMap((platform) =>
    others.flatMap((name) => halfDoneAt(world, platform, name)),
  );
  if (world.run(struck) === null) world.start(struck);
  await clock.advance(10_000);
  const wrong = [...halfDone, ...(await settleSoon(world, clock))];
  return { wrong, trace: world.trace, stops };
}

/** A thousand at once, at instances that hear of each other late. */
export async function playRush(seed: number): Promise<{ readonly wrong: readonly string[] }> {
  const { world, chance, clock } = await createWorldOf(seed, { count: 4, delayMs: 100 });
  for (let n = 0; n < RUSH; n += 1) world.request(chance.oneOf(world.names), "gamma");
  await clock.advance(30_000);
  const [first] = world.platforms;
  const wakes = first?.machines.get("gamma")?.wakes;
  const wrong = [...world.violations, ...wrongFates(world)];
  if (wakes !== 1) wrong.push(`gamma was woken ${wakes} times`);
  const unserved = world.fates.filter((fate) => fate !== "served").length;
  if (world.fates.length !== RUSH || unserved > 0) wrong.push(`${unserved} were not served`);
  return { wrong };
}

const RUSH = 1000;

function halfDoneAt(
  world: SeveralWorld,
  platform: ScriptedPlatform,
  name: string,
): readonly string[] {
  const run = world.run(name);
  return [...platform.machines.keys()].flatMap((id) => {
    const kind = run === null ? undefined : appOf(run, platform, id)?.state.kind;
    const isHalfDone = kind === "waking" || kind === "stopping";
    return isHalfDone ? [`${id} is still ${kind} at ${name}`] : [];
  });
}

function strike(world: SeveralWorld, name: string, mishap: Mishap): void {
  if (mishap.endsWith("frozen")) world.freeze(name);
  if (mishap.endsWith("deaf")) world.cut(name, "deaf");
  if (mishap === "cut") world.cut(name, "refused");
  if (mishap === "killed") world.kill(name);
  if (mishap === "flushed") world.flush();
  if (mishap === "another joins") world.start(name);
}

/** The end of a life in which the platforms do what they are told. */
async function settleSoon(world: SeveralWorld, clock: VirtualClock): Promise<readonly string[]> {
  const wrong = [...world.violations, ...wrongLeaders(world), ...wrongFates(world)];
  await sweepTwice(world, clock);
  wrong.push(...world.platforms.flatMap((platform) => wrongAbout(world, platform)));
  return [...wrong, ...(await wrongAtTheEnd(world, clock))];
}

function wrongFates({ fates, held }: SeveralWorld): readonly string[] {
  const open = [...fates.entries()].filter(([, fate]) => fate === "open");
  const wrong = open.map(([number]) => `request ${number} was never settled`);
  return held() === 0 ? wrong : [...wrong, `${held()} requests are still held`];
}

function act(world: SeveralWorld, chance: Chance): void {
  const name = chance.oneOf(world.names);
  const label = chance.oneOf(LABELS);
  const platform = chance.oneOf(world.platforms);
  const machine = chance.oneOf([...platform.machines.values()]);
  const { id } = machine;
  const roll = chance.between(1, 112);
  if (roll <= 36) {
    const count = chance.oneOf([1, 1, 2, 20]);
    for (let n = 0; n < count; n += 1) {
      const serviceMs = chance.oneOf([0, 5, 500, 60_000]);
      const at = chance.happens(0.5) ? name : chance.oneOf(world.names);
      world.request(at, label, { navigation: chance.happens(0.2), serviceMs });
    }
  } else if (roll <= 42) world.disconnect();
  else if (roll <= 64) for (const one of world.names) world.sweep(one);
  else if (roll <= 70) world.commandSleep(name, label, chance.oneOf([0, 1000, 20_000]));
  else if (roll <= 73) world.commandWake(name, label);
  else if (roll <= 77) platform.stopFromOutside(id);
  else if (roll <= 81) platform.startFromOutside(id);
  else if (roll <= 85) platform.crash(id);
  else if (roll <= 94) machine.wakeScript = chance.oneOf(WAKE_SCRIPTS);
  else if (roll <= 98) machine.sleepScript = chance.oneOf(SLEEP_SCRIPTS);
  else if (roll <= 100) machine.deploying = !machine.deploying;
  else if (roll <= 102) platform.listFails = !platform.listFails;
  else if (roll <= 104) world.setNever(chance.oneOf([...NAMES, "gamma"]), chance.happens(0.5));
  else if (roll <= 107) platform.slip(id);
  else if (roll <= 108) platform.remove(id);
  else if (roll <= 110) platform.create(id);
  else machine.isHidden = !machine.isHidden;
}

function befall(
  world: SeveralWorld,
  how: {
    readonly chance: Chance;
    readonly clock: VirtualClock;
    readonly faults: readonly FaultKind[];
  },
): void {
  const { chance, clock, faults } = how;
  const name = chance.oneOf(world.names);
  switch (chance.oneOf(faults)) {
    case "frozen":
      world.freeze(name);
      clock.after(chance.between(10, chance.oneOf([500, 5000, 20_000])), () => world.thaw(name));
      break;
    case "cut": {
      const many = chance.happens(0.3) ? world.names : [name];
      for (const one of many) world.cut(one, chance.oneOf(["refused", "deaf"]));
      const healMs = chance.between(10, chance.oneOf([500, 5000, 30_000]));
      clock.after(healMs, () => {
        for (const one of many) world.heal(one);
      });
      break;
    }
    case "killed":
      if (world.run(name) === null) world.start(name);
      else world.kill(name);
      break;
    case "flushed":
      world.flush();
  }
}

/** Lets everything end, then checks that what each instance holds is what is. */
async function settleDown(
  world: SeveralWorld,
  how: {
    readonly clock: VirtualClock;
    readonly faults: readonly FaultKind[];
    /** It waits for an hour; otherwise all machines sleep for so long. */
    readonly isPatient: boolean;
  },
): Promise<readonly string[]> {
  const { clock, faults, isPatient } = how;
  const machines = world.platforms.flatMap((platform) => [...platform.machines.values()]);
  for (const platform of world.platforms) platform.listFails = false;
  for (const machine of machines) {
    machine.deploying = false;
    machine.isHidden = false;
    machine.wakeScript = "quick";
    machine.sleepScript = "works";
  }
  for (const platform of world.platforms) {
    for (const id of platform.machines.keys()) platform.create(id);
  }
  for (const key of [...NAMES, "gamma"]) world.setNever(key, false);
  for (const name of world.names) {
    world.heal(name);
    world.thaw(name);
    if (world.run(name) === null) world.start(name);
  }
  await clock.advance(100_000);
  // What hangs for ever may be told so for ever: that is not what is tested at the end.
  for (const machine of machines) {
    machine.answersAtMs = Math.min(machine.answersAtMs, clock.now());
  }
  await clock.advance(100_000);
  const wrong = [
    ...world.violations,
    ...wrongCounts(world, machines, faults),
    ...wrongLeaders(world),
  ];
  wrong.push(...wrongFates(world));
  await sweepTwice(world, clock);
  wrong.push(...world.platforms.filter(hasStates).flatMap((one) => wrongAbout(world, one)));
  // Where lists have no states, what is known may be an hour old.
  if (!isPatient) for (const name of world.names) world.freeze(name);
  await clock.advance(61 * 60_000);
  for (const name of world.names) world.thaw(name);
  await clock.advance(10_000);
  await sweepTwice(world, clock);
  wrong.push(...world.platforms.flatMap((platform) => wrongAbout(world, platform)));
  return [...wrong, ...(await wrongAtTheEnd(world, clock))];
}

function hasStates({ listHasState }: ScriptedPlatform): boolean {
  return listHasState;
}

async function sweepTwice(world: SeveralWorld, clock: VirtualClock): Promise<void> {
  for (let sweep = 0; sweep < 2; sweep += 1) {
    for (const name of world.names) world.sweep(name);
    await clock.advance(60_000);
  }
}

function wrongCounts(
  world: SeveralWorld,
  machines: readonly Machine[],
  faults: readonly FaultKind[],
): readonly string[] {
  const told = world.platforms.flatMap(({ violations }) => violations);
  // Who cannot ask the others does not know of a wake whose answer was lost; who takes over from a dead one looks.
  const isDeaf = faults.some((fault) => fault !== "killed");
  // Nobody knows any more what was lost, when those who knew are dead.
  const isLost = faults.includes("killed") && faults.includes("flushed");
  const wrong = told.filter((text) => {
    if (isLost && text.includes("came back as")) return false;
    if (isDeaf && text.endsWith("nobody had looked")) return false;
    // Who does what at once is looked at by the world, which knows of faults.
    return !text.startsWith("two operations");
  });
  for (const { id, wakes, wakesAllowed } of machines) {
    if (wakes > wakesAllowed) {
      wrong.push(`${id} was woken ${wakes} times for ${wakesAllowed} reasons`);
    }
  }
  return wrong;
}

function wrongLeaders(world: SeveralWorld): readonly string[] {
  const leaders = world.names.filter((name) => world.run(name)?.peers.isLeader());
  return leaders.length === 1 ? [] : [`leaders are ${leaders.join(", ") || "nobody"}`];
}

/** Every app is there at every instance, unused, and as all think it is. */
function wrongAbout(world: SeveralWorld, platform: ScriptedPlatform): readonly string[] {
  const views = new Map<string, { targets: Set<string>; snapshots: Set<string> }>();
  const wrong = world.names.flatMap((name) =>
    [...platform.machines.keys()].flatMap((id) => {
      const run = world.run(name);
      const app = run === null ? null : appOf(run, platform, id);
      if (app === null) return [`${id} is lost at ${name}`];
      const wrong: string[] = [];
      const { leases, leasesElsewhere: elsewhere } = app;
      if (leases + elsewhere > 0) {
        wrong.push(`${id} has ${leases} leases at ${name}, and ${elsewhere} elsewhere`);
      }
      const isReachable = run?.core.table.byKey(app.key) === app;
      const isUp = platform.isUp(id);
      if (isReachable && (app.state.kind === "awake") !== isUp) {
        wrong.push(`${id} is ${app.state.kind} at ${name}, but is it up? ${isUp}`);
      }
      if (isReachable) {
        const { state, snapshot } = app;
        // Who has found it anew knows of no snapshot.
        const view = snapshot === null ? "" : JSON.stringify(snapshot);
        const target = state.kind === "awake" ? state.target.origin : "";
        const seen = views.get(id) ?? { targets: new Set(), snapshots: new Set() };
        views.set(id, seen);
        seen.targets.add(target);
        if (view !== "") seen.snapshots.add(view);
      }
      return wrong;
    }),
  );
  const torn = [...views].filter(
    ([, { targets, snapshots }]) => targets.size > 1 || snapshots.size > 1,
  );
  return [
    ...wrong,
    ...torn.map(
      ([id, seen]) => `${id} is seen as ${[...seen.targets, ...seen.snapshots].join(" and ")}`,
    ),
  ];
}

/** And it still works: everybody who asks now is served. */
async function wrongAtTheEnd(world: SeveralWorld, clock: VirtualClock): Promise<readonly string[]> {
  const [fates, told] = [world.fates.length, world.told.length];
  for (const label of LABELS) for (const name of world.names) world.request(name, label);
  await clock.advance(30_000);
  const unserved = world.fates.slice(fates).filter((fate) => fate !== "served");
  const bodies = world.told.slice(told).map((body) => body.replaceAll(/\s+/g, " "));
  return [
    ...unserved.map((fate) => `a request at the end was ${fate}`),
    ...new Set(bodies.map((body) => `told at the end: ${body}`)),
  ];
}
