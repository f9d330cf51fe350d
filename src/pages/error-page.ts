/** The page a person sees when Paastis cannot pass a request on. */

import type { AnswerCode } from "../errors.ts";
import { reasonMarkup, referenceMarkup, retryMarkup } from "./failure.ts";
import type { Language } from "./language.ts";
import type { Markup, PageDocument } from "./layout.ts";
import { documentOf, html, raw } from "./layout.ts";
import { reasonIn } from "./reasons.ts";
import { sceneMarkup } from "./scene.ts";
import type { Template } from "./template.ts";
import type { Advice } from "./texts.ts";
import { TEXTS } from "./texts.ts";

/** What the page says. All of it is plain text and is escaped here. */
export interface ErrorPage {
  readonly language: Language;
  readonly code: AnswerCode;
  readonly status: number;
  /** The app's key; `null` when no app is known. */
  readonly app: string | null;
  /** May be several lines; empty when there is nothing to add. */
  readonly why: string;
  /** What its operator can do, in English. Names between backticks are shown as code. */
  readonly remedy: string;
  /** Found again in the log and among the events; `null`: there is none. */
  readonly reference: string | null;
  /** Seconds until trying again makes sense; `null`: it does not. */
  readonly retryAfterS: number | null;
}

/** The whole document. @param template a team's own look; `null`: ours */
export function errorDocument(page: ErrorPage, template: Template | null): PageDocument {
  const { language, app, code, status, reference } = page;
  // A heading ends without a full stop.
  const message = TEXTS[language].errors[code].replace(/\.$/, "");
  const scene = template === null ? sceneMarkup(null) : raw("");
  return documentOf(
    {
      language,
      title: app === null ? message : `${app}: ${message}`,
      app,
      refresh: null,
      block: { name: "problem", markup: problemMarkup(page, { scene, message }) },
      values: {
        ...{ message, code, reference: reference ?? "", status: String(status) },
        reason: reasonIn(language, page.why).text,
      },
    },
    template,
  );
}

function problemMarkup(
  page: ErrorPage,
  { scene, message }: { readonly scene: Markup; readonly message: string },
): Markup {
  const { language, app, code, status, why, retryAfterS, reference } = page;
  const texts = TEXTS[language];
  const { retry, retryIn } = texts;
  return html`<div id="paastis" data-state="error" data-texts="${JSON.stringify({ retry, retryIn })}">
${scene}
<section>
${app === null ? raw("") : html`<p class="app">${app}</p>`}
<h1>${message}</h1>
<p>${texts.advice[adviceFor(status, code)]}</p>
${why === "" ? raw("") : reasonMarkup(language, why)}
${retryAfterS === null ? raw("") : retryMarkup(language, retryAfterS)}
${referenceMarkup(language, reference)}
<details>
<summary>${texts.forOperators}</summary>
<p lang="en" dir="ltr">${codeMarkup(page.remedy)}</p>
<p>${status} <code>${code}</code></p>
</details>
</section>
</div>`;
}

/** What somebody wants to be so for a time. */
const LATER: ReadonlySet<AnswerCode> = new Set(["app_maintenance", "app_paused", "app_asleep"]);

/** What the visitor can do: trouble of ours may pass, an address may be wrong, the rest is for their browser. */
function adviceFor(status: number, code: AnswerCode): Advice {
  if (LATER.has(code)) return "later";
  if (status >= 500) return "retry";
  return status === 404 ? "address" : "request";
}

function codeMarkup(text: string): Markup {
  return raw(html`${text}`.markup.replace(BACKTICKED, "<code>$1</code>"));
}

/** `Bun.escapeHTML` leaves backticks alone. */
const BACKTICKED = /`([^`]+)`/g;
