/** The guard of the admin endpoints in this process, with a clock that is set by hand. */

import { createSessions, type Sessions } from "../../src/admin/session.ts";
import {
  type AdminEntry,
  type AdminEntryOptions,
  createAdminEntry,
} from "../../src/admin-entry.ts";
import type { AdminConfig } from "../../src/config.ts";
import type { Decision, RequestHead } from "../../src/engines/engine.ts";
import { headerOf } from "./own-answer.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";

export const ADMIN_TOKEN = "correct-horse-battery-staple";
export const START_MS = 1_700_000_000_000;

export interface GuardedEntry extends AdminEntry {
  readonly lines: readonly LogLine[];
  /** What a browser has after a log-in. */
  readonly sessions: Sessions;
  /** ms since the epoch. */
  nowMs: number;
  isReady: boolean;
}

/** Hosts whose first label is `shop` lead to an app; nothing listens on the socket. */
export function guardedEntry(
  config: Partial<AdminConfig> = {},
  facts: Partial<Pick<AdminEntryOptions, "hasDefaultApp" | "isSettled">> = {},
): GuardedEntry {
  const { log, lines } = recordingLog();
  const state = { nowMs: START_MS, isReady: true };
  const now = () => state.nowMs;
  const whole: AdminConfig = {
    token: ADMIN_TOKEN,
    allowlist: ["127.0.0.1", "::1"],
    trustedProxies: [],
    hosts: [],
    rateLimit: 10,
    isTls: false,
    socketPath: "/nonexistent/admin.sock",
    soleApp: null,
    systemToken: null,
    ...config,
  };
  const entry = createAdminEntry({
    config: whole,
    now,
    log,
    isAppLabel: (label) => label === "shop",
    hasDefaultApp: false,
    isSettled: () => true,
    isReady: () => state.isReady,
    ...facts,
  });
  const secret = whole.token ?? whole.startToken ?? "";
  return Object.assign(state, { ...entry, lines, sessions: createSessions({ secret, now }) });
}

/** `app`: it is none of ours; `ok`: it is passed on to the endpoints; otherwise the status of the answer. */
export function outcomeOf(entry: AdminEntry, head: RequestHead): number | "app" | "ok" {
  const decision = entry.admit(head);
  if (decision === null) return "app";
  return decision.kind === "forward" ? "ok" : decision.answer.status;
}

/** A header of an answer of ours. */
export function answerHeader(decision: Decision | null, name: string): string | null {
  if (decision?.kind !== "answer") throw new Error("that is no answer of ours");
  return headerOf(decision.answer, name);
}
