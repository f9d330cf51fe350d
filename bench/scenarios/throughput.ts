/** As many requests as there is time for. */

import {
  type Bench,
  directTo,
  inTurns,
  naming,
  type Scenario,
  startContenders,
} from "../bench-world.ts";
import type { ContenderName, Running } from "../contenders/contender.ts";
import { startFilesUpstream } from "../files-upstream.ts";
import { load } from "../load.ts";
import type { Sample } from "../sample.ts";

/** What is asked for, and how. */
export interface PlainLoad {
  readonly name: string;
  readonly path: string;
  readonly connections: number;
  readonly manner?: readonly string[];
}

const ALL: readonly ContenderName[] = [
  "nginx",
  "haproxy",
  "caddy",
  "http-proxy",
  "socket",
  "fetch",
];

/** At 1 KB everybody is measured; at the other loads those whose figures are near, in a quick run those with limits. */
const NEAR: readonly ContenderName[] = ["nginx", "haproxy", "socket", "fetch"];
const LIMITED: readonly ContenderName[] = ["nginx", "socket"];

/** How many requests each gets before it is measured, and how long that may take, ms. */
const WARM_UP_REQUESTS = 15_000;
const WARM_UP_MAX_MS = 5_000;

/** The scenario. */
export const throughput: Scenario = {
  name: "throughput",
  title: "As many requests as possible, over connections that are kept",
  async run(bench) {
    await using upstream = startFilesUpstream(bench, [1, 16, 64]);
    await using all = await startContenders(bench, {
      upstreamPort: upstream.port,
      names: ALL,
      answers: upstream.answers,
    });
    const { running } = all;
    const loads: readonly PlainLoad[] = [
      { name: "1 KB x 100", path: "/1k", connections: 100 },
      { name: "16 KB x 100", path: "/16k", connections: 100 },
      { name: "64 KB x 100", path: "/64k", connections: 100 },
      { name: "1 KB x 500", path: "/1k", connections: 500 },
      // Whoever remembers the last head gains nothing here: what is remembered shows in the difference.
      { name: "1 KB x 100 varied", path: "/1k", connections: 100, manner: ["varied"] },
    ];
    const samples: Sample[] = [];
    const [first] = loads;
    if (first !== undefined) samples.push(await measureOnce(directTo(upstream.port), first, 1));
    for (const plain of bench.isQuick ? loads.slice(0, -1) : loads) {
      const names = plain === first ? ALL : bench.pick(LIMITED, NEAR);
      const some = running.filter((one) => names.some((name) => name === one.name));
      samples.push(...(await measureLoad(bench, some, plain)));
    }
    return samples;
  },
};

/** Warms each up, then measures them in turns. */
export async function measureLoad(
  bench: Bench,
  running: readonly Running[],
  plain: PlainLoad,
): Promise<Sample[]> {
  for (const one of running) await naming(one, () => warmUp(one, plain));
  const seconds = bench.pick(1, 2);
  // Its figures are compared with the most limits.
  const rounds = plain.name === "1 KB x 100" ? bench.pick(5, 6) : bench.pick(3, 4);
  return inTurns(running, rounds, (one) => measureOnce(one, plain, seconds));
}

/**
 * Loads one of them until it has seen so many requests that a runtime has compiled what it will compile: on a machine
 * that is busy otherwise, a second may be far too short for that.
 */
export async function warmUp({ port }: Running, plain: PlainLoad): Promise<void> {
  const untilMs = performance.now() + WARM_UP_MAX_MS;
  for (let seen = 0; seen < WARM_UP_REQUESTS && performance.now() < untilMs; ) {
    const done = await load({ ...plain, port, seconds: 1 });
    seen += done.requests;
  }
}

/** Loads one of them once. */
export async function measureOnce(
  { name, port, process }: Running,
  plain: PlainLoad,
  seconds: number,
): Promise<Sample> {
  const spent = process?.meter();
  const done = await load({ ...plain, port, seconds });
  const cpuSeconds = spent?.();
  return {
    load: plain.name,
    subject: name,
    values: {
      ...(cpuSeconds === undefined ? {} : costOf(cpuSeconds, done)),
      perSecond: done.requests / done.seconds,
      p50: done.p50Ms,
      p95: done.p95Ms,
      p99: done.p99Ms,
    },
  };
}

function costOf(cpuSeconds: number, done: { readonly requests: number; readonly seconds: number }) {
  return {
    cpu: (cpuSeconds / done.requests) * 1e6,
    busy: (cpuSeconds / done.seconds) * 100,
  };
}
