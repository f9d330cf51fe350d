/** Says in the log who was refused, and why: never so often that it fills the log. */

import { isIP } from "node:net";
import type { Log } from "../log.ts";
import { createRateLimit, networkOf } from "./rate-limit.ts";

/** One "no". */
export interface Refused {
  readonly client: string;
  readonly method: string;
  /** Without the query, which may hold anything. */
  readonly path: string;
  /** For people, without any secret. */
  readonly why: string;
}

/** An address is named once in this time, ms, and so many lines are written in it. */
const EVERY_MS = 60_000;
const LINES_MAX = 60;

/** @param options.now ms, steady */
export function createRefusalLog(options: {
  readonly log: Log;
  readonly now: () => number;
}): (refused: Refused) => void {
  const { log, now } = options;
  const perClient = createRateLimit({ max: 1, withinMs: EVERY_MS, now });
  const perLog = createRateLimit({ max: LINES_MAX, withinMs: EVERY_MS, now });
  let unsaid = 0;
  return ({ client, method, path, why }) => {
    const who = networkOf(client);
    if (perClient.waitMs(who) > 0 || perLog.waitMs("") > 0) {
      unsaid += 1;
      return;
    }
    perClient.note(who);
    perLog.note("");
    // What is no address is what somebody has made up.
    const from = isIP(client) === 0 ? "an unknown address" : client;
    const others = unsaid === 0 ? {} : { unsaid };
    unsaid = 0;
    log.warn({ client: from, method, path, reason: why, ...others }, "an admin request is refused");
  };
}
