/** Decides which requests are for the admin endpoints, and who may make them. */

import { jsonAnswer } from "./admin/own-answers.ts";
import { claimOf, type HostFacts } from "./admin/own-hosts.ts";
import { createReception, type ReceptionOptions } from "./admin/reception.ts";
import { createSystemGuard } from "./admin/system-guard.ts";
import { exchangeFor } from "./admission.ts";
import { type App, targetOf } from "./app.ts";
import type { AdminConfig } from "./config.ts";
import type { AnswerHead, Decision, Exchange, RequestHead } from "./engines/engine.ts";
import { newApp } from "./new-app.ts";
import { policyFor } from "./rules.ts";

/** The admin endpoints, as the story of a request sees them. */
export interface AdminEntry {
  /** @returns `null` when the request is for an app, or for nobody */
  admit(head: RequestHead): Decision | null;
  /** Whether an exchange's app is no app, but the admin endpoints themselves. */
  isOurs(app: App): boolean;
  /** What the client gets in place of an answer of the endpoints; `null`: that answer. */
  answered(exchange: Exchange, answer: AnswerHead): Decision | null;
}

/** What the entry is made of. */
export interface AdminEntryOptions extends HostFacts, Omit<ReceptionOptions, "forward"> {
  readonly config: AdminConfig;
}

/** Nothing is ours. */
export const NO_ADMIN_ENTRY: AdminEntry = {
  admit: () => null,
  isOurs: () => false,
  answered: () => null,
};

/**
 * The endpoints answer where a host leads to no app; on an app's own host every path is the app's, but for those who
 * prove to be operators. The system API, where it is enabled, answers on every host, to requests that say by a header
 * that they are for it.
 */
export function createAdminEntry(options: AdminEntryOptions): AdminEntry {
  const { config, now } = options;
  const { socketPath, systemToken } = config;
  const systemGuard = systemToken === null ? null : createSystemGuard(systemToken);
  if (socketPath === null) return NO_ADMIN_ENTRY;
  const app = createAdminTarget(socketPath, now());
  const reception = createReception({
    ...options,
    forward: (head) => forward(app, head, now()),
  });
  return {
    admit(head) {
      const system = systemGuard?.(head) ?? null;
      if (system === "granted") return forward(app, head, now());
      if (system !== null) {
        const { status, body, allow } = system;
        const headers = [["paastis-error", "system_refused"] as const];
        const more = allow === undefined ? [] : [["allow", allow] as const];
        const answer = jsonAnswer(status, body, [...headers, ...more]);
        return { kind: "answer", answer };
      }
      const claim = claimOf(options, head.target, head.host);
      return claim === null ? null : reception.receive(head, claim);
    },
    isOurs: (other) => other === app,
    answered: (exchange, answer) =>
      exchange.app === app ? reception.answered(exchange, answer) : null,
  };
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

function forward(app: App, head: RequestHead, nowMs: number): Exchange {
  if (app.state.kind !== "awake") throw new Error("the admin endpoints are always awake");
  app.leases += 1;
  const caller = { app, head, admittedMs: nowMs, failures: 0, ignored: null };
  return exchangeFor(caller, app.state.target);
}
