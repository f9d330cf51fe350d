/** What the program does, in numbers for Prometheus: counted from the start, written out when somebody asks. */

import { version } from "../../package.json" with { type: "json" };
import type { App } from "../app.ts";
import { type Clock, sleep } from "../clock.ts";
import type { Config } from "../config.ts";
import type { Core } from "../core.ts";
import type { EventBus } from "../events.ts";
import type { Provider } from "../providers/provider.ts";
import type { StoresState } from "../stores-state.ts";
import type { Webhooks } from "../webhooks.ts";
import { createAppTimes } from "./app-times.ts";
import type { Family } from "./family.ts";
import { createLifecycleCounts, type LifecycleCounts } from "./lifecycle-counts.ts";
import { metricsFormOf } from "./prometheus-asked.ts";
import type { ProviderCalls } from "./provider-calls.ts";

/** The metrics of a running program. */
export interface Metrics {
  /**
   * Answers `GET /__metrics` for whoever wants to read it as Prometheus does.
   * @param apps those to be told of; left out: all
   * @returns `null`: JSON is wanted
   */
  answer(request: Request, apps?: readonly App[]): Promise<Response | null>;
  /** Nothing is counted any more. */
  close(): void;
}

/** What it needs from outside. */
export interface MetricsDeps {
  readonly config: Pick<Config, "insight" | "providers">;
  readonly clock: Clock;
  readonly events: EventBus;
  readonly core: Pick<Core, "gate" | "reconciler" | "strays" | "sweeps" | "table">;
  readonly providers: readonly Provider[];
  readonly calls: ProviderCalls;
  readonly stores: () => StoresState;
  /** Left out: there are none. */
  readonly webhooks?: Pick<Webhooks, "state">;
  /** `null`: it does not listen yet, or no more. */
  readonly engine: () => { readonly name: string; readonly upstreamSockets: number | null } | null;
}

/** Listens to events, and nothing else: no timer runs, and what writes the text is loaded when it is asked for. */
export function createMetrics(deps: MetricsDeps): Metrics {
  const { clock, core, events } = deps;
  const times = createAppTimes(clock.now);
  const ends = createLifecycleCounts(core.table.byRef);
  const endEvents = events.subscribe((event) => {
    ends.hear(event);
    const app = core.table.byRef(event.ref);
    if (app !== null) times.look(app);
  });
  const startedS = clock.wallMs() / 1000 - process.uptime();
  return {
    async answer({ headers, url }, apps) {
      const { searchParams } = new URL(url);
      const form = metricsFormOf(searchParams.get("format"), headers.get("accept"));
      if (form === "json") return null;
      const pause = () => sleep(clock, 0);
      const lagMs = await lagOf(clock);
      const [{ contentTypeOf, expose }, { appFamilies }, { processFamilies }] = await Promise.all([
        import("./exposition.ts"),
        import("./app-families.ts"),
        import("./process-families.ts"),
      ]);
      const facts = { times, ends, isFast: deps.config.insight.isFast };
      const families: readonly Family[] = [
        ...appFamilies({ ...facts, apps: () => apps ?? core.table.all() }),
        ...(await programFamiliesOf(deps, ends)),
        ...processFamilies({ startedS, lagMs: () => lagMs }),
      ];
      return new Response(streamOf(expose(families, { form, pause })), {
        headers: {
          "cache-control": "no-store",
          "content-type": contentTypeOf(form),
          vary: "accept",
        },
      });
    },
    close: endEvents,
  };
}

async function programFamiliesOf(
  deps: MetricsDeps,
  ends: LifecycleCounts,
): Promise<readonly Family[]> {
  const { calls, config, core, engine, stores } = deps;
  const { programFamilies } = await import("./program-families.ts");
  return programFamilies({
    version,
    engine: () => engine()?.name ?? null,
    apps: core.table.all,
    ends,
    sweeps: core.sweeps,
    calls,
    providers: () =>
      config.providers.map((name) => ({
        name,
        trouble: core.reconciler.troubleOf(name),
        quotaLeft: deps.providers.find((one) => one.name === name)?.quotaLeft?.() ?? null,
      })),
    stores,
    webhooks: deps.webhooks?.state ?? (() => []),
    held: core.gate.held,
    strays: core.strays,
    upstreamConnections: () => engine()?.upstreamSockets ?? null,
  });
}

/** A part is made when somebody takes it; who leaves ends it. */
function streamOf(parts: AsyncGenerator<string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await parts.next();
      if (done === true) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    async cancel() {
      await parts.return(undefined);
    },
  });
}

/** By how much a timer that is due at once comes late, ms. */
async function lagOf(clock: Clock): Promise<number> {
  const begunMs = clock.now();
  await sleep(clock, 0);
  return clock.now() - begunMs;
}
