/** What the pages of the sample apps share: one look, light or dark, without a single outside request. */

/** What a page is made of. `body` and `script` are trusted: they come from the apps' own source. */
export interface Page {
  readonly title: string;
  readonly body: string;
  /** Runs at the end of the page, as a module. */
  readonly script?: string;
}

const STYLE = `
  :root { color-scheme: light dark;
    --paper: #f6f4ee; --card: #fffdf8; --ink: #23262e; --soft: #636774; --line: #dcd8cc;
    --accent: #4a5bb0; --lamp: #b97f10; --good: #2f7d54; }
  @media (prefers-color-scheme: dark) { :root {
    --paper: #14161d; --card: #1c1f29; --ink: #e6e4dc; --soft: #9a9eac; --line: #31364a;
    --accent: #a3b1ff; --lamp: #f0bb58; --good: #74c79b; } }
  * { box-sizing: border-box; }
  body { margin: 0; padding: clamp(1.25rem, 5vw, 4rem) 1.25rem; background: var(--paper); color: var(--ink);
    font: 1rem/1.6 ui-rounded, "SF Pro Rounded", "Segoe UI", system-ui, sans-serif; }
  main { max-width: 44rem; margin: 0 auto; }
  h1 { margin: 0 0 .4rem; font-size: clamp(1.8rem, 5vw, 2.5rem); line-height: 1.15; letter-spacing: -.02em; }
  h1 i { font-style: normal; color: var(--lamp); }
  h2 { margin: 0 0 .3rem; font-size: 1.1rem; }
  p { margin: 0 0 1rem; } .soft { color: var(--soft); } small { color: var(--soft); }
  a { color: var(--accent); text-underline-offset: .2em; }
  code, pre, output, time { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .9em; }
  pre { overflow-x: auto; margin: .5rem 0 0; padding: .6rem .8rem; border-radius: .5rem; background: var(--paper); }
  .cards { display: grid; gap: 1rem; margin: 2rem 0; padding: 0; list-style: none; }
  .card { padding: 1.1rem 1.25rem; border: 1px solid var(--line); border-radius: .9rem; background: var(--card); }
  .card p:last-child { margin: 0; }
  .card > a { font-weight: 650; }
  input { flex: 1; min-width: 0; padding: .55rem .8rem; border: 1px solid var(--line); border-radius: .6rem;
    background: var(--paper); color: inherit; font: inherit; }
  button { padding: .55rem 1.1rem; border: 0; border-radius: .6rem; background: var(--accent);
    color: var(--paper); font: inherit; font-weight: 600; cursor: pointer; }
  :focus-visible { outline: 2px solid var(--lamp); outline-offset: 2px; }
  form { display: flex; gap: .6rem; }
  time.big { display: block; font-size: 2rem; font-variant-numeric: tabular-nums; }
  .log { display: grid; gap: .15rem; height: 11rem; overflow-y: auto; margin: .8rem 0; padding: 0;
    list-style: none; align-content: start; overflow-wrap: anywhere; }
  .state::before { content: "○ "; } .state[data-on]::before { content: "● "; color: var(--good); }
`;

/** Turns a page into a response. */
export function pageResponse({ title, body, script }: Page): Response {
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
<main>${body}</main>
${script === undefined ? "" : `<script type="module">${script}</script>`}
</html>
`;
  return new Response(html, {
    headers: { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" },
  });
}

/**
 * The address under which the visitor sees an app: `shop` becomes `http://shop.localhost:3000`.
 * @param headers of a request that came through Paastis, which says in `X-Forwarded-*` what the visitor asked for
 */
export function addressOf(app: string, headers: Headers): string {
  const seen = headers.get("x-forwarded-host") ?? headers.get("host") ?? "";
  const port = /:(\d{1,5})$/.exec(seen)?.[1];
  const scheme = headers.get("x-forwarded-proto") === "https" ? "https" : "http";
  return `${scheme}://${app === "" ? "" : `${app}.`}localhost${port === undefined ? "" : `:${port}`}`;
}
