/** The Scalingo provider in front of a fake Scalingo, for tests of the provider. */

import { type Clock, createSystemClock } from "../../src/clock.ts";
import type { ScalingoConfig } from "../../src/config.ts";
import type { Provider } from "../../src/providers/provider.ts";
import { createScalingoProvider } from "../../src/providers/scalingo.ts";
import {
  type FakeScalingo,
  type FakeScalingoOptions,
  startFakeScalingo,
} from "../fakes/fake-scalingo.ts";
import type { ScalingoControl } from "../fakes/fake-scalingo-control.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";

export interface ScalingoTest extends AsyncDisposable {
  readonly fake: FakeScalingo;
  readonly provider: Provider;
  readonly lines: readonly LogLine[];
  /** The provider's id of an app. */
  idOf(app: ScalingoControl): string;
}

/** Short durations over the real clock, and budgets that are out of the way, unless they are given. */
export async function startScalingo(
  options: Partial<FakeScalingoOptions> & { readonly config?: Partial<ScalingoConfig> } = {},
): Promise<ScalingoTest> {
  const { config, ...rest } = options;
  const clock: Clock = rest.clock ?? createSystemClock();
  const fake = await startFakeScalingo({
    ...{ bootMs: 20, stopMs: 10, pendingMs: 5, requestsPerWindow: 1_000_000 },
    ...rest,
    clock,
  });
  const { log, lines } = recordingLog();
  const provider = createScalingoProvider({
    config: {
      token: fake.apiToken,
      regions: rest.regions ?? ["osc-fr1"],
      operationTimeoutMs: 30_000,
      callsPerMinute: 100_000,
      apiUrl: fake.apiUrl,
      authUrl: fake.authUrl,
      ...config,
    },
    clock,
    random: Math.random,
    log,
    fetch,
  });
  return {
    fake,
    provider,
    lines,
    idOf: ({ region, id }) => `${region}/${id}`,
    async [Symbol.asyncDispose]() {
      await provider.close();
      await fake[Symbol.asyncDispose]();
    },
  };
}
