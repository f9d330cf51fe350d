/** What Paastis adds to a wake, and what it keeps of those who wait meanwhile. */

import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Bench, Scenario } from "../bench-world.ts";
import { type Answer, connectHttp, type HttpClient, requestOf } from "../clients/http-client.ts";
import { type Engine, startPaastis } from "../contenders/paastis.ts";
import { CONTENDER_CORE, descriptorLimit, freePort, LOAD_CORE } from "../machine.ts";
import type { MeasuredProcess } from "../measured-process.ts";
import { metricsOf, TOKEN, untilReady } from "../paastis-admin.ts";
import { medianOf, type Sample } from "../sample.ts";

const ENGINES: readonly Engine[] = ["socket", "fetch"];

/** Requests that are held at once. */
const HELD = 10_000;
const FIRST_HELD = 200;

/** Longest that all of them may take to get there, ms. */
const PATIENCE_MS = 60_000;

/** The scenario. */
export const wake: Scenario = {
  name: "wake",
  title: "From an app that listens to the first byte, and thousands who wait for that",
  async run(bench) {
    const samples: Sample[] = [];
    for (const engine of ENGINES) samples.push(...(await wakeOneByOne(bench, engine)));
    for (const engine of ENGINES) samples.push(await holdMany(bench, engine));
    return samples;
  },
};

interface World extends AsyncDisposable {
  readonly port: number;
  readonly paastis: MeasuredProcess;
  /** The app does not listen before there is this file. */
  readonly gate: string;
}

async function start(bench: Bench, engine: Engine, keys: readonly string[]): Promise<World> {
  const port = freePort();
  const folder = bench.freshFolder(engine);
  const gate = join(folder, "gate");
  // The app is no part of what is measured: it has the other core.
  const program = join(import.meta.dir, "../wake-app.ts");
  const command = `exec taskset -c ${LOAD_CORE} ${process.execPath} --no-install ${program}`;
  const apps = keys.map(
    (key) => `  ${key}: { command: '${command}', env: { BENCH_GATE: '${gate}' } }`,
  );
  const paastis = startPaastis({
    ...{ core: CONTENDER_CORE, folder, port, engine, program: bench.program },
    config: `apps:\n${apps.join("\n")}\n`,
    environment: { PROVIDER_NAME: "process", HOLD_MAX_MS: "600000", ADMIN_TOKEN: TOKEN },
  });
  await untilReady(port, paastis);
  const dispose = () => paastis[Symbol.asyncDispose]();
  return { port, paastis, gate, [Symbol.asyncDispose]: dispose };
}

/** Each app is woken once, by one request. */
async function wakeOneByOne(bench: Bench, engine: Engine): Promise<Sample[]> {
  const keys = Array.from({ length: bench.pick(3, 12) }, (_, index) => `sleeper-${index}`);
  await using world = await start(bench, engine, keys);
  writeFileSync(world.gate, "");
  const samples: Sample[] = [];
  for (const key of keys) {
    const client = await connectHttp(world.port);
    const answer = await client.ask(requestOf("/", `${key}.example`));
    const addedMs = nowMs() - listeningMsOf(answer);
    client.close();
    samples.push({ load: "one request wakes it", subject: engine, values: { addedMs } });
  }
  return samples;
}

/** The time of the whole machine, ms. */
function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

function listeningMsOf({ status, head }: Answer): number {
  const said = /^x-listening-ms: *([\d.]+)/im.exec(head)?.[1];
  if (status !== 200 || said === undefined) throw new Error(`not woken: ${head}`);
  return Number(said);
}

/** All of them wait for one app; memory counts from the first few on, so that what is there once does not. */
async function holdMany(bench: Bench, engine: Engine): Promise<Sample> {
  await using world = await start(bench, engine, ["sleeper"]);
  const { port, paastis, gate } = world;
  rmSync(gate, { force: true });
  const count = Math.min(HELD, descriptorLimit() - 3_000);
  const answers: Promise<{
    readonly status: number;
    readonly atMs: number;
    readonly fromMs: number;
  }>[] = [];
  const clients: HttpClient[] = [];
  const hold = async (upTo: number) => {
    while (clients.length < upTo) {
      const missing = Math.min(100, upTo - clients.length);
      const batch = await Promise.all(Array.from({ length: missing }, () => connectHttp(port)));
      for (const client of batch) answers.push(answerOf(client));
      clients.push(...batch);
    }
    await untilHeld(port, paastis, upTo);
  };
  await hold(FIRST_HELD);
  const before = paastis.residentBytes("own");
  await hold(count);
  const bytesEach = (paastis.residentBytes("own") - before) / (count - FIRST_HELD);
  if (!existsSync(gate)) writeFileSync(gate, "");
  const all = await Promise.all(answers);
  for (const client of clients) client.close();
  const right = all.filter(({ status }) => status === 200);
  const addedMs = medianOf(right.map(({ atMs, fromMs }) => atMs - fromMs));
  return {
    load: "requests held",
    subject: engine,
    values: { addedMs, bytesEach, requests: count, answered: (right.length / count) * 100 },
  };
}

async function answerOf(client: HttpClient) {
  try {
    const answer = await client.ask(requestOf("/", "sleeper.example"));
    const { status } = answer;
    return { status, atMs: nowMs(), fromMs: status === 200 ? listeningMsOf(answer) : 0 };
  } catch {
    // One that got no answer counts as not answered.
    return { status: 0, atMs: 0, fromMs: 0 };
  }
}

async function untilHeld(port: number, paastis: MeasuredProcess, count: number): Promise<void> {
  const untilMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const held = await metricsOf(port, "paastis_requests_held");
    if (held >= count) return;
    const why = paastis.whyEnded();
    if (why !== null) throw new Error(why);
    if (performance.now() > untilMs) throw new Error(`${held} of ${count} requests are held`);
    await Bun.sleep(50);
  }
}
