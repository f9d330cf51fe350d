/** What is asked before anybody is known, as a plugin: for orchestrators, and for the form that browsers log in by. */

import { Elysia, t } from "elysia";
import { RIGHT_STATUS, WRONG_STATUS } from "./login.ts";
import { insidePage, type SmallPage } from "./login-page.ts";
import { file, redirect, wrongToken } from "./openapi-answers.ts";
import { DASHBOARD_PATH, LIVE_PATH, LOG_IN_PATH, LOG_OUT_PATH, READY_PATH } from "./paths.ts";

/** What the routes are made of. */
export interface AccessRoutesDeps {
  /** Whether the program can serve. */
  readonly isReady: () => boolean;
  /** Whether that is the token that opens the endpoints. */
  readonly isToken: (text: string) => boolean;
}

const tags = ["Access"];

const LIVE = t.Object({ live: t.Literal(true) });
const READY = t.Object({ ready: t.Boolean() });

const NEXT = {
  name: "next",
  in: "query",
  required: false,
  schema: { type: "string" as const },
  description: "Where to go afterwards, a path of ours; default `/__/`.",
};

const FORM = {
  required: true,
  content: {
    "application/x-www-form-urlencoded": {
      schema: {
        type: "object" as const,
        required: ["token"],
        properties: { token: { type: "string" as const, description: "That of ADMIN_TOKEN." } },
      },
    },
  },
};

const COOKIE = {
  "set-cookie": {
    schema: { type: "string" as const },
    description: "The session; HttpOnly, SameSite=Strict.",
  },
};

const LOGGED_OUT = {
  ...file("It is over; a page for a browser that was not logged in.", "text/html"),
  headers: COOKIE,
};

/**
 * Over TCP the guard answers all but the form itself, and makes a session of what is said here about its token. Of the
 * unix socket a log-in is no business: whoever reaches it may do everything.
 */
export function createAccessRoutes({ isReady, isToken }: AccessRoutesDeps) {
  return new Elysia()
    .get(LIVE_PATH, () => Response.json({ live: true }), {
      response: { 200: LIVE },
      detail: { tags, summary: "Whether the process answers; no token", security: [] },
    })
    .get(
      READY_PATH,
      () => {
        const ready = isReady();
        return Response.json({ ready }, { status: ready ? 200 : 503 });
      },
      {
        response: { 200: READY, 503: READY },
        detail: {
          tags,
          summary:
            "Whether the program can serve: 200, or 503 while its first lists are awaited and once it is about to end; no token",
          security: [],
        },
      },
    )
    .get(LOG_IN_PATH, () => pageOf(insidePage(DASHBOARD_PATH)), {
      detail: {
        tags,
        summary: "The form that browsers log in by; for who has, the one to log out by",
        security: [],
        parameters: [NEXT],
        responses: { 200: file("The form.", "text/html") },
      },
    })
    .post(
      LOG_IN_PATH,
      async ({ request }) => {
        const form = new URLSearchParams(await request.text());
        const status = isToken(form.get("token") ?? "") ? RIGHT_STATUS : WRONG_STATUS;
        return new Response(null, { status });
      },
      {
        // Whatever it says that it is.
        parse: "none",
        detail: {
          tags,
          summary: "Logs a browser in, by a form with the token",
          security: [],
          parameters: [NEXT],
          requestBody: FORM,
          responses: {
            204: { description: "Over the unix socket, where there is nothing to log in to." },
            303: redirect("The token is right: here is a session.", COOKIE),
            401: wrongToken(),
          },
        },
      },
    )
    .post(LOG_OUT_PATH, () => Response.json({ loggedOut: true }), {
      parse: "none",
      response: { 200: t.Object({ loggedOut: t.Literal(true) }) },
      detail: {
        tags,
        summary: "Logs a browser out",
        responses: {
          200: LOGGED_OUT,
          303: redirect("A browser is led to the log-in.", COOKIE),
        },
      },
    });
}

function pageOf({ body, policy }: SmallPage): Response {
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": policy,
  };
  return new Response(body, { headers });
}
