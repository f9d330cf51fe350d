/** The verbs that ask a running Paastis: what each sends, and what it says of the answer. */

import { createSystemClock } from "../clock.ts";
import { type AdminReply, type AdminRequest, askPaastis, notPaastis } from "./admin-client.ts";
import { type ReachFlags, reachFrom } from "./admin-reach.ts";
import { refusalStatus, refusalText } from "./admin-refusal.ts";
import {
  at,
  type Body,
  deployText,
  healthText,
  jsonText,
  metricsText,
  pauseText,
  shown,
  statusText,
  switchText,
} from "./admin-text.ts";
import { EXIT_FAILURE, EXIT_USAGE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { complain, type Surroundings, tell } from "./surroundings.ts";

/** Flags of all of them. */
export interface AdminFlags extends ReachFlags {
  readonly app?: string;
  readonly json?: true;
}

/** One verb with its arguments. */
export interface AdminCall {
  /** `Cannot switch to port 8081`: what to say before why not. */
  readonly cannot: string;
  readonly request: Omit<AdminRequest, "query"> & { readonly query?: AdminRequest["query"] };
  /** What every answer that is no refusal has: without it, it is not Paastis that answers. */
  readonly sign: readonly string[];
  readonly text: (body: Body) => string;
  /** What else to say when there is no such app. */
  readonly ifUnknown?: string;
}

/** How long an answer may take that only has to be looked up, or waits for one look at an app. */
export const ANSWER_MS_MAX = 30_000;
/** How long the health gate, or the start of a new version, may be configured to take. */
const SWITCH_MS_MAX = 15 * 60_000;

/** What all requests have that only look. */
export const READING = {
  method: "GET",
  body: null,
  idempotencyKey: null,
  mayRepeat: true,
} as const;
/** The same for those that change something, and may be sent again. */
export const CHANGING = { ...READING, method: "POST" } as const;

/** Of an only app, too, all that is known. */
const DETAILS = { details: "1" } as const;

/** `status`. */
export function statusCall(): AdminCall {
  return {
    cannot: "Cannot tell the status",
    request: { ...READING, path: "/__status", query: DETAILS, timeoutMs: ANSWER_MS_MAX },
    sign: ["activePort", "apps"],
    text: statusText,
  };
}

/** `metrics`. */
export function metricsCall(): AdminCall {
  return {
    cannot: "Cannot tell the metrics",
    request: { ...READING, path: "/__metrics", timeoutMs: ANSWER_MS_MAX },
    sign: ["startedAt"],
    text: metricsText,
  };
}

/** `health`. */
export function healthCall(): AdminCall {
  return {
    cannot: "Cannot tell the health",
    request: { ...READING, path: "/__health", timeoutMs: SWITCH_MS_MAX },
    sign: ["status"],
    text: healthText,
  };
}

/**
 * `switch`. A second try with the same key is not a second switch.
 * @throws InstanceFailure 64 for what is no port or no key
 */
export function switchCall(port: string, key: string): AdminCall {
  const number = Number(port);
  if (!/^\d{1,5}$/.test(port) || number < 1 || number > 65_535) {
    const why = `a port is a whole number from 1 to 65535: it is ${JSON.stringify(port)}`;
    throw new InstanceFailure({ what: "Cannot switch", why, next: "" }, EXIT_USAGE);
  }
  return {
    cannot: `Cannot switch to port ${number}`,
    request: {
      ...CHANGING,
      path: "/__switch",
      query: { port: String(number) },
      idempotencyKey: checkedKey(key),
      timeoutMs: SWITCH_MS_MAX,
    },
    sign: ["success"],
    text: switchText,
  };
}

/**
 * `pause` and `resume`: the second of two changes nothing.
 * @param span how long a pause lasts; left out: until it is resumed
 * @throws InstanceFailure 64 when it is not said which app is paused for so long
 */
export function pauseCall(verb: "pause" | "resume", span: Span = {}): AdminCall {
  const { for: duration, until } = span;
  if (duration !== undefined || until !== undefined) return pauseForCall(span);
  return {
    cannot: `Cannot ${verb} it`,
    request: { ...CHANGING, path: `/__${verb}`, timeoutMs: ANSWER_MS_MAX },
    sign: ["success"],
    text: pauseText,
  };
}

interface Span {
  readonly app?: string | undefined;
  readonly for?: string | undefined;
  readonly until?: string | undefined;
}

function pauseForCall({ app, for: duration, until }: Span): AdminCall {
  if (app === undefined) {
    const why = "it must be said which app";
    const next = "Name it: paastis pause <app> --for 1h";
    throw new InstanceFailure({ what: "Cannot pause it", why, next }, EXIT_USAGE);
  }
  return {
    cannot: `Cannot pause ${app}`,
    request: {
      ...CHANGING,
      path: `/__apps/${encodeURIComponent(app)}/pause`,
      query: {
        ...(duration !== undefined && { for: duration }),
        ...(until !== undefined && { until }),
      },
      timeoutMs: ANSWER_MS_MAX,
    },
    sign: ["phase"],
    text: (body) => `${shown(at(body, "message"))}\n`,
  };
}

/** `maintenance`. @throws InstanceFailure 64 for a text in the place of an app's key */
export function maintenanceCall(message: string, app?: string): AdminCall {
  if (app !== undefined && /\s/.test(app)) {
    const why = `${JSON.stringify(app)} cannot be the key of an app`;
    const what = "Cannot begin maintenance";
    throw new InstanceFailure({ what, why, next: adviseMessage(app) }, EXIT_USAGE);
  }
  return {
    cannot: "Cannot begin maintenance",
    request: {
      ...CHANGING,
      path: "/__maintenance",
      body: { message },
      timeoutMs: ANSWER_MS_MAX,
    },
    sign: ["success"],
    text: pauseText,
    ...(message === "" && app !== undefined ? { ifUnknown: adviseMessage(app) } : {}),
  };
}

function adviseMessage(text: string): string {
  return `Is it what visitors are to read? Give it with --message ${JSON.stringify(text)}`;
}

/** `deploy`. @throws InstanceFailure 64 for what is no key */
export function deployCall(key: string): AdminCall {
  return {
    cannot: "Cannot deploy it",
    request: {
      ...CHANGING,
      path: "/__deploy",
      idempotencyKey: checkedKey(key),
      // Not every answer to it is kept: only a person knows whether it should begin anew.
      mayRepeat: false,
      timeoutMs: SWITCH_MS_MAX,
    },
    sign: ["success"],
    text: deployText,
  };
}

/**
 * Asks, and says what came back.
 * @returns the exit status
 * @throws InstanceFailure when nobody could be asked
 */
export async function runAdminCall(
  call: AdminCall,
  flags: AdminFlags,
  surroundings: Surroundings,
): Promise<number> {
  const reach = reachFrom(flags, surroundings);
  const app = flags.app === undefined ? {} : { app: flags.app };
  const request = { ...call.request, query: { ...call.request.query, ...app } };
  const { reply, place } = await askPaastis(reach, request, { fetch, clock: createSystemClock() });
  const { status, body } = reply;
  const isAnswer = call.sign.some((name) => at(body, name) !== undefined);
  const isRefusal = isRefused(body) && !isAnswer;
  if (!isAnswer && !isRefusal) throw notPaastis(place, status);
  if (flags.json === true) surroundings.writeOut(jsonText(body));
  else if (isRefusal) {
    const isUnknown = at(body, "error") === "Unknown app" && call.ifUnknown !== undefined;
    const more = isUnknown ? `${call.ifUnknown}\n` : "";
    complain(surroundings, refusalText(call.cannot, reply, reach) + more);
  } else tell(surroundings, call.text(body));
  return exitStatusOf(reply, { isRefusal });
}

/** The older endpoints have `error` in it; what the newer ones say are problem details (RFC 9457). */
export function isRefused(body: Body): boolean {
  const isProblem = typeof at(body, "code") === "string" && typeof at(body, "title") === "string";
  return isProblem || typeof at(body, "error") === "string";
}

/** An app that is not healthy is an answer, and a "no". */
function exitStatusOf({ status }: AdminReply, { isRefusal }: { readonly isRefusal: boolean }) {
  if (status >= 200 && status < 300) return 0;
  return isRefusal ? refusalStatus(status) : EXIT_FAILURE;
}

/** @throws InstanceFailure 64 when no header can hold it */
function checkedKey(key: string): string {
  if (/^[\x21-\x7e]{1,200}$/.test(key)) return key;
  const why = "it must be 1 to 200 letters, digits and signs, without blanks";
  throw new InstanceFailure({ what: "Cannot use --idempotency-key", why, next: "" }, EXIT_USAGE);
}
