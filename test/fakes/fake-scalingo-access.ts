/** Who may call the fake Scalingo, and how often: API tokens, bearers of one hour, requests per minute. */

import type { FakeAnswer } from "./fake-answer.ts";
import type { Call } from "./fake-platform.ts";
import { tooManyRequests, unauthorized } from "./fake-scalingo-json.ts";
import { checkFields, checkHeader, checkNoBody, fieldsOf } from "./request-checks.ts";

/** State of the one account. */
export interface Access {
  readonly bearerLifeMs: number;
  readonly windowMs: number;
  /** `null`: revoked. */
  apiToken: string | null;
  requestsMax: number;
  /** Bearer -> until when it is good, by the fake's clock. Dead ones stay, so that inventions can be told apart. */
  readonly bearers: Map<string, number>;
  /** When calls were let through within the last window, and calls of others that share the account. */
  times: number[];
  refused: number;
}

export function createAccess(options: {
  readonly apiToken: string;
  readonly bearerLifeMs: number;
  readonly windowMs: number;
  readonly requestsMax: number;
}): Access {
  return { ...options, bearers: new Map(), times: [], refused: 0 };
}

/** Counts the call. @returns the 429 when it was one too many within a window */
export function limit(access: Access, call: Call): FakeAnswer | null {
  access.times = access.times.filter((atMs) => call.atMs - atMs < access.windowMs);
  if (access.times.length >= access.requestsMax) {
    access.refused += 1;
    return tooManyRequests();
  }
  access.times.push(call.atMs);
  return null;
}

/** The checks that every call must pass. */
export function checkForm(call: Call): void {
  checkHeader(call, "accept", /^application\/json\b/i);
  if (call.method === "GET") checkNoBody(call);
}

/** The bearer of a call must be one that was issued and is not too old. */
export function authenticate(access: Access, call: Call): FakeAnswer | null {
  const [, bearer] = /^Bearer (\S+)$/.exec(call.headers.get("authorization") ?? "") ?? [];
  const goodUntilMs = bearer === undefined ? undefined : access.bearers.get(bearer);
  if (goodUntilMs === undefined) {
    call.violation("Authorization must be a bearer from a token exchange");
    return unauthorized();
  }
  return call.atMs < goodUntilMs ? null : unauthorized();
}

/** `POST /v1/tokens/exchange`. The body is `{}` or nothing: the documents' example has none. */
export function exchange(access: Access, call: Call): FakeAnswer {
  checkHeader(call, "content-type", /^application\/json\b/i);
  const body = call.text === "" ? {} : fieldsOf(call.json);
  if (body === null) call.violation("the body must be {}");
  else checkFields(call, body, { where: "body", allowed: [] });
  const [, basic] = /^Basic (\S+)$/.exec(call.headers.get("authorization") ?? "") ?? [];
  if (basic === undefined) {
    call.violation("Authorization must be Basic with an empty user and the API token");
    return unauthorized();
  }
  const [user, password] = Buffer.from(basic, "base64").toString().split(/:(.*)/s);
  if (user !== "" || password === undefined || password === "") {
    call.violation("the user must be empty and the password the API token");
    return unauthorized();
  }
  if (password !== access.apiToken) return unauthorized();
  return { status: 200, body: { token: issue(access, call.atMs) } };
}

function issue(access: Access, nowMs: number): string {
  const bearer = `eyJhbGciOiJIUzUxMiJ9.fake-bearer-${access.bearers.size + 1}.c2lnbmVk`;
  access.bearers.set(bearer, nowMs + access.bearerLifeMs);
  return bearer;
}

/** Every bearer issued so far is dead. */
export function expireBearers(access: Access): void {
  for (const bearer of access.bearers.keys()) access.bearers.set(bearer, 0);
}
