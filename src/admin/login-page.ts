/** The page that asks for the token, and small pages that only say something. Without script. */

import { createHash } from "node:crypto";
import { LOG_IN_PATH, LOG_OUT_PATH } from "./paths.ts";

/** A page, and what it must be sent with. */
export interface SmallPage {
  readonly body: string;
  readonly policy: string;
}

const STYLE = `:root{color-scheme:light dark;--ink:#1c2430;--paper:#f6f7f9;--card:#fff;--line:#7b8696;--act:#1f5fbf;--on-act:#fff;--bad:#a4241c}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--paper:#12161c;--card:#1b212a;--line:#7f8b9c;--act:#8ab4ff;--on-act:#0d1420;--bad:#ff9d94}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
main{width:100%;max-width:26rem;padding:2rem;background:var(--card);border-radius:.75rem;box-shadow:0 1px 4px #0003}
h1{margin:0 0 1rem;font-size:1.4rem}label{display:block;font-weight:600}
input{width:100%;margin:.25rem 0 1rem;padding:.6rem .7rem;font:inherit;color:inherit;background:var(--paper);border:1px solid var(--line);border-radius:.4rem}
button,.act{display:inline-block;padding:.6rem 1.4rem;font:inherit;font-weight:600;color:var(--on-act);background:var(--act);border:0;border-radius:.4rem;text-decoration:none;cursor:pointer}
:focus-visible{outline:3px solid var(--act);outline-offset:2px}p{margin:0 0 1rem}.bad{color:var(--bad);font-weight:600}.small{margin:1rem 0 0;font-size:.9rem}
.name{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}code{font-size:.95em}`;

function policy(): string {
  return [
    "default-src 'none'",
    `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join("; ");
}

/**
 * @param options.next where to go afterwards, a path of ours
 * @param options.hint where the token stands
 * @param options.problem what was wrong with the last try; `null`: there was none
 */
export function logInPage(options: {
  readonly next: string;
  readonly hint: string;
  readonly problem: string | null;
}): SmallPage {
  const { next, hint, problem } = options;
  const action = `${LOG_IN_PATH}?next=${encodeURIComponent(next)}`;
  const said =
    problem === null ? "" : `<p class="bad" id="problem" role="alert">${escaped(problem)}</p>`;
  const described = problem === null ? "hint" : "problem hint";
  const wrong = problem === null ? "" : ' aria-invalid="true"';
  return page({
    title: "Log in to Paastis",
    content: `${said}<form method="post" action="${escaped(action)}">
<div class="name" aria-hidden="true"><input name="user" value="paastis" autocomplete="username" tabindex="-1"></div>
<label for="token">Admin token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus spellcheck="false" autocapitalize="none" aria-describedby="${described}"${wrong}>
<button type="submit">Log in</button>
</form><p class="small" id="hint">${escaped(hint)}</p>`,
  });
}

/** For who has logged in: the way on, and the way out. @param next a path of ours */
export function insidePage(next: string): SmallPage {
  return page({
    title: "You are logged in",
    content: `<p><a class="act" href="${escaped(next)}">Go on</a></p>
<form method="post" action="${LOG_OUT_PATH}"><button type="submit">Log out</button></form>`,
  });
}

/** A page that says something, and leads on. @param options.next a path of ours; `null`: it leads nowhere */
export function notePage(options: {
  readonly title: string;
  readonly text: string;
  readonly next: string | null;
  /** Whether browsers go there by themselves. */
  readonly isPassing?: boolean;
}): SmallPage {
  const { title, text, next, isPassing = false } = options;
  const link = next === null ? "" : `<p><a class="act" href="${escaped(next)}">Go on</a></p>`;
  const refresh =
    next !== null && isPassing
      ? `<meta http-equiv="refresh" content="0;url=${escaped(next)}">`
      : "";
  return page({ title, content: `<p>${escaped(text)}</p>${link}`, head: refresh });
}

function page(parts: {
  readonly title: string;
  readonly content: string;
  readonly head?: string;
}): SmallPage {
  const { title, content, head = "" } = parts;
  const body = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">${head}
<title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><main><h1>${escaped(title)}</h1>${content}</main></body></html>
`;
  return { body, policy: policy() };
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}
