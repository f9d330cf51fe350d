/** What is asked before anybody is known, as a plugin: for orchestrators, and for the form that browsers log in by. */

import { Elysia } from "elysia";
import { RIGHT_STATUS, WRONG_STATUS } from "./login.ts";
import { LIVE_PATH, LOG_IN_PATH, READY_PATH } from "./paths.ts";

/** What the routes are made of. */
export interface AccessRoutesDeps {
  /** Whether the program can serve. */
  readonly isReady: () => boolean;
  /** Whether that is the token that opens the endpoints. */
  readonly isToken: (text: string) => boolean;
}

const tags = ["Access"];

/**
 * Over TCP the guard answers all but the form itself, and makes a session of what is said here about its token. Of the
 * unix socket a log-in is no business: whoever reaches it may do everything.
 */
export function createAccessRoutes({ isReady, isToken }: AccessRoutesDeps) {
  return new Elysia()
    .get(LIVE_PATH, () => Response.json({ live: true }), {
      detail: { tags, summary: "Whether the process answers; no token", security: [] },
    })
    .get(
      READY_PATH,
      () => {
        const ready = isReady();
        return Response.json({ ready }, { status: ready ? 200 : 503 });
      },
      {
        detail: {
          tags,
          summary:
            "Whether the program can serve: 200, or 503 while its first lists are awaited and once it is about to end; no token",
          security: [],
        },
      },
    )
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
        detail: { tags, summary: "Logs a browser in, by a form with the token", security: [] },
      },
    );
}
