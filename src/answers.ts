/** What Paastis says itself: error answers, the waiting page, and the progress of a wake. */

import { formFor } from "./accept.ts";
import type { Answer, RequestHead } from "./engines/engine.ts";
import type { AnswerCode, ErrorEntry } from "./errors.ts";
import { ANSWER_CODES } from "./errors.ts";
import { cleanText } from "./log-safety.ts";
import { errorDocument } from "./pages/error-page.ts";
import type { Language } from "./pages/language.ts";
import { languageFor } from "./pages/language.ts";
import type { PageDocument } from "./pages/layout.ts";
import type { ThemeSource } from "./pages/look.ts";
import { templateFor } from "./pages/look.ts";
import { reasonIn } from "./pages/reasons.ts";
import type { WakeStep } from "./pages/texts.ts";
import { waitingDocument } from "./pages/waiting-page.ts";

/** How a wake is going, for people who wait. Times in ms; `why` and `obstacle` are plain text. */
export type WakeProgress =
  | {
      readonly kind: "waking";
      readonly elapsedMs: number;
      /** How long this app's wakes usually take; `null`: not known. */
      readonly estimateMs: number | null;
      readonly step: WakeStep;
      /** What keeps it from going on, where `step` is `trying`. */
      readonly obstacle?: string;
    }
  | { readonly kind: "ready" }
  | {
      readonly kind: "failed";
      readonly why: string;
      /** It was up and ended by itself; otherwise it could not be woken. */
      readonly hasCrashed: boolean;
      readonly retryAfterMs: number;
      /** What the log and the events call this very failure; `null`: nothing. */
      readonly reference: string | null;
    };

/** What an error answer is about. */
export interface ErrorAnswerOptions {
  readonly code: AnswerCode;
  /** The app's key; `null` when no app is known. */
  readonly app: string | null;
  /** The reason, with the present values. May hold an app's output: it is cleaned and escaped here. */
  readonly why: string;
  /** When trying again makes sense, in ms; rounded up to whole seconds. Every 503 has one. */
  readonly retryAfterMs?: number;
  /** What the log, and the events where it is one, call this very failure. */
  readonly reference?: string;
  readonly head: RequestHead;
}

type Header = readonly [name: string, value: string];

const JSON_TYPE = "application/json";
const TEXT_TYPE = "text/plain; charset=utf-8";
const HTML_TYPE = "text/html; charset=utf-8";
const EVENTS_TYPE = "text/event-stream; charset=utf-8";

/** What a 503 says when nothing better is known. */
const RETRY_AFTER_DEFAULT_MS = 5000;
/** Between these, a waiting page without JavaScript looks again. */
const LOOK_AGAIN_MIN_MS = 2000;
const LOOK_AGAIN_MAX_MS = 10_000;
/** What 405 must list (RFC 9110, section 15.5.6): all methods that are common and forwarded. */
const ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/** Where a page of ours can be shown. `object` and `embed` are navigations too, but not ones to wait in. */
const PAGE_DESTINATIONS = ["document", "iframe", "frame"];
/** The header by which the waiting page asks for progress, and by which it knows our answer from the app's. */
const PROGRESS_HEADER = "paastis-progress";

/** What a waiting page is about. */
export interface WaitingPageOptions {
  /** The app's key. */
  readonly app: string;
  readonly elapsedMs: number;
  /** How long this app's wakes usually take, in ms; `null`: not known. */
  readonly estimateMs: number | null;
  readonly head: RequestHead;
}

/** Makes the answers that people and programs can read. */
export interface Answers {
  /** In the form the client accepts: JSON, HTML or text. Its status is that of the code. */
  error(options: ErrorAnswerOptions): Answer;
  /** 503, to be shown to a navigation only. The page follows the wake and opens the app by itself. */
  waiting(options: WaitingPageOptions): Answer;
}

/** @param theme what pages look like */
export function createAnswers(theme: ThemeSource): Answers {
  return {
    error: (options) => errorAnswer(options, theme),
    waiting: (options) => waitingPage(options, theme),
  };
}

function errorAnswer(options: ErrorAnswerOptions, theme: ThemeSource): Answer {
  const { code, head } = options;
  // Said once: the narrower type of each entry is of no use here.
  const entry: ErrorEntry = ANSWER_CODES[code];
  const retryAfterS = retryAfterSOf(entry, options.retryAfterMs);
  const form = formFor(head.header("accept"));
  const said: Said = { ...options, entry, why: cleanText(options.why), retryAfterS };
  const headers: Header[] = [...ownHeaders(code, TYPES[form])];
  if (retryAfterS !== null) headers.push(["Retry-After", String(retryAfterS)]);
  if (entry.status === 405) headers.push(["Allow", ALLOWED_METHODS]);
  if (form !== "html") return { status: entry.status, headers, body: BODIES[form](said) };
  const page = pageOf(said, theme);
  return { status: entry.status, headers: [...headers, ...pageHeaders(page)], body: page.body };
}

function waitingPage(options: WaitingPageOptions, theme: ThemeSource): Answer {
  const { app, elapsedMs, estimateMs, head } = options;
  const leftMs = (estimateMs ?? 0) - elapsedMs;
  const lookAgainMs = leftMs > 0 ? leftMs : RETRY_AFTER_DEFAULT_MS;
  const refreshAfterS = wholeSeconds(
    Math.min(LOOK_AGAIN_MAX_MS, Math.max(LOOK_AGAIN_MIN_MS, lookAgainMs)),
  );
  const language = languageOf(head);
  const template = templateFor(theme.current(), "waiting", app);
  const refresh = { afterS: refreshAfterS, target: head.target };
  const page = waitingDocument({ app, elapsedMs, estimateMs, language, refresh }, template);
  return {
    status: ANSWER_CODES.app_waking.status,
    headers: [
      ...ownHeaders("app_waking", HTML_TYPE),
      ...pageHeaders(page),
      ["Retry-After", String(refreshAfterS)],
    ],
    body: page.body,
  };
}

function languageOf(head: RequestHead) {
  return languageFor(head.header("accept-language"));
}

/**
 * The progress stream for the waiting page: server-sent events named as the progress is, with its other fields
 * as JSON. It ends after `ready` or `failed`. An error of `progress` is the reader's to handle.
 * @param progress ended with `return()` when the client leaves or the stream ends
 * @param head says in which language reasons are wanted
 */
export function progressAnswer(progress: AsyncIterable<WakeProgress>, head: RequestHead): Answer {
  const language = languageOf(head);
  return {
    status: 200,
    headers: [
      ...ownHeaders("app_waking", EVENTS_TYPE),
      [PROGRESS_HEADER, "1"],
      // nginx would keep events back to fill a buffer.
      ["X-Accel-Buffering", "no"],
    ],
    body: { [Symbol.asyncIterator]: () => eventsOf(progress[Symbol.asyncIterator](), language) },
  };
}

/**
 * Whether a browser asks in order to show a page: a GET that prefers `text/html`, and says `navigate` where it
 * says anything (Fetch Metadata; over plain http browsers do not send it, so libraries' own marks count too).
 */
export function isNavigation(head: RequestHead): boolean {
  if (head.method !== "GET" || isProgressRequest(head)) return false;
  if (head.header("x-requested-with") !== null) return false;
  const mode = head.header("sec-fetch-mode");
  if (mode !== null && mode !== "navigate") return false;
  const destination = head.header("sec-fetch-dest");
  if (destination !== null && !PAGE_DESTINATIONS.includes(destination)) return false;
  return formFor(head.header("accept")) === "html";
}

/** Whether this is the waiting page that asks, at its own address, how the wake goes. */
export function isProgressRequest(head: RequestHead): boolean {
  return head.method === "GET" && head.header(PROGRESS_HEADER) === "1";
}

/** An error answer's content, in no form yet. */
interface Said extends ErrorAnswerOptions {
  readonly entry: ErrorEntry;
  readonly retryAfterS: number | null;
}

const TYPES = { json: JSON_TYPE, text: TEXT_TYPE, html: HTML_TYPE } as const;
const BODIES = { json: jsonOf, text: textOf } as const;

function jsonOf(said: Said): string {
  const { code, app, entry, why, retryAfterS, reference } = said;
  const body = {
    error: code,
    message: entry.meaning,
    app,
    reason: why,
    remedy: entry.remedy,
    ...(retryAfterS === null ? {} : { retry_after_s: retryAfterS }),
    ...(reference === undefined ? {} : { reference }),
  };
  return `${JSON.stringify(body, null, 2)}\n`;
}

function textOf(said: Said): string {
  const { code, app, entry, why, retryAfterS, reference } = said;
  const lines = [
    entry.meaning,
    app === null ? "" : `App: ${cleanText(app)}`,
    why === "" ? "" : `Reason: ${why}`,
    `What to do: ${entry.remedy}`,
    retryAfterS === null ? "" : `Try again after: ${retryAfterS} s`,
    `Code: ${code}`,
    reference === undefined ? "" : `Reference: ${reference}`,
  ];
  return `${lines.filter((line) => line !== "").join("\n")}\n`;
}

function pageOf(said: Said, theme: ThemeSource): PageDocument {
  const { code, app, entry, why, reference, head } = said;
  // Loading again would send what is no GET once more; and what the client did wrong stays wrong.
  const isWorthRetrying = entry.status >= 500 && head.method === "GET";
  const page = {
    language: languageOf(head),
    ...{ code, app, why },
    status: entry.status,
    remedy: entry.remedy,
    reference: reference ?? null,
    retryAfterS: isWorthRetrying ? (said.retryAfterS ?? 0) : null,
  };
  return errorDocument(page, templateFor(theme.current(), "error", app));
}

/** What every answer of ours carries, besides its own. */
function ownHeaders(code: AnswerCode, type: string): readonly Header[] {
  return [
    ["Content-Type", type],
    ["paastis-error", code],
    ["Cache-Control", "no-store"],
    ["X-Content-Type-Options", "nosniff"],
  ];
}

function pageHeaders({ policy, language }: PageDocument): readonly Header[] {
  return [
    ["Content-Security-Policy", policy],
    ["Content-Language", language],
    ["Vary", "Accept-Language"],
    ["Referrer-Policy", "no-referrer"],
    ["X-Robots-Tag", "noindex"],
  ];
}

function retryAfterSOf(entry: ErrorEntry, retryAfterMs: number | undefined): number | null {
  if (retryAfterMs !== undefined) return wholeSeconds(retryAfterMs);
  return entry.status === 503 ? wholeSeconds(RETRY_AFTER_DEFAULT_MS) : null;
}

/** `Retry-After` knows whole seconds only, and 0 would mean a busy loop. */
function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

/**
 * Written by hand: a generator's `return()` would wait for the next progress before it ended anything.
 */
function eventsOf(
  progress: AsyncIterator<WakeProgress>,
  language: Language,
): AsyncIterator<string> {
  let stage: "fresh" | "running" | "over" = "fresh";
  const end = async (): Promise<IteratorResult<string>> => {
    if (stage !== "over") {
      stage = "over";
      await progress.return?.();
    }
    return { done: true, value: undefined };
  };
  return {
    async next() {
      if (stage === "fresh") {
        stage = "running";
        // At once, so that the head is sent and buffers on the way let go.
        return { done: false, value: ": how the wake goes\n\n" };
      }
      if (stage === "over") return { done: true, value: undefined };
      const { done, value } = await progress.next();
      if (done === true) return end();
      if (value.kind !== "waking") await end();
      return { done: false, value: eventOf(value, language) };
    },
    return: end,
  };
}

function eventOf(progress: WakeProgress, language: Language): string {
  const { kind, ...rest } = progress;
  // JSON has no raw line breaks, so one `data` line is enough.
  return `event: ${kind}\ndata: ${JSON.stringify({ ...rest, ...wordsOf(progress, language) })}\n\n`;
}

/** What is shown of it to people, in their language where we know the words. */
function wordsOf(progress: WakeProgress, language: Language): object {
  if (progress.kind === "failed") {
    const said = reasonIn(language, cleanText(progress.why));
    return { why: said.text, language: said.language };
  }
  if (progress.kind === "ready" || progress.obstacle === undefined) return {};
  return { obstacle: reasonIn(language, cleanText(progress.obstacle)).text };
}
