/** What the fake Heroku says, field by field as documented, and its refusals. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import { nameOf } from "./fake-heroku-dyno.ts";
import type {
  Build,
  Dyno,
  HerokuApp,
  ProcessType,
  RefusalId,
  Release,
} from "./fake-heroku-model.ts";

/** Dyno sizes that exist, and their ids. */
export const SIZES: Readonly<Record<string, string>> = {
  Eco: "5a1c0d52-4f1e-4a86-8d3c-6d2c7f0b1e01",
  Basic: "5a1c0d52-4f1e-4a86-8d3c-6d2c7f0b1e02",
  "Standard-1X": "5a1c0d52-4f1e-4a86-8d3c-6d2c7f0b1e03",
  "Standard-2X": "5a1c0d52-4f1e-4a86-8d3c-6d2c7f0b1e04",
  "Performance-M": "5a1c0d52-4f1e-4a86-8d3c-6d2c7f0b1e05",
  "Performance-L": "5a1c0d52-4f1e-4a86-8d3c-6d2c7f0b1e06",
};

/** Of these, a process type has at most one dyno. */
export const SINGLE_SIZES: readonly string[] = ["Eco", "Basic"];

const REGION_IDS: Readonly<Record<string, string>> = {
  us: "59accabd-516d-4f0e-83e6-6e3757701145",
  eu: "ed30241c-ed8c-4bb6-9714-61953675d0b4",
};

/** Whose account it is. */
const ACCOUNT_ID = "7f1d9ab0-2b64-4a4b-9d0e-0c0ffee00001";

/** @param webUrl with a slash at its end; `null`: it cannot be reached from outside */
export function appJson(app: HerokuApp, webUrl: string | null): Record<string, unknown> {
  return {
    id: app.id,
    name: app.name,
    web_url: webUrl,
    maintenance: app.isMaintained,
    region: { id: REGION_IDS[app.region] ?? uuidOf(app.region), name: app.region },
    team: app.team === null ? null : { id: teamIdOf(app.team), name: app.team },
    released_at: app.releasedAtMs === null ? null : dateOf(app.releasedAtMs),
    updated_at: dateOf(app.updatedAtMs),
  };
}

/** The same id for the same name. */
export function teamIdOf(name: string): string {
  return uuidOf(`team ${name}`);
}

/** A UUID made of any text: the same for the same. */
export function uuidOf(text: string): string {
  const hex = new Bun.CryptoHasher("sha256").update(text).digest("hex");
  const [a, b, c, d] = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(13, 16), hex.slice(17, 20)];
  return `${a}-${b}-4${c}-8${d}-${hex.slice(20, 32)}`;
}

export function formationJson(app: HerokuApp, entry: ProcessType): Record<string, unknown> {
  return {
    id: entry.id,
    app: shortApp(app),
    type: entry.type,
    quantity: entry.quantity,
    size: entry.size,
    dyno_size: { id: SIZES[entry.size] ?? "", name: entry.size },
    command: entry.command,
    created_at: dateOf(entry.createdAtMs),
    updated_at: dateOf(entry.updatedAtMs),
  };
}

export function dynoJson(app: HerokuApp, dyno: Dyno): Record<string, unknown> {
  return {
    id: dyno.id,
    name: nameOf(dyno),
    type: dyno.type,
    state: dyno.state,
    size: dyno.size,
    release: { id: dyno.release.id, version: dyno.release.version },
    app: shortApp(app),
    command: dyno.command,
    attach_url: null,
    created_at: dateOf(dyno.createdAtMs),
    updated_at: dateOf(dyno.updatedAtMs),
  };
}

export function buildJson(app: HerokuApp, build: Build): Record<string, unknown> {
  return {
    id: build.id,
    app: { id: app.id },
    status: build.status,
    release: build.release === null ? null : { id: build.release.id },
    created_at: dateOf(build.createdAtMs),
    updated_at: dateOf(build.updatedAtMs),
  };
}

export function releaseJson(
  app: HerokuApp,
  release: Release,
  current: Release,
): Record<string, unknown> {
  return {
    id: release.id,
    app: shortApp(app),
    version: release.version,
    status: release.status,
    current: release === current,
    description: release.description,
    created_at: dateOf(release.createdAtMs),
    updated_at: dateOf(release.updatedAtMs),
  };
}

/** @param kind `heroku`: the one that is there by itself */
export function domainJson(
  app: HerokuApp,
  { id, kind, hostname }: { id: string; kind: "heroku" | "custom"; hostname: string },
): Record<string, unknown> {
  return {
    id,
    kind,
    hostname,
    cname: kind === "heroku" ? null : `${id}.herokudns.localhost`,
    status: kind === "heroku" ? "none" : "succeeded",
    acm_status: null,
    app: shortApp(app),
  };
}

export function accountJson(): Record<string, unknown> {
  return { id: ACCOUNT_ID, email: "john@example.com", name: "John Doe", verified: true };
}

function shortApp({ id, name }: HerokuApp): Record<string, unknown> {
  return { id, name };
}

/** To the second, as the API gives it. */
export function dateOf(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19)}Z`;
}

function refusal(status: number, id: string, message: string): FakeAnswer {
  return json({ id, message }, status);
}

/** 406: no or another version in `Accept`. */
export function notAcceptable(): FakeAnswer {
  return refusal(406, "not_acceptable", "The Accept header does not name a version of this API.");
}

/** 401. */
export function unauthorized(): FakeAnswer {
  return refusal(401, "unauthorized", "Invalid credentials provided.");
}

/** 404. @param what `that app`, `that process type (web)` */
export function notFound(what: string): FakeAnswer {
  return refusal(404, "not_found", `Couldn't find ${what}.`);
}

/** 409: something else changes the same at the same time. */
export function conflict(): FakeAnswer {
  return refusal(409, "conflict", "Another change of this app is being made.");
}

/** 416. */
export function badRange(): FakeAnswer {
  return refusal(416, "requested_range_not_satisfiable", "The range of this list is not valid.");
}

/** 422. @param id default `invalid_params` */
export function invalid(message: string, id = "invalid_params"): FakeAnswer {
  return refusal(422, id, message);
}

/** 400: a body that is no JSON. */
export function badRequest(): FakeAnswer {
  return refusal(400, "bad_request", "The request body is not valid.");
}

/** 429; no `Retry-After`. */
export function rateLimited(): FakeAnswer {
  const message = "Your account reached the API rate limit";
  const url = "https://devcenter.heroku.com/articles/platform-api-reference#rate-limits";
  return json({ id: "rate_limit", message, url }, 429);
}

/** 500. */
export function internalError(): FakeAnswer {
  return refusal(500, "internal_server_error", "Something went wrong on our side.");
}

/** 503 of the API itself. */
export function unavailable(): FakeAnswer {
  return refusal(503, "service_unavailable", "The API is temporarily not available.");
}

const REFUSALS: Readonly<Record<RefusalId, readonly [status: number, message: string]>> = {
  delinquent: [402, "The account has not paid its bill."],
  forbidden: [403, "You do not have access to this app."],
  suspended: [403, "The account or the app was suspended."],
  two_factor: [403, "A second factor is required for this account."],
  verification_needed: [422, "Please verify your account with billing information."],
};

/** The answer with this `id`. */
export function refused(id: RefusalId): FakeAnswer {
  const [status, message] = REFUSALS[id];
  return refusal(status, id, message);
}
