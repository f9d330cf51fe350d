/** Asks a running Paastis through its admin endpoints. */

import { type Clock, deadline, keepAlive, sleep } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { cleanText } from "../log-safety.ts";
import { codeOf } from "../text-file.ts";
import type { Place, Reach } from "./admin-reach.ts";
import { EXIT_UNAVAILABLE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";

/** What to ask. */
export interface AdminRequest {
  readonly method: "GET" | "POST";
  /** `/__status`. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Sent as JSON; `null`: no body. */
  readonly body: unknown;
  /** The same answer comes for the same one; `null`: without. */
  readonly idempotencyKey: string | null;
  /** Whether it may be sent once more when nobody knows what became of it. */
  readonly mayRepeat: boolean;
  /** How long an answer may take. */
  readonly timeoutMs: number;
}

/** What came back: a JSON object. */
export interface AdminReply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  /** `Retry-After`, in seconds; left out: there is none. */
  readonly retryAfterS?: number;
}

/** What asking needs from outside. */
export interface ClientDeps {
  readonly fetch: typeof fetch;
  readonly clock: Clock;
}

/** Far more than any answer has. */
const BYTES_MAX = 4 * 1024 * 1024;
/** How long a program that broke a connection may take to come back, and how often to look. */
const RETURN_MS = { max: 5000, pause: 250 } as const;

type Attempt =
  | { readonly kind: "reply"; readonly reply: AdminReply }
  /** Nothing was sent. */
  | { readonly kind: "unreached"; readonly why: string }
  /** Nobody knows whether it was done. */
  | { readonly kind: "broken"; readonly why: string };

/**
 * Asks at the first place that takes a connection; redirects are not followed. What broke is sent once more if it may
 * be, to the same place and as soon as that takes connections again.
 * @throws InstanceFailure 69 when no answer came, or none of Paastis
 */
export async function askPaastis(
  reach: Reach,
  request: AdminRequest,
  deps: ClientDeps,
): Promise<{ readonly reply: AdminReply; readonly place: Place }> {
  const letGo = keepAlive();
  try {
    const misses: string[] = [];
    for (const place of reach.places) {
      let attempt = await tryOnce(place, { reach, request, deps });
      if (attempt.kind === "broken" && request.mayRepeat) {
        attempt = await tryAgain(place, { reach, request, deps });
      }
      if (attempt.kind === "reply") return { reply: attempt.reply, place };
      if (attempt.kind === "broken") throw lost(place, attempt.why, request);
      misses.push(`${place.label} (${attempt.why})`);
    }
    throw unavailable({
      what: "Nothing answers",
      why: misses.join(", "),
      next: "Is Paastis running there? --url, --instance or --socket say where else to ask",
    });
  } finally {
    letGo();
  }
}

/** One request, whom to send it to, and by what. */
export interface Order {
  readonly reach: Reach;
  readonly request: AdminRequest;
  readonly deps: ClientDeps;
}

/** It may be restarting. */
async function tryAgain(place: Place, order: Order): Promise<Attempt> {
  const { clock } = order.deps;
  const endMs = clock.now() + RETURN_MS.max;
  for (;;) {
    await sleep(clock, RETURN_MS.pause);
    const attempt = await tryOnce(place, order);
    if (attempt.kind !== "unreached") return attempt;
    const why = `the connection broke, and then: ${attempt.why}`;
    if (clock.now() >= endMs) return { kind: "broken", why };
  }
}

const TIMED_OUT = "no answer in time";

async function tryOnce(place: Place, { reach, request, deps }: Order): Promise<Attempt> {
  const limit = deadline(deps.clock, request.timeoutMs, { reason: TIMED_OUT });
  try {
    const response = await fetchFrom(place, { reach, request, deps }, limit.signal);
    return { kind: "reply", reply: await replyFrom(response, place) };
  } catch (error) {
    if (error instanceof InstanceFailure) throw error;
    if (limit.signal.aborted) throw lost(place, TIMED_OUT, request);
    return whatBroke(error);
  } finally {
    limit.end();
  }
}

/** Sends a request to one place. @throws whatever the runtime does */
export async function fetchFrom(
  place: Place,
  {
    reach,
    request,
    deps,
    headers,
  }: Order & { readonly headers?: Readonly<Record<string, string>> },
  signal: AbortSignal | null,
): Promise<Response> {
  return await deps.fetch(urlOf(place, request), {
    method: request.method,
    headers: { ...headersOf(reach, request), ...headers },
    ...(request.body === null ? {} : { body: JSON.stringify(request.body) }),
    // The token is for this address alone, whatever it or the environment say.
    redirect: "manual",
    proxy: false,
    decompress: false,
    keepalive: false,
    timeout: false,
    ...(place.socketPath === null ? {} : { unix: place.socketPath }),
    signal,
  });
}

function urlOf({ origin }: Place, { path, query }: AdminRequest): string {
  const search = new URLSearchParams(query).toString();
  return `${origin}${path}${search === "" ? "" : `?${search}`}`;
}

function headersOf({ token }: Reach, { body, idempotencyKey }: AdminRequest) {
  return {
    accept: "application/json",
    "user-agent": "paastis",
    ...(body === null ? {} : { "content-type": "application/json" }),
    ...(idempotencyKey === null ? {} : { "idempotency-key": idempotencyKey }),
    ...(token === null ? {} : { "x-admin-token": token }),
  };
}

/** An answer's JSON. @throws InstanceFailure when that is no answer of Paastis; whatever reading the body throws */
export async function replyFrom(response: Response, place: Place): Promise<AdminReply> {
  const { status, headers } = response;
  const location = headers.get("location");
  if (status >= 300 && status < 400) {
    await response.body?.cancel();
    const where = location === null ? "" : ` to ${cleanText(location).slice(0, 200)}`;
    throw unavailable({
      what: `${place.label} is not Paastis itself`,
      why: `it redirects${where}`,
      next: "Give the address of Paastis with --url; redirects are not followed",
    });
  }
  const body = parse(await textOf(response));
  const wait = headers.get("retry-after") ?? "";
  const later = /^\d{1,6}$/.test(wait) ? { retryAfterS: Number(wait) } : {};
  if (body !== null) return { status, body, ...later };
  throw notPaastis(place, status);
}

async function textOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > BYTES_MAX) return "";
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parse(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
    // An object of JSON has names and values.
    return value as Readonly<Record<string, unknown>>;
  } catch {
    return null;
  }
}

/** The failure for something else that answers there. */
export function notPaastis({ label }: Place, status: number): InstanceFailure {
  return unavailable({
    what: `What answers at ${label} is not Paastis itself`,
    why: `status ${status}, and not what its admin endpoints say`,
    next: "Give the address of Paastis with --url: the host of an app may lead to the app",
  });
}

function lost({ label }: Place, why: string, { method, idempotencyKey }: AdminRequest) {
  const again =
    idempotencyKey === null
      ? "Look with `paastis status`, then try again"
      : `Look with \`paastis status\`, or try again with --idempotency-key ${idempotencyKey}: it is not done twice`;
  return unavailable({
    what: `No answer came from ${label}`,
    why: method === "GET" ? why : `${why}; it may have been done`,
    next: method === "GET" ? "Is Paastis well? Its log says more" : again,
  });
}

function unavailable(explanation: ConstructorParameters<typeof InstanceFailure>[0]) {
  return new InstanceFailure(explanation, EXIT_UNAVAILABLE);
}

/** No connection was made. */
const UNREACHED: Readonly<Record<string, string>> = {
  ConnectionRefused: "nothing listens there",
  ECONNREFUSED: "nothing listens there",
  ENOENT: "there is no such socket",
  ENOTDIR: "there is no such socket",
  EACCES: "permission denied: use sudo, or be the user that Paastis runs as",
  ENOTFOUND: "the name has no address",
  ENAMETOOLONG: "the path is too long for a socket",
  EHOSTUNREACH: "no way leads there",
  ENETUNREACH: "no way leads there",
};

const BROKEN: Readonly<Record<string, string>> = {
  ECONNRESET: "it closed the connection",
  Malformed_HTTP_Response: "it does not speak HTTP",
};

/** What a failure to get an answer means. */
export function whatBroke(error: unknown): Attempt {
  const code = String(codeOf(error));
  const unreached = UNREACHED[code];
  if (unreached !== undefined) return { kind: "unreached", why: unreached };
  // Nothing is sent before a certificate was found good.
  if (/CERT|TLS|SSL|VERIFY/.test(code)) {
    return { kind: "unreached", why: `nobody vouches for its certificate: ${code}` };
  }
  return { kind: "broken", why: BROKEN[code] ?? cleanText(messageOf(error)) };
}
