/** Notices when a request is over: Bun has no callback for the last byte of an answer. */

import type { Server } from "bun";
import type { CancelTimer, Clock } from "../clock.ts";

/**
 * How often we look, in ms: soon after requests have come to their end, seldom for those that take
 * long. A lease is given back at most this long after the client has its last byte.
 */
const LOOK_SOON_MS = 10;
const LOOK_LATER_MS = 50;

interface Finishing {
  readonly request: Request;
  readonly onOver: () => void;
}

/** Requests whose answers are on their way out. */
export interface Completions {
  /**
   * Calls `onOver` once the client has the last byte, or has left. One push; no timer of its own.
   */
  add(request: Request, onOver: () => void): void;
  /** Looks now. */
  look(): void;
}

/**
 * Bun answers `requestIP` with `null` as soon as a request is finished, answered or aborted (seen
 * in Bun 1.4.5; `test/wire` holds it to that), so one timer for all, which runs while there are
 * any, looks at each.
 */
export function createCompletions(
  clock: Clock,
  server: () => Pick<Server<unknown>, "requestIP">,
): Completions {
  const finishing: Finishing[] = [];
  let timer: CancelTimer | null = null;

  function look(): void {
    timer?.();
    timer = null;
    const before = finishing.length;
    sweep(finishing, server());
    if (finishing.length === 0) return;
    timer = clock.after(finishing.length < before ? LOOK_SOON_MS : LOOK_LATER_MS, look);
  }

  return {
    add(request, onOver) {
      finishing.push({ request, onOver });
      timer ??= clock.after(LOOK_SOON_MS, look);
    },
    look,
  };
}

/** Keeps, in place, what is not over, and only then tells the others: they may add new ones. */
function sweep(finishing: Finishing[], server: Pick<Server<unknown>, "requestIP">): void {
  const over: Finishing[] = [];
  let kept = 0;
  for (const entry of finishing) {
    if (server.requestIP(entry.request) === null) over.push(entry);
    else finishing[kept++] = entry;
  }
  finishing.length = kept;
  for (const entry of over) entry.onOver();
}
