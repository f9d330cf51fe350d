/** What our pages share: one look, one script, and a policy that lets nothing else run. */

import type { Language } from "./language.ts";
import cssSource from "./page.css" with { type: "text" };
import scriptSource from "./page-script.js" with { type: "text" };
import type { Template, TemplateValues } from "./template.ts";
import { render } from "./template.ts";
import { TEXTS } from "./texts.ts";

const css = compact(cssSource);
const script = compact(scriptSource);

/** Markup that is safe to send as it is. Only `html` and `raw` make it. */
export interface Markup {
  readonly markup: string;
}

/** A page, without what all pages have in common. */
export interface Page {
  readonly language: Language;
  readonly title: string;
  /** The app's key; `null`: no app is known. */
  readonly app: string | null;
  /** When a browser without JavaScript loads the page again; `null`: never. */
  readonly refresh: Refresh | null;
  /** What the page is about, by the name of its placeholder. */
  readonly block: { readonly name: "progress" | "problem"; readonly markup: Markup };
  /** What else templates can show. */
  readonly values: TemplateValues;
}

/** What to load again, and when. */
export interface Refresh {
  readonly afterS: number;
  /** What was asked for: a path and a query, as in the request. */
  readonly target: string;
}

/** A page as it is sent. */
export interface PageDocument {
  readonly body: string;
  /** What the browser may do with it: its `Content-Security-Policy`. */
  readonly policy: string;
  readonly language: Language;
}

/** The whole document, in our own look or in a team's. */
export function documentOf(page: Page, template: Template | null): PageDocument {
  const head = headOf(page);
  const { language } = page;
  if (template === null) {
    return { body: ownDocument(page, head), policy: policyOf([css]), language };
  }
  const { direction } = TEXTS[language];
  const body = render(template, {
    ...page.values,
    app: page.app ?? "",
    title: page.title,
    lang: language,
    dir: direction,
    retry_after: page.refresh === null ? "" : String(page.refresh.afterS),
    head,
    style: STYLE,
    [page.block.name]: page.block.markup,
  });
  return { body, policy: policyOf([css, ...template.styles], "data:"), language };
}

function ownDocument(page: Page, head: Markup): string {
  const { direction, footer } = TEXTS[page.language];
  return html`<!doctype html>
<html lang="${page.language}" dir="${direction}">
<head>
<title>${page.title}</title>
<link rel="icon" href="${ICON}">
${head}
${STYLE}
</head>
<body>
<main>
${page.block.markup}
</main>
<footer>${footer}</footer>
</body>
</html>
`.markup;
}

function headOf({ refresh }: Page): Markup {
  return html`<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
${refresh === null ? raw("") : refreshMarkup(refresh)}
<script type="module">${raw(script)}</script>`;
}

/**
 * Names the address: Chromium 156 takes a refresh without one, at an address with a fragment, for a step to that
 * fragment, and loads nothing (measured). The fragment is lost; only a browser with JavaScript can keep it.
 */
function refreshMarkup({ afterS, target }: Refresh): Markup {
  const address = ownAddress(target);
  const content = address === null ? String(afterS) : `${afterS}; url=${address}`;
  return html`<noscript><meta http-equiv="refresh" content="${content}"></noscript>`;
}

/** The same path at our own origin: what begins with two slashes would name another host. `null`: not known. */
function ownAddress(target: string): string | null {
  if (!/^\/[!-~]*$/.test(target)) return null;
  return /^\/[/\\]/.test(target) ? `/.${target}` : target;
}

/**
 * A template that escapes every value but markup, for element content and quoted attributes. Values never go
 * into scripts or styles.
 */
export function html(
  strings: TemplateStringsArray,
  ...values: readonly (string | number | Markup)[]
): Markup {
  return raw(String.raw({ raw: strings }, ...values.map(markupOf)));
}

/** Text of our own source, or built from escaped parts. */
export function raw(markup: string): Markup {
  return { markup };
}

function markupOf(value: string | number | Markup): string {
  return typeof value === "object" ? value.markup : Bun.escapeHTML(String(value));
}

const STYLE = raw(`<style>${css}</style>`);

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Ccircle cx='12' cy='13' r='7' fill='%23f0a04b'/%3E%3Cpath fill='%234b55d1' d='M0 24V17q6-4 12-1t12-1v9z'/%3E%3C/svg%3E";

const SCRIPT_SOURCE = sourceOf(script);

/**
 * What the browser may do with our pages (CSP level 3): run this one script, use these style sheets, ask the page's
 * own origin. Nothing else, whatever an app's output holds.
 * @param fonts where fonts may come from
 */
function policyOf(styles: readonly string[], fonts: "'none'" | "data:" = "'none'"): string {
  return [
    "default-src 'none'",
    `script-src ${SCRIPT_SOURCE}`,
    `style-src ${styles.map(sourceOf).join(" ")}`,
    "connect-src 'self'",
    "img-src data:",
    ...(fonts === "data:" ? ["font-src data:"] : []),
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'self'",
  ].join("; ");
}

/** Without indentation, without comments that have lines of their own, and with longer lines. */
function compact(source: string): string {
  return source
    .replaceAll(/^\s*(?:\/\/.*|\/\*[\s\S]*?\*\/)\n/gm, "")
    .replaceAll(/^\s+/gm, "")
    .replaceAll(/([{;,])\n/g, "$1");
}

/** How the policy names an inline script or style: by its SHA-256. Browsers read `\r\n` as one line break. */
function sourceOf(text: string): string {
  const read = text.replaceAll(/\r\n?/g, "\n");
  return `'sha256-${new Bun.CryptoHasher("sha256").update(read).digest("base64")}'`;
}
