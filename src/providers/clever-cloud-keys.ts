/** Which key each Clever Cloud app is listed with, where several may have the same name. */

import { aliasOf, slugOf } from "./slug.ts";

/** An app as far as its key goes. */
export interface Named {
  /** Unique among all. */
  readonly id: string;
  /** `app_<uuid>`. */
  readonly appId: string;
  readonly name: string;
  /** When it was made, ms since the epoch; `Infinity`: nobody can say; `null`: not asked yet. */
  readonly createdMs: number | null;
}

/** Every app with its key, in the order in which they are to be listed. */
export interface Keys<T extends Named> {
  readonly keyed: readonly { readonly app: T; readonly key: string }[];
  /** Slug -> id of the app that comes first for it. */
  readonly holders: ReadonlyMap<string, string>;
}

/**
 * Pure. An app's key is the slug of its name, or its alias where nothing is left of the name. Apps of the same
 * slug are listed oldest first, so that a new app never takes another one's address; until it is known of all of
 * them when they were made, the one that had the slug keeps it, and the others go by their aliases.
 * @param before the holders of the list before this one
 */
export function keysOf<T extends Named>(
  apps: readonly T[],
  before: ReadonlyMap<string, string>,
): Keys<T> {
  const holders = new Map<string, string>();
  const keyed: { app: T; key: string }[] = [];
  for (const [slug, sharing] of Map.groupBy(apps, ({ name }) => slugOf(name))) {
    const byAge = sharing.toSorted(compareAge);
    const isClear = byAge.length === 1 || byAge.every(({ createdMs }) => createdMs !== null);
    const holder = isClear ? byAge[0]?.id : before.get(slug);
    if (holder !== undefined) holders.set(slug, holder);
    for (const app of byAge) {
      const hasSlug = slug !== "" && (isClear || app.id === holder);
      keyed.push({ app, key: hasSlug ? slug : aliasOf(app.appId) });
    }
  }
  return { keyed, holders };
}

function compareAge(one: Named, other: Named): number {
  const [oneMs, otherMs] = [one.createdMs ?? Infinity, other.createdMs ?? Infinity];
  if (oneMs !== otherMs) return oneMs - otherMs;
  return one.appId < other.appId ? -1 : 1;
}
