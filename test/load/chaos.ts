/**
 * Several instances under load while things go wrong on purpose:
 * `bun test/load/chaos.ts [--seconds 180] [--rate 500] [--instances 3] [--seed n] [--logs folder]`.
 * Every answer is checked. Failures are told by cause; whatever nobody caused is a fault: exit status 1.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createChance } from "../support/random.ts";
import { until } from "../support/until.ts";
import { runClients } from "./chaos-clients.ts";
import { runFaults } from "./chaos-faults.ts";
import { ALL_APPS, MARK, startWorld, type World } from "./chaos-world.ts";

const WEBSOCKETS = 9;
/** After failures in a row an app is tried again within a minute, and then needs a moment to start and to idle, ms. */
const SETTLED_MS = 100_000;

interface Settings {
  readonly seconds: number;
  readonly rate: number;
  readonly instances: number;
  readonly seed: number;
  /** Folder for what each instance has said; `null`: nowhere. */
  readonly logs: string | null;
}

function readSettings(): Settings {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "180" },
      rate: { type: "string", default: "500" },
      instances: { type: "string", default: "3" },
      seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
      logs: { type: "string" },
    },
  });
  return {
    seconds: Number(values.seconds),
    rate: Number(values.rate),
    instances: Number(values.instances),
    seed: Number(values.seed),
    logs: values.logs ?? null,
  };
}

async function main(): Promise<boolean> {
  const settings = readSettings();
  const { seconds, rate, instances, seed } = settings;
  console.log(`chaos: seed ${seed}, ${seconds} s, ${rate} requests/s, ${instances} instances`);
  await using world = await startWorld(instances, createChance(seed));
  // What goes wrong does not depend on how many requests there were.
  const faultWorld = Object.assign(Object.create(world) as World, {
    chance: createChance(seed + 1),
  });
  const clients = runClients(world, { perSecond: rate, websockets: WEBSOCKETS });
  const faults = runFaults(faultWorld);
  await Bun.sleep(seconds * 1_000);
  world.isOver = true;
  await faults;
  await clients;
  await attempt(world, "all instances agree that all apps sleep", () => untilAllSleep(world));
  await attempt(world, "no process is left of any app", () => until(() => left() === 0, 5_000));
  for (const what of world.docker.violations) world.tally.fault(`platform: ${what}`);
  lookAtLogs(world);
  if (settings.logs !== null) keepLogs(world, settings.logs);
  return report(world, settings) === 0;
}

/** Nobody uses anything any more: all is as it should be when everything has come to rest. */
async function untilAllSleep({ instances }: World): Promise<void> {
  await instances.untilTogether();
  const sleeping = ALL_APPS.filter((key) => key !== "switched");
  let awake: string[] = [];
  const look = async () => {
    const states = instances.all.flatMap((one) =>
      sleeping.map(async (key) => `${key} is ${await one.stateOf(key)} at ${one.name}`),
    );
    awake = (await Promise.all(states)).filter((state) => !/ is (asleep|failed) at /.test(state));
    return awake.length === 0;
  };
  await until(look, SETTLED_MS).catch(() => {
    throw new Error(awake.join(", "));
  });
}

/** Processes of apps that still run. */
function left(): number {
  const listed = Bun.spawnSync(["pgrep", "-f", `load-app.ts ${MARK}`]).stdout.toString();
  return listed.split("\n").filter(Boolean).length;
}

async function attempt(world: World, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
    console.log(`${what}: yes`);
  } catch (error) {
    world.tally.fault(`${what}: no (${error instanceof Error ? error.message : error})`);
  }
}

/** A promise that nobody caught, an endpoint that broke: mistakes of ours, whatever goes wrong around us. */
function lookAtLogs({ instances, tally }: World): void {
  for (const { name, lines } of instances.all) {
    for (const line of lines) {
      const isMistake = line.msg.includes("please report it") || line.level === "fatal";
      if (isMistake || JSON.stringify(line).includes("WRONG:")) {
        tally.fault(`${name}: ${JSON.stringify(line)}`);
      }
    }
  }
}

function keepLogs({ instances }: World, folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const { name, lines } of instances.all) {
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
    writeFileSync(join(folder, `${name.replace(" ", "-")}.log`), text);
  }
}

function report({ instances, requests, tally }: World, settings: Settings): number {
  for (const [kind, count] of tally.rows()) console.log(`${String(count).padStart(9)}  ${kind}`);
  const lines = instances.all.flatMap((one) => one.lines);
  for (const event of ["APP_STARTED", "APP_STOPPED", "APP_STOP_CANCELLED", "APP_CRASHED"]) {
    const count = lines.filter((line) => line.event === event).length;
    console.log(`${String(count).padStart(9)}  ${event}`);
  }
  const failed = tally
    .rows()
    .filter(([kind]) => kind.startsWith("failed: "))
    .reduce((total, [, count]) => total + count, 0);
  console.log(
    `${requests} requests, ${tally.right} answered rightly, ${failed} failed by somebody's doing`,
  );
  console.log(`${tally.faultCount} unexplained; seed ${settings.seed}`);
  return tally.faultCount;
}

const isGood = await main();
process.exit(isGood ? 0 : 1);
