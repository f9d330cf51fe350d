/** Waits a while for the first pod behind a Service to take requests. */

import { deadline } from "../clock.ts";
import { throwIfAborted } from "./abortable.ts";
import { eitherOf } from "./either-signal.ts";
import { type AppOrder, type KubernetesContext, nameOf, type Seen } from "./kubernetes-context.ts";
import { hasReadyEndpoint, slicesQuery } from "./kubernetes-endpoints.ts";
import { watchOnce } from "./kubernetes-stream.ts";
import { ProviderError } from "./provider.ts";

/** How a wait ended. `unwatched`: it could not be watched, so that somebody has to look again. */
export type Readiness = "ready" | "not-yet" | "unwatched";

/**
 * Looks at the EndpointSlices of an app's Service, and watches them for `waitMs` unless one is ready already; 0: looks. Where
 * they may not be read, the workload's own count of ready pods has to do.
 * @throws ProviderError as a list call
 */
export async function untilReady(
  context: KubernetesContext,
  { workload, service }: Pick<Seen, "workload"> & { readonly service: string },
  { urgency, signal, waitMs }: Omit<AppOrder, "id"> & { readonly waitMs: number },
): Promise<Readiness> {
  const namespace = encodeURIComponent(workload.namespace);
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
  const query = slicesQuery(service);
  const what = `look whether ${nameOf(workload)} takes requests`;
  try {
    const list = await context.api.list({ what, path, query, urgency, signal });
    context.slicesRefused.end("EndpointSlices can be read again");
    if (list.items.some(hasReadyEndpoint)) return "ready";
    if (waitMs === 0) return "not-yet";
    const version = list.resourceVersion;
    return await watchFor(context, { path, query, version, waitMs, signal, what });
  } catch (error) {
    if (!(error instanceof ProviderError && error.kind === "forbidden")) throw error;
    const instead = "the pods that its workload counts as ready have to do";
    context.slicesRefused.begin(`${error.message}; ${instead}`);
    return workload.status.ready > 0 ? "ready" : "unwatched";
  }
}

/** A watch needs so long to be worth its while, s: the cluster counts in whole ones. */
const SECONDS_MIN = 1;

async function watchFor(
  context: KubernetesContext,
  order: {
    readonly path: string;
    readonly query: string;
    readonly version: string;
    readonly waitMs: number;
    readonly signal: AbortSignal;
    readonly what: string;
  },
): Promise<Readiness> {
  const { path, query, version, waitMs, signal, what } = order;
  const found = new AbortController();
  const round = deadline(context.clock, waitMs, {
    reason: new Error("that is long enough"),
    parent: signal,
  });
  const either = eitherOf([round.signal, found.signal, context.api.closing]);
  try {
    await watchOnce(context, {
      path,
      query,
      version,
      seconds: Math.max(SECONDS_MIN, Math.ceil(waitMs / 1000)),
      signal: either.signal,
      onEvent(event) {
        if (event.kind === "changed" && hasReadyEndpoint(event.object)) found.abort();
      },
    });
    return "unwatched";
  } catch (error) {
    throwIfAborted(signal, what);
    if (found.signal.aborted) return "ready";
    if (round.signal.aborted) return "not-yet";
    throw error;
  } finally {
    either.end();
    round.end();
  }
}
