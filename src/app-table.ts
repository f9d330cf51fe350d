/** Every app we know, by key and by identity, with its policy and its links. */

import type { App, AppRef, Policy } from "./app.ts";
import { refKey } from "./app.ts";

/** The table that routing, sweeps and notices look apps up in. */
export interface AppTable {
  /** The app that a key or an alias leads to. */
  byKey(key: string): App | null;
  /** Apps that no key leads to included. */
  byRef(ref: AppRef): App | null;
  /** Every app that has a key. */
  all(): readonly App[];
  /** Every app, also those whose key another app has: nobody can ask for them, and nothing puts them to sleep. */
  known(): readonly App[];
  /**
   * Adds an app and gives it its key.
   * @throws Error when key or identity is taken: look first
   */
  add(app: App): void;
  /**
   * Adds an app that no key leads to yet.
   * @throws Error when its identity is taken: look first
   */
  enroll(app: App): void;
  /** Takes an app out; requests no longer find it. Safe to repeat. */
  remove(app: App): void;
  /**
   * Says anew what leads where, and changes the keys of apps that go by another one now.
   * @param seats.holders every key and alias, and whom it leads to
   * @param seats.keys the key that each app goes by; an app without one keeps the name of its last
   */
  seat(seats: {
    readonly holders: ReadonlyMap<string, App>;
    readonly keys: ReadonlyMap<App, string>;
  }): void;
  /** Gives every app its policy anew and resolves the links between apps. */
  applyPolicies(policyOf: (app: App) => Policy): void;
}

interface Context {
  readonly keys: Map<string, App>;
  readonly refs: Map<string, App>;
  /** Apps that some key leads to. */
  readonly seated: Set<App>;
}

/** An empty table. */
export function createAppTable(): AppTable {
  const context: Context = { keys: new Map(), refs: new Map(), seated: new Set() };
  const { keys, refs, seated } = context;
  return {
    byKey: (key) => keys.get(key) ?? null,
    byRef: (ref) => refs.get(refKey(ref)) ?? null,
    all: () => [...refs.values()].filter((app) => seated.has(app)),
    known: () => [...refs.values()],
    add(app) {
      if (keys.has(app.key)) throw new Error(`the key ${app.key} (${refKey(app.ref)}) is taken`);
      enroll(context, app);
      keys.set(app.key, app);
      seated.add(app);
    },
    enroll: (app) => enroll(context, app),
    remove(app) {
      if (refs.get(refKey(app.ref)) !== app) return;
      refs.delete(refKey(app.ref));
      seated.delete(app);
      for (const [key, holder] of keys) if (holder === app) keys.delete(key);
    },
    seat(seats) {
      keys.clear();
      seated.clear();
      for (const [key, app] of seats.holders) keys.set(key, app);
      for (const [app, key] of seats.keys) {
        rename(app, key);
        seated.add(app);
      }
    },
    applyPolicies(policyOf) {
      for (const app of refs.values()) app.policy = policyOf(app);
      resolveLinks(context);
    },
  };
}

function enroll({ refs }: Context, app: App): void {
  if (refs.has(refKey(app.ref))) throw new Error(`${refKey(app.ref)} is in the table already`);
  refs.set(refKey(app.ref), app);
}

/** Only the table changes a key: whoever holds the app otherwise would be lost to those who look it up. */
function rename(app: { key: string }, key: string): void {
  if (app.key !== key) app.key = key;
}

/** Links are followed through other apps; each app stands in the result once, cycles included. */
function resolveLinks({ keys, refs }: Context): void {
  const users = new Map<App, App[]>();
  // An app that lost its key may still be in use, and what it links to with it.
  for (const app of refs.values()) {
    app.links = reachable(app, keys);
    for (const link of app.links) users.set(link, [...(users.get(link) ?? []), app]);
  }
  for (const app of refs.values()) app.linkedFrom = users.get(app) ?? [];
}

function reachable(start: App, keys: ReadonlyMap<string, App>): readonly App[] {
  const found = new Set<App>();
  const open = [start];
  for (let app = open.pop(); app !== undefined; app = open.pop()) {
    for (const key of app.policy.linkedKeys) {
      const link = keys.get(key);
      if (link === undefined || link === start || found.has(link)) continue;
      found.add(link);
      open.push(link);
    }
  }
  return [...found];
}
