/** The description of the admin endpoints as one page for people: everything is in it. Pure. */

import { ADMIN_CODES, ANSWER_CODES } from "../errors.ts";
import type { OpenApi } from "./apps-openapi.ts";
import type { Operation } from "./apps-openapi-old.ts";

type Json = Readonly<Record<string, unknown>>;

/** What the page looks like. */
export const DOCS_STYLE = `
:root { color-scheme: light dark; --ground: #fbfaff; --ink: #1d1b2e; --quiet: #5b5873; --edge: #dcd9ea; --get: #17624f; --post: #8a3b12; --accent: #4a45b8; }
@media (prefers-color-scheme: dark) { :root { --ground: #12111c; --ink: #eeecf8; --quiet: #aaa6c3; --edge: #34314b; --get: #6fd3b4; --post: #f2a578; --accent: #aaa5ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--ground); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.75rem; } h2 { margin: 2.5rem 0 0.75rem; font-size: 1.2rem; } h3 { margin: 1.25rem 0 0.4rem; font-size: 0.9rem; color: var(--quiet); }
p { margin: 0.5rem 0; } a { color: var(--accent); } code, pre { font: 0.85rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
label { display: block; margin: 1.5rem 0 0; font-weight: 600; }
input { display: block; width: 100%; margin-top: 0.35rem; padding: 0.6rem 0.8rem; border: 1px solid var(--edge); border-radius: 0.5rem; background: transparent; color: inherit; font: inherit; }
details.endpoint { margin: 0.4rem 0; border: 1px solid var(--edge); border-radius: 0.6rem; }
details.endpoint > summary { display: flex; flex-wrap: wrap; gap: 0.2rem 0.8rem; align-items: baseline; padding: 0.6rem 0.9rem; cursor: pointer; }
details.endpoint > div { padding: 0 0.9rem 0.9rem; border-top: 1px solid var(--edge); }
.method { min-width: 3.2rem; font-weight: 700; font-size: 0.8rem; } .get { color: var(--get); } .post { color: var(--post); }
.path { font-weight: 600; } .what { color: var(--quiet); }
.scroll { overflow-x: auto; } table { width: 100%; border-collapse: collapse; font-size: 0.9rem; }
th, td { padding: 0.35rem 0.8rem 0.35rem 0; border-bottom: 1px solid var(--edge); text-align: left; vertical-align: top; }
pre { margin: 0.4rem 0; padding: 0.7rem 0.9rem; border: 1px solid var(--edge); border-radius: 0.5rem; overflow: auto; max-height: 24rem; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; } [hidden] { display: none; }
`;

/** The search. */
export const DOCS_SCRIPT = `
const field = document.getElementById("search");
const endpoints = [...document.querySelectorAll(".endpoint")];
const sections = [...document.querySelectorAll("section[data-tag]")];
function find() {
  const words = field.value.toLowerCase().split(/\\s+/);
  for (const one of endpoints) one.hidden = !words.every((word) => one.dataset.text.includes(word));
  for (const section of sections) section.hidden = [...section.querySelectorAll(".endpoint")].every((one) => one.hidden);
}
field.addEventListener("input", find);
function open() {
  const meant = location.hash === "" ? null : document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (meant instanceof HTMLDetailsElement) meant.open = true;
}
addEventListener("hashchange", open);
open();
`;

interface Endpoint {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

/** The whole page. */
export function docsPage({ components, info, paths }: OpenApi): string {
  const endpoints = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => {
      return { method, path, operation: resolved(operation, { components }) };
    }),
  );
  const tags = [...new Set(endpoints.map(tagOf))];
  const sections = tags.map((tag) => {
    const own = endpoints.filter((one) => tagOf(one) === tag).map(endpointHtml);
    return `<section data-tag><h2>${escaped(tag)}</h2>${own.join("")}</section>`;
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(info.title ?? "")}</title><style>${DOCS_STYLE}</style></head>
<body><main><h1>${escaped(info.title ?? "")}</h1>
<p>Version ${escaped(info.version ?? "")} · <a href="/__openapi.json">for programs</a></p>
<p>${marked(info.description ?? "")}</p>
<label for="search">Search<input id="search" type="search" autocomplete="off"></label>
${sections.join("\n")}
<section><h2 id="codes">Codes</h2><div class="scroll"><table><thead><tr><th scope="col">paastis-error</th><th scope="col">Status</th><th scope="col">What it means</th><th scope="col">What to do</th></tr></thead><tbody>
${Object.entries({ ...ANSWER_CODES, ...ADMIN_CODES })
  .map(codeRow)
  .join("\n")}
</tbody></table></div></section>
</main><script>${DOCS_SCRIPT}</script></body></html>
`;
}

/** A part of the description with what it refers to (`#/components/responses/General`) in its place. */
function resolved<T>(part: T, document: Json): T {
  if (Array.isArray(part)) return part.map((one) => resolved(one, document)) as T; // As many, of the same kind.
  if (typeof part !== "object" || part === null) return part;
  const { $ref } = part as Json; // JSON of ours.
  if (typeof $ref === "string") {
    const steps = $ref.slice("#/".length).split("/");
    const meant = steps.reduce((at, step) => (at as Json)[step] as Json, document); // It is there.
    return resolved(meant, document) as T; // What is referred to is of the kind that is wanted here.
  }
  const entries = Object.entries(part).map(([name, one]) => [name, resolved(one, document)]);
  return Object.fromEntries(entries) as T; // The same names.
}

function codeRow([code, entry]: readonly [
  string,
  { readonly status: number; readonly meaning: string; readonly remedy: string },
]): string {
  return `<tr id="code-${code}"><td><code>${code}</code></td><td>${entry.status}</td><td>${marked(entry.meaning)}</td><td>${marked(entry.remedy)}</td></tr>`;
}

function tagOf({ operation }: Endpoint): string {
  const { tags } = operation;
  return Array.isArray(tags) && typeof tags[0] === "string" ? tags[0] : "Others";
}

function endpointHtml({ method, path, operation }: Endpoint): string {
  const { description, parameters, requestBody, responses, summary } = operation;
  const id = escaped(`${method}-${path}`);
  const text = escaped(`${method} ${path} ${summary} ${description ?? ""}`.toLowerCase());
  return `<details class="endpoint" id="${id}" data-text="${text}"><summary><span class="method ${method}">${method.toUpperCase()}</span><code class="path">${escaped(path)}</code><span class="what">${marked(summary)}</span></summary><div>
${typeof description === "string" ? `<p>${marked(description)}</p>` : ""}${parametersHtml(parameters)}${bodyHtml(requestBody)}${responsesHtml(responses)}
<h3>Try it</h3><pre>${escaped(curlText(method, path))}</pre></div></details>`;
}

function parametersHtml(parameters: unknown): string {
  if (!Array.isArray(parameters) || parameters.length === 0) return "";
  const rows = parameters.map((parameter: Json) => {
    const { description = "", in: place, name, required, schema } = parameter;
    const needed = required === true ? ", required" : "";
    return `<tr><td><code>${escaped(name)}</code></td><td>${escaped(place)}${needed}</td><td>${escaped(typeText(schema))}</td><td>${marked(description)}</td></tr>`;
  });
  return `<h3>Parameters</h3><div class="scroll"><table><thead><tr><th scope="col">Name</th><th scope="col">Where</th><th scope="col">What</th><th scope="col">What for</th></tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

function bodyHtml(body: unknown): string {
  if (typeof body !== "object" || body === null) return "";
  return `<h3>Body</h3><pre tabindex="0">${escaped(JSON.stringify(body, null, 2))}</pre>`;
}

function responsesHtml(responses: unknown): string {
  if (typeof responses !== "object" || responses === null) return "";
  const all = Object.entries(responses).map(([status, answer]: [string, Json]) => {
    const { content = {}, description = "" } = answer;
    const shapes = Object.entries(content as Json).map(([type, holder]) => {
      const { schema } = holder as Json; // JSON of ours.
      return `<pre tabindex="0">${escaped(type)}\n${escaped(shapeText(schema))}</pre>`;
    });
    const name = status === "default" ? "Anything else" : status;
    return `<details><summary>${escaped(name)} ${marked(description)}</summary>${headersText(answer)}${shapes.join("")}</details>`;
  });
  return `<h3>Answers</h3>${all.join("")}`;
}

function headersText({ headers }: Json): string {
  const names = Object.keys(headers ?? {});
  if (names.length === 0) return "";
  return `<p>With ${names.map((name) => `<code>${escaped(name)}</code>`).join(", ")}.</p>`;
}

function curlText(method: string, path: string): string {
  const verb = method === "get" ? "" : ` -X ${method.toUpperCase()}`;
  return `curl${verb} -H "x-admin-token: $TOKEN" http://localhost:3000${path.replaceAll("{app}", "shop")}`;
}

/** `text`, `a whole number, 1 to 1000`, `one of a, b`. */
function typeText(schema: unknown): string {
  const { enum: words, maximum, minimum, type } = (schema ?? {}) as Json; // JSON of ours.
  if (Array.isArray(words)) return `one of ${words.join(", ")}`;
  const range =
    minimum === undefined || maximum === undefined
      ? ""
      : `, ${String(minimum)} to ${String(maximum)}`;
  return type === "integer" ? `a whole number${range}` : type === "string" ? "text" : String(type);
}

/** A schema in few words: names with what they hold. */
function shapeText(schema: unknown, indent = ""): string {
  const { anyOf, enum: words, items, properties, type } = (schema ?? {}) as Json; // JSON of ours.
  if (Array.isArray(words)) return words.map((word) => JSON.stringify(word)).join(" | ");
  if (Array.isArray(anyOf)) return anyOf.map((one) => shapeText(one, indent)).join(" | ");
  if (type === "array") return `[${shapeText(items, indent)}, …]`;
  if (typeof properties !== "object" || properties === null) return String(type ?? "anything");
  const inner = `${indent}  `;
  const lines = Object.entries(properties).map(([name, value]) => {
    return `${inner}${name}: ${shapeText(value, inner)}`;
  });
  return `{\n${lines.join("\n")}\n${indent}}`;
}

function escaped(text: unknown): string {
  return String(text)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** Text whose words in backquotes are code. */
function marked(text: unknown): string {
  return escaped(text).replaceAll(/`([^`]+)`/g, "<code>$1</code>");
}
