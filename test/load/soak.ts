/**
 * Full load on the running program, with aborts, sleeps, wakes and crashes:
 * `bun test/load/soak.ts [--seconds 60] [--seed n] [--engine socket|fetch]`.
 * Every answer is checked byte by byte against what was asked. Exit status 1 at any fault.
 */

import { parseArgs } from "node:util";
import { createChance } from "../support/random.ts";
import { until } from "../support/until.ts";
import { createNoise } from "./noise.ts";
import { type Program, startProgram } from "./program.ts";
import {
  type Client,
  connectsAnew,
  halfCloses,
  isSlow,
  keepsAlive,
  leaves,
  pipelines,
} from "./soak-clients.ts";
import { createTally } from "./soak-tally.ts";
import { talks } from "./soak-websocket.ts";
import {
  ALL_APPS,
  APPS,
  HANG_MS,
  killOne,
  pidOf,
  reportHanging,
  type World,
} from "./soak-world.ts";

/** How long the load runs before memory and descriptors are looked at, s. */
const WARM_UP_SECONDS = 5;

/**
 * How much more memory than after the warm-up may be resident at rest. Without a leak 86 to 130 MB were seen at
 * rest, less at the end as often as more; over the 150,000 requests of a minute, 230 bytes each would exceed it.
 */
const GROWTH_MAX_BYTES = 32 * 1_048_576;

/** Those that listen: for clients, and for admin requests. */
const SOCKETS_AT_REST = 2;

/** After failures in a row an app is tried again within a minute, and then needs a moment to start, ms. */
const LONGEST_PAUSE_MS = 90_000;

/** How many of each kind are on their way at a time; `null`: not on the fetch engine, which cannot. */
const CROWD: readonly (readonly [client: Client, count: number, onFetch: boolean])[] = [
  [keepsAlive, 24, true],
  [connectsAnew, 8, true],
  [pipelines, 6, false],
  [isSlow, 6, true],
  [leaves, 10, true],
  [halfCloses, 4, false],
  [talks, 8, true],
];

interface Settings {
  readonly seconds: number;
  readonly seed: number;
  readonly engine: string;
}

function readSettings(): Settings {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "60" },
      seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
      engine: { type: "string", default: "socket" },
    },
  });
  return { seconds: Number(values.seconds), seed: Number(values.seed), engine: values.engine };
}

async function main(): Promise<boolean> {
  const settings = readSettings();
  console.log(`soak: seed ${settings.seed}, ${settings.seconds} s, engine ${settings.engine}`);
  await using program = await startProgram({
    apps: ALL_APPS,
    env: {
      ENGINE: settings.engine,
      START_AND_STOP_MAX_IDLE_TIME: "0",
      // So that some requests come while their app is about to be stopped.
      HOOKS_BEFORE_STOP: "sleep 0.1",
    },
  });
  const world: World = {
    port: program.port,
    noise: createNoise(),
    chance: createChance(settings.seed),
    tally: createTally(),
    isExact: settings.engine === "socket",
    isOver: false,
    requests: 0,
    killedMs: new Map(),
    waiting: new Set(),
  };
  await runLoad(program, world, { ...settings, seconds: WARM_UP_SECONDS });
  const warm = await lookAtRest(program, world);
  const faultsBefore = world.tally.faultCount;
  world.tally = createTally();
  const load = await runLoad(program, world, settings);
  const rest = await lookAtRest(program, world, warm.rssBytes + GROWTH_MAX_BYTES);
  compare(world, warm, rest);
  const status = await program.stop();
  if (status !== 0) world.tally.fault(`it ended with ${status} when told to stop`);
  return report(program, world, settings, load) + faultsBefore === 0;
}

/** What was seen while the load ran. */
interface Load {
  /** Resident memory, each second. */
  readonly samples: readonly number[];
  readonly cpuSeconds: number;
}

async function runLoad(program: Program, world: World, settings: Settings): Promise<Load> {
  const samples: number[] = [];
  const cpuSeconds = program.cpuSeconds();
  const lives: Promise<void>[] = [];
  const steady = [...APPS.busy, ...APPS.mortal];
  world.isOver = false;
  for (const [client, count, onFetch] of CROWD) {
    if (!onFetch && settings.engine === "fetch") continue;
    for (let n = 0; n < count; n += 1) lives.push(live(world, client, steady));
  }
  for (const app of APPS.napping) lives.push(napping(world, app, settings));
  lives.push(killing(world));
  const endMs = performance.now() + settings.seconds * 1_000;
  while (performance.now() < endMs) {
    await Bun.sleep(1_000);
    samples.push(program.rssBytes());
    reportHanging(world);
  }
  world.isOver = true;
  const hasSettled = await Promise.race([Promise.all(lives), Bun.sleep(HANG_MS + 1_000)]);
  if (hasSettled === undefined) world.tally.fault("not every client came to its end");
  reportHanging(world);
  return { samples, cpuSeconds: program.cpuSeconds() - cpuSeconds };
}

async function live(world: World, client: Client, apps: readonly string[]): Promise<void> {
  while (!world.isOver) await guarded(world, client, world.chance.oneOf(apps));
}

async function guarded(world: World, client: Client, app: string): Promise<void> {
  try {
    await client(world, app);
  } catch (error) {
    world.tally.fault(`a client of ${app}: ${error instanceof Error ? error.stack : error}`);
    await Bun.sleep(100);
  }
}

/** Bursts with rests of about the time after which a sweep puts an app to sleep: some hit the stop itself. */
async function napping(world: World, app: string, { engine }: Settings): Promise<void> {
  const { chance } = world;
  const kinds: Client[] = CROWD.filter(([, , onFetch]) => onFetch || engine === "socket").map(
    ([client]) => client,
  );
  while (!world.isOver) {
    const burst = Array.from({ length: chance.between(1, 12) }, async () => {
      for (let n = chance.between(1, 5); n > 0 && !world.isOver; n -= 1) {
        await guarded(world, chance.oneOf(kinds), app);
      }
    });
    await Promise.all(burst);
    await Bun.sleep(chance.between(0, 2_500));
  }
}

async function killing(world: World): Promise<void> {
  while (!world.isOver) {
    await Bun.sleep(world.chance.between(500, 4_000));
    if (!world.isOver) await killOne(world);
  }
}

/** The program when nobody asks anything of it. */
interface Rest {
  readonly descriptors: readonly string[];
  readonly sockets: number;
  readonly rssBytes: number;
}

/**
 * Each app is woken once more, so that its sleep shows that it has no lease left.
 * @param rssBytesMax is waited for: what is free is given back to the system a moment later
 */
async function lookAtRest(
  program: Program,
  world: World,
  rssBytesMax = Number.POSITIVE_INFINITY,
): Promise<Rest> {
  await attempt(world, "all apps fall asleep: no lease is left", async () => {
    const eventsBefore = program.lines.length;
    for (const app of ALL_APPS) {
      await until(async () => (await pidOf(world, app)) !== null, LONGEST_PAUSE_MS);
    }
    await program.untilAllSleep(eventsBefore);
  });
  // Idle connections of clients have ended by then.
  await attempt(world, "no sockets but the listener's", () =>
    until(() => program.sockets() <= SOCKETS_AT_REST, 15_000),
  );
  await attempt(world, "memory is back", () =>
    until(() => program.rssBytes() <= rssBytesMax, 10_000),
  );
  return {
    descriptors: program.descriptors(),
    sockets: program.sockets(),
    rssBytes: program.rssBytes(),
  };
}

/** After the load everything must be as it was before. */
function compare({ tally }: World, warm: Rest, rest: Rest): void {
  console.log(`at rest: ${describe(warm)} when warm; ${describe(rest)} at the end`);
  if (rest.descriptors.length > warm.descriptors.length) {
    const more = rest.descriptors.filter((what) => !warm.descriptors.includes(what));
    tally.fault(`descriptors that were not there before: ${more.join(", ")}`);
  }
  if (rest.sockets > warm.sockets) tally.fault(`${rest.sockets - warm.sockets} sockets more`);
  const grownBytes = rest.rssBytes - warm.rssBytes;
  if (grownBytes > GROWTH_MAX_BYTES) tally.fault(`memory grew by ${mb(grownBytes)} MB`);
}

function describe({ descriptors, sockets, rssBytes }: Rest): string {
  return `${mb(rssBytes)} MB, ${descriptors.length} descriptors, ${sockets} sockets`;
}

async function attempt(world: World, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
    console.log(`${what}: yes`);
  } catch (error) {
    world.tally.fault(`${what}: no (${error instanceof Error ? error.message : error})`);
  }
}

function mb(bytes: number): string {
  return (bytes / 1_048_576).toFixed(1);
}

function report(program: Program, world: World, settings: Settings, load: Load): number {
  const { tally } = world;
  const errors = program.lines.filter(({ level }) => level === "error" || level === "fatal");
  for (const line of errors) tally.fault(`log: ${JSON.stringify(line)}`);
  const odd = program.lines.filter((line) => JSON.stringify(line).includes("WRONG:"));
  for (const line of odd) tally.fault(`an app: ${JSON.stringify(line)}`);
  if (program.stderr !== "") tally.fault(`stderr: ${program.stderr.slice(0, 2_000)}`);
  for (const [kind, count] of tally.rows()) console.log(`${String(count).padStart(9)}  ${kind}`);
  for (const event of ["APP_STARTED", "APP_STOPPED", "APP_STOP_CANCELLED", "APP_CRASHED"]) {
    console.log(`${String(program.events(event).length).padStart(9)}  ${event}`);
  }
  const perSecond = (tally.right / settings.seconds).toFixed(0);
  const bytes = `${mb(tally.bytes)} MB checked, ${mb(tally.bytes / settings.seconds)} MB/s`;
  console.log(`${tally.right} right answers, ${perSecond}/s, ${bytes}`);
  const busyness = ((load.cpuSeconds / settings.seconds) * 100).toFixed(0);
  console.log(
    `processor time of Paastis: ${load.cpuSeconds.toFixed(1)} s, ${busyness} % of one core`,
  );
  const samples = load.samples.map((bytes) => (bytes / 1_048_576).toFixed(0));
  console.log(`memory each second, MB: ${samples.join(" ")}`);
  console.log(`${tally.faultCount} faults; seed ${settings.seed}`);
  return tally.faultCount;
}

const isGood = await main();
process.exit(isGood ? 0 : 1);
