/** The admin endpoints that say what happens and why, as a plugin: events, explanations, sweeps, configuration, savings. */

import { Elysia, type Static } from "elysia";
import { createAskBusy } from "../busy.ts";
import { messageOf } from "../errors.ts";
import type { SweepEntry } from "../idle.ts";
import { shownConfig } from "./apps-config.ts";
import { DESCRIBED } from "./apps-described.ts";
import { shownEvent } from "./apps-event-shape.ts";
import { type EventWish, firstIdAt, followEvents, listEvents } from "./apps-events.ts";
import { createExplain, type ExplainedRequest } from "./apps-explain.ts";
import { whyNot } from "./apps-failures.ts";
import {
  allowedFor,
  type EVENTS_QUERY,
  type EXPLAIN_QUERY,
  eventNamesIn,
  invalid,
  sinceIn,
  wholeIn,
} from "./apps-parameters.ts";
import { exceptionText, plannedSleeps } from "./apps-plan.ts";
import { found, problem } from "./apps-problem.ts";
import type { RouteDeps } from "./apps-routes.ts";
import { sent, wantsStream } from "./apps-stream.ts";
import type { SweepAnswer } from "./views.ts";

const LIMIT_DEFAULT = 100;

/** Events, explain, sweep, config, savings. */
export function createInsightRoutes(deps: RouteDeps) {
  const { core, watch } = deps;
  const explain = createExplain(deps);
  const askBusy = deps.askBusy ?? createAskBusy({ fetch, clock: deps.clock });
  const plan = () => plannedSleeps({ ...deps, askBusy }, core.sweeper.plan());
  return new Elysia()
    .onError((failure) => whyNot(deps, failure))
    .get("/__events", ({ query, request }) => eventsFor(deps, query, request), DESCRIBED.events)
    .get(
      "/__explain",
      ({ query }) => {
        const request = explainedRequest(query);
        return request instanceof Response ? request : found(explain(request));
      },
      DESCRIBED.explain,
    )
    .get("/__sweep", async () => found(await plan()), DESCRIBED.plan)
    .post(
      "/__sweep",
      async ({ query }) => {
        if (query.dry_run === "1") return found(await plan());
        const { entries } = await core.sweeper.sweep();
        return found(begun(entries));
      },
      DESCRIBED.sweep,
    )
    .get("/__config", () => found(shownConfig(deps)), DESCRIBED.config)
    .get("/__savings", () => found(watch.savings.read(core.table.all())), DESCRIBED.savings);
}

function begun(entries: readonly SweepEntry[]): SweepAnswer {
  return {
    dryRun: false,
    entries: entries.map(({ app, sleep, why }) => {
      const exception = sleep ? exceptionText(app) : "";
      return { app: app.key, provider: app.ref.provider, sleep, why: why + exception };
    }),
  };
}

async function eventsFor(
  deps: RouteDeps,
  query: Static<typeof EVENTS_QUERY>,
  request: Request,
): Promise<Response> {
  const isStream = wantsStream(request);
  const wish = wishIn(deps, query, request);
  if (wish instanceof Response) return wish;
  if (isStream) return sent(deps.streams, followEvents(deps, wish), request);
  try {
    const events = await listEvents(deps, wish);
    return found({ events: events.map(shownEvent) });
  } catch (error) {
    deps.log.warn({ reason: messageOf(error) }, "events cannot be read");
    const detail = "What events are kept in cannot be reached at the moment";
    return problem("admin_unavailable", { detail, headers: { "retry-after": "5" } });
  }
}

/** Who comes back gets all that was missed; who comes for the first time, and named no time, what happens from now on. */
function wishIn(
  { clock }: RouteDeps,
  query: Static<typeof EVENTS_QUERY>,
  request: Request,
): EventWish | Response {
  const names = eventNamesIn(query.name);
  if (names instanceof Response) return names;
  const sinceMs = sinceIn(query.since, clock.wallMs());
  if (sinceMs instanceof Response) return sinceMs;
  const after = request.headers.get("last-event-id") ?? query.after ?? null;
  const afterId = after ?? (sinceMs === null ? null : firstIdAt(sinceMs));
  const isNew = wantsStream(request) && afterId === null;
  const fallback = isNew ? 0 : after === null ? LIMIT_DEFAULT : MISSED_MAX;
  const limit = wholeIn("limit", query.limit, fallback);
  if (limit instanceof Response) return limit;
  return {
    limit,
    ...(query.app !== undefined && { app: query.app.toLowerCase() }),
    ...(names !== null && { names }),
    ...(query.id !== undefined && { id: query.id }),
    ...(afterId !== null && { afterId }),
  };
}

/** So much of what was missed is told to somebody who comes back. */
const MISSED_MAX = 10_000;

const BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const NAVIGATION = "text/html,application/xhtml+xml,*/*;q=0.8";

/** Dot segments and the like are for the app to make something of. @returns `null`: none that could be sent as it is */
function targetIn(given: string): string | null {
  const [, target = ""] =
    /^(?:[a-z][a-z0-9+.-]*:\/\/)?[^/?#]*(\/[\x21-\x7e]*)?$/i.exec(given) ?? [];
  const [path = ""] = target.split("#");
  return path === "" ? null : path;
}

function explainedRequest(query: Static<typeof EXPLAIN_QUERY>): ExplainedRequest | Response {
  const { accept, method = "GET", url: given, user_agent: userAgent } = query;
  const isWhole = /^[a-z][a-z0-9+.-]*:\/\//i.test(given);
  const url = URL.parse(isWhole ? given : `http://${given}`);
  // A path alone would be read as a host.
  if (given.startsWith("/") || url === null || !/^(?:https?|wss?):$/.test(url.protocol)) {
    return invalid("url", allowedFor("url"), given);
  }
  if (!/^[a-z!#$%&'*+.^_`|~-]{1,40}$/i.test(method)) {
    return invalid("method", "the method of a request, such as GET", method);
  }
  return {
    method: method.toUpperCase(),
    url,
    target: targetIn(given) ?? url.pathname + url.search,
    isPrefetch: query.prefetch === "1",
    // A program that names itself is no browser.
    accept: accept ?? (userAgent === undefined ? NAVIGATION : "*/*"),
    userAgent: userAgent ?? BROWSER,
  };
}
