/** Promises that nobody caught. */

import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";

/**
 * A promise that nobody caught is a mistake of ours: it is reported, and must not end what works.
 * @returns how to stop that
 */
export function guardAgainstRejections(log: Log): () => void {
  const report = (error: unknown) => {
    const stack = error instanceof Error ? error.stack : undefined;
    log.error({ reason: messageOf(error), stack }, "an unexpected failure: please report it");
  };
  process.on("unhandledRejection", report);
  return () => process.off("unhandledRejection", report);
}
