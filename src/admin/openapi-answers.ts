/** What all admin endpoints have in common, for their description: how one is let in, and how one is turned away. Pure. */

import { ANSWER_CODES } from "../errors.ts";
import { PROBLEM } from "./apps-shapes.ts";
import { OLD_ERROR } from "./openapi-old-shapes.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * Who may ask, and what a "no" looks like. `established`: those that scripts have always known, with refusals in their
 * own form; `open`: anybody may ask; `page`: what a browser loads; `log-in`: whoever is to be let in.
 */
export type Kind = "established" | "log-in" | "newer" | "open" | "page";

const TEXT = { type: "string" } as const;
const HTML = { "text/html": { schema: TEXT } };

const CODE = { "paastis-error": { schema: TEXT, description: "The code of the refusal." } };
const RETRY_AFTER = {
  "retry-after": {
    schema: { type: "integer" },
    description: "When it makes sense to ask again, in seconds.",
  },
};
const ALLOW = { allow: { schema: TEXT, description: "The methods that there are." } };
const CHALLENGE = { "www-authenticate": { schema: TEXT, description: "What is asked for." } };
const LOCATION = { location: { schema: TEXT, description: "A path of ours." } };

interface Refused {
  readonly description: string;
  readonly headers?: Json;
}

/** By name of the component. */
const REFUSALS = {
  Unauthorized: {
    description: "The token is wrong or missing.",
    headers: { ...CODE, ...CHALLENGE },
  },
  Forbidden: {
    description:
      "Not from this address (`ADMIN_ALLOWLIST`), not from a page of another site, or not without `ADMIN_TOKEN`.",
    headers: CODE,
  },
  TooMany: {
    description:
      "Too many wrong tokens or changes within a minute from one address (`ADMIN_RATE_LIMIT`).",
    headers: { ...CODE, ...RETRY_AFTER },
  },
  WrongMethod: {
    description: "With another method than those that are described.",
    headers: { ...CODE, ...ALLOW },
  },
  Broken: { description: "Paastis made a mistake: its log has the details.", headers: CODE },
} as const satisfies Readonly<Record<string, Refused>>;

type Name = keyof typeof REFUSALS;

/** Behind the name: in the form of the older endpoints. */
const OLD = "InOldForm";
/** Behind the name: a person reads a page. */
const PAGE = "OrPage";

/** What an engine or the core says before, or in place of, any endpoint. */
const GENERAL = {
  description:
    "As visitors of apps are told: what is no HTTP that can be understood, is too large, or came as Paastis was about to end. `502` and `503`: try again.",
  headers: { ...CODE, ...RETRY_AFTER },
  content: {
    "application/json": {
      schema: {
        type: "object",
        required: ["error", "message", "app", "reason", "remedy"],
        properties: {
          error: { ...TEXT, enum: Object.keys(ANSWER_CODES) },
          message: { ...TEXT, description: "What the code means." },
          app: { anyOf: [TEXT, { type: "null" }] },
          reason: { ...TEXT, description: "What is the case here." },
          remedy: { ...TEXT, description: "What to do." },
          retry_after_s: { type: "integer" },
          reference: { ...TEXT, description: "What the log calls this very failure." },
        },
      },
    },
    "text/plain": { schema: TEXT },
    ...HTML,
  },
};

/** `components` of the description. */
export function commonComponents(): Json {
  const responses = Object.entries(REFUSALS).flatMap(([name, refused]) => [
    [name, newerForm(refused)],
    [name + PAGE, newerForm(refused, HTML)],
    [name + OLD, oldForm(refused)],
  ]);
  return {
    schemas: { Problem: PROBLEM, Refusal: OLD_ERROR },
    responses: { ...Object.fromEntries(responses), SentToLogIn: SENT, General: GENERAL },
    securitySchemes: {
      token: { type: "apiKey", in: "header", name: "x-admin-token" },
      bearer: { type: "http", scheme: "bearer" },
      session: {
        type: "apiKey",
        in: "cookie",
        name: "paastis-00000000",
        description:
          "What a browser has after a log-in at `/__/login`, for 12 hours. Its name ends in eight hexadecimal digits that follow from the token, and begins with `__Host-` where it came by TLS. A change needs a page of ours as its origin as well.",
      },
    },
  };
}

function newerForm({ description, headers }: Refused, more: Json = {}): Json {
  const schema = { $ref: "#/components/schemas/Problem" };
  const content = { "application/problem+json": { schema }, ...more };
  return { description, ...(headers && { headers }), content };
}

function oldForm({ description, headers }: Refused): Json {
  const schema = { $ref: "#/components/schemas/Refusal" };
  return { description, ...(headers && { headers }), content: { "application/json": { schema } } };
}

const SENT = {
  description: "A browser that has not logged in is led to the log-in, and back afterwards.",
  headers: LOCATION,
};

/** What the endpoints refuse by themselves. @param status of the refusal */
export function problemAnswer(status: string, description: string): Json {
  return {
    description,
    headers: status === "503" ? { ...CODE, ...RETRY_AFTER } : CODE,
    content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
  };
}

/** How one is let in where nothing else is said. Without any of it: over the unix socket. */
export const SECURITY = [{ token: [] }, { bearer: [] }, { session: [] }] as const;

/** The answers that any endpoint of a kind can have besides its own. */
export function commonResponses(kind: Kind, method: string): Json {
  const form = kind === "established" ? OLD : "";
  const isPage = method === "GET" && form === "";
  const one = (name: Name) => reference(name + form);
  const refusal = (name: Name) => (isPage ? reference(name + PAGE) : one(name));
  const closed = {
    ...(isPage && kind !== "log-in" && { 303: reference("SentToLogIn") }),
    401: refusal("Unauthorized"),
    403: refusal("Forbidden"),
    429: refusal("TooMany"),
  };
  return {
    ...(kind !== "open" && closed),
    ...(method === "POST" && { 413: { description: "The body is larger than 1 MiB." } }),
    405: one("WrongMethod"),
    500: one("Broken"),
    default: reference("General"),
  };
}

/** A token that was typed in. */
export function wrongToken() {
  return reference(`${"Unauthorized" satisfies Name}${PAGE}`);
}

function reference(name: string) {
  return { $ref: `#/components/responses/${name}` };
}

/** A page, a style sheet, or anything else that is no JSON. */
export function file(description: string, ...types: readonly string[]) {
  const content = Object.fromEntries(types.map((type) => [type, { schema: TEXT }]));
  return { description, content };
}

/** Somewhere else is meant. */
export function redirect(description: string, more: Json = {}) {
  return { description, headers: { ...LOCATION, ...more } };
}
