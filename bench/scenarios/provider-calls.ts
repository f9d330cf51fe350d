/** Whether a platform is asked anything on behalf of requests to an app that is awake. */

import { createSystemClock } from "../../src/clock.ts";
import { startFakeScalingo } from "../../test/fakes/fake-scalingo.ts";
import type { Bench, Scenario } from "../bench-world.ts";
import { connectHttp, requestOf } from "../clients/http-client.ts";
import { type Engine, startPaastis } from "../contenders/paastis.ts";
import { CONTENDER_CORE, freePort } from "../machine.ts";
import { untilReady } from "../paastis-admin.ts";
import type { Sample } from "../sample.ts";

const REQUESTS = 10_000;
const CLIENTS = 20;

const HOST = "warm.example";

/** The scenario. */
export const providerCalls: Scenario = {
  name: "provider-calls",
  title: `Calls to the platform's API during ${REQUESTS} requests to an app that is awake`,
  async run(bench) {
    return [await measure(bench, "socket"), await measure(bench, "fetch")];
  },
};

async function measure(bench: Bench, engine: Engine): Promise<Sample> {
  await using platform = await startFakeScalingo({
    ...{ bootMs: 20, stopMs: 10, pendingMs: 5, requestsPerWindow: 1_000_000 },
    clock: createSystemClock(),
  });
  const app = platform.addApp("warm");
  const port = freePort();
  await using paastis = startPaastis({
    ...{ core: CONTENDER_CORE, folder: bench.freshFolder(engine), port, engine },
    program: bench.program,
    config: "rules: []\n",
    environment: {
      PROVIDER_NAME: "scalingo",
      PROVIDER_SCALINGO_API_TOKEN: platform.apiToken,
      PROVIDER_SCALINGO_API_URL: platform.apiUrl,
      PROVIDER_SCALINGO_AUTH_URL: platform.authUrl,
      PROVIDER_SCALINGO_CALLS_PER_MINUTE: "1000000",
      // New Year: a sweep lists what there is, whether or not there are requests.
      START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 1 1 *",
    },
  });
  await untilReady(port, paastis);
  await ask(port, 1);
  const calls = () => platform.api.count() + platform.auth.count();
  const [callsBefore, answeredBefore] = [calls(), platform.appRequests(app)];
  const each = REQUESTS / CLIENTS;
  await Promise.all(Array.from({ length: CLIENTS }, () => ask(port, each)));
  const values = {
    calls: calls() - callsBefore,
    requests: platform.appRequests(app) - answeredBefore,
  };
  return { load: `${REQUESTS} warm requests`, subject: engine, values };
}

async function ask(port: number, times: number): Promise<void> {
  const client = await connectHttp(port);
  const request = requestOf("/", HOST);
  for (let count = 0; count < times; count += 1) {
    const { status, head } = await client.ask(request);
    if (status !== 200) throw new Error(`a warm request got ${head}`);
  }
  client.close();
}
