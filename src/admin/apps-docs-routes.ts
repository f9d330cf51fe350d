/** The description of the admin endpoints, for programs and for people, as a plugin. */

import { createHash } from "node:crypto";
import { Elysia, t } from "elysia";
import { DOCS_SCRIPT, DOCS_STYLE, docsPage } from "./apps-docs-page.ts";
import type { OpenApi } from "./apps-openapi.ts";
import { found } from "./apps-problem.ts";
import { file } from "./openapi-answers.ts";

const tags = ["This description"];

/** @param describe asked with each request */
export function createDocsRoutes(describe: () => OpenApi) {
  const policy = contentPolicy();
  return new Elysia()
    .get("/__openapi.json", () => found(describe()), {
      response: { 200: t.Object({}, { additionalProperties: true, description: "OpenAPI 3.1." }) },
      detail: { tags, summary: "This description, for programs (OpenAPI 3.1)" },
    })
    .get(
      "/__docs",
      () =>
        new Response(docsPage(describe()), {
          headers: {
            "content-type": "text/html; charset=utf-8",
            "cache-control": "no-store",
            "content-security-policy": policy,
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
          },
        }),
      {
        detail: {
          tags,
          summary: "This description, for people",
          responses: { 200: file("A page.", "text/html") },
        },
      },
    );
}

/** Nothing is loaded from anywhere, and nothing but what the page was made with runs. */
function contentPolicy(): string {
  const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  return [
    "default-src 'none'",
    `style-src ${hash(DOCS_STYLE)}`,
    `script-src ${hash(DOCS_SCRIPT)}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
