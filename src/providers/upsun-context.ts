/** What the calls for one environment on Upsun share: the reads they are made of, and what was seen before. */

import type { Target } from "../app.ts";
import type { Clock } from "../clock.ts";
import type { UpsunConfig } from "../config.ts";
import type { Sleeping } from "./platform-sleeping.ts";
import type { Phase } from "./provider.ts";
import type { AppOrder, UpsunApi } from "./upsun-api.ts";
import type { UpsunActivity, UpsunEnvironment } from "./upsun-json.ts";
import { progressOf } from "./upsun-state.ts";

/** Everything that the provider's functions work with. What is kept by id goes with the environment. */
export interface UpsunContext {
  readonly config: UpsunConfig;
  readonly clock: Clock;
  readonly api: UpsunApi;
  readonly sleeping: Sleeping;
  /** Where environments answer that do not say so themselves: found out by a look. */
  readonly targets: Map<string, Target>;
  /** What the last look saw. */
  readonly phases: Map<string, Phase>;
  /** What was seen right before a pause, and when. */
  readonly looked: Map<string, View & { readonly atMs: number }>;
  /** What calls off a pause that was not sent yet. */
  readonly stops: Map<string, AbortController>;
}

/** An environment, and what goes on with it. */
export interface View {
  readonly environment: UpsunEnvironment;
  /** The newest activity that has not ended; `null`: none goes on. */
  readonly running: UpsunActivity | null;
  /** Newest first. */
  readonly activities: readonly UpsunActivity[];
}

/** Our id of an environment: branches of one name are in many projects. */
export function idOf({
  projectId,
  environmentId,
}: Pick<AppOrder, "projectId" | "environmentId">): string {
  return `${projectId}/${environmentId}`;
}

/** One complete look, in two calls: that nothing goes on with an environment its status alone does not promise. */
export async function lookAt({ api }: UpsunContext, order: AppOrder): Promise<View> {
  const [environment, activities] = await Promise.all([
    api.fetchEnvironment(order),
    api.fetchActivities(order),
  ]);
  return { environment, running: runningIn(activities), activities };
}

/** The newest activity that has not ended; `null`: none goes on. */
export function runningIn(activities: readonly UpsunActivity[]): UpsunActivity | null {
  return activities.find((activity) => progressOf(activity) === "going-on") ?? null;
}

/**
 * Where an environment answers, in one call: what its routes say, which a deployment may have changed; otherwise what it
 * says itself; otherwise the name that Upsun gave it, which leads to it where nothing else does. `null`: nowhere.
 */
export async function locate(
  { api, targets }: UpsunContext,
  order: AppOrder,
  environment: UpsunEnvironment,
): Promise<Target | null> {
  const found = await api.fetchTarget(order);
  if (found !== null) targets.set(idOf(order), found);
  return found ?? environment.target ?? environment.edge;
}
