/** Every app we know, by key and by identity, with its policy and its links. */

import type { App, AppRef, Policy } from "./app.ts";
import { refKey } from "./app.ts";

/** The table that routing, sweeps and notices look apps up in. */
export interface AppTable {
  byKey(key: string): App | null;
  byRef(ref: AppRef): App | null;
  all(): readonly App[];
  /** @throws Error when key or identity is taken: look first */
  add(app: App): void;
  /** Takes an app out; requests no longer find it. Safe to repeat. */
  remove(app: App): void;
  /** Gives every app its policy anew and resolves the links between apps. */
  applyPolicies(policyOf: (app: App) => Policy): void;
}

/** An empty table. */
export function createAppTable(): AppTable {
  const keys = new Map<string, App>();
  const refs = new Map<string, App>();
  return {
    byKey: (key) => keys.get(key) ?? null,
    byRef: (ref) => refs.get(refKey(ref)) ?? null,
    all: () => [...refs.values()],
    add(app) {
      if (keys.has(app.key) || refs.has(refKey(app.ref))) {
        throw new Error(`${app.key} (${refKey(app.ref)}) is in the table already`);
      }
      keys.set(app.key, app);
      refs.set(refKey(app.ref), app);
    },
    remove(app) {
      if (refs.get(refKey(app.ref)) !== app) return;
      refs.delete(refKey(app.ref));
      keys.delete(app.key);
    },
    applyPolicies(policyOf) {
      for (const app of refs.values()) app.policy = policyOf(app);
      resolveLinks(keys);
    },
  };
}

/** Links are followed through other apps; each app stands in the result once, cycles included. */
function resolveLinks(keys: ReadonlyMap<string, App>): void {
  const users = new Map<App, App[]>();
  for (const app of keys.values()) {
    app.links = reachable(app, keys);
    for (const link of app.links) users.set(link, [...(users.get(link) ?? []), app]);
  }
  for (const app of keys.values()) app.linkedFrom = users.get(app) ?? [];
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
