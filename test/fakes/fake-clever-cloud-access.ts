/**
 * Who may call the fake Clever Cloud, and how often: API tokens at the bridge, OAuth1 at the API,
 * one limit.
 */

import type { FakeAnswer } from "./fake-answer.ts";
import { refusal, unauthorized } from "./fake-clever-cloud-json.ts";
import {
  complaintAbout,
  isSignedBy,
  type OAuthCredentials,
  type OAuthParameters,
  readAuthorization,
} from "./fake-clever-cloud-oauth1.ts";
import type { Call } from "./fake-platform.ts";

/** State of the one account. */
export interface Access {
  /** `null`: revoked, as are those of `oauth`. */
  apiToken: string | null;
  oauth: OAuthCredentials | null;
  /** A timestamp may differ so much from the wall clock. */
  readonly timestampSkewMs: number;
  /** A nonce may be used once. */
  readonly checksNonces: boolean;
  /** Timestamp and nonce of every call that was signed well. */
  readonly nonces: Set<string>;
  requestsMax: number;
  windowMs: number;
  /**
   * When calls were let through within the last window, and calls of others that share the account.
   */
  times: number[];
  refused: number;
}

/** Credentials of a call to the bridge: a bearer. A wrong one is no violation, another kind is. */
export function authenticateBearer(access: Access, call: Call): FakeAnswer | null {
  const header = call.headers.get("authorization") ?? "";
  const [, token] = /^Bearer (\S+)$/.exec(header) ?? [];
  if (token === undefined) {
    const kind = header === "" ? "without" : "with another kind of";
    call.violation(`${kind} credentials: the bridge takes bearers`);
    return unauthorized(call.path);
  }
  return token === access.apiToken ? null : unauthorized(call.path);
}

/**
 * Credentials of a call to the API: OAuth1. Keys that nobody knows are no violation, all else that
 * is wrong is.
 */
export function authenticateOAuth(access: Access, call: Call, wallMs: number): FakeAnswer | null {
  const header = call.headers.get("authorization") ?? "";
  if (/^bearer\b/i.test(header)) return refuse(call, "tokens do not work here, only at the bridge");
  const parameters = readAuthorization(header);
  if (typeof parameters === "string") return refuse(call, parameters);
  const complaint = complaintAbout(parameters) ?? misplacedIn(call);
  if (complaint !== null) return refuse(call, complaint);
  const { oauth } = access;
  const isKnown =
    oauth !== null &&
    parameters.oauth_consumer_key === oauth.consumerKey &&
    parameters.oauth_token === oauth.token;
  if (!isKnown) return unauthorized(call.path);
  if (!isSignedBy(call, parameters, oauth)) return refuse(call, "the signature is wrong");
  const stale = complaintAboutTime(access, parameters, wallMs);
  return stale === null ? null : refuse(call, stale);
}

function misplacedIn({ query }: Call): string | null {
  const name = [...query.keys()].find((one) => one.startsWith("oauth_"));
  return name === undefined ? null : `${name} must be in the header, not in the query`;
}

/** Section 3.3 of RFC 5849. PLAINTEXT needs neither, so only what is there is looked at. */
function complaintAboutTime(
  access: Access,
  { oauth_timestamp: timestamp, oauth_nonce: nonce }: OAuthParameters,
  wallMs: number,
): string | null {
  if (timestamp === undefined) return null;
  const aheadMs = Number(timestamp) * 1_000 - wallMs;
  if (Math.abs(aheadMs) > access.timestampSkewMs) {
    return `oauth_timestamp is ${Math.round(aheadMs / 1_000)} s ahead of the platform's clock`;
  }
  if (nonce === undefined || !access.checksNonces) return null;
  const used = `${timestamp} ${nonce}`;
  if (access.nonces.has(used)) return "this nonce was used before";
  access.nonces.add(used);
  return null;
}

function refuse(call: Call, why: string): FakeAnswer {
  call.violation(why);
  return unauthorized(call.path);
}

/** Counts the call. @returns the refusal when it was one too many within a window */
export function limit(access: Access, call: Call): FakeAnswer | null {
  access.times = access.times.filter((atMs) => call.atMs - atMs < access.windowMs);
  if (access.times.length >= access.requestsMax) {
    access.refused += 1;
    const isV4 = call.path.startsWith("/v4/");
    return refusal(call.path, {
      status: isV4 ? 429 : 403,
      id: isV4 ? 429 : 403,
      message: "You have made too many requests",
    });
  }
  access.times.push(call.atMs);
  return null;
}
