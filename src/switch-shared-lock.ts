/** The right to switch an app over all instances, renewed while it is held. */

import type { CancelTimer, Clock } from "./clock.ts";
import type { SwitchSpace } from "./redis/switch-space.ts";
import type { Running } from "./switch-context.ts";
import type { Locking, SwitchLock } from "./switch-store.ts";

/** Well within `LOCK_MS`: one that fails is made up for by the next. */
const RENEW_EVERY_MS = 2000;

/** Takes locks, and shows them to Redis. */
export interface SharedLocks {
  /** @throws Error when nobody can be asked */
  take(key: string, running: Running): Promise<Locking>;
  /** What a change under it shows to Redis; `null`: it is not of Redis. */
  proofOf(lock: SwitchLock | null): string | null;
  /** Renews none any more: those that are held end by themselves. */
  close(): void;
}

/** None is held. */
export function createSharedLocks(deps: {
  readonly space: SwitchSpace;
  readonly clock: Clock;
}): SharedLocks {
  const { space, clock } = deps;
  const proofs = new WeakMap<SwitchLock, string>();
  const timers = new Map<string, CancelTimer>();
  function renewLater(key: string, proof: string): void {
    timers.set(
      proof,
      clock.after(RENEW_EVERY_MS, () => void renew(key, proof)),
    );
  }
  async function renew(key: string, proof: string): Promise<void> {
    // Whoever cannot be asked now may be in time for the next one.
    const isHeld = await space.renew(key, proof).catch(() => true);
    if (isHeld && timers.has(proof)) renewLater(key, proof);
  }
  function forget(proof: string): void {
    timers.get(proof)?.();
    timers.delete(proof);
  }
  return {
    async take(key, running) {
      const taken = await space.take(key, JSON.stringify(running));
      if ("heldBy" in taken) return { heldBy: runningIn(taken.heldBy, clock.now()) };
      const { lock: proof, fence } = taken;
      renewLater(key, proof);
      const lock: SwitchLock = {
        fence,
        async release() {
          if (!timers.has(proof)) return;
          forget(proof);
          // What cannot be given back ends by itself.
          await space.give(key, proof).catch(() => undefined);
        },
      };
      proofs.set(lock, proof);
      return { lock };
    },
    proofOf: (lock) => (lock === null ? null : (proofs.get(lock) ?? null)),
    close() {
      for (const proof of timers.keys()) forget(proof);
    },
  };
}

/** Whatever its holder has said: that it is held is certain. */
function runningIn(text: string, nowMs: number): Running {
  const unknown = { id: "unknown", to: "another target", sinceMs: nowMs };
  try {
    const said: unknown = JSON.parse(text);
    if (typeof said !== "object" || said === null) return unknown;
    if (!("id" in said && "to" in said && "sinceMs" in said)) return unknown;
    const { id, to, sinceMs } = said;
    if (typeof id !== "string" || typeof to !== "string") return unknown;
    return typeof sinceMs === "number" && Number.isFinite(new Date(sinceMs).getTime())
      ? { id, to, sinceMs }
      : { id, to, sinceMs: nowMs };
  } catch {
    return unknown;
  }
}
