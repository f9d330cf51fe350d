/** Measures the processor time per request of Paastis and of nginx, under the same load in turns. */

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { checkAnswer, load, type Scenario } from "./load.ts";
import type { MeasuredProcess } from "./measured-process.ts";
import { startNginxProxy, startUpstream } from "./nginx.ts";
import { startPaastis } from "./paastis.ts";
import { excesses, type Measurement, summarize, tableOf } from "./processor-time-report.ts";

const USAGE = `Usage: bun bench/processor-time.ts [options]
  --seconds n          how long each measurement takes (3)
  --rounds n           how often each contender is measured under each load (4)
  --sizes 1,16,64      sizes of the answers, in KB
  --connections 100    connections; 1 KB is measured with --many as well
  --many 500           connections of that further load; 0: leave it out
  --same-only          leave out the loads in which no two requests are alike
  --contenders a,b     of nginx, socket, fetch; nginx is always measured
  --program path       the executable (dist/paastis)
  --json               everything that was measured, as JSON
  --check              status 1 when the socket engine is above its limit`;

/** Contenders have this core to themselves; what loads and answers them has the other. */
const CONTENDER_CORE = 0;
const LOAD_CORE = 1;

/** Highest ratio to nginx's processor time that the socket engine may have. */
const LIMITS: ReadonlyMap<string, number> = new Map([
  ["1 KB x 100", 1.6],
  ["16 KB x 100", 1.6],
  ["64 KB x 100", 1.2],
  ["1 KB x 500", 1.5],
]);

const WARM_UP_SECONDS = 1;

interface Plan {
  readonly seconds: number;
  readonly rounds: number;
  readonly sizes: readonly number[];
  readonly scenarios: readonly Scenario[];
  readonly contenders: readonly string[];
  readonly program: string;
  readonly isJson: boolean;
  readonly isCheck: boolean;
}

interface Contender extends AsyncDisposable {
  readonly name: string;
  readonly origin: string;
  readonly process: MeasuredProcess;
}

function readPlan(): Plan {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "3" },
      rounds: { type: "string", default: "4" },
      sizes: { type: "string", default: "1,16,64" },
      connections: { type: "string", default: "100" },
      many: { type: "string", default: "500" },
      contenders: { type: "string", default: "socket,fetch" },
      program: { type: "string", default: resolve(import.meta.dir, "../dist/paastis") },
      "same-only": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      check: { type: "boolean", default: false },
    },
  });
  const sizes = values.sizes.split(",").map((size) => wholeNumber("--sizes", size));
  const connections = wholeNumber("--connections", values.connections);
  const many = values.many === "0" ? 0 : wholeNumber("--many", values.many);
  const scenarios = sizes.map((size) => scenarioOf(size, connections));
  if (sizes.includes(1)) {
    if (many > 0) scenarios.push(scenarioOf(1, many));
    if (!values["same-only"]) scenarios.push(varied(scenarioOf(1, connections)));
  }
  const named = values.contenders.split(",").filter((name) => name !== "nginx");
  return {
    seconds: wholeNumber("--seconds", values.seconds),
    rounds: wholeNumber("--rounds", values.rounds),
    sizes,
    scenarios,
    contenders: ["nginx", ...named],
    program: resolve(values.program),
    isJson: values.json,
    isCheck: values.check,
  };
}

function wholeNumber(option: string, value: string): number {
  if (/^[1-9]\d{0,5}$/.test(value)) return Number(value);
  throw new Error(`${option} must be a whole number above 0: it is "${value}"`);
}

function scenarioOf(size: number, connections: number): Scenario {
  const name = `${size} KB x ${connections}`;
  return { name, path: `/${size}k`, connections, isVaried: false };
}

/** Whoever remembers the last head gains nothing here: what is remembered shows in the difference. */
function varied(scenario: Scenario): Scenario {
  return { ...scenario, name: `${scenario.name} varied`, isVaried: true };
}

/** How many answers there are to varied requests; `varied-requests.lua` asks for as many. */
const VARIED_FILES = 61;

/** Ports that were free a moment ago. */
function freePorts(count: number): readonly number[] {
  const held = Array.from({ length: count }, () =>
    Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => socket.terminate() },
    }),
  );
  const ports = held.map((listener) => listener.port);
  for (const listener of held) listener.stop(true);
  return ports;
}

/** Bytes that no compression and no mix-up leaves the same. */
function writeFiles(folder: string, sizes: readonly number[]): ReadonlyMap<string, Uint8Array> {
  mkdirSync(folder);
  const files = new Map<string, Uint8Array>();
  for (const size of sizes) {
    const bytes = crypto.getRandomValues(new Uint8Array(size * 1024));
    writeFileSync(join(folder, `${size}k`), bytes);
    files.set(`/${size}k`, bytes);
    for (let index = 0; index < VARIED_FILES; index += 1) {
      // Lengths differ too, and with them the heads of the answers.
      writeFileSync(join(folder, `${size}k-${index}`), bytes.subarray(0, bytes.length - index));
    }
  }
  return files;
}

function startContender(
  name: string,
  world: {
    readonly folder: string;
    readonly port: number;
    readonly upstreamPort: number;
    readonly program: string;
  },
): Contender {
  const { port, upstreamPort, program } = world;
  const place = { core: CONTENDER_CORE, folder: join(world.folder, name), port, upstreamPort };
  const start = () => {
    switch (name) {
      case "nginx":
        return startNginxProxy(place);
      case "socket":
      case "fetch":
        return startPaastis({ ...place, engine: name, program: [program] });
      default:
        throw new Error(`--contenders: "${name}" is none of nginx, socket, fetch`);
    }
  };
  const process = start();
  return {
    name,
    origin: `http://127.0.0.1:${port}`,
    process,
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}

async function measure(
  contender: Contender,
  scenario: Scenario,
  seconds: number,
): Promise<Measurement> {
  const { name, origin, process } = contender;
  const { connections, path, isVaried } = scenario;
  const before = process.processorSeconds();
  const done = await load(`${origin}${path}`, { core: LOAD_CORE, seconds, connections, isVaried });
  const micros = ((process.processorSeconds() - before) / done.requests) * 1e6;
  return { scenario: scenario.name, contender: name, micros, perSecond: done.perSecond };
}

/** In turns, so that what else the machine does meets all of them alike. */
async function measureAll(plan: Plan, contenders: readonly Contender[]): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const scenario of plan.scenarios) {
    for (const contender of contenders) await measure(contender, scenario, WARM_UP_SECONDS);
    for (let round = 0; round < plan.rounds; round += 1) {
      for (const contender of contenders) {
        measurements.push(await measure(contender, scenario, plan.seconds));
      }
    }
  }
  return measurements;
}

async function run(plan: Plan, folder: string): Promise<Measurement[]> {
  // Workers that are not root must reach the files.
  chmodSync(folder, 0o755);
  const files = writeFiles(join(folder, "files"), plan.sizes);
  const [upstreamPort = 0, ...ports] = freePorts(plan.contenders.length + 1);
  await using started = new AsyncDisposableStack();
  started.use(
    startUpstream({
      core: LOAD_CORE,
      folder: join(folder, "upstream"),
      port: upstreamPort,
      files: join(folder, "files"),
    }),
  );
  const contenders: Contender[] = [];
  for (const [index, name] of plan.contenders.entries()) {
    const port = ports[index] ?? 0;
    const world = { folder, port, upstreamPort, program: plan.program };
    contenders.push(started.use(startContender(name, world)));
  }
  for (const { name, origin, process } of contenders) {
    // Of what it streams the fetch engine cannot say the length; everybody else must.
    const mayLoseLength = name === "fetch";
    for (const [path, bytes] of files) {
      await checkAnswer(origin + path, { bytes, mayLoseLength }, process.whyEnded);
    }
  }
  return await measureAll(plan, contenders);
}

/** @returns the exit status */
async function main(): Promise<number> {
  const plan = readPlan();
  if (cpus().length < 2) throw new Error("This needs two cores: one to measure, one for the load");
  const folder = mkdtempSync(join(tmpdir(), "paastis-bench-"));
  try {
    const measurements = await run(plan, folder);
    const summaries = summarize(measurements, "nginx");
    if (plan.isJson) console.log(JSON.stringify({ summaries, measurements }, null, 2));
    else console.log(tableOf(summaries));
    const above = excesses(summaries, { contender: "socket", limits: LIMITS });
    for (const line of above) console.error(line);
    return plan.isCheck && above.length > 0 ? 1 : 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv.includes("--help")) {
  console.log(USAGE);
} else {
  process.exitCode = await main();
}
