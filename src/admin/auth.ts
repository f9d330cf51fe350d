/** Who may use the admin endpoints. Its only effect is on the limits that it was given. */

import { createHash } from "node:crypto";
import { isIP } from "node:net";
import { createTrust } from "../client-address.ts";
import type { AdminConfig } from "../config.ts";
import type { RequestHead } from "../engines/engine.ts";
import { isThroughProxy } from "../public-why.ts";
import { type Client, isFromOwnPage, NAMED_OTHERWISE } from "./client.ts";
import { type Credential, credentialOf } from "./credential.ts";
import type { Claim } from "./own-hosts.ts";
import { isAdminPath, isChanging, LOG_IN_PATH, pathOf } from "./paths.ts";
import { networkOf, type RateLimit } from "./rate-limit.ts";
import type { Sessions } from "./session.ts";

/** A request that may be ours. */
export interface Visit {
  readonly head: RequestHead;
  readonly client: Client;
  readonly claim: Claim;
}

/** `astray`: it is for the app of its host; `log-in`: it proves nothing about who sent it. */
export type Verdict =
  | { readonly kind: "granted" }
  | { readonly kind: "astray" }
  | Denial
  | (Omit<Denial, "kind"> & { readonly kind: "log-in" });

/** A "no". */
export interface Denial {
  readonly kind: "refused";
  readonly status: 401 | 403 | 429;
  /** For people. */
  readonly why: string;
  /** With 429: when there is room again. */
  readonly retryAfterMs?: number;
}

/** What the guard is made of. */
export interface GuardOptions {
  readonly config: Pick<AdminConfig, "allowlist" | "token">;
  /** Whether that is the token that opens the endpoints. */
  readonly isToken: (text: string) => boolean;
  readonly sessions: Sessions | null;
  /** Wrong tokens. */
  readonly failures: RateLimit;
  /** Wrong tokens where a right one would have taken the request from an app. */
  readonly guesses: RateLimit;
  readonly changes: RateLimit;
}

const GRANTED: Verdict = { kind: "granted" };
const ASTRAY: Verdict = { kind: "astray" };

/**
 * A guard for requests that come over TCP. Only addresses of the allowlist are looked at any further. Who has sent too
 * many wrong tokens is told to wait before the next one is looked at. Without a token of the configuration scripts of
 * this machine may read what they have always read, but not through a proxy: behind one everybody has its address.
 */
export function createAdminGuard(options: GuardOptions): (visit: Visit) => Verdict {
  const isListed = createTrust(options.config.allowlist);
  const isNewGuess = createGuessMemory();
  return (visit) => {
    const { client, claim, head } = visit;
    const credential = credentialOf(head);
    if (claim === "with-credential") {
      const isOurs = isListed(client.address) && isOperator(options, visit, isNewGuess);
      if (!isOurs) return ASTRAY;
    }
    if (!isListed(client.address)) {
      return denied(403, notListed(client));
    }
    return whyNot(options, visit, credential) ?? tooManyChanges(options, visit) ?? GRANTED;
  };
}

function notListed({ address }: Client): string {
  if (address === NAMED_OTHERWISE) {
    return "The proxy of TRUSTED_PROXIES must name its client by X-Forwarded-For: Forwarded alone is not believed";
  }
  const who = isIP(address) === 0 ? "This client" : address;
  return `${who} is not in ADMIN_ALLOWLIST`;
}

/** On a host of an app nothing is refused: what proves nothing is the app's, whatever it is. */
function isOperator(
  { guesses, isToken, sessions }: GuardOptions,
  { client, head }: Visit,
  isNewGuess: (who: string, guess: string) => boolean,
): boolean {
  const credential = credentialOf(head);
  if (credential.kind === "none") return false;
  if (credential.kind === "sessions") return hasSession(sessions, credential);
  const who = networkOf(client.address);
  if (guesses.waitMs(who) > 0) return false;
  if (isToken(credential.text)) return true;
  if (isNewGuess(who, credential.text)) guesses.note(who);
  return false;
}

const MEMORY_MAX = 1000;

/** An app's own token comes with every request: it is no guess but the first time. */
function createGuessMemory(): (who: string, guess: string) => boolean {
  const latest = new Map<string, string>();
  return (who, guess) => {
    const digest = createHash("sha256").update(guess).digest("base64");
    if (latest.get(who) === digest) return false;
    latest.delete(who);
    latest.set(who, digest);
    const [oldest] = latest.keys();
    if (latest.size > MEMORY_MAX && oldest !== undefined) latest.delete(oldest);
    return true;
  };
}

function whyNot(options: GuardOptions, visit: Visit, credential: Credential): Verdict | null {
  switch (credential.kind) {
    case "token":
      return whyNotByToken(options, visit, credential);
    case "sessions":
      if (!hasSession(options.sessions, credential)) break;
      return crossSite(visit);
    case "none":
      break;
  }
  return isLogIn(visit)
    ? (crossSite(visit) ?? tooManyFailures(options, visit))
    : unproven(options, visit);
}

function isLogIn({ head }: Pick<Visit, "head">): boolean {
  return head.method === "POST" && pathOf(head.target) === LOG_IN_PATH;
}

function hasSession(
  sessions: Sessions | null,
  { values }: Extract<Credential, { kind: "sessions" }>,
): boolean {
  return sessions !== null && values.some(sessions.isOpen);
}

function whyNotByToken(
  options: GuardOptions,
  visit: Visit,
  { text, from }: Extract<Credential, { kind: "token" }>,
): Verdict | null {
  const busy = tooManyFailures(options, visit);
  if (busy !== null) return busy;
  if (options.isToken(text)) return null;
  options.failures.note(networkOf(visit.client.address));
  const right =
    options.config.token === null
      ? "the one that the log of this start has"
      : "that of ADMIN_TOKEN";
  return denied(401, `The token in the header ${from} is not ${right}`);
}

function crossSite({ client, head }: Visit): Verdict | null {
  if (!isChanging(head.method) || isFromOwnPage(head, client)) return null;
  const why =
    "A page of another site, or of nobody knows which, made a browser send this. Scripts send the token in the header x-admin-token";
  return denied(403, why);
}

const REMEDY =
  "set it, use the unix socket of ADMIN_UNIX_SOCKET, or send the token that the log of this start has";

function unproven({ config }: GuardOptions, { head }: Visit): Verdict | null {
  const how = "in the header x-admin-token, or log in at /__/login";
  if (config.token !== null) return logIn(401, `Send the token of ADMIN_TOKEN ${how}`);
  if (!isAdminPath(head.target))
    return logIn(401, `Send the token that the log of this start has ${how}`);
  if (isThroughProxy(head)) {
    return logIn(403, `Without ADMIN_TOKEN nobody is let in through a proxy: ${REMEDY}`);
  }
  if (!isChanging(head.method)) return null;
  return logIn(403, `Without ADMIN_TOKEN nothing can be changed over TCP: ${REMEDY}`);
}

function logIn(status: 401 | 403, why: string): Verdict {
  return { kind: "log-in", status, why };
}

function tooManyFailures({ failures }: GuardOptions, { client }: Visit): Verdict | null {
  return tooMany(failures, client, "too many wrong tokens came from this address");
}

/** What was counted is what is done: a refusal does not make the wait longer. */
function tooManyChanges({ changes }: GuardOptions, { client, head }: Visit): Verdict | null {
  if (!isChanging(head.method) || isLogIn({ head })) return null;
  const verdict = tooMany(changes, client, "too much was changed from this address");
  if (verdict === null) changes.note(networkOf(client.address));
  return verdict;
}

function tooMany(limit: RateLimit, client: Client, what: string): Verdict | null {
  const retryAfterMs = limit.waitMs(networkOf(client.address));
  if (retryAfterMs === 0) return null;
  const why = `In the last minute ${what}: ADMIN_RATE_LIMIT says how much may be. The unix socket has no such limit`;
  return { kind: "refused", status: 429, why, retryAfterMs };
}

function denied(status: 401 | 403, why: string): Verdict {
  return { kind: "refused", status, why };
}
