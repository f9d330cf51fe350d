/** The dashboard's page and files, as a plugin of the admin endpoints. */

import { Elysia, t } from "elysia";
import { DASHBOARD_FILES, DASHBOARD_PAGE } from "./page.ts";

const tags = ["Dashboard"];

/** One page at `/__/`, the same for each app below it, and what it is made of. */
export function createDashboardRoutes() {
  const { body, headers } = DASHBOARD_PAGE;
  const page = () => new Response(body, { headers });
  const routes = new Elysia()
    .get("/__/", page, { detail: { tags, summary: "The dashboard" } })
    .get("/__/apps/:app", page, {
      params: t.Object({ app: t.String({ description: "Key of the app." }) }),
      detail: { tags, summary: "The same, open at an app's page" },
    });
  for (const file of DASHBOARD_FILES) {
    routes.get(file.path, () => new Response(file.body, { headers: file.headers }), {
      detail: { tags, summary: file.summary },
    });
  }
  return routes;
}
