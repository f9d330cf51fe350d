/** Refusals of the newer admin endpoints, in the form of RFC 9457. */

import { ADMIN_CODES, type AdminCode, ANSWER_CODES, type AnswerCode } from "../errors.ts";
import type { Problem } from "./views.ts";

/** What to say beyond a code. */
export interface ProblemFacts {
  /** What is the case here, in one sentence. */
  readonly detail: string;
  /** Key of the app that it is about. */
  readonly app?: string;
  /** What to do; left out: what the code's own row says. */
  readonly remedy?: string;
  /** Left out: the code's own. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const ENTRIES = { ...ANSWER_CODES, ...ADMIN_CODES };

/** The answer for a "no". The code is in the body and, as for visitors of apps, in the header `paastis-error`. */
export function problem(code: AdminCode | AnswerCode, facts: ProblemFacts): Response {
  const entry = ENTRIES[code];
  const { app, detail, headers, remedy = entry.remedy, status = entry.status } = facts;
  const body: Problem = {
    type: `/__docs#code-${code}`,
    title: entry.meaning,
    status,
    detail,
    code,
    ...(app !== undefined && { app }),
    remedy,
  };
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      "paastis-error": code,
      ...headers,
    },
  });
}

/** What is asked about is there. */
export function found(body: unknown, status = 200): Response {
  return Response.json(body, { status, headers: { "cache-control": "no-store" } });
}

/** There is no app with this key. */
export function unknownApp(key: string): Response {
  const detail = `There is no app with the key ${JSON.stringify(key.slice(0, 80))}`;
  return problem("unknown_app", { detail, remedy: "`GET /__apps` lists those there are." });
}
