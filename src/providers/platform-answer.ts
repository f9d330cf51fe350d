/** What a platform's answer says: its body by content type, what its status usually means, how long to wait. */

import type { ApiAnswer, ApiCall, PlatformApiOptions, Refusal } from "./platform-api.ts";
import { quoteOf, withoutPieces } from "./platform-quote.ts";
import type { ProviderErrorKind } from "./provider.ts";

/** Longest body that is read, in bytes after decompression. */
export const BODY_BYTES_MAX = 32 * 1024 * 1024;

/** What an answer's body turned out to be. */
export type ReadBody =
  | { readonly kind: "read"; readonly body: unknown }
  /** Not what its content type promises, or a page for people; `why` completes "the answer …". */
  | { readonly kind: "garbled"; readonly why: string; readonly text: string }
  | { readonly kind: "too-long" };

/**
 * Reads the body by its content type: JSON parsed, empty as `null`, HTML never as an answer, other text as text.
 * A body without a content type is JSON if it can be.
 * @param secrets taken out of what explains a refusal, before anybody can quote half of one
 * @throws whatever the connection dies of, and the reason that the request was aborted with
 */
export async function readBody(response: Response, secrets: readonly string[]): Promise<ReadBody> {
  const said = await readText(response);
  if (said === null) return { kind: "too-long" };
  const text = response.status < 400 ? said : withoutPieces(said, secrets);
  if (text.trim() === "") return { kind: "read", body: null };
  const type = (response.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase();
  if (type === "text/html" || type === "application/xhtml+xml") {
    return { kind: "garbled", why: "is a page of HTML instead of JSON", text };
  }
  const isJson = type === "application/json" || type?.endsWith("+json") === true;
  if (!isJson && type !== "") return { kind: "read", body: text };
  try {
    return { kind: "read", body: JSON.parse(text) };
  } catch {
    if (!isJson) return { kind: "read", body: text };
    return { kind: "garbled", why: "says it is JSON and is not, or not all of it", text };
  }
}

/** `null` when it is longer than what is read; nothing of the rest is taken then. */
async function readText(response: Response): Promise<string | null> {
  if (response.body === null) return "";
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop early cancels the stream, and with it the connection.
  for await (const piece of response.body) {
    bytes += piece.length;
    if (bytes > BODY_BYTES_MAX) return null;
    pieces.push(piece);
  }
  return new TextDecoder().decode(Buffer.concat(pieces));
}

/** What came back for one attempt, read but not yet understood. */
export interface RawAnswer {
  readonly kind: "answer";
  readonly status: number;
  readonly header: (name: string) => string | null;
  readonly read: ReadBody;
}

/** Nothing came back that can be used. */
export interface Broken {
  readonly kind: "broken";
  readonly error: "network" | "protocol";
  /** Completes "could not <what>: ". */
  readonly message: string;
  /** It may have been done nevertheless. */
  readonly isUncertain: boolean;
  /** The next attempt would end in the same way. */
  readonly isFinal: boolean;
  readonly cause?: unknown;
}

/** The platform, or its token, said no. */
export interface Refused {
  readonly kind: "refused";
  readonly refusal: Refusal;
  /** 5xx and 408: it may have been done nevertheless. */
  readonly isUncertain: boolean;
}

/** How one attempt ended. */
export type Outcome = { readonly kind: "answered"; readonly answer: ApiAnswer } | Refused | Broken;

/** Pure, as far as `understand` is. What an answer means for the call. */
export function judge(
  raw: RawAnswer,
  call: ApiCall,
  options: Pick<PlatformApiOptions, "understand"> & { readonly retryAfterMs: number | null },
): Outcome {
  const { status, header, read } = raw;
  const answer: ApiAnswer = { status, header, body: bodyOf(read) };
  if (status >= 400) {
    const refusal = options.understand?.({ ...answer, call }) ?? usualRefusal(status, answer.body);
    if (refusal === "done") return { kind: "answered", answer };
    return {
      kind: "refused",
      refusal: { ...inTime(options.retryAfterMs), ...refusal },
      isUncertain: status >= 500 || status === 408,
    };
  }
  if (status >= 300) {
    const does = `answered with a redirection (status ${status})`;
    return unusable(does, { isUncertain: false, isFinal: true });
  }
  if (read.kind === "garbled") {
    return unusable(`gave an answer that ${read.why}`, { isUncertain: true, isFinal: false });
  }
  if (read.kind === "too-long") {
    const does = `gave an answer of more than ${BODY_BYTES_MAX / 2 ** 20} MiB`;
    return unusable(does, { isUncertain: true, isFinal: true });
  }
  return { kind: "answered", answer };
}

/** Pure. The body as far as it could be read: text where it should have been something else. */
export function bodyOf(read: ReadBody): unknown {
  if (read.kind === "read") return read.body;
  return read.kind === "garbled" ? read.text : null;
}

function inTime(retryAfterMs: number | null): Partial<Refusal> {
  return retryAfterMs === null ? {} : { retryAfterMs };
}

function unusable(does: string, so: Pick<Broken, "isUncertain" | "isFinal">): Broken {
  const message = `the platform ${does}; is the address of its API right?`;
  return { kind: "broken", error: "protocol", message, ...so };
}

const KINDS: Readonly<Record<number, ProviderErrorKind>> = {
  401: "auth",
  402: "payment",
  403: "forbidden",
  404: "not-found",
  408: "unavailable",
  409: "busy",
  410: "not-found",
  412: "busy",
  423: "busy",
  429: "rate-limited",
};

const MEANINGS: Partial<Readonly<Record<ProviderErrorKind, string>>> = {
  auth: "the platform does not accept the token",
  payment: "the platform wants a bill to be paid first",
  forbidden: "the token may not do that",
  "not-found": "the platform does not know it",
  busy: "the platform is busy with it",
  "rate-limited": "too many calls were made",
};

/** Pure. What an answer of 400 or above means when nobody knows better. */
export function usualRefusal(status: number, body: unknown): Refusal {
  const kind = KINDS[status] ?? (status >= 500 ? "unavailable" : "invalid");
  const words = [`status ${status}`, quoteOf(body)].filter((word) => word !== "").join(" ");
  const meaning = MEANINGS[kind];
  return {
    kind,
    message: meaning === undefined ? `the platform answered ${words}` : `${meaning} (${words})`,
  };
}

/** Longest pause that is believed, in ms: a slip in a header must not silence us for a week. */
export const PAUSE_MS_MAX = 60 * 60_000;

/**
 * Pure. What `Retry-After` says, in ms from now and at most an hour; `null` when it is missing or makes no sense.
 * A date is compared with the answer's own `Date`, so that neither clock has to be right; without one, with ours.
 * Source: RFC 9110, 10.2.3.
 */
export function retryAfterMsOf(
  header: (name: string) => string | null,
  wallMs: number,
): number | null {
  const value = header("retry-after")?.trim() ?? "";
  if (/^\d+(?:\.\d+)?$/.test(value)) return Math.min(Number(value) * 1000, PAUSE_MS_MAX);
  // The runtime takes much for a date, a negative number too; HTTP's begin with a day of the week.
  const untilMs = /^[a-z]{3}/i.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(untilMs)) return null;
  const sentMs = Date.parse(header("date") ?? "");
  const waitMs = untilMs - (Number.isNaN(sentMs) ? wallMs : sentMs);
  return Math.min(Math.max(waitMs, 0), PAUSE_MS_MAX);
}
