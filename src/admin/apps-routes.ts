/** The admin endpoints about apps, as a plugin. Whoever reaches them may use them: that is decided before. */

import { Elysia } from "elysia";
import { createActionRoutes } from "./apps-action-routes.ts";
import type { AppsDeps } from "./apps-context.ts";
import { DESCRIBED } from "./apps-described.ts";
import { whyNot } from "./apps-failures.ts";
import { createInsightRoutes } from "./apps-insight-routes.ts";
import { pageOf } from "./apps-list.ts";
import { createLiveRows } from "./apps-live.ts";
import { wholeIn } from "./apps-parameters.ts";
import { found, unknownApp } from "./apps-problem.ts";
import { createStreams, sent, wantsStream } from "./apps-stream.ts";
import { type AppViews, createAppViews } from "./apps-views.ts";

const SIZE_DEFAULT = 100;

/** All of them. */
export function createAppsRoutes(deps: AppsDeps) {
  const views = createAppViews(deps);
  const parts = { ...deps, views, streams: createStreams(deps) };
  return new Elysia()
    .use(createViewRoutes(parts))
    .use(createActionRoutes(parts))
    .use(createInsightRoutes(parts));
}

/** What the routes are made of. */
export interface RouteDeps extends AppsDeps {
  readonly views: AppViews;
  readonly streams: ReturnType<typeof createStreams>;
}

function createViewRoutes(deps: RouteDeps) {
  const { clock, core, streams, views, watch } = deps;
  const lastWakeOf = watch.wakes.of;
  const rows = createLiveRows({ clock, apps: core.table.all, ...views, lastWakeOf });
  return new Elysia()
    .onError((failure) => whyNot(deps, failure))
    .get(
      "/__apps",
      async ({ query }) => {
        const { phase = null, provider = null, search = "", sort = "key" } = query;
        const page = wholeIn("page", query.page, 1);
        if (page instanceof Response) return page;
        const size = wholeIn("size", query.size, SIZE_DEFAULT);
        if (size instanceof Response) return size;
        await watch.recall();
        const all = core.table.all().map(views.summaryOf);
        return found(pageOf(all, { page, phase, provider, search, size, sort }));
      },
      DESCRIBED.list,
    )
    .get(
      "/__apps/stream",
      async ({ request }) => {
        await watch.recall();
        // An app may be called so.
        const app = wantsStream(request) ? null : core.table.byKey("stream");
        return app === null
          ? sent(streams, rows.follow(), request)
          : found(await views.detailsOf(app));
      },
      DESCRIBED.stream,
    )
    .get(
      "/__apps/:app",
      async ({ params }) => {
        const app = core.table.byKey(params.app.toLowerCase());
        if (app === null) return unknownApp(params.app);
        await watch.recall();
        return found(await views.detailsOf(app));
      },
      DESCRIBED.details,
    );
}
