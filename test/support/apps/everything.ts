/**
 * A real app for the tests: answers, streams, takes uploads and sockets, crashes when told to.
 * BOOT_MS: how long it takes before it listens. RUNS_FILE: gets a line with its pid at each start.
 * ENDS_POLITELY: told to end, it takes nothing new and answers what it has.
 */

import { appendFileSync } from "node:fs";

const { PORT, BOOT_MS = "0", RUNS_FILE, ENDS_POLITELY } = process.env;
if (RUNS_FILE !== undefined) appendFileSync(RUNS_FILE, `${process.pid}\n`);
await Bun.sleep(Number(BOOT_MS));

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(PORT),
  idleTimeout: 0,
  maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  async fetch(request, self) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/socket":
        return self.upgrade(request) ? undefined : new Response("no upgrade", { status: 400 });
      case "/download":
        return trickle(Number(url.searchParams.get("seconds")));
      case "/upload":
        return Response.json({ bytes: await countBytes(request) });
      case "/crash":
        console.error("about to crash, as asked");
        return process.exit(7);
      case "/slow":
        await Bun.sleep(Number(url.searchParams.get("ms")));
        return new Response("slow, but here");
      default:
        return Response.json({ pid: process.pid, listeningSinceMs, path: url.pathname });
    }
  },
  websocket: {
    idleTimeout: 0,
    message(socket, message) {
      socket.send(message);
    },
  },
});
const listeningSinceMs = performance.timeOrigin + performance.now();
console.log(`listening on ${server.port}`);

if (ENDS_POLITELY !== undefined) process.once("SIGTERM", endPolitely);

async function endPolitely(): Promise<void> {
  void server.stop();
  // A connection whose request has not been read yet is none that the server counts.
  do await Bun.sleep(300);
  while (server.pendingRequests > 0);
  process.exit(0);
}

/** One byte every 100 ms. */
function trickle(seconds: number): Response {
  const body = new ReadableStream({
    async pull(controller) {
      for (let n = 0; n < seconds * 10; n += 1) {
        await Bun.sleep(100);
        controller.enqueue("x");
      }
      controller.close();
    },
  });
  return new Response(body);
}

async function countBytes(request: Request): Promise<number> {
  let bytes = 0;
  for await (const piece of request.body ?? []) bytes += piece.length;
  return bytes;
}
