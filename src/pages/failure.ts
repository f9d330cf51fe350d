/** The part of a page that says why, and when to try again. */

import type { Markup } from "./layout.ts";
import { html, raw } from "./layout.ts";

/** The reason, as the page's script sets it too: `output` when it has lines. */
export function reasonMarkup(why: string): Markup {
  const look = why.includes("\n") ? "reason output" : "reason";
  // Browsers drop a line break right after `<pre>`: this one, instead of one of the reason's.
  return html`<pre class="${look}" role="group" tabindex="0" aria-label="Reason">${raw("\n")}${why}</pre>`;
}

/** Loads the page again, also without JavaScript. With it, the link counts down `afterS` seconds first. */
export function retryMarkup(afterS: number): Markup {
  return html`<a class="retry" href="" role="button" data-after-s="${afterS}">Try again</a>`;
}
