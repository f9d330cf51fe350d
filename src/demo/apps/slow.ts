/** Sample app: takes its time to start, like a big framework would. */

import { listen, say } from "./listen.ts";
import { addressOf, pageResponse } from "./page.ts";

const bootSeconds = Number(process.env.BOOT_SECONDS ?? 6);
const steps = ["reading the configuration", "connecting", "migrating", "warming the caches"];

for (const [index, step] of steps.entries()) {
  say(`${step} (${index + 1} of ${steps.length})`);
  await Bun.sleep((bootSeconds * 1000) / steps.length);
}

listen({
  fetch: (request) =>
    pageResponse({
      title: "slow · Paastis demo",
      body: `
        <h1>Good morning<i>.</i></h1>
        <p>This app took ${bootSeconds} seconds to start. A browser sees a waiting page meanwhile, which loads
        the app by itself.</p>
        <p class="soft">Reload: now it answers at once. Leave it for 30 seconds, and it sleeps again.</p>
        <div class="card"><p>When it sleeps, ask for it from a shell. Nobody shows a page there: the request
        is held until the app is ready, and then answered.</p>
        <pre>time curl -so /dev/null ${addressOf("slow", request.headers)}/</pre></div>`,
    }),
});
