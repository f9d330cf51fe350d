/** The page a person sees while an app wakes. */

import { reasonMarkup, referenceMarkup, retryMarkup } from "./failure.ts";
import type { Language } from "./language.ts";
import type { Markup, PageDocument, Refresh } from "./layout.ts";
import { documentOf, html, raw } from "./layout.ts";
import { sceneMarkup } from "./scene.ts";
import type { Template } from "./template.ts";
import type { Texts } from "./texts.ts";
import { fill, TEXTS, timeText } from "./texts.ts";

/** How far a wake is, in ms. */
export interface WakeTimes {
  readonly elapsedMs: number;
  /** How long this app's wakes usually take; `null`: not known. */
  readonly estimateMs: number | null;
}

/** What the page shows. */
export interface WaitingPage extends WakeTimes {
  /** The app's key. */
  readonly app: string;
  readonly language: Language;
  /** For browsers without JavaScript. */
  readonly refresh: Refresh;
}

/** What can be said about the time: nothing yet, as usual, or more than usual. */
export function paceOf(times: WakeTimes): keyof Texts["pace"] {
  if (times.estimateMs === null) return "first";
  return times.elapsedMs <= times.estimateMs ? "usual" : "longer";
}

/** The whole document. @param template a team's own look; `null`: ours */
export function waitingDocument(page: WaitingPage, template: Template | null): PageDocument {
  const { app, language, refresh } = page;
  const title = fill(TEXTS[language].wakingTitle, { app });
  const markup = progressMarkup(page, template === null ? sceneMarkup(shareOf(page)) : raw(""));
  const block = { name: "progress", markup } as const;
  return documentOf({ language, title, app, refresh, block, values: {} }, template);
}

function progressMarkup(page: WaitingPage, scene: Markup): Markup {
  const { app, language, elapsedMs, estimateMs, refresh } = page;
  const texts = TEXTS[language];
  const looksAgain = fill(texts.looksAgain, { time: timeText(refresh.afterS) });
  return html`<div id="paastis" data-state="waking" data-pace="${paceOf(page)}" data-elapsed-ms="${elapsedMs}" data-estimate-ms="${estimateMs ?? ""}" data-texts="${scriptTexts(page)}">
${scene}
<section id="waking">
<h1>${fill(texts.wakingTitle, { app })}</h1>
<p class="quiet">${texts.wakingIntro}</p>
${barMarkup(page)}
<p class="time" id="time">${timeSentence(page)}</p>
<p class="step quiet" id="step" role="status">${texts.steps.starting}</p>
<noscript><p class="quiet">${looksAgain}</p></noscript>
</section>
<section id="failed" hidden>
<div role="alert"><h1></h1></div>
<p>${texts.advice.retry}</p>
${reasonMarkup(language, "")}
${retryMarkup(language, 0)}
${referenceMarkup(language, null)}
</section>
</div>`;
}

/** The texts that the page's script shows later, as JSON. */
function scriptTexts({ app, language }: WaitingPage): string {
  const texts = TEXTS[language];
  return JSON.stringify({
    steps: texts.steps,
    ready: texts.ready,
    interrupted: texts.interrupted,
    elapsed: texts.elapsed,
    pace: texts.pace,
    failed: fill(texts.failedTitle, { app }),
    crashed: fill(texts.crashedTitle, { app }),
    retry: texts.retry,
    retryIn: texts.retryIn,
  });
}

/** The bar's length is an attribute: the policy allows no inline styles. The page's script keeps it up to date. */
function barMarkup(page: WaitingPage): Markup {
  const label = fill(TEXTS[page.language].progress, { app: page.app });
  const share = shareOf(page) ?? 0;
  const width = (100 * share).toFixed(1);
  const now = raw(paceOf(page) === "usual" ? ` aria-valuenow="${Math.floor(share * 20) * 5}"` : "");
  return html`<div class="bar" id="bar" role="progressbar" aria-label="${label}" aria-valuemin="0" aria-valuemax="100"${now}>
<svg aria-hidden="true"><rect id="fill" width="${width}%" height="100%" rx="4"/></svg><div class="sweep"></div>
</div>`;
}

function timeSentence(page: WaitingPage): string {
  const { elapsed, pace } = TEXTS[page.language];
  const so = fill(elapsed, { time: timeText(Math.floor(page.elapsedMs / 1000)) });
  const usually = Math.max(1, Math.round((page.estimateMs ?? 0) / 1000));
  return `${so} ${fill(pace[paceOf(page)], { time: timeText(usually) })}`;
}

/** How much of the wake is done, 0 to 1; `null`: nobody knows. */
function shareOf(page: WakeTimes): number | null {
  if (page.estimateMs === null || paceOf(page) !== "usual") return null;
  return Math.min(1, page.elapsedMs / (page.estimateMs || 1));
}
