/** The provider of apps on Kubernetes. */

import type { Clock } from "../clock.ts";
import type { KubernetesConfig } from "../config.ts";
import type { Log } from "../log.ts";
import { throwIfAborted } from "./abortable.ts";
import { createKubernetesApi } from "./kubernetes-api.ts";
import {
  type AppOrder,
  type KubernetesContext,
  look,
  openScopes,
  withTrouble,
} from "./kubernetes-context.ts";
import type { ReadOrder } from "./kubernetes-feed.ts";
import { fieldsOf, objectKeyOf, textOf } from "./kubernetes-json.ts";
import { createWorkloadLists, readWorkloads } from "./kubernetes-list.ts";
import { sleep, takeSnapshot } from "./kubernetes-sleep.ts";
import { poll, wake } from "./kubernetes-wake.ts";
import { createNews } from "./kubernetes-watch.ts";
import { createWatchReport } from "./kubernetes-watch-report.ts";
import { placeOf } from "./kubernetes-workload.ts";
import type { PlatformFetch, Urgency } from "./platform-api.ts";
import { createCondition } from "./platform-condition.ts";
import { type AccountReport, type Observation, type Provider, ProviderError } from "./provider.ts";

/** Everything the provider is made of. */
export interface KubernetesDeps {
  readonly config: KubernetesConfig;
  readonly clock: Clock;
  /** 0 to 1, exclusive. */
  readonly random: () => number;
  readonly log: Log;
  readonly fetch: PlatformFetch;
}

/** Images may have to be pulled, and nodes to be added. */
const WAKE_TIMEOUT_MS = 300_000;
/** Pods of a StatefulSet end one after the other, each in its own grace period. */
const SLEEP_TIMEOUT_MS = 10 * 60_000;
/** Lists are answered from what was watched: they may follow each other soon, ms. */
const LIST_PAUSE_MS = 1_000;

/** Nothing is read or sent before the first call. */
export function createKubernetesProvider(deps: KubernetesDeps): Provider {
  const { clock, log } = deps;
  const fields = { provider: "kubernetes" };
  const condition = () => createCondition({ bad: log.warn, good: log.info, fields, clock });
  const api = createKubernetesApi(deps);
  const context: KubernetesContext = {
    ...deps,
    api,
    watchReport: createWatchReport(deps),
    scopes: null,
    sleeping: new Map(),
    woken: new Map(),
    troubles: new Map(),
    warned: new Map(),
    podsRefusedUntilMs: Number.NEGATIVE_INFINITY,
    podsRefused: condition(),
    slicesRefused: condition(),
  };
  const lists = createWorkloadLists(context);
  const news = createNews(context);
  const order = (id: string, urgency: Urgency, signal: AbortSignal) => ({ id, urgency, signal });
  return {
    name: "kubernetes",
    capabilities: {
      listsDeclaredApps: false,
      listHasState: true,
      wakeTimeoutMs: WAKE_TIMEOUT_MS,
      sleepTimeoutMs: SLEEP_TIMEOUT_MS,
      // An image that is still being pulled, or a node that is on its way, is not given up.
      sleepAfterFailedWake: false,
      listPauseMs: LIST_PAUSE_MS,
    },
    list: (signal) => lists.fetch(signal),
    whyUnlisted: lists.whyUnlisted,
    isWhole: lists.isWhole,
    observe: (id, signal) => observe(context, id, signal),
    takeSnapshot: (id, signal) => takeSnapshot(context, order(id, "sleep", signal)),
    wake: (id, snapshot, signal) => wake(context, order(id, "wake", signal), snapshot),
    // The annotation and the snapshot are the same, and the workload itself says it once more.
    sleep: (id, _snapshot, signal) => sleep(context, order(id, "sleep", signal)),
    poll: (id, operation, signal) => poll(context, order(id, "wake", signal), operation),
    watch: (watcher) => news.tell(watcher),
    check: (signal) => check(context, signal),
    async close() {
      const over = news.close();
      api.close();
      await over;
    },
  };
}

/** Whoever looks at an app that is up wants to put it to sleep; others wait for it. */
function urgencyOfLook({ scopes }: KubernetesContext, id: string): Urgency {
  const place = placeOf(id);
  const key = objectKeyOf(place);
  const known = scopes?.map(({ workloads }) => workloads[place.kind].known?.get(key));
  return known?.some((one) => (one?.status.ready ?? 0) > 0) ? "sleep" : "wake";
}

async function observe(
  context: KubernetesContext,
  id: string,
  signal: AbortSignal,
): Promise<Observation> {
  throwIfAborted(signal, `observing ${id}`);
  const order: AppOrder = { id, urgency: urgencyOfLook(context, id), signal };
  return await withTrouble(context, await look(context, order), order);
}

async function check(
  context: KubernetesContext,
  signal: AbortSignal,
): Promise<readonly AccountReport[]> {
  const order = { urgency: "wake", signal } as const;
  const { baseUrl } = await context.api.connection.access();
  const account = `Kubernetes ${await versionOf(context, order)} at ${new URL(baseUrl).host}`;
  const scopes = await openScopes(context);
  return await Promise.all(
    scopes.map(async (scope) => {
      const workloads = await readWorkloads(scope, order);
      await scope.services.read(order);
      const apps = workloads.filter(({ marks }) => marks.isEnabled).length;
      const region = scope.namespace ?? "all namespaces";
      return { account, region, apps, remaining: null };
    }),
  );
}

/** Something in front of the cluster, or a strict cluster, may keep it to itself; the lists show what counts. */
async function versionOf({ api }: KubernetesContext, order: ReadOrder): Promise<string> {
  const what = "ask the cluster for its version";
  try {
    const { body } = await api.send({ what, method: "GET", path: "/version", ...order });
    return textOf(fieldsOf(body).gitVersion) || UNKNOWN_VERSION;
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    if (error.kind === "forbidden" || error.kind === "not-found") return UNKNOWN_VERSION;
    throw error;
  }
}

const UNKNOWN_VERSION = "of an unknown version";
