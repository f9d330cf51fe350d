/** Changes of a workload in the cluster: of its replicas, and of what is written on it. */

import {
  type AppOrder,
  type KubernetesContext,
  nameOf,
  pathOf,
  type Seen,
} from "./kubernetes-context.ts";
import type { Workload } from "./kubernetes-workload.ts";
import type { ApiAnswer, ApiCall } from "./platform-api.ts";
import { ProviderError, type Step } from "./provider.ts";

/** As the cluster shows whose change it was. */
const MANAGER = "fieldManager=paastis";
/** Leaves alone what it does not name, and never conflicts unless it names a version. Source: RFC 7396. */
const MERGE_PATCH = { "content-type": "application/merge-patch+json" } as const;
/** Tries at a change that others are quicker with. */
const TRIES_MAX = 5;

/** Sets how many replicas are wanted. @returns as `patch` */
export function scale(
  context: KubernetesContext,
  order: AppOrder,
  scaling: {
    readonly workload: Workload;
    readonly to: number;
    /** Only while it is this one; left out: whatever it is. */
    readonly resourceVersion?: string;
  },
): Promise<ApiAnswer | "conflict"> {
  const { workload, to, resourceVersion } = scaling;
  const name = nameOf(workload);
  return patch(context, order, {
    what: to === 0 ? `put ${name} to sleep` : `wake ${name}`,
    path: `${pathOf(workload)}/scale`,
    // Whoever was quicker than a second try would be overruled by it.
    isRepeatable: resourceVersion !== undefined,
    body: {
      ...(resourceVersion !== undefined && { metadata: { resourceVersion } }),
      spec: { replicas: to },
    },
  });
}

/**
 * Changes what the patch names.
 * @returns `conflict` when it has to be looked at anew: somebody else was quicker, or nobody knows whether we were
 * @throws ProviderError as `PlatformApi.send`, but for those two
 */
export async function patch(
  { api }: KubernetesContext,
  { urgency, signal }: AppOrder,
  change: Pick<ApiCall, "what" | "path" | "body" | "isRepeatable">,
): Promise<ApiAnswer | "conflict"> {
  try {
    return await api.send({
      ...change,
      method: "PATCH",
      path: `${change.path}?${MANAGER}`,
      headers: MERGE_PATCH,
      urgency,
      signal,
    });
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    if (error.kind === "busy" || error.isUncertain) return "conflict";
    throw error;
  }
}

/**
 * What somebody else has changed at the same time is looked at anew, and decided anew.
 * @throws ProviderError `busy` when that does not end; otherwise what `work` rejects with
 */
export async function untilNobodyIsQuicker(
  id: string,
  work: () => Promise<Step | "conflict">,
): Promise<Step> {
  for (let tries = 1; tries <= TRIES_MAX; tries += 1) {
    const step = await work();
    if (step !== "conflict") return step;
  }
  throw new ProviderError("busy", `${id} is changed by somebody else, again and again`);
}

/** @throws ProviderError `invalid` when it cannot be reached, or somebody else scales it */
export function refuseUnmanaged({ workload, observation }: Seen): void {
  if (observation.phase !== "unmanaged") return;
  const message = `${nameOf(workload)} is left alone: ${observation.reason ?? ""}`;
  throw new ProviderError("invalid", message);
}
