/** The part of a page that says why something failed, and what to do about it. */

import type { Language } from "./language.ts";
import type { Markup } from "./layout.ts";
import { html, raw } from "./layout.ts";
import { reasonIn } from "./reasons.ts";
import { TEXTS } from "./texts.ts";

/** The reason, as the page's script sets it too: `output` when it has lines. */
export function reasonMarkup(language: Language, why: string): Markup {
  const { text, language: spoken } = reasonIn(language, why);
  const look = text.includes("\n") ? "reason output" : "reason";
  const { reason } = TEXTS[language];
  const heading = html`<h2 id="why">${reason}</h2>`;
  // Browsers drop a line break right after `<pre>`: this one, instead of one of the reason's.
  return html`${heading}<pre class="${look}" role="group" tabindex="0" aria-labelledby="why" lang="${spoken}" dir="auto">${raw("\n")}${text}</pre>`;
}

/** Loads the page again, also without JavaScript. With it, the link counts down `afterS` seconds first. */
export function retryMarkup(language: Language, afterS: number): Markup {
  return html`<a class="retry" href="" data-after-s="${afterS}">${TEXTS[language].retry}</a>`;
}

/** What operators find the failure by. `null`: there is none, or none yet. */
export function referenceMarkup(language: Language, reference: string | null): Markup {
  const hidden = raw(reference === null ? " hidden" : "");
  return html`<p class="reference"${hidden}>${TEXTS[language].reference}: <code>${reference ?? ""}</code></p>`;
}
