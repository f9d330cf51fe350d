/** What Heroku's refusals mean where that is not the usual. Pure. */

import { readErrorId } from "./heroku-json.ts";
import { usualRefusal } from "./platform-answer.ts";
import type { ApiAnswer, ApiCall, Refusal } from "./platform-api.ts";
import { quoteOf } from "./platform-quote.ts";

const REQUEST_ID_CHARS_MAX = 80;

/**
 * Every refusal ends with the id under which Heroku knows the call, for its support.
 * Source: Platform API Reference, "Errors".
 */
export function understand(answer: ApiAnswer & { readonly call: ApiCall }): Refusal {
  const { status, body } = answer;
  const refusal = special(status, body) ?? usualRefusal(status, body);
  const id = requestIdOf(answer);
  return id === "" ? refusal : { ...refusal, message: `${refusal.message} [request ${id}]` };
}

function requestIdOf({ call, header }: ApiAnswer & { readonly call: ApiCall }): string {
  const id = header("request-id") || (call.headers?.["request-id"] ?? "");
  return id.slice(0, REQUEST_ID_CHARS_MAX);
}

function special(status: number, body: unknown): Refusal | null {
  const id = readErrorId(body);
  const words = quoteOf(body) || `status ${status}`;
  if (status === 401) {
    return { kind: "auth", message: `Heroku does not accept PROVIDER_HEROKU_API_TOKEN (${words})` };
  }
  if (status === 403 && id === "two_factor") return { kind: "auth", message: TWO_FACTOR };
  if (status === 403 && id === "suspended") {
    return { kind: "forbidden", message: `Heroku has suspended it (${words})` };
  }
  if (id === "verification_needed") {
    return { kind: "payment", message: `Heroku wants the account to be verified (${words})` };
  }
  // The id counts, whatever the status: other refusals of 422 are for good.
  if (id === "conflict") return { kind: "busy", message: `Heroku is busy with it (${words})` };
  if (status === 416) {
    const message = `Heroku does not understand which part of the list was asked for (${words})`;
    return { kind: "protocol", message };
  }
  return null;
}

const TWO_FACTOR =
  "Heroku wants a second factor from the owner of PROVIDER_HEROKU_API_TOKEN; `heroku authorizations:create` makes one that needs none";
