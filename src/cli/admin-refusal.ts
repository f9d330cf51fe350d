/** What a "no" of the admin endpoints means for whoever asked: a text with what to do, and the exit status. Pure. */

import type { AdminReply } from "./admin-client.ts";
import type { Reach } from "./admin-reach.ts";
import { at, type Body, outputText, seenWords, shown } from "./admin-text.ts";
import { EXIT_FAILURE, EXIT_NO_PERMISSION, EXIT_USAGE } from "./exit-codes.ts";

/** Exit statuses of answers; any other is a plain "no". */
const STATUSES: Readonly<Record<number, number>> = {
  400: EXIT_USAGE,
  401: EXIT_NO_PERMISSION,
  403: EXIT_NO_PERMISSION,
  422: EXIT_USAGE,
};

/** The exit status of an answer that is no success. */
export function refusalStatus(status: number): number {
  return STATUSES[status] ?? EXIT_FAILURE;
}

/**
 * For people: what was asked for, why not, what was seen, what to do.
 * @param what `Cannot switch to port 8081`
 */
export function refusalText(
  what: string,
  reply: AdminReply,
  reach: Pick<Reach, "token" | "tokenFrom">,
): string {
  const { status, body } = reply;
  const output = at(body, "output");
  const lines = [
    `${what}: ${whyOf(status, body)}`,
    evidenceIn(body),
    adviceFor(reply, reach),
    output === undefined || output === null ? "" : `Its last output:\n${outputText(output)}`,
  ];
  return `${lines
    .filter((line) => line !== "")
    .join("\n")
    .trimEnd()}\n`;
}

function whyOf(status: number, body: Body): string {
  const message = at(body, "message") ?? at(body, "detail");
  const error = shown(at(body, "error") ?? at(body, "title"));
  if (typeof message !== "string" || message === "") return `status ${status}, ${error}`;
  return shown(message);
}

/** What the candidate answered at the gate. */
function evidenceIn(body: Body): string {
  const health = at(body, "health");
  if (typeof health !== "object" || health === null) return "";
  const attempts = at(health, "attempts");
  const times = attempts === 1 ? "once" : `${shown(attempts)} times`;
  const asked = typeof attempts === "number" ? `It was asked ${times}; ` : "";
  const seen = `the last answer: ${seenWords(health)}`;
  return asked === "" ? `T${seen.slice(1)}` : asked + seen;
}

const ADVICE: Readonly<Record<string, string>> = {
  "Health check failed":
    "Does the new version run there? HEALTH_PATH (or `switch.health_path` of the app) says what is asked, HEALTH_TIMEOUT_MS for how long",
  "Switch in progress": "`paastis status` shows when it has ended",
  "Unknown app": "`paastis status` shows which there are",
  "Which app?": "Name it with --app",
  unknown_app: "`paastis apps` lists those there are",
  admin_unknown: "Is that Paastis older than this command line?",
  "Invalid host": "",
  "Idempotency-Key already used": "Leave --idempotency-key out, and a new one is made",
  "State not saved":
    "STATE_FILE says where it is kept: is there room, and may Paastis write there?",
};

function adviceFor(
  { status, body, retryAfterS }: AdminReply,
  reach: Pick<Reach, "token" | "tokenFrom">,
): string {
  if (status === 429 && retryAfterS !== undefined) return `Try again in ${retryAfterS} s`;
  if (status === 401) {
    return reach.token === null
      ? "Give the token with --token or PAASTIS_TOKEN, or name the instance with --instance"
      : `The token came from ${reach.tokenFrom}: it must be the ADMIN_TOKEN that this Paastis was started with`;
  }
  const error = at(body, "error") ?? at(body, "code");
  const known = typeof error === "string" && Object.hasOwn(ADVICE, error) ? ADVICE[error] : null;
  if (known !== null && known !== undefined) return known;
  const remedy = at(body, "remedy");
  return typeof remedy === "string" ? shown(remedy) : "";
}
