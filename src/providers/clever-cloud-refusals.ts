/** What Clever Cloud means by an answer of 400 or above. */

import { errorIdOf } from "./clever-cloud-json.ts";
import { usualRefusal } from "./platform-answer.ts";
import type { ApiAnswer, ApiCall, Refusal } from "./platform-api.ts";

/** The body's `id` when an app is started that has no code yet. */
const NEVER_DEPLOYED = 4014;
/** The body's `id` when too many calls were made; without it, status 403 means that something is not allowed. */
const TOO_MANY_CALLS = 403;
/** The limits are not published, and the answer does not say when to come back, in ms. */
const LIMIT_PAUSE_MS = 30_000;

/** Pure. The refusal, with the id by which the platform's support finds the call in its router's logs. */
export function refusalOf(answer: ApiAnswer & { readonly call: ApiCall }): Refusal {
  const refusal = meaningOf(answer);
  const sozuId = answer.header("sozu-id");
  if (sozuId === null || sozuId === "") return refusal;
  return { ...refusal, message: `${refusal.message}; Sozu-Id ${sozuId}` };
}

function meaningOf({ body, call, status }: ApiAnswer & { readonly call: ApiCall }): Refusal {
  const usual = usualRefusal(status, body);
  const errorId = errorIdOf(body);
  if (status === 403 && errorId === TOO_MANY_CALLS) {
    const message = `too many calls were made (status 403, id ${errorId})`;
    return { kind: "rate-limited", message, retryAfterMs: LIMIT_PAUSE_MS };
  }
  if (errorId === NEVER_DEPLOYED) {
    const message =
      "it was never deployed: push its code to Clever Cloud once, then it can be woken";
    return { kind: "invalid", message };
  }
  // The app is in no state for what was asked: it may be in the next moment.
  if (status === 422 && call.method !== "GET") return { ...usual, kind: "busy" };
  return usual;
}
