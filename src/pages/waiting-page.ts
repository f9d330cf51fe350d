/** The page a person sees while an app wakes. */

import { retryMarkup } from "./failure.ts";
import type { Markup } from "./layout.ts";
import { documentOf, html, MOON } from "./layout.ts";

/** How far a wake is, in ms. */
export interface WakeTimes {
  readonly elapsedMs: number;
  /** How long this app's wakes usually take; `null`: not known. */
  readonly estimateMs: number | null;
}

/** What can be said about the time: nothing yet, as usual, or more than usual. The style shows the right words. */
export function paceOf(times: WakeTimes): "first" | "usual" | "longer" {
  if (times.estimateMs === null) return "first";
  return times.elapsedMs <= times.estimateMs ? "usual" : "longer";
}

/** @param options.refreshAfterS when a browser without JavaScript looks again */
export function waitingDocument(
  options: WakeTimes & { readonly app: string; readonly refreshAfterS: number },
): string {
  const { app, elapsedMs, estimateMs, refreshAfterS } = options;
  return documentOf({
    title: `${app} is waking up`,
    refreshAfterS,
    main: html`<main data-state="waking" data-pace="${paceOf(options)}" data-elapsed-ms="${elapsedMs}" data-estimate-ms="${estimateMs ?? ""}">
${MOON}
<section id="waking">
<h1>${app} is waking up</h1>
<p class="quiet">It sleeps while nobody uses it. It opens here by itself as soon as it is ready.</p>
${barMarkup(options)}
<p class="time"><span id="elapsed">${secondsOf(elapsedMs)}</span> s so far.
<span class="pace first">This is the first wake we see, so we can’t say how long it takes.</span>
<span class="pace usual">It usually takes about <span class="usually">${usuallyOf(estimateMs)}</span> s.</span>
<span class="pace longer">This takes longer than usual (about <span class="usually">${usuallyOf(estimateMs)}</span> s).</span></p>
<p class="step quiet" id="step" role="status" aria-live="polite"></p>
<noscript><p class="quiet">This page looks again every ${refreshAfterS} s.</p></noscript>
</section>
<section id="failed" role="alert" hidden>
<h1 data-crashed="${app} has ended by itself">${app} could not be woken</h1>
<h2>Why</h2>
<pre class="reason" role="group" tabindex="0" aria-label="Reason"></pre>
${retryMarkup(0)}
</section>
</main>`,
    footer: html`Put to sleep and woken by Paastis`,
  });
}

/** The bar's length is an attribute: the policy allows no inline styles. Its script keeps it up to date. */
function barMarkup(times: WakeTimes & { readonly app: string }): Markup {
  const { app, elapsedMs, estimateMs } = times;
  const percent = estimateMs === null ? 0 : Math.min(100, (100 * elapsedMs) / (estimateMs || 1));
  const width = percent.toFixed(1);
  return html`<div class="bar" id="bar" role="progressbar" aria-label="Waking ${app}" aria-valuemin="0" aria-valuemax="100">
<svg aria-hidden="true"><rect id="fill" width="${width}%" height="100%" rx="4"/></svg><div class="sweep"></div>
</div>`;
}

function secondsOf(ms: number): number {
  return Math.floor(ms / 1000);
}

function usuallyOf(estimateMs: number | null): number {
  return Math.max(1, Math.round((estimateMs ?? 0) / 1000));
}
