/** A small world whose metrics can be asked for. */

import { createSystemClock } from "../../src/clock.ts";
import { createEventBus, type NewEvent } from "../../src/events.ts";
import { createMetrics, type Metrics } from "../../src/metrics/metrics.ts";
import { createProviderCalls, type ProviderCalls } from "../../src/metrics/provider-calls.ts";
import type { StoresState } from "../../src/stores-state.ts";
import type { WebhookState } from "../../src/webhook-queue.ts";
import { createSmallWorld, type SmallWorld } from "./small-world.ts";

export interface MeteredWorld {
  readonly world: SmallWorld;
  readonly metrics: Metrics;
  readonly calls: ProviderCalls;
  stores: StoresState;
  webhooks: readonly WebhookState[];
  emit(event: NewEvent): void;
  /** What Prometheus reads. */
  text(query?: string): Promise<string>;
  /** The value of one sample, by the beginning of its line; `null`: there is none. */
  sampleOf(sample: string): Promise<number | null>;
  answer(query: string, accept?: string): Promise<Response | null>;
}

/** Time stands still in the world, and goes on for who writes the answer. */
export function createMeteredWorld(options: { readonly isFast?: boolean } = {}): MeteredWorld {
  const bus = createEventBus({
    now: () => world.clock.now(),
    random: () => 0.5,
    onListenerError(error) {
      throw error;
    },
  });
  const world = createSmallWorld({ deps: { events: bus } });
  const calls = createProviderCalls();
  const store = { type: "in-memory", trouble: null, sinceMs: null };
  const { after } = createSystemClock();
  const insight = {
    isFast: options.isFast === true,
    showsUpstream: false,
    verboseErrors: false,
    logsRequests: false,
  };
  const metrics = createMetrics({
    config: { providers: ["docker"], insight },
    clock: { ...world.clock, after },
    events: bus,
    core: world.core,
    providers: [{ ...world.provider, name: "docker", quotaLeft: () => 4321 }],
    calls,
    stores: () => metered.stores,
    webhooks: { state: () => metered.webhooks },
    engine: () => ({ name: "socket", upstreamSockets: 7 }),
  });
  const answer: MeteredWorld["answer"] = (query, accept) =>
    metrics.answer(
      new Request(`http://admin/__metrics${query}`, {
        headers: accept === undefined ? {} : { accept },
      }),
    );
  const text = async (query = "?format=prometheus") => (await (await answer(query))?.text()) ?? "";
  const metered: MeteredWorld = {
    world,
    metrics,
    calls,
    stores: {
      registry: { ...store, instance: "one", others: ["two"], isLeader: true, leader: "one" },
      events: { ...store, waiting: 3, dropped: 2 },
    },
    webhooks: [],
    emit: bus.emit,
    answer,
    text,
    async sampleOf(sample) {
      const line = (await text()).split("\n").find((one) => one.startsWith(`${sample} `));
      return line === undefined ? null : Number(line.slice(sample.length + 1));
    },
  };
  return metered;
}
