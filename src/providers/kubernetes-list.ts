/** The apps in the cluster: all workloads that are marked, as they are now. */

import { messageOf } from "../errors.ts";
import { throwIfAborted, unlessAborted } from "./abortable.ts";
import { keyOfName } from "./kubernetes-annotations.ts";
import {
  holds,
  type KubernetesContext,
  openScopes,
  readNeighbours,
  type Scope,
  type Seen,
  see,
  withTrouble,
} from "./kubernetes-context.ts";
import type { ReadOrder } from "./kubernetes-feed.ts";
import type { Workload } from "./kubernetes-workload.ts";
import { type Condition, createCondition } from "./platform-condition.ts";
import { type Listing, type Trouble, troubleOf } from "./provider.ts";

/** The list of all namespaces that are looked after. */
export interface WorkloadLists {
  /**
   * A namespace that fails keeps the apps that it had, in an unknown state, so that the others' still come and go.
   * @throws ProviderError when all fail
   */
  fetch(signal: AbortSignal): Promise<readonly Listing[]>;
  /** Why the newest list cannot know of this app: its namespace could not be listed. `null`: it could. */
  whyUnlisted(id: string): string | null;
  /** Whether each namespace has been listed at least once. */
  isWhole(): boolean;
}

interface State {
  readonly context: KubernetesContext;
  /** What each listed last. */
  readonly listed: Map<Scope, readonly Listing[]>;
  /** Those that could not be listed the last time. */
  readonly silent: Map<Scope, { readonly why: string; readonly trouble: Trouble | null }>;
  /** Says which those are, where others could be listed. */
  readonly conditions: Map<Scope, Condition>;
}

/**
 * Annotations cannot be selected by the cluster, so that all workloads are listed, and those with none of our marks
 * passed over. While the watches can be trusted, that costs no call: what they told is answered. Otherwise it is one
 * call per kind and namespace.
 */
export function createWorkloadLists(context: KubernetesContext): WorkloadLists {
  const state: State = { context, listed: new Map(), silent: new Map(), conditions: new Map() };
  return {
    fetch: (signal) => fetchAll(state, signal),
    whyUnlisted(id) {
      for (const [scope, { why }] of state.silent) if (holds(scope, namespaceIn(id))) return why;
      return null;
    },
    isWhole: () => [...state.silent.keys()].every((scope) => state.listed.has(scope)),
  };
}

function namespaceIn(id: string): string {
  return id.split("/")[0] ?? "";
}

async function fetchAll(state: State, signal: AbortSignal): Promise<readonly Listing[]> {
  const { context, silent } = state;
  const what = "listing the apps in the cluster";
  throwIfAborted(signal, what);
  const scopes = await unlessAborted(openScopes(context), signal, what);
  const settled = await Promise.allSettled(
    scopes.map((scope) => listScope(context, scope, { urgency: "sweep", signal })),
  );
  for (const [index, scope] of scopes.entries()) note(state, scope, settled[index]);
  const failure = settled.find((result) => result.status === "rejected");
  // Whoever asked for the list says so.
  if (failure !== undefined && silent.size === scopes.length) throw failure.reason;
  for (const scope of scopes) report(state, scope);
  const listings = scopes.flatMap((scope) => listingsIn(state, scope));
  forgetOthers(state, listings);
  return listings;
}

function note(
  { listed, silent }: State,
  scope: Scope,
  result: PromiseSettledResult<readonly Listing[]> | undefined,
): void {
  if (result?.status !== "fulfilled") {
    const { reason } = result ?? {};
    silent.set(scope, { why: messageOf(reason), trouble: troubleOf(reason) });
    return;
  }
  silent.delete(scope);
  listed.set(scope, result.value);
}

function report({ context, silent, conditions }: State, scope: Scope): void {
  const { log, clock } = context;
  const fields = { provider: "kubernetes", namespace: scope.namespace };
  const condition =
    conditions.get(scope) ?? createCondition({ bad: log.warn, good: log.info, fields, clock });
  conditions.set(scope, condition);
  const found = silent.get(scope);
  if (found === undefined) {
    condition.end("lists the apps of this namespace again");
    return;
  }
  const { why, trouble } = found;
  // The log has it already, unless it has it from here.
  if (trouble?.isKnown() === true && !condition.isKnown()) return;
  const until = "until it can, what is known of them stays, and none of them is put to sleep";
  condition.begin(`cannot list the apps of this namespace (${why}): ${until}`);
  trouble?.takeOver();
}

/** Of a namespace that was never listed nobody knows the apps: those of an earlier run stay as they are. */
function listingsIn({ listed, silent }: State, scope: Scope): readonly Listing[] {
  const listings = listed.get(scope) ?? [];
  const reason = silent.get(scope)?.why;
  if (reason === undefined) return listings;
  return listings.map((listing) => ({
    ...listing,
    observation: { phase: "unknown", target: listing.observation?.target ?? null, reason },
  }));
}

function forgetOthers({ context, silent }: State, listings: readonly Listing[]): void {
  const ids = new Set(listings.map(({ id }) => id));
  const isSilent = (id: string) =>
    [...silent.keys()].some((scope) => holds(scope, namespaceIn(id)));
  for (const map of [context.woken, context.troubles]) {
    for (const id of map.keys()) if (!ids.has(id) && !isSilent(id)) map.delete(id);
  }
}

/** Apps whose pods are looked at per list: the others' turn comes with the next. */
const TROUBLES_MAX = 10;

async function listScope(
  context: KubernetesContext,
  scope: Scope,
  order: ReadOrder,
): Promise<readonly Listing[]> {
  const [workloads, neighbours] = await Promise.all([
    readWorkloads(scope, order),
    readNeighbours(scope, order),
  ]);
  for (const workload of workloads) warnOf(context, workload);
  const seen = workloads
    .filter(({ marks }) => marks.isEnabled)
    .map((workload) => see(context, { scope, workload, neighbours }));
  const waking = seen.filter(({ observation }) => observation.phase === "waking");
  const looked = new Set(waking.slice(0, TROUBLES_MAX));
  return await Promise.all(
    seen.map(async (one) => {
      const listing = listingOf(context, one);
      if (!looked.has(one)) return listing;
      return { ...listing, observation: await withTrouble(context, one, order) };
    }),
  );
}

/** Every workload of a namespace that has one of our marks, in a fixed order. */
export async function readWorkloads(scope: Scope, order: ReadOrder): Promise<readonly Workload[]> {
  const { deployment, statefulset } = scope.workloads;
  const lists = await Promise.all([deployment.read(order), statefulset.read(order)]);
  return lists.flat().toSorted((one, other) => (placeText(one) < placeText(other) ? -1 : 1));
}

/** Deployments first. */
function placeText({ namespace, kind, name }: Workload): string {
  return `${kind} ${namespace} ${name}`;
}

function listingOf({ config }: KubernetesContext, { workload, observation }: Seen): Listing {
  const { id, marks, kind, name, namespace } = workload;
  const key = marks.key ?? keyOfName(name) ?? name;
  const alias = keyOfName(`${key}-${namespace}`);
  const hasSeveral = config.namespaces === "all" || (config.namespaces?.length ?? 0) > 1;
  return {
    id,
    key,
    label: `${kind} ${name} in ${namespace}`,
    ...(hasSeveral && alias !== null && { aliases: [alias] }),
    observation,
    sleepsByItself: false,
    settings: marks.settings,
  };
}

/** Says once what is wrong with the marks on a workload. */
function warnOf({ warned, log }: KubernetesContext, { id, name, marks }: Workload): void {
  const problems = [...marks.problems];
  if (marks.isEnabled && marks.key === null && keyOfName(name) === null) {
    problems.push(`its name can be no host's first label: name it in paastis.dev/name`);
  }
  const text = problems.join("; ");
  if (text === (warned.get(id) ?? "")) return;
  warned.set(id, text);
  const fields = { provider: "kubernetes", workload: id, reason: text };
  if (text !== "") log.warn(fields, "what is written on a workload is ignored in part");
}
