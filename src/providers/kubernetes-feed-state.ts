/** What the reading and the following of one feed share. */

import type { FeedDeps, FeedKind } from "./kubernetes-feed.ts";
import type { Turns } from "./kubernetes-feed-list.ts";
import type { Urgency } from "./platform-api.ts";
import type { Condition } from "./platform-condition.ts";

/** What is known of the objects of one kind, and how. Reading and following both change it. */
export interface FeedState<T> extends FeedDeps {
  readonly kind: FeedKind<T>;
  readonly namespace: string | null;
  /** Where they are listed. */
  readonly path: string;
  /** By namespace and name. */
  items: Map<string, T>;
  /** Up to where everything is known; `null`: nothing is. */
  version: string | null;
  /** When the watch last said something, ms since the epoch. */
  heardMs: number;
  /** Aborted and replaced by each list: a watch goes on from there. */
  relisted: AbortController;
  /** Until when they are not asked for, as that is not allowed, ms since the epoch. */
  refusedUntilMs: number;
  /** How many lists were begun, and which of them the newest was that has ended. */
  asked: number;
  answered: number;
  /** Why the watch has failed several times in a row; `null`: it has not. */
  failing: string | null;
  /** The newest list has failed as well. */
  isUnlisted: boolean;
  readonly unlisted: Condition;
  readonly turns: Readonly<Record<Urgency, Turns<T>>>;
}

/** How long nothing is asked that is not allowed, ms. */
export const REFUSED_MS = 10 * 60_000;

/** What a feed is about, for people. */
export function nameOf<T>({ kind, namespace }: Pick<FeedState<T>, "kind" | "namespace">): string {
  return `${kind.plural} of ${namespace ?? "the cluster"}`;
}

/** What counts: `news`, or what is known to be newer. */
export function newest<T>({ items, kind }: FeedState<T>, news: T, key: string): T {
  const known = items.get(key);
  return known !== undefined && kind.isOlder?.(news, known) === true ? known : news;
}
