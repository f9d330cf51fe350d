/** What the fake Heroku's router does with a request, and its pages. */

import type { FakeAnswer } from "./fake-answer.ts";
import { liveDynos, wakeIdle } from "./fake-heroku-dyno.ts";
import type { HerokuApp, World } from "./fake-heroku-model.ts";
import type { Routing } from "./fake-router.ts";

/** What the app answers by itself, if it is not the usual. */
export type OwnAnswers = ReadonlyMap<HerokuApp, FakeAnswer>;

/** @param queueMs how long requests wait for dynos that start */
export function routingOf(
  world: World,
  app: HerokuApp,
  { queueMs, answers }: { readonly queueMs: number; readonly answers: OwnAnswers },
): Routing {
  if (app.isMaintained) return { kind: "page", answer: maintenancePage() };
  app.lastRequestMs = world.clock.now();
  wakeIdle(world, app);
  const web = liveDynos(app).filter(({ type }) => type === "web");
  const serving = web.filter(({ servesFromMs }) => servesFromMs <= world.clock.now());
  if (serving.length > 0) {
    const answer = answers.get(app);
    const route = { kind: "app", name: app.name, instances: serving.length } as const;
    return answer === undefined ? route : { ...route, answer };
  }
  // H14 without web dynos, H10 when all have crashed, H20 after the queue: one page for all.
  if (web.every(({ state }) => state === "crashed")) return { kind: "page", answer: errorPage() };
  return { kind: "queue", timeoutMs: queueMs, onTimeout: errorPage() };
}

/** 503, whatever the reason: codes like H14 stand in the app's log alone. */
export function errorPage(): FakeAnswer {
  return page(503, "Application Error", "application-error");
}

/** 503 of an app in maintenance. */
export function maintenancePage(): FakeAnswer {
  return page(503, "Offline for Maintenance", "maintenance-mode");
}

/** 404 for a name that no app has. */
export function noSuchAppPage(): FakeAnswer {
  return page(404, "Heroku | No such app", "no-such-app");
}

/**
 * The real ones are frames around a page of herokucdn.com as well. Source: Dev Center, "Error
 * Pages".
 */
function page(status: number, title: string, file: string): FakeAnswer {
  return {
    status,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-cache, no-store",
      server: "Heroku",
    },
    body: `<!DOCTYPE html>
<html>
<head><meta charset="utf-8"><title>${title}</title></head>
<body><iframe src="//www.herokucdn.com/error-pages/${file}.html"></iframe></body>
</html>
`,
  };
}
