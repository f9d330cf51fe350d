/** The system API: apps and events for scripts. Whoever reaches it may use it: that is decided before. */

import { Elysia } from "elysia";
import type { App } from "../app.ts";
import { messageOf } from "../errors.ts";
import type { EventStore } from "../event-store/event-store.ts";
import type { Cause } from "../events.ts";
import type { Log } from "../log.ts";
import type { Facts } from "../providers/provider.ts";
import { refusal } from "../switch-answers.ts";
import { SYSTEM_PATHS } from "./system-guard.ts";
import { systemApp, systemEvent } from "./system-shapes.ts";

/** Everything the system API needs from outside. */
export interface SystemDeps {
  /** Apps that no key leads to included. */
  readonly apps: () => readonly App[];
  readonly isReachable: (app: App) => boolean;
  readonly factsOf: (app: App) => Facts | null;
  /** Forgets what can be found again, see the reconciler. @throws Error when the registry cannot be written */
  readonly forget: (cause: Cause) => Promise<void>;
  readonly events: Pick<EventStore, "list">;
  readonly now: () => number;
  readonly log: Log;
}

/** The newest so many events are told. */
const EVENTS_MAX = 1000;

const CAUSE: Cause = { kind: "command", detail: "DELETE /apps of the system API" };
const HEADERS = { "cache-control": "no-store" };

/** Whether a request that came to the admin endpoints' socket is for the system API. */
export function isSystemRequest({ url }: Request): boolean {
  return Object.hasOwn(SYSTEM_PATHS, new URL(url).pathname);
}

/** Answers requests for the system API. Never rejects, and wakes nothing. */
export function createSystemApp(deps: SystemDeps): (request: Request) => Promise<Response> {
  const app = new Elysia()
    .onError(({ code, error }) => (code === "NOT_FOUND" ? notFound() : broken(deps, error)))
    .get("/apps", () => Response.json(listApps(deps), { headers: HEADERS }))
    .delete("/apps", async () => {
      await deps.forget(CAUSE);
      return nothing();
    })
    .get("/events", async () => {
      const events = await deps.events.list({ limit: EVENTS_MAX });
      if (events.length === 0) return nothing();
      return Response.json(events.map(systemEvent), { headers: HEADERS });
    });
  return async (request) => await app.handle(request);
}

function listApps({ apps, isReachable, factsOf, now }: SystemDeps) {
  const nowMs = now();
  return apps().map((app) =>
    systemApp(app, { facts: factsOf(app), isReachable: isReachable(app), nowMs }),
  );
}

function nothing(): Response {
  return new Response(null, { status: 204, headers: HEADERS });
}

/** Only over the socket itself: what comes from elsewhere was looked at before. */
function notFound(): Response {
  const { status, body } = refusal(404, "Not found", "The system API has no such request");
  return Response.json(body, { status, headers: HEADERS });
}

/** All that can fail is what events and registry are kept in. */
function broken({ log }: SystemDeps, error: unknown): Response {
  log.warn({ reason: messageOf(error) }, "the system API could not reach what it is asked about");
  const why = "What it is kept in cannot be reached at the moment: the log of Paastis says why";
  const { status, body } = refusal(503, "Not available", why);
  return Response.json(body, { status, headers: { ...HEADERS, "retry-after": "5" } });
}
