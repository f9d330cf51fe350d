/** The admin endpoints that change something about one app, as a plugin. */

import { Elysia } from "elysia";
import type { App } from "../app.ts";
import { keepAppAwake, pauseApp, resumeApp, sleepApp, wakeApp } from "./apps-actions.ts";
import { DESCRIBED } from "./apps-described.ts";
import { whyNot } from "./apps-failures.ts";
import { durationIn, spanIn } from "./apps-parameters.ts";
import { problem, unknownApp } from "./apps-problem.ts";
import type { RouteDeps } from "./apps-routes.ts";

const NO_SPAN = "for or until must say how long, such as for=2h; for=0 takes an earlier order back";

/** Wake, sleep, pause, resume, keep-awake. */
export function createActionRoutes(deps: RouteDeps) {
  const withApp = (key: string, work: (app: App) => Promise<Response>) => {
    const app = deps.core.table.byKey(key.toLowerCase());
    return app === null ? unknownApp(key) : work(app);
  };
  return new Elysia()
    .onError((failure) => whyNot(deps, failure))
    .post(
      "/__apps/:app/wake",
      ({ params, query }) =>
        withApp(params.app, async (app) => {
          const waitMs = durationIn("wait", query.wait, 0);
          return waitMs instanceof Response ? waitMs : wakeApp(deps, app, waitMs);
        }),
      DESCRIBED.wake,
    )
    .post(
      "/__apps/:app/sleep",
      ({ params, query }) =>
        withApp(params.app, async (app) => {
          const drainMs = durationIn("drain", query.drain, 0);
          return drainMs instanceof Response ? drainMs : sleepApp(deps, app, drainMs);
        }),
      DESCRIBED.sleep,
    )
    .post(
      "/__apps/:app/pause",
      ({ params, query, request }) =>
        withApp(params.app, async (app) => {
          const span = await spanIn(request, query);
          return span instanceof Response ? span : pauseApp(deps, app, span);
        }),
      DESCRIBED.pause,
    )
    .post(
      "/__apps/:app/resume",
      ({ params }) => withApp(params.app, (app) => resumeApp(deps, app)),
      DESCRIBED.resume,
    )
    .post(
      "/__apps/:app/keep-awake",
      ({ params, query, request }) =>
        withApp(params.app, async (app) => {
          const span = await spanIn(request, query);
          if (span === null) return problem("admin_invalid", { detail: NO_SPAN, app: app.key });
          return span instanceof Response ? span : keepAppAwake(deps, app, span);
        }),
      DESCRIBED.keepAwake,
    );
}
