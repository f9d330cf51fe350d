/** What the calls for one service on Render share: the reads they are made of, and what was seen before. */

import { type Target, targetOf } from "../app.ts";
import type { Clock } from "../clock.ts";
import type { RenderConfig } from "../config.ts";
import type { Sleeping } from "./platform-sleeping.ts";
import type { Observation } from "./provider.ts";
import type { AppOrder, RenderApi } from "./render-api.ts";
import type { RenderDeploy, RenderService } from "./render-json.ts";
import { observationOf } from "./render-state.ts";

/** Everything that the provider's functions work with. What is kept by id goes with the service. */
export interface RenderContext {
  readonly config: RenderConfig;
  readonly clock: Clock;
  readonly api: RenderApi;
  /** Names, as they were seen last. */
  readonly names: Map<string, string>;
  /** Where services answer whose name on Render is switched off: found out by a look, and kept until the next. */
  readonly targets: Map<string, Target>;
  /** What was last seen. */
  readonly seen: Map<string, Seen>;
  readonly sleeping: Sleeping;
  /** What calls off a suspend that was not sent yet. */
  readonly stops: Map<string, AbortController>;
  /** When an earlier run began a wake whose end it did not see, ms. */
  readonly recalled: Map<string, number>;
}

/** What was seen of a service, when, and since when it has been so, as far as was seen. */
export interface Seen {
  readonly observation: Observation;
  readonly atMs: number;
  readonly sinceMs: number;
}

/** A service as it is now; `deploy`: its newest, `null` also while it is suspended, when that says nothing. */
export interface View {
  readonly service: RenderService;
  readonly deploy: RenderDeploy | null;
  readonly observation: Observation;
}

/** One fresh look: two calls, and one more for a service without a name on Render. */
export async function lookAt(context: RenderContext, order: AppOrder): Promise<View> {
  const [service, deploy] = await Promise.all([
    context.api.fetchService(order),
    context.api.fetchNewestDeploy(order),
  ]);
  context.names.set(order.id, service.name);
  const known = service.target ?? context.targets.get(order.id);
  const target = known ?? (await ownDomainOf(context, order));
  const located = { ...service, target };
  const observation = observationOf(located, deploy);
  note(context, order.id, observation);
  return { service: located, deploy, observation };
}

/** Remembers what was seen. */
export function note({ clock, seen }: RenderContext, id: string, observation: Observation): void {
  const atMs = clock.now();
  const before = seen.get(id);
  const isSame = before?.observation.phase === observation.phase;
  seen.set(id, { observation, atMs, sinceMs: isSame ? before.sinceMs : atMs });
}

/** Where its name on onrender.com is switched off. */
async function ownDomainOf(
  { api, targets }: RenderContext,
  order: AppOrder,
): Promise<Target | null> {
  const [name] = await api.fetchDomains(order);
  if (name === undefined) return null;
  const target = targetOf(`https://${name}`);
  targets.set(order.id, target);
  return target;
}
