/** Log-ins and log-outs of browsers. */

import type { Answer, AnswerHead, RequestHead } from "../engines/engine.ts";
import type { Visit } from "./auth.ts";
import type { Client } from "./client.ts";
import { credentialOf } from "./credential.ts";
import { insidePage, logInPage, notePage } from "./login-page.ts";
import { jsonAnswer, pageAnswer, redirectAnswer, refusalAnswer } from "./own-answers.ts";
import { DASHBOARD_PATH, LOG_IN_PATH, LOG_OUT_PATH, queryOf } from "./paths.ts";
import { networkOf, type RateLimit } from "./rate-limit.ts";
import type { Sessions } from "./session.ts";

/** What browsers log in and out by. */
export interface LogIn {
  /** The page with the form. */
  page(head: RequestHead): Answer;
  /** The same for who has logged in. */
  inside(head: RequestHead): Answer;
  /** For somebody who is to log in first. */
  sendThere(head: RequestHead): Answer;
  /** A form is on its way to whoever reads it: it counts as a failure until it turns out to be none. */
  tried(client: Client): void;
  /** What becomes of a form that was read: the browser's answer; `null`: as it was answered. */
  outcome(visit: Visit, answer: AnswerHead): Answer | null;
  logOut(visit: Visit): Answer;
}

/** What it is made of. */
export interface LogInOptions {
  /** `null`: there is no token that one could log in with. */
  readonly sessions: Sessions | null;
  readonly failures: RateLimit;
  /** Where the token stands, for people. */
  readonly hint: string;
  readonly onRefused: (visit: Pick<Visit, "client" | "head">, why: string) => void;
  readonly onOpened: (client: Client) => void;
}

const WRONG = "That is not the token.";

/** Statuses of whoever reads the form. */
export const RIGHT_STATUS = 204;
export const WRONG_STATUS = 403;

/** Nobody is logged in. */
export function createLogIn(options: LogInOptions): LogIn {
  const { sessions, failures, hint } = options;
  const form = (head: RequestHead, problem: string | null) =>
    logInPage({ next: nextOf(head), hint, problem });
  return {
    page: (head) => pageAnswer(200, form(head, null)),
    inside: (head) => pageAnswer(200, insidePage(nextOf(head))),
    sendThere: (head) => whereTo(head),
    tried: ({ address }) => failures.note(networkOf(address)),
    outcome(visit, { status }) {
      const { client, head } = visit;
      if (status === WRONG_STATUS || sessions === null) {
        options.onRefused(visit, "the token that was typed in is wrong");
        return wrong(head, form(head, WRONG));
      }
      if (status !== RIGHT_STATUS) return null;
      failures.forgive(networkOf(client.address));
      options.onOpened(client);
      const cookie = cookieOf(sessions, client, sessions.open());
      return redirectAnswer(nextOf(head), [["set-cookie", cookie]]);
    },
    logOut: ({ client, head }) => logOut(sessions, client, head),
  };
}

function wrong(head: RequestHead, page: ReturnType<typeof logInPage>): Answer {
  if (wantsPage(head)) {
    const headers = [
      ["paastis-error", "admin_refused"],
      ["www-authenticate", 'Bearer realm="Paastis"'],
    ] as const;
    return pageAnswer(401, page, headers);
  }
  return refusalAnswer(head, { code: "admin_refused", status: 401, why: WRONG });
}

function wantsPage(head: RequestHead): boolean {
  return head.header("accept")?.includes("text/html") === true;
}

/**
 * A browser that follows a link on another site leaves the cookie out (`SameSite=Strict`): it is told to ask once more,
 * by itself, before anybody is asked to log in again.
 */
function whereTo(head: RequestHead): Answer {
  const site = head.header("sec-fetch-site");
  if (site === "cross-site" || site === "same-site") {
    const text = "This page opens in a moment.";
    const page = notePage({ title: "Paastis", text, next: head.target, isPassing: true });
    if (isSafeNext(head.target)) return pageAnswer(200, page);
  }
  const next = isSafeNext(head.target) ? head.target : DASHBOARD_PATH;
  const query = next === DASHBOARD_PATH ? "" : `?next=${encodeURIComponent(next)}`;
  return redirectAnswer(LOG_IN_PATH + query);
}

/** Where the form leads: back to where it was asked for. */
function nextOf({ target }: RequestHead): string {
  const next = queryOf(target).get("next") ?? DASHBOARD_PATH;
  return isSafeNext(next) ? next : DASHBOARD_PATH;
}

const NEXT_MAX = 500;

/** A path of ours, and nothing that a browser could read as another site. */
function isSafeNext(next: string): boolean {
  if (next.length > NEXT_MAX || !/^\/__[\w\-./?=&%+~:,]*$/.test(next)) return false;
  return !next.startsWith(LOG_IN_PATH) && !next.startsWith(LOG_OUT_PATH);
}

function cookieOf(sessions: Sessions, { isSecure }: Client, value: string): string {
  const maxAgeS = value === "" ? 0 : Math.floor(sessions.lifeMs / 1000);
  // The endpoints begin with `/__` but are not below it, and only `/` is a path that all of them are below (RFC 6265,
  // section 5.1.4). What would reach an app stays behind on the way there.
  const attributes = `Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Strict`;
  return `${sessions.cookieName(isSecure)}=${value}; ${attributes}${isSecure ? "; Secure" : ""}`;
}

function logOut(sessions: Sessions | null, client: Client, head: RequestHead): Answer {
  const credential = credentialOf(head);
  const values = credential.kind === "sessions" ? credential.values : [];
  for (const value of values) sessions?.close(value);
  const cookies =
    sessions === null || values.length === 0
      ? []
      : [["set-cookie", cookieOf(sessions, client, "")] as const];
  if (wantsPage(head)) return redirectAnswer(LOG_IN_PATH, cookies);
  return jsonAnswer(200, { loggedOut: true }, cookies);
}
