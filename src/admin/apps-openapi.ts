/** The description of the admin endpoints (OpenAPI 3.1), made from the routes themselves. Pure. */

import { version } from "../../package.json" with { type: "json" };
import { OLD_ENDPOINTS, type Operation } from "./apps-openapi-old.ts";
import { PROBLEM } from "./apps-shapes.ts";
import {
  commonComponents,
  commonResponses,
  type Kind,
  problemAnswer,
  SECURITY,
} from "./openapi-answers.ts";
import { DASHBOARD_PATH, LOG_IN_PATH, LOG_OUT_PATH } from "./paths.ts";

/** A route, as the framework lists it. */
export interface ListedRoute {
  readonly method: string;
  readonly path: string;
  readonly hooks: unknown;
}

/** The description. */
export interface OpenApi {
  readonly openapi: "3.1.0";
  readonly info: Readonly<Record<string, string>>;
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: Readonly<Record<string, unknown>>;
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
}

type Json = Readonly<Record<string, unknown>>;

const INTRODUCTION =
  "Everything that Paastis tells and does for whoever runs it. Over TCP a token is asked for, in the header " +
  "`x-admin-token` or as `Authorization: Bearer`, or the cookie of a log-in; over the unix socket none is. Refusals of " +
  "the newer endpoints are problem details (RFC 9457) with the codes of `paastis-error`; a browser that opens one reads " +
  "them as a page, and one that comes from another site is sent on by a page first. What is asked with GET may be asked " +
  "with HEAD, and `/__` leads to `/__/`.";

/** Of routes that have no schemas it is said what the table of the older ones says. */
export function openApiOf(routes: readonly ListedRoute[]): OpenApi {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const route of routes) {
    const path = route.path.replaceAll(/:([a-z]+)/g, "{$1}");
    const method = route.method.toLowerCase();
    const operations = paths[path] ?? {};
    paths[path] = operations;
    operations[method] = operationOf(route);
  }
  return {
    openapi: "3.1.0",
    info: { title: "Paastis, admin endpoints", version, description: INTRODUCTION },
    servers: [{ url: "/" }],
    paths,
    components: recordOf(cleanSchema(commonComponents())),
    security: SECURITY,
  };
}

/** With its own answers, and those that all of its kind can have. */
function operationOf(route: ListedRoute): Operation {
  const { method, path } = route;
  const old = OLD_ENDPOINTS[`${method} ${path}`];
  const own = old ?? describedIn(route);
  const kind = old === undefined ? kindOf(path, recordOf(route.hooks)) : "established";
  return {
    ...own,
    ...(kind === "open" && { security: [] }),
    responses: { ...commonResponses(kind, method), ...recordOf(own.responses) },
  };
}

function kindOf(path: string, hooks: Json): Kind {
  if (path === LOG_IN_PATH || path === LOG_OUT_PATH) return "log-in";
  if (path.startsWith(DASHBOARD_PATH)) return "page";
  return recordOf(hooks.detail).security === undefined ? "newer" : "open";
}

function describedIn({ hooks, method, path }: ListedRoute): Operation {
  const { detail, params, query, response } = recordOf(hooks);
  const { parameters, responses, summary, ...more } = recordOf(detail);
  return {
    ...more,
    summary: typeof summary === "string" ? summary : `${method} ${path}`,
    parameters: [
      ...parametersIn("path", params, path),
      ...parametersIn("query", query, path),
      ...(Array.isArray(parameters) ? parameters : []),
    ],
    responses: together(responsesOf(recordOf(response)), recordOf(responses)),
  };
}

/** What a route's schemas say of a status, and what else can come with it. */
function together(schemas: Json, more: Json): Json {
  const statuses = Object.entries(more).map(([status, answer]) => {
    const known = recordOf(schemas[status]);
    const own = recordOf(cleanSchema(answer));
    const content = { ...recordOf(known.content), ...recordOf(own.content) };
    return [status, { ...known, ...own, ...(Object.keys(content).length > 0 && { content }) }];
  });
  return { ...schemas, ...Object.fromEntries(statuses) };
}

function parametersIn(place: "path" | "query", schema: unknown, path: string): Json[] {
  const { properties, required } = recordOf(schema);
  const needed = Array.isArray(required) ? required : [];
  const known = Object.entries(recordOf(properties)).map(([name, value]) => {
    const { description, ...rest } = recordOf(cleanSchema(value));
    const isNeeded = place === "path" || needed.includes(name);
    return {
      ...{ name, in: place, required: isNeeded, schema: rest },
      ...(description !== undefined && { description }),
    };
  });
  if (place === "query" || known.length > 0) return known;
  const names = [...path.matchAll(/:([a-z]+)/g)].map(([, name]) => name ?? "");
  return names.map((name) => ({ name, in: place, required: true, schema: { type: "string" } }));
}

const MEANINGS: Readonly<Record<string, string>> = {
  200: "It is so.",
  202: "It goes on.",
  400: "Something in the request cannot be used.",
  404: "There is no such app.",
  409: "Not now.",
  500: "It could not be stored.",
  503: "It cannot be done at the moment.",
};

function responsesOf(response: Json): Json {
  const entries = Object.entries(response).map(([status, schema]) => {
    const description = MEANINGS[status] ?? "The answer.";
    if (schema === PROBLEM) return [status, problemAnswer(status, description)];
    const content = { "application/json": { schema: cleanSchema(schema) } };
    return [status, { description, content }];
  });
  return Object.fromEntries(entries);
}

/** The framework accepts texts in the place of numbers, as queries hold them: that is no part of the description. */
function cleanSchema(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(cleanSchema);
  if (typeof schema !== "object" || schema === null) return schema;
  const record = recordOf(schema);
  const { $comment: _, anyOf, whole, ...others } = record;
  const rest = whole === undefined ? others : wholeSchema(others, whole);
  const ways = Array.isArray(anyOf) ? anyOf.filter((one) => !isTextForNumber(one)) : [];
  const [only] = ways;
  if (Array.isArray(anyOf) && ways.length === 1 && ways.length < anyOf.length) {
    return cleanSchema({ ...rest, ...recordOf(only) });
  }
  const words = ways.flatMap((one) => ("const" in recordOf(one) ? [recordOf(one).const] : []));
  if (ways.length > 1 && words.length === ways.length) {
    return { ...cleanEntries(rest), type: "string", enum: words };
  }
  return cleanEntries(ways.length > 0 ? { ...rest, anyOf: ways } : rest);
}

/** A whole number is a text of digits to the framework. */
function wholeSchema({ pattern: _, ...others }: Json, range: unknown): Json {
  return { ...others, type: "integer", ...recordOf(range) };
}

function cleanEntries(record: Json): Json {
  return Object.fromEntries(
    Object.entries(record).map(([name, value]) => [name, cleanSchema(value)]),
  );
}

function isTextForNumber(schema: unknown): boolean {
  const { format, type } = recordOf(schema);
  return type === "string" && (format === "integer" || format === "numeric");
}

function recordOf(value: unknown): Json {
  // An object has names and values.
  return typeof value === "object" && value !== null ? (value as Json) : {};
}
