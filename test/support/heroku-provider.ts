/** The Heroku provider in front of a fake Heroku, for tests of the provider. */

import type { Snapshot } from "../../src/app.ts";
import type { HerokuConfig } from "../../src/config.ts";
import { createHerokuProvider } from "../../src/providers/heroku.ts";
import type { Provider } from "../../src/providers/provider.ts";
import { finish, patient } from "../contract/provider.ts";
import { type FakeHeroku, type FakeHerokuOptions, startFakeHeroku } from "../fakes/fake-heroku.ts";
import type { HerokuControl } from "../fakes/fake-heroku-control.ts";
import { callsOf } from "../fakes/fake-journal.ts";
import { createFastClock } from "./fast-clock.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";

export interface HerokuTest extends AsyncDisposable {
  readonly fake: FakeHeroku;
  readonly provider: Provider;
  readonly lines: readonly LogLine[];
  /** Kinds of all calls since the last time, oldest first. */
  callsSince(): readonly string[];
}

/** Fast enough for a wake in a tenth of a second, slow enough for calls that take their time. */
const TIMES_FASTER = 50;

/** Provider and fake share a clock that runs fast; budgets are out of the way unless they are given. */
export async function startHeroku(
  options: Partial<FakeHerokuOptions> & { readonly config?: Partial<HerokuConfig> } = {},
): Promise<HerokuTest> {
  const { config, ...rest } = options;
  const clock = rest.clock ?? createFastClock(TIMES_FASTER);
  const fake = await startFakeHeroku({
    ...{ bootMs: 2_000, stopMs: 500, quota: 1_000_000 },
    ...rest,
    clock,
  });
  const { log, lines } = recordingLog();
  const provider = createHerokuProvider({
    config: {
      token: fake.token,
      operationTimeoutMs: 30_000,
      callsPerMinute: 100_000,
      apiUrl: fake.apiUrl,
      ...config,
    },
    clock,
    random: Math.random,
    log,
    fetch,
  });
  let told = 0;
  return {
    fake,
    provider,
    lines,
    callsSince() {
      const kinds = callsOf(fake.api.journal, "*").map(({ kind }) => kind);
      const fresh = kinds.slice(told);
      told = kinds.length;
      return fresh;
    },
    async [Symbol.asyncDispose]() {
      await provider.close();
      await fake[Symbol.asyncDispose]();
    },
  };
}

/** A snapshot of these quantities. */
export function snapshotWith(quantities: Readonly<Record<string, number>>): Snapshot {
  const processes = Object.entries(quantities).map(([type, quantity]) => ({ type, quantity }));
  return { kind: "quantities", processes };
}

/** Wakes an app and follows that to its end. */
export async function wakeFully(
  { provider }: HerokuTest,
  app: HerokuControl,
  snapshot: Snapshot | null,
) {
  return await finish(provider, app.id, await provider.wake(app.id, snapshot, patient()));
}

/** Puts an app to sleep as the core does, and follows that to its end. */
export async function sleepFully({ provider }: HerokuTest, app: HerokuControl): Promise<Snapshot> {
  const snapshot = await provider.takeSnapshot(app.id, patient());
  await finish(provider, app.id, await provider.sleep(app.id, snapshot, patient()));
  return snapshot;
}

/** What one look sees. */
export async function phaseOf({ provider }: HerokuTest, { id }: HerokuControl): Promise<string> {
  return (await provider.observe(id, patient())).phase;
}
