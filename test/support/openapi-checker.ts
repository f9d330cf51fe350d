/** Holds answers against the description of the endpoints: whatever is not described is a complaint. */

import { Value } from "typebox/value";
import type { Body } from "./apps-world.ts";

/** What was asked, and what came. */
export interface Exchanged {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly answer: Response;
}

export interface OpenApiChecker {
  /** Reads the answer, but for streams, which it leaves. @returns what is wrong with it, and what it says */
  check(exchanged: Exchanged): Promise<{ complaints: readonly string[]; text: string }>;
  /** `GET /__apps 200 application/json`: what was seen; of what has no content, without a type. */
  readonly seen: ReadonlySet<string>;
  /** The same for all that is described of operations themselves, `default` left out. */
  readonly described: readonly string[];
  /** `GET /__apps ?page`: parameters of the query that were sent. */
  readonly sent: ReadonlySet<string>;
  /** The same for all that are described. */
  readonly parameters: readonly string[];
  readonly operations: readonly { readonly method: string; readonly path: string }[];
}

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly name: string;
  readonly it: Body;
}

const STREAM = "text/event-stream";

export function createOpenApiChecker(document: Body): OpenApiChecker {
  const operations = operationsIn(resolved(document, document));
  const seen = new Set<string>();
  const sent = new Set<string>();
  return {
    seen,
    sent,
    operations,
    described: operations.flatMap(({ name, it }) =>
      Object.entries<Body>(it.responses).flatMap(([status, { content }]) => {
        if (status === "default") return [];
        const types = Object.keys(content ?? {});
        return (types.length === 0 ? [""] : types).map((type) =>
          `${name} ${status} ${type}`.trim(),
        );
      }),
    ),
    parameters: operations.flatMap(({ name, it }) =>
      namesIn(it, "query").map((parameter) => `${name} ?${parameter}`),
    ),
    async check({ method, path, answer }) {
      const { pathname, searchParams } = new URL(path, "http://x");
      const type = (answer.headers.get("content-type") ?? "").split(";")[0] ?? "";
      const text = type === STREAM ? await left(answer) : await answer.text();
      const hasContent = text !== "" || type === STREAM;
      const own = operationsFor(operations, method, pathname);
      for (const { name } of own) {
        seen.add(`${name} ${answer.status} ${hasContent ? type : ""}`.trim());
        for (const one of searchParams.keys()) sent.add(`${name} ?${one}`);
      }
      const [operation] = own;
      const described = operation?.it.responses[answer.status];
      const faults =
        described === undefined
          ? ["is not described"]
          : [
              ...headersFaults(described, answer),
              ...(hasContent ? contentFaults(described, { type, text }) : []),
            ];
      const what = `${method} ${operation?.path ?? pathname} ${answer.status}`;
      return {
        text,
        complaints: faults.map((fault) => `${what}: ${fault}: ${text.slice(0, 300)}`),
      };
    },
  };
}

function contentFaults(
  { content = {} }: Body,
  { type, text }: { readonly type: string; readonly text: string },
): readonly string[] {
  const { schema } = content[type] ?? {};
  if (schema === undefined) return [`${type} is not described`];
  if (!type.endsWith("json")) return [];
  const errors = [...Value.Errors(closed(schema), JSON.parse(text))].slice(0, 3);
  return errors.map((error) => JSON.stringify(error));
}

async function left(answer: Response): Promise<string> {
  await answer.body?.cancel();
  return "";
}

/** What says more than HTTP alone must be described. */
const TOLD = [
  "allow",
  "location",
  "paastis-error",
  "retry-after",
  "set-cookie",
  "www-authenticate",
];

function headersFaults(described: Body, { headers }: Response): readonly string[] {
  return TOLD.filter((name) => headers.has(name) && described.headers?.[name] === undefined).map(
    (name) => `the header ${name} is not described`,
  );
}

function operationsIn({ paths }: Body): readonly Operation[] {
  return Object.entries(paths as Body).flatMap(([path, methods]) =>
    Object.entries(methods as Body).map(([verb, it]) => {
      const method = verb.toUpperCase();
      return { method, path, name: `${method} ${path}`, it };
    }),
  );
}

/** HEAD is answered as GET; what a path is asked with no operation of says something about all of them. */
function operationsFor(all: readonly Operation[], method: string, path: string) {
  const exact = all.filter((one) => one.path === path);
  const near = exact.length > 0 ? exact : all.filter((one) => patternOf(one.path).test(path));
  const own = near.filter((one) => one.method === (method === "HEAD" ? "GET" : method));
  return own.length > 0 ? own : near;
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/]+").replaceAll(".", "\\.")}$`);
}

function namesIn({ parameters = [] }: Body, place: string): readonly string[] {
  return parameters.filter((one: Body) => one.in === place).map((one: Body) => one.name);
}

/** The same with what is referred to in its place. */
function resolved(part: Body, document: Body): Body {
  if (Array.isArray(part)) return part.map((one) => resolved(one, document));
  if (typeof part !== "object" || part === null) return part;
  if (typeof part.$ref === "string") {
    const steps: readonly string[] = part.$ref.slice("#/".length).split("/");
    const meant = steps.reduce((at: Body, step) => at[step], document);
    if (meant === undefined) throw new Error(`${part.$ref} leads nowhere`);
    return resolved(meant, document);
  }
  const entries = Object.entries(part).map(([name, one]) => [name, resolved(one, document)]);
  return Object.fromEntries(entries);
}

/** A schema that refuses what it does not name. */
function closed(schema: Body): Body {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const entries = Object.entries(schema).map(([name, one]) => [name, closed(one)]);
  const inner = Object.fromEntries(entries);
  const isOpen = schema.additionalProperties !== undefined || schema.properties === undefined;
  return schema.type === "object" && !isOpen ? { ...inner, additionalProperties: false } : inner;
}
