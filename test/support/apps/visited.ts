/**
 * A small web page that counts who loads it. `READY_FILE`: it listens once this file is there. `IS_SILENT`: it takes
 * connections, so that nobody else gets its port, and never answers.
 */

import { existsSync } from "node:fs";

let visits = 0;

function answer(request: Request): Response | Promise<Response> {
  if (process.env.IS_SILENT !== undefined) return new Promise(() => undefined);
  // Paastis looks whether somebody answers, too.
  if (request.headers.get("accept")?.includes("text/html") === true) visits += 1;
  const head = `<meta charset="utf-8"><title>the app</title><link rel="icon" href="data:,">`;
  return new Response(`<!doctype html><html lang="en">${head}<p id="visits">${visits}</p>`, {
    headers: { "content-type": "text/html" },
  });
}

const { READY_FILE, PORT } = process.env;
while (READY_FILE !== undefined && !existsSync(READY_FILE)) await Bun.sleep(20);
Bun.serve({ hostname: "127.0.0.1", port: Number(PORT), fetch: answer });
