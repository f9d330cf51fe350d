/** The parameters of the admin endpoints about apps: what each may be, and how they are read. */

import { type Static, t } from "elysia";
import { EVENT_NAMES, type EventName } from "../events.ts";
import { SORTS } from "./apps-list.ts";
import { problem } from "./apps-problem.ts";
import { PHASES } from "./apps-shapes.ts";
import {
  DURATION_ALLOWED,
  quoted,
  readDuration,
  readSpan,
  readTime,
  type Span,
  TIME_ALLOWED,
} from "./apps-times.ts";

const SIZE_MAX = 1000;
const EVENTS_MAX = 10_000;
const TEXT_MAX = 2000;

/** `$comment` completes the sentence "must be …". */
const text = (description: string) =>
  t.Optional(
    t.String({ maxLength: TEXT_MAX, description, $comment: `at most ${TEXT_MAX} characters long` }),
  );
/** A text to the framework, whose word on numbers out of range does not say which one: `wholeIn` looks at the range. */
const whole = (minimum: number, maximum: number, description: string) =>
  t.Optional(
    t.String({
      pattern: "^\\d{1,9}$",
      whole: { minimum, maximum },
      description,
      $comment: `a whole number from ${minimum} to ${maximum}`,
    }),
  );
const flag = (description: string) =>
  t.Optional(t.Union([t.Literal("1"), t.Literal("0")], { description, $comment: "1 or 0" }));
const duration = (description: string) =>
  t.Optional(t.String({ description, $comment: DURATION_ALLOWED }));

/** `GET /__apps`. */
export const LIST_QUERY = t.Object({
  search: text("A part of the key, the id or the provider."),
  phase: t.Optional(PHASES),
  provider: text("Only apps of this provider."),
  sort: t.Optional(
    t.Union(
      SORTS.map((word) => t.Literal(word)),
      { description: "Default key.", $comment: `one of ${SORTS.join(", ")}` },
    ),
  ),
  page: whole(1, 1_000_000, "From 1, which is the default."),
  size: whole(1, SIZE_MAX, "Apps on a page, default 100."),
});

/** `POST /__apps/:app/wake`. */
export const WAKE_QUERY = t.Object({
  wait: duration("How long to wait until it is awake; default: not at all."),
});

/** `POST /__apps/:app/sleep`. */
export const SLEEP_QUERY = t.Object({
  drain: duration("How long to wait for its last request; default: not at all."),
});

/** How long something is to last: in the query, or as the JSON body. */
export const SPAN = t.Object({
  for: duration("How long, such as 2h."),
  until: t.Optional(t.String({ description: "Until when, ISO 8601.", $comment: TIME_ALLOWED })),
});

/** `GET /__events`. */
export const EVENTS_QUERY = t.Object({
  app: text("Key of the app."),
  name: text("Names of events, separated by commas."),
  since: text("Only events from a time on, or of the last so long: 2026-12-24T18:00:00Z, 2h."),
  id: text("Only the event with this id, such as the reference that a visitor was given."),
  after: text("Only events after the one with this id, like the header `Last-Event-ID`."),
  limit: whole(0, EVENTS_MAX, "At most so many, the newest; default 100."),
});

/** `GET /__explain`. */
export const EXPLAIN_QUERY = t.Object({
  url: t.String({
    minLength: 1,
    maxLength: TEXT_MAX,
    description: "The address that is asked for.",
    $comment: "an address such as https://shop.example.com/cart",
  }),
  method: text("Default GET."),
  user_agent: text("Default: that of a browser."),
  accept: text("The header `Accept`; default: that of a browser's navigation."),
  prefetch: flag("1: a browser asks ahead of its user, as `Sec-Purpose` says."),
});

/** `GET /__sweep` and `POST /__sweep`. */
export const SWEEP_QUERY = t.Object({
  dry_run: flag("Only say what a sweep would do. GET never does more."),
});

const SCHEMAS = [
  LIST_QUERY,
  WAKE_QUERY,
  SLEEP_QUERY,
  SPAN,
  EVENTS_QUERY,
  EXPLAIN_QUERY,
  SWEEP_QUERY,
];

/** What a parameter must be; empty: nothing is known of it. */
export function allowedFor(name: string): string {
  const note = noteOf(name);
  const words = note?.anyOf?.flatMap(({ const: word }) => (word === undefined ? [] : [word]));
  return note?.$comment ?? (words === undefined ? "" : `one of ${words.join(", ")}`);
}

interface SchemaNote {
  readonly $comment?: string;
  readonly anyOf?: readonly { readonly const?: string }[];
  readonly whole?: { readonly minimum: number; readonly maximum: number };
}

function noteOf(name: string): SchemaNote | null {
  const found = SCHEMAS.find(({ properties }) => Object.hasOwn(properties, name));
  if (found === undefined) return null;
  // A schema of ours, with the notes that ours have.
  return found.properties[name as keyof typeof found.properties] as SchemaNote;
}

/** A whole number within its range. */
export function wholeIn(name: string, given: string | undefined, fallback: number) {
  if (given === undefined) return fallback;
  const { minimum, maximum } = noteOf(name)?.whole ?? NO_RANGE;
  const number = Number(given);
  return number >= minimum && number <= maximum ? number : invalid(name, allowedFor(name), given);
}

const NO_RANGE = { minimum: 0, maximum: Number.MAX_SAFE_INTEGER };

/** A parameter that cannot be used. */
export function invalid(name: string, allowed: string, given: string | undefined): Response {
  const it = given === undefined ? "it is missing" : `it is ${quoted(given)}`;
  return problem("admin_invalid", { detail: `${name} must be ${allowed}: ${it}` });
}

/** A duration in ms. */
export function durationIn(
  name: string,
  given: string | undefined,
  fallback: number,
): number | Response {
  if (given === undefined) return fallback;
  return readDuration(given) ?? invalid(name, DURATION_ALLOWED, given);
}

const BODY_MAX = 10_000;

/** The span of a request, from its query or its body; `null`: it says none. */
export async function spanIn(
  request: Request,
  query: Static<typeof SPAN>,
): Promise<Span | null | Response> {
  const body = await bodyOf(request);
  if (body instanceof Response) return body;
  const names = [body, query].flatMap((given) => Object.keys(given));
  if (new Set(names).size < names.length) {
    return problem("admin_invalid", { detail: "The query and the body both say how long" });
  }
  const span = readSpan({ ...body, ...query });
  return span !== null && "why" in span ? problem("admin_invalid", { detail: span.why }) : span;
}

async function bodyOf(request: Request): Promise<Static<typeof SPAN> | Response> {
  const content = await request.text();
  if (content.trim() === "") return {};
  const detail = 'The body must be JSON such as {"for": "2h"} or {"until": "2026-12-24T18:00:00Z"}';
  const refusal = () => problem("admin_invalid", { detail });
  if (content.length > BODY_MAX) return refusal();
  try {
    const body: unknown = JSON.parse(content);
    if (typeof body !== "object" || body === null || Array.isArray(body)) return refusal();
    // Looked at next.
    const { for: forText, until, ...others } = body as { for?: unknown; until?: unknown };
    if (Object.keys(others).length > 0 || !isTextOrNone(forText) || !isTextOrNone(until))
      return refusal();
    return {
      ...(forText !== undefined && { for: forText }),
      ...(until !== undefined && { until }),
    };
  } catch {
    return refusal();
  }
}

function isTextOrNone(value: unknown): value is string | undefined {
  return value === undefined || typeof value === "string";
}

/** Names of events. */
export function eventNamesIn(given: string | undefined): readonly EventName[] | null | Response {
  if (given === undefined || given.trim() === "") return null;
  const names = given.split(",").map((word) => word.trim().toUpperCase());
  const known = names.flatMap((word) => EVENT_NAMES.find((name) => name === word) ?? []);
  if (known.length === names.length) return known;
  return invalid("name", `one or several of ${EVENT_NAMES.join(", ")}`, given);
}

/** A time of the wall clock, ms since the epoch, from a time or a duration until now. */
export function sinceIn(given: string | undefined, wallMs: number): number | null | Response {
  if (given === undefined) return null;
  const forMs = readDuration(given);
  if (forMs !== null) return wallMs - forMs;
  return readTime(given) ?? invalid("since", `${TIME_ALLOWED}, or ${DURATION_ALLOWED}`, given);
}
