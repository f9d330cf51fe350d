/** The dashboard's files as they are sent: one page, its script, its style sheet and its icon. */

import { bundled } from "./bundled.ts" with { type: "macro" };

/** A file of the dashboard. */
export interface DashboardFile {
  readonly path: string;
  /** What it is, for the description of the endpoints. */
  readonly summary: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

const script = bundled("browser/start.ts");
const style = bundled("browser/dashboard.css");

const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><circle cx="12" cy="13" r="7" fill="#f0a04b"/><path fill="#4b55d1" d="M0 24V17q6-4 12-1t12-1v9z"/></svg>';

/**
 * What the browser may do with the page (CSP level 3): run and show our own files, ask our own endpoints. Nothing else,
 * whatever an app's name or output holds; scripts cannot make markup of text either (Trusted Types).
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const SAFE = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
};
/** The page names them with what they hold: another version has another address. */
const KEPT = { ...SAFE, "cache-control": "private, max-age=31536000, immutable" };

/** The page: the same for the list and for every app. */
export const DASHBOARD_PAGE = {
  body: documentText(),
  headers: {
    ...SAFE,
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
  },
};

/** What the page is made of. None of it holds anything that is known of apps. */
export const DASHBOARD_FILES: readonly DashboardFile[] = [
  {
    path: "/__/dashboard.js",
    summary: "Its script",
    body: script,
    headers: { ...KEPT, "content-type": "text/javascript; charset=utf-8" },
  },
  {
    path: "/__/dashboard.css",
    summary: "Its style sheet",
    body: style,
    headers: { ...KEPT, "content-type": "text/css; charset=utf-8" },
  },
  {
    path: "/__/icon.svg",
    summary: "Its icon",
    body: ICON,
    headers: { ...KEPT, "content-type": "image/svg+xml" },
  },
];

function documentText(): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Paastis</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<meta name="color-scheme" content="light dark">
<link rel="icon" type="image/svg+xml" href="/__/icon.svg?${versionOf(ICON)}">
<link rel="stylesheet" href="/__/dashboard.css?${versionOf(style)}">
<script type="module" src="/__/dashboard.js?${versionOf(script)}"></script>
</head>
<body>
<noscript><p class="lone">The dashboard needs JavaScript. <code>paastis apps</code> shows the same in a terminal.</p></noscript>
</body>
</html>
`;
}

/** Short, and another one for another text. */
function versionOf(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 12);
}
