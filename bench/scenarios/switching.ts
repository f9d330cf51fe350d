/** Switches to another target while requests come in. */

import type { Bench, Scenario } from "../bench-world.ts";
import { requestOf } from "../clients/http-client.ts";
import { startRate } from "../clients/rate.ts";
import { HOST } from "../contenders/contender.ts";
import { type Engine, startPaastis } from "../contenders/paastis.ts";
import { checkAnswer } from "../load.ts";
import { CONTENDER_CORE, freePort } from "../machine.ts";
import { TOKEN } from "../paastis-admin.ts";
import { startProgramUpstream } from "../program-upstream.ts";
import { percentileOf, type Sample } from "../sample.ts";

const PER_SECOND = 500;

/** Between two switches, ms: longer than old targets take to drain here. */
const BETWEEN_MS = 200;

/** The scenario. */
export const switching: Scenario = {
  name: "switching",
  title: `Switches to another target at ${PER_SECOND} requests per second`,
  async run(bench) {
    return [...(await measure(bench, "socket")), ...(await measure(bench, "fetch"))];
  },
};

async function measure(bench: Bench, engine: Engine): Promise<Sample[]> {
  await using one = startProgramUpstream(bench);
  await using other = startProgramUpstream(bench);
  const port = freePort();
  await using paastis = startPaastis({
    core: CONTENDER_CORE,
    folder: bench.freshFolder(engine),
    port,
    program: bench.program,
    engine,
    config: "rules: []\n",
    environment: {
      INITIAL_TARGET_PORT: String(one.port),
      ADMIN_TOKEN: TOKEN,
      ADMIN_RATE_LIMIT: "10000",
      ROLLBACK_WINDOW_MS: "100",
    },
  });
  const url = `http://127.0.0.1:${port}/`;
  await checkAnswer(url, { bytes: Buffer.from("ok"), mayLoseLength: true }, paastis.whyEnded);
  const load = startRate({ port, request: requestOf("/", HOST), perSecond: PER_SECOND });
  const times: number[] = [];
  for (let count = 0; count < bench.pick(6, 30); count += 1) {
    const target = count % 2 === 0 ? other : one;
    times.push(await switchTo(port, target.port));
    await Bun.sleep(BETWEEN_MS);
  }
  const { latenciesMs, lost, reasons } = await load.end();
  for (const reason of reasons) console.error(`  ${engine}: lost a request: ${reason}`);
  const p99 = percentileOf(latenciesMs, 99);
  const requests = latenciesMs.length;
  return times.map((switchMs) => ({
    load: "each switch",
    subject: engine,
    values: { switchMs, p99, requests, lost },
  }));
}

/** @returns from the order to the answer that it is done, ms */
async function switchTo(port: number, target: number): Promise<number> {
  const beganMs = performance.now();
  const response = await fetch(`http://127.0.0.1:${port}/__switch?port=${target}`, {
    method: "POST",
    headers: { "x-admin-token": TOKEN },
  });
  const said = await response.text();
  if (response.status !== 200) throw new Error(`a switch was answered with ${said}`);
  return performance.now() - beganMs;
}
