/** The dashboard's page and files, as a plugin of the admin endpoints. */

import { Elysia, t } from "elysia";
import { PROBLEM } from "../admin/apps-shapes.ts";
import { file } from "../admin/openapi-answers.ts";
import { DASHBOARD_FILES, DASHBOARD_PAGE, type DashboardFile } from "./page.ts";

const tags = ["Dashboard"];

/** One page at `/__/`, the same for each app below it, and what it is made of. */
export function createDashboardRoutes() {
  const { body, headers } = DASHBOARD_PAGE;
  const page = () => new Response(body, { headers });
  const responses = { 200: file("The page.", "text/html") };
  const routes = new Elysia()
    .get("/__/", page, { detail: { tags, summary: "The dashboard", responses } })
    .get("/__/apps/:app", page, {
      params: t.Object({ app: t.String({ description: "Key of the app." }) }),
      response: { 400: PROBLEM },
      detail: { tags, summary: "The same, open at an app's page", responses },
    });
  for (const one of DASHBOARD_FILES) {
    routes.get(one.path, () => new Response(one.body, { headers: one.headers }), {
      detail: { tags, summary: one.summary, responses: { 200: file(one.summary, typeOf(one)) } },
    });
  }
  return routes;
}

function typeOf({ headers }: DashboardFile): string {
  return headers["content-type"]?.split(";")[0] ?? "";
}
