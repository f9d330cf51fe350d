/** Says once in the log that changes in the cluster are not told at once, and once that they are again. */

import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { createCondition } from "./platform-condition.ts";

/** One for all watches: what keeps one from working mostly keeps all. */
export interface WatchReport {
  /** A watch does not work. @param what `deployments of preview` */
  fails(what: string, why: string): void;
  works(what: string): void;
}

/** All is well at first. */
export function createWatchReport({ log, clock }: { log: Log; clock: Clock }): WatchReport {
  const fields = { provider: "kubernetes" };
  const condition = createCondition({ bad: log.warn, good: log.info, fields, clock });
  const failing = new Set<string>();
  return {
    fails(what, why) {
      failing.add(what);
      const until = "until that works, changes are seen when the apps are listed";
      condition.begin(`cannot watch the ${what} (${why}): ${until}`);
    },
    works(what) {
      failing.delete(what);
      if (failing.size === 0) condition.end("changes in the cluster are told at once again");
    },
  };
}
