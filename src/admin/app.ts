/** The admin endpoints. Whoever reaches them may use them: that is decided before. */

import { Elysia } from "elysia";
import type { App } from "../app.ts";
import { targetOf } from "../app.ts";
import { createDashboardRoutes } from "../dashboard/routes.ts";
import { messageOf } from "../errors.ts";
import type { Cause } from "../events.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { ProviderState } from "../stores-answer.ts";
import { providersAnswer, storesAnswer, webhooksAnswer } from "../stores-answer.ts";
import type { StoresState } from "../stores-state.ts";
import {
  type AdminAnswer,
  deployAnswer,
  metricsAnswer,
  notSavedAnswer,
  outcomeAnswer,
  refusal,
  shortStatusAnswer,
  statusAnswer,
} from "../switch-answers.ts";
import type { SwitchPolicy } from "../switch-policy.ts";
import { Uncertain } from "../switch-store.ts";
import type { Switchboard } from "../switchboard.ts";
import { endedInLastMinute } from "../traffic.ts";
import type { WebhookState } from "../webhook-queue.ts";
import { type AccessRoutesDeps, createAccessRoutes } from "./access-routes.ts";
import type { AppsDeps } from "./apps-context.ts";
import { createDocsRoutes } from "./apps-docs-routes.ts";
import { methodsOf, notRouted, type RouteFailure, repeated, whyNot } from "./apps-failures.ts";
import { type ListedRoute, openApiOf } from "./apps-openapi.ts";
import { OLD_ENDPOINTS } from "./apps-openapi-old.ts";
import { createAppsRoutes } from "./apps-routes.ts";
import { whyMalformed } from "./old-parameters.ts";
import { withStrictHeaders } from "./strict-headers.ts";

/** Everything the endpoints need from outside. */
export interface AdminDeps {
  readonly switchboard: Switchboard;
  /** Every app that requests can reach. */
  readonly apps: () => readonly App[];
  readonly findApp: (key: string) => App | null;
  /** Key of the app that is meant where none is named; `null`: the only one of provider ports, if there is one. */
  readonly soleApp: string | null;
  readonly policyOf: (app: App) => SwitchPolicy;
  /** The port that Paastis listens on: a switch to it would lead in a circle. */
  readonly ownPort: () => number | null;
  readonly now: () => number;
  readonly startedMs: number;
  readonly isFast: boolean;
  /** Connections made to apps so far; `null`: not to be told. */
  readonly upstreamSockets: () => number | null;
  /** How what the program keeps its knowledge in is doing. */
  readonly stores: () => StoresState;
  /** How deliveries of events go. Left out: nothing is said of them. */
  readonly webhooks?: () => readonly WebhookState[];
  /** How the platforms are doing, in the order that was configured. */
  readonly providers: () => readonly ProviderState[];
  readonly log: Log;
  /** `Metrics.answer`. Left out: there is JSON only. */
  readonly prometheus?: Metrics["answer"];
  /** What must be known of whoever asks over TCP. Left out: nobody can log in, and the program can serve. */
  readonly access?: AccessRoutesDeps;
  /** What the endpoints about apps are made of. Left out: there are none. */
  readonly aboutApps?: AppsDeps;
}

const NO_ACCESS: AccessRoutesDeps = { isReady: () => true, isToken: () => false };

type Query = Readonly<Record<string, string | undefined>>;

const CAUSE: Cause = { kind: "command", detail: "an admin endpoint" };

/** A route reads its body itself, or nobody does: the framework would do it before, once anything that it is told to use might want it. */
const UNREAD = { parse: "none" } as const;

/** Longest message for visitors that maintenance takes, in characters. */
const MESSAGE_MAX = 2000;

/** Answers requests for the admin endpoints. Never rejects. */
export function createAdminApp(deps: AdminDeps): (request: Request) => Promise<Response> {
  let routes: readonly ListedRoute[] = [];
  // Hosts may be as short as they like.
  const app = new Elysia({ handler: { standardHostname: false } })
    .use(deps.aboutApps === undefined ? new Elysia() : createAppsRoutes(deps.aboutApps))
    .use(createDocsRoutes(() => openApiOf(routes)))
    .use(createDashboardRoutes())
    .use(createAccessRoutes(deps.access ?? NO_ACCESS))
    .onError(({ code, error, request }) => {
      const method = oldMethodOf(request);
      const failure = { code, error, request };
      if (method !== null) {
        const headers = code === "NOT_FOUND" ? { allow: allowed(method) } : {};
        return reply(whyNotOld(deps, method, failure), headers);
      }
      const { pathname } = new URL(request.url);
      if (code === "NOT_FOUND") return notRouted(pathname, methodsOf(routes, pathname));
      return whyNot(deps, failure);
    })
    .get("/__status", ({ query }) => reply(status(deps, query)))
    .get("/__metrics", async ({ query, request }) => {
      return (await prometheus(deps, query, request)) ?? reply(jsonMetrics(deps, query));
    })
    .get("/__health", async ({ query }) =>
      reply(await withApp(deps, query, (one) => health(deps, one))),
    )
    .post(
      "/__switch",
      async ({ query, request }) =>
        reply(await withApp(deps, query, (one) => switchTo(deps, one, { query, request }))),
      UNREAD,
    )
    .post(
      "/__deploy",
      async ({ query, request }) =>
        reply(await withApp(deps, query, (one) => deploy(deps, one, request))),
      UNREAD,
    )
    .post(
      "/__pause",
      async ({ query }) => {
        const next = { kind: "paused", sinceMs: deps.now() } as const;
        return reply(await withApp(deps, query, (one) => pause(deps, one, next)));
      },
      UNREAD,
    )
    .post(
      "/__resume",
      async ({ query }) => reply(await withApp(deps, query, (one) => pause(deps, one, null))),
      UNREAD,
    )
    .post(
      "/__maintenance",
      async ({ query, request }) => {
        const message = await messageIn(request);
        return reply(await withApp(deps, query, (one) => maintain(deps, one, message)));
      },
      UNREAD,
    );
  routes = app.routes;
  return async (request) => {
    const malformed = oldMethodOf(request) === null ? null : whyMalformed(request);
    if (malformed !== null) return withStrictHeaders(reply(malformed));
    return withStrictHeaders(repeated(routes, request) ?? (await app.handle(request)));
  };
}

function reply(
  { status, body }: AdminAnswer,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return Response.json(body, { status, headers: { "cache-control": "no-store", ...headers } });
}

/** What is asked with GET may be asked with HEAD. */
function allowed(method: string): string {
  return method === "GET" ? "GET, HEAD" : method;
}

/** The method that a request's endpoint is asked with, if it is one of the older ones; `null`: there is no such endpoint. */
function oldMethodOf({ url }: Request): "GET" | "POST" | null {
  const { pathname } = new URL(url);
  if (Object.hasOwn(OLD_ENDPOINTS, `GET ${pathname}`)) return "GET";
  return Object.hasOwn(OLD_ENDPOINTS, `POST ${pathname}`) ? "POST" : null;
}

/** @param method the one that the endpoint is asked with */
function whyNotOld({ log }: AdminDeps, method: string, failure: RouteFailure): AdminAnswer {
  const { code, error, request } = failure;
  const { pathname } = new URL(request.url);
  if (code === "NOT_FOUND") {
    return refusal(405, "Method not allowed", `${pathname} is asked with ${method}`);
  }
  log.error(
    { path: pathname, reason: messageOf(error) },
    "an admin endpoint broke: please report it",
  );
  return refusal(500, "Internal error", "Paastis made a mistake: its log has the details");
}

/** The app that is meant, or an answer that says how to name one. */
function withApp<T>(deps: AdminDeps, query: Query, work: (app: App) => T): T | AdminAnswer {
  const key = query.app?.toLowerCase() ?? deps.soleApp;
  if (key !== null) {
    const app = deps.findApp(key);
    return app === null
      ? refusal(404, "Unknown app", `There is no app with the key "${key}"`)
      : work(app);
  }
  const all = deps.apps();
  const switchable = all.filter(isSwitchable);
  const [only, ...others] = switchable.length > 0 ? switchable : all;
  if (only !== undefined && others.length === 0) return work(only);
  const keys = all.slice(0, 20).map((app) => app.key);
  const known = keys.length === 0 ? "there is none yet" : `there are ${keys.join(", ")}`;
  return refusal(400, "Which app?", `Name one with ?app=<key>: ${known}`);
}

/** Others are moved by their platform. */
function isSwitchable(app: App): boolean {
  return app.ref.provider === "ports";
}

/** Of one app the shape is as it has always been, unless more is asked for. */
function status(deps: AdminDeps, query: Query): AdminAnswer {
  const surroundings = query.details === "1" ? surroundingsOf(deps) : {};
  const isShort = query.app === undefined && deps.soleApp !== null && query.details !== "1";
  const shape = isShort ? shortStatusAnswer : statusAnswer;
  if (query.app !== undefined || deps.soleApp !== null) {
    return withApp(deps, query, (app) =>
      ok({ ...shape(deps.switchboard.deskOf(app)), ...surroundings }),
    );
  }
  const all = deps.apps().map((app) => statusAnswer(deps.switchboard.deskOf(app)));
  const [first] = all;
  const answer = all.length === 1 && first !== undefined ? first : { apps: all };
  return ok({ ...answer, ...surroundings });
}

/** What all apps depend on. */
function surroundingsOf({ stores, providers, webhooks }: AdminDeps): AdminAnswer["body"] {
  return {
    stores: storesAnswer(stores()),
    providers: providersAnswer(providers()),
    ...(webhooks !== undefined && { webhooks: webhooksAnswer(webhooks()) }),
  };
}

function ok(body: AdminAnswer["body"]): AdminAnswer {
  return { status: 200, body };
}

function jsonMetrics(deps: AdminDeps, query: Query): AdminAnswer {
  return withApp(deps, query, (app) => metrics(deps, app));
}

/** In the form of Prometheus: of the app that is named, or of all. `null`: JSON is wanted, or the app is unknown. */
async function prometheus(
  deps: AdminDeps,
  { app: key }: Query,
  request: Request,
): Promise<Response | null> {
  if (deps.prometheus === undefined) return null;
  if (key === undefined) return await deps.prometheus(request);
  const app = deps.findApp(key.toLowerCase());
  return app === null ? null : await deps.prometheus(request, [app]);
}

function metrics(deps: AdminDeps, app: App): AdminAnswer {
  const requests = endedInLastMinute(app.traffic, deps.now());
  const aliveSeconds = Math.max(1, Math.min(60, (deps.now() - deps.startedMs) / 1000));
  const facts = {
    startedMs: deps.startedMs,
    rps60: Math.round((requests / aliveSeconds) * 100) / 100,
    isFast: deps.isFast,
    upstreamSockets: deps.upstreamSockets(),
  };
  const answer = metricsAnswer(deps.switchboard.deskOf(app), facts);
  return ok(deps.isFast ? answer : { ...answer, ...surroundingsOf(deps) });
}

async function health(deps: AdminDeps, app: App): Promise<AdminAnswer> {
  const { isOk, checkedMs, fails, look } = await deps.switchboard.checkHealth(app);
  const { activePort } = statusAnswer(deps.switchboard.deskOf(app));
  const body = {
    status: isOk === true ? "healthy" : "unhealthy",
    activePort,
    checkedAt: checkedMs === null ? null : new Date(checkedMs).toISOString(),
    consecutiveFails: fails,
    seen: look,
  };
  return { status: isOk === true ? 200 : 503, body };
}

async function switchTo(
  deps: AdminDeps,
  app: App,
  asked: { readonly query: Query; readonly request: Request },
): Promise<AdminAnswer> {
  const { query, request } = asked;
  if (!isSwitchable(app)) {
    const message = `${app.key} is an app of ${app.ref.provider}: only apps of provider ports can be switched`;
    return refusal(409, "Cannot be switched", message);
  }
  const policy = deps.policyOf(app);
  const port = readPort(query.port);
  if (port === null) {
    const given =
      query.port === undefined
        ? "it is missing"
        : `it is ${JSON.stringify(query.port.slice(0, 40))}`;
    return refusal(400, "Invalid port", `port must be a whole number from 1 to 65535: ${given}`);
  }
  const host = query.host?.toLowerCase() ?? "127.0.0.1";
  if (host !== "127.0.0.1" && !policy.hosts.includes(host)) {
    const message = `${JSON.stringify(host.slice(0, 80))} is not allowed: switch.hosts of the app or a rule names hosts besides 127.0.0.1`;
    return refusal(400, "Invalid host", message);
  }
  if (host === "127.0.0.1" && port === deps.ownPort()) {
    return refusal(
      400,
      "Invalid port",
      `Paastis itself listens on port ${port}: requests would go in a circle`,
    );
  }
  const target = targetOf(`http://${host}:${port}`);
  const outcome = await deps.switchboard.switchTo(app, {
    target,
    reason: "manual",
    cause: CAUSE,
    idempotencyKey: request.headers.get("idempotency-key"),
  });
  return outcomeAnswer(outcome, { to: target.origin, gate: policy.gate });
}

async function deploy(deps: AdminDeps, app: App, request: Request): Promise<AdminAnswer> {
  const outcome = await deps.switchboard.deploy(app, {
    cause: { kind: "command", detail: "deploy" },
    idempotencyKey: request.headers.get("idempotency-key"),
  });
  return deployAnswer(outcome, deps.policyOf(app));
}

function readPort(text: string | undefined): number | null {
  if (text === undefined || !/^\d{1,5}$/.test(text)) return null;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : null;
}

async function pause(deps: AdminDeps, app: App, next: App["pause"]): Promise<AdminAnswer> {
  try {
    await deps.switchboard.setPause(app, next, CAUSE);
  } catch (error) {
    return notSavedAnswer(messageOf(error), error instanceof Uncertain);
  }
  return ok({ success: true, app: app.key, paused: next?.kind ?? null });
}

async function maintain(deps: AdminDeps, app: App, message: string | null): Promise<AdminAnswer> {
  if (message === null) {
    const why = `The body must be JSON such as {"message": "Back at noon"}, with at most ${MESSAGE_MAX} characters`;
    return refusal(400, "Invalid message", why);
  }
  return await pause(deps, app, { kind: "maintenance", sinceMs: deps.now(), message });
}

/** An empty body stands for an empty message. @returns `null` when it cannot be used */
async function messageIn(request: Request): Promise<string | null> {
  const text = await request.text();
  if (text === "") return "";
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== "object" || body === null || !("message" in body)) return null;
    const { message } = body;
    return typeof message === "string" && message.length <= MESSAGE_MAX ? message : null;
  } catch {
    return null;
  }
}
