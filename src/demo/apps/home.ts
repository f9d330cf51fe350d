/** Sample app: the page that a visitor of the demo sees first. */

import { listen } from "./listen.ts";
import { addressOf, pageResponse } from "./page.ts";

listen({
  fetch(request) {
    const address = (app: string) => addressOf(app, request.headers);
    return pageResponse({ title: "Paastis demo", body: bodyWith(address) });
  },
});

function bodyWith(address: (app: string) => string): string {
  const link = (app: string) =>
    `<a href="${address(app)}/" target="_blank" rel="noopener">${address(app)}</a>`;
  return `
    <h1>Asleep, <i>until you ask</i>.</h1>
    <p>Behind this address live four small programs. None of them runs until somebody asks for it. You asked
    for this page, so Paastis has just woken the app that serves it.</p>
    <p class="soft">Keep the terminal in sight: it tells what happens, as it happens.</p>
    <ul class="cards">
      <li class="card"><h2>A quick one</h2>${link("api")}
        <p>A notes API. It is up in a blink, so your request simply waits and is answered.</p>
        <pre>curl ${address("api")}/notes -d '{"text":"hello"}'
curl ${address("api")}/notes</pre></li>
      <li class="card"><h2>A slow one</h2>${link("slow")}
        <p>Takes six seconds to start. A browser gets a page that waits for it and then loads it by itself.
        Other programs, such as <code>curl</code>, wait without noticing.</p></li>
      <li class="card"><h2>A talkative one</h2>${link("live")}
        <p>A WebSocket chat and a clock over server-sent events. While its page is open it is in use, and
        stays awake. Open it twice and talk to yourself.</p></li>
      <li class="card"><h2>Then do nothing</h2>
        <p>Close the tabs. After 30 seconds without a visitor an app is put to sleep: its process ends. Reload
        this page and this one wakes again.</p></li>
    </ul>
    <p><small>This page came from process ${process.pid}, which needs no memory while nobody reads it.</small></p>`;
}
