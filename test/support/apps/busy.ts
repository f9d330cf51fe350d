/**
 * An app that has things to do of its own. WORK_FILE: while it exists, `/busy` answers 200. `/work?for=` answers with
 * `Keep-Awake`. `/socket` echoes.
 */

import { existsSync } from "node:fs";

const { PORT, WORK_FILE = "" } = process.env;

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(PORT),
  fetch(request, self) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/socket":
        return self.upgrade(request) ? undefined : new Response("no upgrade", { status: 400 });
      case "/busy":
        return new Response("", { status: existsSync(WORK_FILE) ? 200 : 404 });
      case "/work":
        return new Response("begun", {
          headers: { "Keep-Awake": url.searchParams.get("for") ?? "" },
        });
      default:
        return new Response("here");
    }
  },
  websocket: {
    message(socket, message) {
      socket.send(message);
    },
  },
});
console.log(`listening on ${server.port}`);
