/**
 * Measures Paastis side by side with other proxies, on one core, in one run:
 * `bun bench/bench.ts [--quick] [--json] [--check] [--only throughput,…]`. README.md beside this tells more.
 */

import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import {
  allContenders,
  type Bench,
  createFolders,
  runScenario,
  type Scenario,
} from "./bench-world.ts";
import { isPassed, judge, type Verdict } from "./limits.ts";
import { findCommand, LOAD_CORE, pinSelf } from "./machine.ts";
import { type BenchRecord, beginRecord, endRecord, keepRecord } from "./record.ts";
import { drawScenario, drawVerdicts } from "./report.ts";
import { kindOf, type ScenarioResult } from "./sample.ts";
import { SCENARIOS } from "./scenarios/scenarios.ts";

const USAGE = `Usage: bun bench/bench.ts [options]
  --quick           short rounds, few of them: under three minutes instead of twenty
  --json            everything that was measured, as JSON on standard output
  --check           status 1 when a limit is exceeded
  --only a,b        these scenarios only: ${SCENARIOS.map(({ name }) => name).join(", ")}
  --program path    the executable (dist/paastis)
  --modules path    where to look for http-proxy besides our own node_modules
  --record          leave a record in bench/results; a full run of all scenarios does that anyway`;

interface Plan {
  readonly isQuick: boolean;
  readonly isJson: boolean;
  readonly isCheck: boolean;
  readonly isRecorded: boolean;
  readonly scenarios: readonly Scenario[];
  readonly program: string;
  readonly modules: string | null;
}

/** @throws Error when an option is unknown or wrong */
function readPlan(): Plan {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      check: { type: "boolean", default: false },
      record: { type: "boolean", default: false },
      only: { type: "string" },
      program: { type: "string", default: resolve(import.meta.dir, "../dist/paastis") },
      modules: { type: "string" },
    },
  });
  return {
    isQuick: values.quick,
    isJson: values.json,
    isCheck: values.check,
    isRecorded: values.record || (!values.quick && values.only === undefined),
    scenarios: values.only === undefined ? SCENARIOS : values.only.split(",").map(scenarioOf),
    program: resolve(values.program),
    modules: values.modules === undefined ? null : resolve(values.modules),
  };
}

function scenarioOf(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found !== undefined) return found;
  const names = SCENARIOS.map((scenario) => scenario.name).join(", ");
  throw new Error(`--only: "${name}" is none of ${names}`);
}

/** What anybody would type for the same; where somebody keeps their files is nobody else's concern. */
function commandOf({ isQuick, isCheck, scenarios }: Plan): string {
  const options = [isQuick ? "--quick" : "", isCheck ? "--check" : ""];
  const names = scenarios.map(({ name }) => name).join(",");
  if (scenarios !== SCENARIOS) options.push(`--only ${names}`);
  const given = options.filter((option) => option !== "");
  return ["npm run bench", ...(given.length === 0 ? [] : ["--"]), ...given].join(" ");
}

/** What nothing can be measured without. */
function whatIsMissing(bench: Bench): string[] {
  const missing = [];
  if (cpus().length < 2) missing.push("two cores: one to measure, one for the load");
  const needed = { nginx: "nginx-light", wrk: "wrk", taskset: "util-linux" };
  for (const [command, debianPackage] of Object.entries(needed)) {
    if (findCommand(command) === null) missing.push(`${command}: apt-get install ${debianPackage}`);
  }
  for (const { name, version, remedy } of bench.contenders) {
    if (name === "socket" && version === null) missing.push(`${bench.program}: ${remedy}`);
  }
  return missing;
}

/** What others are measured without, said once. */
function sayWhoIsHere(bench: Bench, say: (line: string) => void): void {
  for (const { name, version, remedy } of bench.contenders) {
    say(version === null ? `  ${name}: missing (${remedy})` : `  ${name} ${version}`);
  }
}

async function measure(
  plan: Plan,
  bench: Bench,
  say: (line: string) => void,
): Promise<ScenarioResult[]> {
  const results: ScenarioResult[] = [];
  for (const scenario of plan.scenarios) {
    say(`\n${scenario.name}: ${scenario.title}`);
    const result = await runTwiceIfDoubtful(plan, bench, { scenario, say });
    results.push(result);
    const { failure, samples, seconds } = result;
    say(`\n${failure === null ? drawScenario(samples) : `  It failed: ${failure}`}`);
    say(`  (${seconds.toFixed(0)} s)`);
  }
  return results;
}

/**
 * What else a machine does can only make figures worse. So a quick run, which others wait for, measures once more
 * where a limit was exceeded: what is really slow will be slow again. What was counted is certain at once.
 */
async function runTwiceIfDoubtful(
  plan: Plan,
  bench: Bench,
  { scenario, say }: { readonly scenario: Scenario; say(line: string): void },
): Promise<ScenarioResult> {
  const first = await runScenario(scenario, bench);
  if (!plan.isQuick || !plan.isCheck) return first;
  const exceeded = judgeAll(plan, bench, [first]).filter(({ kind }) => kind === "exceeded");
  const isCertain = exceeded.some(({ limit }) => kindOf(limit.measure).isCounted === true);
  if (exceeded.length === 0 || isCertain) return first;
  for (const { text } of exceeded) say(`  once more, as ${text}`);
  return runScenario(scenario, bench);
}

function judgeAll(plan: Plan, bench: Bench, results: readonly ScenarioResult[]): Verdict[] {
  const samples = new Map(results.map((result) => [result.name, result.samples]));
  const { isQuick } = plan;
  return judge(samples, { isQuick, missing: missingOf(bench) });
}

function missingOf({ contenders }: Bench): ReadonlySet<string> {
  return new Set(contenders.flatMap(({ name, version }) => (version === null ? [name] : [])));
}

async function run(plan: Plan, folder: string): Promise<number> {
  // What is for reading must not be among what is for programs.
  const say = plan.isJson ? console.error : console.log;
  const bench: Bench = {
    isQuick: plan.isQuick,
    program: plan.program,
    contenders: allContenders(plan.program, plan.modules),
    freshFolder: createFolders(folder),
    pick: (quick, full) => (plan.isQuick ? quick : full),
  };
  const needed = whatIsMissing(bench);
  if (needed.length > 0) {
    console.error(`The benchmark cannot run. Missing:\n  ${needed.join("\n  ")}`);
    return 1;
  }
  pinSelf(LOAD_CORE);
  sayWhoIsHere(bench, say);
  const beganMs = performance.now();
  const begun = beginRecord(bench.contenders, commandOf(plan));
  const results = await measure(plan, bench, say);
  const record = endRecord(begun, results, (performance.now() - beganMs) / 60_000);
  const verdicts = judgeAll(plan, bench, results);
  return conclude(plan, record, { verdicts, say });
}

/** @returns the exit status */
function conclude(
  plan: Plan,
  record: BenchRecord,
  { verdicts, say }: { readonly verdicts: readonly Verdict[]; say(line: string): void },
): number {
  say(`\nLimits\n${drawVerdicts(verdicts)}, in ${record.minutes.toFixed(1)} minutes`);
  if (plan.isJson) {
    const limits = verdicts.map(({ kind, found, text }) => ({ kind, found, text }));
    console.log(JSON.stringify({ ...record, verdicts: limits }, null, 1));
  }
  if (plan.isRecorded) say(`The record: ${keepRecord(record, verdicts)}`);
  const hasFailed = record.scenarios.some(({ failure }) => failure !== null);
  return hasFailed || (plan.isCheck && !isPassed(verdicts)) ? 1 : 0;
}

/** @returns the exit status */
async function main(): Promise<number> {
  const plan = readPlan();
  const folder = mkdtempSync(join(tmpdir(), "paastis-bench-"));
  // Workers that are not root must reach the files.
  chmodSync(folder, 0o755);
  try {
    return await run(plan, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// Contenders are told to end when this process does.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

if (process.argv.includes("--help")) {
  console.log(USAGE);
} else {
  process.exitCode = await main().catch((error) => {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  });
}
