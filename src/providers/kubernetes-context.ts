/** What the calls for one app in the cluster share: where its objects are read, and what they say about it. */

import { throwIfAborted } from "./abortable.ts";
import type { KubernetesDeps } from "./kubernetes.ts";
import type { KubernetesApi } from "./kubernetes-api.ts";
import {
  type Autoscaler,
  readAutoscaler,
  type Scaling,
  scalingOf,
} from "./kubernetes-autoscaler.ts";
import { createFeed, type Feed, type FeedKind, type ReadOrder } from "./kubernetes-feed.ts";
import { fieldsOf, listOf, objectKeyOf } from "./kubernetes-json.ts";
import { type Trouble, troubleOf } from "./kubernetes-pods.ts";
import { type Route, readService, routeOf, type Service } from "./kubernetes-service.ts";
import { observationOf } from "./kubernetes-state.ts";
import type { WatchReport } from "./kubernetes-watch-report.ts";
import {
  placeOf,
  readWorkload,
  type Workload,
  type WorkloadKind,
  type WorkloadPlace,
} from "./kubernetes-workload.ts";
import type { Condition } from "./platform-condition.ts";
import { type Observation, ProviderError } from "./provider.ts";

/** Everything that the provider's functions work with. */
export interface KubernetesContext extends KubernetesDeps {
  readonly api: KubernetesApi;
  readonly watchReport: WatchReport;
  /** What is looked after; `null`: nobody has called yet, and it may depend on what a file says. */
  scopes: readonly Scope[] | null;
  /** Calls that put an app to sleep, by its id: a wake waits for their end. */
  readonly sleeping: Map<string, Promise<unknown>>;
  /** Apps that were woken, by id, and what they were before: news of that time says nothing about the wake. */
  readonly woken: Map<string, Pick<Workload, "uid" | "generation">>;
  /** Why apps that are waking are not up yet, by id, as far as their pods say. */
  readonly troubles: Map<string, string>;
  /** Warnings that were written about the marks on workloads, by id. */
  readonly warned: Map<string, string>;
  /** Until when pods are not asked for, as that is not allowed, ms since the epoch. */
  podsRefusedUntilMs: number;
  readonly podsRefused: Condition;
  readonly slicesRefused: Condition;
}

/** One namespace, or the whole cluster. */
export interface Scope {
  /** `null`: the whole cluster. */
  readonly namespace: string | null;
  readonly workloads: Readonly<Record<WorkloadKind, Feed<Workload>>>;
  readonly services: Feed<Service>;
  readonly autoscalers: Feed<Autoscaler>;
}

/** An app, and how urgent a call about it is. */
export interface AppOrder extends ReadOrder {
  readonly id: string;
}

/** A fresh look at an app. */
export interface Seen {
  readonly scope: Scope;
  readonly workload: Workload;
  readonly route: Route;
  readonly scaling: Scaling;
  readonly observation: Observation;
}

/** What is read besides the workload itself. */
export interface Neighbours {
  readonly services: readonly Service[];
  readonly autoscalers: readonly Autoscaler[];
}

const APPS = "/apis/apps/v1";

/** What of a workload is newer: what is wanted only ever changes forward. */
function isOlder(news: Workload, known: Workload): boolean {
  return news.uid === known.uid && news.generation < known.generation;
}

function workloadKind(kind: WorkloadKind): FeedKind<Workload> {
  return {
    group: APPS,
    plural: `${kind}s`,
    read(object) {
      const workload = readWorkload(kind, object);
      // Of all others there may be thousands.
      return workload?.marks.isMarked === true ? workload : null;
    },
    isOlder,
  };
}

const SERVICES: FeedKind<Service> = { group: "/api/v1", plural: "services", read: readService };

const AUTOSCALERS: FeedKind<Autoscaler> = {
  group: "/apis/autoscaling/v2",
  plural: "horizontalpodautoscalers",
  read: readAutoscaler,
  without: "apps with an autoscaler are treated as if they had none",
};

/** @throws ProviderError `auth` when a file that says where we are cannot be read */
export async function openScopes(context: KubernetesContext): Promise<readonly Scope[]> {
  if (context.scopes !== null) return context.scopes;
  const { namespaces } = context.config;
  const names = namespaces ?? [(await context.api.connection.access()).namespace];
  // Whoever was quicker has made them.
  context.scopes ??= (names === "all" ? [null] : names).map((name) => makeScope(context, name));
  return context.scopes;
}

function makeScope(context: KubernetesContext, namespace: string | null): Scope {
  return {
    namespace,
    workloads: {
      deployment: createFeed(context, workloadKind("deployment"), namespace),
      statefulset: createFeed(context, workloadKind("statefulset"), namespace),
    },
    services: createFeed(context, SERVICES, namespace),
    autoscalers: createFeed(context, AUTOSCALERS, namespace),
  };
}

/** Whether a scope looks after a namespace. */
export function holds(scope: Scope, namespace: string): boolean {
  return scope.namespace === null || scope.namespace === namespace;
}

/** Path of a workload's own resource. */
export function pathOf({ namespace, kind, name }: WorkloadPlace): string {
  return `${APPS}/namespaces/${encodeURIComponent(namespace)}/${kind}s/${encodeURIComponent(name)}`;
}

/** What a workload is called in messages. */
export function nameOf({ namespace, kind, name }: WorkloadPlace): string {
  return `${kind} ${namespace}/${name}`;
}

/**
 * Looks at an app as it is now.
 * @throws ProviderError `not-found` when there is no such workload, or it does not want to be looked after
 */
export async function look(context: KubernetesContext, order: AppOrder): Promise<Seen> {
  const place = placeOf(order.id);
  const { urgency, signal } = order;
  throwIfAborted(signal, `looking at ${nameOf(place)}`);
  const scope = await scopeOf(context, place);
  const what = `look at ${nameOf(place)}`;
  const [answer, neighbours] = await Promise.all([
    context.api.send({ what, method: "GET", path: pathOf(place), urgency, signal }),
    readNeighbours(scope, order),
  ]);
  const workload = readWorkload(place.kind, answer.body);
  if (workload === null) {
    throw new ProviderError("protocol", `could not ${what}: the answer is no ${place.kind}`);
  }
  return see(context, { scope, workload: take(scope, workload), neighbours });
}

/** Notes what was read of one workload. @returns what counts: it may be known to be newer */
export function take(scope: Scope, workload: Workload): Workload {
  if (!workload.marks.isEnabled) {
    const message = `${nameOf(workload)} is not marked with paastis.dev/enabled: "true" (any more)`;
    throw new ProviderError("not-found", message);
  }
  return scope.workloads[workload.kind].accept(workload, objectKeyOf(workload));
}

async function scopeOf(context: KubernetesContext, { namespace, name }: WorkloadPlace) {
  const scopes = await openScopes(context);
  const found = scopes.find((scope) => holds(scope, namespace));
  if (found !== undefined) return found;
  const why = `the namespace ${namespace} is not looked after (PROVIDER_KUBERNETES_NAMESPACES)`;
  throw new ProviderError("not-found", `there is no app ${namespace}/${name}: ${why}`);
}

/** The Services and autoscalers of a scope. */
export async function readNeighbours(scope: Scope, order: ReadOrder): Promise<Neighbours> {
  const [services, autoscalers] = await Promise.all([
    scope.services.read(order),
    scope.autoscalers.read(order),
  ]);
  return { services, autoscalers };
}

/** Pure. What all that was read says about an app. */
export function see(
  { config }: Pick<KubernetesContext, "config">,
  read: {
    readonly scope: Scope;
    readonly workload: Workload;
    readonly neighbours: Neighbours;
  },
): Seen {
  const { scope, workload, neighbours } = read;
  const route = routeOf(workload, neighbours.services, config);
  const scaling = scalingOf(workload, neighbours.autoscalers);
  const observation = observationOf(workload, { route, scaling });
  return { scope, workload, route, scaling, observation };
}

/** Pods that are looked at of one workload. */
const PODS_MAX = 20;
const REFUSED_MS = 10 * 60_000;

/** What is wrong with the pods of an app; `null`: nothing, or they may not be looked at. */
export async function troubleWith(
  context: KubernetesContext,
  { workload }: Pick<Seen, "workload">,
  { urgency, signal }: ReadOrder,
): Promise<Trouble | null> {
  const { api, clock, podsRefused } = context;
  if (workload.podSelector === "" || clock.now() < context.podsRefusedUntilMs) return null;
  const selector = encodeURIComponent(workload.podSelector);
  const path = `/api/v1/namespaces/${encodeURIComponent(workload.namespace)}/pods`;
  const what = `look at the pods of ${nameOf(workload)}`;
  try {
    const query = `labelSelector=${selector}&limit=${PODS_MAX}`;
    const call = { what, method: "GET", path: `${path}?${query}`, urgency, signal } as const;
    const { body } = await api.send(call);
    podsRefused.end("the pods of apps can be looked at again");
    return troubleOf(listOf(fieldsOf(body).items));
  } catch (error) {
    if (!(error instanceof ProviderError && error.kind === "forbidden")) throw error;
    context.podsRefusedUntilMs = clock.now() + REFUSED_MS;
    podsRefused.begin(`${error.message}; why an app does not start cannot be said`);
    return null;
  }
}

/** What is seen of an app, and what its pods say where it does not come up. */
export async function withTrouble(
  context: KubernetesContext,
  seen: Seen,
  order: ReadOrder,
): Promise<Observation> {
  const { observation, workload } = seen;
  if (observation.phase !== "waking") return observation;
  const trouble = await troubleWith(context, seen, order);
  if (trouble === null) return observation;
  context.troubles.set(workload.id, trouble.why);
  const phase = trouble.isFinal ? "failed" : "waking";
  return { ...observation, phase, reason: trouble.why };
}
