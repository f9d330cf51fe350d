/** Decides which requests are for the admin endpoints, and who may make them. */

import { type AdminGuard, createAdminGuard } from "./admin/auth.ts";
import { isAdminPath } from "./admin/paths.ts";
import { createSystemGuard } from "./admin/system-guard.ts";
import { type App, targetOf } from "./app.ts";
import type { AdminConfig } from "./config.ts";
import type { Answer, Decision, RequestHead } from "./engines/engine.ts";
import type { AnswerCode } from "./errors.ts";
import { newApp } from "./new-app.ts";
import { readHost } from "./router.ts";
import { policyFor } from "./rules.ts";
import type { AdminAnswer } from "./switch-answers.ts";

/** The admin endpoints, as the story of a request sees them. */
export interface AdminEntry {
  /** @returns `null` when the request is for an app, or for nobody */
  admit(head: RequestHead): Decision | null;
  /** Whether an exchange's app is no app, but the admin endpoints themselves. */
  isOurs(app: App): boolean;
}

/** What the entry is made of. */
export interface AdminEntryOptions {
  readonly config: AdminConfig;
  /** ms since the epoch. */
  readonly now: () => number;
  /** Whether a host's first label leads to an app. */
  readonly isAppLabel: (label: string) => boolean;
}

/**
 * The endpoints answer on hosts that lead to no app by their name: an address, `localhost`, a name of this very
 * program. On an app's own host every path is the app's, unless it is the only one. The system API, where it is enabled,
 * answers on every host, to requests that say by a header that they are for it.
 */
export function createAdminEntry(options: AdminEntryOptions): AdminEntry {
  const { config, now } = options;
  const guard = createAdminGuard(config);
  const { socketPath, systemToken } = config;
  const systemGuard = systemToken === null ? null : createSystemGuard(systemToken);
  if (socketPath === null) return { admit: () => null, isOurs: () => false };
  const app = createAdminTarget(socketPath, now());
  return {
    admit(head) {
      const system = systemGuard?.(head) ?? null;
      if (system === "granted") return forward(app, head, now());
      if (system !== null) return refuse("system_refused", system, system.allow);
      if (!isAdminPath(head.target) || !isOurHost(options, head.host)) return null;
      return refusalOf(guard, head) ?? forward(app, head, now());
    },
    isOurs: (other) => other === app,
  };
}

function isOurHost({ config, isAppLabel }: AdminEntryOptions, host: string | null): boolean {
  if (config.soleApp !== null) return true;
  const read = readHost(host);
  return read.kind === "address" || (read.kind === "label" && !isAppLabel(read.label));
}

/** What listens on the socket is reached like any target. */
function createAdminTarget(socketPath: string, nowMs: number): App {
  const nothing = { rules: [], maxIdleMs: 0, ignoredApps: [] };
  const policy = policyFor({ key: "paastis", declared: null }, nothing);
  const ref = { provider: "paastis", id: "admin" };
  const app = newApp(
    { ref, key: "paastis" },
    { nowMs, sleepsByItself: true, policyOf: () => policy },
  );
  app.state = { kind: "awake", sinceMs: nowMs, target: targetOf(`unix:${socketPath}`) };
  return app;
}

function forward(app: App, head: RequestHead, nowMs: number): Decision {
  if (app.state.kind !== "awake") throw new Error("the admin endpoints are always awake");
  const { target } = app.state;
  app.leases += 1;
  return { kind: "forward", app, target, head, admittedMs: nowMs, failures: 0 };
}

function refusalOf(guard: AdminGuard, head: RequestHead): Decision | null {
  const refused = guard(head);
  return refused === null ? null : refuse("admin_refused", refused);
}

/** @param allow the methods that a 405 lists; left out: it is none */
function refuse(code: AnswerCode, { status, body }: AdminAnswer, allow?: string): Decision {
  const answer: Answer = {
    status,
    headers: [
      ["content-type", "application/json; charset=utf-8"],
      ["cache-control", "no-store"],
      ["paastis-error", code],
      ...(allow === undefined ? [] : [["allow", allow] as const]),
    ],
    body: JSON.stringify(body),
  };
  return { kind: "answer", answer };
}
