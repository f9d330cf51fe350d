/** The Fly.io provider in front of a fake Fly.io, for tests of the provider. */

import type { Snapshot } from "../../src/app.ts";
import type { Clock } from "../../src/clock.ts";
import type { FlyConfig } from "../../src/config.ts";
import { createFlyProvider } from "../../src/providers/fly.ts";
import type { Provider } from "../../src/providers/provider.ts";
import { finish, patient } from "../contract/provider.ts";
import { type FakeFly, type FakeFlyOptions, startFakeFly } from "../fakes/fake-fly.ts";
import type { FlyControl } from "../fakes/fake-fly-control.ts";
import { callsOf } from "../fakes/fake-journal.ts";
import { createFastClock } from "./fast-clock.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";

export interface FlyTest extends AsyncDisposable {
  readonly fake: FakeFly;
  readonly provider: Provider;
  /** What the next run of the program has: it knows nothing yet. */
  nextRun(): Provider;
  readonly lines: readonly LogLine[];
  readonly clock: Clock;
  /** Kinds of all calls since the last time, oldest first. */
  callsSince(): readonly string[];
}

/** Fast enough for a boot in a twentieth of a second, slow enough for calls that take their time. */
const TIMES_FASTER = 20;

/** Provider and fake share a clock that runs fast; our own budget is out of the way unless it is given. */
export async function startFly(
  options: Partial<FakeFlyOptions> & { readonly config?: Partial<FlyConfig> } = {},
): Promise<FlyTest> {
  const { config, ...rest } = options;
  const clock = rest.clock ?? createFastClock(TIMES_FASTER);
  const fake = await startFakeFly({ ...rest, clock });
  const { log, lines } = recordingLog();
  const runs: Provider[] = [];
  const nextRun = () => {
    const run = createFlyProvider({
      config: {
        token: fake.token,
        organization: "personal",
        sleepMode: "suspend",
        appUrl: fake.appUrl,
        operationTimeoutMs: 60_000,
        callsPerMinute: 100_000,
        apiUrl: fake.apiUrl,
        ...config,
      },
      clock,
      random: Math.random,
      log,
      fetch,
    });
    runs.push(run);
    return run;
  };
  const provider = nextRun();
  let told = 0;
  return {
    fake,
    provider,
    nextRun,
    lines,
    clock,
    callsSince() {
      const kinds = callsOf(fake.api.journal, "*").map(({ kind }) => kind);
      const fresh = kinds.slice(told);
      told = kinds.length;
      return fresh;
    },
    async [Symbol.asyncDispose]() {
      for (const run of runs) await run.close();
      await fake[Symbol.asyncDispose]();
    },
  };
}

/** Wakes an app and follows that to its end. */
export async function wakeFully(
  { clock, provider }: FlyTest,
  { id }: FlyControl,
  snapshot: Snapshot | null = null,
) {
  return await finish(provider, id, await provider.wake(id, snapshot, patient()), clock);
}

/** Puts an app to sleep as the core does, and follows that to its end. The snapshot is as it would be stored. */
export async function sleepFully(
  { clock, provider }: FlyTest,
  { id }: FlyControl,
): Promise<Snapshot> {
  const snapshot = await provider.takeSnapshot(id, patient());
  await finish(provider, id, await provider.sleep(id, snapshot, patient()), clock);
  return JSON.parse(JSON.stringify(snapshot));
}

/** What one look sees. */
export async function phaseOf({ provider }: FlyTest, { id }: FlyControl): Promise<string> {
  return (await provider.observe(id, patient())).phase;
}
