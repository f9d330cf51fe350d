/** The page a person sees when Paastis cannot pass a request on. */

import { reasonMarkup, retryMarkup } from "./failure.ts";
import type { Markup } from "./layout.ts";
import { documentOf, html, MOON, raw } from "./layout.ts";

/** What the page says. All of it is plain text and is escaped here. */
export interface ErrorPage {
  readonly code: string;
  readonly status: number;
  /** The app's key; `null` when no app is known. */
  readonly app: string | null;
  /** What happened, in one sentence. */
  readonly message: string;
  /** May be several lines; empty when there is nothing to add. */
  readonly why: string;
  /** What to do. Names between backticks are shown as code. */
  readonly remedy: string;
  /** Found again in the log; `null`: there is none. */
  readonly reference: string | null;
  /** Seconds until trying again makes sense; `null`: it does not. */
  readonly retryAfterS: number | null;
}

/** The whole document. */
export function errorDocument(page: ErrorPage): string {
  const title = page.app === null ? page.message : `${page.app}: ${page.message}`;
  return documentOf({
    title,
    refreshAfterS: null,
    main: html`<main data-state="error">
${MOON}
${page.app === null ? raw("") : html`<p class="app">${page.app}</p>`}
<h1>${page.message}</h1>
${page.why === "" ? raw("") : html`<h2>Why</h2>${reasonMarkup(page.why)}`}
<h2>What to do</h2>
<p>${codeMarkup(page.remedy)}</p>
${page.retryAfterS === null ? raw("") : retryMarkup(page.retryAfterS)}
</main>`,
    footer: footerOf(page),
  });
}

function footerOf(page: ErrorPage): Markup {
  const { code, status, reference } = page;
  const trace = reference === null ? raw("") : html` · Reference <code>${reference}</code>`;
  return html`Answered by Paastis · ${status} <code>${code}</code>${trace}`;
}

function codeMarkup(text: string): Markup {
  return raw(html`${text}`.markup.replace(BACKTICKED, "<code>$1</code>"));
}

/** `Bun.escapeHTML` leaves backticks alone. */
const BACKTICKED = /`([^`]+)`/g;
