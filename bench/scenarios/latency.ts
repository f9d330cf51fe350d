/** How long a request takes when there is little to do, with each proxy and without any. */

import { directTo, inTurns, type Scenario, startContenders } from "../bench-world.ts";
import { requestOf } from "../clients/http-client.ts";
import { rateFor } from "../clients/rate.ts";
import { type ContenderName, HOST, type Running } from "../contenders/contender.ts";
import { startFilesUpstream } from "../files-upstream.ts";
import { percentileOf, type Sample } from "../sample.ts";

/** A rate that none of them has trouble with. */
const PER_SECOND = 500;

const REQUEST = requestOf("/1k", HOST);

/** The scenario. */
export const latency: Scenario = {
  name: "latency",
  title: `Latency at ${PER_SECOND} requests per second, directly and through each proxy`,
  async run(bench) {
    const names = bench.pick<readonly ContenderName[]>(
      ["nginx", "socket"],
      ["nginx", "haproxy", "caddy", "http-proxy", "socket", "fetch"],
    );
    await using upstream = startFilesUpstream(bench, [1]);
    const { port: upstreamPort, answers } = upstream;
    await using started = await startContenders(bench, { upstreamPort, names, answers });
    const running = [directTo(upstreamPort), ...started.running];
    for (const one of running) await measure(one, 500);
    const ms = bench.pick(1_000, 2_500);
    return addedToDirect(await inTurns(running, bench.pick(2, 4), (one) => measure(one, ms)));
  },
};

async function measure({ name, port, process }: Running, ms: number): Promise<Sample> {
  const spent = process?.meter();
  const result = await rateFor(ms, { port, request: REQUEST, perSecond: PER_SECOND });
  const cpuSeconds = spent?.();
  const { latenciesMs, lost } = result;
  return {
    load: `1 KB, ${PER_SECOND}/s`,
    subject: name,
    values: {
      ...(cpuSeconds === undefined ? {} : { cpu: (cpuSeconds / latenciesMs.length) * 1e6 }),
      p50: percentileOf(latenciesMs, 50),
      p95: percentileOf(latenciesMs, 95),
      p99: percentileOf(latenciesMs, 99),
      lost,
    },
  };
}

/** What a proxy adds in the middle, against the upstream alone in the same round. */
function addedToDirect(samples: readonly Sample[]): Sample[] {
  let direct = Number.NaN;
  return samples.map((sample) => {
    const { p50 = Number.NaN } = sample.values;
    if (sample.subject === "direct") {
      direct = p50;
      return sample;
    }
    return { ...sample, values: { ...sample.values, addedMs: p50 - direct } };
  });
}
