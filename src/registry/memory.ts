/** The registry in memory: forgotten when the process ends. */

import { type AppRef, refKey } from "../app.ts";
import { createLocalClaims, type LocalClaims } from "./local-claims.ts";
import type { AppRecord, Claim, Registry, Use } from "./registry.ts";

interface Context {
  readonly records: Map<string, AppRecord>;
  /** The newest fence of every app there ever was, so that it grows when an app comes back. */
  readonly fences: Map<string, number>;
  readonly claims: LocalClaims;
}

/** Makes an empty registry. It cannot fail and has nothing to write behind. */
export function createMemoryRegistry(): Registry {
  const context: Context = { records: new Map(), fences: new Map(), claims: createLocalClaims() };
  return {
    load: async () => ({ records: [...context.records.values()], unreadable: [] }),
    save: async (record) => save(context, record),
    remove: async (ref) => remove(context, ref),
    touch: async (uses) => touch(context, uses),
    claim: async (ref, known) => claim(context, ref, known),
    close: async () => context.claims.clear(),
  };
}

function save(context: Context, record: AppRecord): boolean {
  const key = refKey(record.ref);
  const stored = context.records.get(key);
  if (stored !== undefined && stored.fence > record.fence) return false;
  const lastUsedMs = later(stored?.lastUsedMs ?? null, record.lastUsedMs);
  // A copy, like every other store makes: what the caller does to its record later is not saved.
  context.records.set(key, structuredClone({ ...record, lastUsedMs }));
  raiseFence(context, key, record.fence);
  return true;
}

function remove(context: Context, ref: AppRef): void {
  context.records.delete(refKey(ref));
}

function touch(context: Context, uses: readonly Use[]): void {
  for (const use of uses) {
    const key = refKey(use.ref);
    const stored = context.records.get(key);
    if (stored === undefined) continue;
    const lastUsedMs = later(stored.lastUsedMs, use.lastUsedMs);
    context.records.set(key, { ...stored, lastUsedMs });
  }
}

function claim(context: Context, ref: AppRef, known: number): Claim | null {
  if (context.claims.isHeld(ref)) return null;
  const key = refKey(ref);
  raiseFence(context, key, known);
  const fence = (context.fences.get(key) ?? 0) + 1;
  context.fences.set(key, fence);
  return context.claims.take(ref, fence);
}

function raiseFence(context: Context, key: string, fence: number): void {
  context.fences.set(key, Math.max(context.fences.get(key) ?? 0, fence));
}

function later(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.max(a, b);
}
