/** Uses on their way to Redis and to the other instances: what did not get through is sent again. */

import { refKey } from "../app.ts";
import type { Clock } from "../clock.ts";
import type { PeerUse } from "../peers.ts";
import type { Use } from "./registry.ts";

/** What is sent with a heartbeat. */
export interface Parcel {
  /** For the other instances. */
  readonly uses: readonly PeerUse[];
  /** For the registry. */
  readonly lastUses: readonly Use[];
  /** When it was made. */
  readonly packedMs: number;
}

/** Nothing in it grows beyond one entry an app. */
export interface Outbox {
  /** A last use for the next parcel. */
  note(uses: readonly Use[]): void;
  /** Everything that waits, and `uses`, which are newer. */
  pack(uses: readonly PeerUse[]): Parcel;
  /** The others did not get it. */
  putBackUses(parcel: Parcel): void;
  /** The registry did not get it. */
  putBackLastUses(parcel: Parcel): void;
}

/** So that one script never keeps Redis from all others for long: 5 ms or so. */
const LAST_USES_MAX = 2_000;

/** Makes an empty one. */
export function createOutbox(clock: Clock): Outbox {
  const uses = new Map<string, PeerUse & { readonly atMs: number }>();
  const lastUses = new Map<string, Use>();

  function note(use: Use): void {
    const key = refKey(use.ref);
    if ((lastUses.get(key)?.lastUsedMs ?? 0) <= use.lastUsedMs) lastUses.set(key, use);
  }
  function takeUses(newer: readonly PeerUse[], nowMs: number): PeerUse[] {
    const known = new Set(newer.map(({ ref }) => refKey(ref)));
    // All that have leases are among the newer ones: these have none any more.
    const older = [...uses]
      .filter(([key]) => !known.has(key))
      .map(([, { atMs, ref, unusedMs }]) => ({
        ref,
        leases: 0,
        unusedMs: unusedMs + nowMs - atMs,
      }));
    uses.clear();
    return [...older, ...newer];
  }
  function takeLastUses(): Use[] {
    const taken = [...lastUses].slice(0, LAST_USES_MAX);
    for (const [key] of taken) lastUses.delete(key);
    return taken.map(([, use]) => use);
  }
  return {
    note: (noted) => noted.forEach(note),
    pack(newer) {
      const packedMs = clock.now();
      return { uses: takeUses(newer, packedMs), lastUses: takeLastUses(), packedMs };
    },
    putBackUses(parcel) {
      for (const use of parcel.uses) uses.set(refKey(use.ref), { ...use, atMs: parcel.packedMs });
    },
    putBackLastUses: (parcel) => parcel.lastUses.forEach(note),
  };
}
