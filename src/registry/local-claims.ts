/** Claims of a registry that belongs to this process alone: memory is enough for them. */

import { type AppRef, refKey } from "../app.ts";
import type { Claim } from "./registry.ts";

/** Who holds what. */
export interface LocalClaims {
  isHeld(ref: AppRef): boolean;
  /** @throws Error when somebody holds it: look first */
  take(ref: AppRef, fence: number): Claim;
  /** Nobody holds anything any more. */
  clear(): void;
}

/** Nothing is held yet. */
export function createLocalClaims(): LocalClaims {
  const held = new Map<string, Claim>();
  const { signal: lost } = new AbortController();
  return {
    isHeld: (ref) => held.has(refKey(ref)),
    take(ref, fence) {
      const key = refKey(ref);
      if (held.has(key)) throw new Error(`${key} is claimed already`);
      const isHeld = () => held.get(key) === claim;
      const claim: Claim = {
        ...{ fence, record: null, lost, isHeld },
        async release() {
          if (isHeld()) held.delete(key);
        },
      };
      held.set(key, claim);
      return claim;
    },
    clear: () => held.clear(),
  };
}
