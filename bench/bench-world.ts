/** What scenarios share: contenders that run, upstreams, rounds in turns. */

import { join } from "node:path";
import { caddy } from "./contenders/caddy.ts";
import type { Contender, ContenderName, Running } from "./contenders/contender.ts";
import { haproxy } from "./contenders/haproxy.ts";
import { httpProxy } from "./contenders/http-proxy.ts";
import { nginx } from "./contenders/nginx.ts";
import { paastis } from "./contenders/paastis.ts";
import { checkAnswer, type Expected } from "./load.ts";
import { CONTENDER_CORE, freePorts } from "./machine.ts";
import type { Sample, ScenarioResult } from "./sample.ts";

/** What a scenario is given. */
export interface Bench {
  readonly isQuick: boolean;
  /** The executable of Paastis. */
  readonly program: string;
  readonly contenders: readonly Contender[];
  /** A path in a folder that goes when the run ends; nothing is there yet. */
  freshFolder(name: string): string;
  /** The first in a quick run, the second in a full one. */
  pick<T>(quick: T, full: T): T;
}

/** One part of the suite. */
export interface Scenario {
  /** As `--only` takes it. */
  readonly name: string;
  readonly title: string;
  run(bench: Bench): Promise<readonly Sample[]>;
}

/** All contenders, also those that are not here. */
export function allContenders(program: string, modules: string | null): readonly Contender[] {
  return [
    nginx(),
    haproxy(),
    caddy(),
    httpProxy(modules),
    paastis(program, "socket"),
    paastis(program, "fetch"),
  ];
}

/**
 * Starts contenders before an upstream, and has each answer rightly. Those that are not here are left out.
 * @param options.answers what each path must answer
 * @throws Error when one does not start, or answers wrongly
 */
export async function startContenders(
  bench: Bench,
  options: {
    readonly upstreamPort: number;
    readonly names: readonly ContenderName[];
    readonly answers: ReadonlyMap<string, Omit<Expected, "mayLoseLength">>;
  },
): Promise<AsyncDisposable & { readonly running: readonly Running[] }> {
  const { upstreamPort, names, answers } = options;
  const present = bench.contenders.filter(
    ({ name, version }) => version !== null && names.includes(name),
  );
  const ports = freePorts(present.length);
  await using starting = new AsyncDisposableStack();
  const running = present.map(({ name, start }, index): Running => {
    const port = ports[index] ?? 0;
    const folder = bench.freshFolder(name);
    const process = starting.use(start({ core: CONTENDER_CORE, folder, port, upstreamPort }));
    return { name, port, process, [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() };
  });
  for (const { name, port, process } of running) {
    // Of what it streams the fetch engine cannot say the length; everybody else must.
    const mayLoseLength = name === "fetch";
    for (const [path, expected] of answers) {
      const url = `http://127.0.0.1:${port}${path}`;
      await checkAnswer(url, { ...expected, mayLoseLength }, process?.whyEnded);
    }
  }
  const started = starting.move();
  return { running, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

/** The upstream itself, as if it were a contender. */
export function directTo(port: number): Running {
  return { name: "direct", port, process: null, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** Measures in turns (a b c, a b c …), so that what else the machine does meets all alike. */
export async function inTurns(
  running: readonly Running[],
  rounds: number,
  measure: (one: Running) => Promise<Sample>,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const one of running) samples.push(await naming(one, measure));
  }
  return samples;
}

/** Measures one; a failure says whom it concerns. @throws Error of `measure` */
export async function naming<T>(one: Running, measure: (one: Running) => Promise<T>): Promise<T> {
  try {
    return await measure(one);
  } catch (error) {
    const why = one.process?.whyEnded();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${one.name}: ${why ?? reason}`, { cause: error });
  }
}

/** Runs one scenario. A failure of one is no reason to lose what the others give. */
export async function runScenario(scenario: Scenario, bench: Bench): Promise<ScenarioResult> {
  const beganMs = performance.now();
  const { name, title } = scenario;
  const secondsSince = () => (performance.now() - beganMs) / 1000;
  try {
    const samples = await scenario.run(bench);
    return { name, title, seconds: secondsSince(), failure: null, samples };
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error);
    return { name, title, seconds: secondsSince(), failure, samples: [] };
  }
}

/** Folders below one, each new. */
export function createFolders(root: string): (name: string) => string {
  let count = 0;
  return (name) => {
    count += 1;
    return join(root, `${count}-${name}`);
  };
}
