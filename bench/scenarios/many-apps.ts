/** Ten thousand apps: what finding one costs, what a sweep takes, how much memory they need. */

import { createRouter } from "../../src/router.ts";
import type { Bench, Scenario } from "../bench-world.ts";
import type { Running } from "../contenders/contender.ts";
import { type Engine, startPaastis } from "../contenders/paastis.ts";
import { startFilesUpstream } from "../files-upstream.ts";
import { checkAnswer } from "../load.ts";
import { CONTENDER_CORE, freePort } from "../machine.ts";
import { admin, metricsOf, TOKEN, untilReady } from "../paastis-admin.ts";
import type { Sample } from "../sample.ts";
import { measureOnce, type PlainLoad, warmUp } from "./throughput.ts";

const APPS = 10_000;
const ENGINE: Engine = "socket";

/** The scenario. */
export const manyApps: Scenario = {
  name: "many-apps",
  title: "Ten thousand apps against one: requests spread over all of them, a sweep, memory",
  async run(bench) {
    await using upstream = startFilesUpstream(bench, [1]);
    const samples: Sample[] = [];
    await using stack = new AsyncDisposableStack();
    const worlds = [];
    for (const count of [1, APPS]) {
      const world = stack.use(await start(bench, count, upstream.port));
      const bytes = upstream.answers.get("/1k")?.bytes ?? new Uint8Array();
      const host = `h${count - 1}.example`;
      const url = `http://127.0.0.1:${world.port}/1k`;
      await checkAnswer(url, { bytes, mayLoseLength: false, host }, world.process?.whyEnded);
      samples.push(await sweepOf(world, count));
      worlds.push({ world, count });
    }
    for (const { world, count } of worlds) await warmUp(world, plainOf(count));
    for (let round = 0; round < bench.pick(3, 4); round += 1) {
      for (const { world, count } of worlds) {
        samples.push(await measureOnce(world, plainOf(count), bench.pick(1, 2)));
      }
    }
    return [...samples, lookUp(1), lookUp(APPS)];
  },
};

function plainOf(count: number): PlainLoad {
  const manner = ["hosts", String(count)];
  return { name: nameOf(count), path: "/1k", connections: 100, manner };
}

function nameOf(count: number): string {
  return count === 1 ? "1 app" : `${count} apps`;
}

async function start(
  bench: Bench,
  count: number,
  upstreamPort: number,
): Promise<Running & { readonly startMs: number }> {
  const port = freePort();
  const line = (index: number) => `  h${index}: { targets: ['http://127.0.0.1:${upstreamPort}'] }`;
  const process = startPaastis({
    ...{ core: CONTENDER_CORE, folder: bench.freshFolder("many"), port, engine: ENGINE },
    program: bench.program,
    config: `apps:\n${Array.from({ length: count }, (_, index) => line(index)).join("\n")}\n`,
    environment: { ADMIN_TOKEN: TOKEN, START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 1 1 *" },
  });
  const startMs = await untilReady(port, process);
  const dispose = () => process[Symbol.asyncDispose]();
  return { name: ENGINE, port, process, startMs, [Symbol.asyncDispose]: dispose };
}

/** One to warm up, then one that counts. */
async function sweepOf(
  world: Running & { readonly startMs: number },
  count: number,
): Promise<Sample> {
  const { port, process, startMs } = world;
  await admin(port, "/__sweep", "POST");
  const before = await metricsOf(port, "paastis_sweep_duration_seconds_sum");
  await admin(port, "/__sweep", "POST");
  const sweepMs = ((await metricsOf(port, "paastis_sweep_duration_seconds_sum")) - before) * 1000;
  const residentMb = (process?.residentBytes() ?? Number.NaN) / 1024 ** 2;
  return { load: nameOf(count), subject: ENGINE, values: { sweepMs, startMs, residentMb } };
}

const LOOK_UPS = 1_000_000;

/** The router itself, in this process: from the host to the app, no two after another alike. */
function lookUp(count: number): Sample {
  const apps = new Map(Array.from({ length: count }, (_, index) => [`h${index}`, { index }]));
  const hosts = Array.from({ length: count }, (_, index) => `h${(index * 7919) % count}.example`);
  const router = createRouter({
    find: (key) => apps.get(key) ?? null,
    keyOf: (label) => label,
    defaultKey: null,
  });
  let found = 0;
  const pass = (times: number) => {
    for (let at = 0; at < times; at += 1) {
      if (router.match(hosts[at % count] ?? null).kind === "app") found += 1;
    }
  };
  pass(LOOK_UPS / 10);
  const beganMs = performance.now();
  pass(LOOK_UPS);
  const lookUpNs = ((performance.now() - beganMs) * 1e6) / LOOK_UPS;
  if (found !== LOOK_UPS * 1.1) throw new Error("the router lost an app");
  return { load: nameOf(count), subject: ENGINE, values: { lookUpNs } };
}
