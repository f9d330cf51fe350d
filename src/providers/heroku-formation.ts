/** Which quantities of which process types a wake and a sleep ask Heroku for. Pure. */

import type { Snapshot } from "../app.ts";
import type { HerokuType } from "./heroku-json.ts";
import { quantityOf } from "./heroku-state.ts";

/** A wanted quantity of one process type. The size is left out: Heroku keeps it while nothing runs. */
export interface QuantityUpdate {
  readonly type: string;
  readonly quantity: number;
}

/** What has to be remembered of a formation, sizes included. */
export function snapshotOf(formation: readonly HerokuType[]): Snapshot {
  const processes = formation.map(({ type, quantity, size }) => ({
    type,
    quantity,
    ...(size === "" ? {} : { size }),
  }));
  return { kind: "quantities", processes };
}

/**
 * What brings an app back: each type that is at 0 gets its stored quantity, and web at least 1, as an app is woken
 * for requests. A type that runs was set by somebody since, and stays as it is; types that are gone are left out.
 */
export function wakeUpdates(
  formation: readonly HerokuType[],
  snapshot: Snapshot | null,
): readonly QuantityUpdate[] {
  const stored = new Map(storedIn(snapshot).map(({ type, quantity }) => [type, quantity]));
  return formation.flatMap(({ type, quantity }) => {
    const wanted = Math.max(stored.get(type) ?? 0, type === "web" ? 1 : 0);
    return quantity === 0 && wanted > 0 ? [{ type, quantity: wanted }] : [];
  });
}

/** What takes down everything that runs. */
export function sleepUpdates(
  running: readonly { readonly type: string; readonly quantity: number }[],
): readonly QuantityUpdate[] {
  return running.flatMap(({ type, quantity }) => (quantity > 0 ? [{ type, quantity: 0 }] : []));
}

/** The quantities that a snapshot holds; none when it is of another kind. */
export function storedIn(
  snapshot: Snapshot | null,
): readonly { readonly type: string; readonly quantity: number }[] {
  return snapshot?.kind === "quantities" ? snapshot.processes : [];
}

/** Those updates that the formation does not show yet, without types that are gone. */
export function stillMissing(
  formation: readonly HerokuType[],
  updates: readonly QuantityUpdate[],
): readonly QuantityUpdate[] {
  const types = new Set(formation.map(({ type }) => type));
  return updates.filter(
    ({ type, quantity }) => types.has(type) && quantityOf(formation, type) !== quantity,
  );
}
