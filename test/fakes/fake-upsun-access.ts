/** Who may call the fake Upsun, and how often: an API token, bearers of 15 minutes, calls per minute. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import type { Call } from "./fake-platform.ts";
import { refused } from "./fake-upsun-json.ts";
import { checkHeader, checkNoBody } from "./request-checks.ts";

const MINUTE_MS = 60_000;

/** State of the one account. */
export interface Access {
  /** `null`: revoked. */
  apiToken: string | null;
  readonly bearerLifeMs: number;
  /** Of the answer to an exchange of a bad token. */
  readonly badTokenStatus: 400 | 401;
  /** Seconds that a 429 tells; `null`: it does not. */
  readonly retryAfterSeconds: number | null;
  callsPerMinute: number;
  /** Bearer -> until when it is good. Dead ones stay, so that inventions can be told apart. */
  readonly bearers: Map<string, number>;
  times: number[];
  refused: number;
}

/** `null`: the call goes on. */
export function admit(access: Access, call: Call): FakeAnswer | null {
  checkHeader(call, "accept", /^application\/json\b/);
  if (call.method === "GET") checkNoBody(call);
  const [, bearer] = /^Bearer (\S+)$/.exec(call.headers.get("authorization") ?? "") ?? [];
  const goodUntilMs = bearer === undefined ? undefined : access.bearers.get(bearer);
  if (goodUntilMs === undefined) call.violation("Authorization must be a bearer of an exchange");
  if (goodUntilMs === undefined || call.atMs >= goodUntilMs) {
    return refused(401, "The access token is invalid or has expired", "account");
  }
  access.times = access.times.filter((atMs) => call.atMs - atMs < MINUTE_MS);
  if (access.times.length < access.callsPerMinute) {
    access.times.push(call.atMs);
    return null;
  }
  access.refused += 1;
  const answer = refused(429, "Too many requests", "account");
  const { retryAfterSeconds } = access;
  if (retryAfterSeconds === null) return answer;
  return { ...answer, headers: { "Retry-After": String(retryAfterSeconds) } };
}

/** `POST /oauth2/token`, as OAuth wants it: a form, and the client's name as the user of HTTP Basic. */
export function exchange(access: Access, call: Call): FakeAnswer {
  checkHeader(call, "content-type", /^application\/x-www-form-urlencoded\b/i);
  const client = Buffer.from("platform-api-user:").toString("base64");
  checkHeader(call, "authorization", new RegExp(`^Basic ${client}$`));
  const form = new URLSearchParams(call.text);
  for (const name of form.keys()) {
    if (name !== "grant_type" && name !== "api_token") call.violation(`the form has ${name}`);
  }
  if (form.get("grant_type") !== "api_token") {
    call.violation("grant_type must be api_token");
    return json({ error: "unsupported_grant_type" }, 400);
  }
  if (access.apiToken === null || form.get("api_token") !== access.apiToken) {
    const error_description = `The provided API token ${form.get("api_token")} is invalid.`;
    return json({ error: "invalid_grant", error_description }, access.badTokenStatus);
  }
  const bearer = `eyJhbGciOiJSUzI1NiJ9.fake-bearer-${access.bearers.size + 1}.c2lnbmVk`;
  access.bearers.set(bearer, call.atMs + access.bearerLifeMs);
  const expires_in = Math.floor(access.bearerLifeMs / 1000);
  return json({ access_token: bearer, expires_in, token_type: "bearer" });
}

/** Every bearer issued so far is dead. */
export function expireBearers({ bearers }: Access): void {
  for (const bearer of bearers.keys()) bearers.set(bearer, 0);
}
