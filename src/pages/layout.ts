/** What our pages share: one look, one script, and a policy that lets nothing else run. */

import css from "./page.css" with { type: "text" };
import script from "./page-script.js" with { type: "text" };

/** Markup that is safe to send as it is. Only `html` and `raw` make it. */
export interface Markup {
  readonly markup: string;
}

/** A page, without what all pages have in common. */
export interface Page {
  readonly title: string;
  /** Seconds after which a browser without JavaScript loads the page again; `null`: never. */
  readonly refreshAfterS: number | null;
  readonly main: Markup;
  /** Small print below. */
  readonly footer: Markup;
}

/**
 * What the browser may do with our pages (CSP level 3): run this one script, use this one style sheet, ask the
 * page's own origin. Nothing else, whatever an app's output holds.
 */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `script-src ${sourceOf(script)}`,
  `style-src ${sourceOf(css)}`,
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'",
].join("; ");

/** The whole document. */
export function documentOf(page: Page): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
${refreshOf(page.refreshAfterS)}
<title>${page.title}</title>
<link rel="icon" href="${ICON}">
<style>${raw(css)}</style>
</head>
<body>
${page.main}
<footer>${page.footer}</footer>
<script type="module">${raw(script)}</script>
</body>
</html>
`.markup;
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

/** A moon: the app was asleep. Drawn in the text's accent colour. */
export const MOON = raw(
  '<svg class="mark" viewBox="0 0 24 24" aria-hidden="true"><path d="M20.7 14.1A9 9 0 0 1 9.9 3.3a.6.6 0 0 0-.8-.7 10 10 0 1 0 12.3 12.3.6.6 0 0 0-.7-.8z"/></svg>',
);

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Cpath fill='%236b74e6' d='M20.7 14.1A9 9 0 0 1 9.9 3.3a.6.6 0 0 0-.8-.7 10 10 0 1 0 12.3 12.3.6.6 0 0 0-.7-.8z'/%3E%3C/svg%3E";

function markupOf(value: string | number | Markup): string {
  return typeof value === "object" ? value.markup : Bun.escapeHTML(String(value));
}

function refreshOf(afterS: number | null): Markup {
  if (afterS === null) return raw("");
  return html`<noscript><meta http-equiv="refresh" content="${afterS}"></noscript>`;
}

/** How the policy names an inline script or style: by its SHA-256. */
function sourceOf(text: string): string {
  return `'sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}'`;
}
