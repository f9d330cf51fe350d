/** All objects of one kind in one namespace, or in the whole cluster: listed, then watched. */

import type { Clock } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { KubernetesApi, ListOrder } from "./kubernetes-api.ts";
import { follow } from "./kubernetes-feed-follow.ts";
import { listTogether, noTurns } from "./kubernetes-feed-list.ts";
import { type FeedState, newest, REFUSED_MS } from "./kubernetes-feed-state.ts";
import type { WatchReport } from "./kubernetes-watch-report.ts";
import { createCondition } from "./platform-condition.ts";
import { ProviderError } from "./provider.ts";

/** A kind of object. */
export interface FeedKind<T> {
  /** As it stands in URLs and roles: `deployments`. */
  readonly plural: string;
  /** `/api/v1`, `/apis/apps/v1`. */
  readonly group: string;
  /** What to keep of an object; `null`: nothing. */
  readonly read: (object: unknown) => T | null;
  /** Of two readings of the same object: whether `news` is the older one. */
  readonly isOlder?: (news: T, known: T) => boolean;
  /** What is wrong where these cannot be listed or watched; the rest works without. Left out: they are needed. */
  readonly without?: string;
}

/** One object came, changed (both are given) or went. */
export interface FeedChange<T> {
  readonly before: T | null;
  readonly after: T | null;
}

/** Who follows the changes. */
export interface FeedFollower<T> {
  readonly onChange: (change: FeedChange<T>) => void;
  /** What happened cannot be told one by one any more: somebody should read everything. */
  readonly onGap: () => void;
  readonly signal: AbortSignal;
}

/** Who reads, and how urgently. */
export type ReadOrder = Pick<ListOrder, "urgency" | "signal">;

/** Made by `createFeed`. */
export interface Feed<T> {
  /** `null`: the whole cluster. */
  readonly namespace: string | null;
  /**
   * Everything there is: as it was watched, while the watch can be trusted, otherwise as it is listed now.
   * @throws ProviderError as a list call; never `forbidden` or `not-found` where these are not needed
   */
  read(order: ReadOrder): Promise<readonly T[]>;
  /** Everything that was read or watched so far, by namespace and name; `null`: nothing was read yet. */
  readonly known: ReadonlyMap<string, T> | null;
  /** Somebody has read one object on its own. @returns what counts now: that, or what is known to be newer */
  accept(object: T, key: string): T;
  /** Watches until the signal aborts, beginning with the first read. Never rejects. */
  follow(follower: FeedFollower<T>): Promise<void>;
}

/** What feeds are made of. */
export interface FeedDeps {
  readonly api: KubernetesApi;
  /** Shared by all feeds. */
  readonly watchReport: WatchReport;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** What is watched is trusted so long after the last word, ms. Bookmarks come about once a minute. */
const TRUST_MS = 90_000;

/** Nothing is asked before the first read. */
export function createFeed<T>(
  deps: FeedDeps,
  kind: FeedKind<T>,
  namespace: string | null,
): Feed<T> {
  const { clock, log } = deps;
  const fields = { provider: "kubernetes", kind: kind.plural, ...(namespace && { namespace }) };
  const state: FeedState<T> = {
    ...deps,
    kind,
    namespace,
    path: pathOf(kind, namespace),
    items: new Map(),
    version: null,
    heardMs: Number.NEGATIVE_INFINITY,
    relisted: new AbortController(),
    refusedUntilMs: Number.NEGATIVE_INFINITY,
    asked: 0,
    answered: 0,
    failing: null,
    isUnlisted: false,
    turns: { wake: noTurns(), sweep: noTurns(), sleep: noTurns() },
    unlisted: createCondition({ bad: log.warn, good: log.info, fields, clock }),
  };
  return {
    namespace,
    read: (order) => read(state, order),
    get known() {
      return state.answered === 0 && clock.now() >= state.refusedUntilMs ? null : state.items;
    },
    accept: (object, key) => accept(state, object, key),
    follow: (follower) => follow(state, follower),
  };
}

function pathOf(
  { group, plural }: Pick<FeedKind<unknown>, "group" | "plural">,
  namespace: string | null,
): string {
  const scope = namespace === null ? "" : `namespaces/${encodeURIComponent(namespace)}/`;
  return `${group}/${scope}${plural}`;
}

async function read<T>(state: FeedState<T>, order: ReadOrder): Promise<readonly T[]> {
  const { clock, kind, unlisted } = state;
  if (clock.now() - state.heardMs < TRUST_MS) return [...state.items.values()];
  if (kind.without !== undefined && clock.now() < state.refusedUntilMs) return [];
  try {
    const listed = await listTogether(state, order);
    unlisted.end(`${kind.plural} can be listed again`);
    return listed;
  } catch (error) {
    if (kind.without === undefined || !isRefusal(error)) throw error;
    state.refusedUntilMs = clock.now() + REFUSED_MS;
    unlisted.begin(`${messageOf(error)}; ${kind.without}`);
    return [];
  }
}

function isRefusal(error: unknown): boolean {
  if (!(error instanceof ProviderError)) return false;
  return error.kind === "forbidden" || error.kind === "not-found";
}

function accept<T>(state: FeedState<T>, object: T, key: string): T {
  const counts = newest(state, object, key);
  state.items.set(key, counts);
  return counts;
}
