/** What the admin endpoints say about stores and platforms. Pure. */

import type { StoresState } from "./stores-state.ts";
import type { WebhookState } from "./webhook-queue.ts";

type Fields = Readonly<Record<string, unknown>>;

/** `stores` of `GET /__status` and `GET /__metrics`. Times are ISO 8601 in UTC. */
export function storesAnswer({ registry, events }: StoresState): Fields {
  const { instance, others, isLeader, leader } = registry;
  const { waiting, dropped } = events;
  return {
    registry: {
      ...storeAnswer(registry),
      instance,
      otherInstances: others,
      leader: isLeader,
      leaderInstance: leader,
    },
    events: { ...storeAnswer(events), waiting, dropped },
  };
}

function storeAnswer(store: StoresState["registry"] | StoresState["events"]): Fields {
  const { type, trouble, sinceMs } = store;
  const since = sinceMs === null ? null : new Date(sinceMs).toISOString();
  return { type, reachable: trouble === null, trouble, since };
}

/** `webhooks` of the same. */
export function webhooksAnswer(webhooks: readonly WebhookState[]): readonly Fields[] {
  return webhooks.map(({ webhook, waiting, outcomes, attempts, lastFailure }) => ({
    webhook,
    waiting,
    ...outcomes,
    attempts,
    lastFailure:
      lastFailure === null
        ? null
        : { at: new Date(lastFailure.atMs).toISOString(), why: lastFailure.why },
  }));
}

/** A provider, and why the latest list of its apps failed; `null`: it did not. */
export interface ProviderState {
  readonly name: string;
  readonly trouble: string | null;
}

/** `providers` of `GET /__status`: while one has trouble, none of its apps is put to sleep. */
export function providersAnswer(providers: readonly ProviderState[]): Fields {
  return Object.fromEntries(
    providers.map(({ name, trouble }) => [name, { reachable: trouble === null, trouble }]),
  );
}
