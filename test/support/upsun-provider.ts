/** The Upsun provider in front of a fake Upsun, for tests of the provider. */

import type { Clock } from "../../src/clock.ts";
import type { UpsunConfig } from "../../src/config.ts";
import type { Provider } from "../../src/providers/provider.ts";
import { createUpsunProvider } from "../../src/providers/upsun.ts";
import { finish, patient } from "../contract/provider.ts";
import { callsOf } from "../fakes/fake-journal.ts";
import { type FakeUpsun, type FakeUpsunOptions, startFakeUpsun } from "../fakes/fake-upsun.ts";
import type { UpsunControl } from "../fakes/fake-upsun-control.ts";
import { createFastClock } from "./fast-clock.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";

export interface UpsunTest extends AsyncDisposable {
  readonly fake: FakeUpsun;
  readonly provider: Provider;
  readonly lines: readonly LogLine[];
  readonly clock: Clock;
  /** Kinds of all calls since the last time, oldest first; exchanges of the token are none of them. */
  callsSince(): readonly string[];
  /** The same program, started anew: it knows nothing of what it did before. */
  startAnew(): Provider;
}

/** Fast enough for an activity in half a second, slow enough for calls that take their time on a busy machine. */
const TIMES_FASTER = 15;

/** Provider and fake share a clock that runs fast; budgets are out of the way unless they are given. */
export async function startUpsun(
  options: Partial<FakeUpsunOptions> & { readonly config?: Partial<UpsunConfig> } = {},
): Promise<UpsunTest> {
  const { config, ...rest } = options;
  const clock = rest.clock ?? createFastClock(TIMES_FASTER);
  const fake = await startFakeUpsun({ activityMs: 4_000, ...rest, clock });
  const { log, lines } = recordingLog();
  const providers: Provider[] = [];
  const start = () => {
    const provider = createUpsunProvider({
      config: {
        token: fake.apiToken,
        projects: null,
        operationTimeoutMs: 60_000,
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
    providers.push(provider);
    return provider;
  };
  let told = 0;
  return {
    fake,
    provider: start(),
    lines,
    clock,
    callsSince() {
      const kinds = callsOf(fake.api.journal, "*").map(({ kind }) => kind);
      const fresh = kinds.slice(told);
      told = kinds.length;
      return fresh;
    },
    startAnew: start,
    async [Symbol.asyncDispose]() {
      for (const provider of providers) await provider.close();
      await fake[Symbol.asyncDispose]();
    },
  };
}

/** Wakes an environment and follows that to its end. */
export async function wakeFully({ clock, provider }: UpsunTest, { id }: UpsunControl) {
  return await finish(provider, id, await provider.wake(id, { kind: "none" }, patient()), clock);
}

/** Puts an environment to sleep as the core does, and follows that to its end. */
export async function sleepFully(
  { clock, provider }: UpsunTest,
  { id }: UpsunControl,
): Promise<void> {
  const snapshot = await provider.takeSnapshot(id, patient());
  await finish(provider, id, await provider.sleep(id, snapshot, patient()), clock);
}

/** What one look sees. */
export async function phaseOf({ provider }: UpsunTest, { id }: UpsunControl): Promise<string> {
  return (await provider.observe(id, patient())).phase;
}
