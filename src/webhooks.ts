/** Tells others of events by HTTP, without ever making anybody wait. */

import { version } from "../package.json" with { type: "json" };
import type { Clock } from "./clock.ts";
import type { EventBus, EventName } from "./events.ts";
import type { Log } from "./log.ts";
import type { AttemptDeps } from "./webhook-attempt.ts";
import type { WebhookConfig } from "./webhook-config.ts";
import { addressesOf } from "./webhook-message.ts";
import { createWebhookQueue, type WebhookState } from "./webhook-queue.ts";

/** Webhooks that listen to the bus. */
export interface Webhooks {
  /** Of each URL, in their order. */
  state(): readonly WebhookState[];
  /**
   * Hears no more; what waits is given three seconds. Never rejects.
   * @param hurry when it is fulfilled, those are over
   */
  close(hurry: Promise<void>): Promise<void>;
}

/** What webhooks are made of. */
export interface WebhooksDeps {
  /** `null`: nobody is told. */
  readonly webhooks: WebhookConfig | null;
  readonly events: Pick<EventBus, "subscribe">;
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
  readonly fetch: AttemptDeps["fetch"];
  /** How many events may wait for one receiver. Default 1,000. */
  readonly waitingMax?: number;
}

const WAITING_MAX = 1000;
/** What is left for deliveries at the end, ms. */
const CLOSE_MS = 3000;

/**
 * Every event that is wanted goes to every URL: in order, one at a time, each delivered at least once, or tried for an
 * hour. What happened is told by the instance that it happened to, so others that act as one with it need not.
 */
export function createWebhooks(deps: WebhooksDeps): Webhooks {
  const { clock, events, webhooks } = deps;
  if (webhooks === null) return { state: () => [], close: async () => undefined };
  const { secret } = webhooks;
  const wanted: ReadonlySet<EventName> = new Set(webhooks.events);
  const queues = addressesOf(webhooks.urls).map((address) =>
    createWebhookQueue({ waitingMax: WAITING_MAX, ...deps, address, secret, version }),
  );
  const unsubscribe = events.subscribe((event) => {
    if (!wanted.has(event.name)) return;
    for (const queue of queues) queue.push(event);
  });
  return {
    state: () => queues.map((queue) => queue.state()),
    async close(hurry) {
      unsubscribe();
      const limit = new AbortController();
      const stop = () => limit.abort(new Error("Paastis stops"));
      const cancel = clock.after(CLOSE_MS, stop);
      void hurry.then(stop);
      await Promise.all(queues.map((queue) => queue.close(limit.signal)));
      cancel();
    },
  };
}
