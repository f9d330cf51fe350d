/** What the guard of the admin endpoints answers itself: refusals, pages, redirects. Pure. */

import { isNavigation } from "../answers.ts";
import type { Answer, RequestHead } from "../engines/engine.ts";
import { ADMIN_CODES, type AdminCode, ANSWER_CODES, type AnswerCode } from "../errors.ts";
import { refusal } from "../switch-answers.ts";
import { notePage, type SmallPage } from "./login-page.ts";
import { isAdminPath, pathOf } from "./paths.ts";
import { STRICT_HEADERS } from "./strict-headers.ts";
import type { Problem } from "./views.ts";

/** A "no". */
export interface Refusal {
  readonly code: AdminCode | AnswerCode;
  readonly status: number;
  /** For people, one sentence. */
  readonly why: string;
  readonly retryAfterMs?: number;
  /** The methods that a 405 lists. */
  readonly allow?: string;
}

type Headers = Answer["headers"];

/** So much of a path is repeated, in characters. */
export const PATH_SHOWN_MAX = 200;

const CODES = { ...ANSWER_CODES, ...ADMIN_CODES };

/** Of the endpoints that scripts have always known. */
const ERRORS: Readonly<Record<number, string>> = {
  401: "Unauthorized",
  403: "Forbidden",
  429: "Too many requests",
};

/** In the form of the endpoint that was asked; a person reads a page. */
export function refusalAnswer(head: RequestHead, refused: Refusal): Answer {
  const headers = refusalHeaders(refused);
  const { code, status, why } = refused;
  if (isAdminPath(head.target)) {
    const { body } = refusal(status, ERRORS[status] ?? "Refused", why);
    return jsonAnswer(status, body, headers);
  }
  if (isNavigation(head)) {
    const text = `${why}. ${CODES[code].remedy.replaceAll("`", "")}`;
    return pageAnswer(status, notePage({ title: CODES[code].meaning, text, next: null }), headers);
  }
  return problemAnswer(head, refused, headers);
}

function refusalHeaders({ code, status, retryAfterMs, allow }: Refusal): Headers {
  return [
    ["paastis-error", code],
    // RFC 9110, section 15.5.2: who says 401 says what is asked for.
    ...(status === 401 ? [["www-authenticate", 'Bearer realm="Paastis"'] as const] : []),
    ...(retryAfterMs === undefined
      ? []
      : [["retry-after", String(Math.ceil(retryAfterMs / 1000))] as const]),
    ...(allow === undefined ? [] : [["allow", allow] as const]),
  ];
}

function problemAnswer(head: RequestHead, { code, status, why }: Refusal, headers: Headers) {
  const { meaning, remedy } = CODES[code];
  const problem: Problem = {
    type: `/__docs#code-${code}`,
    title: meaning,
    status,
    detail: `${head.method} ${pathOf(head.target).slice(0, PATH_SHOWN_MAX)}: ${why}`,
    code,
    remedy,
  };
  return answerOf(status, JSON.stringify(problem), [
    ["content-type", "application/problem+json"],
    ...headers,
  ]);
}

/** An answer in JSON. */
export function jsonAnswer(
  status: number,
  body: Readonly<Record<string, unknown>>,
  headers: Headers = [],
): Answer {
  const type = ["content-type", "application/json; charset=utf-8"] as const;
  return answerOf(status, JSON.stringify(body), [type, ...headers]);
}

/** A page. */
export function pageAnswer(status: number, page: SmallPage, headers: Headers = []): Answer {
  return answerOf(status, page.body, [
    ["content-type", "text/html; charset=utf-8"],
    ["content-security-policy", page.policy],
    ...headers,
  ]);
}

/** To be asked for with GET. @param where a path of ours */
export function redirectAnswer(where: string, headers: Headers = []): Answer {
  return answerOf(303, "", [["location", where], ...headers]);
}

function answerOf(status: number, body: string, headers: Headers): Answer {
  const said = new Set(headers.map(([name]) => name));
  const strict = STRICT_HEADERS.filter(([name]) => !said.has(name));
  return { status, headers: [...headers, ...strict], body };
}
