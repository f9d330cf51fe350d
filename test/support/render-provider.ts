/** The Render provider in front of a fake Render, for tests of the provider. */

import type { Clock } from "../../src/clock.ts";
import type { RenderConfig } from "../../src/config.ts";
import type { Provider } from "../../src/providers/provider.ts";
import { createRenderProvider } from "../../src/providers/render.ts";
import { finish, patient } from "../contract/provider.ts";
import { callsOf } from "../fakes/fake-journal.ts";
import { type FakeRender, type FakeRenderOptions, startFakeRender } from "../fakes/fake-render.ts";
import type { RenderControl } from "../fakes/fake-render-control.ts";
import { createFastClock } from "./fast-clock.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";

export interface RenderTest extends AsyncDisposable {
  readonly fake: FakeRender;
  readonly provider: Provider;
  readonly lines: readonly LogLine[];
  readonly clock: Clock;
  /** Kinds of all calls since the last time, oldest first. */
  callsSince(): readonly string[];
  /** The same program, started anew: it knows nothing of what it did before. */
  startAnew(): Provider;
}

/** Fast enough for a deploy in half a second, slow enough for calls that take their time on a busy machine. */
const TIMES_FASTER = 15;

/** Provider and fake share a clock that runs fast; budgets are out of the way unless they are given. */
export async function startRender(
  options: Partial<FakeRenderOptions> & { readonly config?: Partial<RenderConfig> } = {},
): Promise<RenderTest> {
  const { config, ...rest } = options;
  const clock = rest.clock ?? createFastClock(TIMES_FASTER);
  const fake = await startFakeRender({
    ...{ deployMs: 6_000, readsPerMinute: 1_000_000, changesPerMinute: 1_000 },
    ...rest,
    clock,
  });
  const { log, lines } = recordingLog();
  const providers: Provider[] = [];
  const start = () => {
    const provider = createRenderProvider({
      config: {
        token: fake.token,
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

/** Wakes a service and follows that to its end. */
export async function wakeFully({ clock, provider }: RenderTest, { id }: RenderControl) {
  return await finish(provider, id, await provider.wake(id, { kind: "none" }, patient()), clock);
}

/** Puts a service to sleep as the core does, and follows that to its end. */
export async function sleepFully(
  { clock, provider }: RenderTest,
  { id }: RenderControl,
): Promise<void> {
  const snapshot = await provider.takeSnapshot(id, patient());
  await finish(provider, id, await provider.sleep(id, snapshot, patient()), clock);
}

/** What one look sees. */
export async function phaseOf({ provider }: RenderTest, { id }: RenderControl): Promise<string> {
  return (await provider.observe(id, patient())).phase;
}

/** What the list says of a service; `null`: nothing. */
export async function listedPhaseOf(
  { provider }: RenderTest,
  { id }: RenderControl,
): Promise<string | null> {
  const listing = (await provider.list(patient())).find((one) => one.id === id);
  if (listing === undefined) throw new Error(`${id} is not in the list`);
  return listing.observation?.phase ?? null;
}
