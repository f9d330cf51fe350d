/** Which amounts of which process types a wake and a sleep ask Scalingo for. Pure. */

import type { Snapshot } from "../app.ts";
import type { ScalingoType } from "./scalingo-state.ts";

/** A wanted amount of one process type. The size stays as it is: the platform keeps it while nothing runs. */
export interface AmountChange {
  readonly name: string;
  readonly amount: number;
}

/** What has to be remembered of a formation, sizes included. */
export function snapshotOf(formation: readonly ScalingoType[]): Snapshot {
  const processes = formation.map(({ name, amount, size }) => ({
    type: name,
    quantity: amount,
    ...(size === "" ? {} : { size }),
  }));
  return { kind: "quantities", processes };
}

/**
 * What brings an app back: each type that is at 0 gets its stored amount, and web at least 1, as an app is woken
 * for requests. A type that runs already was set by somebody since, and stays as it is. Types that are gone since
 * are left out.
 */
export function wakeChanges(
  formation: readonly ScalingoType[],
  snapshot: Snapshot | null,
): readonly AmountChange[] {
  const stored = new Map(
    (snapshot?.kind === "quantities" ? snapshot.processes : []).map((process) => [
      process.type,
      process.quantity,
    ]),
  );
  return formation.flatMap(({ name, amount }) => {
    const least = name === "web" ? 1 : 0;
    const wanted = Math.max(stored.get(name) ?? 0, least);
    return amount === 0 && wanted > 0 ? [{ name, amount: wanted }] : [];
  });
}

/** What takes down everything that runs. */
export function sleepChanges(formation: readonly ScalingoType[]): readonly AmountChange[] {
  return formation.flatMap(({ name, amount }) => (amount > 0 ? [{ name, amount: 0 }] : []));
}

/** The formation that a snapshot was taken of; `null` when it holds none. */
export function formationOf(snapshot: Snapshot): readonly ScalingoType[] | null {
  if (snapshot.kind !== "quantities") return null;
  return snapshot.processes.map(({ type, quantity, size = "" }) => ({
    name: type,
    amount: quantity,
    size,
  }));
}

/** Whether the formation is what the changes ask for. */
export function isAsked(
  formation: readonly ScalingoType[],
  changes: readonly AmountChange[],
): boolean {
  return changes.every((change) =>
    formation.some(({ name, amount }) => name === change.name && amount === change.amount),
  );
}
