/** Plays stories one after the other in one process, as somebody asks for them on its standard input. */

import { createInterface } from "node:readline";

/**
 * Each line is `[story, host, details]`, and gets one line: `{ "told": … }`, or `{ "error": … }`.
 * @param stories by name; each is given the host and the details
 */
export async function serveStories(stories) {
  for await (const line of createInterface({ input: process.stdin })) {
    const [story, host, details] = JSON.parse(line);
    const said = await stories[story](host, details).then(
      (told) => ({ told }),
      (error) => ({ error: String(error.stack) }),
    );
    console.log(JSON.stringify(said));
  }
  // Pools keep their connections, and with them this process.
  process.exit(0);
}
