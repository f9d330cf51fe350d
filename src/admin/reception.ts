/** Receives requests for the admin endpoints: who they come from, and what becomes of them. */

import { isNavigation } from "../answers.ts";
import { createTrust } from "../client-address.ts";
import type { AdminConfig } from "../config.ts";
import type { Answer, AnswerHead, Decision, Exchange, RequestHead } from "../engines/engine.ts";
import type { Log } from "../log.ts";
import { createAdminGuard, type Visit } from "./auth.ts";
import { clientOf } from "./client.ts";
import { createLogIn, type LogIn } from "./login.ts";
import {
  jsonAnswer,
  PATH_SHOWN_MAX,
  type Refusal,
  redirectAnswer,
  refusalAnswer,
} from "./own-answers.ts";
import type { Claim } from "./own-hosts.ts";
import * as paths from "./paths.ts";
import { createRateLimit } from "./rate-limit.ts";
import { createRefusalLog } from "./refusal-log.ts";
import { createTokenCheck, tokenOf } from "./secret.ts";
import { createSessions } from "./session.ts";

/** Where requests for the admin endpoints arrive. */
export interface Reception {
  /** @returns `null`: it is for an app after all */
  receive(head: RequestHead, claim: Claim): Decision | null;
  /** What the client gets in place of an answer of the endpoints; `null`: that answer. */
  answered(exchange: Exchange, answer: AnswerHead): Decision | null;
}

/** What it is made of. */
export interface ReceptionOptions {
  readonly config: AdminConfig;
  /** ms since the epoch. */
  readonly now: () => number;
  readonly log: Log;
  /** Whether the program can serve: its first lists are there or were given up, and it is not about to end. */
  readonly isReady: () => boolean;
  /** Passes a request on to the endpoints. */
  readonly forward: (head: RequestHead) => Exchange;
}

const MINUTE_MS = 60_000;

/** Nobody has come yet. */
export function createReception(options: ReceptionOptions): Reception {
  const { config, forward, isReady, log, now } = options;
  const secret = tokenOf(config);
  const sessions = secret === null ? null : createSessions({ secret, now });
  const limit = () => createRateLimit({ max: config.rateLimit, withinMs: MINUTE_MS, now });
  const failures = limit();
  const isToken = createTokenCheck(config);
  const judge = createAdminGuard({
    ...{ config, isToken, sessions, failures },
    ...{ guesses: limit(), changes: limit() },
  });
  const sayRefused = createRefusalLog({ log, now });
  const onRefused = ({ client, head }: Pick<Visit, "client" | "head">, why: string) =>
    sayRefused({
      ...{ client: client.address, method: head.method },
      ...{ path: paths.pathOf(head.target).slice(0, PATH_SHOWN_MAX), why },
    });
  const logIn = createLogIn({
    ...{ sessions, failures, onRefused },
    hint: hintFor(config),
    onOpened: ({ address }) => log.info({ client: address }, "somebody has logged in"),
  });
  const facts = { isTrusted: createTrust(config.trustedProxies), isTls: config.isTls };
  const forms = new WeakMap<Exchange, Visit>();
  const refuse = (visit: Visit, refused: Refusal) => {
    onRefused(visit, refused.why);
    return said(refusalAnswer(visit.head, refused));
  };
  return {
    receive(head, claim) {
      const visit = { head, claim, client: clientOf(head, facts) };
      const probe = probed(visit, isReady);
      if (probe !== null) return said(probe);
      const verdict = judge(visit);
      switch (verdict.kind) {
        case "astray":
          return null;
        case "refused": {
          const code = verdict.status === 429 ? "admin_limited" : "admin_refused";
          return refuse(visit, { ...verdict, code });
        }
        case "log-in":
          return unproven(visit, logIn) ?? refuse(visit, { ...verdict, code: "admin_refused" });
        case "granted":
          return received(visit, logIn) ?? onward(visit);
      }
    },
    answered(exchange, answer) {
      const visit = forms.get(exchange);
      const instead = visit === undefined ? null : logIn.outcome(visit, answer);
      return instead === null ? null : said(instead);
    },
  };

  function onward(visit: Visit): Decision {
    const { client, head } = visit;
    const exchange = forward(head);
    if (isForm(head)) {
      logIn.tried(client);
      forms.set(exchange, visit);
    }
    return exchange;
  }
}

function hintFor({ token }: AdminConfig): string {
  if (token !== null) return "It is the ADMIN_TOKEN that this Paastis was started with.";
  return "No ADMIN_TOKEN is set: the log of this Paastis has one that holds until it is started again.";
}

const READING = "GET, HEAD";

/** What anybody may ask. @returns `null`: it is something else */
function probed({ head, claim }: Visit, isReady: () => boolean): Answer | null {
  if (claim !== "always" || paths.kindOfPath(head.target) !== "probe") return null;
  if (paths.isChanging(head.method)) return wrongMethod(head, READING);
  if (paths.pathOf(head.target) === paths.LIVE_PATH) return jsonAnswer(200, { live: true });
  const ready = isReady();
  return jsonAnswer(ready ? 200 : 503, { ready });
}

/** What somebody gets who is to log in first, other than a "no"; `null`: a "no". */
function unproven({ head }: Visit, logIn: LogIn): Decision | null {
  const path = paths.pathOf(head.target);
  if (path === paths.LOG_IN_PATH && !paths.isChanging(head.method)) return said(logIn.page(head));
  if (path === paths.LOG_OUT_PATH && head.method === "POST") return said(logIn.page(head));
  if (isNavigation(head) && !paths.isAdminPath(head.target)) return said(logIn.sendThere(head));
  return null;
}

/** What is answered here to who may ask for it; `null`: it is for the endpoints themselves. */
function received(visit: Visit, logIn: LogIn): Decision | null {
  const { head } = visit;
  const path = paths.pathOf(head.target);
  if (!paths.isPlainPath(path)) {
    const why = "its path is not written as paths are";
    return said(refusalAnswer(head, { code: "admin_unknown", status: 404, why }));
  }
  switch (path) {
    case paths.LOG_IN_PATH:
      if (paths.isChanging(head.method)) {
        return isForm(head) ? null : said(wrongMethod(head, `${READING}, POST`));
      }
      return said(logIn.inside(head));
    case paths.LOG_OUT_PATH:
      return said(head.method === "POST" ? logIn.logOut(visit) : wrongMethod(head, "POST"));
    case paths.DASHBOARD_PATH.slice(0, -1):
      return said(redirectAnswer(paths.DASHBOARD_PATH));
    default:
      return null;
  }
}

function wrongMethod(head: RequestHead, allow: string): Answer {
  const why = `it is asked with ${allow}`;
  return refusalAnswer(head, { code: "admin_method", status: 405, why, allow });
}

function isForm({ method, target }: RequestHead): boolean {
  return method === "POST" && paths.pathOf(target) === paths.LOG_IN_PATH;
}

function said(answer: Answer): Decision {
  return { kind: "answer", answer };
}
